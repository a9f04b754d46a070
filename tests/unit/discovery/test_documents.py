"""Parsers of the list and details: any JSON gives values or an error."""

from __future__ import annotations

from contextlib import suppress

import pytest
from exporter.discovery.documents import (
    FULL_PAGE,
    Details,
    Listed,
    key,
    parse_details,
    parse_page,
)
from exporter.model.errors import MalformedCatalogue
from hypothesis import given
from hypothesis import strategies as st

ID = "3bbc4555-8fa0-4c9b-a5c0-4505edf3e064"
ENTRY = {
    "id": ID,
    "last_edited": "2026-09-02T11:00:00+00:00",
    "name": "Spring 🌷",
    "is_api_campaign": False,
    "tags": ["promotion", None, "", 3, "spring", "promotion"],
}
DETAILS = {
    "message": "success",
    "archived": False,
    "draft": False,
    "channels": ["email"],
    "last_sent": "2026-09-02T00:00:00+00:00",
    "messages": {
        "a": {"channel": "in-app_message", "name": None},
        "b": {"channel": "content_card", "type": "control"},
        "c": {"channel": None},
        "d": None,
    },
}
SENT_AT = 1_788_307_200.0

texts = st.text(max_size=5)
documents = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [*ENTRY, *DETAILS, "campaigns", "channel", "updated_at", "name"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


def details(**changes: object) -> Details:
    """Parse details with these fields."""
    return parse_details({**DETAILS, **changes}, last_edited="then", read_at=7.0)


def test_a_page_is_read() -> None:
    """Names and tags keep their spelling; nulls among the tags are dropped."""
    page = parse_page({"message": "success", "campaigns": [ENTRY]})

    assert page.is_last
    assert page.campaigns == (
        Listed(
            id=ID,
            name="Spring 🌷",
            last_edited="2026-09-02T11:00:00+00:00",
            edited_at=SENT_AT + 11 * 3600,
            tags=("promotion", "spring"),
        ),
    )


def test_unusable_entries_are_skipped_alone() -> None:
    """Entries without a usable id are skipped; other missing fields are empty."""
    odd = [None, 3, {}, {"id": 3}, {"id": ""}, {"id": "a b"}, {"id": "a\nb"}]
    cut = [{"id": "a" * 257}, {"id": "\ud800"}, {"id": "x\x00"}]

    page = parse_page({"campaigns": [*odd, *cut, {"id": ID, "name": None, "tags": 3}]})

    assert page.campaigns == (Listed(id=ID, name=""),)
    assert page.entries == 11


def test_a_page_of_a_hundred_is_not_the_last() -> None:
    """Unusable entries count as well."""
    assert not parse_page({"campaigns": [None] * FULL_PAGE}).is_last
    assert parse_page({"campaigns": [None] * (FULL_PAGE - 1)}).is_last
    assert parse_page({"campaigns": []}).is_last


@pytest.mark.parametrize(
    "document",
    [None, [], "x", {}, {"campaigns": {}}, {"message": "no", "campaigns": []}],
)
def test_an_invalid_list_is_an_error(document: object) -> None:
    """The message states what was expected."""
    with pytest.raises(MalformedCatalogue, match="the list of campaigns: "):
        parse_page(document)


def test_details_are_read() -> None:
    """The channels are those of the messages, in the spelling of details."""
    assert details() == Details(
        last_edited="then",
        read_at=7.0,
        last_sent_at=SENT_AT,
        channels=("in-app_message", "content_card"),
    )
    assert details(draft=True, archived=True) == Details(
        last_edited="then",
        read_at=7.0,
        is_draft=True,
        is_archived=True,
        last_sent_at=SENT_AT,
        channels=("in-app_message", "content_card"),
    )


@pytest.mark.parametrize("messages", [None, [], {}, {"a": {"name": "b"}}])
def test_without_messages_the_channels_of_the_campaign_are_used(
    messages: object,
) -> None:
    """Details of drafts may have no message yet."""
    assert details(messages=messages).channels == ("email",)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-09-02T00:00:00Z", SENT_AT),
        ("2026-09-02T02:00:00.5+02:00", SENT_AT + 0.5),
        ("2026-09-02T00:00:00", SENT_AT),
        ("2026-09-02", SENT_AT),
        (None, None),
        ("", None),
        ("soon", None),
        (17, None),
        ("0001-01-01T00:00:00+14:00", None),
        ("9999-12-31T23:59:59-14:00", None),
    ],
)
def test_instants_are_parsed_or_none(text: object, instant: float | None) -> None:
    """Without an offset the time zone is UTC; an invalid date gives `None`."""
    assert details(last_sent=text).last_sent_at == instant


@pytest.mark.parametrize("document", [None, [DETAILS], {**DETAILS, "message": "no"}])
def test_invalid_details_are_an_error(document: object) -> None:
    """The message states what was expected."""
    with pytest.raises(MalformedCatalogue, match="the details of a campaign: "):
        parse_details(document, last_edited="", read_at=0)


def test_an_id_is_the_same_in_capitals() -> None:
    """Two spellings of a UUID are one campaign."""
    assert key(ID.upper()) == key(ID)


@given(documents | st.fixed_dictionaries({"campaigns": st.lists(documents)}))
def test_any_json_gives_values_or_an_error(document: object) -> None:
    """No other error is raised; ids are usable in URLs."""
    try:
        page = parse_page(document)
        assert all(one.id and one.id.isprintable() for one in page.campaigns)
    except MalformedCatalogue:
        pass
    with suppress(MalformedCatalogue):
        parse_details(document, last_edited="", read_at=0)
