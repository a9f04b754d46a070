"""By how much Braze has restated a day since it was first read as complete.

What was first read of a day goes along from snapshot to snapshot. A number that was not
said at first has no revision: absent is not zero. It knows nothing of documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from math import isfinite

from exporter.model.snapshot import Day, Figures, Stats, Variation

_NOTHING = Figures((), {})


def first_reading(day: Day | None, *, known: Day | None, today: date) -> Day | None:
    """Return what is to be remembered, having read that last complete day now.

    Of the same day the earlier reading counts, and it also outlives an answer that
    lacks the day. A day that is not over cannot have been complete.
    """
    if known is None or known.date >= today:
        return day
    return day if day and day.date > known.date else known


def revision(first: Day | None, last: Day | None) -> Figures:
    """Return by how much each number of the last complete day moved since first read.

    Nothing, if what was first read is of another day.
    """
    if first is None or last is None or first.date != last.date:
        return _NOTHING
    former = _Former(first.figures)
    moves = (
        (one, _moved(former.stats_of(one), stats))
        for one, stats in last.figures.variations
    )
    return Figures(
        tuple((one, moved) for one, moved in moves if moved),
        overall=_moved(first.figures.overall, last.figures.overall),
    )


class _Former:
    """The variations of a first reading, found again although they were renamed."""

    def __init__(self, figures: Figures) -> None:
        self._by_id: dict[tuple[str, str], Stats] = {}
        self._by_label: dict[tuple[str, str, str], Stats] = {}
        for one, stats in figures.variations:
            # An id that is used twice is known by its label alone.
            known = (one.channel, one.id)
            self._by_id[known] = {} if known in self._by_id else stats
            self._by_label[one.channel, one.label, one.id] = stats

    def stats_of(self, one: Variation) -> Stats:
        by_id = self._by_id.get((one.channel, one.id), {}) if one.id else {}
        return self._by_label.get((one.channel, one.label, one.id), by_id)


def _moved(before: Stats, now: Mapping[str, int | float]) -> Stats:
    moves = {
        name: _difference(now[name], before[name]) for name in now if name in before
    }
    return {name: move for name, move in moves.items() if move is not None}


def _difference(one: float, other: float) -> int | float | None:
    """Subtract as people do on paper: 12.3 - 12.1 is 0.2. None: no double holds it."""
    if one == other:
        return 0
    try:
        if isinstance(one, int) and isinstance(other, int):
            return one - other if isfinite(one - other) else None
        difference = float(Decimal(repr(one)) - Decimal(repr(other)))
    except OverflowError:
        return None
    return difference if isfinite(difference) else None
