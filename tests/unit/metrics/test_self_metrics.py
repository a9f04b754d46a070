"""Metrics about this process, as a scrape shows them."""

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
"""Families without their prefix, and their labels."""

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
    """Tell of one workspace."""
    yield Served(
        workspace="shop",
        campaigns=3,
        series=120,
        series_dropped=7,
        ignored_values=2,
        skipped_rows=1,
    )


def telemetry() -> SelfMetrics:
    """Return the metrics of a process that expects one workspace."""
    made = SelfMetrics(version="1.2.3", served=served)
    made.expect("shop", SERIES)
    return made


def busy() -> SelfMetrics:
    """Return the metrics of a process in which everything happened once."""
    made = telemetry()
    made.planned("shop", requests_per_minute=12.5, interval_seconds=600.0, stretch=2.0)
    made.loaded(is_successful=True, now=1000.5)
    made.sharded(number=1, total=3)
    made.answered("shop", SERIES, code=200, seconds=0.2)
    made.allowed("shop", SERIES, RateLimitHeaders(100, 40, 2000.0))
    made.polled("shop", "stored")
    made.began("shop", lag_seconds=0.3)
    made.expect_discovery("shop", ["campaigns/list"])
    made.discovery_succeeded("shop", now=1000.5)
    return made


def families(made: SelfMetrics) -> dict[str, Metric]:
    """Return the exporter's own families, as a scrape in the text format reads them."""
    page = made.render(is_openmetrics=False).decode()
    prefix = "braze_exporter_"
    return {
        one.name.removeprefix(prefix): one
        for one in read_text(page)
        if one.name.startswith(prefix)
    }


def samples(made: SelfMetrics, name: str) -> dict[tuple[str, ...], float]:
    """Return label values, in the contract's order → value of all such samples."""
    return {
        tuple(sample.labels[label] for label in LABELS[key].split()): sample.value
        for key, family in families(made).items()
        for sample in family.samples
        if sample.name == f"braze_exporter_{name}"
    }


@pytest.mark.parametrize("name", LABELS)
def test_a_family_has_its_labels(name: str) -> None:
    """Exactly those of the contract, on each of its samples, and the right type."""
    family = families(busy())[name]

    labels = {frozenset(sample.labels) - {"le"} for sample in family.samples}
    is_other = "histogram" if name in HISTOGRAMS else "gauge"
    assert labels == {frozenset(LABELS[name].split())}
    assert family.type == ("counter" if name in COUNTERS else is_other)
    assert family.documentation.endswith(".")


def test_no_other_family_is_ours() -> None:
    """What is served is what the contract names."""
    assert set(families(busy())) == set(LABELS)


def test_process_and_python_are_told_of() -> None:
    """The client library's own families stand beside ours."""
    page = telemetry().render(is_openmetrics=False).decode()

    names = {family.name for family in read_text(page)}
    others = {name for name in names if not name.startswith("braze_exporter_")}
    assert "python_info" in others
    assert all(name.startswith(("process_", "python_")) for name in others)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_memory_is_told_of() -> None:
    """Where the system has a /proc, the process's memory is there."""
    assert b"process_resident_memory_bytes " in telemetry().render(is_openmetrics=False)


def test_counters_begin_at_zero() -> None:
    """Of every expected workspace, before anything happened: a rise is a rise."""
    made = telemetry()

    assert samples(made, "api_requests_total") == {
        ("shop", SERIES, code): 0
        for code in (
            *["200", "400", "401", "403", "404", "429", "500", "502", "503", "504"],
            "error",
        )
    }
    assert samples(made, "api_request_duration_seconds_count") == {("shop", SERIES): 0}
    assert samples(made, "api_retries_total") == {("shop",): 0}
    assert samples(made, "api_throttled_total") == {("shop", SERIES): 0}
    assert samples(made, "polls_total") == {("shop", result): 0 for result in RESULTS}
    assert samples(made, "poll_lag_seconds_count") == {("shop",): 0}
    assert samples(made, "state_saves_total") == {("success",): 0, ("failure",): 0}
    assert samples(made, "workspace_paused") == {
        ("shop", reason): 0 for reason in PAUSE_REASONS
    }


def test_what_discovery_counts_begins_at_zero() -> None:
    """Where it is configured alone, and it leaves when it is no more."""
    made = telemetry()
    assert samples(made, "discovery_failures_total") == {}

    made.expect_discovery("shop", ["campaigns/list"])
    made.discovery_failed("shop", FailureReason.FORBIDDEN)

    failures = samples(made, "discovery_failures_total")
    assert set(failures) == {("shop", reason) for reason in FailureReason}
    assert sum(failures.values()) == failures["shop", "forbidden"] == 1
    assert samples(made, "discovered_campaigns") == {("shop",): 0}
    assert samples(made, "discovery_last_success_timestamp_seconds") == {}
    assert samples(made, "api_requests_total")["shop", "campaigns/list", "403"] == 0
    made.forget_discovery("shop")
    assert samples(made, "discovery_failures_total") == {}


def test_what_was_not_said_is_not_shown() -> None:
    """Nothing is known of an allowance before an answer, and it is not zero."""
    made = telemetry()
    made.allowed("shop", SERIES, RateLimitHeaders(limit=100))

    assert samples(made, "api_rate_limit_limit") == {("shop", SERIES): 100}
    assert samples(made, "api_rate_limit_remaining") == {}
    assert samples(made, "api_rate_limit_reset_timestamp_seconds") == {}


@pytest.mark.parametrize("is_openmetrics", [False, True])
def test_no_series_tells_when_it_was_created(*, is_openmetrics: bool) -> None:
    """They would double the counters, for nobody."""
    page = busy().render(is_openmetrics=is_openmetrics)

    assert b"_created" not in page


