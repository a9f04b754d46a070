"""Log lines about a clock of this machine that differs from Braze's."""

from __future__ import annotations

import logging
from threading import Lock

from exporter.system.clock import Clock
from exporter.system.log_rate_limit import is_news

_log = logging.getLogger(__name__)

_TOLERANCE_SECONDS = 60.0


class ClockLog:
    """Compares clocks. Any thread may call it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._logged: tuple[None, float] | None = None

    def compare(self, workspace: str, answered_at: float, *, seconds: float) -> None:
        """Log a difference of more than a minute, once an hour.

        `answered_at` is the time of a response by Braze's clock. The response has just
        ended, `seconds` after its request began.
        """
        now = self._clock.now()
        ahead = self._clock.wall(now) - answered_at
        if -_TOLERANCE_SECONDS <= ahead <= _TOLERANCE_SECONDS + seconds:
            return
        with self._lock:
            if not is_news(None, self._logged, now=now):
                return
            self._logged = (None, now)
        fields = {"workspace": workspace, "ahead_seconds": round(ahead)}
        fields["advice"] = "check the time synchronisation of this machine"
        _log.warning("clock.differs", extra={"fields": fields})
