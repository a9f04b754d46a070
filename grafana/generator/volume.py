"""All email of a workspace, and its messages of a month against its contracts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from grafana.generator import daily, figures, palette, tables
from grafana.generator.figures import BOUNCE, BY_DAY, LAST, MONTH, SPAM, TODAY, Period
from grafana.generator.layout import Drawn
from grafana.generator.palette import Limits
from grafana.generator.panels import Query, property_
from grafana.generator.promql import OF_WORKSPACE, fold, select, total, union
from grafana.generator.tables import Column, percent

_LIMITS = Limits(0.001, 0.003, decimals=3)
"""Google, bulk senders: stay below 0.1 %, and never reach 0.3 %."""
_USED = Limits(0.9, 1, decimals=0)
"""A default of this project, of the messages of a contract."""
_DAYS = ((TODAY, "today so far"), (LAST, "last day"), (MONTH, "28 days"))
_NARROW = 97
_MIDDAY = 13 * 3600
"""From the start of a day to an instant whose date in UTC is that day.

From UTC-10 to UTC+13.
"""
_DOMAIN = (
    "Google and Yahoo count by sending domain: all email of a workspace is nearer to "
    "that than a campaign. A lower bound: Gmail reports none to Braze."
)


def _of(period: Period) -> Period:
    return replace(period, scope=OF_WORKSPACE)


def email_table() -> Drawn:
    """Return email sent, bounced and reported, over several days."""

    def rows(value: Callable[[Period], str]) -> str:
        return union(
            *(
                f'label_replace({value(_of(period))}, "days", "{days}", "", "")'
                for period, days in _DAYS
            )
        )

    def number(name: str) -> str:
        return rows(lambda period: total(figures.email(period, name), "workspace"))

    def rate(of: figures.Rate) -> str:
        return rows(lambda period: of.over(period, "workspace"))

    return tables.table_of(
        "All email together, campaigns and canvases",
        [
            Column("Sent", number("sent")),
            Column("Bounced", number("bounces")),
            Column("Complained", number("reported_spam")),
            percent("Bounces", rate(BOUNCE), palette.BOUNCE),
            percent("Spam", rate(SPAM), _LIMITS),
        ],
        keys=("days", "workspace"),
        extra={"workspace": [property_("custom.width", _NARROW)]},
        sort="Days",
        nothing="No email of what is polled, or no figures",
        description="Sums over all polled campaigns and canvases of the workspace: "
        "today so far (incomplete), the last complete day, and the 28 days before "
        "today taken together. Bounces: `bounces` ÷ `sent`, hard bounces only; spam: "
        f"`reported_spam` ÷ `delivered`, with the limits of Google, 0.1 % and 0.3 %. "
        f"{_DOMAIN}",
    )


def complaints() -> Drawn:
    """Return the rate of complaints about all email by day, beside the limits."""
    return daily.graph_by_day(
        "Spam complaints about all email, by day",
        [Query(SPAM.over(_of(BY_DAY), "workspace"), "{{workspace}}")],
        description=f"{SPAM.formula}, over all polled campaigns and canvases of the "
        "workspace, on the last complete day of each point. The lines are those of "
        f"Google: stay below 0.1 %, never reach 0.3 %. {_DOMAIN} {daily.POINT}",
        unit="percentunit",
        decimals=_LIMITS.decimals,
        thresholds=_LIMITS.steps(good=palette.NONE),
        nothing="No email of what is polled, or no figures",
        is_rate=True,
        reach=_LIMITS.critical,
    ).color_scheme(palette.shades())


def contracts() -> Drawn:
    """Return the messages of this month against those of the contract."""
    by = ("workspace", "channel")
    sent = fold(select("braze_(campaign|canvas)_month_to_date_messages", OF_WORKSPACE))
    sent = total(sent, *by)
    contract = select("braze_workspace_contract_messages", OF_WORKSPACE)
    contract = f"max by ({', '.join(by)}) ({contract})"
    used = f"{sent} / ({contract} > 0)"
    return tables.table_of(
        "Messages of this month against the contract",
        [
            percent("Used", used, _USED),
            percent(
                "At its end", f"{used} / on (workspace) group_left () {_gone()}", _USED
            ),
            Column("Sent", sent),
            Column("Contract", contract),
        ],
        keys=("channel", "workspace"),
        sort="Used",
        nothing="No contract, no campaign or canvas polled, or no figures",
        description="Messages sent since the first of the month, today included, over "
        "all polled campaigns and canvases, and those of a month in `contract` of the "
        "configuration. At its end: the share that will be used if the rest of the "
        "month is like its part so far, in the time zone of the workspace. Messages of "
        "campaigns that are not polled are missing. The colours change at 90 % and "
        "100 %.",
    )


def _gone() -> str:
    """Return the part of the month that is over, at least a day, of each workspace."""
    day = select("braze_(campaign|canvas)_daily_timestamp_seconds", OF_WORKSPACE)
    start = f"max by (workspace) ({day})"
    date = f"({start} + {_MIDDAY})"
    hours = f"24 * (day_of_month{date} - 1) + (time() - {start}) / 3600"
    return f"(clamp_min({hours}, 24) / (24 * days_in_month{date}))"
