"""When each object is polled: slots at a fixed phase of its interval.

Slots follow from the configuration alone: two exporters with one configuration agree.
"""

from __future__ import annotations

import math
from hashlib import blake2b

_SLOW_FACTOR = 10
_SLOWEST_SECONDS = 3600.0


def phase(object_id: str) -> float:
    """Return the fraction of the interval at which an object is polled, in [0, 1)."""
    digest = blake2b(object_id.encode("utf-8", "surrogatepass"), digest_size=6)
    return int.from_bytes(digest.digest(), "big") / 2**48


def next_slot(
    *, phase: float, interval_seconds: float, after: float, wall_offset: float = 0.0
) -> float:
    """Return the first instant later than `after` at this phase of the interval.

    Slots count from the epoch by the wall clock, so a restart does not move them; it is
    `wall_offset` seconds ahead of all instants here.
    """
    number = math.floor((after + wall_offset) / interval_seconds - phase) + 1
    slot = (number + phase) * interval_seconds - wall_offset
    # A rounding error may put the slot on `after` itself.
    return slot if slot > after else slot + interval_seconds


def slot_following(
    *,
    due_at: float,
    began_at: float,
    now: float,
    phase: float,
    interval_seconds: float,
    wall_offset: float = 0.0,
) -> float:
    """Return the next slot after a poll that was due at `due_at` and began later.

    It lies at least half an interval after `due_at`, so that the first round, which
    has no fixed phase, is not repeated at once. Slots missed before the poll began are
    skipped. Of the slots missed during the poll the latest is returned, although it
    lies before `now`.
    """

    def slot_after(instant: float) -> float:
        return next_slot(
            phase=phase,
            interval_seconds=interval_seconds,
            after=instant,
            wall_offset=wall_offset,
        )

    upcoming = slot_after(max(due_at + interval_seconds / 2, began_at))
    if upcoming > now:
        return upcoming
    # Rounding up may make it later than `now`.
    return min(slot_after(now) - interval_seconds, now)


def slow_interval(interval_seconds: float) -> float:
    """Return the interval after a 400 or 404: ten times as long, at most an hour."""
    return max(interval_seconds, min(_SLOW_FACTOR * interval_seconds, _SLOWEST_SECONDS))
