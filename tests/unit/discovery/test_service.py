"""Discovery in the daemon, against the simulated Braze, over HTTP."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from exporter.braze.session import Session
from exporter.discovery.catalogue_cache import CatalogueCache
from exporter.discovery.catalogue_json import Account
from exporter.discovery.rules import CampaignCatalogue
from exporter.discovery.service import DiscoveryService
from exporter.metrics.self_metrics import SelfMetrics
from exporter.model.errors import StateError
from exporter.simulator import ALL_PERMISSIONS, Fault, Simulator, SimulatorSettings
from exporter.storage.sqlite_state import FILE_NAME, SqliteState
from exporter.system.clock import Clock

from tests.support.daemon_process import (
    Process,
    Running,
    configuration,
    daemon,
    parsed,
    until,
    written,
)

QUICK: Mapping[str, Any] = {"requests_per_minute": 1000, "list_interval": "1s"}
SHARED = ("/campaigns/list", "/campaigns/details")
KEY = {"BRAZE_API_KEY": "simulated-braze-key"}


def infos(exporter: Running) -> dict[str, dict[str, str]]:
    """Return the labels of `braze_campaign_info` by campaign."""
    samples = exporter.scrape().get("braze_campaign_info", {})
    return {labels["campaign"]: labels for labels in map(dict, samples)}


def wait_for_names(exporter: Running, names: set[str]) -> None:
    """Wait until these campaigns are shown and no other."""
    until(lambda: set(infos(exporter)) == names, what=f"{names}")


def sending(braze: Simulator) -> set[str]:
    """Return the names of the campaigns that are neither drafts nor archived."""
    return {
        one.name for one in braze.campaigns if not (one.is_draft or one.is_archived)
    }


def requests_of(braze: Simulator, path: str) -> int:
    """Return the number of requests of a path."""
    return sum(request.path == path for request in braze.requests)


def test_campaigns_are_found_and_polled() -> None:
    """Without listed campaigns; tags and channels are labels, drafts are left out."""
    discover = {**QUICK, "labels": {"tags": "tags", "channel": "channels"}}
    with (
        Simulator() as braze,
        daemon(braze, campaigns=[], discover=discover) as exporter,
    ):
        wait_for_names(exporter, sending(braze))
        info = infos(exporter)
        exporter.wait_for("braze_exporter_discovered_campaigns", len(info))
        exporter.wait_for("braze_campaign_up", 1, campaign="Welcome series")

    assert info["Welcome series"]["tags"] == "onboarding"
    assert info["Home feed cards"]["channel"] == "content_card"
    assert "tags" not in info["Loyalty tier sync"]


def test_details_are_requested_once_and_when_edited() -> None:
    """However often the list is read."""
    with (
        Simulator() as braze,
        daemon(braze, campaigns=[], discover=QUICK, interval="1h") as exporter,
    ):
        wait_for_names(exporter, sending(braze))
        until(lambda: requests_of(braze, SHARED[0]) > 2)
        before = requests_of(braze, SHARED[1])
        braze.change(braze.campaign("Welcome series").id, name="Hello series")
        wait_for_names(exporter, sending(braze))
        until(lambda: requests_of(braze, SHARED[1]) > before)
        lists = requests_of(braze, SHARED[0])
        until(lambda: requests_of(braze, SHARED[0]) > lists + 1)

        assert before == len(sending(braze)) + 1  # the draft's
        assert requests_of(braze, SHARED[1]) == before + 1


def test_equal_names_stay_apart_and_listed_ones_keep_theirs() -> None:
    """A rename is followed; two of one name have the beginnings of their ids."""
    with Simulator() as braze:
        one, two, own = braze.campaigns[:3]
        listed = [{"id": own.id, "name": "Mine"}]
        names = {"include": [one.name, two.name, "Sale", "Mine"]}
        discover = {**QUICK, "names": names}
        with daemon(braze, campaigns=listed, discover=discover) as exporter:
            wait_for_names(exporter, {"Mine", one.name, two.name})
            braze.change(two.id, name="Mine")
            wait_for_names(exporter, {"Mine", one.name, f"Mine ({two.id[:8]})"})
            braze.change(two.id, name="Sale")
            braze.change(one.id, name="Sale")
            wait_for_names(
                exporter, {"Mine", *(f"Sale ({each.id[:8]})" for each in (one, two))}
            )
            braze.change(one.id, is_nameless=True)
            wait_for_names(exporter, {"Mine", "Sale"})


def test_a_vanished_campaign_leaves_after_its_grace() -> None:
    """Whole, with all its series."""
    discover = {**QUICK, "grace": "2s", "include_drafts": True}
    with Simulator() as braze:
        gone, archived = braze.campaigns[:2]
        with daemon(braze, campaigns=[], discover=discover) as exporter:
            exporter.wait_for("braze_campaign_up", 1, campaign=gone.name)
            braze.remove(gone.id)
            braze.change(archived.id, is_archived=True)
            exporter.wait_for("braze_campaign_up", 0, campaign=gone.name)
            until(lambda: not {gone.name, archived.name} & set(infos(exporter)))
            page = exporter.get("/metrics")[1]

    assert f'campaign="{gone.name}"' not in page


@pytest.mark.parametrize("missing", ["campaigns.list", "campaigns.details"])
def test_a_missing_permission_pauses_no_poll(
    missing: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The listed ones are polled; the log names the permission."""
    settings = SimulatorSettings(permissions=ALL_PERMISSIONS - {missing})
    with Simulator(settings) as braze:
        own = braze.campaigns[0]
        listed = [{"id": own.id, "name": "Mine"}]
        with daemon(braze, campaigns=listed, discover=QUICK) as exporter:
            exporter.wait_for(
                "braze_exporter_discovery_failures_total", 1, reason="forbidden"
            )
            exporter.wait_for("braze_campaign_up", 1, campaign="Mine")
            polled = requests_of(braze, "/campaigns/data_series")
            until(lambda: requests_of(braze, "/campaigns/data_series") > polled)
            assert (
                exporter.value("braze_exporter_workspace_paused", reason="forbidden")
                == 0
            )
            assert set(infos(exporter)) == {"Mine"}
            _, page = exporter.get("/")
            assert "Discovery is failing" in page
            assert f"the permission {missing}" in page
            path = f"/{missing.replace('.', '/')}"
            assert exporter.value(
                "braze_exporter_api_requests_total", code="403", endpoint=path[1:]
            )

    (line,) = [one for one in caplog.records if one.message == "discovery.failed"]
    assert f"the permission {missing}" in vars(line)["fields"]["error"]


