"""Email bounce rates of each day, with today as the last one."""

from __future__ import annotations

from functools import partial

from grafana.generator import figures, links, palette, panels, promql
from grafana.generator.layout import Drawn
from grafana.generator.panels import Query
from grafana.generator.promql import OBJECT, fold, named, newest, select, total, union

_LEAST = 100
_WORST = 20
_BY = ", ".join(OBJECT)


def history() -> Drawn:
    """Return a row of days for each campaign and canvas, the worst of today first."""
    # Rows are in the order of their labels, and `good` is the first of them.
    worst = f"topk({_WORST}, {_rate(at=' @ end()')})"
    order = f'count_values by ({_BY}) ("good", 1 - {worst})'
    ordered = f"{_rate()} * on ({_BY}) group_left (good) {order}"
    return panels.history(
        f"Email bounce rates by day, worst {_WORST} of today first",
        Query(named(ordered, "good"), "{{workspace}} / {{name}}"),
        description=f"{figures.BOUNCE.formula}, of each day with {_LEAST} or more "
        "emails; the last cell is today so far, or yesterday while today has fewer. "
        "Of a day that is over it is the last complete day as it was stored in the "
        "twelve hours after its end, else the last that was stored during it. Days are "
        "right if the time zones of your browser and of the workspace differ by less "
        "than 12 hours.",
        unit="percentunit",
        thresholds=palette.BOUNCE.steps(good=palette.BLUE),
        links=[links.of_series()],
        nothing=f"No campaign or canvas with {_LEAST} emails a day",
    )


def _rate(*, at: str = "") -> str:
    """Return the rate of the day that begins at each point, or at one point."""
    day = select("braze_(campaign|canvas)_daily_timestamp_seconds", promql.OF_JOB)

    def today(selector: str) -> str:
        stored = partial(_stored, window="1d", later="1d", at=at)
        return newest(stored(selector), day=stored(day))

    def over(selector: str) -> str:
        return _stored(selector, window="12h", later="36h", at=at)

    def summed(period: figures.Period, metric: str) -> str:
        matchers = (*period.scope, 'channel="email"', f'metric="{metric}"')
        selector = select(period.family, matchers)
        stored = today(selector) if period is figures.TODAY else over(selector)
        return total(fold(stored), *OBJECT)

    return union(
        *(
            f"{summed(period, 'bounces')} / ({summed(period, 'sent')} >= {_LEAST})"
            for period in (figures.LAST, figures.TODAY)
        )
    )


def _stored(selector: str, *, window: str, later: str, at: str) -> str:
    """Return the newest samples of a window that ends so much later than a point."""
    return f"last_over_time({selector}[{window}]{at} offset -{later})"
