"""When a request is tried again, and when a refused key is probed."""

from __future__ import annotations

MOST_TRIES = 5
"""Braze's advice for 5xx: at most so many tries in one poll."""

_TRY_WINDOW_SECONDS = 60.0
_FIRST_BACKOFF_SECONDS = 1.0
_LONGEST_BACKOFF_SECONDS = 30.0
_FIRST_PROBE_SECONDS = 60.0
_LONGEST_PROBE_SECONDS = 15 * 60.0


def next_try(
    *,
    tries: int,
    first_try_at: float,
    now: float,
    interval_seconds: float,
    fraction: float,
) -> float | None:
    """Return when to try again after `tries` tries; None: the poll has failed.

    Exponential backoff with full jitter; `fraction`, in [0, 1), is the random part.
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
    """Return whether it is too late at `now` for another try of a poll."""
    return now > first_try_at + min(interval_seconds / 2, _TRY_WINDOW_SECONDS)


def probe_delay(failures: int) -> float:
    """Return the seconds before the next probe: 1, 2, 4, 8, then 15 minutes."""
    return min(
        _LONGEST_PROBE_SECONDS, _FIRST_PROBE_SECONDS * 2.0 ** (min(failures, 9) - 1)
    )
