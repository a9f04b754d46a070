"""Parses `/events/data_series`: how often a custom event was counted by hour or day.

A row of the hour or day that is not over is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from exporter.model.json_values import is_number
from exporter.model.snapshot import PastSample, Sample, Snapshot, Span
from exporter.series import samples
from exporter.series.days import (
    instant_of,
    parse_date,
    parse_time,
    span_of_day,
    start_of_day,
)
from exporter.series.parse import ParseOptions, complete_dates
from exporter.series.rows import Row, items_of, usable_rows
from exporter.series.workspace_totals import is_ignored

_COUNT = "braze_event_count"
_TIMESTAMP = "braze_event_timestamp_seconds"
_HOUR = timedelta(hours=1)
_HOUR_SECONDS = 3600.0
_LATEST_SECONDS = 86400.0
"""Rows that begin later than so long from now are skipped."""


def parse_hours(document: object, options: ParseOptions) -> Snapshot:
    """Return the count of the newest hour that is over and has one."""
    hours, skipped_rows = _hours(
        items_of(document, expected="a list of hours"), options
    )
    past = [(at, row) for at, (over_at, row) in hours.items() if over_at <= options.now]
    rows = [row for _, row in hours.values()]
    return _snapshot(
        sorted(past, reverse=True, key=_start), rows, options, skipped_rows
    )


def parse_days(document: object, options: ParseOptions) -> Snapshot:
    """Return the count of the newest day that is over and has one."""
    days = items_of(document, expected="a list of days")
    rows, skipped_rows = usable_rows(days, options.today)
    past = [
        (start_of_day(day, options.timezone), row)
        for day, row in rows
        if day < options.today
    ]
    return _snapshot(past, [row for _, row in rows], options, skipped_rows)


def history_of_hours(
    rows: Sequence[object],
    options: ParseOptions,
    *,
    first: date,
    last: date,  # noqa: ARG001 - no sum depends on it
) -> Iterator[PastSample]:
    """Yield the counts of hours that are over, each over the hour after it."""
    begin = start_of_day(first, options.timezone)
    hours, _ = _hours(rows, options)
    past = sorted(
        (over_at, at, row)
        for at, (over_at, row) in hours.items()
        if at >= begin and over_at <= options.now and is_number(row.get("count"))
    )
    ends = [over_at for over_at, *_ in past[1:]]
    return _history(
        ((over_at, min(over_at + _HOUR_SECONDS, end)), at, row)
        for (over_at, at, row), end in zip(past, [*ends, math.inf], strict=True)
    )


def history_of_days(
    rows: Sequence[object], options: ParseOptions, *, first: date, last: date
) -> Iterator[PastSample]:
    """Yield the counts of complete days, each over the day after it."""
    found = dict(usable_rows(rows, options.today)[0])
    dates = complete_dates(found, options.today, first=first, last=last)
    return _history(
        (
            span_of_day(day + timedelta(days=1), options.timezone),
            start_of_day(day, options.timezone),
            found[day],
        )
        for day in dates
        if day in found
    )


def _history(past: Iterable[tuple[Span, float, Row]]) -> Iterator[PastSample]:
    """Yield the series of (when it was served, start, row), which ascend."""
    known = [
        (span, at, count)
        for span, at, row in past
        if span[0] < span[1] and is_number(count := row.get("count"))
    ]
    if known:
        yield PastSample(_COUNT, (), tuple((span, count) for span, _, count in known))
        yield PastSample(_TIMESTAMP, (), tuple((span, at) for span, at, _ in known))


def _start(row: tuple[float, Row]) -> float:
    return row[0]


def _snapshot(
    past: Iterable[tuple[float, Row]],
    rows: Iterable[Row],
    options: ParseOptions,
    skipped_rows: int,
) -> Snapshot:
    """Return the count of the first of the past rows that has one."""
    counts = ((at, row.get("count")) for at, row in past)
    units = [
        (
            Sample(_COUNT, (), count),
            Sample(_TIMESTAMP, (), at),
        )
        for at, count in counts
        if is_number(count)
    ]
    return samples.snapshot_of(
        units[:1],
        series_limit=options.series_limit,
        ignored_values=sum(is_ignored(row.get("count")) for row in rows),
        skipped_rows=skipped_rows,
    )


def _hours(
    items: Iterable[object], options: ParseOptions
) -> tuple[dict[float, tuple[float, Row]], int]:
    """Return start → (end, row) of each hour, and how many rows were skipped.

    Rows without a time and of hours after the next day are skipped; of two rows of one
    hour the later in the list is used.
    """
    hours: dict[float, tuple[float, Row]] = {}
    skipped = 0
    for row in items:
        span = (
            _span(row.get("time"), options.timezone) if isinstance(row, dict) else None
        )
        if (
            not isinstance(row, dict)
            or span is None
            or span[0] > options.now + _LATEST_SECONDS
        ):
            skipped += 1
        else:
            hours[span[0]] = (span[1], row)
    return hours, skipped


def _span(value: object, timezone: ZoneInfo) -> tuple[float, float] | None:
    """Return when an hour begins and ends; None: it is not an hour.

    Without an offset an hour that occurs twice, since clocks are set back, is over
    after the second time: its row may be of both.
    """
    time = None if parse_date(value) else parse_time(value)
    if time is None:
        return None
    if time.tzinfo:
        starts_at = instant_of(time)
        return None if starts_at is None else (starts_at, starts_at + _HOUR_SECONDS)
    starts_at = instant_of(time.replace(tzinfo=timezone))
    over_at = _following(time, timezone)
    if starts_at is None or over_at is None:
        return None
    return starts_at, max(over_at, starts_at + _HOUR_SECONDS)


def _following(time: datetime, timezone: ZoneInfo) -> float | None:
    try:
        return instant_of((time + _HOUR).replace(tzinfo=timezone))
    except OverflowError:
        return None
