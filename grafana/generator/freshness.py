"""Campaigns and canvases without fresh figures: how many, which, since when and why.

Tables without such objects have a row with that text: an empty table looks broken.
"""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as models

from grafana.generator import figures, palette, panels, promql, tables
from grafana.generator.layout import Drawn, Tile
from grafana.generator.panels import Query
from grafana.generator.promql import OBJECT, OF_CAMPAIGN, fold, otherwise, select
from grafana.generator.tables import Column, yes_or_no
from grafana.generator.telemetry import own

_KEYS = ("kind", "name", "workspace")
_OBJECT = ", ".join(OBJECT)
_KINDS = "braze_(campaign|canvas)"
_ALL_WELL, _NEVER = -1, -2
"""Codes among seconds, which are never below 0."""

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


def failing() -> Drawn:
    """Return how many of the campaigns and canvases fail: the colour is of the first.

    Both numbers become labels, because only a legend can contain two.
    """
    failed = f"(count({_UP} == 0) or 0 * count({_UP}))"
    every = f'count_values("every", count({_UP}))'
    return panels.stat(
        "Failing polls",
        [
            Query(
                f'{every} * on () group_left (failed) count_values("failed", {failed}) '
                f"* on () group_left () {failed}",
                "{{failed}} of {{every}}",
            )
        ],
        is_in_words=True,
        description="Campaigns and canvases whose last finished poll failed. They "
        "serve the figures of their last success until those are stale.",
        unit="short",
        thresholds=palette.steps((None, palette.PLAIN), (1, palette.ORANGE)),
    )


def oldest() -> Drawn:
    """Return the age of the oldest figures."""
    return panels.stat(
        "Oldest figures",
        [Query(f"max({_INTERVALS})")],
        description="Time since the last successful poll in intervals of the campaign "
        "or canvas, the largest: normally up to 1, also for idle ones with a long "
        "interval. Figures are removed after `stale_after`, an hour by default.",
        unit="suffix: intervals",
        decimals=1,
        thresholds=LATE.steps(good=palette.PLAIN),
    )


def late() -> list[Tile]:
    """Return the panels about campaigns and canvases that fail or are late."""
    return [
        Tile(_failing_by_reason(), 12, 9),
        Tile(_oldest_first(), 12, 9),
        Tile(_without_figures(), 12, 8),
        Tile(_course(), 12, 8),
    ]


def _words(*pairs: tuple[int, str]) -> tuple[models.ValueMapping, ...]:
    return panels.words(*((code, text, palette.PLAIN) for code, text in pairs))


def _failing_by_reason() -> Drawn:
    by = (*OBJECT, "reason")
    folded = fold(select(f"{_KINDS}_failure_info", OF_CAMPAIGN))
    failing = f"max by ({', '.join(by)}) ({folded})"
    since = f"{failing} * on ({_OBJECT}) group_left () {_AGE}"
    with_never = otherwise(since, f"{_NEVER} * {failing}", on=_OBJECT)
    return tables.table_of(
        "Failing, with the reason",
        [
            Column(
                "Last success",
                otherwise(with_never, f"{_WELL} + {_ALL_WELL}", on="workspace"),
                unit="s",
                mappings=_words((_NEVER, "never"), (_ALL_WELL, "no poll fails")),
                width=125,
            ),
        ],
        keys=(*_KEYS, "reason"),
        sort="Last success",
        description="Campaigns and canvases whose last finished poll failed, with the "
        "reason and "
        "the time since the last success. A workspace without failures has one row "
        "with that text.",
    )


def _oldest_first() -> Drawn:
    top = f"topk(50, {_INTERVALS})"
    return tables.table_of(
        "Oldest figures, 50 rows",
        [
            Column("Intervals", top, decimals=1, limits=LATE),
            Column("Age", f"{_AGE} and on ({_OBJECT}) {top}", unit="s"),
            yes_or_no("Poll OK", f"{_UP} and on ({_OBJECT}) {top}"),
        ],
        keys=_KEYS,
        sort="Intervals",
        description="Time since the last successful poll, first in intervals of the "
        "campaign or canvas: normally up to 1. Figures are served until they are "
        "`stale_after` old, and for at least 3 intervals.",
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
                    (0, "no successful poll, or too long ago"),
                    (1, "no day returned by Braze"),
                    (_ALL_WELL, "none is without figures"),
                ),
                width=240,
            )
        ],
        keys=_KEYS,
        sort="Name",
        is_ascending=True,
        description="Campaigns and canvases without figures: the last ones became "
        "stale, no poll succeeded yet, or Braze returns no day. A workspace without "
        "such objects has one row with that text.",
    )


def _course() -> Drawn:
    return panels.graph(
        "Polls up, failing and paused",
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
            Query(
                f"max by (workspace, reason) ({own('canvases_paused')})",
                "canvases paused ({{reason}}): {{workspace}}",
            ),
        ],
        description="Campaigns and canvases whose last finished poll succeeded, and "
        "failed; and 1 while Braze rejects a workspace's key, or its permission for "
        "canvases, and the exporter sends only probes.",
        unit="short",
    )


def state(kind: str, scope: tuple[str, ...]) -> Drawn:
    """Return the table with the state of the chosen objects of a kind."""
    by = ("workspace", kind)
    on = ", ".join(by)

    def of(family: str) -> str:
        return f"max by ({on}) ({fold(select(f'braze_{kind}_{family}', scope))})"

    def day(family: str) -> str:
        # At noon it is the same date in the time zones of most readers.
        return f"1000 * (43200 + {of(f'{family}_timestamp_seconds')})"

    up = promql.least_of_jobs(select(f"braze_{kind}_up", scope), *by)
    ids = f"max by ({on}, {kind}_id) ({fold(select(f'braze_{kind}_info', scope))})"
    return tables.table_of(
        "How fresh the figures are",
        [
            yes_or_no("Poll OK", f"{ids} * on ({on}) group_left () {up}"),
            Column("Age", f"time() - {of('last_success_timestamp_seconds')}", unit="s"),
            Column("Polled every", of("interval_seconds"), unit="s"),
            Column("Newest day", day("daily"), unit=DATE, width=110),
            Column("Last complete day", day("last_complete_day"), unit=DATE),
        ],
        keys=("workspace", kind, f"{kind}_id"),
        sort=kind.title(),
        is_ascending=True,
        description=f"Now: the id of the {kind} in Braze; whether its last finished "
        "poll succeeded, with several jobs under all of them; how long ago the last "
        "successful poll was; its interval in force, with several jobs the longest; "
        "and the dates of the two days that are shown.",
    )
