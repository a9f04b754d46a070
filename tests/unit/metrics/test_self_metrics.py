"""Metrics about this process, as a scrape returns them."""

import platform
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from exporter.metrics.self_metrics import PAUSE_REASONS, RESULTS, SelfMetrics, Served
from exporter.model.errors import FailureReason
from exporter.model.rate_limit_headers import RateLimitHeaders
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as read_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as read_text

SERIES = "campaigns/data_series"
Reader = Callable[[str], Iterable[Metric]]

LABELS = {
    "build_info": "version python",
    "config_last_reload_successful": "",
    "config_last_reload_success_timestamp_seconds": "",
    "api_requests": "workspace endpoint code",
    "api_request_duration_seconds": "workspace endpoint",
    "api_retries": "workspace",
    "api_throttled": "workspace endpoint",
    "api_rate_limit_limit": "workspace endpoint",
    "api_rate_limit_remaining": "workspace endpoint",
    "api_rate_limit_reset_timestamp_seconds": "workspace endpoint",
    "polls": "workspace result",
    "poll_lag_seconds": "workspace",
    "workspace_paused": "workspace reason",
    "planned_requests_per_minute": "workspace",
    "interval_seconds": "workspace",
    "interval_stretch": "workspace",
    "campaigns": "workspace",
    "idle_campaigns": "workspace",
    "series": "workspace",
    "series_dropped": "workspace",
    "ignored_values": "workspace",
    "skipped_rows": "workspace",
    "state_saves": "result",
    "state_loads": "result",
    "shard_info": "shard total_shards",
    "discovered_campaigns": "workspace",
    "discovery_limited": "workspace",
    "discovery_last_success_timestamp_seconds": "workspace",
    "discovery_failures": "workspace reason",
}
"""Family without its prefix → its labels."""

COUNTERS = {
    "api_requests",
    "api_retries",
    "api_throttled",
    "polls",
    "state_saves",
    "state_loads",
    "discovery_failures",
}
HISTOGRAMS = {"api_request_duration_seconds", "poll_lag_seconds"}


def served() -> Iterator[Served]:
    yield Served(
        workspace="shop",
        campaigns=3,
        series=120,
        series_dropped=7,
        ignored_values=2,
        skipped_rows=1,
    )


def new_metrics() -> SelfMetrics:
    metrics = SelfMetrics(version="1.2.3", served=served)
    metrics.expect("shop", SERIES)
    return metrics


def used_metrics() -> SelfMetrics:
    metrics = new_metrics()
    metrics.planned(
        "shop", requests_per_minute=12.5, interval_seconds=600.0, stretch=2.0
    )
    metrics.loaded(is_successful=True, now=1000.5)
    metrics.sharded(number=1, total=3)
    metrics.answered("shop", SERIES, code=200, seconds=0.2)
    metrics.allowed("shop", SERIES, RateLimitHeaders(100, 40, 2000.0))
    metrics.polled("shop", "stored")
    metrics.began("shop", lag_seconds=0.3)
    metrics.expect_discovery("shop", ["campaigns/list"])
    metrics.discovery_succeeded("shop", now=1000.5)
    return metrics


def families(metrics: SelfMetrics) -> dict[str, Metric]:
    page = metrics.render(is_openmetrics=False).decode()
    prefix = "braze_exporter_"
    return {
        one.name.removeprefix(prefix): one
        for one in read_text(page)
        if one.name.startswith(prefix)
    }


def samples(metrics: SelfMetrics, name: str) -> dict[tuple[str, ...], float]:
    return {
        tuple(sample.labels[label] for label in LABELS[key].split()): sample.value
        for key, family in families(metrics).items()
        for sample in family.samples
        if sample.name == f"braze_exporter_{name}"
    }


@pytest.mark.parametrize("name", LABELS)
def test_a_family_has_its_labels(name: str) -> None:
    family = families(used_metrics())[name]

    labels = {frozenset(sample.labels) - {"le"} for sample in family.samples}
    is_other = "histogram" if name in HISTOGRAMS else "gauge"
    assert labels == {frozenset(LABELS[name].split())}
    assert family.type == ("counter" if name in COUNTERS else is_other)
    assert family.documentation.endswith(".")


def test_there_are_no_undocumented_families() -> None:
    assert set(families(used_metrics())) == set(LABELS)


