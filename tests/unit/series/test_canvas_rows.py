"""Data series of canvases, compared with a slow and independent reading."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from exporter.metrics.object_metrics import ObjectLabels, page, render_values
from exporter.model.config import Selection
from exporter.model.errors import MalformedSeries
from exporter.model.snapshot import Snapshot
from exporter.series.canvas_rows import CanvasRowParser, CanvasStepsRowParser
from exporter.series.incremental import ParsedDocument, parse_part
from exporter.series.older_days import NOTHING_OLDER
from exporter.series.parse import ParseOptions, parse
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import data_series, naive_canvas_oracle, naive_oracle
from tests.support.bodies import body_of

TODAY = date(2026, 11, 29)
CONTRACT = ("sms", "email")
SUBJECT = ObjectLabels("shop", "canvas", "Onboarding", "cv-1", {})
OPTIONS = ParseOptions(
    row_parser=CanvasStepsRowParser,
    today=TODAY,
    timezone=ZoneInfo("Asia/Tokyo"),
    windows=(1, 7),
    channels=Selection(),
    metrics=Selection(),
    series_limit=5000,
)


def samples(snapshot: Snapshot) -> naive_oracle.Samples:
    rendered = render_values(SUBJECT, snapshot)
    found = naive_oracle.parsed(b"".join(page([rendered])))
    assert len(found) == rendered.series
    return found


def document(*days: Any) -> dict[str, Any]:
    return {"message": "success", "data": {"name": "Onboarding", "stats": [*days]}}


def read(*days: Any, **changes: Any) -> Snapshot:
    return parse(document(*days), OPTIONS._replace(**changes))


def values(snapshot: Snapshot, family: str) -> dict[tuple[str, ...], float]:
    """Return the samples of a family by their own labels, in the order of the names."""
    return {
        tuple(
            text for name, text in sorted(own) if name not in {"workspace", "canvas"}
        ): value
        for (name_, own), value in samples(snapshot).items()
        if name_ == f"braze_canvas_{family}"
    }


def step(name: str = "Welcome", **channels: Any) -> dict[str, Any]:
    return {"name": name, "messages": channels}


ROWS = data_series.canvas_rows(
    data_series.times(TODAY, st.integers(-2, 9)) | data_series.ODD
)


@pytest.mark.slow
@settings(max_examples=2000)
@given(
    days=st.lists(ROWS | data_series.ODD, max_size=5),
    has_steps=st.booleans(),
    skip_unused=st.booleans(),
)
def test_every_document_is_exposed_as_by_the_naive_oracle(
    days: list[Any], *, has_steps: bool, skip_unused: bool
) -> None:
    parser = CanvasStepsRowParser if has_steps else CanvasRowParser

    snapshot = read(
        *days, row_parser=parser, skip_unused=skip_unused, contract=CONTRACT
    )

    assert samples(snapshot) == naive_canvas_oracle.expected(
        document(*days),
        today=TODAY,
        timezone=OPTIONS.timezone,
        windows=OPTIONS.windows,
        subject={"workspace": "shop", "canvas": "Onboarding"},
        has_steps=has_steps,
        skip_unused=skip_unused,
        contract=CONTRACT,
    )


class NaiveMemory:
    """The days of the responses so far, as in the rules of the contract."""

    def __init__(self) -> None:
        self.rows: dict[date, Any] = {}
        self.requested: set[date] = set()
        self.shown: tuple[date, list[Any], tuple[int, ...], bool] | None = None
        """The present day, the rows and windows that are exposed, and the month."""

    def add(self, response: Any, *, today: date, request: int) -> None:
        """Note a response; request 0 has the newest 13 complete days, and today."""
        ages = range(13 * request + 1, 13 * request + 14)
        covered = {today - timedelta(days=age) for age in ages}
        self.rows = {
            day: row
            for day, row in self.rows.items()
            if day not in covered
            and (request > 0 or (day < today and day in self.requested))
        }
        days = naive_canvas_oracle.days_of(response)
        newest_age = 13 * request - 1 if request else -1
        of_newest = {
            day
            for day in self.rows
            if request and 1 <= (today - day).days <= 13 and day in self.requested
        }
        found = {
            day: row
            for day, row in naive_oracle.usable_rows(days, today).items()
            if newest_age <= (today - day).days <= 31 and day not in of_newest
        }
        oldest = today - timedelta(days=31)
        self.rows = {day: row for day, row in self.rows.items() if day >= oldest}
        self.rows |= found
        self.requested |= covered | set(found)
        self.requested = {day for day in self.requested if oldest <= day < today}
        if not request or self.shown is None or self.shown[0] == today:
            # Else the newest of the rows are of a day that had not ended.
            windows = tuple(n for n in (7, 28) if self.has_days(n, today))
            has_month = self.has_days(today.day - 1, today)
            self.shown = (today, list(self.rows.values()), windows, has_month)

    def has_days(self, window: int, today: date) -> bool:
        """Return whether so many days before today were all requested."""

        def days(window: int) -> set[date]:
            return {today - timedelta(days=age) for age in range(1, window + 1)}

        return days(window) <= self.requested | days(13)


@st.composite
def responses(draw: st.DrawFn) -> list[tuple[int, int, list[Any]]]:
    """Return (days since the start, request, rows); rows are often those of before."""
    age_of_rows = st.integers(-1, 30).map(lambda age: str(TODAY - timedelta(days=age)))
    known = draw(st.lists(data_series.canvas_rows(age_of_rows), min_size=1, max_size=6))
    at, found = 0, []
    for _ in range(draw(st.integers(1, 6))):
        at += draw(st.sampled_from([0, 0, 0, 1, 2, 15]))
        rows = draw(st.lists(st.sampled_from(known), max_size=6))
        found.append((at, draw(st.sampled_from([0, 0, 1, 2])), rows))
    return found


@pytest.mark.slow
@settings(max_examples=500)
@given(polls=responses(), has_steps=st.booleans(), skip_unused=st.booleans())
def test_remembered_days_are_exposed_as_by_the_naive_oracle(
    polls: list[tuple[int, int, list[Any]]], *, has_steps: bool, skip_unused: bool
) -> None:
    """In any order of responses, over days that begin between them."""
    parser = CanvasStepsRowParser if has_steps else CanvasRowParser
    memory, previous = NaiveMemory(), None
    for days_later, request, rows in polls:
        today = TODAY + timedelta(days=days_later - 15)
        body = body_of(document(*rows))
        options = OPTIONS._replace(
            row_parser=parser,
            today=today,
            windows=(7, 28),
            skip_unused=skip_unused,
            contract=CONTRACT,
        )

        previous = parse_part(
            body,
            options,
            older=previous.older if previous else NOTHING_OLDER,
            request=request,
            previous=previous.snapshot if previous else None,
            cached=previous.cached if previous else None,
        )

        # Decoded as the exporter does: NaN is a text.
        memory.add(body.document(), today=today, request=request)
        assert memory.shown is not None
        shown_today, shown_rows, windows, has_month = memory.shown
        assert samples(previous.snapshot) == naive_canvas_oracle.expected(
            {"data": shown_rows},
            today=shown_today,
            timezone=OPTIONS.timezone,
            windows=windows,
            subject={"workspace": "shop", "canvas": "Onboarding"},
            has_steps=has_steps,
            skip_unused=skip_unused,
            contract=CONTRACT if has_month else (),
        )


def test_a_new_name_without_numbers_is_that_of_all_days() -> None:
    """Its numbers are of earlier days only."""

    def named(name: str, **numbers: int | None) -> dict[str, Any]:
        return {
            "variant_stats": {"v": {"name": name, "entries": None, **numbers}},
            "step_stats": {"s": {**step(name, email=[numbers]), "revenue": None}},
        }

    past = {"time": "2026-11-28", **named("Old", entries=3, sent=4)}

    def body(name: str) -> Any:
        today = {"time": str(TODAY), "total_stats": {"entries": 5}, **named(name)}
        return body_of(document(past, today))

    first = parse_part(body("Old"), OPTIONS, older=NOTHING_OLDER, request=0)
    found = parse_part(
        body("New"),
        OPTIONS,
        older=first.older,
        request=0,
        previous=first.snapshot,
        cached=first.cached,
    )

    names = {part.name for part in found.snapshot.parts if part.name}
    assert names == {"New"}


@st.composite
def later_polls(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Return the responses of polls between which mostly today changes."""
    age_of_past = st.integers(1, 9).map(lambda age: str(TODAY - timedelta(days=age)))
    past = draw(st.lists(data_series.canvas_rows(age_of_past), max_size=3))
    newest = data_series.canvas_rows(st.just(str(TODAY)))
    own = draw(newest)
    found = []
    for _ in range(3):
        own = draw(st.just(own) | newest)
        for group in ("variant_stats", "step_stats"):
            named = own.get(group)
            for one in named.values() if isinstance(named, dict) else ():
                if isinstance(one, dict):
                    one["name"] = draw(st.sampled_from(["A", "B"]))
        if isinstance(total := own.get("total_stats"), dict):
            total |= {name: draw(st.integers(0, 3)) for name in total}
        found.append(document(*past, json.loads(json.dumps(own))))
    return found


