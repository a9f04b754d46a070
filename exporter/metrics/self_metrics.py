"""Metrics about this process, in a separate registry.

Counters of known label values start at 0. Gauges of what is served are computed at
each scrape. What Braze counts is rendered by `object_metrics`, not here.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from http import HTTPStatus
from threading import RLock
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

from exporter.metrics.self_families import (
    CONTRACT,
    COUNTERS,
    DISCOVERED,
    GAUGES,
    HISTOGRAMS,
    KIND_PREFIXES,
    LOST_LINES,
    OF_DISCOVERY,
    PAUSED,
    PREFIX,
    SERVED,
)
from exporter.model.errors import FailureReason
from exporter.model.rate_limit_headers import RateLimitHeaders

RESULTS = ("stored", "failed", "malformed", "deferred")
PAUSE_REASONS = ("unauthorized", "forbidden")
_CODES = (200, 400, 401, 403, 404, 429, 500, 502, 503, 504, "error")
"""The codes of Braze's documentation of errors, and `error` for no response."""
_REGISTERED = frozenset(HTTPStatus)


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
    contract: Mapping[str, int] = {}
    """Channel → messages a month, as configured."""


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
            name: Counter(PREFIX + name, text, labels, registry=registry)
            for labels, families in COUNTERS.items()
            for name, text in families.items()
        }
        self._gauges = {
            name: Gauge(PREFIX + name, text, labels, registry=registry)
            for labels, families in GAUGES.items()
            for name, text in families.items()
        }
        self._histograms = {
            name: Histogram(
                PREFIX + name, text, labels, registry=registry, buckets=buckets
            )
            for name, (text, labels, buckets) in HISTOGRAMS.items()
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
                for labels, families in (*COUNTERS.items(), *GAUGES.items())
                if "workspace" in labels
                for name in families
            ),
        ]
        self._of_discovery = {
            kind: [
                metrics[name],
                *(metrics[KIND_PREFIXES[kind] + one] for one in OF_DISCOVERY),
            ]
            for kind, name in DISCOVERED.items()
        }
        self._forgotten: set[str] = set()
        self.page_lock = RLock()
        """Held while a page reads the metrics and what belongs to them."""
        self._held: dict[bool, bytes] | None = None
        """The pages of the previous configuration, while another one is applied."""

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
        failures = self._counters[f"{KIND_PREFIXES[kind]}discovery_failures"]
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
        self._gauges[DISCOVERED[kind]].labels(workspace).set(found)
        limited = self._gauges[f"{KIND_PREFIXES[kind]}discovery_limited"]
        limited.labels(workspace).set(is_limited)

    def discovery_succeeded(self, workspace: str, kind: str, *, now: float) -> None:
        """Set when the discovery of a kind last had all its data."""
        name = f"{KIND_PREFIXES[kind]}discovery_last_success_timestamp_seconds"
        self._gauges[name].labels(workspace).set(now)

    def discovery_failed(
        self, workspace: str, kind: str, reason: FailureReason
    ) -> None:
        """Count a request of discovery without a usable response."""
        failures = self._counters[f"{KIND_PREFIXES[kind]}discovery_failures"]
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
        if kind not in KIND_PREFIXES:
            for name, value in (
                ("planned_requests_per_minute", requests_per_minute),
                ("interval_stretch", stretch),
            ):
                self._gauges[f"series_{name}"].labels(workspace, kind).set(value)
            return
        for name, value in (
            ("planned_requests_per_minute", requests_per_minute),
            ("interval_seconds", interval_seconds),
            ("interval_stretch", stretch),
        ):
            self._gauges[KIND_PREFIXES[kind] + name].labels(workspace).set(value)

    def sharded(self, *, number: int, total: int) -> None:
        """Set which shard this process polls."""
        self._gauges["shard_info"].labels(number, total).set(1)

    def loaded(self, *, is_successful: bool, now: float) -> None:
        """Set the result of the last attempt to load a configuration."""
        self._gauges["config_last_reload_successful"].set(is_successful)
        if is_successful:
            self._gauges["config_last_reload_success_timestamp_seconds"].set(now)

    def answered(
        self, workspace: str, endpoint: str, *, code: int | None, seconds: float | None
    ) -> None:
        """Count a request; code None: there was no complete response.

        Without a connection it has no duration.
        """
        text = "error" if code is None else _code_text(code)
        self._counters["api_requests"].labels(workspace, endpoint, text).inc()
        if seconds is not None:
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
        if kind not in PAUSED:
            return
        gauge = self._gauges[PAUSED[kind]]
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
        if kind not in KIND_PREFIXES:
            for name in (names[0], names[2]):
                gauge = self._gauges[f"series_{name}"]
                gauge.remove_by_labels({"workspace": workspace, "kind": kind})
            return
        for name in (PAUSED[kind], *(KIND_PREFIXES[kind] + one for one in names)):
            self._gauges[name].remove_by_labels({"workspace": workspace})

    def forget(self, workspace: str) -> None:
        """Remove all metrics of a workspace."""
        self._forgotten.add(workspace)

    @contextmanager
    def published_with(self, others: AbstractContextManager[None]) -> Iterator[None]:
        """Keep what `render` returns until the end of the context of `others`.

        Both end together, so that no page contains two configurations.
        """
        with self.page_lock:
            self._held = {
                is_openmetrics: self._render(is_openmetrics=is_openmetrics)
                for is_openmetrics in (False, True)
            }
            others.__enter__()
        try:
            yield
        finally:
            with self.page_lock:
                others.__exit__(None, None, None)
                self._held = None

    def render(self, *, is_openmetrics: bool) -> bytes:
        """Return all families in one format; OpenMetrics ends with `# EOF`."""
        with self.page_lock:
            if self._held is not None:
                return self._held[is_openmetrics]
            return self._render(is_openmetrics=is_openmetrics)

    def _render(self, *, is_openmetrics: bool) -> bytes:
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
        for name, text in SERVED.items():
            family = GaugeMetricFamily(PREFIX + name, text, labels=["workspace"])
            for total in totals:
                family.add_metric([total.workspace], getattr(total, name))
            families.append(family)
        return families

    def collect(self) -> list[GaugeMetricFamily]:
        """Return the families with their samples, of contracts if there is one."""
        totals = tuple(self._served())
        contracts = GaugeMetricFamily(*CONTRACT, labels=["workspace", "channel"])
        for total in totals:
            for channel, messages in total.contract.items():
                contracts.add_metric([total.workspace, channel], messages)
        found = self.describe(totals)
        return [*found, contracts] if contracts.samples else found


class _LogCollector:
    """A counter of lines of the log."""

    def __init__(self, lost_lines: Callable[[], int]) -> None:
        self._lost_lines = lost_lines

    def collect(self) -> list[CounterMetricFamily]:
        """Return the family."""
        name, text = PREFIX + "log_lines_lost", LOST_LINES
        return [CounterMetricFamily(name, text, value=self._lost_lines())]


def _code_text(code: int) -> str:
    """Return the code, or its class if unregistered: series must be bounded."""
    return str(code) if code in _REGISTERED else f"{code // 100}xx"


def _result(is_successful: bool) -> str:
    return "success" if is_successful else "failure"
