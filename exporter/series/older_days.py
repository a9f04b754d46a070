"""The days of an object that one request does not reach, remembered between polls.

A request for a canvas covers 14 days. Older days are asked for a few times a day, and
each day that leaves the newest request is remembered, so that a new day needs no
request of its own.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from math import ceil
from typing import NamedTuple

from exporter.series.rows import Row

DAYS_PER_REQUEST = 14
"""Braze's limit for canvases."""

SURE_DAYS = DAYS_PER_REQUEST - 1
"""Complete days that a request covers whether or not Braze includes its last day."""

REREAD_SECONDS = 6 * 3600.0
"""Braze restates past days; older ones are read again this often."""


class OlderDays(NamedTuple):
    """The remembered days of one object."""

    rows: bytes = b""
    """Rows of Braze as JSON, compressed; they take up to a tenth."""
    asked: frozenset[date] = frozenset()
    """The days that were asked for, with or without a row."""
    read_at: float = 0.0
    """When the older days were last read, by the wall clock; 0: never."""
    merged_on: date | None = None
    """The day on which the newest request was last merged."""


NOTHING_OLDER = OlderDays()


def requests_needed(windows: Iterable[int]) -> int:
    """Return how many requests beside the newest one cover the longest window."""
    return max(ceil(max(windows, default=0) / SURE_DAYS) - 1, 0)


def sure_days(today: date, request: int) -> Iterable[date]:
    """Return the days that a request certainly covers; 0 is the newest request."""
    first_age = request * SURE_DAYS + 1
    ages = range(first_age, first_age + SURE_DAYS)
    return (today - timedelta(days=age) for age in ages)


def merge(
    older: OlderDays,
    rows: Iterable[tuple[date, Row]],
    *,
    today: date,
    request: int,
    days: int,
) -> OlderDays:
    """Remember the complete days of a response; days older than `days` are forgotten.

    Rows of the newest response are older by a few hours at most when they leave it.
    """
    first = today - timedelta(days=days)
    found = {
        day: row
        for day, row in (*rows_of(older).items(), *rows)
        if first <= day < today
    }
    asked = {*older.asked, *sure_days(today, request), *found}
    return older._replace(
        rows=_packed(found),
        asked=frozenset(day for day in asked if first <= day < today),
        merged_on=today if request == 0 else older.merged_on,
    )


def rows_of(older: OlderDays) -> Mapping[date, Row]:
    """Return the remembered rows."""
    if not older.rows:
        return {}
    rows = json.loads(zlib.decompress(older.rows))
    return {date.fromisoformat(day): row for day, row in rows.items()}


def windows_asked(
    windows: Iterable[int], older: OlderDays, *, today: date
) -> tuple[int, ...]:
    """Return the windows all of whose days were asked for."""
    asked = {*older.asked, *sure_days(today, 0)}
    return tuple(
        window
        for window in windows
        if all(today - timedelta(days=age) in asked for age in range(1, window + 1))
    )


def _packed(rows: Mapping[date, Row]) -> bytes:
    by_day = {day.isoformat(): row for day, row in sorted(rows.items())}
    return zlib.compress(json.dumps(by_day).encode()) if by_day else b""
