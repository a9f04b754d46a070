"""A data series of which only the newest day changed."""

import copy
import json
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from exporter.braze.responses import document_of
from exporter.metrics.campaign_metrics import ObjectLabels, render_values, renew_latest
from exporter.model.config import Selection
from exporter.model.snapshot import Snapshot
from exporter.series.incremental import read
from exporter.series.parse import ParseOptions, parse
from hypothesis import given, settings
from hypothesis import strategies as st

TODAY = date(2026, 3, 14)
READING = ParseOptions(
    today=TODAY,
    timezone=ZoneInfo("America/New_York"),
    windows=(7, 28),
    channels=Selection(),
    metrics=Selection(exclude=("secret*",)),
    series_limit=5000,
)
SUBJECT = ObjectLabels("shop", "Welcome", "c-1", {})


def row(age: int, *, sent: int = 5) -> dict[str, Any]:
    """Return a day of a campaign with two channels and a control group."""
    return {
        "time": (TODAY - timedelta(age)).isoformat(),
        "conversions": sent // 2,
        "revenue": sent / 3,
        "messages": {
            "email": [
                {"variation_name": "A", "variation_api_id": "a-1", "sent": sent},
                {"variation_name": "B", "variation_api_id": "b-1", "sent": 2 * sent},
                {"variation_name": "Control", "enrolled": 7},
            ],
            "sms": [{"sent": sent, "delivered": None, "odd": "text"}],
        },
    }


def document(*rows: object) -> dict[str, object]:
    """Return an answer of Braze."""
    return {"message": "success", "data": list(rows)}


def days(*, sent_today: int = 5) -> dict[str, Any]:
    """Return an answer with four weeks and today."""
    return document(*(row(age) for age in range(29, 0, -1)), row(0, sent=sent_today))


def again(
    before: object, after: object, reading: ParseOptions = READING
) -> tuple[Snapshot, Snapshot, bool]:
    """Read one document after another; return what was made of the second.

    And what it would have been, had it been read as a whole, and if it was renewed.
    """
    first = read(before, READING)
    second = read(after, reading, former=first.snapshot, known=first.known)
    first_complete = first.snapshot.first_complete
    whole = parse(after, reading, first_complete=first_complete)
    return second.snapshot, whole, second.is_renewed


def test_new_numbers_of_today_renew_a_snapshot() -> None:
    """It is what the whole document says."""
    found, whole, is_renewed = again(days(sent_today=5), days(sent_today=6))

    assert is_renewed
    assert found == whole
    assert found.latest is not None
    assert found.latest.figures.variations[0][1] == {"sent": 6}


def test_the_order_of_rows_does_not_matter() -> None:
    """Today may stand anywhere."""
    before, after = days(), days(sent_today=9)
    after["data"].insert(0, after["data"].pop())

    found, whole, is_renewed = again(before, after)

    assert is_renewed
    assert found == whole


def test_only_the_blocks_of_the_latest_day_are_rendered_anew() -> None:
    """The page is the same as if all had been."""
    first = read(days(sent_today=5), READING)
    before = render_values(SUBJECT, first.snapshot)
    second = read(
        days(sent_today=6), READING, former=first.snapshot, known=first.known
    ).snapshot

    renewed = renew_latest(SUBJECT, second, before)

    assert renewed == render_values(SUBJECT, second)
    kept = [
        one
        for one, other in zip(renewed.by_family, before.by_family, strict=True)
        if one and one is other
    ]
    assert len(kept) == len([one for one in before.by_family if one]) - 2


def edit(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Return the answer after a change of today's row."""
    changed = copy.deepcopy(days(sent_today=6))
    change(changed["data"][-1])
    return changed


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(
            document(row(1, sent=6), *days()["data"][:-2], row(0)), id="a past day"
        ),
        pytest.param(document(*days()["data"][1:]), id="a day less"),
        pytest.param(document(*days()["data"][:-1]), id="no today"),
        pytest.param(document(*days()["data"], row(-1)), id="tomorrow too"),
        pytest.param(
            edit(lambda today: today["messages"]["email"][0].update(bounces=1)),
            id="another field",
        ),
        pytest.param(
            edit(lambda today: today["messages"]["email"][0].pop("sent")),
            id="a field less",
        ),
        pytest.param(
            edit(lambda today: today["messages"]["email"][0].update(sent=None)),
            id="a number less",
        ),
        pytest.param(
            edit(
                lambda today: today["messages"]["email"][0].update(variation_name="Z")
            ),
            id="another name",
        ),
        pytest.param(
            edit(lambda today: today["messages"]["email"].reverse()),
            id="nothing but another order",
        ),
        pytest.param(
            edit(lambda today: today["messages"]["email"][0].update(enrolled=1)),
            id="a control group",
        ),
        pytest.param(
            edit(lambda today: today["messages"].update(web_push=[{"sent": 1}])),
            id="another channel",
        ),
        pytest.param(edit(lambda today: today.update(conversions1=1)), id="overall"),
        pytest.param(
            edit(lambda today: today["messages"]["sms"][0].update(odd=None)),
            id="one odd value less",
        ),
        pytest.param(
            edit(lambda today: today["messages"].update(name="\ud800")), id="surrogate"
        ),
    ],
)
def test_whatever_else_changes_is_read_as_a_whole(after: dict[str, Any]) -> None:
    """Or renewed, if it makes no difference."""
    found, whole, _ = again(days(), after)

    assert found == whole


