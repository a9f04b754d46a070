"""Parsers of the list and details: any JSON gives values or an error."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from exporter.discovery.documents import (
    FULL_PAGE,
    Details,
    Listed,
    campaign_details,
    canvas_details,
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

keys = st.sampled_from([*ENTRY, *DETAILS, "campaigns", "channel"])
documents = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4)
    ),
    max_leaves=8,
)
parse = partial(
    parse_details,
    read=campaign_details,
    kind="campaign",
    last_edited="then",
    read_at=7.0,
)
parse_canvas = partial(
    parse_details,
    read=canvas_details,
    kind="canvas",
    last_edited="then",
    read_at=7.0,
)
parse_page_ = partial(parse_page, plural="campaigns")


def test_names_and_tags_keep_their_spelling() -> None:
    page = parse_page_({"message": "success", "campaigns": [ENTRY]})

    assert page.is_last
    assert page.objects == (
        Listed(
            id=ID,
            name="Spring 🌷",
            last_edited="2026-09-02T11:00:00+00:00",
            edited_at=SENT_AT + 11 * 3600,
            tags=("promotion", "spring"),
        ),
    )


def test_entries_without_a_usable_id_are_skipped() -> None:
    """Other missing fields are empty."""
    odd = [None, 3, {}, {"id": 3}, {"id": ""}, {"id": "a b"}, {"id": "a\nb"}]
    cut = [{"id": "a" * 257}, {"id": "\ud800"}, {"id": "x\x00"}]

    page = parse_page_({"campaigns": [*odd, *cut, {"id": ID, "name": None, "tags": 3}]})

    assert page.objects == (Listed(id=ID, name=""),)
    assert page.entries == 11


def test_a_page_of_a_hundred_entries_is_not_the_last() -> None:
    """Unusable entries count as well."""
    assert not parse_page_({"campaigns": [None] * FULL_PAGE}).is_last
    assert parse_page_({"campaigns": [None] * (FULL_PAGE - 1)}).is_last


def test_the_channels_of_details_are_those_of_their_messages() -> None:
    expected = Details(
        last_edited="then",
        read_at=7.0,
        last_active_at=SENT_AT,
        channels=("in-app_message", "content_card"),
    )
    assert parse(DETAILS) == expected
    assert parse(DETAILS | {"draft": True, "archived": True}) == replace(
        expected, is_draft=True, is_archived=True
    )


@pytest.mark.parametrize("messages", [None, [], {}, {"a": {"name": "b"}}])
def test_without_messages_the_channels_are_those_of_the_campaign(
    messages: object,
) -> None:
    assert parse(DETAILS | {"messages": messages}).channels == ("email",)


CANVAS_DETAILS: dict[str, object] = {
    "message": "success",
    "draft": False,
    "enabled": True,
    "archived": False,
    "last_entry": "2026-09-02T00:00:00+00:00",
    "channels": ["email", "sms"],
    "steps": [{"name": "Wait", "channels": ["webhook"], "messages": {}}],
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"enabled": False}, {"is_stopped": True}),
        ({"enabled": None}, {}),
        ({"enabled": "false"}, {}),
        ({"draft": True, "archived": True}, {"is_draft": True, "is_archived": True}),
        ({"last_entry": None}, {"last_active_at": None}),
        ({"last_entry": "1970-01-01T00:00:00+00:00"}, {"last_active_at": None}),
        ({"last_entry": "1970-01-01"}, {"last_active_at": None}),
        ({"last_entry": "1970-01-01T00:00:00-11:00"}, {"last_active_at": None}),
        ({"channels": None}, {"channels": ("webhook",)}),
        ({"channels": [], "steps": [None, {"channels": None}]}, {"channels": ()}),
        ({"channels": None, "steps": None}, {"channels": ()}),
        ({"channels": ["sms", None, 3]}, {"channels": ("sms",)}),
    ],
)
def test_the_details_of_a_canvas(
    changes: dict[str, object], expected: dict[str, Any]
) -> None:
    """Nulls, and the epoch of a canvas without entries, are no values."""
    usual = Details(
        last_edited="then",
        read_at=7.0,
        last_active_at=SENT_AT,
        channels=("email", "sms"),
    )

    found = parse_canvas(CANVAS_DETAILS | changes)

    assert found == replace(usual, **expected)


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
def test_an_instant_without_an_offset_is_in_utc(
    text: object, instant: float | None
) -> None:
    assert parse(DETAILS | {"last_sent": text}).last_active_at == instant


@pytest.mark.parametrize(
    "document",
    [None, [], "x", {}, {"campaigns": {}}, {"message": "no", "campaigns": []}],
)
def test_an_invalid_document_is_an_error(document: object) -> None:
    with pytest.raises(MalformedCatalogue, match="the list of campaigns: "):
        parse_page_(document)
    if not isinstance(document, dict) or "message" in document:
        with pytest.raises(MalformedCatalogue, match="the details of a campaign: "):
            parse(document)


def test_an_id_ignores_case() -> None:
    assert key(ID.upper()) == key(ID)


@given(documents | st.fixed_dictionaries({"campaigns": st.lists(documents)}))
def test_any_json_gives_values_or_an_error(document: object) -> None:
    """Ids are usable in URLs."""
    with suppress(MalformedCatalogue):
        page = parse_page_(document)
        assert all(one.id and one.id.isprintable() for one in page.objects)
    for parse_kind in (parse, parse_canvas):
        with suppress(MalformedCatalogue):
            parse_kind(document)
