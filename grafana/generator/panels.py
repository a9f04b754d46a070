"""Panels of one style: stats, graphs and texts.

Uses only kinds and options of Grafana 10 and newer. Every panel queries the chosen data
source, and its description explains how its figures are computed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import (
    common as common_builders,
)
from grafana_foundation_sdk.builders import (
    dashboard as builders,
)
from grafana_foundation_sdk.builders import (
    prometheus,
    timeseries,
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

MONTH, TODAY = "28d", "now/d"
"""Time ranges of panels that do not follow that of the dashboard."""

DAY = "1d"
_POINTS = 250
"""Of a graph. By default Grafana requests one for each pixel."""
_TITLE_PIXELS, _VALUE_PIXELS, _WORDS_PIXELS = 12, 28, 22
_LEGEND_PIXELS = 260


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
    return course(query, number=number).interval(DAY)


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
        # Of an empty panel Grafana shows the mapped text, and not `no_value`.
        .mappings([palette.empty(text=nothing), *mappings])
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
        .reduce_options(last_value())
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
    if trend and queries:
        # Else it ends at the largest value of all queries. Grafana's types of panels
        # lack this setting, except as an override.
        panel.with_override(
            models.MatcherConfig(id_val="byType", options="number"),
            [property_("fieldMinMax", value=True)],
        )
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
        .legend(_values_legend() if has_labels else list_legend())
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
    for override in (*coloured(queries), *lines):
        panel.override_by_regexp(override.name, override.properties)
    return panel


def coloured(queries: Sequence[Query]) -> list[Override]:
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


def last_value() -> common_builders.ReduceDataOptions:
    """Return the reduction of a series to one number."""
    return (
        common_builders.ReduceDataOptions().values(values=False).calcs(["lastNotNull"])
    )


def list_legend() -> common_builders.VizLegendOptions:
    """Return a legend of names below the panel."""
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
