"""Metrics about this process, as a scrape returns them."""

import platform
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from exporter.metrics.self_families import SERVED as SERVED_FAMILIES
from exporter.metrics.self_metrics import PAUSE_REASONS, RESULTS, SelfMetrics, Served
from exporter.model.errors import FailureReason
from exporter.model.rate_limit_headers import RateLimitHeaders
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as read_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as read_text

SERIES = "campaigns/data_series"
PREFIX = "braze_exporter_"
SERVED = Served("shop", 3, 120, series_dropped=7, ignored_values=2, skipped_rows=1)
CODES = ("200", "400", "401", "403", "404", "429", "500", "502", "503", "504", "error")


def new_metrics() -> SelfMetrics:
    metrics = SelfMetrics(version="1.2.3", served=lambda: [SERVED])
    metrics.expect("shop", "campaign", SERIES)
    return metrics


def used_metrics() -> SelfMetrics:
    """Return the metrics of a process in which every event happened once."""
    metrics = new_metrics()
    metrics.planned(
        "shop",
        "campaign",
        requests_per_minute=12.5,
        interval_seconds=600.0,
        stretch=2.0,
    )
    metrics.loaded(is_successful=True, now=1000.5)
    metrics.sharded(number=1, total=3)
    metrics.answered("shop", SERIES, code=200, seconds=0.2)
    metrics.allowed("shop", SERIES, RateLimitHeaders(100, 40, 2000.0))
    metrics.polled("shop", "stored")
    metrics.began("shop", lag_seconds=0.3)
    metrics.expect_discovery("shop", "campaign", ["campaigns/list"])
    metrics.discovery_succeeded("shop", "campaign", now=1000.5)
    return metrics


def samples(metrics: SelfMetrics, name: str) -> dict[tuple[str, ...], float]:
    """Return the values of samples by their label values, in the order of names."""
    page = metrics.render(is_openmetrics=False).decode()
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in read_text(page)
        for sample in family.samples
        if sample.name == PREFIX + name
    }


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_the_client_library_adds_process_and_python_metrics() -> None:
    page = new_metrics().render(is_openmetrics=False).decode()

    names = {family.name for family in read_text(page)}
    others = {name for name in names if not name.startswith(PREFIX)}
    assert {"python_info", "process_resident_memory_bytes"} < others
    assert all(name.startswith(("process_", "python_")) for name in others)


@pytest.mark.parametrize(
    ("is_openmetrics", "read"), [(False, read_text), (True, read_openmetrics)]
)
def test_both_formats_are_valid_and_have_no_created_series(
    *, is_openmetrics: bool, read: Callable[[str], Iterable[Metric]]
) -> None:
    """Those would double the number of counters."""
    metrics = used_metrics()

    page = metrics.render(is_openmetrics=is_openmetrics).decode()

    names = {family.name for family in read(page)}
    assert {family.name for family in metrics.registry.collect()} <= names
    assert page.endswith("# EOF\n") is is_openmetrics
    assert "_created" not in page


def test_counters_start_at_zero() -> None:
    """For every expected workspace, so that `increase` counts the first event."""
    metrics = new_metrics()
    expected: dict[str, list[tuple[str, ...]]] = {
        "api_requests_total": [(code, SERIES, "shop") for code in CODES],
        "api_request_duration_seconds_count": [(SERIES, "shop")],
        "api_retries_total": [("shop",)],
        "api_throttled_total": [(SERIES, "shop")],
        "polls_total": [(result, "shop") for result in RESULTS],
        "poll_lag_seconds_count": [("shop",)],
        "state_saves_total": [("success",), ("failure",)],
        "state_loads_total": [("success",), ("failure",)],
        "workspace_paused": [(reason, "shop") for reason in PAUSE_REASONS],
        "discovery_failures_total": [],  # it is not configured
    }

    for name, labels in expected.items():
        assert samples(metrics, name) == dict.fromkeys(labels, 0)


