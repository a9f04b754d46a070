"""The history as a chart: a bar for each day, a mark above days with high rates.

Shapes are SVG paths. A day without data is a gap, and zero is a low bar.
"""

from __future__ import annotations

from dataclasses import dataclass

from exporter.model.snapshot import RecentDays
from exporter.series.deliverability import Level
from exporter.series.recent_days import DAYS, PastDay, unpack_days

STEP = 4
WIDTH = STEP * DAYS
HEIGHT = 28
_TOP = 7
"""The height of the marks above the bars."""
_MIN_BAR = 1.0


@dataclass(frozen=True, slots=True)
class Sparkline:
    """The paths to draw; an empty path draws nothing."""

    past: str
    today: str
    """The last day, which may be incomplete."""
    warnings: str
    criticals: str
    days: tuple[PastDay, ...]

    @property
    def sent(self) -> tuple[float, ...]:
        """The messages sent on each day with data, oldest first."""
        return tuple(day.sent for day in self.days if day.sent is not None)

    def bad_days(self) -> int:
        """Return the number of days with a high rate."""
        return sum(day.level > Level.FINE for day in self.days)


def sparkline(history: RecentDays) -> Sparkline:
    """Return the chart of a history."""
    days = unpack_days(history)
    maximum = max((day.sent for day in days if day.sent is not None), default=0.0)
    bars = [_bar(number, day.sent, maximum) for number, day in enumerate(days)]
    return Sparkline(
        past="".join(bars[:-1]),
        today=bars[-1],
        warnings=_marks(days, Level.WARNING),
        criticals=_marks(days, Level.CRITICAL),
        days=days,
    )


def _bar(number: int, sent: float | None, maximum: float) -> str:
    if sent is None:
        return ""
    share = min(1.0, max(0.0, sent / maximum)) if maximum > 0 else 0.0
    height = max(_MIN_BAR, round(share * (HEIGHT - _TOP), 1))
    return f"M{number * STEP} {HEIGHT}v-{height:g}h{STEP - 1}v{height:g}z"


def _marks(days: tuple[PastDay, ...], level: Level) -> str:
    """Return a triangle above each day of this level, pointing down."""
    return "".join(
        f"M{number * STEP - 1} 0h{STEP + 1}l-{(STEP + 1) / 2:g} 5z"
        for number, day in enumerate(days)
        if day.level is level
    )
