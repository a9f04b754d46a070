"""Email bounce rates of each day, with today as the last one."""

from __future__ import annotations

from collections.abc import Callable

from grafana.generator import bars, figures, links, palette, promql
from grafana.generator.layout import Drawn
from grafana.generator.panels import Query
from grafana.generator.promql import (
    OBJECT,
    at_last_point,
    at_point_before,
    fold,
    named,
    newest,
    now,
    select,
    total,
    union,
)

_LEAST = 100
_WORST = 20
_BY = ", ".join(OBJECT)


def history() -> Drawn:
    """Return a row of days for each campaign and canvas, the worst of today first."""
    # Rows are in the order of their labels, and `good` is the first of them.
    worst = f"topk({_WORST}, {union(_today(), _over(' @ end()'))})"
    order = f'count_values by ({_BY}) ("good", 1 - {worst})'
    rates = union(_over(), at_last_point(_today()))
    ordered = f"{rates} * on ({_BY}) group_left (good) {order}"
    return bars.history(
        f"Email bounce rates by day, worst {_WORST} of today first",
        Query(named(ordered, "good"), "{{workspace}} / {{name}}"),
        description=f"{figures.BOUNCE.formula}, of each day with {_LEAST} or more "
        "emails; the last cell is today so far. Of a day that is over it is the last "
        "complete day as it was stored in the twelve hours after its end. Days are "
        "right if the time zones of your browser and of the workspace differ by less "
        "than 11 hours.",
        unit="percentunit",
        thresholds=palette.BOUNCE.steps(good=palette.BLUE),
        links=[links.of_series()],
        nothing=f"No campaign or canvas with {_LEAST} emails a day, or no figures",
    )


def _over(at: str = "") -> str:
    """Return the rate of the day that began at each point, or at one point.

    Without stored samples, as in the first hour, that of yesterday is the one of now.
    """

    def stored(selector: str) -> str:
        found = promql.stored(selector, offset="-36h", at=at)
        return found if at else f"{found} or {at_point_before(now(selector))}"

    return _rate(figures.LAST, stored)


def _today() -> str:
    """Return the rate of today at all points."""
    day = select("braze_(campaign|canvas)_daily_timestamp_seconds", promql.OF_JOB)
    return _rate(figures.TODAY, lambda selector: newest(now(selector), day=now(day)))


def _rate(period: figures.Period, stored: Callable[[str], str]) -> str:
    def summed(metric: str) -> str:
        matchers = (*period.scope, 'channel="email"', f'metric="{metric}"')
        return total(fold(stored(select(period.family, matchers))), *OBJECT)

    return f"{summed('bounces')} / ({summed('sent')} >= {_LEAST})"
