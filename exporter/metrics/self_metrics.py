"""Metrics about this process, in a registry of their own.

Counters of known label values stand at 0 from the start; gauges over what is served now
are computed when they are scraped. Braze's own numbers never pass through here: they
are rendered once by `exposition`.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.openmetrics.exposition import (
    generate_latest as generate_openmetrics,
)

from exporter.model.errors import FailureReason
from exporter.model.rate_limit_headers import RateLimitHeaders

RESULTS = ("stored", "failed", "malformed", "deferred")
PAUSE_REASONS = ("unauthorized", "forbidden")
_CODES = (200, 400, 401, 403, 404, 429, 500, 502, 503, 504, "error")
"""What Braze's page of errors names, and no answer at all."""
_REGISTERED = frozenset(HTTPStatus)
_LAG_BUCKETS = (0.01, 0.1, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
_DURATION_BUCKETS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Served(NamedTuple):
    """What one workspace shows now."""

    workspace: str
    campaigns: int
    series: int
    series_dropped: int
    ignored_values: int
    skipped_rows: int
    idle_campaigns: int = 0


class SelfMetrics:
    """Counts what happens; `served` tells, at each scrape, what is shown now."""

    def __init__(self, *, version: str, served: Callable[[], Iterable[Served]]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # theirs
        self.registry = registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        build = _gauge(
            registry, "build_info", "1, labelled with the version.", "version", "python"
        )
        build.labels(version, platform.python_version()).set(1)
        self._reload_ok = _gauge(
            registry,
            "config_last_reload_successful",
            "1 if the last attempt to load the configuration succeeded. 0: the former "
            "one is in force; the log lists every problem.",
        )
        self._reload_at = _gauge(
            registry,
            "config_last_reload_success_timestamp_seconds",
            "When the configuration in force was loaded.",
        )
        self._requests = _counter(
            registry,
            "api_requests",
            "Requests to Braze by HTTP status; code=error: no answer came.",
            "workspace",
            "endpoint",
            "code",
        )
        self._durations = _histogram(
            registry,
            "api_request_duration_seconds",
            "How long requests to Braze took, from connecting to the last byte.",
            _DURATION_BUCKETS,
            "workspace",
            "endpoint",
        )
        self._retries = _counter(
            registry,
            "api_retries",
            "Requests to Braze that repeated one that failed in the same poll.",
            "workspace",
        )
        self._throttled = _counter(
            registry,
            "api_throttled",
            "Answers 429: the allowance was used up. Lower requests_per_minute, or "
            "find who else spends it.",
            "workspace",
            "endpoint",
        )
        self._limit = _allowance_gauge(registry, "limit", "Requests per window")
        self._remaining = _allowance_gauge(registry, "remaining", "Requests left")
        self._reset = _allowance_gauge(
            registry, "reset_timestamp_seconds", "End of the window"
        )
        self._polls = _counter(
            registry,
            "polls",
            "Polls by result. stored: values are fresh. failed: no document; "
            "the last values stay. malformed: a document we cannot read. deferred: a "
            "poll was due and had to wait for the budget.",
            "workspace",
            "result",
        )
        self._lag = _histogram(
            registry,
            "poll_lag_seconds",
            "How late polls began after their slot.",
            _LAG_BUCKETS,
            "workspace",
        )
        self._paused = _gauge(
            registry,
            "workspace_paused",
            "1 while Braze refuses the workspace's key and only probes are sent.",
            "workspace",
            "reason",
        )
        self._planned = _gauge(
            registry,
            "planned_requests_per_minute",
            "Requests per minute that the campaigns' intervals in force amount to.",
            "workspace",
        )
        self._interval = _gauge(
            registry,
            "interval_seconds",
            "The workspace's interval times the stretch in force. Longer than "
            "configured: the campaigns need more than requests_per_minute.",
            "workspace",
        )
        self._stretch = _gauge(
            registry,
            "interval_stretch",
            "What every configured interval of the workspace is multiplied with, at "
            "least 1. Above 1: the campaigns want more than requests_per_minute; raise "
            "it, or the intervals.",
            "workspace",
        )
        self._state_saves = _counter(
            registry,
            "state_saves",
            "Attempts to keep the last values on disk (--state.path).",
            "result",
        )
        self._state_loads = _counter(
            registry,
            "state_loads",
            "Attempts to read the values kept on disk, at the start (--state.path).",
            "result",
        )
        self._shard = _gauge(
            registry,
            "shard_info",
            "1, labelled with the part of the campaigns that this one polls (--shard) "
            "and how many parts there are.",
            "shard",
            "total_shards",
        )
        self._discovered = _gauge(
            registry,
            "discovered_campaigns",
            "Campaigns that are polled because discovery found them, besides the "
            "listed ones.",
            "workspace",
        )
        self._discovery_limited = _gauge(
            registry,
            "discovery_limited",
            "1 while discover.max_campaigns keeps out campaigns that may be wanted: "
            "raise it, or narrow the selection.",
            "workspace",
        )
        self._discovered_at = _gauge(
            registry,
            "discovery_last_success_timestamp_seconds",
            "When discovery last knew all that it asks for. It fails if this grows "
            "older than some list_interval; the campaigns it knew are polled on.",
            "workspace",
        )
        self._discovery_failures = _counter(
            registry,
            "discovery_failures",
            "Questions of discovery without a usable answer, by reason. forbidden: the "
            "key lacks campaigns.list or campaigns.details; polls go on all the same.",
            "workspace",
            "reason",
        )
        self._of_discovery = (
            self._discovered,
            self._discovery_limited,
            self._discovered_at,
            self._discovery_failures,
        )
        for counter in (self._state_saves, self._state_loads):
            for result in ("success", "failure"):
                counter.labels(result)
        self._forgotten: set[str] = set()
        self._of_workspaces = (
            self._requests,
            self._durations,
            self._retries,
            self._throttled,
            self._limit,
            self._remaining,
            self._reset,
            self._polls,
            self._lag,
            self._paused,
            self._planned,
            self._interval,
            self._stretch,
            *self._of_discovery,
        )
        registry.register(_ServedCollector(served))

    def expect(self, workspace: str, endpoint: str) -> None:
        """Let every counter of a workspace stand at 0 before anything happens."""
        self._forgotten.discard(workspace)
        for code in _CODES:
            self._requests.labels(workspace, endpoint, str(code))
        self._durations.labels(workspace, endpoint)
        self._retries.labels(workspace)
        self._throttled.labels(workspace, endpoint)
        for result in RESULTS:
            self._polls.labels(workspace, result)
        self._lag.labels(workspace)
        self.paused(workspace, None)

    def expect_discovery(self, workspace: str, endpoints: Iterable[str]) -> None:
        """Let what discovery counts stand at 0, too."""
        for endpoint in endpoints:
            for code in _CODES:
                self._requests.labels(workspace, endpoint, str(code))
            self._durations.labels(workspace, endpoint)
            self._throttled.labels(workspace, endpoint)
        for reason in FailureReason:
            self._discovery_failures.labels(workspace, reason)
        self.discovered(workspace, campaigns=0, is_limited=False)

    def discovered(self, workspace: str, *, campaigns: int, is_limited: bool) -> None:
        """Show what discovery has found so far."""
        self._discovered.labels(workspace).set(campaigns)
        self._discovery_limited.labels(workspace).set(is_limited)

    def discovery_succeeded(self, workspace: str, *, now: float) -> None:
        """Show when it last found all."""
        self._discovered_at.labels(workspace).set(now)

    def discovery_failed(self, workspace: str, reason: FailureReason) -> None:
        """Count a question without a usable answer."""
        self._discovery_failures.labels(workspace, reason).inc()

    def forget_discovery(self, workspace: str) -> None:
        """Let what discovery shows of a workspace leave."""
        for metric in self._of_discovery:
            metric.remove_by_labels({"workspace": workspace})

    def planned(
        self,
        workspace: str,
        *,
        requests_per_minute: float,
        interval_seconds: float,
        stretch: float,
    ) -> None:
        """Show the rhythm in force."""
        self._planned.labels(workspace).set(requests_per_minute)
        self._interval.labels(workspace).set(interval_seconds)
        self._stretch.labels(workspace).set(stretch)

    def sharded(self, *, number: int, total: int) -> None:
        """Show that this is one of several that share a configuration."""
        self._shard.labels(number, total).set(1)

    def loaded(self, *, is_successful: bool, now: float) -> None:
        """Show how the last attempt to load a configuration went."""
        self._reload_ok.set(is_successful)
        if is_successful:
            self._reload_at.set(now)

    def answered(
        self, workspace: str, endpoint: str, *, code: int | None, seconds: float
    ) -> None:
        """Count one request; code None: no answer came."""
        text = "error" if code is None else _known(code)
        self._requests.labels(workspace, endpoint, text).inc()
        self._durations.labels(workspace, endpoint).observe(max(0.0, seconds))
        if code == 429:
            self._throttled.labels(workspace, endpoint).inc()

    def allowed(
        self, workspace: str, endpoint: str, allowance: RateLimitHeaders
    ) -> None:
        """Show what Braze's headers said last."""
        for gauge, value in (
            (self._limit, allowance.limit),
            (self._remaining, allowance.remaining),
            (self._reset, allowance.reset_at),
        ):
            if value is not None:
                gauge.labels(workspace, endpoint).set(value)

    def retried(self, workspace: str) -> None:
        """Count a request that repeats a failed one."""
        self._retries.labels(workspace).inc()

    def polled(self, workspace: str, result: str) -> None:
        """Count a poll by one of `RESULTS`."""
        self._polls.labels(workspace, result).inc()

    def began(self, workspace: str, *, lag_seconds: float) -> None:
        """Observe how late a poll began."""
        self._lag.labels(workspace).observe(max(0.0, lag_seconds))

    def paused(self, workspace: str, reason: str | None) -> None:
        """Show the pause in force, or that there is none."""
        for known in PAUSE_REASONS:
            self._paused.labels(workspace, known).set(known == reason)

    def saved(self, *, is_successful: bool) -> None:
        """Count an attempt to keep the last values."""
        self._state_saves.labels(_result(is_successful=is_successful)).inc()

    def restored(self, *, is_successful: bool) -> None:
        """Count an attempt to read the kept values."""
        self._state_loads.labels(_result(is_successful=is_successful)).inc()

    def forget(self, workspace: str) -> None:
        """Let a workspace leave whole."""
        self._forgotten.add(workspace)

    def render(self, *, is_openmetrics: bool) -> bytes:
        """Return all families in either format; OpenMetrics ends with `# EOF`."""
        self._remove_forgotten()
        render = generate_openmetrics if is_openmetrics else generate_latest
        page: bytes = render(self.registry)
        return page

    def _remove_forgotten(self) -> None:
        """Remove them each time: an answer that comes late would bring one back."""
        for workspace in tuple(self._forgotten):
            for metric in self._of_workspaces:
                metric.remove_by_labels({"workspace": workspace})


class _ServedCollector:
    """Gauges over what is served now."""

    def __init__(self, served: Callable[[], Iterable[Served]]) -> None:
        self._served = served

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Name the families without counting anything."""
        return [_family(name, text) for name, text in _SERVED_HELP.items()]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Count."""
        totals = tuple(self._served())
        for name, text in _SERVED_HELP.items():
            family = _family(name, text)
            for total in totals:
                family.add_metric([total.workspace], getattr(total, name))
            yield family


_SERVED_HELP = {
    "campaigns": "Campaigns that are polled.",
    "idle_campaigns": "Campaigns polled at idle_interval only: all was 0 for 14 days, "
    "or Braze calls them archived or drafts.",
    "series": "Series of campaigns that a scrape shows now.",
    "series_dropped": "Series that limits.series_per_campaign keeps out now. Raise it, "
    "or exclude channels or metrics.",
    "ignored_values": "Values of Braze's last answers that are not finite numbers.",
    "skipped_rows": "Rows of Braze's last answers without a usable date.",
}


def _known(code: int) -> str:
    """Return the code, or its class: a peer that invents codes makes no series."""
    return str(code) if code in _REGISTERED else f"{code // 100}xx"


def _result(*, is_successful: bool) -> str:
    return "success" if is_successful else "failure"


def _family(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"braze_exporter_{name}", text, labels=["workspace"])


def _gauge(registry: CollectorRegistry, name: str, text: str, *labels: str) -> Gauge:
    return Gauge(f"braze_exporter_{name}", text, labels, registry=registry)


def _allowance_gauge(registry: CollectorRegistry, name: str, what: str) -> Gauge:
    text = f"{what}, as the X-RateLimit headers of Braze's last answer said."
    return _gauge(registry, f"api_rate_limit_{name}", text, "workspace", "endpoint")


def _counter(
    registry: CollectorRegistry, name: str, text: str, *labels: str
) -> Counter:
    return Counter(f"braze_exporter_{name}", text, labels, registry=registry)


def _histogram(
    registry: CollectorRegistry,
    name: str,
    text: str,
    buckets: tuple[float, ...],
    *labels: str,
) -> Histogram:
    return Histogram(
        f"braze_exporter_{name}", text, labels, registry=registry, buckets=buckets
    )
