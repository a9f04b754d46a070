"""The days and hours that a request is about."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from exporter.simulator.local_days import LocalDays
from exporter.simulator.parameters import ApiError, Parameters

LENGTHS = range(1, 101)
"""Of all series but those of canvases, in days or hours."""
_HOUR_SECONDS = 3600


class Period(NamedTuple):
    """One day or hour."""

    time: str
    """As in a row: the date, or the start of the hour with its offset."""
    day: date
    begin: float
    """The part of the day before the period, from 0 to 1."""
    end: float
    """The part of the day until its end, or until now."""


def last_day(
    parameters: Parameters, days: LocalDays, *, latest: float | None = None
) -> date:
    """Return the last day before `ending_at`, which is at most `latest`."""
    end = parameters.instant("ending_at", days.zone)
    try:
        if latest is not None and end.timestamp() > latest:
            raise ApiError(400, "ending_at must not be in the future")
        return days.last_before(end)
    except OverflowError:
        raise out_of_range() from None


def days_before(day: date, days: int) -> date:
    """Return the day so many days earlier. ApiError: there is none."""
    try:
        return day - timedelta(days=days)
    except OverflowError:
        raise out_of_range() from None


def out_of_range() -> ApiError:
    """Return the error of a time that no calendar has."""
    return ApiError(400, "ending_at is outside of the calendar")


def days_until_now(
    parameters: Parameters, days: LocalDays, now: float
) -> tuple[date, date]:
    """Return the first and the last day of a request, at most today."""
    length = parameters.within("length", LENGTHS)
    last = days.day_of(now)
    if "ending_at" in parameters:
        last = min(last_day(parameters, days), last)
    return days_before(last, length - 1), last


def of_days(parameters: Parameters, days: LocalDays, now: float) -> Iterator[Period]:
    """Yield the days of a request, ascending."""
    first, last = days_until_now(parameters, days, now)
    today = days.day_of(now)
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        end = days.progress(now) if day == today else 1.0
        yield Period(day.isoformat(), day, 0.0, end)


def of_hours(parameters: Parameters, days: LocalDays, now: float) -> Iterator[Period]:
    """Yield the hours of a request, ascending; the last one may not be over."""
    length = parameters.within("length", LENGTHS)
    until = now
    if "ending_at" in parameters:
        end = parameters.instant("ending_at", days.zone)
        # Of an hour that ends here nothing is in the next one.
        until = min(end.timestamp() - 1e-6, now)
    local = _local(until, days)
    last = until - local.minute * 60 - local.second - local.microsecond / 1e6
    for back in reversed(range(length)):
        start = round(last - back * _HOUR_SECONDS)
        local = _local(start, days)
        day = local.date()
        over_at = min(start + _HOUR_SECONDS, now)
        yield Period(
            local.isoformat(timespec="seconds"),
            day,
            days.progress(start),
            days.progress(over_at) if days.day_of(over_at) == day else 1.0,
        )


def _local(at: float, days: LocalDays) -> datetime:
    try:
        return datetime.fromtimestamp(at, UTC).astimezone(days.zone)
    except (ValueError, OverflowError, OSError):
        raise out_of_range() from None
