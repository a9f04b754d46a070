"""The overview: every campaign and canvas at a glance."""

from __future__ import annotations

from grafana.generator import figures, links, palette, panels, promql, tables
from grafana.generator.figures import (
    LAST,
    TODAY,
    WEEK,
    Rate,
    converting,
    overall,
    stage,
)
from grafana.generator.freshness import DATE, failing, oldest
from grafana.generator.layout import Drawn, Section, Tile
from grafana.generator.palette import Limits
from grafana.generator.panels import Override, Query, property_
from grafana.generator.promql import (
    OBJECT,
    change,
    fold,
    moved,
    named,
    otherwise,
    ratio,
    select,
    total,
    union,
)
from grafana.generator.shell import Page
from grafana.generator.tables import Column, percent

_KEYS = ("kind", "name", "workspace")
_MOST = 200
_LEAST = 100
_COMPARED = (
    "Below it the relative change from the day before and from the mean of the 7 days "
    "before today, which include the last complete day. The day before is the value "
    "that Prometheus stored 24 hours ago, so it needs a day of history."
)


def page() -> Page:
    """Return the dashboard."""
    return Page(
        uid="braze-overview",
        title="Braze / Overview",
        description="All campaigns and canvases at a glance, and those that need "
        "attention.",
        sections=(
            Section("Now", _now()),
            Section("Last complete day, against the days before", _days()),
            Section("Campaigns and canvases", [Tile(leaderboard(), 24, 12)]),
            Section("Where bounces come from", [Tile(_bounces(), 16, 10), _mix()]),
            Section("Alerts", [Tile(_alerts(), 24, 7)]),
        ),
    )


def _now() -> list[Tile]:
    up = figures.up()
    day = fold(
        select(
            "braze_(campaign|canvas)_last_complete_day_timestamp_seconds",
            promql.OF_CAMPAIGN,
        )
    )
    small = [
        panels.stat(
            "Firing alerts",
            [Query(f"count({_firing('firing')}) or 0 * count({up})")],
            description="Number of firing alerts of this project. Without its rules in "
            "Prometheus this is 0.",
            unit="short",
            thresholds=palette.steps((None, palette.PLAIN), (1, palette.VERMILLION)),
        ),
        failing(),
        oldest(),
        panels.stat(
            "Last complete day",
            [Query(f"1000 * (43200 + max({day}))")],
            description="The newest complete day in the time zone of its workspace. "
            "Other workspaces may be a day behind.",
            unit=DATE,
        ),
        panels.stat(
            "Sent, today so far",
            [Query(total(stage(TODAY, figures.SENT)))],
            description="Sum of `sent` over all channels, today so far. It restarts at "
            "midnight in the workspace's time zone. The day is incomplete, so there is "
            "no comparison.",
            unit="short",
        ),
        panels.stat(
            "Email bounce rate, today so far",
            [Query(figures.BOUNCE.over(TODAY))],
            description=f"{figures.BOUNCE.formula}, today so far (incomplete). Hard "
            f"bounces only.",
            unit="percentunit",
            decimals=2,
            thresholds=palette.BOUNCE.steps(good=palette.PLAIN),
        ),
        panels.stat(
            "Email spam rate, today so far",
            [Query(figures.SPAM.over(TODAY))],
            description=f"{figures.SPAM.formula}, today so far (incomplete); "
            f"complaints about older mail are included. A lower bound: Gmail reports "
            f"none.",
            unit="percentunit",
            decimals=3,
            thresholds=palette.SPAM.steps(good=palette.PLAIN),
        ),
    ]
    widths = (3, 3, 3, 4, 3, 4, 4)
    return [Tile(panel, width, 3) for panel, width in zip(small, widths, strict=True)]


