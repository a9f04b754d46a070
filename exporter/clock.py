"""The wall clock, and what it would show had nobody set it lately.

Whoever waits or tells ages asks for `now`: it follows the wall clock only when `jump`
is asked, so that nobody meets a clock that was set before all instants are moved.
"""

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


class Clock:
    """Seconds since the epoch, by a wall clock that is compared with a steady one."""

    def __init__(
        self,
        *,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = steady,
    ) -> None:
        self._wall = wall
        self._steady = steady
        self._offset = wall() - steady()
        self.jumps = 0
        """How often the wall clock was set so far."""

    def now(self) -> float:
        """Return the time, as if the wall clock had not been set since `jump`."""
        return self._steady() + self._offset

    def on_wall(self, at: float) -> float:
        """Return what the wall clock will show when `now` is `at`."""
        return at - self.now() + self._wall()

    def jump(self) -> float:
        """Follow the wall clock; return by how many seconds it was set, or 0."""
        offset = self._wall() - self._steady()
        seconds = offset - self._offset
        self._offset = offset
        if abs(seconds) < _NOTICED_SECONDS:
            return 0.0
        self.jumps += 1
        return seconds