def test_the_client_library_adds_process_and_python_metrics() -> None:
    page = new_metrics().render(is_openmetrics=False).decode()

    names = {family.name for family in read_text(page)}
    others = {name for name in names if not name.startswith("braze_exporter_")}
    assert "python_info" in others
    assert all(name.startswith(("process_", "python_")) for name in others)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_the_memory_of_the_process_is_a_metric() -> None:
    assert b"process_resident_memory_bytes " in new_metrics().render(
        is_openmetrics=False
    )


def test_counters_start_at_zero() -> None:
    """For every expected workspace, so that `increase` counts the first event."""
    metrics = new_metrics()

    assert samples(metrics, "api_requests_total") == {
        ("shop", SERIES, code): 0
        for code in (
            *["200", "400", "401", "403", "404", "429", "500", "502", "503", "504"],
            "error",
        )
    }
    assert samples(metrics, "api_request_duration_seconds_count") == {
        ("shop", SERIES): 0
    }
    assert samples(metrics, "api_retries_total") == {("shop",): 0}
    assert samples(metrics, "api_throttled_total") == {("shop", SERIES): 0}
    assert samples(metrics, "polls_total") == {
        ("shop", result): 0 for result in RESULTS
    }
    assert samples(metrics, "poll_lag_seconds_count") == {("shop",): 0}
    assert samples(metrics, "state_saves_total") == {("success",): 0, ("failure",): 0}
    assert samples(metrics, "workspace_paused") == {
        ("shop", reason): 0 for reason in PAUSE_REASONS
    }


def test_counters_of_discovery_start_at_zero() -> None:
    metrics = new_metrics()
    assert samples(metrics, "discovery_failures_total") == {}

    metrics.expect_discovery("shop", ["campaigns/list"])
    metrics.discovery_failed("shop", FailureReason.FORBIDDEN)

    failures = samples(metrics, "discovery_failures_total")
    assert set(failures) == {("shop", reason) for reason in FailureReason}
    assert sum(failures.values()) == failures["shop", "forbidden"] == 1
    assert samples(metrics, "discovered_campaigns") == {("shop",): 0}
    assert samples(metrics, "discovery_last_success_timestamp_seconds") == {}
    assert samples(metrics, "api_requests_total")["shop", "campaigns/list", "403"] == 0
    metrics.forget_discovery("shop")
    assert samples(metrics, "discovery_failures_total") == {}


def test_missing_rate_limit_headers_have_no_series() -> None:
    metrics = new_metrics()
    metrics.allowed("shop", SERIES, RateLimitHeaders(limit=100))

    assert samples(metrics, "api_rate_limit_limit") == {("shop", SERIES): 100}
    assert samples(metrics, "api_rate_limit_remaining") == {}
    assert samples(metrics, "api_rate_limit_reset_timestamp_seconds") == {}


@pytest.mark.parametrize("is_openmetrics", [False, True])
def test_there_are_no_created_series(*, is_openmetrics: bool) -> None:
    """They would double the number of counters."""
    page = used_metrics().render(is_openmetrics=is_openmetrics)

    assert b"_created" not in page


@pytest.mark.parametrize(
    ("is_openmetrics", "read"), [(False, read_text), (True, read_openmetrics)]
)
def test_both_formats_have_the_same_families(
    *, is_openmetrics: bool, read: Reader
) -> None:
    page = used_metrics().render(is_openmetrics=is_openmetrics).decode()

    names = {family.name.removeprefix("braze_exporter_") for family in read(page)}
    assert set(LABELS) <= names
    assert page.endswith("# EOF\n") is is_openmetrics


def test_build_info_has_the_versions() -> None:
    found = samples(new_metrics(), "build_info")

    assert found == {("1.2.3", platform.python_version()): 1}


def test_requests_are_counted_by_status() -> None:
    """Unregistered codes by class, so that the number of series is bounded."""
    metrics = new_metrics()
    codes = (200, 200, 404, 429, None, 299, 302, 418, 499, 599)

    for code in codes:
        metrics.answered("shop", SERIES, code=code, seconds=0.2)

    counted = samples(metrics, "api_requests_total")
    assert {code: count for (_, _, code), count in counted.items() if count} == {
        "200": 2,
        "404": 1,
        "429": 1,
        "error": 1,
        "2xx": 1,
        "302": 1,
        "418": 1,
        "4xx": 1,
        "5xx": 1,
    }
    durations = samples(metrics, "api_request_duration_seconds_count")
    assert durations["shop", SERIES] == len(codes)
    assert samples(metrics, "api_throttled_total")["shop", SERIES] == 1


