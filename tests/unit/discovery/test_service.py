"""Discovery in the daemon: its finders, and campaigns of the simulated Braze."""

from __future__ import annotations

import logging
import re
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from exporter.discovery.catalogue import ObjectCatalogue
from exporter.discovery.catalogue_cache import CatalogueCache
from exporter.discovery.documents import Details, Listed
from exporter.discovery.kinds import CANVAS
from exporter.discovery.service import DiscoveryService, PollingHooks
from exporter.metrics.self_metrics import SelfMetrics
from exporter.model.config import WorkspaceConfig
from exporter.model.errors import KeyRefused
from exporter.model.rate_limit_headers import RateLimitHeaders
from exporter.simulator import ALL_PERMISSIONS, Fault, Simulator, SimulatorSettings
from exporter.storage.sqlite_state import FILE_NAME, SqliteState

from tests.support import polling_world
from tests.support.daemon_process import (
    Process,
    Running,
    configuration,
    daemon,
    until,
    workspace,
    written,
)
from tests.support.fake_clock import NOW, FakeClock
from tests.support.polling_world import failure
from tests.support.queue_world import session_of, throttled
from tests.support.scripted_peer import PATIENCE_SECONDS
from tests.unit.discovery.discovery_world import DOWN, FakeListApi

RATE: dict[str, Any] = {"shared_requests_per_minute": 1000}
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


def selecting(name: str, *, list_interval: str = "1s") -> dict[str, object]:
    """Return a discovery of the campaigns whose names match a pattern."""
    rules = {"names": {"include": [name]}}
    return {"campaigns": rules, "list_interval": list_interval}


def mine(braze: Simulator) -> list[dict[str, str]]:
    """Return one listed campaign."""
    return [{"id": braze.campaigns[0].id, "name": "Mine"}]


