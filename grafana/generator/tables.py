"""Tables: a row for each set of labels, a column for each query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import table
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models

from grafana.generator import channels, links, palette, promql
from grafana.generator.palette import Limits
from grafana.generator.panels import (
    Properties,
    Query,
    days,
    property_,
    reference,
    row,
)
from grafana.generator.variables import SOURCE

_WIDTHS = {
    "workspace": 110,
    "kind": 75,
    "reason": 115,
    "channel": 130,
    "severity": 110,
    "alertname": 260,
    "alertstate": 100,
    "campaign_id": 290,
    "canvas_id": 290,
    "unit": 65,
    "status": 100,
    "metric": 165,
    "days": 100,
    "part": 85,
    "text": 300,
}
_TITLES = {"alertname": "Alert", "alertstate": "State"}
"""Of labels that are no words; the others are titles themselves."""
_NAME_WIDTH = 170
"""The least width of a name; names take the space that is left."""
_NAMES = {
    *("name", "campaign", "canvas", "step", "variation", "variant"),
    *("segment", "event", "integration", "series"),
}
_OBJECT = ("campaign", "canvas", "workspace")
_LINKS = {
    "workspace": links.of_workspace,
    "name": links.of_row,
    "campaign": links.of_campaign,
    "reason": links.of_reason,
    "instance": links.of_instance,
}
_DURATION_WIDTH = 90
"""Of three digits and `hours`."""
_EMPTY = "–"
_UNIT = "short"
"""Of all columns without another one."""
YES_OR_NO: tuple[models.ValueMapping, ...] = (
    models.ValueMap(
        options={
            "0": models.ValueMappingResult(
                text="no", color=palette.VERMILLION, index=0
            ),
            "1": models.ValueMappingResult(text="yes", color=palette.PLAIN, index=1),
        }
    ),
)


@dataclass(frozen=True, slots=True)
class Column:
    """The values of one query."""

    title: str
    expression: str
    unit: str = "short"
    decimals: int | None = None
    limits: Limits | None = None
    mappings: tuple[models.ValueMapping, ...] = ()
    width: int = 0
    """0: that of the title."""
    is_bar: bool = False
    """Whether cells show the value beside a bar, on the scale of the column."""
    nothing: str = ""
    """The text of an empty cell, if it is not a dash."""

    @property
    def properties(self) -> Properties:
        """The style of its cells."""
        return [
            *([property_("unit", self.unit)] if self.unit != _UNIT else []),
            property_("custom.width", self.width or self._least_width),
            *(
                [property_("decimals", self.decimals)]
                if self.decimals is not None
                else []
            ),
            *(
                [
                    property_("custom.cellOptions", {"type": "gauge", "mode": "basic"}),
                    property_("min", 0),
                    # Else the scale is that of all columns.
                    property_("fieldMinMax", value=True),
                    property_("thresholds", palette.no_steps(palette.SKY).build()),
                    # Else an empty cell has the colour of the bar.
                    property_("mappings", [palette.empty()]),
                ]
                if self.is_bar
                else []
            ),
            *(
                [
                    property_("mappings", list(self.mappings)),
                    property_("custom.cellOptions", {"type": "color-text"}),
                ]
                if self.mappings
                else []
            ),
            *(
                [
                    property_(
                        "thresholds", self.limits.steps(good=palette.NONE).build()
                    ),
                    property_(
                        "custom.cellOptions",
                        {"type": "color-background", "mode": "basic"},
                    ),
                ]
                if self.limits
                else []
            ),
        ]

    @property
    def _least_width(self) -> int:
        return max(title_width(self.title), _DURATION_WIDTH * (self.unit == "s"))


def title_width(title: str) -> int:
    """Return the pixels of a column whose title is not cut."""
    return max(75, 7 * len(title) + 20)


def title_of(key: str) -> str:
    """Return the title of a label's column."""
    return _TITLES.get(key, key.replace("_", " ").title())


def percent(
    title: str, expression: str, limits: Limits | None = None, *, width: int = 0
) -> Column:
    """Return a column of percentages, with two decimals or those of the limits."""
    return Column(
        title,
        expression,
        unit="percentunit",
        decimals=limits.decimals if limits else 2,
        limits=limits,
        width=width,
    )


def change(title: str, value: str, *, modifier: str) -> Column:
    """Return a column of the relative change of a figure from an earlier time."""
    before = f"({promql.moved(value, modifier)} > 0)"
    return Column(title, f"{value} / {before} - 1", unit="percentunit", decimals=1)


def yes_or_no(title: str, expression: str) -> Column:
    """Return a column of 1 and 0, shown as yes and no."""
    return Column(title, expression, mappings=YES_OR_NO)


def dollars(
    title: str,
    expression: str,
    *,
    decimals: int = 0,
    width: int = 0,
    is_bar: bool = False,
) -> Column:
    """Return a column of US dollars, the currency of Braze."""
    return Column(
        title,
        expression,
        unit="currencyUSD",
        decimals=decimals,
        width=width,
        is_bar=is_bar,
    )


