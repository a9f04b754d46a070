"""How many lines of one kind a log may take: so many a minute, the rest is counted.

The last line of a minute that has too many says that more are left out, the first one
after it how many were. It knows neither what the lines say nor the clock.
"""

from __future__ import annotations

from typing import NamedTuple

_MINUTE_SECONDS = 60.0

LINES_PER_MINUTE = 10
"""Of one kind, for a workspace: enough to see what is wrong, too few to drown."""


class LogRateLimit(NamedTuple):
    """What was written in the current minute; every operation returns a new one."""

    lines_per_minute: int
    began_at: float | None = None
    written: int = 0
    suppressed: int = 0
    """Lines left out since the last one that was written."""

    def admits(self, *, now: float) -> bool:
        """Tell whether one more line may be written."""
        return self._is_over(now) or self.written < self.lines_per_minute

    def counted(self, *, now: float) -> LogRateLimit:
        """Return the quota after a line, written if it was admitted."""
        if self._is_over(now):
            return self._replace(began_at=now, written=1, suppressed=0)
        if self.written < self.lines_per_minute:
            return self._replace(written=self.written + 1, suppressed=0)
        return self._replace(suppressed=self.suppressed + 1)

    def facts(self, *, now: float) -> dict[str, str | int]:
        """Return what a line that is admitted has to say of those that are not."""
        most = f"at most {self.lines_per_minute} such lines a minute"
        if self.suppressed:
            return {"suppressed": self.suppressed, "suppressed_because": most}
        if not self._is_over(now) and self.written == self.lines_per_minute - 1:
            return {"quota": f"{most}: more are left out now, and counted"}
        return {}

    def _is_over(self, now: float) -> bool:
        """Tell whether a new minute begins; also if the clock was set back."""
        began_at = self.began_at
        return began_at is None or not began_at <= now < began_at + _MINUTE_SECONDS
