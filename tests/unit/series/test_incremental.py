"""A document of which only the newest day changed reuses the previous snapshot."""

import copy
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from exporter.braze.responses import Body, document_of
from exporter.metrics.object_metrics import ObjectLabels, render_values, renew_latest
from exporter.model.config import Selection
from exporter.model.errors import MalformedSeries, Unavailable
from exporter.model.snapshot import Snapshot
from exporter.series import incremental, snapshot_json
from exporter.series.incremental import ParsedDocument
from exporter.series.parse import ParseOptions, parse
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import golden
from tests.support import data_series
from tests.support.bodies import REQUEST, body_of
from tests.support.data_series import NUMBERS

TODAY = golden.OPTIONS.today
OPTIONS = golden.OPTIONS._replace(
    metrics=Selection(exclude=("secret*",)), revisions=True
)
LABELS = ObjectLabels("shop", "campaign", "Welcome", "c-1", {})


def row(age: int, *, sent: int = 5) -> dict[str, Any]:
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
    return {"message": "success", "data": list(rows)}


def days(*, sent_today: int = 5) -> dict[str, Any]:
    return document(*(row(age) for age in range(29, 0, -1)), row(0, sent=sent_today))


def parse_next(
    document: object, previous: ParsedDocument, options: ParseOptions = OPTIONS
) -> ParsedDocument:
    return incremental.parse(
        body_of(document), options, previous=previous.snapshot, cached=previous.cached
    )


def whole(
    document: object, previous: ParsedDocument, options: ParseOptions = OPTIONS
) -> Snapshot:
    return parse(document, options, first_complete=previous.snapshot.first_complete)


@pytest.mark.parametrize("today_at", [0, 28])
@pytest.mark.parametrize("revisions", [True, False])
def test_new_numbers_of_today_reuse_the_snapshot(
    *, today_at: int, revisions: bool
) -> None:
    options = OPTIONS._replace(revisions=revisions)
    *rows, today = days(sent_today=5)["data"]
    before = document(*rows[:today_at], today, *rows[today_at:])
    after = document(*rows[:today_at], row(0, sent=6), *rows[today_at:])
    first = incremental.parse(body_of(before), options)

    found = parse_next(after, first, options)

    assert found.is_reused
    assert found.snapshot == whole(after, first, options)
    assert found.snapshot.latest is not None
    assert found.snapshot.latest.figures[1][1] == {"sent": 6}


def test_a_control_group_of_an_earlier_day_is_reused() -> None:
    """Without users today it has no `enrolled` in the newest row."""
    before, after = days(sent_today=5), days(sent_today=6)
    for one, conversions in ((before, 1), (after, 2)):
        control = {"variation_name": "Control", "conversions": conversions}
        one["data"][-1]["messages"]["email"][2] = control
    first = incremental.parse(body_of(before), OPTIONS)

    found = parse_next(after, first)

    assert found.is_reused
    assert found.snapshot == whole(after, first)
    assert any(part.is_control for part in found.snapshot.parts)


def today_with(path: str, value: object) -> dict[str, Any]:
    """Return the document with one value of today set, or deleted: `...`."""
    changed = copy.deepcopy(days(sent_today=6))
    *parents, last = path.split(".")
    inner: Any = changed["data"][-1]
    for name in parents:
        inner = inner[int(name)] if name.isdigit() else inner[name]
    inner[last] = value
    if value is ...:
        del inner[last]
    return changed