@given(polls=later_polls(), has_steps=st.booleans(), skip_unused=st.booleans())
def test_new_figures_of_today_are_exposed_as_by_the_naive_oracle(
    polls: list[dict[str, Any]], *, has_steps: bool, skip_unused: bool
) -> None:
    parser = CanvasStepsRowParser if has_steps else CanvasRowParser
    options = OPTIONS._replace(row_parser=parser, skip_unused=skip_unused)
    previous = None
    for one in polls:
        body = body_of(one)
        previous = parse_part(
            body,
            options,
            older=previous.older if previous else NOTHING_OLDER,
            request=0,
            previous=previous.snapshot if previous else None,
            cached=previous.cached if previous else None,
        )

        assert samples(previous.snapshot) == naive_canvas_oracle.expected(
            body.document(),
            today=TODAY,
            timezone=OPTIONS.timezone,
            windows=OPTIONS.windows,
            subject={"workspace": "shop", "canvas": "Onboarding"},
            has_steps=has_steps,
            skip_unused=skip_unused,
        )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=20,
)


@given(
    JSON
    | st.fixed_dictionaries({"data": JSON | st.fixed_dictionaries({"stats": JSON})})
)
def test_any_json_gives_a_snapshot_or_malformed_series(document: object) -> None:
    message = ""
    try:
        samples(parse(document, OPTIONS))
    except MalformedSeries as error:
        message = str(error)

    assert message.isprintable()


