"""Graphs of rates by campaign and canvas against named limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import timeseries
from grafana_foundation_sdk.models import dashboard as models

from grafana.generator import links
from grafana.generator.palette import BLUE, GREY
from grafana.generator.panels import Query, graph, instant, line, property_
from grafana.generator.promql import largest, named, recent
from grafana.generator.telemetry import BUILD

_WORST = 10
_TODAY_PIXELS = 10
_SCRAPED = recent(BUILD)
"""At all points of a graph, if an exporter is scraped on its last day."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit that a graph names and draws."""

    title: str
    value: float
    colour: str


def limited_by_day(
    title: str,
    rate: str,
    limits: Sequence[Limit],
    *,
    today: str = "",
    decimals: int = 2,
    description: str,
) -> timeseries.Panel:
    """Return the ten highest rates of the last day, with a point for each day.

    Those at half of the first limit or above are coloured. `today`: rates of today,
    points at the right edge for those that are.
    """
    half = limits[0].value / 2
    courses = [
        Query(named(largest(rate, count=_WORST)), "{{workspace}} / {{name}}"),
        *(Query(f"{one.value:g} + 0 * count({_SCRAPED})", one.title) for one in limits),
    ]
    panel = graph(
        title,
        courses,
        description=f"{description} The {_WORST} highest of the last day; grey ones "
        "are below half of the first limit. The dashed lines are limits, explained "
        "at the end of this dashboard.",
        unit="percentunit",
        colours=builders.FieldColor()
        .mode(models.FieldColorModeId.FIXED)
        .fixed_color(GREY),
        links=[links.of_series()],
        nothing="No email, or no figures",
        is_by_day=True,
    ).decimals(decimals)
    if today:
        highest = named(f"topk({_WORST}, ({today}) >= {half:g})")
        query = Query(highest, "{{workspace}} / {{name}}, today")
        panel.with_target(instant(query, number=len(courses)))
        size = property_("custom.pointSize", _TODAY_PIXELS)
        panel.override_by_regexp("/, today$/", [size])
    for value, colour in ((half, BLUE), *((one.value, one.colour) for one in limits)):
        panel.with_override(
            models.MatcherConfig(
                id_val="byValue",
                options={"reducer": "lastNotNull", "op": "gte", "value": value},
            ),
            [property_("color", {"mode": "fixed", "fixedColor": colour})],
        )
    # After those by value, which limits have too.
    for one in limits:
        style = line(one.title, one.colour)
        panel.override_by_regexp(style.name, style.properties)
    return panel
