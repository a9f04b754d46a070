"""Parses a document of which only the newest day changed since the previous one.

The previous snapshot is reused with new figures of today, which gives the same snapshot
as `parse.parse` in a fraction of its time: no other row is decoded.
"""

from __future__ import annotations

from datetime import date
from math import ceil
from typing import NamedTuple

from exporter.model.snapshot import Day, Part, Snapshot, Stats
from exporter.series import month_to_date, older_days, recent_days, row_place
from exporter.series.older_days import NOTHING_OLDER, SURE_DAYS, OlderDays
from exporter.series.parse import (
    ParseOptions,
    activity,
    past_day,
    row_parser_of,
    rows_of,
    snapshot_of,
)
from exporter.series.row_place import ResponseBody, RowPlace
from exporter.series.rows import DocumentRows, Row


class NewestDay(NamedTuple):
    """Of the previous document, in which all days but one are over."""

    place: RowPlace
    shape: int
    """Of the row without numbers; with the fields in use, if others are left out."""
    others_are_quiet: bool
    others_are_active: bool
    """As `parse.activity` has it."""


class CachedDocument(NamedTuple):
    """What has to be equal for the previous snapshot to be reused."""

    options: ParseOptions
    newest: NewestDay | None
    """None: the next document is parsed as a whole."""


class ParsedDocument(NamedTuple):
    """A snapshot; a reused one has new figures of the latest day only."""

    snapshot: Snapshot
    cached: CachedDocument
    is_reused: bool
    older: OlderDays = NOTHING_OLDER
    """The remembered days, those of the document included, if it has not all days."""
    pages: object = None
    """The document, if it may have further pages."""


def parse(
    body: ResponseBody,
    options: ParseOptions,
    *,
    previous: Snapshot | None = None,
    cached: CachedDocument | None = None,
) -> ParsedDocument:
    """Parse a response of Braze; `MalformedSeries`: it is not a data series.

    `previous` and `cached` are of the document before.
    """
    if options.sample_parser is not None:
        return parse_samples(body.document(), options)
    if reused := _reused(body, options, previous, cached):
        return reused.document
    rows = rows_of(body.document(), options)
    return _parsed(rows, options, previous, _place(body, rows, options))


def parse_samples(document: object, options: ParseOptions) -> ParsedDocument:
    """Parse a document, or several as one, with the `sample_parser` of the options."""
    assert options.sample_parser is not None  # noqa: S101 - for the reader of types
    snapshot = options.sample_parser(document, options)
    return ParsedDocument(snapshot, CachedDocument(options, None), is_reused=False)


def parse_part(
    body: ResponseBody,
    options: ParseOptions,
    *,
    older: OlderDays,
    request: int,
    previous: Snapshot | None = None,
    cached: CachedDocument | None = None,
) -> ParsedDocument:
    """Parse a response with a part of the days, together with the remembered days.

    Of the windows those are left out of which a day was never requested. If another
    day began since the newest request, older days are remembered only: the row of the
    day before is not of the whole day.
    """
    if older.requested and not request:
        requested = with_windows_requested(options, older)
        if reused := _reused(body, requested, previous, cached):
            renewed = older_days.replace_row(older, reused.day, reused.row)
            return reused.document._replace(older=renewed)
    rows = rows_of(body.document(), options)
    days = max((*options.look_back, SURE_DAYS)) + 1
    merged = older_days.merge(
        older, rows.rows, today=options.today, request=request, days=days
    )
    place = None if request else _place(body, rows, options)
    requested = with_windows_requested(options, merged)
    if request and previous and cached:
        is_known = merged.rows == older.rows and cached.options == requested
        if is_known or cached.options.today != options.today:
            return ParsedDocument(previous, cached, is_reused=True, older=merged)
        place = cached.newest and cached.newest.place
    # The remembered rows; those of the response are among them.
    rows.rows[:] = older_days.rows_of(merged)
    rows.parser.responses = ceil(len(rows.rows) / SURE_DAYS)
    return _parsed(rows, requested, previous, place)._replace(older=merged)


def _place(
    body: ResponseBody, rows: DocumentRows, options: ParseOptions
) -> RowPlace | None:
    """Return the place of the one day that is not over, if all others are."""
    if sum(day >= options.today for day, _ in rows.rows) != 1:
        return None
    return row_place.find(body.content, rows.rows[0][1])


