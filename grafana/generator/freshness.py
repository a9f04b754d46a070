"""Campaigns without fresh figures: how many, which, since when and why.

Tables without such campaigns have a row with that text: an empty table looks broken.
"""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as models

from grafana.generator import figures, palette, panels, tables
from grafana.generator.layout import Drawn, Tile
from grafana.generator.panels import Query
from grafana.generator.promql import OF_CAMPAIGN, fold, otherwise, select
from grafana.generator.tables import Column, yes_or_no
from grafana.generator.telemetry import own

_KEYS = ("workspace", "campaign")
_ALL_WELL, _NEVER = -1, -2
"""Codes among seconds, which are never below 0."""

_UP = figures.up()
_SUCCESS = fold(select("braze_campaign_last_success_timestamp_seconds", OF_CAMPAIGN))
_INTERVAL = fold(select("braze_campaign_interval_seconds", OF_CAMPAIGN))
_DAY = fold(select("braze_campaign_daily_timestamp_seconds", OF_CAMPAIGN))
_AGE = f"(time() - max by (workspace, campaign) ({_SUCCESS}))"
_WELL = f"0 * max by (workspace) ({_UP})"


def failing() -> Drawn:
    """Return the number of failing campaigns."""
    return panels.stat(
        "Failing campaigns",
        [Query(f"count({_UP} == 0) or 0 * count({_UP})")],
        description="Campaigns whose last finished poll failed. They serve the "
        "figures of their last success until those are stale.",
        unit="short",
        thresholds=palette.steps((None, palette.PLAIN), (1, palette.ORANGE)),
    )


def oldest() -> Drawn:
    """Return the age of the oldest figures."""
    return panels.stat(
        "Oldest figures",
        [Query(f"time() - min({_SUCCESS})")],
        description="Time since the oldest last successful poll of any campaign. "
        "Figures are removed after `stale_after`, an hour by default.",
        unit="s",
        thresholds=palette.steps((None, palette.PLAIN), (3600, palette.ORANGE)),
    )


def campaigns() -> list[Tile]:
    """Return the panels about campaigns that fail or are late."""
    return [
        Tile(_failing_by_reason(), 12, 9),
        Tile(_oldest_first(), 12, 9),
        Tile(_without_figures(), 12, 8),
        Tile(_course(), 12, 8),
    ]


def _words(*pairs: tuple[int, str]) -> tuple[models.ValueMapping, ...]:
    return (
        models.ValueMap(
            options={
                str(code): models.ValueMappingResult(
                    text=text, color=palette.PLAIN, index=at
                )
                for at, (code, text) in enumerate(pairs)
            }
        ),
    )


def _failing_by_reason() -> Drawn:
    by = (*_KEYS, "reason")
    folded = fold(select("braze_campaign_failure_info", OF_CAMPAIGN))
    failing = f"max by ({', '.join(by)}) ({folded})"
    since = f"{failing} * on (workspace, campaign) group_left () {_AGE}"
    with_never = otherwise(since, f"{_NEVER} * {failing}", on="workspace, campaign")
    return tables.table_of(
        "Failing, with the reason",
        [
            Column(
                "Last success",
                otherwise(with_never, f"{_WELL} + {_ALL_WELL}", on="workspace"),
                unit="s",
                mappings=_words((_NEVER, "never"), (_ALL_WELL, "no campaign fails")),
                width=170,
            ),
        ],
        keys=by,
        sort="Last success",
        description="Campaigns whose last finished poll failed, with the reason and "
        "the time since the last success. A workspace without failures has one row "
        "with that text.",
    )


def _oldest_first() -> Drawn:
    top = f"topk(50, {_AGE})"
    interval = f"(max by (workspace, campaign) ({_INTERVAL}) > 0)"
    return tables.table_of(
        "Oldest figures, 50 campaigns",
        [
            Column("Age", top, unit="s", width=100),
            Column(
                "Intervals",
                f"{_AGE} / {interval} and on (workspace, campaign) {top}",
                decimals=1,
                limits=palette.Limits(3, 6),
                width=100,
            ),
            yes_or_no(
                "Last poll succeeded",
                f"{_UP} and on (workspace, campaign) {top}",
            ),
        ],
        keys=_KEYS,
        sort="Age",
        description="Time since the last successful poll, also in intervals of the "
        "campaign: normally up to 1. Figures are served until they are `stale_after` "
        "old, and for at least 3 intervals.",
    )


def _without_figures() -> Drawn:
    missing = f"({_UP} unless on (workspace, campaign) {_DAY})"
    return tables.table_of(
        "Polled without figures",
        [
            Column(
                "Why",
                otherwise(missing, f"{_WELL} + {_ALL_WELL}", on="workspace"),
                mappings=_words(
                    (0, "no successful poll, or too long ago"),
                    (1, "no day returned by Braze"),
                    (_ALL_WELL, "every campaign has figures"),
                ),
                width=240,
            )
        ],
        keys=_KEYS,
        sort="Campaign",
        is_ascending=True,
        description="Campaigns without figures: the last ones became stale, no poll "
        "succeeded yet, or Braze returns no day. A workspace without such campaigns "
        "has one row with that text.",
    )


def _course() -> Drawn:
    return panels.graph(
        "Campaigns up and failing, workspaces paused",
        [
            Query(f"sum by (workspace) ({_UP})", "up: {{workspace}}"),
            Query(
                f"count by (workspace) ({_UP}) - sum by (workspace) ({_UP})",
                "failing: {{workspace}}",
            ),
            Query(
                f"max by (workspace, reason) ({own('workspace_paused')})",
                "paused ({{reason}}): {{workspace}}",
            ),
        ],
        description="Campaigns whose last finished poll succeeded, and failed; and 1 "
        "while Braze rejects a workspace's key and the exporter sends only probes.",
        unit="short",
    )
