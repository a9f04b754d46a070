"""Whether the polls of series of the workspace succeed, and why not."""

from __future__ import annotations

from grafana.generator import freshness, palette, panels, promql, tables
from grafana.generator.layout import Drawn
from grafana.generator.panels import Override, Query, property_
from grafana.generator.promql import OF_WORKSPACE, fold, select, union
from grafana.generator.tables import Column

_FAMILY = "braze_workspace_series"
_BY = "workspace, series"
_UP = promql.least_of_jobs(select(f"{_FAMILY}_up", OF_WORKSPACE), "workspace", "series")
_FAILS, _LATE, _OK = range(3)
_NEVER = 10**9
"""In seconds."""


def failing() -> Drawn:
    """Return the number of series whose polls fail, of how many."""
    return panels.stat(
        "Failing series",
        [
            Query(f"count({_UP} == 0) or 0 * count({_UP})", "failing"),
            Query(f"count({_UP})", "polled"),
        ],
        description="Series of the workspace whose last finished poll failed, of those "
        "in `series` of the configuration. The table of polls has the reasons.",
        unit="short",
        thresholds=palette.steps((None, palette.PLAIN), (1, palette.ORANGE)),
        overrides=[uncoloured("polled")],
        nothing="No series",
    )


def uncoloured(name: str) -> Override:
    """Return the plain colour for the number of one name."""
    return Override(f"/{name}/", [property_("thresholds", palette.no_steps().build())])


def failing_of(pattern: str, *labels: str) -> str:
    """Return 0 for failing series, with the labels in the groups of the pattern."""
    selector = select(f"{_FAMILY}_up", (*OF_WORKSPACE, f'series=~"{pattern}"'))
    vector = f"{promql.least_of_jobs(selector, 'workspace', 'series')} == 0"
    for at, label in enumerate(labels, start=1):
        vector = f'label_replace({vector}, "{label}", "${at}", "series", "{pattern}")'
    return f"max by ({', '.join(('workspace', *labels))}) ({vector})"


def table() -> Drawn:
    """Return the state of each poll, the failing ones with the reason first."""
    reasons = fold(select(f"{_FAMILY}_failure_info", OF_WORKSPACE))
    reason = f"max by ({_BY}, reason) ({reasons})"
    success = fold(select(f"{_FAMILY}_last_success_timestamp_seconds", OF_WORKSPACE))
    age = f"(time() - max by ({_BY}) ({success}))"
    interval = fold(select(f"{_FAMILY}_interval_seconds", OF_WORKSPACE))
    late = f"{age} / (max by ({_BY}) ({interval}) > 0) >= {freshness.LATE.warning}"
    state = union(
        f"{_FAILS} * {reason}",
        f"({_LATE} + 0 * ({late}) or {_OK} + 0 * {_UP}) unless on ({_BY}) {reason}",
    )
    ages = union(f"{reason} * on ({_BY}) group_left () {age}", f"{_NEVER} * {reason}")
    return tables.table_of(
        "Polls of the series, with the reason",
        [
            Column(
                "State",
                state,
                mappings=panels.words(
                    (_FAILS, "fails", palette.VERMILLION),
                    (_LATE, "late", palette.ORANGE),
                    (_OK, "OK", palette.PLAIN),
                ),
                width=75,
            ),
            Column(
                "Last success",
                f"{ages} or ({age} unless on ({_BY}) {reason})",
                unit="s",
                mappings=panels.words((_NEVER, "never", palette.VERMILLION)),
                width=105,
            ),
        ],
        keys=("series", "reason", "workspace"),
        sort="State",
        is_ascending=True,
        leading=1,
        nothing="No series in the workspace, or no figures",
        description="Each poll of `series` in the configuration: whether the last "
        "finished one failed, with the reason, which links to its cause and what to "
        "do, and the time since the last success. late: the last success is "
        f"{freshness.LATE.warning} or more intervals ago.",
    )