def with_windows_requested(options: ParseOptions, older: OlderDays) -> ParseOptions:
    """Return the options without windows of which a day was never requested.

    Without the contract, too, if that is a day of the month.
    """
    today = options.today
    windows = older_days.windows_requested(options.windows, older, today=today)
    of_month = (month_to_date.past_days(today),) if options.contract else ()
    is_whole = older_days.windows_requested(of_month, older, today=today)
    return options._replace(
        windows=windows, contract=options.contract if is_whole else ()
    )


class _Reused(NamedTuple):
    """A reused snapshot, and the row with its new figures."""

    document: ParsedDocument
    day: date
    row: Row


def _reused(
    body: ResponseBody,
    options: ParseOptions,
    previous: Snapshot | None,
    cached: CachedDocument | None,
) -> _Reused | None:
    """Return the previous snapshot with the newest day's figures; None: more is new."""
    if previous is None or previous.latest is None or cached is None:
        return None
    known = cached.newest
    if known is None or cached.options != options:
        return None
    row = row_place.row_at(known.place, body)
    rows = DocumentRows([row], options.today, row_parser_of(options))
    if row is None or not rows.rows:
        return None
    newest = _NewestRow(rows, options)
    if newest.shape != known.shape:
        return None
    snapshot = newest.replaced_in(previous, previous.latest)
    if snapshot is None:
        return None
    is_counted = rows.parser.has_count(row)
    snapshot = snapshot._replace(
        is_quiet=known.others_are_quiet and not is_counted,
        is_active=known.others_are_active or is_counted,
    )
    document = ParsedDocument(snapshot, cached, is_reused=True)
    return _Reused(document, newest.day, row)


def _parsed(
    rows: DocumentRows,
    options: ParseOptions,
    previous: Snapshot | None,
    place: RowPlace | None,
) -> ParsedDocument:
    """Return the snapshot of all rows; `place` is that of the newest."""
    newest = None
    if place is not None:
        shape = _NewestRow(rows, options).shape
        others = activity(rows.rows[1:], rows.parser, options)
        newest = NewestDay(place, shape, *others)
    first_complete = previous.first_complete if previous else None
    snapshot = snapshot_of(rows, options, first_complete)
    return ParsedDocument(snapshot, CachedDocument(options, newest), is_reused=False)


class _NewestRow:
    """The row of the newest day, which is parsed before all others."""

    def __init__(self, rows: DocumentRows, options: ParseOptions) -> None:
        self._today, self._contract = options.today, options.contract
        ((self.day, self._stats),) = rows.days(1)
        row = rows.rows[0][1]
        parts = rows.parser.parts()
        self._keys = {_identity(part): key for key, part in parts.items()}
        names = (*self._stats, *map(tuple, self._stats.values()))
        used = rows.parser.fields_in_use([row]) if options.skip_unused else ()
        shape = (self.day, tuple(parts.items()), names, frozenset(used))
        counts = (rows.parser.ignored_values, rows.parser.entries)
        self.shape = hash((*shape, *counts, rows.parser.names()))

    def replaced_in(self, previous: Snapshot, latest: Day) -> Snapshot | None:
        """Return the previous snapshot with this day's figures as its latest.

        None: the messages of the month have to be added up again.
        """
        figures = tuple(
            (part, _same_fields(self._stats[self._keys[_identity(part)]], stats))
            for part, stats in latest.figures
        )
        history, month = previous.history, previous.month_to_date
        if self.day == self._today:
            history = recent_days.replace_last(history, self._today, past_day(figures))
            if not month_to_date.has_all(month, figures, channels=self._contract):
                return None
            if month is not None:
                # Of parts that the limit keeps out only the sum is known.
                if previous.dropped_series:
                    return None
                before = latest.figures
                month = month_to_date.renewed(month, before=before, now=figures)
                if month is None:
                    return None
        return previous._replace(
            latest=latest._replace(figures=figures),
            history=history,
            month_to_date=month,
        )


def _identity(part: Part) -> tuple[object, ...]:
    """Return what the newest row has of a part: an older row may show a control."""
    return part[:4]  # in a fraction of the time of _replace


def _same_fields(stats: Stats, previous: Stats) -> Stats:
    """Return the stats without the fields that the previous ones lack."""
    if len(stats) == len(previous):
        return stats
    return {name: stats[name] for name in previous}