@pytest.mark.parametrize(
    "data", [None, {}, [], {"stats": None}, {"stats": []}, {"name": "Onboarding"}]
)
def test_a_canvas_without_figures_has_no_days(data: object) -> None:
    snapshot = parse({"message": "success", "data": data}, OPTIONS)

    assert (snapshot.latest, snapshot.parts) == (None, ())


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"message": "success"}, "data is missing, expected an object with stats"),
        ({"data": 5}, "data is a number, expected a list of days"),
        ({"data": {"stats": {}}}, "data.stats is an object, expected a list of days"),
        ({"message": "no", "data": {}}, 'message is "no", expected success'),
        ([], "the body is a list, expected an object"),
    ],
)
def test_another_document_is_malformed(body: object, message: str) -> None:
    with pytest.raises(MalformedSeries) as error:
        parse(body, OPTIONS)

    assert str(error.value) == message


def test_messages_are_added_up_per_channel() -> None:
    first = step(email=[{"sent": 5, "opens": 1}, {"sent": 2}], sms=[{"sent": 1}])
    second = step("Nudge", email=[{"sent": 10}], sms=[])
    day = {"time": "2026-11-29", "step_stats": {"s-1": first, "s-2": second}}

    found = read(day)

    assert values(found, "daily") == {
        ("email", "sent"): 17,
        ("email", "opens"): 1,
        ("sms", "sent"): 1,
    }
    assert values(found, "step_daily") == {
        ("email", "opens", "Welcome"): 1,
        ("email", "sent", "Welcome"): 7,
        ("sms", "sent", "Welcome"): 1,
        ("email", "sent", "Nudge"): 10,
    }


