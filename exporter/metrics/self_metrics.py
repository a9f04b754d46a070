"""Metrics about this process, in a separate registry.

Counters of known label values start at 0. Gauges of what is served are computed at
each scrape. What Braze counts is rendered by `object_metrics`, not here.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping
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
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.openmetrics.exposition import (
    generate_latest as generate_openmetrics,
)

from exporter.model.errors import FailureReason
from exporter.model.rate_limit_headers import RateLimitHeaders

RESULTS = ("stored", "failed", "malformed", "deferred")
PAUSE_REASONS = ("unauthorized", "forbidden")
_CODES = (200, 400, 401, 403, 404, 429, 500, 502, 503, 504, "error")
"""The codes of Braze's documentation of errors, and `error` for no response."""
_REGISTERED = frozenset(HTTPStatus)

_PREFIX = "braze_exporter_"
_WORKSPACE = ("workspace",)
_ENDPOINT = ("workspace", "endpoint")

_Families = Mapping[tuple[str, ...], Mapping[str, str]]
"""Label names → name without prefix → help."""

_COUNTERS: _Families = {
    ("workspace", "endpoint", "code"): {
        "api_requests": "Requests to Braze by HTTP status. code=error: there was no "
        "complete response.",
    },
    _WORKSPACE: {
        "api_retries": "Requests to Braze that repeated a failed request of the same "
        "poll.",
        "polls_recovered": "Polls that nothing would have started any more and that "
        "were scheduled again. Above 0: the exporter has a fault; please report it "
        "with the log around event=polls.recovered.",
    },
    _ENDPOINT: {
        "api_throttled": "Responses 429: the rate limit was used up. Lower "
        "requests_per_minute, or for canvases and discovery "
        "shared_requests_per_minute, or find the other clients that use the limit.",
    },
    ("workspace", "result"): {
        "polls": "Polls by result. stored: new values were stored. failed: there was "
        "no usable response, and the previous values are kept. malformed: the "
        "response was not a data series. deferred: the request budget "
        "delayed the poll by more than a tenth of its interval.",
    },
    ("result",): {
        "state_saves": "Attempts to save the last values to disk (--state.path).",
        "state_loads": "Attempts to read the saved values at startup (--state.path).",
    },
    ("workspace", "reason"): {
        "discovery_failures": "Requests of the discovery of campaigns without a usable "
        "response, by reason. forbidden: the key lacks campaigns.list or "
        "campaigns.details. Polls are not affected.",
        "canvas_discovery_failures": "Requests of the discovery of canvases without a "
        "usable response, by reason. forbidden: the key lacks canvas.list or "
        "canvas.details. Polls are not affected.",
    },
}

_GAUGES: _Families = {
    ("version", "python"): {
        "build_info": "Always 1, with the version as a label.",
    },
    (): {
        "config_last_reload_successful": "1 if the last attempt to load the "
        "configuration succeeded. 0: the previous configuration is in force, and the "
        "log lists every problem.",
        "config_last_reload_success_timestamp_seconds": "When the configuration in "
        "force was loaded.",
    },
    _ENDPOINT: {
        "api_rate_limit_limit": "Requests per window, from the X-RateLimit headers of "
        "Braze's last response.",
        "api_rate_limit_remaining": "Requests left in the window, from the "
        "X-RateLimit headers of Braze's last response.",
        "api_rate_limit_reset_timestamp_seconds": "End of the window, from the "
        "X-RateLimit headers of Braze's last response.",
    },
    ("workspace", "reason"): {
        "workspace_paused": "1 while Braze refuses the API key of the workspace, or "
        "its permission campaigns.data_series, and one campaign only is polled to "
        "probe it.",
        "canvases_paused": "1 while Braze refuses the API key, or its permission "
        "canvas.data_series, and one canvas only is polled to probe it.",
    },
    _WORKSPACE: {
        "planned_requests_per_minute": "Requests per minute for campaigns at the "
        "intervals in force.",
        "interval_seconds": "The configured interval of the workspace times the "
        "stretch in force. Longer than configured: the campaigns need more than "
        "requests_per_minute.",
        "interval_stretch": "The factor, at least 1, on every configured interval of "
        "the workspace. Above 1: the campaigns need more than requests_per_minute; "
        "raise it, or the intervals.",
        "canvas_planned_requests_per_minute": "Requests per minute for canvases at the "
        "intervals in force, those for older days included.",
        "canvas_interval_seconds": "canvas_interval of the workspace times the stretch "
        "in force. Longer than configured: the canvases need more than "
        "shared_requests_per_minute.",
        "canvas_interval_stretch": "The factor, at least 1, on the intervals of the "
        "canvases of the workspace. Above 1: they need more than "
        "shared_requests_per_minute; raise it, or the intervals.",
        "discovered_campaigns": "Campaigns that are polled because discovery found "
        "them, in addition to the configured ones.",
        "discovery_limited": "1 while discover.campaigns.max leaves out campaigns "
        "that match the selection. Raise it, or narrow the selection.",
        "discovery_last_success_timestamp_seconds": "When the discovery of campaigns "
        "last had all the data that it requests. It is failing if this is older than "
        "some list_interval; known campaigns are polled all the same.",
        "discovered_canvases": "Canvases that are polled because discovery found them, "
        "in addition to the configured ones.",
        "canvas_discovery_limited": "1 while discover.canvases.max leaves out canvases "
        "that match the selection. Raise it, or narrow the selection.",
        "canvas_discovery_last_success_timestamp_seconds": "When the discovery of "
        "canvases last had all the data that it requests. It is failing if this is "
        "older than some list_interval; known canvases are polled all the same.",
    },
    ("shard", "total_shards"): {
        "shard_info": "Always 1, with the shard that this process polls and the "
        "number of shards as labels (--shard).",
    },
}