@pytest.mark.parametrize(
    ("is_openmetrics", "read"), [(False, read_text), (True, read_openmetrics)]
)
def test_both_formats_say_the_same(*, is_openmetrics: bool, read: Reader) -> None:
    """Either is read by its parser, and has every family of ours."""
    page = busy().render(is_openmetrics=is_openmetrics).decode()

    names = {family.name.removeprefix("braze_exporter_") for family in read(page)}
    assert set(LABELS) <= names
    assert page.endswith("# EOF\n") is is_openmetrics


def test_the_build_is_told() -> None:
    """Our version and Python's."""
    found = samples(telemetry(), "build_info")

    assert found == {("1.2.3", platform.python_version()): 1}


def test_requests_are_counted_by_what_came_back() -> None:
    """A status is its own code, also one nobody expected; no answer is an error."""
    made = telemetry()

    for code in (200, 200, 404, None):
        made.answered("shop", SERIES, code=code, seconds=0.2)

    found = samples(made, "api_requests_total")
    assert found["shop", SERIES, "200"] == 2
    assert found["shop", SERIES, "404"] == 1
    assert found["shop", SERIES, "error"] == 1
    assert samples(made, "api_request_duration_seconds_count")["shop", SERIES] == 4
    assert samples(made, "api_throttled_total")["shop", SERIES] == 0


def test_429_is_counted_twice_over() -> None:
    """Among the requests, and by itself for a simple alert."""
    made = telemetry()

    made.answered("shop", SERIES, code=429, seconds=0.2)

    assert samples(made, "api_requests_total")["shop", SERIES, "429"] == 1
    assert samples(made, "api_throttled_total")["shop", SERIES] == 1


def test_the_allowance_is_shown_as_it_was_said() -> None:
    """The last answer's headers stand."""
    made = busy()

    made.allowed("shop", SERIES, RateLimitHeaders(100, 39, 2000.0))

    assert samples(made, "api_rate_limit_limit")["shop", SERIES] == 100
    assert samples(made, "api_rate_limit_remaining")["shop", SERIES] == 39
    assert samples(made, "api_rate_limit_reset_timestamp_seconds") == {
        ("shop", SERIES): 2000
    }


def test_polls_and_retries_are_counted() -> None:
    """A poll by its result, a retry by its workspace."""
    made = telemetry()

    made.polled("shop", "malformed")
    made.retried("shop")

    assert samples(made, "polls_total")["shop", "malformed"] == 1
    assert samples(made, "api_retries_total")["shop",] == 1


def test_lag_is_never_negative() -> None:
    """A clock that was set back makes no poll early."""
    made = telemetry()

    made.began("shop", lag_seconds=-5.0)
    made.began("shop", lag_seconds=2.0)

    assert samples(made, "poll_lag_seconds_sum")["shop",] == 2
    assert samples(made, "poll_lag_seconds_count")["shop",] == 2


def test_a_pause_is_shown_with_its_reason() -> None:
    """One reason at a time, and none when it is over."""
    made = telemetry()

    made.paused("shop", "forbidden")
    during = samples(made, "workspace_paused")
    made.paused("shop", None)

    assert during == {("shop", "unauthorized"): 0, ("shop", "forbidden"): 1}
    assert set(samples(made, "workspace_paused").values()) == {0}


def test_the_rhythm_in_force_is_shown() -> None:
    """Requests per minute and the workspace's interval, both as stretched."""
    made = busy()

    assert samples(made, "planned_requests_per_minute")["shop",] == 12.5
    assert samples(made, "interval_seconds")["shop",] == 600
    assert samples(made, "interval_stretch")["shop",] == 2


def test_a_failed_reload_keeps_the_time_of_the_last_good_one() -> None:
    """The configuration of then is still the one in force."""
    made = busy()

    made.loaded(is_successful=False, now=5000.0)

    assert samples(made, "config_last_reload_successful")[()] == 0
    assert samples(made, "config_last_reload_success_timestamp_seconds")[()] == 1000.5


def test_what_is_served_is_counted_at_each_scrape() -> None:
    """Nothing is remembered: a workspace that left is gone."""
    workspaces = list(served())
    made = SelfMetrics(version="1", served=lambda: workspaces)

    before = {
        name: samples(made, name)
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
    assert samples(made, "campaigns") == {}


def test_names_may_hold_anything() -> None:
    """A workspace with quotes, backslashes and newlines comes back as it was."""
    name = 'a "b"\\\n{c="d"} 😀'
    made = SelfMetrics(version="1", served=list)
    made.expect(name, SERIES)

    assert samples(made, "api_retries_total") == {(name,): 0}


def test_processes_do_not_share_their_metrics() -> None:
    """Each has a registry of its own, so two may run in one Python."""
    first, second = telemetry(), telemetry()

    first.retried("shop")

    assert samples(second, "api_retries_total")["shop",] == 0


def test_help_is_there_for_each_family() -> None:
    """No family stands without a line that says what it is."""
    page = busy().render(is_openmetrics=False).decode()

    told = set(re.findall(r"^# HELP (\S+) \S", page, re.MULTILINE))
    typed = set(re.findall(r"^# TYPE (\S+) ", page, re.MULTILINE))
    assert told == typed


def test_a_peer_that_invents_codes_makes_no_series() -> None:
    """Codes that no one registered are counted by their class."""
    made = telemetry()

    for code in (299, 302, 418, 499, 599):
        made.answered("shop", SERIES, code=code, seconds=0.1)

    counted = {
        key for key, value in samples(made, "api_requests_total").items() if value
    }
    assert counted == {
        ("shop", SERIES, code) for code in ("2xx", "302", "418", "4xx", "5xx")
    }
