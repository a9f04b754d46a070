"""Dates and instants in Braze's documents, and when days begin in a time zone."""

from __future__ import annotations

import re
from bisect import bisect_left
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from exporter.model.snapshot import Span

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_ZONE = re.compile(r" (?:UTC|GMT|([+-][0-9]{2}:?[0-9]{2}))$")


def parse_date(value: object) -> date | None:
    """Return the date of a text `YYYY-MM-DD`; None for any other value."""
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None


def parse_instant(value: object, timezone: ZoneInfo) -> float | None:
    """Return an instant in seconds since the epoch; None for another value.

    It is a text of ISO 8601 with a time, also as Ruby writes it, with ` UTC` or a
    space before the offset; without an offset it is in `timezone`.
    """
    found = parse_time(value)
    if found is None:
        return None
    return instant_of(found if found.tzinfo else found.replace(tzinfo=timezone))


def parse_time(value: object) -> datetime | None:
    """Return the date and time of such a text, with its offset if it has one."""
    if not isinstance(value, str) or len(value) <= len("2026-01-31"):
        return None
    text = _ZONE.sub(lambda found: found[1] or "Z", value)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def instant_of(time: datetime) -> float | None:
    """Return the instant of a time with an offset; None: beyond the calendar."""
    try:
        return time.timestamp()
    except (ValueError, OverflowError):
        return None


def span_of_day(day: date, timezone: ZoneInfo) -> Span:
    """Return when the day begins and ends there."""
    next_day = day + timedelta(days=1)
    return start_of_day(day, timezone), start_of_day(next_day, timezone)


def start_of_day(day: date, timezone: ZoneInfo) -> float:
    """Return the first instant of the day there, in seconds since the epoch.

    If midnight occurs twice, it is the first one; if clocks skip it, the jump.
    """
    midnight = datetime.combine(day, time(), timezone)
    first = midnight.timestamp()
    second = midnight.replace(fold=1).timestamp()
    if second >= first:
        return first
    # Skipped: `second` and `first` lie before and after the jump, which can begin on
    # the day before (Toronto, 1919: from 23:30 to 00:30).
    instants = range(int(second), int(first))
    return second + bisect_left(
        instants, day, key=lambda at: datetime.fromtimestamp(at, timezone).date()
    )
