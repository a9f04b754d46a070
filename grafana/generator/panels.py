"""Panels of one style: stats, graphs, bars, timelines and texts.

Uses only kinds and options of Grafana 10 and newer. Every panel queries the chosen data
source, and its description explains how its figures are computed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import (
    barchart,
    bargauge,
    prometheus,
    statetimeline,
    timeseries,
)
from grafana_foundation_sdk.builders import (
    common as common_builders,
)
from grafana_foundation_sdk.builders import (
    dashboard as builders,
)
from grafana_foundation_sdk.builders import (
    stat as stats,
)
from grafana_foundation_sdk.builders import (
    text as texts,
)
from grafana_foundation_sdk.models import common, text
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from grafana.generator import palette
from grafana.generator.variables import SOURCE

Properties = list[models.DynamicConfigValue]


@dataclass(frozen=True, slots=True)
class Query:
    """An expression and its legend, with labels in double braces."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Override:
    """Different settings for the series of one name."""

    name: str
    properties: Properties


def property_(name: str, value: object) -> models.DynamicConfigValue:
    """Return a setting of a field."""
    return models.DynamicConfigValue(id_val=name, value=value)


def reference(number: int) -> str:
    """Return the letter of a panel's query, counted from 0."""
    return chr(ord("A") + number)


def instant(query: Query, *, number: int) -> prometheus.Dataquery:
    """Return a query for the end of the time range."""
    return _target(query, number=number).instant()


def course(query: Query, *, number: int) -> prometheus.Dataquery:
    """Return a query for the whole time range."""
    return _target(query, number=number).range()


def days(query: Query, *, number: int) -> prometheus.Dataquery:
    """Return a query for the whole time range, with a point for each day."""
    return course(query, number=number).interval("1d")


def row(query: Query, *, number: int) -> prometheus.Dataquery:
    """Return a query whose labels become columns."""
    return instant(query, number=number).format(PromQueryFormat.TABLE)


def _target(query: Query, *, number: int) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery()
        .datasource(SOURCE)
        .expr(query.expression)
        .legend_format(query.legend or "__auto")
        .ref_id(reference(number))
    )


def stat(  # noqa: PLR0913 - every option of the panel is named
    title: str,
    queries: Sequence[Query],
    *,
    description: str,
    unit: str,
    thresholds: builders.ThresholdsConfig | None = None,
    decimals: int | None = None,
    mappings: Sequence[models.ValueMapping] = (),
    overrides: Iterable[Override] = (),
    nothing: str = "–",
    trend: Query | None = None,
) -> stats.Panel:
    """Return big numbers, one for each series, named if there are several queries.

    A trend replaces the queries: its last value is the number, above its sparkline
    with a point for each day.
    """
    panel = (
        stats.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .thresholds(thresholds or palette.no_steps())
        .mappings(list(mappings))
        .no_value(nothing)
        .color_mode(common.BigValueColorMode.VALUE)
        .graph_mode(
            common.BigValueGraphMode.AREA if trend else common.BigValueGraphMode.NONE
        )
        .justify_mode(common.BigValueJustifyMode.AUTO)
        .orientation(common.VizOrientation.AUTO)
        .text_mode(
            common.BigValueTextMode.VALUE_AND_NAME
            if len(queries) > 1
            else common.BigValueTextMode.VALUE
        )
        .reduce_options(_last())
        .targets(
            [days(trend, number=0)]
            if trend
            else [instant(query, number=at) for at, query in enumerate(queries)]
        )
    )
    if trend:
        # Else the sparkline begins at its lowest value.
        panel.min(0)
    if decimals is not None:
        panel.decimals(decimals)
    for override in overrides:
        panel.override_by_regexp(override.name, override.properties)
    return panel


