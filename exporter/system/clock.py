"""A clock that nobody sets, and by how much the wall clock has been set beside it.

Whoever waits or tells ages asks for `now`. What people and Braze read and say is time
of the wall clock, which is `set_by` later. It knows nothing of what is waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_NOTICED_SECONDS = 2.0
"""Less is the everyday work of time daemons."""


def steady() -> float:
    """Return seconds on a clock that nobody sets and that goes on while we sleep."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class Clock:
    """Seconds since the epoch, as the wall clock would show them had nobody set it."""

    def __init__(
        self,
        *,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = steady,
    ) -> None:
        self._wall = wall
        self._steady = steady
        self._offset = wall() - steady()
        self._set_by = 0.0
        self._told = 0.0

    def now(self) -> float:
        """Return the time by the wall clock as it was when this one began."""
        return self._steady() + self._offset

    def on_wall(self, at: float) -> float:
        """Return what the wall clock, as it is this moment, will show at `at`."""
        return at - self.now() + self._wall()

    def set_by(self) -> float:
        """Return by how many seconds the wall clock was set, as last looked at."""
        return self._set_by

    def jump(self) -> float:
        """Look at the wall clock; return by how many seconds it was set, or 0.

        Small corrections are returned when they have come to more than a few seconds.
        """
        self._set_by = self._wall() - self.now()
        seconds = self._set_by - self._told
        if abs(seconds) < _NOTICED_SECONDS:
            return 0.0
        self._told = self._set_by
        return seconds
