"""The dashboard of the exporter: health, missing figures, requests to Braze."""

from __future__ import annotations

from grafana.generator import (
    freshness,
    health,
    links,
    palette,
    panels,
    processes,
    traffic,
)
from grafana.generator.layout import Drawn, Section, Tile
from grafana.generator.panels import Override, Query, property_
from grafana.generator.promql import OF_JOB, OF_WORKSPACE, added_up, select
from grafana.generator.shell import Page


def page() -> Page:
    """Return the dashboard."""
    return Page(
        uid="braze-exporter",
        title="Braze / Exporter",
        description="Health of the exporter, campaigns and canvases without fresh "
        "figures, and requests to Braze.",
        sections=(
            Section("Now", _now()),
            Section("What fails, and what is late", freshness.late()),
            Section("Requests to Braze", traffic.requests()),
            Section("Polls", traffic.polls()),
            Section("By workspace", traffic.by_workspace(), is_collapsed=True),
            Section("By process", processes.processes(), is_collapsed=True),
        ),
        since="now-24h",
        refresh="1m",
        hidden=("channel", "variation", "canvas"),
        has_runbooks=True,
    )


def _now() -> list[Tile]:
    small = (
        health.exporter(),
        freshness.failing(links.to_workspace()),
        freshness.oldest(),
        _configuration(),
        panels.stat(
            "Campaigns, canvases",
            [
                Query(_sum("braze_exporter_campaigns"), "campaigns"),
                Query(_sum("braze_exporter_canvases"), "canvases"),
            ],
            description="Polled campaigns and canvases over all workspaces; those of "
            "two replicas count once, and shards add up.",
            unit="short",
        ),
        panels.stat(
            "Series",
            [
                Query(_sum("braze_exporter_series"), "served"),
                Query(_sum("braze_exporter_series_dropped"), "dropped"),
            ],
            description="Series of campaigns and canvases in a scrape, and those that "
            "`limits.series_per_campaign` removes, so that their figures are nowhere; "
            "those of two replicas count once, and shards add up.",
            unit="short",
            overrides=[
                Override(
                    "/dropped/",
                    [
                        property_(
                            "thresholds",
                            palette.steps(
                                (None, palette.PLAIN), (1, palette.ORANGE)
                            ).build(),
                        )
                    ],
                )
            ],
        ),
    )
    return [Tile(panel, 4, 4) for panel in small]


def _configuration() -> Drawn:
    reload = select("braze_exporter_config_last_reload_successful", OF_JOB)
    return panels.stat(
        "Configuration",
        [Query(f"min({reload})")],
        description="Accepted if the last reload of every exporter succeeded. "
        "Rejected: at least one runs with its previous configuration, and its log "
        "lists the problems.",
        unit="short",
        mappings=panels.words(
            (1, "accepted", palette.PLAIN), (0, "rejected", palette.VERMILLION)
        ),
    )


def _sum(family: str) -> str:
    return f"sum({added_up(select(family, OF_WORKSPACE))})"