def test_a_hanging_list_does_not_block_the_start() -> None:
    """Listed campaigns are polled and it is ready while the list hangs."""
    with Simulator() as braze:
        braze.set_fault(Fault(latency_seconds=30), path=SHARED[0])
        own = braze.campaigns[0]
        listed = [{"id": own.id, "name": "Mine"}]
        with daemon(braze, campaigns=listed, discover=QUICK) as exporter:
            exporter.wait_for("braze_campaign_up", 1, campaign="Mine")
            until(lambda: exporter.get("/-/ready")[0] == 200)


def test_without_anything_listed_it_is_ready_too() -> None:
    """There is nothing yet that could be tried."""
    with Simulator() as braze:
        braze.set_fault(Fault(latency_seconds=30), path=SHARED[0])
        with daemon(braze, campaigns=[], discover=QUICK) as exporter:
            until(lambda: exporter.get("/-/ready")[0] == 200)


def test_a_repeating_page_is_an_error_that_changes_nothing() -> None:
    """It is counted, and nothing is found of half a list."""
    with (
        Simulator(SimulatorSettings(campaigns=250, repeats_pages=True)) as braze,
        daemon(braze, campaigns=[], discover=QUICK) as exporter,
    ):
        exporter.wait_for(
            "braze_exporter_discovery_failures_total", 1, reason="malformed"
        )
        assert infos(exporter) == {}


def test_long_lists_are_read_to_the_end() -> None:
    """Also where the last page is full."""
    discover = {**QUICK, "include_drafts": True, "max_campaigns": 1000}
    with (
        Simulator(SimulatorSettings(campaigns=201)) as braze,
        daemon(braze, campaigns=[], discover=discover, interval="1h") as exporter,
    ):
        exporter.wait_for("braze_exporter_discovered_campaigns", 200)
        pages = {one.query for one in braze.requests if one.path == SHARED[0]}

    assert pages == {f"page={n}&include_archived=false" for n in range(3)}


