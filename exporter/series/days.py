"""Days as Braze writes them, and when they begin in a workspace's time zone."""

from __future__ import annotations

import re
from bisect import bisect_left
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def read_date(value: object) -> date | None:
    """Return the date of a text `YYYY-MM-DD`; None for whatever else it may be."""
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None


def starts_at(day: date, timezone: ZoneInfo) -> float:
    """Return the first instant of the day there, in seconds since the epoch.

    Of a midnight that comes twice it is the first, of one that clocks skip the jump.
    """
    midnight = datetime.combine(day, time(), timezone)
    first = midnight.timestamp()
    second = midnight.replace(fold=1).timestamp()
    if second >= first:
        return first
    # Skipped: the two stand before and after the jump, which itself may begin in the
    # day before (Toronto, 1919: from 23:30 to 00:30).
    instants = range(int(second), int(first))
    return second + bisect_left(
        instants, day, key=lambda at: datetime.fromtimestamp(at, timezone).date()
    )
