"""Limits for log lines: a failure once an hour, and few lines of a kind a minute.

Suppressed lines are counted. The last line before the limit announces the suppression,
and the first line after it has the number of suppressed lines.
"""

from __future__ import annotations

from typing import NamedTuple

LINES_PER_MINUTE = 10
"""The limit for each kind and workspace."""

_REPEAT_SECONDS = 3600.0
"""An unchanged failure is logged again after so long."""


def is_news(reason: object, logged: tuple[object, float] | None, *, now: float) -> bool:
    """Return whether a failure is to be logged: it differs, or an hour has passed.

    `logged` are the reason and the time of the last line about it; None: there is none.
    """
    if logged is None:
        return True
    logged_reason, logged_at = logged
    return reason != logged_reason or now - logged_at >= _REPEAT_SECONDS


class LogRateLimit(NamedTuple):
    """The count of the current minute; immutable."""

    lines_per_minute: int
    started_at: float | None = None
    written: int = 0
    suppressed: int = 0
    """Lines suppressed since the last written one."""

    def admits(self, *, now: float) -> bool:
        """Return whether a line may be written."""
        return self._is_over(now) or self.written < self.lines_per_minute

    def counted(self, *, now: float) -> LogRateLimit:
        """Return the state after a line, which is written if it is admitted."""
        if self._is_over(now):
            return self._replace(started_at=now, written=1, suppressed=0)
        if self.written < self.lines_per_minute:
            return self._replace(written=self.written + 1, suppressed=0)
        return self._replace(suppressed=self.suppressed + 1)

    def facts(self, *, now: float) -> dict[str, str | int]:
        """Return the fields of an admitted line about suppressed ones."""
        limit = f"at most {self.lines_per_minute} such lines a minute"
        if self.suppressed:
            return {"suppressed": self.suppressed, "suppressed_because": limit}
        if not self._is_over(now) and self.written == self.lines_per_minute - 1:
            return {"quota": f"{limit}: further ones are suppressed and counted"}
        return {}

    def _is_over(self, now: float) -> bool:
        """Return whether a new minute starts, or the clock was set back."""
        started_at = self.started_at
        return started_at is None or not started_at <= now < started_at + 60