def test_discovered_campaigns_are_restored_after_a_restart(tmp_path: Path) -> None:
    """With its values, while Braze's list is out of order."""
    options: dict[str, Any] = {
        "campaigns": [],
        "discover": {**QUICK, "names": {"include": ["Welcome*"]}},
        "state_path": str(tmp_path),
    }
    with Simulator() as braze:
        with daemon(braze, **options) as exporter:
            exporter.wait_for("braze_campaign_up", 1, campaign="Welcome series")
        braze.set_fault(Fault(status=503))
        with daemon(braze, **options) as exporter:
            restored = exporter.value("braze_campaign_up", campaign="Welcome series")
            values = exporter.scrape()["braze_campaign_daily"]

    assert restored == 1
    assert values
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_a_reload_changes_the_selection(tmp_path: Path) -> None:
    """On, with other options, and off again; /config shows each."""
    file = tmp_path / "config.yaml"
    with Simulator() as braze:
        own = braze.campaigns[0]
        listed = [{"id": own.id, "name": "Mine"}]

        def write(**changes: object) -> None:
            document = configuration(braze, campaigns=listed, **changes)
            written(tmp_path / "new", document)
            (tmp_path / "new").replace(file)

        write()
        with Process(
            f"--config.file={file}",
            "--web.listen-address=127.0.0.1:0",
            environment=KEY,
        ) as process:
            exporter = Running(process.url)
            wait_for_names(exporter, {"Mine"})
            for names, wanted in (
                (["Welcome*"], {"Mine", "Welcome series"}),
                (["Password*"], {"Mine", "Password reset"}),
            ):
                write(discover={**QUICK, "names": {"include": names}})
                process.send(signal.SIGHUP)
                wait_for_names(exporter, wanted)
                assert names[0] in exporter.get("/config")[1]
            write()
            process.send(signal.SIGHUP)
            wait_for_names(exporter, {"Mine"})
            assert "discover" not in exporter.get("/config")[1]
            until(
                lambda: "braze_exporter_discovered_campaigns" not in exporter.scrape()
            )
            assert process.end(signal.SIGTERM, seconds=10) == 0


class Tasks:
    """The scheduled functions, by workspace."""

    def __init__(self) -> None:
        self.scheduled: dict[str, tuple[float, Callable[[], None]]] = {}

    def put_task(self, workspace: str, at: float, run: Callable[[], None], /) -> None:
        """Schedule a function."""
        self.scheduled[workspace] = (at, run)

    def drop_task(self, workspace: str, /) -> None:
        """Remove a function."""
        self.scheduled.pop(workspace, None)


class BrokenFile(CatalogueCache):
    """A file on an unusable disk."""

    def load(self, *, now: float) -> dict[Account, CampaignCatalogue]:
        """Fail."""
        message = f"no, not at {now}"
        raise StateError(message)

    def save(self, known: Mapping[Account, CampaignCatalogue]) -> None:
        """Fail."""
        self.load(now=len(known))


def no_session(_: str) -> Session | None:
    """Return the session of a workspace that is not polled yet."""
    return None


def discovery(
    tasks: Tasks,
    file: CatalogueCache | None = None,
    session_of: Callable[[str], Session | None] = no_session,
) -> DiscoveryService:
    """Return the discovery of a daemon at second 1000."""
    return DiscoveryService(
        session_of=session_of,
        on_change=lambda _: None,
        after_step=lambda: None,
        tasks=tasks,
        metrics=SelfMetrics(version="0", served=tuple),
        clock=Clock(wall=lambda: 1000.0, steady=lambda: 1000.0),
        random=lambda: 0.5,
        file=file,
    )


def config(**changes: object) -> Any:
    """Return a configuration of one workspace that discovers."""
    plain = {
        "name": "shop",
        "endpoint": "https://rest.iad-01.braze.com",
        "api_key_env": "KEY",
        "discover": {},
    }
    return parsed({"workspaces": [plain | changes]}, key="key")


def test_another_account_is_discovered_anew() -> None:
    """The catalogue of the previous account is discarded."""
    tasks = Tasks()
    service = discovery(tasks)
    service.apply(config())
    service.start()
    first = tasks.scheduled["shop"]

    service.apply(config(endpoint="https://rest.iad-02.braze.com"))
    service.start()
    second = tasks.scheduled["shop"]
    first[1]()

    assert tasks.scheduled["shop"] is second
    second[1]()
    assert tasks.scheduled["shop"][0] == 1001


def test_discovery_that_is_no_longer_configured_is_removed() -> None:
    """So are its task and its metrics."""
    tasks = Tasks()
    service = discovery(tasks)
    service.apply(config())
    service.start()

    service.apply(config(discover={}, name="other"))

    assert tasks.scheduled == {}
    service.retry_now("shop")
    assert tasks.scheduled == {}
    service.retry_now("other")
    assert set(tasks.scheduled) == {"other"}


def test_a_crash_is_logged_and_retried_in_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A crash does not end discovery."""
    tasks = Tasks()

    def crash(_: str) -> Session | None:
        raise ZeroDivisionError

    service = discovery(tasks, session_of=crash)
    service.apply(config())
    service.start()

    tasks.scheduled["shop"][1]()

    assert tasks.scheduled["shop"][0] == 1060
    assert [one.message for one in caplog.records] == ["discovery.crashed"]


def test_an_unusable_disk_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Discovery goes on."""
    caplog.set_level(logging.ERROR)
    service = discovery(Tasks(), BrokenFile(SqliteState(tmp_path)))
    service.apply(config())

    service.stop()
    service.stop()

    assert [one.message for one in caplog.records] == [
        "state.unusable",
        "state.unsaved",
    ]
