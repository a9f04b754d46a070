"""The daemon as a whole, against a simulated Braze: its requests and its metrics."""

from __future__ import annotations

import json
import time
from collections import Counter

import pytest
from exporter.simulator import (
    ALL_PERMISSIONS,
    Fault,
    RateLimit,
    Simulator,
    SimulatorSettings,
)

from tests.support.daemon_process import (
    DaemonThread,
    Running,
    configuration,
    daemon,
    listed,
    parsed,
    until,
    wait_for_requests,
    workspace,
)
from tests.support.thread_limit import ThreadLimit

PAUSED = "braze_exporter_workspace_paused"


def with_keys(braze: Simulator, keys: list[str]) -> DaemonThread:
    """Return a daemon of four campaigns, whose key is the last of a list."""
    document = configuration(braze, campaigns=listed(braze.campaigns[:4]))
    return DaemonThread(parsed(document, key="x"), read_key=lambda _: keys[-1])


def test_figures_of_all_campaigns_are_served() -> None:
    with Simulator() as braze, daemon(braze) as running:
        samples = running.wait_until_up(22)
        requests = braze.requests

    assert len(samples["braze_campaign_daily"]) > 200
    assert {one.path for one in requests} == {"/campaigns/data_series"}
    assert all("length=30" in one.query for one in requests)
    assert not any("ending_at" in one.query for one in requests)


@pytest.mark.slow
def test_requests_keep_under_the_ceiling() -> None:
    """40 campaigns that need 240 polls a minute, 60 allowed: one starts each second."""
    with (
        Simulator(SimulatorSettings(campaigns=40)) as braze,
        daemon(braze, interval="10s", requests_per_minute=60) as running,
    ):
        wait_for_requests(braze, 8)

        interval = running.value("braze_exporter_interval_seconds")
        planned = running.value("braze_exporter_planned_requests_per_minute")
        ours = running.scrape()["braze_campaign_interval_seconds"]
        times = [one.monotonic_seconds for one in braze.requests[:8]]

    assert times[-1] - times[0] > 5  # 7 s; the first request may arrive late
    # Two in a hundred are left, so that a late start can be made up for.
    assert interval == pytest.approx(40.8)
    assert planned == pytest.approx(60 / 1.02)
    assert set(ours.values()) == {interval}


