"""Days of the workspace's time zone."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo


class LocalDays:
    """The calendar of one time zone."""

    def __init__(self, zone: ZoneInfo) -> None:
        self.zone = zone

    def day_of(self, now: float) -> date:
        """Return the day of a time in seconds since the epoch."""
        return datetime.fromtimestamp(now, self.zone).date()

    def last_before(self, end: datetime) -> date:
        """Return the last day of a series that ends here.

        A midnight belongs to the day before: recorded responses to
        `ending_at=2022-12-15` end with the 14th. OverflowError: there is no such day.
        """
        return (end - timedelta(microseconds=1)).astimezone(self.zone).date()

    def progress(self, now: float) -> float:
        """Return the elapsed part of the day, also for days of 23 and 25 hours."""
        today = self.day_of(now)
        start = self._midnight(today)
        return (now - start) / (self._midnight(today + timedelta(days=1)) - start)

    def _midnight(self, day: date) -> float:
        return datetime.combine(day, time(), self.zone).timestamp()
