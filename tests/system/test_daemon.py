"""The daemon as a whole, against a simulated Braze: its requests and its metrics."""

from __future__ import annotations

from itertools import pairwise

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
    configuration,
    daemon,
    parsed,
    until,
)

DATA_SERIES = "/campaigns/data_series"


def starts(braze: Simulator, campaign_id: str | None = None) -> list[float]:
    """Return when requests arrived, on a clock that only goes forward."""
    return [
        request.monotonic_seconds
        for request in braze.requests
        if campaign_id in {None, request.campaign_id}
    ]


def first(braze: Simulator, count: int) -> list[dict[str, str]]:
    """Return the first campaigns as a configuration lists them."""
    return [{"id": one.id, "name": one.name} for one in braze.campaigns[:count]]


def test_figures_of_all_campaigns_are_served() -> None:
    """Soon after the start every campaign's figures are served and it is up."""
    with Simulator() as braze, daemon(braze) as running:
        until(lambda: len(running.scrape()["braze_campaign_up"]) == 22)

        samples = running.scrape()

    assert set(samples["braze_campaign_up"].values()) == {1.0}
    assert len(samples["braze_campaign_daily"]) > 200
    assert all(request.path == DATA_SERIES for request in braze.requests)
    assert all("length=30" in request.query for request in braze.requests)
    assert not any("ending_at" in request.query for request in braze.requests)


