"""Tables: a row for each set of labels, a column for each query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import table
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models

from grafana.generator import links, palette
from grafana.generator.palette import Limits
from grafana.generator.panels import (
    Properties,
    Query,
    course,
    property_,
    reference,
    row,
)
from grafana.generator.variables import SOURCE

_WIDTHS = {"workspace": 110, "channel": 180, "variation": 170}
_EMPTY = "–"
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
    width: int | None = None

    @property
    def properties(self) -> Properties:
        """The style of its cells."""
        return [
            property_("unit", self.unit),
            *(
                [property_("decimals", self.decimals)]
                if self.decimals is not None
                else []
            ),
            *([property_("custom.width", self.width)] if self.width else []),
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


def percent(title: str, expression: str, limits: Limits | None = None) -> Column:
    """Return a column of percentages with two decimals."""
    return Column(title, expression, unit="percentunit", decimals=2, limits=limits)


def yes_or_no(title: str, expression: str, *, width: int = 120) -> Column:
    """Return a column of 1 and 0, shown as yes and no."""
    return Column(title, expression, mappings=YES_OR_NO, width=width)


def dollars(title: str, expression: str, *, decimals: int = 0) -> Column:
    """Return a column of US dollars, the currency of Braze."""
    return Column(title, expression, unit="currencyUSD", decimals=decimals)


def table_of(
    title: str,
    columns: Sequence[Column],
    *,
    keys: Sequence[str],
    description: str,
    sort: str,
    trend: Column | None = None,
    is_ascending: bool = False,
    nothing: str = _EMPTY,
) -> table.Panel:
    """Return a table with key labels first; campaigns link to their dashboard.

    A trend is drawn as a sparkline over the time range at the end of each row.
    """
    names = _names(keys, columns, trend)
    targets: list[Builder[Dataquery]] = [
        row(Query(column.expression), number=at) for at, column in enumerate(columns)
    ]
    transformations = ["merge"]
    if trend:
        targets.append(course(Query(trend.expression), number=len(columns)))
        transformations.insert(0, "timeSeriesTable")
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit("short")
        .thresholds(palette.no_steps())
        .no_value(nothing)
        .filterable(filterable=True)
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
                *(
                    models.DataTransformerConfig(id_val=name, options={})
                    for name in transformations
                ),
                _organized(names),
            ]
        )
        .targets(targets)
    )
    # The text of an empty table must not be repeated in each empty cell.
    empty = property_("noValue", _EMPTY)
    for key in keys:
        title_of_key = key.replace("_", " ").title()
        panel.override_by_name(title_of_key, [*_key_properties(key), empty])
    for column in columns:
        panel.override_by_name(column.title, [*column.properties, empty])
    if trend:
        sparkline = {"type": "sparkline", "hideValue": True}
        panel.override_by_name(
            trend.title, [property_("custom.cellOptions", sparkline)]
        )
    return panel


def _names(
    keys: Sequence[str], columns: Sequence[Column], trend: Column | None
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
    return {key: key.replace("_", " ").title() for key in keys} | values | trends


def _organized(names: dict[str, str]) -> models.DataTransformerConfig:
    return models.DataTransformerConfig(
        id_val="organize",
        options={
            "excludeByName": {"Time": True},
            "indexByName": {name: at for at, name in enumerate(names)},
            "renameByName": names,
        },
    )


def _key_properties(key: str) -> Properties:
    if key == "campaign":
        return [
            property_("custom.minWidth", 220),
            property_("links", [links.of_row()]),
        ]
    return [property_("custom.width", _WIDTHS.get(key, 150))]
