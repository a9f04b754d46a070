"""Figures of the last complete day: with a sparkline, and against a week before."""

from __future__ import annotations

from collections.abc import Callable

from grafana.generator import figures, palette, panels
from grafana.generator.figures import Period, Rate
from grafana.generator.layout import Drawn
from grafana.generator.palette import Limits
from grafana.generator.panels import Override, Query, property_
from grafana.generator.promql import moved, total, union

_COMPARED = (
    "Below it the difference from the same weekday a week before, ▲ more or ▼ less: of "
    "counts relative, of rates in percentage points (pp). It is what Prometheus stored "
    "7 days ago, so it needs a week of history."
)


def counted(
    title: str,
    vector: Callable[[Period], str],
    *,
    description: str,
    unit: str = "short",
    last: Period = figures.LAST,
    by_day: Period = figures.BY_DAY,
) -> Drawn:
    """Return a stat of a sum; the vector is that of a period."""
    value = total(vector(last))
    return _compared(
        title,
        total(vector(by_day)),
        f"100 * ({value} / ({moved(value, 'offset 7d')} > 0) - 1)",
        difference=("percent", 1),
        description=f"{description}, on {last.days}.",
        unit=unit,
        limits=None,
    )


def rated(title: str, rate: Rate, limits: Limits | None, *caveats: str) -> Drawn:
    """Return a stat of a rate of email."""
    value = rate.over(figures.LAST)
    return _compared(
        title,
        rate.over(figures.BY_DAY),
        f"100 * ({value} - {moved(value, 'offset 7d')})",
        difference=("suffix: pp", limits.decimals if limits else 2),
        description=" ".join([f"{rate.formula}, on {figures.LAST.days}.", *caveats]),
        unit="percentunit",
        limits=limits,
    )


def _compared(
    title: str,
    trend: str,
    change: str,
    *,
    difference: tuple[str, int],
    description: str,
    unit: str,
    limits: Limits | None,
) -> Drawn:
    of_change, decimals = difference
    # Grafana writes no sign before a gain.
    directed = union(
        f'label_replace({change} >= 0, "direction", "▲", "", "")',
        f'label_replace(-({change}) > 0, "direction", "▼", "", "")',
    )
    return panels.stat(
        title,
        [Query(directed, "{{direction}} vs same weekday")],
        trend=Query(trend, "yesterday"),
        description=f"{description} {_COMPARED}",
        unit=unit,
        decimals=(limits.decimals if limits else 2) if unit == "percentunit" else None,
        thresholds=limits.steps(good=palette.PLAIN) if limits else None,
        overrides=[
            Override(
                "/weekday$/",
                [
                    property_("unit", of_change),
                    property_("decimals", decimals),
                    property_("thresholds", palette.no_steps().build()),
                ],
            )
        ],
    )
