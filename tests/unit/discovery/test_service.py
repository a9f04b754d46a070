"""Discovery in the daemon: its finders, and campaigns of the simulated Braze."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from exporter.discovery.catalogue_cache import CatalogueCache
from exporter.discovery.service import DiscoveryService
from exporter.metrics.self_metrics import SelfMetrics
from exporter.model.config import WorkspaceConfig
from exporter.model.errors import KeyRefused
from exporter.model.rate_limit_headers import RateLimitHeaders
from exporter.simulator import Fault, Simulator
from exporter.storage.sqlite_state import FILE_NAME, SqliteState

from tests.support import polling_world
from tests.support.daemon_process import (
    Process,
    Running,
    configuration,
    daemon,
    until,
    written,
)
from tests.support.fake_clock import NOW, FakeClock
from tests.support.polling_world import failure
from tests.support.queue_world import session_of, throttled
from tests.unit.discovery.discovery_world import FakeCampaignApi

QUICK: dict[str, Any] = {"requests_per_minute": 1000, "list_interval": "1s"}
UNAUTHORIZED = failure(KeyRefused, "unauthorized", status=401)
DISCOVERED = "braze_exporter_discovered_campaigns"


@pytest.fixture
def braze() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


def exposed(exporter: Running) -> set[str]:
    """Return the names of the exposed campaigns."""
    samples = exporter.scrape().get("braze_campaign_info", {})
    return {dict(labels)["campaign"] for labels in samples}


def mine(braze: Simulator) -> list[dict[str, str]]:
    """Return one listed campaign."""
    return [{"id": braze.campaigns[0].id, "name": "Mine"}]


def test_discovered_campaigns_are_polled_and_restored(
    braze: Simulator, tmp_path: Path
) -> None:
    """After a restart they are exposed although Braze is unavailable."""
    options: dict[str, Any] = {
        "campaigns": [],
        "discover": QUICK | {"names": {"include": ["Welcome*"]}},
        "state_path": str(tmp_path),
    }
    with daemon(braze, **options) as exporter:
        exporter.wait_for("braze_campaign_up", 1, campaign="Welcome series")
    braze.set_fault(Fault(status=503))
    with daemon(braze, **options) as exporter:
        assert exporter.value("braze_campaign_up", campaign="Welcome series") == 1
        assert exporter.scrape()["braze_campaign_daily"]


@pytest.mark.parametrize("is_listed", [True, False])
def test_a_hanging_list_does_not_block_the_start(
    braze: Simulator, is_listed: bool
) -> None:
    braze.set_fault(Fault(latency_seconds=30), path="/campaigns/list")
    campaigns = mine(braze) if is_listed else []
    with daemon(braze, campaigns=campaigns, discover=QUICK) as exporter:
        until(lambda: exporter.get("/-/ready")[0] == 200)
        if is_listed:
            exporter.wait_for("braze_campaign_up", 1, campaign="Mine")


def test_a_reload_changes_the_selection(braze: Simulator, tmp_path: Path) -> None:
    """Discovery is configured, changed and removed; /config shows each state."""
    file = tmp_path / "config.yaml"
    written(file, configuration(braze, campaigns=mine(braze)))
    flags = (f"--config.file={file}", "--web.listen-address=127.0.0.1:0")
    with Process(*flags, environment={"BRAZE_API_KEY": braze.api_key}) as process:
        exporter = Running(process.url)
        for name in ("Welcome series", "Password reset", ""):
            discover = QUICK | {"names": {"include": [f"{name}*"]}}
            changes = {"discover": discover} if name else {}
            document = configuration(braze, campaigns=mine(braze), **changes)
            written(tmp_path / "new", document)
            (tmp_path / "new").replace(file)
            process.send(signal.SIGHUP)
            names = {"Mine", name} - {""}
            until(lambda: exposed(exporter) == names)  # noqa: B023
            assert name in exporter.get("/config")[1]
        assert "discover" not in exporter.get("/config")[1]
        until(lambda: DISCOVERED not in exporter.scrape())


class ServiceWorld:
    """The discovery of a daemon with one campaign; its tasks run by hand."""

    def __init__(self, directory: Path | None = None) -> None:
        self.clock = FakeClock()
        self.api = FakeCampaignApi("A")
        self.session = session_of(
            self.clock, self.api, spacing_seconds=0.5, concurrency=1
        )
        self.tasks: dict[str, tuple[float, Callable[[], None]]] = {}
        self.metrics = SelfMetrics(version="0", served=tuple)
        self.service = DiscoveryService(
            session_of=lambda _: self.session,
            on_change=lambda _: None,
            after_step=lambda: None,
            schedule=self._schedule,
            metrics=self.metrics,
            clock=self.clock,
            random=lambda: 0.5,
            file=CatalogueCache(SqliteState(directory)) if directory else None,
        )

    def _schedule(self, workspace: str, at: float, run: Callable[[], None]) -> None:
        self.tasks[workspace] = (at, run)

    def apply(self, **changes: object) -> WorkspaceConfig:
        """Apply a configuration of one workspace, and start its finder."""
        document = polling_world.workspace("", **{"discover": {}, **changes})
        config = polling_world.config(document)
        self.service.apply(config)
        self.service.start()
        return config.workspaces[0]

    def run(self) -> float:
        """Run the task of the shop when it is due; return the seconds to the next."""
        at, run = self.tasks["shop"]
        self.clock.time = max(self.clock.time, at)
        run()
        return self.tasks["shop"][0] - self.clock.time

    def run_until_settled(self) -> None:
        """Run tasks until none is due for a minute."""
        while self.run() < 60:
            pass


def test_the_catalogue_of_another_account_is_discarded() -> None:
    """A task of its finder that is still scheduled does nothing."""
    world = ServiceWorld()
    world.apply()
    world.run_until_settled()
    _, previous = world.tasks["shop"]

    other = world.apply(endpoint="https://rest.iad-02.braze.com")
    world.api.new_requests()
    previous()

    assert world.api.requested == []
    assert world.service.campaigns_of(other) == ()
    world.run_until_settled()
    assert [one.name for one in world.service.campaigns_of(other)] == ["A"]


def test_a_removed_discovery_has_no_metrics_and_no_requests() -> None:
    world = ServiceWorld()
    discovered = partial(
        world.metrics.registry.get_sample_value,
        DISCOVERED,
        {"workspace": "shop"},
    )
    shop = world.apply()
    world.run_until_settled()
    assert discovered() == 1

    world.apply(name="other")
    world.run()
    world.service.retry_now("shop")

    assert discovered() is None
    assert world.api.requested == ["page 0", "a"]
    assert world.service.campaigns_of(shop) == ()
    assert set(world.service.views()) == {"other"}


def test_a_replaced_key_is_tried_at_once() -> None:
    world = ServiceWorld()
    world.apply()
    world.api.failures = [UNAUTHORIZED]
    assert world.run() == 60

    world.service.retry_now("shop")

    assert world.tasks["shop"][0] == world.clock.time
    world.run_until_settled()
    assert world.api.requested == ["page 0", "page 0", "a"]


def test_setting_the_clock_ends_the_wait_after_a_429() -> None:
    world = ServiceWorld()
    world.apply()
    reset = RateLimitHeaders(limit=10, remaining=0, reset_at=NOW + 3000)
    world.api.failures = [throttled(reset)]
    assert world.run() > 1000

    world.session.discard_windows()
    world.service.after_clock_set()
    world.clock.advance(61)
    world.service.start()
    world.run()

    assert world.api.requested == ["page 0"] * 2


def test_a_crash_is_logged_and_retried_in_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = ServiceWorld()
    world.api.failures = [ZeroDivisionError()]  # type: ignore[list-item]  # a crash
    world.apply()

    assert world.run() == 60
    assert [one.message for one in caplog.records] == ["discovery.crashed"]
    world.run_until_settled()
    assert world.api.requested == ["page 0", "page 0", "a"]


def test_catalogues_are_saved_when_the_list_is_read_and_at_the_end(
    tmp_path: Path,
) -> None:
    world = ServiceWorld(tmp_path)

    def saved() -> list[str]:
        again = ServiceWorld(tmp_path)
        shop = again.apply()
        return [one.name for one in again.service.campaigns_of(shop)]

    world.apply()
    world.run_until_settled()
    assert saved() == ["A"]
    world.api.campaigns[0]["name"] = "Alpha"
    world.run()
    assert saved() == ["A"]

    world.service.stop()

    assert saved() == ["Alpha"]


def test_an_unusable_disk_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Discovery goes on."""
    caplog.set_level(logging.ERROR)
    (tmp_path / FILE_NAME).mkdir()
    (tmp_path / f"{FILE_NAME}-journal").mkdir()
    world = ServiceWorld(tmp_path)
    world.apply()

    world.service.stop()
    world.service.stop()

    events = [one.message for one in caplog.records]
    assert events == ["state.unusable", "state.unsaved"]
