"""A data series of which only the newest day changed since it was last read.

Most polls bring new numbers of today, among four weeks that stay as they were. Then the
snapshot before is renewed: it becomes what `data_series.parse` would make of the
document, in a third of the time. Documents are taken as `answer` decodes them, that is
without NaN and infinities. It knows nothing of HTTP, Prometheus or the clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from typing import NamedTuple

import orjson

from exporter import history
from exporter.data_series import Reading, activity, parse, past_day
from exporter.model import Day, Figures, Snapshot
from exporter.rows import OVERALL, Part, Reader, Row, usable_rows


class Known(NamedTuple):
    """What has to be the same for the snapshot of a document to be renewed."""

    reading: Reading
    past: int
    """A digest of the days that are over."""
    shape: int
    """A digest of all but the numbers of the one day that is not over."""


class Read(NamedTuple):
    """A document as it was read."""

    snapshot: Snapshot
    reading: Reading
    known: Known | None
    """None: the next document is to be read as a whole."""
    is_renewed: bool
    """Whether all but the latest day's figures stands as in the snapshot before."""


def read(
    document: object,
    reading: Reading,
    *,
    former: Snapshot | None = None,
    known: Known | None = None,
) -> Read:
    """Read one answer of Braze; raise `MalformedSeries` if it is no data series.

    `former` is the snapshot before, and `known` what was known of its document.
    """
    rows, skipped_rows = usable_rows(document, reading.today)
    newest = _Newest(rows, reading)
    is_same = known is not None and known == newest.known
    if former and former.latest and is_same:
        snapshot = newest.renewed(former, former.latest)
        is_quiet, is_active = activity(rows, reading.today)
        snapshot = replace(
            snapshot,
            skipped_rows=skipped_rows,
            is_quiet=is_quiet,
            is_active=is_active,
        )
        return Read(snapshot, reading, newest.known, is_renewed=True)
    first_complete = former.first_complete if former else None
    snapshot = parse(document, reading, first_complete=first_complete)
    return Read(snapshot, reading, newest.known, is_renewed=False)


class _Newest:
    """The one day that is not over, among days that are."""

    known: Known | None = None

    def __init__(self, rows: list[tuple[date, Row]], reading: Reading) -> None:
        self._today = reading.today
        self._part: Part = {}
        front = [(day, row) for day, row in rows if day >= reading.today]
        past = _digest(row for day, row in rows if day < reading.today)
        if len(front) != 1 or past is None:
            return
        reader = Reader(channels=reading.channels, metrics=reading.metrics)
        ((self._day, row),) = front
        self._part = reader.read(row)
        variations = reader.variations()
        self._keys = {(one.channel, one.label): key for key, one in variations.items()}
        names = tuple((key, tuple(stats)) for key, stats in self._part.items())
        shape = (self._day, tuple(variations.items()), names, reader.ignored_values)
        self.known = Known(reading, past, hash((*shape, reader.entries)))

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
            packed = history.with_last(packed, self._today, past_day(figures))
        return replace(former, latest=latest._replace(figures=figures), history=packed)


def _digest(rows: Iterable[Row]) -> int | None:
    """Return 64 bits under a secret of this process; None: a text is no Unicode."""
    try:
        return hash(orjson.dumps(list(rows)))
    except TypeError:
        return None
