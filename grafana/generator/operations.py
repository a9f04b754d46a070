"""The dashboard of the exporter: health, requests to Braze, missing figures."""

from __future__ import annotations

from grafana.generator import palette, panels, tables, traffic
from grafana.generator.freshness import failing, late, oldest
from grafana.generator.layout import Section, Tile
from grafana.generator.panels import Query
from grafana.generator.processes import processes
from grafana.generator.promql import (
    OF_JOB,
    OF_WORKSPACE,
    added_up,
    select,
)
from grafana.generator.shell import Page


def page() -> Page:
    """Return the dashboard."""
    return Page(
        uid="braze-exporter",
        title="Braze / Exporter",
        description="Health of the exporter, its requests to Braze, and campaigns "
        "and canvases without fresh figures.",
        sections=(
            Section("Now", _now()),
            Section("Request budget", traffic.budget()),
            Section("Requests", traffic.requests()),
            Section("Polls", traffic.polls()),
            Section("Campaigns and canvases without fresh figures", late()),
            Section("Configuration and process", processes()),
        ),
        since="now-24h",
        refresh="1m",
        hidden=("channel", "variation", "canvas"),
    )


def _now() -> list[Tile]:
    good = palette.steps((None, palette.VERMILLION), (1, palette.PLAIN))
    build = select("braze_exporter_build_info", OF_JOB)
    reload = select("braze_exporter_config_last_reload_successful", OF_JOB)
    small = [
        panels.stat(
            "Exporters",
            [Query(f"count(count by (instance) ({build}))")],
            description="Processes that Prometheus scrapes, by their build_info.",
            unit="short",
        ),
        panels.stat(
            "Campaigns",
            [Query(_sum("braze_exporter_campaigns"))],
            description="Polled campaigns over all workspaces; a campaign of two "
            "replicas counts once, and shards add up.",
            unit="short",
        ),
        failing(),
        oldest(),
        panels.stat(
            "Series",
            [Query(_sum("braze_exporter_series"))],
            description="Series of campaigns in a scrape; those of two replicas count "
            "once, and shards add up.",
            unit="short",
        ),
        panels.stat(
            "Configuration accepted",
            [Query(f"min({reload})")],
            description="Yes if the last reload of every exporter succeeded; no: at "
            "least one runs with its previous configuration, and its log lists the "
            "problems.",
            unit="short",
            thresholds=good,
            mappings=tables.YES_OR_NO,
        ),
    ]
    return [Tile(panel, 4, 3) for panel in small]


def _sum(family: str) -> str:
    return f"sum({added_up(select(family, OF_WORKSPACE))})"
