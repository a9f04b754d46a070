"""One campaign or canvas: whether its polls succeed, and how old its figures are."""

from __future__ import annotations

from grafana.generator import (
    freshness,
    links,
    palette,
    panels,
    promql,
    tables,
    telemetry,
)
from grafana.generator.layout import Drawn
from grafana.generator.panels import Query
from grafana.generator.promql import fold, select, union
from grafana.generator.tables import Column

_UNPOLLED = -1


def polls(kind: str, scope: tuple[str, ...]) -> Drawn:
    """Return whether polls succeed, in words."""
    selector = select(f"braze_{kind}_up", scope)
    up = f"min({promql.least_of_jobs(selector, 'workspace', kind)})"
    code = union(up, f"0 * count({telemetry.BUILD}) + {_UNPOLLED}")
    return panels.stat(
        "Polls",
        [Query(code)],
        description=f"Whether the last finished poll of the {kind} succeeded. A {kind} "
        "whose polls fail has the figures of its last success until they are stale; "
        "the Exporter dashboard has the reason.",
        unit="short",
        mappings=panels.words(
            (1, "succeed", palette.PLAIN),
            (0, "fail", palette.VERMILLION),
            (_UNPOLLED, "not polled", palette.ORANGE),
        ),
        leads=[links.to_exporter()],
    )


def table(kind: str, scope: tuple[str, ...]) -> Drawn:
    """Return the table with the days of the figures, their age and the last edit."""
    on = f"workspace, {kind}"

    def of(family: str) -> str:
        return f"max by ({on}) ({fold(select(f'braze_{kind}_{family}', scope))})"

    def day(family: str) -> str:
        # At noon it is the same date in the time zones of most readers.
        return f"1000 * (43200 + {of(f'{family}_timestamp_seconds')})"

    ids = f"max by ({on}, {kind}_id) ({fold(select(f'braze_{kind}_info', scope))})"
    success = of("last_success_timestamp_seconds")
    return tables.table_of(
        "How fresh the figures are",
        [
            Column("Age", f"{ids} * on ({on}) group_left () (time() - {success})", "s"),
            Column("Newest day", day("daily"), freshness.DATE, width=110),
            Column("Last complete day", day("last_complete_day"), freshness.DATE),
            Column(
                "Last edited",
                f"1000 * {of('last_edited_timestamp_seconds')}",
                "dateTimeFromNow",
                width=130,
            ),
        ],
        keys=("workspace", kind, f"{kind}_id"),
        sort=kind.title(),
        is_ascending=True,
        nothing="No figures",
        description=f"The id of the {kind} in Braze, the age of its figures, the dates "
        "of the two days that are shown, and the last edit in Braze if discovery knows "
        "it. Reasons of failures and intervals of polls are on the Exporter dashboard.",
    )