def test_discovered_campaigns_are_polled_and_restored(
    braze: Simulator, tmp_path: Path
) -> None:
    """After a restart they are exposed although Braze is unavailable."""
    options: dict[str, Any] = {
        "campaigns": [],
        "discover": selecting("Welcome*"),
        **RATE,
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
    with daemon(braze, campaigns=campaigns, discover={}) as exporter:
        until(lambda: exporter.get("/-/ready")[0] == 200)
        if is_listed:
            exporter.wait_for("braze_campaign_up", 1, campaign="Mine")


@pytest.mark.parametrize("how", ["reload", "restart"])
def test_a_key_that_moves_into_a_file_keeps_values(
    braze: Simulator, tmp_path: Path, how: str
) -> None:
    """Braze is down: what is exposed is what was kept."""
    (tmp_path / "key").write_text(f'"{braze.api_key}"\n')
    discover = selecting("Welcome*", list_interval="1h")
    options: dict[str, Any] = {"campaigns": [], "discover": discover, **RATE}
    before, moved = configuration(braze, **options), workspace(braze, **options)
    del moved["api_key_env"]
    after = {"workspaces": [{**moved, "api_key_file": str(tmp_path / "key")}]}
    file = tmp_path / "config.yaml"
    flags = (
        f"--config.file={written(file, before)}",
        "--web.listen-address=127.0.0.1:0",
        f"--state.path={tmp_path}/state",
    )
    environment = {"BRAZE_API_KEY": braze.api_key}
    with Process(*flags, environment=environment) as process:
        exporter = Running(process.url)
        exporter.wait_for("braze_campaign_up", 1, campaign="Welcome series")
        braze.set_fault(Fault(status=503))
        written(file, after)
        if how == "restart":
            process.stop()  # saves
        else:
            process.send(signal.SIGHUP)
            process.wait_for_line("config.reloaded")
            assert exporter.scrape()["braze_campaign_daily"]
    if how == "restart":
        with Process(*flags, environment={}) as process:
            exporter = Running(process.url)
            assert exporter.scrape()["braze_campaign_daily"]
            assert exposed(exporter) == {"Welcome series"}
    for path in (tmp_path / "state").iterdir():
        assert braze.api_key.encode() not in path.read_bytes()


def test_a_reload_changes_the_selection(braze: Simulator, tmp_path: Path) -> None:
    """Discovery is configured, changed and removed; /config shows each state."""
    file = tmp_path / "config.yaml"
    written(file, configuration(braze, campaigns=mine(braze)))
    flags = (f"--config.file={file}", "--web.listen-address=127.0.0.1:0")
    with Process(*flags, environment={"BRAZE_API_KEY": braze.api_key}) as process:
        exporter = Running(process.url)
        for name in ("Welcome series", "Password reset", ""):
            changes = {"discover": selecting(f"{name}*"), **RATE} if name else {}
            document = configuration(braze, campaigns=mine(braze), **changes)
            written(tmp_path / "new", document)
            (tmp_path / "new").replace(file)
            process.send(signal.SIGHUP)
            names = {"Mine", name} - {""}
            until(lambda: exposed(exporter) == names)  # noqa: B023
            assert name in exporter.get("/config")[1]
        assert "discover" not in exporter.get("/config")[1]
        until(lambda: DISCOVERED not in exporter.scrape())


def test_discovered_canvases_are_polled_beside_campaigns(
    braze: Simulator, tmp_path: Path
) -> None:
    """With unique names and labels; after a restart they are exposed at once.

    Those that are stopped, archived or drafts are left out. A listed one keeps its
    name, and is idle if it is stopped. Both kinds spend from one rate limit.
    """
    by_name = {one.name: one for one in braze.canvases}
    stopped, first = by_name["Summer festival"], by_name["Back in stock"]
    braze.change(first.id, name="Price watch", is_nameless=False)
    braze.change(by_name["Loyalty tiers"].id, name="Price watch")
    active = {
        one.id
        for one in braze.canvases
        if not (one.is_draft or one.is_archived or one is stopped)
    }
    options: dict[str, Any] = {
        "campaigns": [],
        "canvases": [{"id": stopped.id, "name": "Mine"}],
        "discover": {
            "campaigns": {"names": {"include": ["Welcome*"]}},
            "canvases": {"labels": {"by": "tags"}},
        },
        "idle_interval": "1h",
        "state_path": str(tmp_path),
        **RATE,
    }
    with daemon(braze, **options) as exporter:
        exporter.wait_for_samples("braze_canvas_up", len(active) + 1)
        exporter.wait_for("braze_campaign_up", 1, campaign="Welcome series")
        until(lambda: exporter.value("braze_canvas_up", canvas="Mine") == 1)
        until(lambda: exporter.get("/-/ready")[0] == 200)
        info = [dict(labels) for labels in exporter.scrape()["braze_canvas_info"]]
        assert exporter.value("braze_exporter_discovered_canvases") == len(active)
        assert exporter.value("braze_exporter_canvas_discovery_limited") == 0
        assert exporter.value("braze_exporter_idle_canvases") == 1
        value = exporter.value("braze_canvas_interval_seconds", canvas="Mine")
        assert value == 3600
    assert {one["canvas_id"] for one in info} == active | {stopped.id}
    assert len({one["canvas"] for one in info}) == len(info)
    names = {one["canvas_id"]: one["canvas"] for one in info}
    assert names[first.id] == f"Price watch ({first.id[:8]})"
    by = {one["canvas"]: one.get("by") for one in info}
    assert by["Basket, 3 touches"] == "basket,retention"
    assert by["Early access list"] is None

    braze.set_fault(Fault(status=503))
    with daemon(braze, **options) as exporter:
        samples = exporter.scrape()
        assert len(samples["braze_canvas_up"]) == len(active) + 1
        assert samples["braze_canvas_daily"]


@pytest.mark.parametrize("missing", ["canvas.list", "canvas.details"])
def test_a_missing_permission_for_canvases_leaves_campaigns_alone(missing: str) -> None:
    """It is counted and logged; the exporter is ready."""
    with Simulator(SimulatorSettings(permissions=ALL_PERMISSIONS - {missing})) as braze:
        discover = {**selecting("Welcome*"), "canvases": {}}
        with daemon(braze, campaigns=[], discover=discover, **RATE) as exporter:
            exporter.wait_for("braze_campaign_up", 1, campaign="Welcome series")
            failures = "braze_exporter_canvas_discovery_failures_total"
            exporter.wait_for(failures, 1, reason="forbidden")
            until(lambda: exporter.get("/-/ready")[0] == 200)
            of_campaigns = "braze_exporter_discovery_failures_total"
            assert exporter.value(of_campaigns, reason="forbidden") == 0
            document = exporter.get("/api/v1/status")[1]
    assert f"needs the permission {missing}" in document


class ServiceWorld:
    """The discovery of a daemon with one campaign; its tasks run by hand."""

    def __init__(self, directory: Path | None = None, *names: str) -> None:
        self.clock = FakeClock()
        self.api = FakeListApi(*(names or ("A",)))
        self.session = session_of(
            self.clock, self.api, spacing_seconds=0.5, concurrency=1
        )
        self.tasks: dict[tuple[str, str], tuple[float, Callable[[], None]]] = {}
        self.metrics = SelfMetrics(version="0", served=tuple)
        self.before_schedule: Callable[[], object] = lambda: None
        self.key: str | None = "key"
        """The key at every source; None: it cannot be read."""
        self.before_reading: Callable[[], object] = lambda: None
        hooks = PollingHooks(
            session_of=lambda _: self.session,
            on_change=lambda _: None,
            after_step=lambda: None,
            schedule=self._schedule,
        )
        self.service = DiscoveryService(
            hooks,
            read_key=self._read_key,
            metrics=self.metrics,
            clock=self.clock,
            random=lambda: 0.5,
            file=CatalogueCache(SqliteState(directory)) if directory else None,
        )

    def _read_key(self, _: object) -> str | None:
        self.before_reading()
        return self.key

    def _schedule(
        self, place: tuple[str, str], at: float, run: Callable[[], None]
    ) -> None:
        self.before_schedule()
        self.tasks[place] = (at, run)

    def apply(self, **changes: object) -> WorkspaceConfig:
        """Apply a configuration of one workspace, and start its finder."""
        document = polling_world.workspace("", **{"discover": {}, **changes})
        if "api_key_file" in changes:
            del document["api_key_env"]
        config = polling_world.config(document)
        self.service.apply(config)
        self.service.start()
        return config.workspaces[0]

    def run(self, name: str = "shop", kind: str = "campaign") -> float:
        """Run the task of a workspace when due; return the seconds to the next."""
        at, run = self.tasks[name, kind]
        self.clock.time = max(self.clock.time, at)
        run()
        return self.tasks[name, kind][0] - self.clock.time

    def run_until_settled(self) -> None:
        """Run tasks until none is due for a minute."""
        while self.run() < 60:
            pass


def test_the_catalogue_of_another_account_is_discarded() -> None:
    """A task of its finder that is still scheduled does nothing."""
    world = ServiceWorld()
    world.apply()
    world.run_until_settled()
    _, previous = world.tasks["shop", "campaign"]

    other = world.apply(endpoint="https://rest.iad-02.braze.com")
    world.api.new_requests()
    previous()

    assert world.api.requested == []
    assert world.service.with_found(other).campaigns == ()
    world.run_until_settled()
    assert [one.name for one in world.service.with_found(other).campaigns] == ["A"]


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
    assert world.service.with_found(shop).campaigns == ()
    assert set(world.service.views()) == {("other", "campaign")}


def test_a_replaced_key_is_tried_at_once() -> None:
    world = ServiceWorld()
    world.apply()
    world.api.failures = [UNAUTHORIZED]
    assert world.run() == 60

    world.service.retry_now("shop")

    assert world.tasks["shop", "campaign"][0] == world.clock.time
    world.run_until_settled()
    assert world.api.requested == ["page 0", "page 0", "a"]


@pytest.mark.parametrize("is_reload", [False, True])
def test_a_key_file_on_a_disk_that_hangs_does_not_block_discovery(
    is_reload: bool,
) -> None:
    world = ServiceWorld()
    world.apply()
    is_reading, answers = threading.Event(), threading.Event()

    def hang() -> None:
        is_reading.set()
        answers.wait(PATIENCE_SECONDS)

    world.before_reading = hang
    with ThreadPoolExecutor(2) as pool:
        job = world.apply if is_reload else partial(world.service.retry_now, "shop")
        reading = pool.submit(job)
        assert is_reading.wait(PATIENCE_SECONDS)
        step = pool.submit(world.run)

        try:
            step.result(PATIENCE_SECONDS / 2)
        finally:
            answers.set()
        reading.result(PATIENCE_SECONDS)

    assert world.api.requested == ["page 0"]


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


def test_a_step_that_never_ran_is_scheduled_again() -> None:
    """The system had no thread for it; one that is not overdue stays."""
    world = ServiceWorld()
    world.apply()
    world.tasks.clear()

    world.clock.advance(29)
    world.service.recover()
    assert world.tasks == {}
    world.clock.advance(2)
    world.service.recover()
    world.run_until_settled()

    assert world.api.requested == ["page 0", "a"]


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


def restored(directory: Path, **changes: Any) -> set[str]:
    """Return the campaigns that a daemon has after a restart, before any request."""
    world = ServiceWorld(directory)
    world.key = changes.pop("key", world.key)
    shop = world.apply(**changes)
    return {one.name for one in world.service.with_found(shop).campaigns}


def test_catalogues_are_saved_with_each_list_and_at_the_end(tmp_path: Path) -> None:
    world = ServiceWorld(tmp_path)
    world.apply()
    world.run_until_settled()
    assert restored(tmp_path) == {"A"}
    world.api.objects[0]["name"] = "Alpha"
    world.run()

    world.service.stop()

    assert restored(tmp_path) == {"Alpha"}


def test_a_crash_in_the_first_round_loses_seconds_of_it(tmp_path: Path) -> None:
    """At two requests a second, which are published at each quarter more."""
    world = ServiceWorld(tmp_path, *(f"C{n}" for n in range(99)))
    world.apply()
    while "c60" not in world.api.requested:
        world.run()

    assert 40 < len(restored(tmp_path)) < 99


def test_a_catalogue_is_saved_once_the_disk_is_usable_again(tmp_path: Path) -> None:
    """It does not wait until the list is read again."""
    obstacle = tmp_path / f"{FILE_NAME}-journal"
    obstacle.mkdir()
    (tmp_path / FILE_NAME).touch()
    world = ServiceWorld(tmp_path)
    world.apply()
    for _ in range(9):
        world.run()
    assert restored(tmp_path) == set()
    obstacle.rmdir()

    world.run_until_settled()

    assert world.api.requested == ["page 0", "a"]
    assert restored(tmp_path) == {"A"}


@pytest.mark.parametrize("source", ["api_key_env", "api_key_file"])
@pytest.mark.parametrize("key", ["key", "another key", None])
@pytest.mark.parametrize(
    "endpoint",
    ["rest.iad-01.braze.com", "REST.iad-01.braze.com/", "rest.iad-01.braze.com:443"],
)
def test_a_catalogue_belongs_to_endpoint_and_key(
    tmp_path: Path, source: str, key: str | None, endpoint: str
) -> None:
    """At a restart, wherever the key is read from; a replaced key keeps it too."""
    world = ServiceWorld(tmp_path)
    world.apply()
    world.run_until_settled()
    world.service.stop()
    place: dict[str, object] = {source: "OTHER"}

    found = restored(tmp_path, key=key, endpoint=f"https://{endpoint}", **place)

    assert found == {"A"}
    assert restored(tmp_path, endpoint="https://rest.iad-02.braze.com") == set()
    assert restored(tmp_path, name="other") == set()


@pytest.mark.parametrize("key", ["aaaa-bbbb", "a key with 🗝 and \udcff"])
def test_the_state_file_does_not_contain_the_key(tmp_path: Path, key: str) -> None:
    world = ServiceWorld(tmp_path)
    world.key = key
    world.apply()
    world.run_until_settled()
    world.service.stop()

    ((name, endpoint, kind, account),) = SqliteState(tmp_path).load_catalogues()

    assert (name, endpoint) == ("shop", "https://rest.iad-01.braze.com")
    assert kind == "campaign"
    assert re.fullmatch("key [0-9a-f]{16}", account)
    assert key.encode(errors="surrogatepass") not in (tmp_path / FILE_NAME).read_bytes()


@pytest.mark.parametrize("third", ["environment variable KEY", "file /key"])
def test_a_catalogue_of_an_earlier_version_is_used(tmp_path: Path, third: str) -> None:
    """It has the source of the key in place of its fingerprint."""
    account = ("shop", "https://rest.iad-01.braze.com", "campaign", third)
    catalogue = ObjectCatalogue({"a": Listed("a", "A")}, {}, NOW - 60)
    catalogue = catalogue.with_details(Listed("a", "A"), Details("", NOW - 60))
    CatalogueCache(SqliteState(tmp_path)).save({account: catalogue})

    assert restored(tmp_path) == {"A"}


@pytest.mark.parametrize("how", ["reload", "restart", "key file"])
@pytest.mark.parametrize("has_other_campaigns", [False, True])
def test_a_replaced_key_keeps_the_campaigns_until_the_list_is_read(
    tmp_path: Path, how: str, *, has_other_campaigns: bool
) -> None:
    """At once. Those of another workspace in Braze are removed without grace."""
    world = ServiceWorld(tmp_path)
    shop = world.apply()
    world.run_until_settled()
    world.service.stop()
    api = world.api
    if how == "restart":
        world = ServiceWorld(tmp_path)
        world.api.details = api.details
    world.key = "another"
    if has_other_campaigns:
        world.api.objects = [{"id": "b", "name": "B", "last_edited": "then"}]
        world.api.details["b"] = {}
    world.api.new_requests()
    world.api.failures = [DOWN]

    if how == "key file":
        world.service.retry_now("shop")
    else:
        shop = world.apply(api_key_env="OTHER")
    world.run()
    assert [one.name for one in world.service.with_found(shop).campaigns] == ["A"]
    world.run_until_settled()

    other = ["page 0", "page 0", "b"]
    assert world.api.requested == (other if has_other_campaigns else other[:2])
    found = [one.name for one in world.service.with_found(shop).campaigns]
    assert found == (["B"] if has_other_campaigns else ["A"])


def test_a_restored_catalogue_is_not_complete_before_the_list_is_read(
    tmp_path: Path,
) -> None:
    """After a crash it may lack objects whose values were saved."""
    world = ServiceWorld(tmp_path)
    world.apply()
    world.run_until_settled()
    assert world.service.is_complete("shop")

    again = ServiceWorld(tmp_path)
    again.apply()
    again.run()
    assert again.api.requested == []
    assert again.service.was_tried("shop", is_late=False)
    assert not again.service.is_complete("shop")

    again.run()
    again.run_until_settled()
    assert again.api.requested[0] == "page 0"
    assert again.service.is_complete("shop")


def test_both_kinds_have_their_own_catalogues(tmp_path: Path) -> None:
    """Of one account: each is read, restored, and read again with another key."""
    world = ServiceWorld(tmp_path)
    both: dict[str, object] = {"campaigns": {}, "canvases": {}}
    shop = world.apply(discover=both)
    world.run_until_settled()
    assert set(world.tasks) == {("shop", "campaign"), ("shop", "canvas")}
    world.api.kind = CANVAS
    while world.run(kind="canvas") < 60:
        pass
    world.service.stop()

    again = ServiceWorld(tmp_path)
    again.apply(discover=both)
    found = again.service.with_found(shop)
    assert [one.name for one in (*found.campaigns, *found.canvases)] == ["A", "A"]
    assert again.service.is_complete("shop") is False
    again.key = "another"
    again.service.retry_now("shop")
    again.run()
    assert again.api.new_requests() == ["page 0"]

    again.apply(discover={"canvases": {}})
    found = again.service.with_found(shop)
    assert (found.campaigns, len(found.canvases)) == ((), 1)
    assert set(again.service.views()) == {("shop", "canvas")}


def test_two_workspaces_with_one_key_have_their_own_catalogues(tmp_path: Path) -> None:
    world = ServiceWorld(tmp_path, "A", "B")
    documents = [
        polling_world.workspace("", name=name, discover={"names": {"include": [one]}})
        for name, one in (("one", "A"), ("two", "B"))
    ]
    config = polling_world.config(*documents)
    world.service.apply(config)
    world.service.start()
    for name in ("one", "two"):
        while world.tasks[name, "campaign"][0] - world.clock.time < 60:
            world.run(name)

    again = ServiceWorld(tmp_path)
    again.service.apply(config)

    found = [again.service.with_found(one).campaigns for one in config.workspaces]
    assert [[each.name for each in campaigns] for campaigns in found] == [["A"], ["B"]]


def test_a_step_that_ends_during_a_reload_does_not_replace_the_new_task() -> None:
    """A reload is applied at each moment of a step of the previous finder."""
    world = ServiceWorld()
    world.apply()
    _, previous = world.tasks["shop", "campaign"]
    step_ended, started = threading.Event(), threading.Event()

    def pause() -> None:
        if threading.current_thread().name == "step":
            step_ended.set()
            started.wait(0.5)  # the reload's task is scheduled now, or after this one

    world.before_schedule = pause
    step = threading.Thread(target=previous, name="step")
    step.start()
    assert step_ended.wait(30)
    other = world.apply(endpoint="https://rest.iad-02.braze.com")
    started.set()
    step.join()

    for _ in range(9):
        world.run()
    assert [one.name for one in world.service.with_found(other).campaigns] == ["A"]


def test_a_new_finder_does_not_use_the_session_of_the_previous_account() -> None:
    """Between the two halves of a reload, a replaced key or clock starts nothing."""
    world = ServiceWorld()
    world.apply()
    world.run_until_settled()
    document = polling_world.workspace(
        "", endpoint="https://rest.iad-02.braze.com", discover={}
    )
    world.service.apply(polling_world.config(document))
    world.api.new_requests()

    world.service.retry_now("shop")
    world.service.after_clock_set()
    world.run()
    assert world.api.requested == []

    world.service.start()
    world.run()
    assert world.api.requested == ["page 0"]


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
