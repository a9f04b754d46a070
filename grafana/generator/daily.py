"""Graphs of daily figures, with a point for each day."""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import timeseries
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models

from grafana.generator import channels, palette
from grafana.generator.panels import Query, graph, property_


def graph_by_day(
    title: str,
    queries: Sequence[Query],
    *,
    description: str,
    unit: str,
    thresholds: builders.ThresholdsConfig | None = None,
    decimals: int | None = None,
    nothing: str = "–",
    is_rate: bool = False,
) -> timeseries.Panel:
    """Return a graph with a point for each day: stacked bars, or lines of rates.

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
