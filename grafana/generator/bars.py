"""Panels of bars and cells: one for each series, for each channel, or for each day."""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.builders import barchart, bargauge, statushistory
from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models

from grafana.generator import channels, palette
from grafana.generator.panels import (
    DAY,
    MONTH,
    Query,
    coloured,
    days,
    instant,
    last_value,
    list_legend,
    property_,
    reference,
    row,
)
from grafana.generator.variables import SOURCE

_DAYS_SHOWN = 29
_BAR_PIXELS = 22


def bars(
    title: str,
    queries: Sequence[Query],
    *,
    name: str,
    description: str,
    unit: str,
    thresholds: builders.ThresholdsConfig | None = None,
    links: Sequence[builders.DashboardLink] = (),
    most: float | None = None,
) -> bargauge.Panel:
    """Return one horizontal bar for each series, in the order of the result.

    `name` is the text of Grafana before a bar, with fields: the legend gives a single
    bar no name. `most` is the value of a full bar, by default the largest value.
    """
    panel = (
        bargauge.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .thresholds(thresholds or palette.no_steps(palette.SKY))
        .no_value("–")
        .display_mode(common.BarGaugeDisplayMode.BASIC)
        .value_mode(common.BarGaugeValueMode.TEXT)
        .display_name(name)
        .name_placement(common.BarGaugeNamePlacement.LEFT)
        .sizing(common.BarGaugeSizing.MANUAL)
        .min_viz_height(_BAR_PIXELS)
        .max_viz_height(_BAR_PIXELS)
        .show_unfilled(show_unfilled=False)
        .orientation(common.VizOrientation.HORIZONTAL)
        .reduce_options(last_value())
        .data_links(list(links))
        .targets([instant(query, number=at) for at, query in enumerate(queries)])
    )
    return panel if most is None else panel.max(most)


def groups(
    title: str,
    queries: Sequence[Query],
    *,
    label: str,
    description: str,
    unit: str,
    decimals: int | None = None,
    nothing: str = "–",
) -> barchart.Panel:
    """Return groups of bars, one group for each value of a label, one bar per query."""
    names = {
        f"Value #{reference(at)}": query.legend for at, query in enumerate(queries)
    }
    panel = (
        barchart.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .no_value(nothing)
        .x_field(label)
        .orientation(common.VizOrientation.HORIZONTAL)
        .group_width(0.8)
        .bar_width(0.9)
        .fill_opacity(85)
        .show_value(common.VisibilityMode.AUTO)
        .legend(list_legend())
        .tooltip(
            common_builders.VizTooltipOptions()
            .mode(common.TooltipDisplayMode.MULTI)
            .sort(common.SortOrder.NONE)
        )
        .transformations(
            [
                models.DataTransformerConfig(id_val="merge", options={}),
                models.DataTransformerConfig(
                    id_val="organize",
                    options={
                        "excludeByName": {"Time": True},
                        "indexByName": {
                            name: at for at, name in enumerate([label, *names])
                        },
                        "renameByName": names,
                    },
                ),
                models.DataTransformerConfig(
                    id_val="sortBy",
                    options={
                        "fields": {},
                        "sort": [{"field": queries[0].legend, "desc": True}],
                    },
                ),
            ]
        )
        .targets([row(query, number=at) for at, query in enumerate(queries)])
    )
    if decimals is not None:
        panel.decimals(decimals)
    if label == "channel":
        panel.override_by_name(label, [property_("mappings", channels.mappings())])
    for override in coloured(queries):
        panel.override_by_regexp(override.name, override.properties)
    return panel


def history(
    title: str,
    query: Query,
    *,
    description: str,
    unit: str,
    thresholds: builders.ThresholdsConfig,
    links: Sequence[builders.DashboardLink] = (),
    nothing: str = "–",
) -> statushistory.Panel:
    """Return a row of cells for each series, one for each of 28 days.

    All cells have the same width, so that the last one is seen.
    """
    return (
        statushistory.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .decimals(1)
        .thresholds(thresholds)
        .mappings([palette.empty(palette.NONE)])
        .color_scheme(builders.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
        .no_value(nothing)
        .show_value(common.VisibilityMode.NEVER)
        .row_height(0.85)
        .col_width(0.95)
        .fill_opacity(85)
        .time_from(MONTH)
        .interval(DAY)
        .max_data_points(_DAYS_SHOWN)
        .legend(list_legend())
        .tooltip(
            common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.SINGLE)
        )
        .data_links(list(links))
        .targets([days(query, number=0)])
    )