@pytest.mark.slow
def test_requests_keep_under_the_ceiling() -> None:
    """40 campaigns that need 240 polls a minute, 60 allowed: one starts each second."""
    with (
        Simulator(SimulatorSettings(campaigns=40)) as braze,
        daemon(braze, interval="10s", requests_per_minute=60) as running,
    ):
        assert braze.wait_for_requests(8, timeout_seconds=30)

        interval = running.value("braze_exporter_interval_seconds")
        planned = running.value("braze_exporter_planned_requests_per_minute")
        ours = running.scrape()["braze_campaign_interval_seconds"]
        gaps = [later - earlier for earlier, later in pairwise(starts(braze))]

    assert min(gaps) >= 1, gaps
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
        assert braze.wait_for_requests(46, timeout_seconds=60)

        windows = [int(one.epoch_seconds // 5) for one in braze.requests]
        statuses = {request.status for request in braze.requests}

    assert statuses == {200}
    assert max(windows.count(window) for window in set(windows)) <= 15
    assert windows.count(windows[20]) == 15


def test_no_campaign_is_polled_twice_at_a_time() -> None:
    """A campaign has one request in flight, even if Braze responds slowly."""
    with Simulator() as braze:
        braze.set_fault(Fault(latency_seconds=0.5))
        with daemon(braze, campaigns=first(braze, 4), concurrency=8):
            assert braze.wait_for_requests(24, timeout_seconds=30)

    assert [braze.most_in_flight(one.id) for one in braze.campaigns[:4]] == [1] * 4


@pytest.mark.slow
def test_polls_of_a_campaign_are_an_interval_apart() -> None:
    """After its first poll a campaign is polled at its phase, once an interval."""
    with Simulator() as braze:
        only = braze.campaigns[0]
        with daemon(braze, campaigns=first(braze, 1), interval="1s"):
            assert braze.wait_for_requests(5, timeout_seconds=30)

        gaps = [later - earlier for earlier, later in pairwise(starts(braze, only.id))]

    assert 0.45 < gaps[0] < 1.8
    assert all(0.7 < gap < 1.5 for gap in gaps[1:])


def test_a_wrong_key_is_probed_not_hammered(caplog: pytest.LogCaptureFixture) -> None:
    """50 campaigns and a wrong key: a pause, a probe a minute, a plain log line."""
    caplog.set_level("INFO", logger="exporter")
    with Simulator(SimulatorSettings(campaigns=50)) as braze:
        with daemon(braze, key="wrong", concurrency=4) as running:
            running.wait_for(
                "braze_exporter_workspace_paused", 1, reason="unauthorized"
            )
            until(lambda: len(running.scrape()["braze_campaign_up"]) == 50)
            samples = running.scrape()
            ready, _ = running.get("/-/ready")

        assert len(braze.requests) <= 4
    assert set(samples["braze_campaign_up"].values()) == {0.0}
    reasons = {dict(one)["reason"] for one in samples["braze_campaign_failure_info"]}
    assert reasons == {"unauthorized"}
    assert ready == 200
    (line,) = [one for one in caplog.records if one.getMessage() == "workspace.paused"]
    facts = line.__dict__["fields"]
    assert facts["endpoint"].startswith("http://127.0.0.1:")
    assert facts["key"] == "environment variable BRAZE_API_KEY"


def test_a_key_replaced_in_its_file_ends_the_pause() -> None:
    """A paused workspace is probed as soon as its key changes, and resumes."""
    with Simulator() as braze:
        keys = ["wrong"]
        document = configuration(braze, campaigns=first(braze, 4))
        thread = DaemonThread(parsed(document, key="x"), read_key=lambda _: keys[-1])
        with thread as running:
            running.wait_for(
                "braze_exporter_workspace_paused", 1, reason="unauthorized"
            )

            keys.append(braze.api_key)

            until(lambda: set(running.scrape()["braze_campaign_up"].values()) == {1.0})
            paused = running.scrape()["braze_exporter_workspace_paused"]
    assert set(paused.values()) == {0.0}


def test_a_429_shuts_the_bucket_until_it_resets() -> None:
    """After a 429 nothing is sent before the reset; then polling goes on."""
    with Simulator(SimulatorSettings(data_series_limit=RateLimit(5, 3))) as braze:
        with daemon(braze, reserve="0%", concurrency=1) as running:
            until(lambda: braze.wait_for_requests(5))
            braze.set_fault(Fault(status=429), count=1)
            until(lambda: 429 in {one.status for one in braze.requests})
            refused = next(one for one in braze.requests if one.status == 429)
            running.wait_for("braze_exporter_api_throttled_total", 1)
            until(lambda: braze.requests[-1].status == 200)

        later = [
            one for one in braze.requests if one.epoch_seconds > refused.epoch_seconds
        ]

    assert later[0].epoch_seconds - refused.epoch_seconds >= 1


def test_one_forbidden_campaign_does_not_stop_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A 403 of one campaign pauses the workspace until another one is accepted."""
    caplog.set_level("INFO", logger="exporter")

    def is_logged(event: str) -> bool:
        return event in [one.getMessage() for one in caplog.records]

    other_keys = {"another-key": ALL_PERMISSIONS}
    with Simulator(SimulatorSettings(other_keys=other_keys)) as braze:
        forbidden = braze.campaigns[0]
        braze.set_fault(Fault(status=403), campaign_id=forbidden.id)
        document = configuration(braze, campaigns=first(braze, 4))
        keys = [braze.api_key]
        with DaemonThread(
            parsed(document, key="x"), read_key=lambda _: keys[-1]
        ) as running:
            # The pause itself may be over before a scrape can show it.
            until(lambda: is_logged("workspace.paused"), what="a pause")
            # A changed key probes at once, by another campaign.
            keys.append("another-key")
            until(lambda: is_logged("workspace.resumed"), what="its end")
            until(lambda: sum(running.scrape()["braze_campaign_up"].values()) == 3)

            running.wait_for("braze_campaign_up", 0, campaign=forbidden.name)
            running.wait_for("braze_exporter_workspace_paused", 0, reason="forbidden")
            paused = running.scrape()["braze_exporter_workspace_paused"]
            assert not sum(paused.values())
    (line,) = [one for one in caplog.records if one.getMessage() == "workspace.paused"]
    assert line.__dict__["fields"]["reason"] == "forbidden"
