"""Daily figures: graphs with a point for each day, and numbers of the last day."""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import timeseries
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models

from grafana.generator import channels, figures, palette
from grafana.generator.layout import Drawn
from grafana.generator.palette import Limits
from grafana.generator.panels import Query, graph, property_, stat

POINT = (
    "A bar covers its day, a point is at its end. The days are right if the time zones "
    "of your browser and of the workspace differ by less than 11 hours."
)


def graph_by_day(  # noqa: PLR0913 - every option of the panel is named
    title: str,
    queries: Sequence[Query],
    *,
    description: str,
    unit: str,
    thresholds: builders.ThresholdsConfig | None = None,
    decimals: int | None = None,
    nothing: str = "–",
    is_rate: bool = False,
    reach: float | None = None,
) -> timeseries.Panel:
    """Return a graph with a point for each day: stacked bars, or lines of rates.

    `reach` is a value that is on the axis, also if all others are lower.
    The point of a day is at its end. Series with the name of a channel in Braze have
    the name and the colour of that channel.
    """
    panel = graph(
        title,
        queries,
        description=description,
        unit=unit,
        thresholds=thresholds,
        nothing=nothing,
        is_by_day=True,
    )
    # Of channels without a colour; else Grafana takes its own, with green and red.
    panel.color_scheme(
        builders.FieldColor()
        .mode(models.FieldColorModeId.FIXED)
        .fixed_color(palette.PLAIN)
    )
    if decimals is not None:
        panel.decimals(decimals)
    if reach is not None:
        panel.axis_soft_max(reach)
    if not is_rate:
        panel.draw_style(common.GraphDrawStyle.BARS).fill_opacity(85).line_width(0)
        panel.bar_alignment(common.BarAlignment.BEFORE)
        panel.stacking(
            common_builders.StackingConfig().mode(common.StackingMode.NORMAL).group("A")
        )
    has_channels = any("{{channel}}" in query.legend for query in queries)
    for channel, (name, colour) in channels.series().items() if has_channels else ():
        panel.override_by_name(
            channel,
            [
                property_("displayName", name),
                property_("color", {"mode": "fixed", "fixedColor": colour}),
            ],
        )
    return panel


def number(
    title: str,
    value: str,
    *,
    description: str,
    unit: str = "short",
    decimals: int | None = None,
    limits: Limits | None = None,
    nothing: str = "No figures",
) -> Drawn:
    """Return a number of the last complete day, with a sparkline of the days."""
    return stat(
        title,
        [],
        trend=Query(value),
        description=f"{description} The number is of {figures.LAST.days}, the line of "
        "the days before.",
        unit=unit,
        decimals=limits.decimals if limits else decimals,
        thresholds=limits.steps(good=palette.PLAIN) if limits else None,
        nothing=nothing,
    )
