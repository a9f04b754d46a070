"""The panels about requests to Braze and polls: of everything, and by workspace.

Sums over everything have fixed names and colours, because a legend cannot leave out a
label that has one value.
"""

from __future__ import annotations

from grafana.generator import palette, panels, tables, telemetry
from grafana.generator.bars import bars
from grafana.generator.layout import Drawn, Tile
from grafana.generator.panels import Query
from grafana.generator.promql import (
    OF_CAMPAIGN,
    OF_WORKSPACE,
    added_up,
    fold,
    select,
    union,
)
from grafana.generator.tables import Column
from grafana.generator.telemetry import by_endpoint, own, per_minute, quantile

_SECONDS, _LAG = "api_request_duration_seconds", "poll_lag_seconds"
_LATENCY = (
    "Duration of requests to Braze, from connecting to the last byte, over all status "
    "codes: quantiles of the histogram, interpolated within its buckets. "
    f"{telemetry.COUNTER}"
)
_DELAY = (
    "Delay between the due time of a poll and its start: quantiles of the histogram, "
    f"interpolated within its buckets. {telemetry.COUNTER}"
)


def requests() -> list[Tile]:
    """Return the panels about requests of all chosen workspaces."""
    return [
        Tile(_used(), 8, 6),
        Tile(
            panels.graph(
                "Requests per minute, planned and sent",
                [
                    Query(f"sum({_planned()})", "planned"),
                    Query(per_minute("api_requests_total"), "sent"),
                ],
                description="Planned: for campaigns and canvases at the intervals in "
                "force. Sent: 60 × `rate()` of all requests, also those of discovery "
                f"and retries. Sums over all processes. {telemetry.COUNTER}",
                unit="short",
            ),
            16,
            6,
        ),
        Tile(
            panels.graph(
                "Requests per minute by status",
                [
                    Query(_with_code("2.."), "2xx"),
                    Query(_with_code("3..|4..", "429"), "3xx, 4xx"),
                    Query(_with_code("429"), "429 (rate limit)"),
                    Query(_with_code("5.."), "5xx"),
                    Query(_with_code("error"), "no response"),
                ],
                description="Per minute, 60 × `rate()` of requests to Braze by HTTP "
                "status, over all processes. 3xx and 4xx are without 429. "
                f"{telemetry.COUNTER}",
                unit="short",
            ),
            12,
            7,
        ),
        Tile(_quantiles("Latency of Braze", _SECONDS, _LATENCY), 12, 7),
    ]


def polls() -> list[Tile]:
    """Return the panels about polls, each of one or more requests."""
    results = ("stored", "deferred", "malformed", "failed")
    return [
        Tile(
            panels.graph(
                "Polls per minute by result",
                [
                    Query(
                        per_minute("polls_total", matchers=[f'result="{result}"']),
                        result,
                    )
                    for result in results
                ],
                description="Per minute, 60 × `rate()` over all processes. Stored: new "
                "values. Failed: no values, the last ones stay. Malformed: an "
                "unreadable response. Deferred: began more than a tenth of its "
                "interval late, because of the request budget; counted in addition to "
                "its result. "
                f"{telemetry.COUNTER}",
                unit="short",
            ),
            12,
            7,
        ),
        Tile(_quantiles("Poll lag", _LAG, _DELAY), 12, 7),
    ]


def by_workspace() -> list[Tile]:
    """Return the panels with a series for each workspace."""
    graphs = (
        _by_workspace(
            "Requests per minute by workspace",
            per_minute("api_requests_total", "workspace"),
            description="Per minute, 60 × `rate()` of all requests to Braze. "
            f"{telemetry.COUNTER}",
            unit="short",
        ),
        _by_workspace(
            "Latency of Braze by workspace, p95",
            quantile(_SECONDS, 0.95, "workspace"),
            description=_LATENCY,
            unit="s",
        ),
        _by_workspace(
            "Poll lag by workspace, p95",
            quantile(_LAG, 0.95, "workspace"),
            description=_DELAY,
            unit="s",
        ),
        _intervals(),
        _by_workspace(
            "Series by workspace",
            added_up(select("braze_exporter_series", OF_WORKSPACE)),
            description="Series of campaigns and canvases in a scrape; the maximum of "
            "replicas, the sum of shards.",
            unit="short",
        ),
        panels.graph(
            "Requests left in Braze's window",
            [
                Query(
                    "min by (workspace, endpoint) "
                    f"({by_endpoint('rate_limit_remaining')})",
                    "{{workspace}} {{endpoint}}",
                )
            ],
            description="X-RateLimit-Remaining of Braze's last response, of several "
            "processes the lowest. It is reset with each of Braze's windows.",
            unit="short",
        ),
    )
    return [Tile(_served(), 24, 5), *(Tile(graph, 12, 7) for graph in graphs)]