def test_counters_of_discovery_start_at_zero() -> None:
    metrics = new_metrics()

    metrics.expect_discovery("shop", "campaign", ["campaigns/list"])
    metrics.discovery_failed("shop", "campaign", FailureReason.FORBIDDEN)

    failures = samples(metrics, "discovery_failures_total")
    assert set(failures) == {(reason, "shop") for reason in FailureReason}
    assert sum(failures.values()) == failures["forbidden", "shop"] == 1
    assert samples(metrics, "discovered_campaigns") == {("shop",): 0}
    assert samples(metrics, "discovery_last_success_timestamp_seconds") == {}
    assert samples(metrics, "api_requests_total")["403", "campaigns/list", "shop"] == 0
    metrics.forget_discovery("shop", "campaign")
    assert samples(metrics, "discovery_failures_total") == {}


def test_requests_are_counted_by_status() -> None:
    """Unregistered codes by class, so that the number of series is bounded."""
    metrics = new_metrics()
    codes = (200, 200, 404, 429, None, 299, 302, 418, 499, 599)

    for code in codes:
        metrics.answered("shop", SERIES, code=code, seconds=0.2)

    counted = samples(metrics, "api_requests_total")
    once = dict.fromkeys(["404", "429", "error", "2xx", "302", "418", "4xx", "5xx"], 1)
    assert {code: n for (code, *_), n in counted.items() if n} == {"200": 2, **once}
    durations = samples(metrics, "api_request_duration_seconds_count")
    assert durations[SERIES, "shop"] == len(codes)
    assert samples(metrics, "api_throttled_total")[SERIES, "shop"] == 1


def test_events_are_counted() -> None:
    metrics = new_metrics()

    metrics.polled("shop", "malformed")
    metrics.retried("shop")
    metrics.saved(is_successful=False)
    metrics.restored(is_successful=True)

    assert samples(metrics, "polls_total")["malformed", "shop"] == 1
    assert samples(metrics, "api_retries_total")["shop",] == 1
    assert samples(metrics, "state_saves_total") == {("success",): 0, ("failure",): 1}
    assert samples(metrics, "state_loads_total") == {("success",): 1, ("failure",): 0}


def test_lost_lines_of_the_log_are_counted() -> None:
    lost = [0]
    metrics = SelfMetrics(version="1", served=tuple, lost_log_lines=lambda: lost[0])
    assert samples(metrics, "log_lines_lost_total") == {(): 0}

    lost[0] = 7

    assert samples(metrics, "log_lines_lost_total") == {(): 7}


def test_a_forgotten_workspace_has_no_series() -> None:
    """Not even after a late response, until the workspace is expected again."""
    metrics = used_metrics()
    metrics.expect("app", "campaign", SERIES)

    metrics.forget("shop")
    before = metrics.render(is_openmetrics=False)
    metrics.answered("shop", SERIES, code=200, seconds=0.2)
    metrics.polled("shop", "stored")

    for page in (before, metrics.render(is_openmetrics=False)):
        names = {
            sample.name
            for family in read_text(page.decode())
            for sample in family.samples
            if sample.labels.get("workspace") == "shop"
        }
        assert names == {f"{PREFIX}{name}" for name in SERVED_FAMILIES}
    assert samples(metrics, "api_retries_total") == {("app",): 0}
    metrics.expect("shop", "campaign", SERIES)
    assert samples(metrics, "polls_total")["stored", "shop"] == 0


def test_the_rate_limit_is_that_of_the_last_response() -> None:
    """A missing header is unknown, not 0."""
    metrics = new_metrics()
    names = ("limit", "remaining", "reset_timestamp_seconds")

    def limits() -> list[list[float]]:
        found = [samples(metrics, f"api_rate_limit_{name}") for name in names]
        return [list(one.values()) for one in found]

    metrics.allowed("shop", SERIES, RateLimitHeaders(limit=99))
    assert limits() == [[99], [], []]
    metrics.allowed("shop", SERIES, RateLimitHeaders(100, 39, 2000.0))
    assert limits() == [[100], [39], [2000]]


