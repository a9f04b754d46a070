"""By how much Braze has restated a day since it was first read as complete.

The first reading of a day is carried from snapshot to snapshot. A field that it lacks
has no revision: missing is not 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from math import isfinite

from exporter.model.snapshot import NO_FIGURES, Day, Figures, Part, Stats


def carry_first_reading(
    day: Day | None, previous: Day | None, today: date
) -> Day | None:
    """Return the first reading to carry on, after `day` was read as complete.

    `previous` is kept for the same day and while responses lack its day, and is dropped
    if its day is not over: the clock or the time zone was changed.
    """
    if previous is None or previous.date >= today:
        return day
    return day if day and day.date > previous.date else previous


def revision(first: Day | None, last: Day | None) -> Figures:
    """Return by how much each number moved; readings of two days have no revision."""
    if first is None or last is None or first.date != last.date:
        return NO_FIGURES
    readings = _FirstReadings(first.figures)
    moves = (
        (part, _moved(readings.stats_of(part), stats)) for part, stats in last.figures
    )
    return tuple((part, moved) for part, moved in moves if moved)


class _FirstReadings:
    """The parts of a first reading, matched even if they were renamed."""

    def __init__(self, figures: Figures) -> None:
        self._by_id: dict[tuple[str, str, str], Stats] = {}
        self._by_label: dict[tuple[str, str, str, str], Stats] = {}
        for part, stats in figures:
            # Parts with the same id are matched by their labels alone.
            known = (part.group, part.channel, part.id)
            self._by_id[known] = {} if known in self._by_id else stats
            self._by_label[part[:4]] = stats

    def stats_of(self, part: Part) -> Stats:
        known = (part.group, part.channel, part.id)
        by_id = self._by_id.get(known, {}) if part.id else {}
        return self._by_label.get(part[:4], by_id)


def _moved(before: Stats, now: Mapping[str, int | float]) -> Stats:
    moves = {
        name: _difference(now[name], before[name]) for name in now if name in before
    }
    return {name: move for name, move in moves.items() if move is not None}


def _difference(one: float, other: float) -> int | float | None:
    """Subtract in decimals: 12.3 - 12.1 is 0.2. None beyond a double's range."""
    if one == other:
        return 0
    try:
        if isinstance(one, int) and isinstance(other, int):
            return one - other if isfinite(one - other) else None
        difference = float(Decimal(repr(one)) - Decimal(repr(other)))
    except OverflowError:
        return None
    return difference if isfinite(difference) else None
