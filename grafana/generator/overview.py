"""The overview: is all well, and if not, which campaign or canvas needs a look."""

from __future__ import annotations

from grafana.generator import (
    alerts,
    bounces,
    channels,
    daily,
    figures,
    health,
    links,
    palette,
    panels,
    promql,
    states,
)
from grafana.generator.bars import bars
from grafana.generator.figures import LAST, Rate, converting, stage
from grafana.generator.freshness import DATE, failing, oldest
from grafana.generator.last_day import counted, rated
from grafana.generator.layout import TREND_ROWS, Drawn, Section, Tile
from grafana.generator.palette import Limits
from grafana.generator.panels import Query, property_
from grafana.generator.promql import fold, select, total
from grafana.generator.shell import Page


def page() -> Page:
    """Return the dashboard."""
    return Page(
        uid="braze-overview",
        title="Braze / Overview",
        description="All campaigns and canvases at a glance, and those that need "
        "attention.",
        sections=(
            Section("Now", [*_now(), Tile(alerts.table(), 24, 5)]),
            Section("What needs a look", [Tile(states.table(), 24, 13)]),
            Section("Yesterday: the last complete day", _yesterday()),
            Section("Where bounces come from", [Tile(bounces.history(), 24, 11)]),
            Section(
                "Channels, delivery and unsubscribes", _monthly(), is_collapsed=True
            ),
        ),
    )


def _now() -> list[Tile]:
    small = (
        health.exporter(links.to_exporter()),
        alerts.firing(),
        failing(links.to_exporter(), links.to_workspace()),
        oldest(links.to_exporter()),
        _today("Email bounces today", figures.BOUNCE, palette.BOUNCE, "Hard bounces."),
        _today(
            "Email spam today",
            figures.SPAM,
            palette.SPAM,
            "Complaints about older mail are included. A lower bound: Gmail reports "
            "none.",
        ),
    )
    return [Tile(panel, 4, 4) for panel in small]


def _today(title: str, rate: Rate, limits: Limits, note: str) -> Drawn:
    return panels.stat(
        title,
        [Query(rate.over(figures.TODAY))],
        description=f"{rate.formula}, today so far (incomplete). {note}",
        unit="percentunit",
        decimals=limits.decimals,
        thresholds=limits.steps(good=palette.PLAIN),
        nothing="No email",
        leads=[links.to_deliverability()],
    )


def _yesterday() -> list[Tile]:
    small = (
        counted(
            "Sent",
            lambda period: stage(period, figures.SENT),
            description="Sum of `sent` over all channels",
        ),
        rated(
            "Bounce rate (email)", figures.BOUNCE, palette.BOUNCE, "Hard bounces only."
        ),
        rated(
            "Spam rate (email)",
            figures.SPAM,
            palette.SPAM,
            "A lower bound: Gmail reports none.",
        ),
        rated("Open rate (email)", figures.OPEN, None, "Machine opens are excluded."),
        rated("Click rate (email)", figures.CLICK, None),
        counted(
            "Conversions",
            lambda period: converting(period, "conversions"),
            description="Sum of `conversions` (first conversion event), of "
            "multivariate campaigns over their variations without control groups, of "
            "others campaign-wide, of canvases canvas-wide, if they use a chosen "
            "channel; the choice of a variation has no effect here",
        ),
    )
    return [Tile(panel, 4, TREND_ROWS) for panel in small]


def _monthly() -> list[Tile]:
    day = select(
        "braze_(campaign|canvas)_last_complete_day_timestamp_seconds",
        promql.OF_CAMPAIGN,
    )
    return [
        Tile(rated("Delivery rate (email)", figures.DELIVERY, palette.DELIVERY), 8, 5),
        Tile(
            rated("Unsubscribe rate (email)", figures.UNSUBSCRIBE, palette.UNSUBSCRIBE),
            8,
            5,
        ),
        Tile(
            panels.stat(
                "Last complete day",
                # At noon it is the same date in the time zones of most readers.
                [Query(f"1000 * (43200 + max({fold(day)}))")],
                description="The newest complete day in the time zone of its "
                "workspace: yesterday, as the figures above. Other workspaces may be a "
                "day behind.",
                unit=DATE,
            ),
            8,
            5,
        ),
        Tile(_mix(), 8, 13),
        Tile(
            daily.graph_by_day(
                "Messages by day and channel",
                [Query(_volume(figures.BY_DAY), "{{channel}}")],
                description="Messages of the last complete day by channel: `sent`, of "
                "in-app messages `impressions`. A bar covers its day.",
                unit="short",
            ),
            16,
            13,
        ),
    ]


def _volume(period: figures.Period) -> str:
    return total(stage(period, figures.VOLUME), "channel")


def _mix() -> Drawn:
    panel = bars(
        "Channel mix, last complete day",
        [Query(f"sort_desc({_volume(LAST)} > 0)", "{{channel}}")],
        name="${__field.labels.channel}",
        description=f"Sum of `sent` by channel on {LAST.days}; for in-app "
        f"messages, which are not sent, the impressions.",
        unit="short",
    )
    for channel, (name, _) in channels.series().items():
        panel.override_by_name(channel, [property_("displayName", name)])
    return panel
