"""A process clock that only the test moves."""

from __future__ import annotations

from exporter.system.clock import Clock

NOW = 1_750_000_000.0
"""2025-06-15 15:06:40 UTC."""


class FakeClock(Clock):
    """`time` is the process clock; the wall clock is `set_by` seconds ahead of it."""

    def __init__(self, time: float = NOW) -> None:
        self.time = time
        self.set_by = 0.0
        super().__init__(wall=lambda: self.time + self.set_by, steady=lambda: self.time)

    def advance(self, seconds: float) -> None:
        self.time += seconds

    def set_wall(self, *, seconds: float) -> None:
        """Set the wall clock that far ahead of `time`, and let the clock notice."""
        self.set_by = seconds
        self.jump()
