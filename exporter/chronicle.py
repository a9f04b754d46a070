"""How a history is asked for and sampled: pages of days, and the instants of a day.

Every function answers from its arguments alone. It knows neither documents nor lines
nor what a request costs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from math import ceil, floor
from zoneinfo import ZoneInfo

from exporter.days import starts_at

MOST_DAYS = 3650
HEAD_SECONDS = 3 * 3600.0
"""Prometheus holds so much in its head, where no block may reach into."""

FINEST_SECONDS = 300.0
"""Prometheus shows a sample for five minutes: at this step a series has no gap."""

STEPS_SECONDS = (
    FINEST_SECONDS,
    *(minutes * 60.0 for minutes in (15, 30, 60, 120, 180, 360, 720, 1440)),
)
"""What is chosen from where nothing was told; each of them parts a day."""

_PAGE_DAYS = 100
_STRIDE_DAYS = 98
"""Whether a page holds the day of its end is told by nobody: two days overlap."""

_DAY_SECONDS = 86400
# promtool makes a block of every two hours, and for each it reads the whole file.
# Measured with 2.42 on two cores.
_BLOCK_SECONDS = 0.05
_LINE_SECONDS = 0.4e-6
_BLOCKS_A_DAY = 12
_PATIENCE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Page:
    """One request: at most so many days, up to that instant."""

    ending_at: str
    """UTC, as in 2026-09-01T12:00:00Z."""
    length: int


def pages(days: int, *, now: float) -> tuple[Page, ...]:
    """Return what to ask for the last so many complete days, newest first.

    Together they hold all of them, whether Braze takes the day of `ending_at` for the
    last one or for the first that is left out, and wherever its midnight is.
    """
    wanted = days + 2  # today, and the day that a page may lack
    end = datetime.fromtimestamp(floor(now), UTC)
    return tuple(
        Page(
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

    From the first instant of the next day on, one step after another, up to the day
    after; none is later than `until`.
    """
    begin = starts_at(day + timedelta(days=1), timezone)
    end = starts_at(day + timedelta(days=2), timezone)
    number = 0
    at = ceil(begin)
    while at < end and at <= until:
        yield at
        number += 1
        at = ceil(begin + number * step_seconds)


def step_for(*, series: int, days: int) -> float:
    """Return the finest step, in seconds, whose file promtool loads within minutes."""
    return next(
        (
            step
            for step in STEPS_SECONDS
            if _loading_seconds(series=series, days=days, step_seconds=step)
            <= _PATIENCE_SECONDS
        ),
        STEPS_SECONDS[-1],
    )


def _loading_seconds(*, series: int, days: int, step_seconds: float) -> float:
    lines = series * days * _DAY_SECONDS / step_seconds
    blocks = days * min(_BLOCKS_A_DAY, _DAY_SECONDS / step_seconds)
    return blocks * (_BLOCK_SECONDS + lines * _LINE_SECONDS)
