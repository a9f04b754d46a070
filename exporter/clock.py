"""Tells when the wall clock was set, by a clock that nobody sets."""

from __future__ import annotations

import time
from collections.abc import Callable

_NOTICED_SECONDS = 2.0
"""Less is the everyday work of time daemons, and waits bear it."""


def steady() -> float:
    """Return seconds on a clock that nobody sets and that goes on while we sleep."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class ClockWatch:
    """Compares the two clocks each time it is asked."""

    def __init__(
        self, *, now: Callable[[], float], steady: Callable[[], float] = steady
    ) -> None:
        self._now = now
        self._steady = steady
        self._offset = now() - steady()

    def jump(self) -> float:
        """Return by how many seconds the wall clock was set since last asked, or 0."""
        offset = self._now() - self._steady()
        seconds = offset - self._offset
        self._offset = offset
        return seconds if abs(seconds) >= _NOTICED_SECONDS else 0.0
