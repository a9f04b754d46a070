"""Users, sessions and purchases of a workspace, by day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from grafana_foundation_sdk.models import dashboard as models

from grafana.generator import daily, figures, promql, tables
from grafana.generator.figures import Period
from grafana.generator.layout import Drawn
from grafana.generator.panels import Query, property_
from grafana.generator.promql import total
from grafana.generator.tables import Column, change

_BY = ("workspace", "metric")
_SUMMED = "new_users|uninstalls|sessions|purchases|purchase_revenue"
_ALL = f"dau|mau|{_SUMMED}"
_WORDS = {
    "dau": "active users",
    "mau": "active in 30 days",
    "new_users": "new users",
    "uninstalls": "uninstalls",
    "sessions": "sessions",
    "purchases": "purchases",
    "purchase_revenue": "purchase revenue, $",
}
_NO_KPI = "No series.kpi, series.sessions or series.purchases, or no figures"
_OVER = "Of several workspaces the sum: a user of two counts twice."


def _of(period: Period, name: str) -> str:
    own = replace(period, kinds="workspace", scope=promql.OF_WORKSPACE)
    return figures.stat(own, name)


def number() -> Drawn:
    """Return the active users of the last complete day, with those of days before."""
    return daily.number(
        "Active users",
        total(_of(figures.BY_DAY, "dau")),
        description="Users who were active on a day (`dau`), in series.kpi of the "
        f"configuration. {_OVER}",
        nothing="No kpi",
    )


def table() -> Drawn:
    """Return the figures of the last complete day against a week before."""
    last = total(_of(figures.LAST, _ALL), *_BY)
    words = models.ValueMap(
        options={
            name: models.ValueMappingResult(text=text, index=at)
            for at, (name, text) in enumerate(_WORDS.items())
        }
    )
    return tables.table_of(
        "Users, sessions and purchases, last complete day",
        [
            Column("Last day", last),
            change("vs weekday", last, modifier="offset 7d"),
            Column("Today", total(_of(figures.TODAY, _ALL), *_BY)),
            Column("28 days", total(_of(figures.MONTH, _SUMMED), *_BY)),
        ],
        keys=("metric", "workspace"),
        extra={"metric": [property_("mappings", [words])]},
        sort="Metric",
        is_ascending=True,
        nothing=_NO_KPI,
        description=f"On {figures.LAST.days}; its change from the same weekday a week "
        "before, which Prometheus stored 7 days ago; today so far; and the sum of the "
        "28 days before today. Active users have no sum: a user of two days would be "
        "in it twice. Active in 30 days (`mau`) is a level.",
    )


def active() -> Drawn:
    """Return the active users by day."""
    return _bars("Active users, by day", {"dau": "active users"}, "series.kpi")


def changed() -> Drawn:
    """Return new users and uninstalls by day."""
    return _lines(
        "New users and uninstalls, by day",
        {"new_users": "new users", "uninstalls": "uninstalls"},
        "series.kpi",
    )


def courses() -> Sequence[Drawn]:
    """Return graphs of the other figures."""
    return (
        _lines("Active in 30 days, by day", {"mau": "active in 30 days"}, "series.kpi"),
        _lines(
            "Sessions and purchases, by day",
            {"sessions": "sessions", "purchases": "purchases"},
            "series.sessions and series.purchases",
        ),
        _bars(
            "Purchase revenue, by day",
            {"purchase_revenue": "revenue"},
            "series.purchases",
            unit="currencyUSD",
        ),
    )


def _bars(
    title: str, names: dict[str, str], option: str, *, unit: str = "short"
) -> Drawn:
    return _by_day(title, names, option, unit=unit, is_rate=False)


def _lines(title: str, names: dict[str, str], option: str) -> Drawn:
    return _by_day(title, names, option, unit="short", is_rate=True)


def _by_day(
    title: str, names: dict[str, str], option: str, *, unit: str, is_rate: bool
) -> Drawn:
    fields = ", ".join(f"`{name}`" for name in names)
    return daily.graph_by_day(
        title,
        [Query(total(_of(figures.BY_DAY, name)), text) for name, text in names.items()],
        description=f"{fields} of each complete day, the last one at the right; "
        f"{option} of the configuration. {_OVER} {daily.POINT}",
        unit=unit,
        nothing=f"No {option.replace(' and ', ' or ')}, or no figures",
        is_rate=is_rate,
    )