def test_without_steps_the_sum_stays() -> None:
    day = {"time": "2026-11-29", "step_stats": {"s-1": step(email=[{"sent": 5}])}}

    found = read(day, row_parser=CanvasRowParser)

    assert values(found, "daily") == {("email", "sent"): 5}
    assert values(found, "step_daily") == values(found, "step_info") == {}


def test_a_step_is_known_by_its_id() -> None:
    """The newest name is that of all days; equal names get a part of the id."""
    old = {"time": "2026-11-28", "step_stats": {"s-1": {"name": "Old", "revenue": 1.5}}}
    new = {
        "time": "2026-11-29",
        "step_stats": {
            "s-1": {"name": "Hello", "revenue": 2.5},
            "abcdefgh-2": {"name": "Twin", "revenue": 3.5},
            "ijklmnop-3": {"name": "Twin", "revenue": 4.5},
            "s-4": {"revenue": 5.5},
        },
    }

    found = read(old, new)

    assert values(found, "step_overall_trailing") == {
        ("revenue", "Hello", "1d"): 1.5,
        ("revenue", "Hello", "7d"): 1.5,
    }
    assert set(values(found, "step_info")) == {
        ("Hello", "s-1"),
        ("Twin (abcdefgh)", "abcdefgh-2"),
        ("Twin (ijklmnop)", "ijklmnop-3"),
        ("s-4", "s-4"),
    }


@pytest.mark.parametrize(
    ("day", "is_counted"),
    [
        ({"total_stats": {"entries": 1}}, True),
        ({"total_stats": {"entries": 0, "revenue": 5.0, "conversions": 2}}, False),
        ({"step_stats": {"s": step(email=[{"sent": 0, "opens": 3}])}}, True),
        ({"step_stats": {"s": step(email=[{"sent": 0}])}}, False),
        ({"step_stats": {"s": {"messages": None}}, "total_stats": None}, False),
        ({}, False),
    ],
)
def test_entries_and_messages_make_a_canvas_active(
    day: dict[str, Any], *, is_counted: bool
) -> None:
    assert CanvasRowParser.has_count(day) is is_counted


def test_more_than_100000_entries_are_malformed() -> None:
    steps = {f"s-{n}": step(email=[{"sent": 1}] * 99) for n in range(1000)}
    most = {"time": "2026-11-29", "step_stats": steps}
    read(most, series_limit=10)

    one_more = {"time": "2026-11-28", "variant_stats": {"v": {}}}
    with pytest.raises(MalformedSeries, match="more than 100000 entries"):
        read(most, one_more)


def test_a_step_is_dropped_whole_at_the_limit() -> None:
    """Its channels, its own fields and its info are kept or left out together."""
    steps = {
        f"s-{n}": {
            **step(f"S{n}", email=[{"sent": 1}], sms=[{"sent": 1}]),
            "revenue": 1,
        }
        for n in range(3)
    }
    day = {"time": "2026-11-29", "total_stats": {"entries": 1}, "step_stats": steps}
    shown = 5 + 1 + 1 + 2  # status, the day, entries, two channels

    found = read(day, series_limit=shown + 2 * 4 + 3)

    assert set(values(found, "step_info")) == {("S0", "s-0"), ("S1", "s-1")}
    assert found.dropped_series == 4


@pytest.mark.parametrize("excluded", [(), ("sms",)])
def test_a_field_in_use_in_a_part_that_is_not_exposed_is_exposed(
    excluded: tuple[str, ...],
) -> None:
    """Without steps of a canvas, or of a channel that is not selected."""
    used = step(email=[{"sent": 0, "bounces": 0}], sms=[{"sent": 4, "bounces": 0}])
    day = {
        "time": str(TODAY),
        "total_stats": {"entries": 1, "conversions1": 0, "conversions2": 0},
        "step_stats": {"s": {**used, "conversions1": 1}},
    }

    found = read(
        day,
        row_parser=CanvasRowParser,
        skip_unused=True,
        channels=Selection(exclude=excluded),
    )

    assert set(values(found, "overall_daily")) == {("conversions1",), ("entries",)}
    assert values(found, "daily")["email", "sent"] == 0
    assert ("email", "bounces") not in values(found, "daily")