EMAIL = row(0)["messages"]["email"]


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(
            document(row(1, sent=6), *days()["data"][:-2], row(0)), id="a past day"
        ),
        pytest.param(document(*days()["data"][1:]), id="one day fewer"),
        pytest.param(document(*days()["data"][:-1]), id="no today"),
        pytest.param(document(*days()["data"], row(-1)), id="tomorrow too"),
    ],
)
def test_other_days_give_what_a_whole_parse_gives(after: dict[str, Any]) -> None:
    first = incremental.parse(body_of(days()), OPTIONS)

    assert parse_next(after, first).snapshot == whole(after, first)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("messages.email.0.bounces", 1),
        ("messages.email.0.sent", ...),
        ("messages.email.0.sent", None),
        ("messages.email.0.variation_name", "Z"),
        ("messages.email", EMAIL[::-1]),
        ("messages.email.0.enrolled", 1),
        ("messages.web_push", [{"sent": 1}]),
        ("conversions1", 1),
        ("messages.sms.0.odd", None),
        ("messages.name", "\ud800"),
    ],
)
def test_another_change_of_today_gives_what_a_whole_parse_gives(
    path: str, value: object
) -> None:
    after = today_with(path, value)
    first = incremental.parse(body_of(days()), OPTIONS)

    assert parse_next(after, first).snapshot == whole(after, first)


