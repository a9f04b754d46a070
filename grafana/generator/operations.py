"""The exporter itself: is it well, what does it ask of Braze, what does it not get."""

from __future__ import annotations

from grafana.generator import palette, panels, tables, traffic
from grafana.generator.freshness import campaigns, failing, oldest
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
        says="Whether the exporter is well, what it asks of Braze, and which campaigns "
        "it has no fresh figures of.",
        sections=(
            Section("Now", _now()),
            Section("Request budget", traffic.budget()),
            Section("Requests", traffic.requests()),
            Section("Polls", traffic.polls()),
            Section("Campaigns without fresh figures", campaigns()),
            Section("Configuration and process", processes()),
        ),
        hidden=("channel", "variation"),
    )


def _now() -> list[Tile]:
    good = palette.steps((None, palette.VERMILLION), (1, palette.PLAIN))
    build = select("braze_exporter_build_info", OF_JOB)
    reload = select("braze_exporter_config_last_reload_successful", OF_JOB)
    small = [
        panels.stat(
            "Exporters",
            [Query(f"count(count by (instance) ({build}))")],
            says="Processes that Prometheus scrapes now, by their build_info.",
            unit="short",
        ),
        panels.stat(
            "Campaigns",
            [Query(_sum("braze_exporter_campaigns"))],
            says="Campaigns that are polled now, over all workspaces; those that two "
            "exporters poll count once, and shards add up.",
            unit="short",
        ),
        failing(),
        oldest(),
        panels.stat(
            "Series",
            [Query(_sum("braze_exporter_series"))],
            says="Series of campaigns that a scrape shows now; those of two exporters "
            "count once, and shards add up.",
            unit="short",
        ),
        panels.stat(
            "Configuration accepted",
            [Query(f"min({reload})")],
            says="Yes if the last reload of every exporter succeeded; no: one of them "
            "still runs on its former configuration, and its log lists the problems.",
            unit="short",
            thresholds=good,
            mappings=tables.YES_OR_NO,
        ),
    ]
    return [Tile(panel, 4, 3) for panel in small]


def _sum(family: str) -> str:
    return f"sum({added_up(select(family, OF_WORKSPACE))})"
