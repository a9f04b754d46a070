"""What is planned, and which data feeds the workspace."""

from __future__ import annotations

from grafana.generator import alerts, palette, panels, series_polls, tables
from grafana.generator.layout import Drawn
from grafana.generator.panels import Query
from grafana.generator.promql import OBJECT, OF_WORKSPACE, select, union
from grafana.generator.tables import Column

_MISSED, _PLANNED = range(2)
_OBJECT = ", ".join(OBJECT)
_DATE = "time:YYYY-MM-DD HH:mm"

_FAILS, _OVERDUE, _PARTIAL, _UNKNOWN, _OK = range(5)
_KEYS = "workspace, integration"
_STATUS_FAMILY = "braze_data_ingestion_status_info"
_LAST_SYNC = select("braze_data_ingestion_last_sync_timestamp_seconds", OF_WORKSPACE)
_SYNCED = f"max by ({_KEYS}) ({_LAST_SYNC})"
_BAD, _SOME = "(?i).*(error|fail).*", "(?i).*partial.*"


def _next_sends(modifier: str = "") -> str:
    """Return the next planned times, with labels of campaigns and canvases."""

    def of(kind: str) -> str:
        matchers = (*OF_WORKSPACE, f'kind="{kind}"')
        sends = select("braze_broadcast_next_send_timestamp_seconds", matchers)
        if modifier:
            sends = f"last_over_time({sends}[{modifier}])"
        return f'label_replace({sends}, "{kind}", "$1", "name", "(?s)(.+)")'

    return f"max by ({_OBJECT}) ({union(of('campaign'), of('canvas'))})"


_MISSED_ONES = alerts.firing_by("BrazeBroadcastMissed", "campaign", "canvas")


def next_broadcast() -> Drawn:
    """Return the time until the next planned send, or that one was missed."""
    missed = f"0 * count({_MISSED_ONES}) - 1"
    return panels.stat(
        "Next broadcast",
        [Query(union(missed, f"min({_next_sends()} - time() >= 0)"))],
        description="Time until the next planned send of a campaign or canvas, within "
        "30 days; needs series.broadcasts in the configuration. missed: the alert "
        "BrazeBroadcastMissed fires, a planned time passed and nothing was sent.",
        unit="s",
        decimals=0,
        mappings=panels.words((-1, "missed", palette.VERMILLION)),
        nothing="None planned",
    )


def broadcasts() -> Drawn:
    """Return the planned sends, the soonest first."""
    sends = _next_sends()
    known = f"{_next_sends('2d')} and on ({_OBJECT}) {_MISSED_ONES}"
    return tables.table_of(
        "Broadcasts: what is planned",
        [
            Column(
                "State",
                union(f"{_MISSED} * {_MISSED_ONES}", f"{_PLANNED} + 0 * {sends}"),
                mappings=panels.words(
                    (_MISSED, "missed", palette.VERMILLION),
                    (_PLANNED, "planned", palette.PLAIN),
                ),
                width=75,
            ),
            Column("Next send", f"1000 * {union(sends, known)}", _DATE, width=140),
        ],
        keys=("kind", "name", "workspace"),
        sort="Next send",
        is_ascending=True,
        leading=2,
        nothing="Nothing planned, no series.broadcasts, or no figures",
        description="The next planned send of each scheduled campaign and canvas "
        "within 30 days, in the time zone of your browser, the soonest first. missed: "
        "the alert BrazeBroadcastMissed of the rules fires; the time is the one that "
        "passed, of a recurring broadcast the next one. Names are those in Braze; they "
        "lead to the campaign or canvas if it is polled under this name.",
    )


def failing() -> Drawn:
    """Return the number of integrations that fail, of how many."""
    matchers = (*OF_WORKSPACE, f'status=~"{_BAD}"')
    failing = f"max by ({_KEYS}) ({select(_STATUS_FAMILY, matchers)})"
    overdue = alerts.firing_by("BrazeDataIngestionFailing", "integration")
    return panels.stat(
        "Data feeds failing",
        [
            Query(
                f"count({union(failing, overdue)}) or 0 * count({_SYNCED})", "failing"
            ),
            Query(f"count({_SYNCED})", "feeds"),
        ],
        description="Integrations of Cloud Data Ingestion whose last sync failed, or "
        "for which the alert BrazeDataIngestionFailing fires; of all, with "
        "series.data_ingestion in the configuration.",
        unit="short",
        thresholds=palette.steps((None, palette.PLAIN), (1, palette.VERMILLION)),
        overrides=[series_polls.uncoloured("feeds")],
        nothing="No feeds",
    )


def ingestion() -> Drawn:
    """Return the last sync of each integration, the failing ones first."""
    by = f"{_KEYS}, status"

    def status(pattern: str = ".+") -> str:
        matchers = (*OF_WORKSPACE, f'status=~"{pattern}"')
        return f"max by ({by}) ({select(_STATUS_FAMILY, matchers)})"

    firing = alerts.firing_by("BrazeDataIngestionFailing", "integration")
    state = union(
        f"{_FAILS} * {status(_BAD)}",
        f"{_OVERDUE} * ({status()} and on ({_KEYS}) {firing})",
        f"{_PARTIAL} * {status(_SOME)}",
        f"{_UNKNOWN} + 0 * ({_SYNCED} unless on ({_KEYS}) {status()})",
        f"{_OK} * {status()}",
    )
    age = f"(time() - {_SYNCED})"
    ages = f"0 * {status()} + on ({_KEYS}) group_left () {age}"
    return tables.table_of(
        "Data ingestion: what feeds it",
        [
            Column(
                "State",
                state,
                mappings=panels.words(
                    (_FAILS, "fails", palette.VERMILLION),
                    (_OVERDUE, "overdue", palette.ORANGE),
                    (_PARTIAL, "partial", palette.ORANGE),
                    (_UNKNOWN, "unknown", palette.PLAIN),
                    (_OK, "OK", palette.PLAIN),
                ),
                width=80,
            ),
            Column(
                "Last sync",
                union(ages, f"{age} unless on ({_KEYS}) {status()}"),
                unit="s",
            ),
        ],
        keys=("integration", "status", "workspace"),
        sort="State",
        is_ascending=True,
        leading=1,
        nothing="No integrations, no series.data_ingestion, or no figures",
        description="Integrations of Cloud Data Ingestion: the status of the last sync "
        "in Braze's words, and the time since its start, successful or not. fails: the "
        "status names an error; partial: some rows failed; overdue: the alert "
        "BrazeDataIngestionFailing fires, it no longer runs as often as usual.",
    )