def graph(  # noqa: PLR0913 - every option of the panel is named
    title: str,
    queries: Sequence[Query],
    *,
    description: str,
    unit: str,
    thresholds: builders.ThresholdsConfig | None = None,
    lines: Iterable[Override] = (),
    links: Sequence[builders.DashboardLink] = (),
    least: float | None = 0,
    nothing: str = "–",
) -> timeseries.Panel:
    """Return a graph over time; with thresholds their lines are drawn."""
    style = (
        common.GraphThresholdsStyleMode.DASHED
        if thresholds
        else common.GraphThresholdsStyleMode.OFF
    )
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .thresholds(thresholds or palette.no_steps())
        .thresholds_style(common_builders.GraphThresholdsStyleConfig().mode(style))
        .no_value(nothing)
        .line_width(2)
        .fill_opacity(0)
        .show_points(common.VisibilityMode.AUTO)
        .legend(_legend())
        .tooltip(
            common_builders.VizTooltipOptions()
            .mode(common.TooltipDisplayMode.MULTI)
            .sort(common.SortOrder.DESCENDING)
        )
        .data_links(list(links))
        .targets([course(query, number=at) for at, query in enumerate(queries)])
    )
    if least is not None:
        panel.min(least)
    for override in (*_coloured(queries), *lines):
        panel.override_by_regexp(override.name, override.properties)
    return panel


def _coloured(queries: Sequence[Query]) -> list[Override]:
    """Return colours for series whose names contain no labels."""
    names = [query.legend for query in queries]
    if len(names) > len(palette.SERIES) or any("{{" in name for name in names):
        return []
    return [
        Override(
            f"/^{re.escape(name)}$/",
            [property_("color", {"mode": "fixed", "fixedColor": colour})],
        )
        for name, colour in zip(names, palette.SERIES, strict=False)
    ]


def line(name: str, colour: str) -> Override:
    """Return the style of a limit: a thin dashed line in one colour."""
    return Override(
        f"/^{name}$/",
        [
            property_("color", {"mode": "fixed", "fixedColor": colour}),
            property_("custom.lineWidth", 1),
            property_("custom.lineStyle", {"fill": "dash", "dash": [8, 6]}),
            property_("custom.showPoints", "never"),
            property_("links", []),
        ],
    )


def bars(
    title: str,
    queries: Sequence[Query],
    *,
    description: str,
    unit: str,
    thresholds: builders.ThresholdsConfig | None = None,
    links: Sequence[builders.DashboardLink] = (),
    most: float | None = None,
) -> bargauge.Panel:
    """Return one horizontal bar for each series, in the order of the result.

    `most` is the value of a full bar, by default the largest value.
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
        .show_unfilled(show_unfilled=False)
        .orientation(common.VizOrientation.HORIZONTAL)
        .reduce_options(_last())
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
        .no_value("–")
        .x_field(label)
        .orientation(common.VizOrientation.VERTICAL)
        .group_width(0.8)
        .bar_width(0.9)
        .fill_opacity(85)
        .show_value(common.VisibilityMode.AUTO)
        .legend(_legend())
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
    for override in _coloured(queries):
        panel.override_by_regexp(override.name, override.properties)
    return panel


def timeline(
    title: str,
    query: Query,
    *,
    description: str,
    unit: str,
    thresholds: builders.ThresholdsConfig,
    links: Sequence[builders.DashboardLink] = (),
) -> statetimeline.Panel:
    """Return a band for each series, coloured by its value."""
    return (
        statetimeline.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .decimals(1)
        .thresholds(thresholds)
        .color_scheme(builders.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
        .no_value("–")
        .merge_values(merge_values=True)
        .show_value(common.VisibilityMode.NEVER)
        .row_height(0.85)
        .fill_opacity(85)
        .legend(_legend())
        .tooltip(
            common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.SINGLE)
        )
        .data_links(list(links))
        .targets([course(query, number=0)])
    )


def words(*codes: tuple[int, str, str]) -> tuple[models.ValueMapping, ...]:
    """Return the text and the colour of each code."""
    return (
        models.ValueMap(
            options={
                str(code): models.ValueMappingResult(text=text, color=colour, index=at)
                for at, (code, text, colour) in enumerate(codes)
            }
        ),
    )


def note(title: str, content: str, *, description: str) -> texts.Panel:
    """Return a text in Markdown."""
    return (
        texts.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit("none")
        .mode(text.TextMode.MARKDOWN)
        .content(content)
    )


def _last() -> common_builders.ReduceDataOptions:
    return (
        common_builders.ReduceDataOptions().values(values=False).calcs(["lastNotNull"])
    )


def _legend() -> common_builders.VizLegendOptions:
    return (
        common_builders.VizLegendOptions()
        .show_legend(show_legend=True)
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
    )
