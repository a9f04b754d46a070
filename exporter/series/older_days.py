"""The days of an object that one request does not cover, remembered between polls.

A request for a canvas covers 14 days. Older days are requested a few times a day, and
each day that leaves the newest request is remembered, so that a new day needs no
further request.
"""

from __future__ import annotations

import binascii
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date, timedelta
from math import ceil, floor
from typing import NamedTuple

import orjson

from exporter.model.errors import MalformedSeries
from exporter.model.json_values import instant, items, mapping, text
from exporter.series.rows import Row

DAYS_PER_REQUEST = 14
"""Braze's limit for canvases."""

SURE_DAYS = DAYS_PER_REQUEST - 1
"""Complete days that a request covers whether or not Braze includes its last day."""

REREAD_SECONDS = 6 * 3600.0
"""Braze restates past days; older ones are read again once in each such period."""


_FASTEST = 1
"""Of the levels of zlib. JSON takes a tenth at any of them."""

_MAX_BYTES = 32 * 1024 * 1024
"""Of an object's rows in a state file, which is not trusted: they are inflated
together."""


class PackedRow(NamedTuple):
    """A row of Braze as JSON."""

    digest: int
    """64 bits of the JSON under a secret of this process."""
    deflated: bytes
    size: int
    """Of the JSON."""


class OlderDays(NamedTuple):
    """The remembered days of one object."""

    rows: Mapping[date, PackedRow] = {}
    requested: frozenset[date] = frozenset()
    """The days that were requested when they were over, with or without a row."""
    read_at: float = 0.0
    """When all older days were last read, by the wall clock; 0: never."""
    failing_since: float = 0.0
    """When the first of the failed requests failed; 0: the last one succeeded."""
    failed_at: float = 0.0
    """When the last of them failed."""


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

    A day that the response covers and has no row for is forgotten, too, and with the
    newest request each that was not over when it was read. Of a response with older
    days the rows of newer ones are left out, and those of days that the newest request
    has: it may return the same bytes again, which are not parsed then.
    `MalformedSeries`: a row cannot be remembered.
    """
    first = today - timedelta(days=days)
    sure = set(sure_days(today, request))
    kept = {
        day: row
        for day, row in older.rows.items()
        if day >= first
        and day not in sure
        and (request or (day < today and day in older.requested))
    }
    newest = older.requested.intersection(sure_days(today, 0), older.rows)
    found = set()
    for day, row in rows:
        if request and (day > _last_day(today, request) or day in newest):
            continue
        if day >= first:
            kept[day] = _packed(row, older.rows.get(day))
            found.add(day)
    requested = {*older.requested, *sure, *found}
    return older._replace(
        rows=kept,
        requested=frozenset(day for day in requested if first <= day < today),
    )


def replace_row(older: OlderDays, day: date, row: Row) -> OlderDays:
    """Return the days with another row of one; `MalformedSeries`: as `merge`."""
    packed = _packed(row, older.rows.get(day))
    return older._replace(rows={**older.rows, day: packed})


def _last_day(today: date, request: int) -> date:
    """Return the last day that a request for older days may cover.

    On the day after the one that is 13 days ago if clocks were set back since.
    """
    return today - timedelta(days=request * SURE_DAYS - 1)


def rows_of(older: OlderDays) -> list[tuple[date, Row]]:
    """Return the remembered rows newest first, the newest request's among them."""
    days = sorted(older.rows.items(), reverse=True)
    return [(day, _row_of(zlib.decompress(row.deflated))) for day, row in days]


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
    older: OlderDays, windows: Sequence[int], *, today: date, now: float, phase: float
) -> bool:
    """Return whether older days are to be requested; `now` is by the wall clock.

    `phase`, in [0, 1), is the fraction of the period at which they are read again:
    objects that were first read together are not read again together. Requests that
    fail are sent again after as long as they have failed for.
    """
    if not requests_needed(windows):
        return False
    failed_for = min(older.failed_at - older.failing_since, REREAD_SECONDS)
    if older.failed_at <= now < older.failed_at + failed_for:
        return False
    is_known = windows_requested(windows, older, today=today) == tuple(windows)
    began_at = (floor(now / REREAD_SECONDS - phase) + phase) * REREAD_SECONDS
    return not is_known or not began_at <= older.read_at <= now