def _served() -> Drawn:
    def of(title: str, family: str) -> Column:
        return Column(title, added_up(select(family, OF_WORKSPACE)))

    return tables.table_of(
        "Series and values by workspace",
        [
            of("Series", "braze_exporter_series"),
            of("Series dropped", "braze_exporter_series_dropped"),
            of("Ignored values", "braze_exporter_ignored_values"),
            of("Skipped days", "braze_exporter_skipped_rows"),
            of("Idle campaigns", "braze_exporter_idle_campaigns"),
        ],
        keys=("workspace",),
        sort="Series",
        description="Series of campaigns and canvases in a scrape; those that "
        "`limits.series_per_campaign` removes; values in Braze's last responses that "
        "are no finite numbers, and days without a valid date; and campaigns that are "
        "polled at `idle_interval`. The maximum of replicas, the sum of shards.",
    )


def _used() -> Drawn:
    left = by_endpoint("rate_limit_remaining")
    limit = by_endpoint("rate_limit_limit")
    return bars(
        "Rate limit used",
        # More bars than fit are below, behind a scroll bar.
        [
            Query(
                f"sort_desc(1 - min by (workspace, endpoint) ({left} / ({limit} > 0)))"
            )
        ],
        name="${__field.labels.workspace} ${__field.labels.endpoint}",
        description="1 − requests left ÷ requests allowed in Braze's current window, "
        "from the headers of Braze's last response; with several exporters the lowest "
        "remainder; the most used one is first. Other tools share the limit. Orange "
        "from 60 %, vermillion from 80 %, where the default `reserve` begins.",
        unit="percentunit",
        thresholds=palette.steps(
            (None, palette.SKY), (0.6, palette.ORANGE), (0.8, palette.VERMILLION)
        ),
        most=1,
    )


def _planned() -> str:
    """Return the planned requests of each process, workspace and kind."""
    canvases = own("canvas_planned_requests_per_minute")
    return union(
        own("planned_requests_per_minute"),
        f'label_replace({canvases}, "kind", "canvas", "", "")',
    )


def _with_code(pattern: str, other: str = "") -> str:
    excluded = [f'code!="{other}"'] if other else []
    matchers = [f'code=~"{pattern}"', *excluded]
    return per_minute("api_requests_total", matchers=matchers)


def _quantiles(title: str, family: str, description: str) -> Drawn:
    return panels.graph(
        title,
        [
            Query(quantile(family, 0.5), "p50"),
            Query(quantile(family, 0.95), "p95"),
        ],
        description=description,
        unit="s",
    )


def _by_workspace(title: str, query: str, *, description: str, unit: str) -> Drawn:
    return panels.graph(
        title, [Query(query, "{{workspace}}")], description=description, unit=unit
    )


def _intervals() -> Drawn:
    def default(family: str) -> str:
        return f"max by (workspace) ({fold(select(family, OF_WORKSPACE))})"

    each = fold(select("braze_(campaign|canvas)_interval_seconds", OF_CAMPAIGN))
    return panels.graph(
        "Intervals in force",
        [
            Query(
                default("braze_exporter_interval_seconds"), "campaigns {{workspace}}"
            ),
            Query(
                default("braze_exporter_canvas_interval_seconds"),
                "canvases {{workspace}}",
            ),
            Query(f"max by (workspace) ({each})", "longest {{workspace}}"),
        ],
        description="The workspace's intervals, multiplied by their current stretch, "
        "and the longest interval of a campaign or canvas. Longer than configured: "
        "they need more requests than the ceiling allows. Idle ones, and those that "
        "Braze rejects, are polled less often.",
        unit="s",
    )
