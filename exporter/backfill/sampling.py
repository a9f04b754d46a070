"""Which pages a history needs, and the timestamps of a day's samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from math import ceil, floor
from zoneinfo import ZoneInfo

from exporter.series.days import start_of_day

MAX_DAYS = 3650
HEAD_SECONDS = 3 * 3600.0
"""Prometheus keeps the newest hours in its head block, which no block may overlap."""

HOUR_SECONDS = 3600.0
"""Longer steps are visible only where a panel's own steps meet the samples."""

STEPS_SECONDS = tuple(
    minutes * 60.0 for minutes in (5, 15, 30, 60, 180, 360, 720, 1440)
)
"""What `--step auto` chooses from; each divides a day. Prometheus shows a sample for
five minutes, so a series with the finest step has no gaps."""

_PAGE_DAYS = 100
_STRIDE_DAYS = 98
"""Braze does not document whether a page contains the day of `ending_at`, nor in which
time zone: pages overlap by two days."""

_NEWEST_STRIDE_DAYS = 88
"""The newest page ends when it is requested, up to eight days after the start."""

_MARGIN_DAYS = _STRIDE_DAYS - _NEWEST_STRIDE_DAYS

_DAY_SECONDS = 86400
_SEASONS = tuple(timedelta(days=days) for days in (-182, -91, 91, 182))
MAX_SAMPLES = 20_000_000
"""A file of about 4 GB, which promtool loads within minutes if blocks are long."""


@dataclass(frozen=True, slots=True)
class HistoryRequest:
    """One request: `length` days up to `ending_at`."""

    ending_at: str | None
    """UTC, as in 2026-09-01T12:00:00Z; None: the time of the request."""
    length: int


def pages(days: int, *, now: float) -> tuple[HistoryRequest, ...]:
    """Return the requests for the last `days` complete days, newest first.

    They cover all of these days in any time zone, whether or not Braze includes the day
    of `ending_at`, and in whichever time zone it reads it. So the newest has none: a
    page that ends in the future is refused, and one that ends now may lack yesterday.
    """
    newest = HistoryRequest(None, min(_PAGE_DAYS, days + _MARGIN_DAYS))
    wanted = days + 2  # today, and the day that a page may lack
    end = datetime.fromtimestamp(floor(now), UTC)
    if newest.length < _PAGE_DAYS:
        return (newest,)
    return (
        newest,
        *(
            HistoryRequest(
                f"{end - timedelta(days=done):%Y-%m-%dT%H:%M:%SZ}",
                min(_PAGE_DAYS, wanted - done),
            )
            for done in range(_NEWEST_STRIDE_DAYS, wanted - 2, _STRIDE_DAYS)
        ),
    )


def today(*, now: float, timezone: ZoneInfo) -> date:
    """Return the local date."""
    return datetime.fromtimestamp(now, timezone).date()


def sample_times(
    day: date, *, timezone: ZoneInfo, step_seconds: float, until: float
) -> Iterator[int]:
    """Yield the epoch seconds at which `day` is the last complete day, ascending.

    They range from the start of the next day to the start of the day after, none later
    than `until`, and are aligned to midnights of the zone like the steps of a graph.
    Grafana aligns a whole graph by the UTC offset of its end, so a zone with summer
    time has samples for both offsets.
    """
    begin = start_of_day(day + timedelta(days=1), timezone)
    end = start_of_day(day + timedelta(days=2), timezone)
    # `begin` may be the hour to which the clocks jump: then the day before has the
    # offset by which it is a midnight.
    around = (day, day + timedelta(days=2), *(day + season for season in _SEASONS))
    found: set[int] = set()
    for offset in {_offset_seconds(each, timezone) for each in around}:
        number = ceil((begin + offset) / step_seconds)
        while (at := ceil(number * step_seconds - offset)) < end and at <= until:
            found.add(at)
            number += 1
    yield from sorted(found)


def _offset_seconds(day: date, timezone: ZoneInfo) -> float:
    """Return the zone's UTC offset at a day's noon."""
    offset = datetime.combine(day, time(12), timezone).utcoffset()
    return offset.total_seconds() if offset else 0.0


def samples_per_day(step_seconds: float) -> float:
    """Return the maximum number of samples of one series' day."""
    offsets = 2 if step_seconds > HOUR_SECONDS else 1  # standard and summer time
    return offsets * _DAY_SECONDS / step_seconds


def step_for(*, series: int, days: int) -> float:
    """Return the finest step, in seconds, whose file has at most `MAX_SAMPLES`."""
    return next(
        (
            step
            for step in STEPS_SECONDS
            if series * days * samples_per_day(step) <= MAX_SAMPLES
        ),
        STEPS_SECONDS[-1],
    )