def test_lag_is_never_negative() -> None:
    """After the clock is set back, the lag is 0."""
    metrics = new_metrics()

    metrics.began("shop", lag_seconds=-5.0)
    metrics.began("shop", lag_seconds=2.0)

    assert samples(metrics, "poll_lag_seconds_sum")["shop",] == 2
    assert samples(metrics, "poll_lag_seconds_count")["shop",] == 2


def test_a_pause_has_its_reason() -> None:
    metrics = new_metrics()

    metrics.paused("shop", "campaign", "forbidden")
    during = samples(metrics, "workspace_paused")
    metrics.paused("shop", "campaign", None)

    assert during == {("unauthorized", "shop"): 0, ("forbidden", "shop"): 1}
    assert set(samples(metrics, "workspace_paused").values()) == {0}


def test_a_failed_reload_keeps_the_time_of_the_last_success() -> None:
    metrics = used_metrics()

    metrics.loaded(is_successful=False, now=5000.0)

    at = samples(metrics, "config_last_reload_success_timestamp_seconds")
    assert samples(metrics, "config_last_reload_successful") == {(): 0}
    assert at == {(): 1000.5}


def test_gauges_of_what_is_served_are_computed_at_each_scrape() -> None:
    workspaces = [SERVED]
    metrics = SelfMetrics(version="1", served=lambda: workspaces)

    before = [samples(metrics, name)["shop",] for name in SERVED_FAMILIES]
    workspaces.clear()

    assert before == [getattr(SERVED, name) for name in SERVED_FAMILIES]
    assert samples(metrics, "campaigns") == {}


def test_the_metrics_of_an_instance_are_separate_and_names_are_escaped() -> None:
    name = 'a "b"\\\n{c="d"} 😀'
    metrics, other = SelfMetrics(version="1", served=list), new_metrics()
    metrics.expect(name, "campaign", SERIES)

    metrics.retried(name)

    assert samples(metrics, "api_retries_total") == {(name,): 1}
    assert samples(other, "api_retries_total") == {("shop",): 0}


def test_the_versions_the_plan_and_the_shard_are_metrics() -> None:
    metrics = used_metrics()
    versions = (platform.python_version(), "1.2.3")

    assert samples(metrics, "build_info") == {versions: 1}
    assert samples(metrics, "planned_requests_per_minute") == {("shop",): 12.5}
    assert samples(metrics, "interval_seconds") == {("shop",): 600}
    assert samples(metrics, "interval_stretch") == {("shop",): 2}
    assert samples(metrics, "shard_info") == {("1", "3"): 1}


def test_each_family_has_a_help_sentence() -> None:
    page = used_metrics().render(is_openmetrics=False).decode()

    helps = dict(re.findall(r"^# HELP (\S+) (.*)$", page, re.MULTILINE))
    assert set(helps) == set(re.findall(r"^# TYPE (\S+) ", page, re.MULTILINE))
    own = [text for name, text in helps.items() if name.startswith(PREFIX)]
    assert all(text.endswith(".") for text in own)


def test_a_contract_is_a_metric_while_there_is_one() -> None:
    workspaces = [SERVED._replace(contract={"email": 10**7, "sms": 5}), SERVED]
    metrics = SelfMetrics(version="1", served=lambda: workspaces)
    name = "braze_workspace_contract_messages"

    def value(channel: str) -> float | None:
        labels = {"workspace": "shop", "channel": channel}
        return metrics.registry.get_sample_value(name, labels)

    assert (value("email"), value("sms"), value("webhook")) == (10**7, 5, None)
    del workspaces[0]
    assert name not in metrics.render(is_openmetrics=False).decode()
