"""The days of an object that one request does not cover, remembered between polls.

A request for a canvas covers 14 days. Older days are requested a few times a day, and
each day that leaves the newest request is remembered, so that a new day needs no
further request.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from math import ceil
from typing import NamedTuple

from exporter.model.errors import MalformedSeries
from exporter.model.json_values import instant, items, mapping, text
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
    requested: frozenset[date] = frozenset()
    """The days that were requested, with or without a row."""
    read_at: float = 0.0
    """When all older days were last read, by the wall clock; 0: never."""


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
    """Remember the days of a response; those older than `days` are forgotten.

    A day that the response covers and has no row for is forgotten, too.
    `MalformedSeries`: a row cannot be remembered.
    """
    first = today - timedelta(days=days)
    sure = set(sure_days(today, request))
    known = rows_of(older)
    found = {
        day: row
        for day, row in known.items()
        if day not in sure and (request or day < today)
    } | dict(rows)
    kept = {day: row for day, row in found.items() if day >= first}
    try:
        packed = _packed(kept)
    except RecursionError:
        message = "a day of data.stats is nested too deeply"
        raise MalformedSeries(message) from None
    return older._replace(
        rows=packed,
        requested=frozenset(
            day for day in {*older.requested, *sure, *kept} if day >= first
        ),
    )


def rows_of(older: OlderDays) -> Mapping[date, Row]:
    """Return the remembered rows, the newest request's among them."""
    if not older.rows:
        return {}
    rows = json.loads(zlib.decompress(older.rows))
    return {date.fromisoformat(day): row for day, row in rows.items()}


def windows_requested(
    windows: Iterable[int], older: OlderDays, *, today: date
) -> tuple[int, ...]:
    """Return the windows all of whose days were requested."""
    requested = {*older.requested, *sure_days(today, 0)}
    return tuple(
        window
        for window in windows
        if all(today - timedelta(days=age) in requested for age in range(1, window + 1))
    )


def is_due(
    older: OlderDays, windows: Sequence[int], *, today: date, now: float
) -> bool:
    """Return whether older days are to be requested; `now` is by the wall clock."""
    if not requests_needed(windows):
        return False
    is_known = windows_requested(windows, older, today=today) == tuple(windows)
    return not is_known or not 0 <= now - older.read_at < REREAD_SECONDS


def _packed(rows: Mapping[date, Row]) -> bytes:
    by_day = {day.isoformat(): row for day, row in sorted(rows.items())}
    return zlib.compress(json.dumps(by_day).encode()) if by_day else b""


def dump(older: OlderDays) -> dict[str, object] | None:
    """Return remembered days as a JSON document; None: there are none."""
    if older == NOTHING_OLDER:
        return None
    return {
        "rows": {str(day): row for day, row in rows_of(older).items()},
        "requested": sorted(map(str, older.requested)),
        "read_at": older.read_at,
    }


def parse(document: object) -> OlderDays:
    """Return the days of a document of `dump`; ValueError: another document."""
    if document is None:
        return NOTHING_OLDER
    try:
        fields = mapping(document)
        rows = {
            date.fromisoformat(day): mapping(row)
            for day, row in mapping(fields["rows"]).items()
        }
        requested = frozenset(
            map(date.fromisoformat, map(text, items(fields["requested"])))
        )
        return OlderDays(_packed(rows), requested, instant(fields["read_at"]))
    except (KeyError, TypeError) as error:
        message = "not remembered days as this version writes them"
        raise ValueError(message) from error