@pytest.mark.parametrize(
    "reading",
    [
        READING._replace(today=TODAY + timedelta(1)),
        READING._replace(windows=(7,)),
        READING._replace(channels=Selection(exclude=("sms",))),
        READING._replace(series_limit=20),
    ],
    ids=["the next day", "windows", "channels", "limit"],
)
def test_another_reading_reads_the_whole(reading: ParseOptions) -> None:
    """The same document says something else then."""
    found, whole, is_renewed = again(days(), days(sent_today=6), reading)

    assert not is_renewed
    assert found == whole


def test_a_text_that_is_no_unicode_is_read_each_time() -> None:
    """There is no digest of it."""
    rows = days()["data"]
    rows[3]["messages"]["\ud800"] = []

    found, whole, is_renewed = again(document(*rows), document(*rows))

    assert not is_renewed
    assert found == whole


@pytest.mark.parametrize("limit", [6, 12, 20, 40])
def test_what_was_cut_stays_cut(limit: int) -> None:
    """At the cap the same identities are left out."""
    reading = READING._replace(series_limit=limit)
    first = read(days(), reading)

    second = read(days(sent_today=6), reading, former=first.snapshot, known=first.known)

    assert second.snapshot == parse(
        days(sent_today=6), reading, first_complete=first.snapshot.first_complete
    )


def test_what_was_first_read_of_a_day_goes_on() -> None:
    """A day that Braze restates shows by how much, however often today changes."""
    restated = document(*days()["data"][:-2], row(1, sent=8), row(0))
    first = read(days(), READING)
    second = read(restated, READING, former=first.snapshot, known=first.known)
    later = document(*restated["data"][:-1], row(0, sent=6))  # type: ignore[index]

    third = read(later, READING, former=second.snapshot, known=second.known)

    assert third.is_renewed
    assert third.snapshot.first_complete == first.snapshot.last_complete


NUMBER = st.integers(-3, 10**6) | st.floats() | st.sampled_from([2**53, 2**70, 10**400])
VALUE = NUMBER | st.none() | st.booleans() | st.sampled_from(["text", []])
FIELD = st.sampled_from(["sent", "bounces", "opens", "secret", "enrolled", "", "\x01"])
NAMES = st.sampled_from(["A", "B", "", None, 7])
ENTRY = st.dictionaries(FIELD, VALUE, max_size=4).flatmap(
    lambda fields: st.builds(
        lambda id_, name: {
            **fields,
            "variation_api_id": id_,
            "variation_name": name,
        },
        NAMES,
        NAMES,
    )
)
MESSAGES = st.dictionaries(
    st.sampled_from(["email", "sms", "", "e\x01", "e\x02"]),
    st.lists(ENTRY | VALUE, max_size=3) | VALUE,
    max_size=3,
)


def rows_of(ages: st.SearchStrategy[int]) -> st.SearchStrategy[dict[str, Any]]:
    """Return days of any content."""
    return st.builds(
        lambda age, messages, fields: {
            **fields,
            "time": (TODAY - timedelta(age)).isoformat(),
            "messages": messages,
        },
        ages,
        MESSAGES | VALUE,
        st.dictionaries(FIELD, VALUE, max_size=3),
    )


ROW = rows_of(st.integers(-2, 3))
PAST_ROW = rows_of(st.integers(1, 5))
NEWEST_ROW = rows_of(st.integers(-1, 0))


def decoded(made: object) -> object:
    """Return a document as it comes out of an answer."""
    return document_of(json.dumps(made).encode())


@st.composite
def pairs(draw: st.DrawFn) -> tuple[object, object]:
    """Return two documents, the second mostly like the first but for one day."""
    rows = draw(st.lists(PAST_ROW, max_size=4) | st.lists(ROW, max_size=4))
    newest = draw(NEWEST_ROW | ROW)
    changed = copy.deepcopy(newest)
    messages = changed["messages"]
    channels = messages.values() if isinstance(messages, dict) else ()
    lists = [channel for channel in channels if isinstance(channel, list)]
    for entry in (changed, *(one for entries in lists for one in entries)):
        if isinstance(entry, dict):
            for name in draw(st.sets(FIELD)) & entry.keys():
                entry[name] = draw(NUMBER)
    return document(*rows, newest), document(*rows, draw(st.just(changed) | ROW))


@settings(deadline=None, max_examples=400)
@given(pairs(), st.integers(0, 30))
def test_a_renewed_snapshot_is_what_the_whole_document_says(
    pair: tuple[object, object], room: int
) -> None:
    """Whatever changed between two answers; and so are its lines."""
    before, after = map(decoded, pair)
    reading = READING._replace(series_limit=5 + room)
    first = read(before, reading)

    second = read(after, reading, former=first.snapshot, known=first.known)

    first_complete = first.snapshot.first_complete
    whole = parse(after, reading, first_complete=first_complete)
    assert second.snapshot == whole
    if second.is_renewed:
        blocks = renew_latest(
            SUBJECT, second.snapshot, render_values(SUBJECT, first.snapshot)
        )
        assert blocks == render_values(SUBJECT, whole)


def test_a_renewed_snapshot_needs_one_that_shows_a_latest_day() -> None:
    """Where the limit leaves none, the whole is read."""
    reading = READING._replace(series_limit=5)
    first = read(days(), reading)
    assert first.snapshot.latest is None

    second = read(days(), reading, former=first.snapshot, known=first.known)

    assert second.snapshot == first.snapshot
