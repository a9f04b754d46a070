"""When each campaign is polled: slots, stretched intervals, tries and probes.

Every function answers from its arguments alone, so two exporters with one configuration
agree. It knows nothing of what Braze still allows: `budget` does.
"""

from __future__ import annotations

import math
from hashlib import blake2b

MOST_TRIES = 5
"""Braze's advice for 5xx: at most so many tries in one poll."""

_TRY_WINDOW_SECONDS = 60.0
_FIRST_BACKOFF_SECONDS = 1.0
_LONGEST_BACKOFF_SECONDS = 30.0
_FIRST_PROBE_SECONDS = 60.0
_LONGEST_PROBE_SECONDS = 15 * 60.0
_SLOW_FACTOR = 10
_SLOWEST_SECONDS = 3600.0


def phase(campaign_id: str) -> float:
    """Where in its interval a campaign is polled: in [0, 1), fixed by its id."""
    digest = blake2b(campaign_id.encode("utf-8", "surrogatepass"), digest_size=6)
    return int.from_bytes(digest.digest(), "big") / 2**48


def next_slot(
    *, phase: float, interval_seconds: float, after: float, clock_set_by: float = 0.0
) -> float:
    """Return the first instant later than `after` at this phase of the interval.

    Slots count from the epoch by the wall clock, `clock_set_by` ahead of all instants
    here, so they outlive restarts.
    """
    number = math.floor((after + clock_set_by) / interval_seconds - phase) + 1
    slot = (number + phase) * interval_seconds - clock_set_by
    # A rounding error may put the slot on `after` itself.
    return slot if slot > after else slot + interval_seconds


def slot_following(
    *,
    due_at: float,
    began_at: float,
    now: float,
    phase: float,
    interval_seconds: float,
    clock_set_by: float = 0.0,
) -> float:
    """Return the slot to serve after a poll that was due at one and began later.

    It lies at least half an interval after `due_at`, so that a first round, which
    begins anywhere, is not polled again at once. A slot missed before the poll began
    was served by it. Of those missed meanwhile the latest is served, at once: it is
    returned although it lies before `now`.
    """

    def slot_after(instant: float) -> float:
        return next_slot(
            phase=phase,
            interval_seconds=interval_seconds,
            after=instant,
            clock_set_by=clock_set_by,
        )

    upcoming = slot_after(max(due_at + interval_seconds / 2, began_at))
    if upcoming > now:
        return upcoming
    # Rounded up it may come out later than the `now` it stands on.
    return min(slot_after(now) - interval_seconds, now)


def stretch(*, wanted_per_minute: float, ceiling_per_minute: float) -> float:
    """Return the factor on all intervals, at least 1, that makes the wish fit."""
    return max(1.0, wanted_per_minute / ceiling_per_minute)


def slow_interval(interval_seconds: float) -> float:
    """Return the interval of a refused campaign: ten times as long, at most an hour."""
    return max(interval_seconds, min(_SLOW_FACTOR * interval_seconds, _SLOWEST_SECONDS))


def next_try(
    *,
    tries: int,
    first_try_at: float,
    now: float,
    interval_seconds: float,
    fraction: float,
) -> float | None:
    """Return when to try again after `tries` tries; None: the poll has failed.

    Exponential backoff with full jitter; `fraction`, in [0, 1), is the jitter's draw.
    Tries begin within half an interval of the first, and within a minute.
    """
    if tries >= MOST_TRIES:
        return None
    longest = min(_LONGEST_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * 2.0 ** (tries - 1))
    at = now + fraction * longest
    has_time = not is_over(
        first_try_at=first_try_at, now=at, interval_seconds=interval_seconds
    )
    return at if has_time else None


def is_over(*, first_try_at: float, now: float, interval_seconds: float) -> bool:
    """Tell whether no further try of a poll may begin at `now`."""
    return now > first_try_at + min(interval_seconds / 2, _TRY_WINDOW_SECONDS)


def probe_delay(failures: int) -> float:
    """Return how long a paused workspace waits: 1, 2, 4, 8, then 15 minutes."""
    return min(
        _LONGEST_PROBE_SECONDS, _FIRST_PROBE_SECONDS * 2.0 ** (min(failures, 9) - 1)
    )
