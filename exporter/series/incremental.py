"""A data series of which only the newest day changed since it was last read.

Most polls bring new numbers of today, among four weeks that stay as they were. Then the
snapshot before is renewed: it becomes what `data_series.parse` would make of the
document, in a third of the time. Documents are taken as `answer` decodes them, that is
without NaN and infinities. It knows nothing of HTTP, Prometheus or the clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

import orjson

from exporter.model.snapshot import Day, Figures, Snapshot
from exporter.series import parse, recent_days
from exporter.series.parse import ParseOptions, activity, past_day, snapshot_of
from exporter.series.rows import OVERALL, DayStats, DocumentRows, Row


class Digests(NamedTuple):
    """Of all that stays when only numbers of the one day that is not over change."""

    past: int
    """Of the days that are over."""
    shape: int
    """Of the other day without its numbers."""


class CachedDocument(NamedTuple):
    """What has to be the same for the snapshot of a document to be renewed."""

    reading: ParseOptions
    digests: Digests | None
    """None: the next document is to be read as a whole."""


class Read(NamedTuple):
    """A document as it was read."""

    snapshot: Snapshot
    known: CachedDocument
    is_renewed: bool
    """Whether all but the latest day's figures stands as in the snapshot before."""


def read(
    document: object,
    reading: ParseOptions,
    *,
    former: Snapshot | None = None,
    known: CachedDocument | None = None,
) -> Read:
    """Read one answer of Braze; raise `MalformedSeries` if it is no data series.

    `former` is the snapshot before, and `known` what was known of its document.
    """
    sheet = parse.sheet(document, reading)
    newest = _Newest(sheet, reading.today)
    now_known = CachedDocument(reading, newest.digests)
    is_same = newest.digests is not None and known == now_known
    if former and former.latest and is_same:
        snapshot = newest.renewed(former, former.latest)
        is_quiet, is_active = activity(sheet.rows, reading.today)
        snapshot = snapshot._replace(
            skipped_rows=sheet.skipped_rows,
            is_quiet=is_quiet,
            is_active=is_active,
        )
        return Read(snapshot, now_known, is_renewed=True)
    first_complete = former.first_complete if former else None
    snapshot = snapshot_of(sheet, reading, first_complete)
    return Read(snapshot, now_known, is_renewed=False)


class _Newest:
    """The one day that is not over, among days that are."""

    digests: Digests | None = None

    def __init__(self, sheet: DocumentRows, today: date) -> None:
        self._today = today
        self._part: DayStats = {}
        is_one = sum(day >= today for day, _ in sheet.rows) == 1
        past = _digest(row for _, row in sheet.rows[1:]) if is_one else None
        if past is None:
            return
        ((self._day, self._part),) = sheet.days(1)
        variations = sheet.reader.variations()
        self._keys = {(one.channel, one.label): key for key, one in variations.items()}
        names = tuple((key, tuple(stats)) for key, stats in self._part.items())
        shape = (self._day, tuple(variations.items()), names)
        counts = (sheet.reader.ignored_values, sheet.reader.entries)
        self.digests = Digests(past, hash((*shape, *counts)))

    def renewed(self, former: Snapshot, latest: Day) -> Snapshot:
        """Return the snapshot with the figures of this day as its latest."""
        figures = Figures(
            tuple(
                (one, self._part[self._keys[one.channel, one.label]])
                for one, _ in latest.figures.variations
            ),
            overall=self._part[OVERALL] if latest.figures.overall else {},
        )
        packed = former.history
        if self._day == self._today:
            packed = recent_days.with_last(packed, self._today, past_day(figures))
        return former._replace(latest=latest._replace(figures=figures), history=packed)


def _digest(rows: Iterable[Row]) -> int | None:
    """Return 64 bits under a secret of this process; None: a text is no Unicode."""
    try:
        return hash(orjson.dumps(list(rows)))
    except TypeError:
        return None
