"""The panels about requests to Braze: budget, requests, latency and polls."""

from __future__ import annotations

from grafana.generator import palette, panels, telemetry
from grafana.generator.layout import Tile
from grafana.generator.panels import Query
from grafana.generator.promql import OF_CAMPAIGN, OF_WORKSPACE, fold, select
from grafana.generator.telemetry import by_endpoint, own, quantile, rate


def budget() -> list[Tile]:
    """Return the panels about Braze's rate limits."""
    left = by_endpoint("rate_limit_remaining")
    limit = by_endpoint("rate_limit_limit")
    legend = "{{workspace}} {{endpoint}} {{instance}}"
    used = f"1 - min by (workspace, endpoint) ({left} / ({limit} > 0))"
    return [
        Tile(
            panels.bars(
                "Rate limit used",
                [Query(used, "{{workspace}} {{endpoint}}")],
                name="${__field.labels.workspace} ${__field.labels.endpoint}",
                description="1 − requests left ÷ requests allowed in Braze's current "
                "window, from the headers of Braze's last response; with several "
                "exporters the lowest remainder. Other tools share the limit. Orange "
                "from 60 %, vermillion from 80 %, where the default `reserve` begins.",
                unit="percentunit",
                thresholds=palette.steps(
                    (None, palette.SKY),
                    (0.6, palette.ORANGE),
                    (0.8, palette.VERMILLION),
                ),
                most=1,
            ),
            8,
            8,
        ),
        Tile(
            panels.graph(
                "Requests allowed and left",
                [Query(left, f"left: {legend}"), Query(limit, f"allowed: {legend}")],
                description="From the X-RateLimit headers of Braze's last response; "
                f"the remainder is reset with each of Braze's windows. "
                f"{telemetry.EACH}",
                unit="short",
            ),
            8,
            8,
        ),
        Tile(
            panels.graph(
                "Requests per minute, planned and sent",
                [
                    Query(
                        own("planned_requests_per_minute"),
                        "planned: {{workspace}} {{instance}}",
                    ),
                    Query(
                        f"60 * {rate('api_requests_total', 'workspace')}",
                        "sent: {{workspace}} {{instance}}",
                    ),
                ],
                description="Planned: the sum over the current intervals. Sent: 60 × "
                f"`rate()` of the requests. {telemetry.COUNTER} {telemetry.EACH}",
                unit="short",
            ),
            8,
            8,
        ),
    ]


def requests() -> list[Tile]:
    """Return the panels about single requests."""
    seconds = "api_request_duration_seconds"
    mean = (
        f"{rate(f'{seconds}_sum', 'workspace')} / "
        f"({rate(f'{seconds}_count', 'workspace')} > 0)"
    )
    by_code = rate("api_requests_total", "code")
    return [
        Tile(
            panels.graph(
                "Request rate by code",
                [Query(by_code, "{{code}} {{instance}}")],
                description="`rate()` of requests to Braze by HTTP status; `error`: no "
                f"response. {telemetry.COUNTER} {telemetry.EACH}",
                unit="reqps",
            ),
            8,
            8,
        ),
        Tile(
            panels.graph(
                "Latency",
                [
                    Query(quantile(seconds, 0.5), "half: {{workspace}} {{instance}}"),
                    Query(quantile(seconds, 0.95), "95 %: {{workspace}} {{instance}}"),
                    Query(mean, "mean: {{workspace}} {{instance}}"),
                ],
                description="Duration of requests to Braze, from connecting to the "
                "last byte: quantiles of the histogram, interpolated within its "
                "buckets, and the mean, over all status codes. "
                f"{telemetry.COUNTER}",
                unit="s",
            ),
            8,
            8,
        ),
        Tile(
            panels.graph(
                "Retries and 429 responses",
                [
                    Query(
                        f"60 * {rate('api_retries_total', 'workspace')}",
                        "retries: {{workspace}} {{instance}}",
                    ),
                    Query(
                        f"60 * {rate('api_throttled_total', 'workspace')}",
                        "429: {{workspace}} {{instance}}",
                    ),
                ],
                description="Per minute, 60 × `rate()`: requests that repeat a failed "
                "one in the same poll, and responses for an exhausted rate limit. "
                f"{telemetry.COUNTER} {telemetry.EACH}",
                unit="short",
            ),
            8,
            8,
        ),
    ]


def polls() -> list[Tile]:
    """Return the panels about polls, each of one or more requests."""
    lag = "poll_lag_seconds"
    default = fold(select("braze_exporter_interval_seconds", OF_WORKSPACE))
    longest = fold(select("braze_campaign_interval_seconds", OF_CAMPAIGN))
    return [
        Tile(
            panels.graph(
                "Poll lag",
                [
                    Query(quantile(lag, 0.5), "half: {{workspace}} {{instance}}"),
                    Query(quantile(lag, 0.95), "95 %: {{workspace}} {{instance}}"),
                ],
                description="Delay between the slot of a poll and its start: quantiles "
                "of the "
                f"histogram, interpolated within its buckets. {telemetry.COUNTER}",
                unit="s",
            ),
            8,
            8,
        ),
        Tile(
            panels.graph(
                "Polls by result",
                [
                    Query(
                        f"60 * {rate('polls_total', 'result')}",
                        "{{result}} {{instance}}",
                    )
                ],
                description="Per minute, 60 × `rate()`. Stored: fresh values. Failed: "
                "no values, the last ones stay. Malformed: an unreadable response. "
                "Deferred: due, but waiting for the request budget. "
                f"{telemetry.COUNTER} "
                f"{telemetry.EACH}",
                unit="short",
            ),
            8,
            8,
        ),
        Tile(
            panels.graph(
                "Current interval",
                [
                    Query(default, "default: {{workspace}}"),
                    Query(f"max by (workspace) ({longest})", "longest: {{workspace}}"),
                ],
                description="The workspace's interval times its current stretch, and "
                "the longest interval of its campaigns. Longer than configured: the "
                "campaigns need more than `requests_per_minute`. Campaigns that Braze "
                "rejects are polled less often.",
                unit="s",
            ),
            8,
            8,
        ),
    ]