@pytest.mark.slow
def test_a_reserve_is_left_to_others() -> None:
    """20 requests per 5 s with a reserve of a quarter: at most 15, and never a 429."""
    limit = RateLimit(20, 5)
    with (
        Simulator(SimulatorSettings(campaigns=40, data_series_limit=limit)) as braze,
        daemon(braze, reserve="25%"),
    ):
        wait_for_requests(braze, 46)

        windows = Counter(one.epoch_seconds // 5 for one in braze.requests)
        statuses = {request.status for request in braze.requests}

    assert statuses == {200}
    assert max(windows.values()) == 15


def test_no_campaign_is_polled_twice_at_a_time() -> None:
    with Simulator() as braze:
        braze.set_fault(Fault(latency_seconds=0.5))
        with daemon(braze, campaigns=listed(braze.campaigns[:4]), concurrency=8):
            wait_for_requests(braze, 24)

    assert [braze.most_in_flight(one.id) for one in braze.campaigns[:4]] == [1] * 4


def test_a_wrong_key_is_probed_not_hammered(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="exporter")
    with Simulator(SimulatorSettings(campaigns=50)) as braze:
        with daemon(braze, key="wrong", concurrency=4) as running:
            running.wait_for(PAUSED, 1, reason="unauthorized")
            samples = running.wait_for_samples("braze_campaign_up", 50)
            assert running.is_ready()

        assert len(braze.requests) <= 4
    assert set(samples["braze_campaign_up"].values()) == {0.0}
    reasons = {dict(one)["reason"] for one in samples["braze_campaign_failure_info"]}
    assert reasons == {"unauthorized"}
    (line,) = (one for one in caplog.records if one.getMessage() == "workspace.paused")
    fields = line.__dict__["fields"]
    assert fields["endpoint"].startswith("http://127.0.0.1:")
    assert fields["key"] == "environment variable BRAZE_API_KEY"


def test_a_key_replaced_in_its_file_ends_the_pause() -> None:
    with Simulator() as braze, with_keys(braze, keys := ["wrong"]) as running:
        running.wait_for(PAUSED, 1, reason="unauthorized")

        keys.append(braze.api_key)

        running.wait_until_up(4)
        assert not sum(running.scrape()[PAUSED].values())


def test_nothing_is_sent_after_a_429_until_the_window_resets() -> None:
    with Simulator(SimulatorSettings(data_series_limit=RateLimit(5, 3))) as braze:
        with daemon(braze, reserve="0%", concurrency=1) as running:
            wait_for_requests(braze, 5)
            braze.set_fault(Fault(status=429), count=1)
            running.wait_for("braze_exporter_api_throttled_total", 1)
            count = len(braze.requests)
            wait_for_requests(braze, count + 1)
        requests = braze.requests

    (refused,) = (n for n, one in enumerate(requests) if one.status == 429)
    windows = [one.epoch_seconds // 3 for one in requests[refused : refused + 2]]
    assert windows[1] > windows[0]


def test_one_forbidden_campaign_does_not_stop_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A 403 pauses the workspace until another campaign is accepted.

    The pause may end before a scrape shows it, so the log is read. A key that changes
    is probed at once, by another campaign.
    """
    caplog.set_level("INFO", logger="exporter")

    def wait_for_event(name: str) -> dict[str, object]:
        def fields() -> dict[str, object] | None:
            found = (one for one in caplog.records if one.getMessage() == name)
            return next((one.__dict__["fields"] for one in found), None)

        return until(fields, what=name)

    other_keys = {"another-key": ALL_PERMISSIONS}
    with Simulator(SimulatorSettings(other_keys=other_keys)) as braze:
        forbidden, *others = braze.campaigns[:4]
        braze.set_fault(Fault(status=403), campaign_id=forbidden.id)
        with with_keys(braze, keys := [braze.api_key]) as running:
            assert wait_for_event("workspace.paused")["reason"] == "forbidden"
            keys.append("another-key")
            wait_for_event("workspace.resumed")

            running.wait_for("braze_campaign_up", 0, campaign=forbidden.name)
            for one in others:
                wait_for_a_poll(running, one.name)


def wait_for_a_poll(running: Running, campaign: str) -> None:
    name = "braze_campaign_last_success_timestamp_seconds"
    before = running.value(name, campaign=campaign)
    until(lambda: running.value(name, campaign=campaign) != before)


@pytest.mark.slow
@pytest.mark.parametrize("campaigns", ["listed", "discovered"])
def test_a_workspace_that_nothing_is_requested_of_is_not_ready(
    monkeypatch: pytest.MonkeyPatch, campaigns: str
) -> None:
    """Its first slots passed long ago: the campaigns count as failing.

    Once the system has threads again, all is polled.
    """
    with Simulator() as braze:
        few = listed(braze.campaigns[:4])
        other = workspace(braze, name="other", campaigns=few)
        if campaigns == "discovered":
            other |= {"campaigns": [], "discover": {"requests_per_minute": 1000}}
        both = {"workspaces": [workspace(braze, campaigns=few), other]}
        limit = ThreadLimit(monkeypatch, "other", "tasks")
        document = parsed(both, key=braze.api_key)
        with DaemonThread(document, read_key=lambda _: braze.api_key) as running:
            running.wait_until_up(4)
            began_at = time.monotonic()
            until(lambda: time.monotonic() - began_at > 35)

            assert not running.is_ready()
            status = json.loads(running.get("/api/v1/status")[1])
            assert status["ready"] is False
            states = {one["workspace"]: one for one in status["workspaces"]}
            overdue = 4 if campaigns == "listed" else 0
            assert states["production"]["campaigns"]["failing"] == 0
            assert states["other"]["campaigns"]["failing"] == overdue

            limit.is_reached = False
            until(running.is_ready)
            running.wait_for(
                "braze_campaign_up", 1, workspace="other", campaign=few[0]["name"]
            )