def table_of(  # noqa: PLR0913 - every option of the panel is named
    title: str,
    columns: Sequence[Column],
    *,
    keys: Sequence[str],
    description: str,
    sort: str,
    trend: Column | None = None,
    is_ascending: bool = False,
    nothing: str = _EMPTY,
    leading: int = 0,
    extra: Mapping[str, Properties] | None = None,
    required: str = "",
) -> table.Panel:
    """Return a table with key labels first, the workspace last.

    The `leading` columns are before the keys. `extra` are further settings of keys.
    Only rows with a value in the column `required` are shown.

    With the key `name` the queries are by campaign and canvas, and rows link to the
    dashboard of their kind. A trend is drawn as a sparkline over the time range at the
    end of each row, from its least to its largest value: Grafana ignores other limits.
    """
    others = [key for key in keys if key not in {"workspace", "kind", "name"}]

    def query(expression: str) -> Query:
        is_named = "name" in keys
        return Query(promql.named(expression, *others) if is_named else expression)

    names = _names(keys, columns, trend, leading=leading)
    targets: list[Builder[Dataquery]] = [
        row(query(column.expression), number=at) for at, column in enumerate(columns)
    ]
    merged = models.DataTransformerConfig(id_val="merge", options={})
    transformations = [merged]
    if trend:
        targets.append(days(query(trend.expression), number=len(columns)))
        # An empty result has a time only and a trend has none: without a field that all
        # of them have Grafana merges nothing. So the columns are merged first.
        transformations = [
            models.DataTransformerConfig(
                id_val="merge", filter_val=_results(*range(len(columns))), options={}
            ),
            # Without the filter it takes every result with one row for a time series.
            models.DataTransformerConfig(
                id_val="timeSeriesTable",
                filter_val=_results(len(columns)),
                options={},
            ),
            merged,
        ]
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(_UNIT)
        .thresholds(palette.no_steps())
        .no_value(nothing)
        .cell_height(common.TableCellHeight.SM)
        .show_header(show_header=True)
        .sort_by(
            [
                common_builders.TableSortByFieldState()
                .display_name(sort)
                .desc(desc=not is_ascending)
            ]
        )
        .transformations(
            [
                *transformations,
                _organized(names),
                *([_with_value(required)] if required else []),
            ]
        )
        .targets(targets)
    )
    # The text of an empty table must not be repeated in each empty cell.
    empty = [] if nothing == _EMPTY else [property_("noValue", _EMPTY)]
    for key in keys:
        properties = [*_key_properties(key), *(extra or {}).get(key, []), *empty]
        if key == "channel" and "name" in keys:
            properties.append(property_("links", [links.of_channel()]))
        panel.override_by_name(title_of(key), properties)
    for column in columns:
        own = [property_("noValue", column.nothing)] if column.nothing else empty
        panel.override_by_name(column.title, [*column.properties, *own])
    if trend:
        sparkline = {"type": "sparkline", "hideValue": True}
        panel.override_by_name(
            trend.title,
            [
                property_("custom.cellOptions", sparkline),
                property_("custom.width", trend.width or title_width(trend.title)),
                property_("color", {"mode": "fixed", "fixedColor": palette.BLUE}),
            ],
        )
    return panel


def _names(
    keys: Sequence[str],
    columns: Sequence[Column],
    trend: Column | None,
    *,
    leading: int,
) -> dict[str, str]:
    """Return titles by Grafana's names of the fields, in the order of the columns.

    Grafana numbers the values only if there are several queries.
    """
    values = (
        {f"Value #{reference(at)}": column.title for at, column in enumerate(columns)}
        if len(columns) > 1
        else {"Value": columns[0].title}
    )
    trends = {f"Trend #{reference(len(columns))}": trend.title} if trend else {}
    labels = {key: title_of(key) for key in keys}
    last = {"workspace": labels.pop("workspace")} if "workspace" in labels else {}
    first = dict(list(values.items())[:leading])
    return first | labels | values | trends | last


def _results(*numbers: int) -> models.MatcherConfig:
    """Return a matcher of the results of queries."""
    return models.MatcherConfig(
        id_val="byRefId", options="|".join(reference(number) for number in numbers)
    )


def _with_value(title: str) -> models.DataTransformerConfig:
    """Return a filter of the rows with a value in a column."""
    is_there = {"id": "isNotNull", "options": {}}
    return models.DataTransformerConfig(
        id_val="filterByValue",
        options={
            "filters": [{"fieldName": title, "config": is_there}],
            "match": "all",
            "type": "include",
        },
    )


def _organized(names: dict[str, str]) -> models.DataTransformerConfig:
    return models.DataTransformerConfig(
        id_val="organize",
        options={
            "excludeByName": {
                "Time": True,
                **{label: True for label in _OBJECT if label not in names},
            },
            "indexByName": {name: at for at, name in enumerate(names)},
            "renameByName": names,
        },
    )


def _key_properties(key: str) -> Properties:
    """Return the style of a key's cells; key columns can be filtered."""
    properties = [property_("custom.filterable", value=True)]
    if key in _NAMES:
        properties.append(property_("custom.minWidth", _NAME_WIDTH))
    else:
        properties.append(property_("custom.width", _WIDTHS.get(key, 150)))
    if key == "channel":
        properties.append(property_("mappings", channels.mappings()))
    if link := _LINKS.get(key):
        properties.append(property_("links", [link()]))
    return properties
