"""How a history is asked for and sampled: pages of days, and the instants of a day.

Every function answers from its arguments alone. It knows neither documents nor lines
nor what a request costs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from math import ceil, floor
from zoneinfo import ZoneInfo

from exporter.series.days import start_of_day

MOST_DAYS = 3650
HEAD_SECONDS = 3 * 3600.0
"""Prometheus holds so much in its head, where no block may reach into."""

FINEST_SECONDS = 300.0
"""Prometheus shows a sample for five minutes: at this step a series has no gap."""

HOUR_SECONDS = 3600.0
"""Longer steps show only where a panel's own steps meet them."""

STEPS_SECONDS = (
    FINEST_SECONDS,
    *(minutes * 60.0 for minutes in (15, 30, 60, 180, 360, 720, 1440)),
)
"""What is chosen from where nothing was told; each of them parts a day."""

_PAGE_DAYS = 100
_STRIDE_DAYS = 98
"""Whether a page holds the day of its end is told by nobody: two days overlap."""

_DAY_SECONDS = 86400
_SEASONS = tuple(timedelta(days=days) for days in (-182, -91, 91, 182))
MOST_SAMPLES = 20_000_000
"""A file of some 4 GB: promtool, which is told to make long blocks, reads a year of it
eight times, within minutes."""


@dataclass(frozen=True, slots=True)
class HistoryRequest:
    """One request: at most so many days, up to that instant."""

    ending_at: str
    """UTC, as in 2026-09-01T12:00:00Z."""
    length: int


def pages(days: int, *, now: float) -> tuple[HistoryRequest, ...]:
    """Return what to ask for the last so many complete days, newest first.

    Together they hold all of them, whether Braze takes the day of `ending_at` for the
    last one or for the first that is left out, and wherever its midnight is.
    """
    wanted = days + 2  # today, and the day that a page may lack
    end = datetime.fromtimestamp(floor(now), UTC)
    return tuple(
        HistoryRequest(
            f"{end - timedelta(days=done):%Y-%m-%dT%H:%M:%SZ}",
            min(_PAGE_DAYS, wanted - done),
        )
        for done in range(0, max(1, wanted - (_PAGE_DAYS - _STRIDE_DAYS)), _STRIDE_DAYS)
    )


def first_day(days: int, *, now: float, timezone: ZoneInfo) -> date:
    """Return the oldest of the last so many complete days."""
    return today(now=now, timezone=timezone) - timedelta(days=days)


def today(*, now: float, timezone: ZoneInfo) -> date:
    """Return the date there."""
    return datetime.fromtimestamp(now, timezone).date()


def instants(
    day: date, *, timezone: ZoneInfo, step_seconds: float, until: float
) -> Iterator[int]:
    """Yield the seconds since the epoch at which this day is the last complete one.

    From the first instant of the next day on up to the day after; none is later than
    `until`. They are those at which a graph has its steps that begins at a midnight of
    the zone: in a year of summer time these are two rows, for Grafana reckons a whole
    graph by the offset of its end.
    """
    begin = start_of_day(day + timedelta(days=1), timezone)
    end = start_of_day(day + timedelta(days=2), timezone)
    # A first instant to which the clocks jump is a midnight by the offset before it.
    around = (day, day + timedelta(days=2), *(day + season for season in _SEASONS))
    found: set[int] = set()
    for offset in {_offset_seconds(each, timezone) for each in around}:
        number = ceil((begin + offset) / step_seconds)
        while (at := ceil(number * step_seconds - offset)) < end and at <= until:
            found.add(at)
            number += 1
    yield from sorted(found)


def _offset_seconds(day: date, timezone: ZoneInfo) -> float:
    """Return by how much the zone is ahead of UTC at a day's noon."""
    offset = datetime.combine(day, time(12), timezone).utcoffset()
    return offset.total_seconds() if offset else 0.0


def lines_a_day(step_seconds: float) -> float:
    """Return how many samples a day of a series has at most."""
    rows = 2 if step_seconds > HOUR_SECONDS else 1  # winter's and summer's
    return rows * _DAY_SECONDS / step_seconds


def step_for(*, series: int, days: int) -> float:
    """Return the finest step, in seconds, whose file is not too large."""
    return next(
        (
            step
            for step in STEPS_SECONDS
            if series * days * lines_a_day(step) <= MOST_SAMPLES
        ),
        STEPS_SECONDS[-1],
    )
