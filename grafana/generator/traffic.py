"""What the exporter asks of Braze: budget, requests, latency and polls."""

from __future__ import annotations

from grafana.generator import palette, panels, telemetry
from grafana.generator.layout import Tile
from grafana.generator.panels import Query
from grafana.generator.promql import OF_CAMPAIGN, OF_WORKSPACE, fold, select
from grafana.generator.telemetry import asked, own, quantile, rate


def budget() -> list[Tile]:
    """Return the panels about what Braze allows and what is left of it."""
    left = asked("rate_limit_remaining")
    limit = asked("rate_limit_limit")
    legend = "{{workspace}} {{endpoint}} {{instance}}"
    used = f"1 - min by (workspace, endpoint) ({left} / ({limit} > 0))"
    return [
        Tile(
            panels.bars(
                "Allowance used",
                [Query(used, "{{workspace}} {{endpoint}}")],
                says="1 − requests left ÷ requests allowed in Braze's current window, "
                "as the headers of its last answer said, of the exporter that saw "
                "least left. Other tools spend of it too. Orange from 60 %, vermillion "
                "from 80 %, where our default reserve begins.",
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
                says="As the X-RateLimit headers of Braze's last answer said; left "
                f"jumps up when Braze's window begins anew. {telemetry.EACH}",
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
                says="Planned: what the intervals in force amount to. Sent: 60 × "
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
                says="`rate()` of requests to Braze by HTTP status; `error`: no answer "
                f"came. {telemetry.COUNTER} {telemetry.EACH}",
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
                says="How long requests to Braze took, from connecting to the last "
                "byte: the quantiles of the histogram, interpolated within its "
                "buckets, and the mean. Of all codes together: it is not kept by code. "
                f"{telemetry.COUNTER}",
                unit="s",
            ),
            8,
            8,
        ),
        Tile(
            panels.graph(
                "Retries and answers 429",
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
                says="Per minute, 60 × `rate()`: requests that repeated a failed one "
                "in the same poll, and answers that the allowance is used up. "
                f"{telemetry.COUNTER} {telemetry.EACH}",
                unit="short",
            ),
            8,
            8,
        ),
    ]


def polls() -> list[Tile]:
    """Return the panels about polls, which take one request or several."""
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
                says="How late polls begin after their slot: quantiles of the "
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
                says="Per minute, 60 × `rate()`. Stored: fresh values. Failed: none, "
                "the last ones stay. Malformed: an answer we cannot read. Deferred: it "
                f"was due and had to wait for the budget. {telemetry.COUNTER} "
                f"{telemetry.EACH}",
                unit="short",
            ),
            8,
            8,
        ),
        Tile(
            panels.graph(
                "Interval in force",
                [
                    Query(default, "default: {{workspace}}"),
                    Query(f"max by (workspace) ({longest})", "longest: {{workspace}}"),
                ],
                says="The workspace's interval times the stretch in force, and the "
                "longest of its campaigns. Longer than configured: the campaigns need "
                "more than `requests_per_minute`. Campaigns that Braze refuses are "
                "asked more rarely.",
                unit="s",
            ),
            8,
            8,
        ),
    ]