def test_a_field_in_use_on_a_remembered_day_is_exposed() -> None:
    """Of all parts, and by all families, from the response with that day on."""
    quiet = {
        "time": str(TODAY),
        "total_stats": {"entries": 3, "revenue": 0, "conversions1": 0},
        "variant_stats": {"v": {"name": "A", "entries": 3, "conversions1": 0}},
        "step_stats": {"s": step(email=[{"sent": 2, "bounces": 0}])},
    }
    bounced = {
        "time": str(TODAY - timedelta(days=20)),
        "total_stats": {"entries": 1, "conversions1": 1},
        "step_stats": {"s": step(email=[{"sent": 1, "bounces": 1}])},
    }
    options = OPTIONS._replace(windows=(28,), skip_unused=True)

    newest = parse_part(
        body_of(document(quiet)), options, older=NOTHING_OLDER, request=0
    )
    found = parse_part(
        body_of(document(bounced)),
        options,
        older=newest.older,
        request=1,
        previous=newest.snapshot,
        cached=newest.cached,
    )

    def fields(snapshot: Snapshot) -> dict[str, set[str]]:
        shown: dict[str, set[str]] = {}
        for family, own in samples(snapshot):
            if "metric" in dict(own) and family.endswith("daily"):
                shown.setdefault(family, set()).add(dict(own)["metric"])
        return shown

    assert fields(newest.snapshot) == {
        "braze_canvas_daily": {"sent"},
        "braze_canvas_overall_daily": {"entries"},
        "braze_canvas_variant_daily": {"entries"},
        "braze_canvas_step_daily": {"sent"},
    }
    assert fields(found.snapshot) == {
        "braze_canvas_daily": {"sent", "bounces"},
        "braze_canvas_overall_daily": {"entries", "conversions1"},
        "braze_canvas_variant_daily": {"entries", "conversions1"},
        "braze_canvas_step_daily": {"sent", "bounces"},
    }


def day_of(age: int, *, sent: int) -> dict[str, Any]:
    return {
        "time": str(TODAY - timedelta(days=age)),
        "total_stats": {"entries": sent},
        "step_stats": {"s": step(email=[{"sent": sent}])},
    }


def newest_response(*, sent_today: int) -> dict[str, Any]:
    past = (day_of(age, sent=10) for age in range(13, 0, -1))
    return document(*past, day_of(0, sent=sent_today))


def test_new_numbers_of_today_reuse_the_snapshot() -> None:
    """They are remembered: an older response does not bring back those before."""

    def parsed(document: Any, before: ParsedDocument | None, request: int = 0) -> Any:
        return parse_part(
            body_of(document),
            OPTIONS._replace(windows=(7, 20)),
            older=before.older if before else NOTHING_OLDER,
            request=request,
            previous=before.snapshot if before else None,
            cached=before.cached if before else None,
        )

    first = parsed(newest_response(sent_today=1), None)
    second = parsed(newest_response(sent_today=2), first)
    older = document(*(day_of(age, sent=10) for age in range(26, 12, -1)))
    third = parsed(older, second, request=1)
    same = parsed(older, third, request=1)
    fourth = parsed(newest_response(sent_today=3), same)

    found = (first, second, third, same, fourth)
    assert [one.is_reused for one in found] == [False, True, False, True, True]
    assert same.snapshot == third.snapshot
    for one, sent in ((first, 1), (second, 2), (third, 2), (fourth, 3)):
        assert values(one.snapshot, "daily") == {("email", "sent"): sent}
    for one in (third, fourth):
        trailing = values(one.snapshot, "trailing")
        assert trailing == {("email", "sent", "20d"): 200, ("email", "sent", "7d"): 70}


def test_a_snapshot_is_not_reused_while_no_day_is_remembered() -> None:
    """As after a change of the account: a sum over its days needs all of them."""
    first = parse_part(
        body_of(newest_response(sent_today=1)), OPTIONS, older=NOTHING_OLDER, request=0
    )

    found = parse_part(
        body_of(newest_response(sent_today=2)),
        OPTIONS,
        older=NOTHING_OLDER,
        request=0,
        previous=first.snapshot,
        cached=first.cached,
    )

    assert not found.is_reused
    assert len(found.older.rows) == 14
