"""The figures of a workspace: users, sessions, purchases, segments and events.

Users and purchases follow the volumes of all campaigns and canvases, so that messages
are not attributed more purchases than there are. Within a day counts grow from zero;
those of hours add up to those of the day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from exporter.simulator.day_conditions import part_of_day, weekday_volume
from exporter.simulator.objects import SimulatedObject, fraction_of
from exporter.simulator.workspace_specs import Event, Segment

_DOLLARS = 38.47
_COLLAPSED = 0.04
_MONTHLY = 2.3
# Per user reached on an average day.
_SHARES = {
    "dau": 0.42,
    "new_users": 0.006,
    "uninstalls": 0.0017,
    "sessions": 0.71,
    "purchase_quantity": 0.075,
}
FIELDS = (*_SHARES, "mau", "revenue")
"""The fields of the daily series."""


@dataclass(frozen=True, slots=True)
class Reach:
    """The campaigns and canvases whose volumes the figures follow."""

    seed: int
    objects: tuple[SimulatedObject, ...]

    def on(self, day: date) -> float:
        """Return the users reached or entering on such a day of an average week."""
        return sum(one.volume for one in self.objects if one.is_active_on(day))


def counted(reach: Reach, field: str, day: date, progress: float) -> float:
    """Return a count of `FIELDS` at a part of the day, from 0 to 1.

    `mau`, the users of 30 days, has the same value all day.
    """
    if field == "mau":
        noise = 0.99 + 0.02 * fraction_of(reach.seed, field, day)
        return int(reach.on(day) * _MONTHLY * noise)
    if field == "revenue":
        return round(_count(reach, "purchase_quantity", day, progress) * _DOLLARS, 2)
    return _count(reach, field, day, progress)


def _count(reach: Reach, field: str, day: date, progress: float) -> int:
    volume = weekday_volume(reach.on(day), (reach.seed, field), day)
    return int(volume * _SHARES[field] * part_of_day(progress))


def event_count(event: Event, day: date, progress: float) -> int:
    """Return how often an event was counted at a part of the day."""
    if event.stopped_on is not None and day >= event.stopped_on:
        return 0
    volume = weekday_volume(event.volume, (event.name,), day)
    return int(volume * part_of_day(progress))


def segment_size(segment: Segment, day: date) -> int:
    """Return the estimated users of a segment, which changes a little by day."""
    noise = 0.99 + 0.02 * fraction_of(segment.id, day)
    is_small = segment.collapsed_on is not None and day >= segment.collapsed_on
    return int(segment.size * noise * (_COLLAPSED if is_small else 1))
