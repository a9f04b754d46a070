"""Which pages a history needs, and the timestamps of a day's samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from math import ceil, floor
from zoneinfo import ZoneInfo

from exporter.model.snapshot import Span
from exporter.polling.kinds import History, utc_text
from exporter.series.days import span_of_day

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

_OVERLAP_DAYS = 2
"""Braze does not document whether a page contains the day of `ending_at`, nor in which
time zone."""

_OVERLAP_HOURS = 4
"""If Braze reads the date of `ending_at` only, ends that are whole days apart move
alike, but for the change of clocks."""

_MARGIN_DAYS = 10
"""A newest page without an end ends when it is requested, up to eight days after the
start."""

_DAY_SECONDS = 86400.0
_SEASONS = tuple(timedelta(days=days) for days in (-182, -91, 91, 182))
MAX_SAMPLES = 20_000_000
"""A file of about 4 GB, which promtool loads within minutes if blocks are long."""


@dataclass(frozen=True, slots=True)
class HistoryRequest:
    """One request: `length` days or hours up to `ending_at`."""

    ending_at: str | None
    """UTC, as in 2026-09-01T12:00:00Z; None: the time of the request."""
    length: int


def pages(days: int, *, now: float, history: History) -> tuple[HistoryRequest, ...]:
    """Return the requests for the last `days` complete days, newest first.

    Those of hours cover today's, too. All cover the days up to `sure_until` in any time
    zone, whether or not Braze includes the day of `ending_at`, and in whichever time
    zone it reads it. A page that ends in the future is refused, and one that ends now
    may lack yesterday: the newest has no end if the history needs none.
    """
    most, end = history.most, _newest_end(history, now=now)
    unit_seconds, units, overlap = _DAY_SECONDS, days, _OVERLAP_DAYS
    if history.is_hourly:
        unit_seconds, units, overlap = HOUR_SECONDS, (days + 1) * 24, _OVERLAP_HOURS
    wanted = units + overlap  # today, and the day that a page may lack
    if history.end_delay_seconds is None:
        newest = HistoryRequest(None, min(most, days + _MARGIN_DAYS))
        first_stride = most - overlap - _MARGIN_DAYS
    else:
        newest = HistoryRequest(utc_text(end), min(most, wanted))
        first_stride = most - overlap
    if newest.length < most:
        return (newest,)
    return (
        newest,
        *(
            HistoryRequest(
                utc_text(end - done * unit_seconds), min(most, wanted - done)
            )
            for done in range(first_stride, units, most - overlap)
        ),
    )


def sure_until(timezone: ZoneInfo, *, now: float, history: History) -> date:
    """Return the last complete day that the pages contain however Braze reads them.

    A page that ends now may be read in UTC and without its last day, and so lack
    yesterday in the hours in which the local date is ahead of that of UTC.
    """
    yesterday = today(now=now, timezone=timezone) - timedelta(days=1)
    if history.end_delay_seconds is None:
        return yesterday
    end = datetime.fromtimestamp(_newest_end(history, now=now), UTC)
    last = min(end.date(), end.astimezone(timezone).date())
    return min(yesterday, last - timedelta(days=1))


def _newest_end(history: History, *, now: float) -> float:
    return floor(now) - (history.end_delay_seconds or 0.0)


def today(*, now: float, timezone: ZoneInfo) -> date:
    """Return the local date."""
    return datetime.fromtimestamp(now, timezone).date()


def shown_over(day: date, timezone: ZoneInfo) -> Span:
    """Return when `day` is the last complete day: over the next day."""
    return span_of_day(day + timedelta(days=1), timezone)


def sample_times(
    span: Span, *, timezone: ZoneInfo, step_seconds: float, until: float
) -> Iterator[int]:
    """Yield the epoch seconds of the samples in a span of at most a day, ascending.

    None is later than `until`, and they are aligned to midnights of the zone like the
    steps of a graph. Grafana aligns a whole graph by the UTC offset of its end, so a
    zone with summer time has samples for both offsets.
    """
    begin, end = span
    # `begin` may be the hour to which the clocks jump: then the day before has the
    # offset by which it is a midnight.
    day = today(now=begin, timezone=timezone) - timedelta(days=1)
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
