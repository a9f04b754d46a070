"""The past of the workspace's series: what polls would have served at each time."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from exporter.metrics.series_families import WITH_HISTORY
from exporter.model.config import ObjectConfig, Selection
from exporter.model.snapshot import PastSample, Sample
from exporter.polling.kinds import SERIES, Kind
from exporter.series.parse import ParseOptions

from tests.unit.series.test_workspace_series import NEW_YORK, OPTIONS

HOUR = 3600.0
TODAY = date(2026, 3, 12)  # clocks went forward on the 8th
FIRST = date(2026, 3, 2)
FAMILIES = {one.name for one in WITH_HISTORY}
FIELDS = {
    **{one: one for one in ("dau", "mau", "sessions")},
    "purchase_revenue": "revenue",
    "purchases": "purchase_quantity",
    "segment": "size",
    "event": "count",
}
CASES = [
    (kind, unit)
    for kind in SERIES
    for unit in (("hour", "day") if kind.name == "event" else ("day",))
    if kind.name in FIELDS
]

Served = set[tuple[str, tuple[tuple[str, str], ...], float]]


def configured(unit: str) -> ObjectConfig:
    return ObjectConfig(f"{unit}/x", "x", 60.0, {"unit": unit})


def midnight(day: date, zone: ZoneInfo = NEW_YORK) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()


def rows_until(now: float, field: str, unit: str) -> list[dict[str, object]]:
    """Return the rows from the 1st of March up to the hour or day that runs."""
    today = datetime.fromtimestamp(now, NEW_YORK).date()
    days = [date(2026, 3, 1) + timedelta(days=n) for n in range(12)]
    if unit == "day":
        return [
            {"time": str(day), field: 10 * day.day + 0.5}
            for day in days
            if day <= today
        ]
    first = int(midnight(days[0]) // HOUR)
    hours = [
        datetime.fromtimestamp(n * HOUR, UTC).astimezone(NEW_YORK)
        for n in range(first, int(now // HOUR) + 1)
    ]
    return [{"time": one.isoformat(), field: one.day * one.hour} for one in hours]


def options_at(now: float) -> ParseOptions:
    today = datetime.fromtimestamp(now, NEW_YORK).date()
    return OPTIONS._replace(today=today, windows=(1, 3), now=now)


def past(
    kind: Kind, unit: str, rows: list[dict[str, object]], **changes: Any
) -> tuple[PastSample, ...]:
    history = kind.history(configured(unit))
    assert history is not None
    assert history.parser is not None
    options = options_at(midnight(TODAY) + 12 * HOUR)._replace(**changes)
    yesterday = TODAY - timedelta(days=1)
    return tuple(history.parser(rows, options, first=FIRST, last=yesterday))


def at(now: float, samples: tuple[PastSample, ...]) -> Served:
    return {
        (one.family, one.labels, value)
        for one in samples
        for (begin, end), value in one.values
        if begin <= now < end
    }


def of_samples(samples: tuple[Sample, ...]) -> Served:
    return {
        (one.family, one.labels, one.value) for one in samples if one.family in FAMILIES
    }


@pytest.mark.parametrize(
    ("kind", "unit"), CASES, ids=[f"{kind.name} {unit}" for kind, unit in CASES]
)
def test_the_past_is_what_polls_would_have_served(kind: Kind, unit: str) -> None:
    """In each half hour from the first day on whose window is complete.

    Segments have sizes of complete days only.
    """
    field = FIELDS[kind.name]
    end = midnight(TODAY) + 12 * HOUR
    found = past(kind, unit, rows_until(end, field, unit))
    parser = kind.sample_parser(configured(unit))
    assert parser is not None

    begin = midnight(FIRST + timedelta(days=3))
    until = midnight(TODAY) if kind.name == "segment" else end
    for n in range(1, int((until - begin) // HOUR * 2), 2):
        now = begin + n * HOUR / 2
        document = {"data": rows_until(now, field, unit)}
        assert at(now, found) == of_samples(parser(document, options_at(now)).samples)
    for one in found:
        spans = [span for span, _ in one.values]
        assert all(a < b for a, b in spans)
        assert all(a[1] <= b[0] for a, b in pairwise(spans))


@pytest.mark.parametrize(("kind", "unit"), CASES)
def test_a_time_without_a_number_is_absent_and_the_later_of_two_rows_counts(
    kind: Kind, unit: str
) -> None:
    """Neither days before the first one nor unusable rows are served."""
    field = FIELDS[kind.name]
    time = "T10:00:00-05:00" if unit == "hour" else ""
    rows: list[dict[str, object]] = [
        {"time": f"2026-03-01{time}", field: 7},
        {"time": f"2026-03-03{time}", field: 1},
        {"time": f"2026-03-03{time}", field: 2},
        {"time": f"2026-03-05{time}", field: None},
        {"time": "soon", field: 3},
    ]

    found = past(kind, unit, rows, windows=())

    counts = [one for one in found if not one.family.endswith("_seconds")]
    assert [[value for _, value in one.values] for one in counts] == [[2]]


def test_counts_that_are_not_selected_have_no_past() -> None:
    (dau,) = (kind for kind in SERIES if kind.name == "dau")
    rows = rows_until(midnight(TODAY), "dau", "day")

    assert past(dau, "day", rows, metrics=Selection(exclude=("dau",))) == ()


def test_only_lists_of_the_future_and_of_syncs_have_no_history() -> None:
    without = [kind.name for kind in SERIES if kind.history(configured("day")) is None]

    assert without == ["broadcasts", "data_ingestion"]