def _days() -> list[Tile]:
    return [
        Tile(panel, 6, 4)
        for panel in (
            counted(
                "Sent",
                stage(LAST, figures.SENT),
                stage(WEEK, figures.SENT),
                description="Sum of `sent` over all channels",
            ),
            rated(figures.DELIVERY, palette.DELIVERY),
            rated(figures.BOUNCE, palette.BOUNCE, "Hard bounces only."),
            rated(figures.SPAM, palette.SPAM, "A lower bound: Gmail reports none."),
            rated(figures.UNSUBSCRIBE, palette.UNSUBSCRIBE),
            rated(figures.OPEN, None, "Machine opens are excluded."),
            rated(figures.CLICK, None),
            counted(
                "Conversions",
                converting(LAST, "conversions"),
                converting(WEEK, "conversions"),
                description="Sum of `conversions` (first conversion event), of "
                "multivariate campaigns over their variations without control groups, "
                "of others campaign-wide, of canvases canvas-wide, if they use a "
                "chosen channel; the choice of a variation has no effect here",
            ),
        )
    ]


def counted(
    title: str,
    last: str,
    week: str,
    *,
    description: str,
    note: str = "",
    unit: str = "short",
) -> Drawn:
    """Return a stat of a sum on the last complete day, with its changes."""
    return _compared(
        title,
        total(last),
        mean=f"{total(week)} / 7",
        description=f"{description}, on {LAST.days}. {note}".strip(),
        unit=unit,
        limits=None,
    )


def rated(rate: Rate, limits: Limits | None, *caveats: str) -> Drawn:
    """Return a stat of a rate of email on the last complete day, with its changes."""
    return _compared(
        f"{rate.title} (email)",
        rate.over(LAST),
        mean=rate.over(WEEK),
        description=" ".join([f"{rate.formula}, on {LAST.days}.", *caveats]),
        unit="percentunit",
        limits=limits,
    )


def _compared(
    title: str,
    value: str,
    *,
    mean: str,
    description: str,
    unit: str,
    limits: Limits | None,
) -> Drawn:
    # Each of the two is shown if the other is missing.
    earlier = union(
        _named(moved(value, "offset 1d"), "the day before"), _named(mean, "7-day mean")
    )
    changes = change(value, before=earlier)
    return panels.stat(
        title,
        [Query(value, "last complete day"), Query(changes, "vs {{compared}}")],
        description=f"{description} {_COMPARED}",
        unit=unit,
        decimals=(limits.decimals if limits else 2) if unit == "percentunit" else None,
        thresholds=limits.steps(good=palette.PLAIN) if limits else None,
        overrides=[
            Override(
                "/^vs/",
                [
                    property_("unit", "percentunit"),
                    property_("decimals", 1),
                    property_("thresholds", palette.no_steps().build()),
                ],
            )
        ],
    )


def _named(vector: str, name: str) -> str:
    return f'label_replace({vector}, "compared", "{name}", "", "")'


def leaderboard() -> Drawn:
    """Return the table of campaigns and canvases, the most messages first."""
    volume = total(stage(LAST, figures.VOLUME), *OBJECT)
    top = f"topk({_MOST}, {volume})"

    def of_top(vector: str) -> str:
        return f"({vector}) and on ({', '.join(OBJECT)}) {top}"

    def rate(rate: Rate) -> str:
        return of_top(rate.over(LAST, *OBJECT))

    def today(rate: Rate) -> str:
        return of_top(rate.today(*OBJECT, least=_LEAST))

    columns = [
        Column("Sent", top),
        percent("Bounce", rate(figures.BOUNCE), palette.BOUNCE),
        percent("Bounce today", today(figures.BOUNCE), palette.BOUNCE),
        percent("Spam", rate(figures.SPAM), palette.SPAM),
        percent("Spam today", today(figures.SPAM), palette.SPAM),
        percent("Unsubscribe", rate(figures.UNSUBSCRIBE), palette.UNSUBSCRIBE),
        percent("Open", of_top(open_rate(*OBJECT))),
        percent("Click", of_top(click_rate(*OBJECT))),
        percent("Conversion", of_top(conversion_rate())),
    ]
    return tables.table_of(
        "Leaderboard, last complete day",
        columns,
        keys=_KEYS,
        sort="Sent",
        trend=Column("Sent by day", of_top(volume), width=95),
        description=f"The {_MOST} campaigns and canvases with the most messages on "
        f"{LAST.days} "
        f"(in-app messages: "
        "impressions), and their rates on that day: ratios of sums over channels and "
        "variations. Bounce is `bounces` ÷ `sent`, spam `reported_spam` ÷ `delivered`, "
        "unsubscribe `unsubscribes` ÷ `delivered`, all three of email only. The two "
        f"columns named today are of today so far (incomplete), once {_LEAST} were "
        f"sent. Open and click count unique events if the channel reports them, ÷ "
        "`delivered` (email, SMS, WhatsApp, RCS), `sent` (push, content cards, LINE) "
        "or impressions (in-app). Conversion is `conversions` (of multivariate "
        "campaigns over their variations without control groups, else campaign-wide) ÷ "
        "campaign-wide `unique_recipients`; of canvases, canvas-wide ÷ `entries`. "
        "An empty cell: the channel has "
        "no such figure, or nothing was sent. The sparkline shows the messages of the "
        "last complete day over the time range; it changes at midnight. Grafana "
        "before 10.2 needs its feature toggle timeSeriesTable for it.",
    )


