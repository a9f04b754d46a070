"""Rate limits: the requests of a window, and the headers that report them."""

from __future__ import annotations

import threading
from math import ceil

from exporter.simulator.settings import RateLimit


class RateLimitWindow:
    """The requests of the current window; thread-safe."""

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._window = -1
        self._spent = 0

    def spend(self, now: float) -> tuple[bool, dict[str, str]]:
        """Count a request; return whether it is allowed, and the headers."""
        window = int(now // self._limit.seconds)
        with self._lock:
            if window != self._window:
                self._window, self._spent = window, 0
            is_allowed = self._spent < self._limit.requests
            self._spent += is_allowed
            remaining = self._limit.requests - self._spent
        return is_allowed, {
            "X-RateLimit-Limit": str(self._limit.requests),
            "X-RateLimit-Remaining": str(remaining),
            "X-RateLimit-Reset": str(ceil((window + 1) * self._limit.seconds)),
        }
