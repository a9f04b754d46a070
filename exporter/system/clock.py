"""The process clock: monotonic, and the offset of the wall clock.

Waits and ages use `now`, which no change of the wall clock moves. What Braze and people
read and write is wall time, `offset` seconds ahead.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_REPORTED_SECONDS = 2.0  # smaller corrections are the everyday work of time daemons


def steady() -> float:
    """Return the seconds of a monotonic clock that includes time in suspend."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class Clock:
    """Seconds since the epoch, by the wall clock as it was set at the start."""

    def __init__(
        self,
        *,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = steady,
    ) -> None:
        self._wall = wall
        self._steady = steady
        self._start = wall() - steady()
        self._offset = 0.0
        self._reported = 0.0

    def now(self) -> float:
        """Return the time, as if the wall clock had not been set since the start."""
        return self._steady() + self._start

    def offset(self) -> float:
        """Return by how many seconds the wall clock was set, as of the last `jump`."""
        return self._offset

    def wall(self, at: float | None = None) -> float:
        """Return the wall time of an instant of `now`, or of this moment."""
        return (self.now() if at is None else at) + self._offset

    def wall_exactly(self, at: float) -> float:
        """Return the wall time of an instant by the wall clock of this moment."""
        return at - self.now() + self._wall()

    def jump(self) -> float:
        """Read the wall clock; return by how many seconds it was set, or 0.

        Small corrections are returned once they add up to more than two seconds.
        """
        self._offset = self._wall() - self.now()
        seconds = self._offset - self._reported
        if abs(seconds) < _REPORTED_SECONDS:
            return 0.0
        self._reported = self._offset
        return seconds