def open_rate(*by: str) -> str:
    """Return opened ÷ reached on the last complete day, of channels with opens."""
    return ratio(
        stage(LAST, figures.OPENED_OF_OPENABLE), stage(LAST, figures.OPENABLE), *by
    )


def click_rate(*by: str) -> str:
    """Return clicked ÷ reached on the last complete day, of channels with clicks."""
    return ratio(stage(LAST, figures.CLICKED), stage(LAST, figures.CLICKABLE), *by)


def conversion_rate() -> str:
    """Return conversions ÷ recipients, of canvases ÷ entries, on that day."""
    base = overall(LAST, "unique_recipients|entries")
    return ratio(converting(LAST, "conversions"), base, *OBJECT)


def _bounces() -> Drawn:
    rate = named(figures.BOUNCE.latest(*OBJECT, least=_LEAST))
    return panels.history(
        "Email bounce rates by day, worst 20",
        Query(promql.largest(rate, count=20), "{{workspace}} / {{name}}"),
        description=f"{figures.BOUNCE.formula}, by campaign and canvas: of today so "
        f"far once "
        f"{_LEAST} were sent, before that of {LAST.days}. At midnight it returns to "
        f"the previous day, so a few early messages have no effect. The worst "
        f"are chosen at the end of the time range.",
        unit="percentunit",
        thresholds=palette.BOUNCE.steps(good=palette.BLUE),
        links=[links.of_series()],
    )


def _mix() -> Tile:
    volume = f"sort_desc({total(stage(LAST, figures.VOLUME), 'channel')} > 0)"
    return Tile(
        panels.bars(
            "Channel mix, last complete day",
            [Query(volume, "{{channel}}")],
            name="${__field.labels.channel}",
            description=f"Sum of `sent` by channel on {LAST.days}; for in-app "
            f"messages, which are not sent, the impressions.",
            unit="short",
        ),
        8,
        10,
    )


def _alerts() -> Drawn:
    keys = ("severity", "alertname", "alertstate", *_KEYS)
    by = ("severity", "alertname", "alertstate", *OBJECT)
    alerts = f"count by ({', '.join(by)}) ({_firing('firing|pending')})"
    up = figures.up()
    nothing = f'label_replace(0 * max({up}), "alertname", "nothing fires", "", "")'
    return tables.table_of(
        "Firing and pending alerts",
        [Column("Alerts", otherwise(alerts, nothing))],
        keys=keys,
        sort="Severity",
        is_ascending=True,
        description="Alerts of this project's rules in Prometheus; pending ones wait "
        "for their `for`. Without the rules in Prometheus nothing fires.",
    )


def _firing(states: str) -> str:
    """Return alerts of the chosen job and workspace, and those without these labels."""
    matchers = ('alertname=~"Braze.*"', f'alertstate=~"{states}"')
    scopes = (
        promql.OF_WORKSPACE,
        (promql.JOB, 'workspace=""'),
        ('job=""', 'workspace=~"$workspace"'),
        ('job=""', 'workspace=""'),
    )
    return union(*(select("ALERTS", (*matchers, *scope)) for scope in scopes))
