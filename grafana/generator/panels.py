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
    statushistory,
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

from grafana.generator import channels, palette
from grafana.generator.variables import SOURCE

Properties = list[models.DynamicConfigValue]

MONTH, TODAY = "28d", "now/d"
"""Time ranges of panels that do not follow that of the dashboard."""

_DAY = "1d"
_POINTS = 250
"""Of a graph. By default Grafana requests one for each pixel."""
_DAYS_SHOWN = 29
_TITLE_PIXELS, _VALUE_PIXELS, _WORDS_PIXELS = 12, 28, 22
_LEGEND_PIXELS = 260
_BAR_PIXELS = 22


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
    return course(query, number=number).interval(_DAY)


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
    leads: Sequence[builders.DashboardLink] = (),
) -> stats.Panel:
    """Return big numbers, one for each series, named if there are several queries.

    A trend comes before the queries: its last value is the number, above its sparkline
    with a point for each day.
    """
    instants = enumerate(queries, start=1 if trend else 0)
    panel = (
        stats.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .thresholds(thresholds or palette.no_steps())
        .mappings([palette.empty(), *mappings])
        .no_value(nothing)
        .data_links(list(leads))
        .text(
            common_builders.VizTextDisplayOptions()
            .title_size(_TITLE_PIXELS)
            .value_size(_WORDS_PIXELS if mappings else _VALUE_PIXELS)
        )
        .color_mode(common.BigValueColorMode.VALUE)
        .graph_mode(
            common.BigValueGraphMode.AREA if trend else common.BigValueGraphMode.NONE
        )
        .justify_mode(common.BigValueJustifyMode.AUTO)
        .orientation(
            common.VizOrientation.HORIZONTAL
            if trend and queries
            else common.VizOrientation.AUTO
        )
        .text_mode(
            common.BigValueTextMode.VALUE_AND_NAME
            if len(queries) > (0 if trend else 1)
            else common.BigValueTextMode.VALUE
        )
        .reduce_options(_last())
        .targets(
            [
                *([days(trend, number=0)] if trend else []),
                *(instant(query, number=at) for at, query in instants),
            ]
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
    colours: builders.FieldColor | None = None,
    since: str | None = None,
    is_by_day: bool = False,
) -> timeseries.Panel:
    """Return a graph over time; with thresholds their lines are drawn.

    With a series per label the legend is a table with their last values, and they have
    shades of one colour. `since` replaces the time range of the dashboard. `is_by_day`:
    with a point for each day, for figures of complete days.
    """
    query_of = days if is_by_day else course
    has_labels = any("{{" in query.legend for query in queries)
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
        .color_scheme(colours or palette.shades())
        .legend(_values_legend() if has_labels else _legend())
        .tooltip(
            common_builders.VizTooltipOptions()
            .mode(common.TooltipDisplayMode.MULTI)
            .sort(common.SortOrder.DESCENDING)
        )
        .data_links(list(links))
        .targets([query_of(query, number=at) for at, query in enumerate(queries)])
    )
    if not is_by_day:
        panel.max_data_points(_POINTS)
    if least is not None:
        panel.min(least)
    if since is not None:
        panel.time_from(since)
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
    if decimals is not None:
        panel.decimals(decimals)
    if label == "channel":
        panel.override_by_name(label, [property_("mappings", channels.mappings())])
    for override in _coloured(queries):
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
        .interval(_DAY)
        .max_data_points(_DAYS_SHOWN)
        .legend(_legend())
        .tooltip(
            common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.SINGLE)
        )
        .data_links(list(links))
        .targets([days(query, number=0)])
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


def _values_legend() -> common_builders.VizLegendOptions:
    return (
        common_builders.VizLegendOptions()
        .show_legend(show_legend=True)
        .display_mode(common.LegendDisplayMode.TABLE)
        .placement(common.LegendPlacement.RIGHT)
        .width(_LEGEND_PIXELS)
        .calcs(["lastNotNull"])
        .sort_by("Last *")
        .sort_desc(sort_desc=True)
    )
