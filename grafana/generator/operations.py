"""The exporter itself: is it well, what does it ask of Braze, what does it not get."""

from __future__ import annotations

from grafana.generator import palette, panels, tables, traffic
from grafana.generator.layout import Section, Tile
from grafana.generator.panels import Query
from grafana.generator.processes import processes
from grafana.generator.promql import (
    OF_CAMPAIGN,
    OF_JOB,
    OF_WORKSPACE,
    fold,
    select,
    total,
)
from grafana.generator.shell import Page
from grafana.generator.tables import Column, yes_or_no
from grafana.generator.telemetry import own


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
            Section("Campaigns without fresh figures", _campaigns()),
            Section("Configuration and process", processes()),
        ),
        hidden=("channel", "variation"),
    )


def _now() -> list[Tile]:
    up = fold(select("braze_campaign_up", OF_CAMPAIGN))
    success = fold(select("braze_campaign_last_success_timestamp_seconds", OF_CAMPAIGN))
    bad = palette.steps((None, palette.PLAIN), (1, palette.ORANGE))
    good = palette.steps((None, palette.VERMILLION), (1, palette.PLAIN))
    build = select("braze_exporter_build_info", OF_JOB)
    reload = select("braze_exporter_config_last_reload_successful", OF_JOB)
    small = [
        panels.stat(
            "Exporters",
            [Query(f"count({build})")],
            says="Processes that Prometheus scrapes now, by their build_info.",
            unit="short",
        ),
        panels.stat(
            "Campaigns",
            [Query(f"sum({fold(select('braze_exporter_campaigns', OF_WORKSPACE))})")],
            says="Campaigns that are polled now, over all workspaces; those that two "
            "exporters poll count once.",
            unit="short",
        ),
        panels.stat(
            "Failing campaigns",
            [Query(f"count({up} == 0) or 0 * count({up})")],
            says="Campaigns whose last finished poll failed, now.",
            unit="short",
            thresholds=bad,
        ),
        panels.stat(
            "Oldest figures",
            [Query(f"time() - min({success})")],
            says="How long ago the campaign that waited longest was polled well. Its "
            "figures leave after `stale_after`, an hour by default.",
            unit="s",
            thresholds=palette.steps((None, palette.PLAIN), (3600, palette.ORANGE)),
        ),
        panels.stat(
            "Series",
            [Query(f"sum({fold(select('braze_exporter_series', OF_WORKSPACE))})")],
            says="Series of campaigns that a scrape shows now; those of two exporters "
            "count once.",
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


def _campaigns() -> list[Tile]:
    by = ("workspace", "campaign", "reason")
    reasons = total(fold(select("braze_campaign_failure_info", OF_CAMPAIGN)), *by)
    success = fold(select("braze_campaign_last_success_timestamp_seconds", OF_CAMPAIGN))
    age = f"time() - max by (workspace, campaign) ({success})"
    interval = fold(select("braze_campaign_interval_seconds", OF_CAMPAIGN))
    up = fold(select("braze_campaign_up", OF_CAMPAIGN))
    shown = fold(select("braze_campaign_daily_timestamp_seconds", OF_CAMPAIGN))
    keys = ("workspace", "campaign")
    top = f"topk(50, {age})"
    return [
        Tile(
            tables.table_of(
                "Failing, with the reason",
                [
                    Column("Failing", reasons, width=80),
                    Column(
                        "Since last success",
                        f"{reasons} * on (workspace, campaign) group_left () ({age})",
                        unit="s",
                        width=150,
                    ),
                ],
                keys=by,
                sort="Since last success",
                nothing="No campaign is failing.",
                says="Campaigns whose last finished poll failed, now, with the reason "
                "and how long ago the last good one was. Empty if none fails; "
                "no time where none was ever good.",
            ),
            12,
            9,
        ),
        Tile(
            tables.table_of(
                "Oldest figures, 50 campaigns",
                [
                    Column("Age", top, unit="s", width=100),
                    Column(
                        "Intervals",
                        f"({age}) / (max by (workspace, campaign) ({interval}) > 0) "
                        f"and on (workspace, campaign) {top}",
                        decimals=1,
                        limits=palette.Limits(3, 6),
                        width=100,
                    ),
                    yes_or_no(
                        "Last poll good",
                        f"max by (workspace, campaign) ({up}) "
                        f"and on (workspace, campaign) {top}",
                    ),
                ],
                keys=keys,
                sort="Age",
                says="How long ago the last good poll was, now, and how many of the "
                "campaign's intervals that is: up to 1 in health. Figures are served "
                "until they are `stale_after` old, and never less than 3 intervals.",
            ),
            12,
            9,
        ),
        Tile(
            tables.table_of(
                "Polled, and without figures",
                [
                    yes_or_no(
                        "Last poll good",
                        f"max by (workspace, campaign) ({up} unless on (workspace, "
                        f"campaign) {shown})",
                    )
                ],
                keys=keys,
                sort="Campaign",
                is_ascending=True,
                nothing="Every campaign has figures.",
                says="Campaigns that show no figures now: their last ones grew stale, "
                "none ever came (0), or Braze has no day of them (1). Empty in health.",
            ),
            12,
            8,
        ),
        Tile(
            panels.graph(
                "Campaigns up and failing, workspaces paused",
                [
                    Query(f"sum by (workspace) ({up})", "up: {{workspace}}"),
                    Query(
                        f"count by (workspace) ({up}) - sum by (workspace) ({up})",
                        "failing: {{workspace}}",
                    ),
                    Query(
                        f"max by (workspace, reason) ({own('workspace_paused')})",
                        "paused ({{reason}}): {{workspace}}",
                    ),
                ],
                says="Campaigns whose last finished poll succeeded, and failed; and 1 "
                "while Braze refuses a workspace's key and only probes are sent.",
                unit="short",
            ),
            12,
            8,
        ),
    ]
