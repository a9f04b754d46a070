"""Dates in Braze's documents, and the instants at which days begin in a time zone."""

from __future__ import annotations

import re
from bisect import bisect_left
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def parse_date(value: object) -> date | None:
    """Return the date of a text `YYYY-MM-DD`; None for any other value."""
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None


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