@pytest.mark.parametrize(
    "changes",
    [
        {"today": TODAY + timedelta(1)},
        {"windows": (7,)},
        {"channels": Selection(exclude=("sms",))},
        {"series_limit": 20},
        {"revisions": False},
        {"skip_unused": True},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_other_options_parse_the_whole_document(changes: dict[str, Any]) -> None:
    options = OPTIONS._replace(**changes)
    first = incremental.parse(body_of(days()), OPTIONS)

    found = parse_next(days(sent_today=6), first, options)

    assert not found.is_reused
    assert found.snapshot == whole(days(sent_today=6), first, options)


@pytest.mark.parametrize("text", ["\ud800", "Grün {} \U0001f600"])
def test_texts_of_any_characters_are_reused(text: str) -> None:
    before, after = days(), days(sent_today=6)
    for one in (before, after):
        one["data"][3]["messages"][text] = []
        one["data"][-1]["messages"]["email"][0]["variation_name"] = text
        one["more"] = text
    is_ascii = not text.isprintable()
    first = incremental.parse(body_of(before, is_ascii=is_ascii), OPTIONS)

    found = incremental.parse(
        body_of(after, is_ascii=is_ascii),
        OPTIONS,
        previous=first.snapshot,
        cached=first.cached,
    )

    assert found.is_reused
    assert found.snapshot == whole(after, first)


def with_another_date(document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "until": str(TODAY)}


def with_the_date_last(document: dict[str, Any]) -> dict[str, Any]:
    *rows, today = document["data"]
    time, *others = today.items()
    return {**document, "data": [*rows, dict([*others, time])]}


@pytest.mark.parametrize("written", [with_another_date, with_the_date_last])
def test_a_row_that_its_date_does_not_find_is_parsed_with_all_others(
    written: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    first = incremental.parse(body_of(written(days())), OPTIONS)
    after = written(days(sent_today=6))

    found = parse_next(after, first)

    assert not found.is_reused
    assert found.snapshot == whole(after, first)


def with_escaped_date(content: bytes) -> bytes:
    """Return the same document with another spelling of the last date of today."""
    before, date, after = content.rpartition(str(TODAY).encode())
    return before + date.replace(b"-", b"\\u002D") + after


@pytest.mark.parametrize("first_key", ["more", "data"])
def test_a_row_is_not_taken_for_an_equal_object_elsewhere(first_key: str) -> None:
    """The row of today is the last one in the body, and only the other changes."""

    def body(sent: int) -> Body:
        *_, today = days(sent_today=5)["data"]
        other = json.dumps({first_key: [row(0, sent=sent)]})[:-1]
        content = f"{other}, {json.dumps(document(today))[1:]}".encode()
        return Body(REQUEST, {}, with_escaped_date(content))

    first = incremental.parse(body(5), OPTIONS)
    found = incremental.parse(
        body(6), OPTIONS, previous=first.snapshot, cached=first.cached
    )

    assert found.snapshot == first.snapshot == parse(body(6).document(), OPTIONS)


def test_the_later_of_two_rows_of_today_is_used_however_its_date_is_written() -> None:
    def body(sent: int) -> Body:
        rows = document(row(1), row(0, sent=sent), row(0, sent=5))
        return Body(REQUEST, {}, with_escaped_date(json.dumps(rows).encode()))

    first = incremental.parse(body(5), OPTIONS)
    found = incremental.parse(
        body(6), OPTIONS, previous=first.snapshot, cached=first.cached
    )

    assert found.snapshot == first.snapshot


@pytest.mark.parametrize("escaped", ["\\u0026", "\\u003c", "\\u003E", "\\u00fc"])
def test_other_escapes_do_not_prevent_reuse(escaped: str) -> None:
    """Ruby escapes these in the names of steps."""

    def body(sent: int) -> Body:
        content = json.dumps(days(sent_today=sent)).replace("Control", escaped)
        return Body(REQUEST, {}, content.encode())

    first = incremental.parse(body(5), OPTIONS)
    found = incremental.parse(
        body(6), OPTIONS, previous=first.snapshot, cached=first.cached
    )

    assert found.is_reused


def test_a_channel_joins_the_month_once_its_sum_is_a_double() -> None:
    options = OPTIONS._replace(contract=("email",))

    def month(sent: float) -> dict[str, Any]:
        past, today = (
            {**row(age), "messages": {"email": [{"sent": one}]}}
            for age, one in ((1, 1.5e308), (0, sent))
        )
        return document(past, today)

    first = incremental.parse(body_of(month(1.5e308)), options)
    found = parse_next(month(2.0), first, options)

    assert first.snapshot.month_to_date is None
    assert found.snapshot.month_to_date is not None
    assert found.snapshot == whole(month(2.0), first, options)


@pytest.mark.parametrize(
    "instead", [b"7", b'"{}"', b"{}, {}", b"{]", b"{\xff}", b"", b"\xef\xbb\xbf{}"]
)
def test_what_is_no_object_in_the_place_of_today_is_not_reused(instead: bytes) -> None:
    body = body_of(days())
    first = incremental.parse(body, OPTIONS)
    start = body.content.rindex(b'{"time"')
    content = body.content[:start] + instead + b"]}"

    with suppress(MalformedSeries, Unavailable):
        found = incremental.parse(
            Body(REQUEST, {}, content),
            OPTIONS,
            previous=first.snapshot,
            cached=first.cached,
        )
        assert not found.is_reused


def test_any_change_around_today_is_found() -> None:
    body = body_of(days())
    first = incremental.parse(body, OPTIONS)
    known, start = first.cached, body.content.rindex(b'{"time"')
    other = body.content[:start].replace(b"success", b"failure") + body.content[start:]

    with pytest.raises(MalformedSeries, match="message is"):
        incremental.parse(
            Body(REQUEST, {}, other), OPTIONS, previous=first.snapshot, cached=known
        )


def test_a_reused_snapshot_keeps_the_first_reading() -> None:
    restated = document(*days()["data"][:-2], row(1, sent=8), row(0))
    later = document(*days()["data"][:-2], row(1, sent=8), row(0, sent=6))
    first = incremental.parse(body_of(days()), OPTIONS)

    found = parse_next(later, parse_next(restated, first))

    assert found.is_reused
    assert found.snapshot.first_complete == first.snapshot.last_complete
    assert found.snapshot.revision[1][1] == {"sent": 3}


def with_zeros(*, today: int) -> dict[str, Any]:
    """Return the days with a field that is 0 in all of them but today."""
    found = days()
    for one in found["data"]:
        is_today = one["time"] == str(TODAY)
        one["conversions1"] = today if is_today else 0
        one["messages"]["email"][0]["bounces"] = today if is_today else 0
    return found


def test_a_first_number_of_today_makes_an_unused_field_appear_everywhere() -> None:
    options = OPTIONS._replace(skip_unused=True)
    first = incremental.parse(body_of(with_zeros(today=0)), options)
    still = parse_next(with_zeros(today=0), first, options)
    found = parse_next(with_zeros(today=3), still, options)
    again = parse_next(with_zeros(today=0), found, options)

    assert still.is_reused
    assert still.snapshot == first.snapshot == again.snapshot
    assert not found.is_reused
    assert found.snapshot == whole(with_zeros(today=3), first, options)
    for one, is_shown in ((first, False), (found, True)):
        text = render_values(LABELS, one.snapshot).text.decode()
        fields = {"conversions1", "bounces"}
        of_families = {
            line.partition("{")[0]
            for line in text.splitlines()
            if any(f'metric="{field}"' in line for field in fields)
        }
        assert bool(of_families) == is_shown
    assert of_families == {
        f"braze_campaign_{infix}{ending}"
        for infix in ("", "overall_")
        for ending in (
            *("daily", "last_complete_day", "trailing"),
            "last_complete_day_revision",
        )
    }


def test_a_field_in_use_reuses_the_snapshot_without_those_that_are_not() -> None:
    options = OPTIONS._replace(skip_unused=True)

    def of_today(sent: int) -> dict[str, Any]:
        found = with_zeros(today=0)
        found["data"][-1]["messages"]["email"][0]["sent"] = sent
        return found

    first = incremental.parse(body_of(of_today(5)), options)
    found = parse_next(of_today(6), first, options)

    assert found.is_reused
    assert found.snapshot == whole(of_today(6), first, options)


def test_a_number_added_to_a_first_reading_of_0_has_a_revision() -> None:
    """Even if the field was left out when the day was first read."""
    options = OPTIONS._replace(skip_unused=True)
    before, after = with_zeros(today=0), with_zeros(today=0)
    after["data"][-2] |= {"conversions1": 4}

    first = incremental.parse(body_of(before), options)
    kept = snapshot_json.parse(
        json.loads(json.dumps(snapshot_json.dump(first.snapshot)))
    )
    found = incremental.parse(body_of(after), options, previous=kept)

    revisions = [stats for _, stats in found.snapshot.revision]
    assert [stats["conversions1"] for stats in revisions if len(stats) > 1] == [4]


ROW, PAST_ROW, NEWEST_ROW = (
    data_series.rows(data_series.times(TODAY, st.integers(*ages)))
    for ages in ((-2, 3), (1, 5), (-1, 0))
)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[object, object]:
    rows = draw(st.lists(PAST_ROW, max_size=4) | st.lists(ROW, max_size=4))
    newest = draw(NEWEST_ROW | ROW)
    changed = copy.deepcopy(newest)
    messages = changed["messages"]
    channels = messages.values() if isinstance(messages, dict) else ()
    lists = [channel for channel in channels if isinstance(channel, list)]
    for entry in (changed, *(one for entries in lists for one in entries)):
        for name, value in entry.items() if isinstance(entry, dict) else ():
            if isinstance(value, int | float):
                entry[name] = draw(NUMBERS | st.just(value))
    return document(*rows, newest), document(*rows, draw(st.just(changed) | ROW))


@settings(max_examples=400)
@given(pairs(), st.integers(0, 30), st.booleans(), st.booleans())
def test_any_two_documents_give_what_a_whole_parse_gives(
    pair: tuple[object, object],
    room: int,
    revisions: bool,
    skip_unused: bool,
) -> None:
    # As `responses` decodes them.
    before, after = (document_of(json.dumps(one).encode()) for one in pair)
    options = OPTIONS._replace(
        series_limit=5 + room,
        revisions=revisions,
        skip_unused=skip_unused,
        contract=("email", "sms"),
    )
    first = incremental.parse(body_of(before), options)

    second = parse_next(after, first, options)

    expected = whole(after, first, options)
    assert second.snapshot == expected
    if second.is_reused:
        blocks = renew_latest(
            LABELS, second.snapshot, render_values(LABELS, first.snapshot)
        )
        assert blocks == render_values(LABELS, expected)