def read(older: OlderDays, *, now: float) -> OlderDays:
    """Return the days once all requests for them succeeded."""
    return older._replace(read_at=now, failing_since=0.0, failed_at=0.0)


def failed(older: OlderDays, *, now: float) -> OlderDays:
    """Return the days after a request for some of them failed."""
    return older._replace(failing_since=older.failing_since or now, failed_at=now)


def set_clock(older: OlderDays, *, shift: float) -> OlderDays:
    """Return the days with their instants after the wall clock was set."""

    def shifted(at: float) -> float:
        return at + shift if at else at

    return older._replace(
        read_at=shifted(older.read_at),
        failing_since=shifted(older.failing_since),
        failed_at=shifted(older.failed_at),
    )


def _packed(row: Row, known: PackedRow | None) -> PackedRow:
    """Return a row as JSON, or the known one if that is the same."""
    try:
        content = orjson.dumps(row)
    except TypeError:  # a text that is not Unicode
        try:
            content = json.dumps(row).encode()
        except RecursionError:
            message = "a day of data.stats is nested too deeply"
            raise MalformedSeries(message) from None
    digest = hash(content)
    if known and known.digest == digest:
        return known
    return PackedRow(digest, zlib.compress(content, _FASTEST), len(content))


def _row_of(content: bytes) -> Row:
    with suppress(orjson.JSONDecodeError):
        return mapping(orjson.loads(content))
    return mapping(json.loads(content))


def dump(older: OlderDays) -> dict[str, object] | None:
    """Return remembered days as a JSON document; None: there are none.

    The oldest days are left out beyond what `parse` accepts, and requested again.
    """
    if older == NOTHING_OLDER:
        return None
    older = _with_newest(older)
    return {
        "rows": {
            str(day): binascii.b2a_base64(row.deflated, newline=False).decode()
            for day, row in older.rows.items()
        },
        "requested": sorted(map(str, older.requested)),
        "read_at": older.read_at,
    }


def _with_newest(older: OlderDays) -> OlderDays:
    room = _MAX_BYTES
    for day, row in sorted(older.rows.items(), reverse=True):
        room -= row.size
        if room < 0:
            return older._replace(
                rows={one: row for one, row in older.rows.items() if one > day},
                requested=frozenset(one for one in older.requested if one > day),
            )
    return older


def parse(document: object) -> OlderDays:
    """Return the days of a document of `dump`; ValueError: another document."""
    if document is None:
        return NOTHING_OLDER
    try:
        fields = mapping(document)
        rows, room = {}, _MAX_BYTES
        for day, row in mapping(fields["rows"]).items():
            content, rows[date.fromisoformat(day)] = _parse_row(text(row), room)
            room -= len(content)
        requested = frozenset(
            map(date.fromisoformat, map(text, items(fields["requested"])))
        )
        return OlderDays(rows, requested, instant(fields["read_at"]))
    except (KeyError, TypeError, RecursionError) as error:
        message = "not remembered days as this version writes them"
        raise ValueError(message) from error


def _parse_row(encoded: str, room: int) -> tuple[bytes, PackedRow]:
    deflated = binascii.a2b_base64(encoded, strict_mode=True)
    inflate = zlib.decompressobj()
    try:
        content = inflate.decompress(deflated, room + 1)  # 0 would be without a limit
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not inflate.eof or inflate.unused_data or len(content) > room:
        message = f"expected whole rows of at most {_MAX_BYTES >> 20} MiB"
        raise ValueError(message)
    _row_of(content)
    return content, PackedRow(hash(content), deflated, len(content))
