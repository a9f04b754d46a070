"""Campaigns and canvases without fresh figures: how many, which, since when and why.

Tables without such objects have a row with that text: an empty table looks broken.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import DashboardLink
from grafana_foundation_sdk.models import dashboard as models

from grafana.generator import figures, palette, panels, promql, tables, telemetry
from grafana.generator.layout import Drawn, Tile
from grafana.generator.panels import Override, Query, property_
from grafana.generator.promql import (
    OBJECT,
    OF_CAMPAIGN,
    fold,
    otherwise,
    select,
    union,
)
from grafana.generator.tables import Column

_KEYS = ("kind", "name", "workspace")
_OBJECT = ", ".join(OBJECT)
_KINDS = "braze_(campaign|canvas)"
_ALL_WELL, _NEVER, _FORBIDDEN, _REJECTED = -1, 10**9, 2 * 10**9, 3 * 10**9
"""Codes among ages in seconds, which are between them; the worst is the largest."""

_UP = figures.up()
_DAY = fold(select(f"{_KINDS}_daily_timestamp_seconds", OF_CAMPAIGN))


def age(scope: tuple[str, ...]) -> str:
    """Return the seconds since the last successful poll of each object."""
    success = fold(select(f"{_KINDS}_last_success_timestamp_seconds", scope))
    return f"(time() - max by ({_OBJECT}) ({success}))"


def intervals(scope: tuple[str, ...]) -> str:
    """Return the age of the figures of each object, in intervals of its polls."""
    interval = fold(select(f"{_KINDS}_interval_seconds", scope))
    return f"{age(scope)} / (max by ({_OBJECT}) ({interval}) > 0)"


_AGE = age(OF_CAMPAIGN)
_INTERVALS = intervals(OF_CAMPAIGN)
LATE = palette.Limits(3, 6)
"""In intervals."""
DATE = "time:YYYY-MM-DD"
"""The unit of a date, in milliseconds. A time of day would be that of the browser."""
_WELL = f"0 * max by (workspace) ({_UP})"
_UNPOLLED = "No campaign or canvas is polled"
_POLLED = promql.least_of_jobs(
    select("braze_(campaign|canvas|workspace_series)_up", OF_CAMPAIGN),
    *(*OBJECT, "series"),
)
_FAILING = f"count({_POLLED} == 0) or 0 * count({_POLLED})"


def failing(*leads: DashboardLink) -> Drawn:
    """Return the number of failing campaigns and canvases, of how many."""
    return panels.stat(
        "Failing polls",
        [Query(_FAILING, "failing"), Query(f"count({_POLLED})", "polled")],
        description="Campaigns, canvases and series of the workspace whose last "
        "finished poll failed, of those that are polled. They serve the figures of "
        "their last success until those are stale.",
        unit="short",
        thresholds=palette.steps((None, palette.PLAIN), (1, palette.ORANGE)),
        overrides=[
            Override("/polled/", [property_("thresholds", palette.no_steps().build())])
        ],
        leads=leads,
    )


def oldest(*leads: DashboardLink) -> Drawn:
    """Return the age of the oldest figures."""
    return panels.stat(
        "Oldest figures",
        [Query(f"max({_INTERVALS})")],
        description="Time since the last successful poll in intervals of the campaign "
        "or canvas, the largest: normally below 2, also for idle ones with a long "
        "interval. Figures are removed after `stale_after`, an hour by default.",
        unit="suffix: intervals",
        decimals=1,
        thresholds=LATE.steps(good=palette.PLAIN),
        leads=leads,
    )


def late() -> list[Tile]:
    """Return the panels about campaigns and canvases that fail or are late."""
    return [
        Tile(_failing_by_reason(), 12, 7),
        Tile(_oldest_first(), 12, 7),
        Tile(_course(), 12, 7),
        Tile(_without_figures(), 12, 7),
    ]


def _words(*pairs: tuple[int, str]) -> tuple[models.ValueMapping, ...]:
    return panels.words(*((code, text, palette.PLAIN) for code, text in pairs))


def _failing_by_reason() -> Drawn:
    by = (*OBJECT, "reason")
    folded = fold(select(f"{_KINDS}_failure_info", OF_CAMPAIGN))
    failing = f"max by ({', '.join(by)}) ({folded})"
    since = f"{failing} * on ({_OBJECT}) group_left () {_AGE}"
    rejected = _paused(_REJECTED, "unauthorized")
    forbidden = _paused(_FORBIDDEN, "forbidden")
    troubled = f"{failing} or ({rejected}) or ({forbidden})"
    well = f"({_WELL} + {_ALL_WELL}) unless on (workspace) ({troubled})"
    return tables.table_of(
        "Failing, with the reason",
        [
            Column(
                "Last success",
                union(since, f"{_NEVER} * {failing}", rejected, forbidden, well),
                unit="s",
                mappings=panels.words(
                    (_REJECTED, "key rejected", palette.VERMILLION),
                    (_FORBIDDEN, "not permitted", palette.VERMILLION),
                    (_NEVER, "never", palette.VERMILLION),
                    (_ALL_WELL, "no poll fails", palette.PLAIN),
                ),
                width=116,
            ),
        ],
        keys=(*_KEYS, "reason"),
        sort="Last success",
        nothing=_UNPOLLED,
        description="Campaigns and canvases whose last finished poll failed, and the "
        "time since the last success. A name links to its dashboard, a reason to its "
        "cause and what to do. `key rejected`: Braze rejects the key of the workspace; "
        "`not permitted`: the key lacks the permission for campaigns or canvases, or "
        "its IP allowlist this machine. The exporter then sends only probes. A "
        "workspace without failures has one row with that text.",
    )


def _paused(code: int, reason: str) -> str:
    """Return the code for each workspace that Braze refuses for this reason."""
    paused = telemetry.own("(workspace|canvases)_paused", f'reason="{reason}"')
    return f"{code} * max by (workspace, reason) ({paused}) > 0"


def _oldest_first() -> Drawn:
    top = f"topk(50, {_INTERVALS})"
    return tables.table_of(
        "Oldest figures, 50 rows",
        [
            Column("Intervals", top, decimals=1, limits=LATE, width=100),
            Column("Age", f"{_AGE} and on ({_OBJECT}) {top}", unit="s"),
        ],
        keys=_KEYS,
        sort="Intervals",
        nothing=_UNPOLLED,
        description="Time since the last successful poll, first in intervals of the "
        "campaign or canvas: normally below 2, late from 3 on. Figures are served "
        "until they are `stale_after` old, and for at least 3 intervals.",
    )


def _without_figures() -> Drawn:
    missing = f"({_UP} unless on ({_OBJECT}) {_DAY})"
    return tables.table_of(
        "Polled without figures",
        [
            Column(
                "Why",
                otherwise(missing, f"{_WELL} + {_ALL_WELL}", on="workspace"),
                mappings=_words(
                    (0, "no success, or too long ago"),
                    (1, "no day returned by Braze"),
                    (_ALL_WELL, "all have figures"),
                ),
                width=215,
            )
        ],
        keys=_KEYS,
        sort="Name",
        nothing=_UNPOLLED,
        is_ascending=True,
        description="Campaigns and canvases without figures: the last ones became "
        "stale, no poll succeeded yet, or Braze returns no day. A workspace without "
        "such objects has one row with that text.",
    )


def _course() -> Drawn:
    late = f"count({_INTERVALS} >= {LATE.warning}) or 0 * count({_UP})"
    paused = telemetry.own("(workspace|canvases)_paused")
    return panels.graph(
        "Failing and late",
        [
            Query(late, "late"),
            Query(_FAILING, "failing"),
            Query(f"max({paused})", "key or permission refused"),
        ],
        description="Campaigns, canvases and series of the workspace whose last "
        "finished poll failed, and campaigns and canvases whose last success is "
        f"{LATE.warning} or more intervals ago. Key or permission refused: "
        "1 while Braze rejects a key, or it lacks a permission.",
        unit="short",
    )
