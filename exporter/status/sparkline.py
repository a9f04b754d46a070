"""A history as a small picture: a bar for each day, a mark over each bad one.

Shapes are paths of SVG. What Braze did not say leaves a gap, and zero a low bar. It
knows nothing of colours.
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
"""Above it there is room for marks."""
_LOWEST = 1.0


@dataclass(frozen=True, slots=True)
class Sparkline:
    """What to draw; an empty path is nothing."""

    past: str
    today: str
    """The last day, which may be unfinished."""
    warnings: str
    criticals: str
    days: tuple[PastDay, ...]

    @property
    def known(self) -> tuple[float, ...]:
        """What was sent on the days of which that is known, oldest first."""
        return tuple(day.sent for day in self.days if day.sent is not None)

    def bad_days(self) -> int:
        """Return on how many days a rate was too high."""
        return sum(day.level > Level.FINE for day in self.days)


def sparkline(history: RecentDays) -> Sparkline:
    """Draw a history."""
    days = unpack_days(history)
    most = max((day.sent for day in days if day.sent is not None), default=0.0)
    bars = [_bar(number, day.sent, most) for number, day in enumerate(days)]
    return Sparkline(
        past="".join(bars[:-1]),
        today=bars[-1],
        warnings=_marks(days, Level.WARNING),
        criticals=_marks(days, Level.CRITICAL),
        days=days,
    )


def _bar(number: int, sent: float | None, most: float) -> str:
    if sent is None:
        return ""
    share = min(1.0, max(0.0, sent / most)) if most > 0 else 0.0
    height = max(_LOWEST, round(share * (HEIGHT - _TOP), 1))
    return f"M{number * STEP} {HEIGHT}v-{height:g}h{STEP - 1}v{height:g}z"


def _marks(days: tuple[PastDay, ...], level: Level) -> str:
    """Return triangles that point down at the bars of these days."""
    return "".join(
        f"M{number * STEP - 1} 0h{STEP + 1}l-{(STEP + 1) / 2:g} 5z"
        for number, day in enumerate(days)
        if day.level is level
    )