_PREFIXES = {"campaign": "", "canvas": "canvas_"}
_PAUSED = {"campaign": "workspace_paused", "canvas": "canvases_paused"}
_DISCOVERED = {"campaign": "discovered_campaigns", "canvas": "discovered_canvases"}
"""Kind → how the metrics of its polls and of its discovery are called."""

_OF_DISCOVERY = (
    "discovery_limited",
    "discovery_last_success_timestamp_seconds",
    "discovery_failures",
)

_HISTOGRAMS: Mapping[str, tuple[str, tuple[str, ...], tuple[float, ...]]] = {
    "api_request_duration_seconds": (
        "Duration of requests to Braze, from connecting to the last byte.",
        _ENDPOINT,
        (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
    ),
    "poll_lag_seconds": (
        "Delay of polls after their slot.",
        _WORKSPACE,
        (0.01, 0.1, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0),
    ),
}
"""Name without prefix → help, label names and buckets."""

_LOST_LINES = (
    "Lines of the log that could not be written, because nothing reads standard error "
    "or its disk is full. Polls continue; the log has event=log.lines_lost once it is "
    "written again."
)

_SERVED: Mapping[str, str] = {
    "campaigns": "Campaigns that are polled.",
    "canvases": "Canvases that are polled.",
    "idle_campaigns": "Campaigns that are polled at idle_interval only: all counts "
    "were 0 for 14 days, or they are archived or drafts.",
    "idle_canvases": "Canvases that are polled at idle_interval only: no user entered "
    "and nothing was counted for 13 days, or they are stopped, archived or drafts.",
    "series": "Series of campaigns and canvases in a scrape now.",
    "series_dropped": "Series of campaigns and canvases that "
    "limits.series_per_campaign leaves out now. Raise it, or exclude channels, metrics "
    "or the steps of canvases.",
    "ignored_values": "Values in Braze's last responses that are not finite numbers.",
    "skipped_rows": "Rows in Braze's last responses without a usable date.",
}
"""Field of `Served` → help of its family."""


class Served(NamedTuple):
    """What is served of one workspace now."""

    workspace: str
    campaigns: int
    series: int
    series_dropped: int
    ignored_values: int
    skipped_rows: int
    idle_campaigns: int = 0
    canvases: int = 0
    idle_canvases: int = 0


class SelfMetrics:
    """The metrics of the process.

    `served` and `lost_log_lines` are called at each scrape.
    """

    def __init__(
        self,
        *,
        version: str,
        served: Callable[[], Iterable[Served]],
        lost_log_lines: Callable[[], int] = lambda: 0,
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # theirs
        self.registry = registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self._counters = {
            name: Counter(_PREFIX + name, text, labels, registry=registry)
            for labels, families in _COUNTERS.items()
            for name, text in families.items()
        }
        self._gauges = {
            name: Gauge(_PREFIX + name, text, labels, registry=registry)
            for labels, families in _GAUGES.items()
            for name, text in families.items()
        }
        self._histograms = {
            name: Histogram(
                _PREFIX + name, text, labels, registry=registry, buckets=buckets
            )
            for name, (text, labels, buckets) in _HISTOGRAMS.items()
        }
        registry.register(_ServedCollector(served))
        registry.register(_LogCollector(lost_log_lines))
        self._gauges["build_info"].labels(version, platform.python_version()).set(1)
        for name in ("state_saves", "state_loads"):
            for result in ("success", "failure"):
                self._counters[name].labels(result)
        metrics = {**self._counters, **self._gauges, **self._histograms}
        self._of_workspaces = [
            *self._histograms.values(),
            *(
                metrics[name]
                for labels, families in (*_COUNTERS.items(), *_GAUGES.items())
                if "workspace" in labels
                for name in families
            ),
        ]
        self._of_discovery = {
            kind: [
                metrics[name],
                *(metrics[_PREFIXES[kind] + one] for one in _OF_DISCOVERY),
            ]
            for kind, name in _DISCOVERED.items()
        }
        self._forgotten: set[str] = set()

    def expect(self, workspace: str, kind: str, endpoint: str) -> None:
        """Set the counters of a kind in a workspace to 0 before anything happens."""
        self._forgotten.discard(workspace)
        self._expect_requests(workspace, endpoint)
        self._counters["api_retries"].labels(workspace)
        self._counters["polls_recovered"].labels(workspace)
        for result in RESULTS:
            self._counters["polls"].labels(workspace, result)
        self._histograms["poll_lag_seconds"].labels(workspace)
        self.paused(workspace, kind, None)

    def expect_discovery(
        self, workspace: str, kind: str, endpoints: Iterable[str]
    ) -> None:
        """Set the counters of the discovery of a kind in a workspace to 0."""
        for endpoint in endpoints:
            self._expect_requests(workspace, endpoint)
        failures = self._counters[f"{_PREFIXES[kind]}discovery_failures"]
        for reason in FailureReason:
            failures.labels(workspace, reason)
        self.discovered(workspace, kind, found=0, is_limited=False)

    def _expect_requests(self, workspace: str, endpoint: str) -> None:
        for code in _CODES:
            self._counters["api_requests"].labels(workspace, endpoint, str(code))
        self._counters["api_throttled"].labels(workspace, endpoint)
        self._histograms["api_request_duration_seconds"].labels(workspace, endpoint)

    def discovered(
        self, workspace: str, kind: str, *, found: int, is_limited: bool
    ) -> None:
        """Set the number of discovered objects of a kind."""
        self._gauges[_DISCOVERED[kind]].labels(workspace).set(found)
        limited = self._gauges[f"{_PREFIXES[kind]}discovery_limited"]
        limited.labels(workspace).set(is_limited)

    def discovery_succeeded(self, workspace: str, kind: str, *, now: float) -> None:
        """Set when the discovery of a kind last had all its data."""
        name = f"{_PREFIXES[kind]}discovery_last_success_timestamp_seconds"
        self._gauges[name].labels(workspace).set(now)

    def discovery_failed(
        self, workspace: str, kind: str, reason: FailureReason
    ) -> None:
        """Count a request of discovery without a usable response."""
        failures = self._counters[f"{_PREFIXES[kind]}discovery_failures"]
        failures.labels(workspace, reason).inc()

    def forget_discovery(self, workspace: str, kind: str) -> None:
        """Remove the metrics of the discovery of a kind in a workspace."""
        for metric in self._of_discovery[kind]:
            metric.remove_by_labels({"workspace": workspace})

    def planned(
        self,
        workspace: str,
        kind: str,
        *,
        requests_per_minute: float,
        interval_seconds: float,
        stretch: float,
    ) -> None:
        """Set the intervals in force."""
        for name, value in (
            ("planned_requests_per_minute", requests_per_minute),
            ("interval_seconds", interval_seconds),
            ("interval_stretch", stretch),
        ):
            self._gauges[_PREFIXES[kind] + name].labels(workspace).set(value)

    def sharded(self, *, number: int, total: int) -> None:
        """Set which shard this process polls."""
        self._gauges["shard_info"].labels(number, total).set(1)

    def loaded(self, *, is_successful: bool, now: float) -> None:
        """Set the result of the last attempt to load a configuration."""
        self._gauges["config_last_reload_successful"].set(is_successful)
        if is_successful:
            self._gauges["config_last_reload_success_timestamp_seconds"].set(now)

    def answered(
        self, workspace: str, endpoint: str, *, code: int | None, seconds: float
    ) -> None:
        """Count a request; code None: there was no complete response."""
        text = "error" if code is None else _code_text(code)
        self._counters["api_requests"].labels(workspace, endpoint, text).inc()
        durations = self._histograms["api_request_duration_seconds"]
        durations.labels(workspace, endpoint).observe(max(0.0, seconds))
        if code == 429:
            self._counters["api_throttled"].labels(workspace, endpoint).inc()

    def allowed(self, workspace: str, endpoint: str, headers: RateLimitHeaders) -> None:
        """Set the rate limit of the last response."""
        for name, value in (
            ("limit", headers.limit),
            ("remaining", headers.remaining),
            ("reset_timestamp_seconds", headers.reset_at),
        ):
            if value is not None:
                gauge = self._gauges[f"api_rate_limit_{name}"]
                gauge.labels(workspace, endpoint).set(value)

    def retried(self, workspace: str) -> None:
        """Count a request that repeats a failed one."""
        self._counters["api_retries"].labels(workspace).inc()

    def recovered(self, workspace: str, polls: int) -> None:
        """Count polls that were lost and scheduled again."""
        self._counters["polls_recovered"].labels(workspace).inc(polls)

    def polled(self, workspace: str, result: str) -> None:
        """Count a poll by one of `RESULTS`."""
        self._counters["polls"].labels(workspace, result).inc()

    def began(self, workspace: str, *, lag_seconds: float) -> None:
        """Observe the delay of a poll."""
        lag = self._histograms["poll_lag_seconds"]
        lag.labels(workspace).observe(max(0.0, lag_seconds))

    def paused(self, workspace: str, kind: str, reason: str | None) -> None:
        """Set the pause of a kind; None: it is not paused."""
        gauge = self._gauges[_PAUSED[kind]]
        for known in PAUSE_REASONS:
            gauge.labels(workspace, known).set(known == reason)

    def saved(self, *, is_successful: bool) -> None:
        """Count an attempt to save the last values."""
        self._counters["state_saves"].labels(_result(is_successful)).inc()

    def restored(self, *, is_successful: bool) -> None:
        """Count an attempt to read the saved values."""
        self._counters["state_loads"].labels(_result(is_successful)).inc()

    def forget_kind(self, workspace: str, kind: str) -> None:
        """Remove the gauges of a kind that a workspace has no objects of any more."""
        names = ("planned_requests_per_minute", "interval_seconds", "interval_stretch")
        for name in (_PAUSED[kind], *(_PREFIXES[kind] + one for one in names)):
            self._gauges[name].remove_by_labels({"workspace": workspace})

    def forget(self, workspace: str) -> None:
        """Remove all metrics of a workspace."""
        self._forgotten.add(workspace)

    def render(self, *, is_openmetrics: bool) -> bytes:
        """Return all families in one format; OpenMetrics ends with `# EOF`."""
        # At each scrape: a late response would create them again.
        for workspace in tuple(self._forgotten):
            for metric in self._of_workspaces:
                metric.remove_by_labels({"workspace": workspace})
        render = generate_openmetrics if is_openmetrics else generate_latest
        page: bytes = render(self.registry)
        return page


class _ServedCollector:
    """Gauges of what is served now."""

    def __init__(self, served: Callable[[], Iterable[Served]]) -> None:
        self._served = served

    def describe(self, totals: Iterable[Served] = ()) -> list[GaugeMetricFamily]:
        """Return the families; without totals they have no samples."""
        families = []
        for name, text in _SERVED.items():
            family = GaugeMetricFamily(_PREFIX + name, text, labels=["workspace"])
            for total in totals:
                family.add_metric([total.workspace], getattr(total, name))
            families.append(family)
        return families

    def collect(self) -> list[GaugeMetricFamily]:
        """Return the families with their samples."""
        return self.describe(tuple(self._served()))


class _LogCollector:
    """A counter of lines of the log."""

    def __init__(self, lost_lines: Callable[[], int]) -> None:
        self._lost_lines = lost_lines

    def collect(self) -> list[CounterMetricFamily]:
        """Return the family."""
        name, text = _PREFIX + "log_lines_lost", _LOST_LINES
        return [CounterMetricFamily(name, text, value=self._lost_lines())]


def _code_text(code: int) -> str:
    """Return the code, or its class if unregistered: series must be bounded."""
    return str(code) if code in _REGISTERED else f"{code // 100}xx"


def _result(is_successful: bool) -> str:
    return "success" if is_successful else "failure"
