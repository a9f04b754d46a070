"""Whether exporters are up, in words: without them all other figures are absent."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import DashboardLink

from grafana.generator import palette, panels, telemetry
from grafana.generator.layout import Drawn
from grafana.generator.panels import Query
from grafana.generator.promql import union

_ALL_UP, _ALL_DOWN = 0, -1


def exporter(*leads: DashboardLink) -> Drawn:
    """Return whether exporters are up, with the number of those that are down."""
    up = f"max by (instance) ({telemetry.targets()})"
    some_up = f"count({up} == 1)"
    code = union(
        f"count({up} == 0) and {some_up}",
        f"{_ALL_UP} * {some_up}",
        f"vector({_ALL_DOWN})",
    )
    return panels.stat(
        "Exporter",
        [Query(code)],
        description="`up` of the targets that had the metrics of an exporter in the "
        "last 7 days: how many of them Prometheus cannot scrape. If all are down, the "
        "other figures are absent or old.",
        unit="suffix: down",
        thresholds=palette.steps((None, palette.PLAIN), (1, palette.ORANGE)),
        mappings=panels.words(
            (_ALL_UP, "up", palette.PLAIN),
            (_ALL_DOWN, "Exporter down", palette.VERMILLION),
        ),
        nothing="Exporter down",
        leads=leads,
    )