def test_events_are_counted() -> None:
    metrics = new_metrics()

    metrics.polled("shop", "malformed")
    metrics.retried("shop")
    metrics.saved(is_successful=False)
    metrics.restored(is_successful=True)

    assert samples(metrics, "polls_total")["shop", "malformed"] == 1
    assert samples(metrics, "api_retries_total")["shop",] == 1
    assert samples(metrics, "state_saves_total") == {("success",): 0, ("failure",): 1}
    assert samples(metrics, "state_loads_total") == {("success",): 1, ("failure",): 0}


def test_a_forgotten_workspace_has_no_series() -> None:
    metrics = used_metrics()
    metrics.expect("app", SERIES)

    metrics.forget("shop")
    before = metrics.render(is_openmetrics=False)
    metrics.answered("shop", SERIES, code=200, seconds=0.2)
    metrics.polled("shop", "stored")

    assert b'api_retries_total{workspace="shop"' in used_metrics().render(
        is_openmetrics=False
    )
    for page in (before, metrics.render(is_openmetrics=False)):
        names = {
            sample.name
            for family in read_text(page.decode())
            for sample in family.samples
            if sample.labels.get("workspace") == "shop"
        }
        assert names == {f"braze_exporter_{name}" for name in Served._fields[1:]}
        assert b'api_retries_total{workspace="app"} 0.0' in page
    metrics.expect("shop", SERIES)
    assert samples(metrics, "polls_total")["shop", "stored"] == 0


def test_the_rate_limit_is_that_of_the_last_response() -> None:
    metrics = used_metrics()

    metrics.allowed("shop", SERIES, RateLimitHeaders(100, 39, 2000.0))

    assert samples(metrics, "api_rate_limit_limit")["shop", SERIES] == 100
    assert samples(metrics, "api_rate_limit_remaining")["shop", SERIES] == 39
    assert samples(metrics, "api_rate_limit_reset_timestamp_seconds") == {
        ("shop", SERIES): 2000
    }


def test_lag_is_never_negative() -> None:
    """After the clock is set back, the lag is 0."""
    metrics = new_metrics()

    metrics.began("shop", lag_seconds=-5.0)
    metrics.began("shop", lag_seconds=2.0)

    assert samples(metrics, "poll_lag_seconds_sum")["shop",] == 2
    assert samples(metrics, "poll_lag_seconds_count")["shop",] == 2


def test_a_pause_has_its_reason() -> None:
    metrics = new_metrics()

    metrics.paused("shop", "forbidden")
    during = samples(metrics, "workspace_paused")
    metrics.paused("shop", None)

    assert during == {("shop", "unauthorized"): 0, ("shop", "forbidden"): 1}
    assert set(samples(metrics, "workspace_paused").values()) == {0}


def test_the_intervals_in_force_are_metrics() -> None:
    metrics = used_metrics()

    assert samples(metrics, "planned_requests_per_minute")["shop",] == 12.5
    assert samples(metrics, "interval_seconds")["shop",] == 600
    assert samples(metrics, "interval_stretch")["shop",] == 2


def test_a_failed_reload_keeps_the_time_of_the_last_success() -> None:
    metrics = used_metrics()

    metrics.loaded(is_successful=False, now=5000.0)

    assert samples(metrics, "config_last_reload_successful")[()] == 0
    assert (
        samples(metrics, "config_last_reload_success_timestamp_seconds")[()] == 1000.5
    )


def test_gauges_of_what_is_served_are_computed_at_each_scrape() -> None:
    workspaces = list(served())
    metrics = SelfMetrics(version="1", served=lambda: workspaces)

    before = {
        name: samples(metrics, name)
        for name in (
            "campaigns",
            "series",
            "series_dropped",
            "ignored_values",
            "skipped_rows",
        )
    }
    workspaces.clear()

    assert [found["shop",] for found in before.values()] == [3, 120, 7, 2, 1]
    assert samples(metrics, "campaigns") == {}


def test_workspace_names_are_escaped() -> None:
    name = 'a "b"\\\n{c="d"} 😀'
    metrics = SelfMetrics(version="1", served=list)
    metrics.expect(name, SERIES)

    assert samples(metrics, "api_retries_total") == {(name,): 0}


def test_instances_do_not_share_metrics() -> None:
    first, second = new_metrics(), new_metrics()

    first.retried("shop")

    assert samples(second, "api_retries_total")["shop",] == 0


def test_each_family_has_a_help_line() -> None:
    page = used_metrics().render(is_openmetrics=False).decode()

    with_help = set(re.findall(r"^# HELP (\S+) \S", page, re.MULTILINE))
    with_type = set(re.findall(r"^# TYPE (\S+) ", page, re.MULTILINE))
    assert with_help == with_type
