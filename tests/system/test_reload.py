"""A new configuration taken over while the daemon runs: real processes and sockets."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from exporter.simulator import Fault, Simulator, SimulatorSettings

from tests.support.daemon_process import (
    Process,
    Running,
    configuration,
    exporter,
    listed,
    until,
    wait_for_a_round,
    wait_for_requests,
    workspace,
    written,
)
from tests.support.process_figures import look

AT = "braze_exporter_config_last_reload_success_timestamp_seconds"
OK = "braze_exporter_config_last_reload_successful"
LIFECYCLE = "--web.enable-lifecycle"


class ReloadTest:
    """A daemon in a directory with its configuration, beside a simulated Braze."""

    def __init__(self, directory: Path, braze: Simulator) -> None:
        self.braze = braze
        self.file = directory / "config.yaml"

    @contextmanager
    def start(self, *numbers: int, **changes: Any) -> Iterator[Process]:
        """Run a daemon that polls these campaigns every ten minutes."""
        document = self.document(*numbers, **changes)
        with exporter(
            self.braze, self.file.parent, LIFECYCLE, document=document
        ) as process:
            yield process

    def document(self, *numbers: int, **changes: Any) -> dict[str, object]:
        campaigns = listed(self.braze.campaigns[number] for number in numbers)
        options = {"campaigns": campaigns, "interval": "10m", **changes}
        return configuration(self.braze, **options)

    def write(self, *numbers: int, **changes: Any) -> None:
        written(self.file, self.document(*numbers, **changes))


@pytest.fixture(name="test")
def _test(tmp_path: Path) -> Iterator[ReloadTest]:
    with Simulator() as braze:
        yield ReloadTest(tmp_path, braze)


def names(running: Running) -> set[str]:
    infos = running.scrape()["braze_campaign_info"]
    return {dict(labels)["campaign"] for labels in infos}


def reload(running: Running, *, method: str = "POST") -> tuple[int, str]:
    return running.get("/-/reload", method=method)


def by_signal(process: Process) -> None:
    before = process.value(AT)
    process.send(signal.SIGHUP)
    until(lambda: process.value(AT) != before)


def by_post(process: Process) -> None:
    assert reload(process) == (200, "Reloaded.\n")


def by_put(process: Process) -> None:
    assert reload(process, method="PUT") == (200, "Reloaded.\n")


@pytest.mark.parametrize("way", [by_signal, by_post, by_put])
def test_a_new_configuration_is_applied_in_place(
    test: ReloadTest, way: Callable[[Process], None]
) -> None:
    """A campaign leaves with the next scrape, another is added, one is not touched.

    The campaign that stays keeps its values and is not requested again.
    """
    stays, leaves, comes = test.braze.campaigns[:3]
    with test.start(0, 1) as process:
        process.wait_until_up(2)
        test.write(0, 2)

        way(process)

        _, page = process.get("/metrics")
        assert names(process) == {stays.name, comes.name}
        assert leaves.name not in page
        assert process.value("braze_campaign_up", campaign=stays.name) == 1
        process.wait_for("braze_campaign_up", 1, campaign=comes.name)
        daily = process.scrape()["braze_campaign_daily"]
        assert any(("campaign", stays.name) in labels for labels in daily)
        requested = [one.campaign_id for one in test.braze.requests]
        assert [requested.count(one.id) for one in (stays, comes)] == [1, 1]


def test_a_forbidden_reload_names_the_flag(test: ReloadTest, tmp_path: Path) -> None:
    with exporter(test.braze, tmp_path) as process:
        until(process.is_ready)
        before = process.value(AT)

        status, text = reload(process)

        assert status == 403
        assert LIFECYCLE in text
        assert reload(process, method="GET")[0] == 405
        assert reload(process, method="DELETE")[0] == 405
        assert process.value(AT) == before


def test_an_invalid_file_changes_nothing(test: ReloadTest) -> None:
    """500 with every problem, a gauge, lines in the log; a valid file resets them."""
    with test.start(0, interval="1s") as process:
        until(process.is_ready)
        before = process.value(AT)
        invalid = {**test.document(0, interval="fast"), "windows": "all"}
        written(test.file, invalid)

        status, text = reload(process)

        assert status == 500
        assert f"{test.file}:1: workspaces[0].interval" in text
        assert f"{test.file}:1: windows" in text
        assert process.value(OK) == 0
        assert process.value(AT) == before
        assert names(process) == {test.braze.campaigns[0].name}
        process.wait_for_line("event=config.problem .*windows")
        process.wait_for_line("event=config.rejected")
        wait_for_requests(test.braze, len(test.braze.requests) + 2)
        test.file.unlink()
        assert "cannot be read" in reload(process)[1]

        test.write(0)

        assert reload(process)[0] == 200
        assert process.value(OK) == 1


def test_a_swapped_symlink_is_noticed(test: ReloadTest, tmp_path: Path) -> None:
    """As Kubernetes exchanges a ConfigMap, with --config.enable-auto-reload."""
    first, second = (one.name for one in test.braze.campaigns[:2])
    for folder, number in (("..1", 0), ("..2", 1)):
        (tmp_path / folder).mkdir()
        written(tmp_path / folder / "config.yaml", test.document(number))
    (tmp_path / "..data").symlink_to("..1")
    test.file.symlink_to("..data/config.yaml")
    flag = "--config.enable-auto-reload"
    with exporter(test.braze, tmp_path, flag, document=test.document(0)) as process:
        until(lambda: names(process) == {first})

        (tmp_path / "..new").symlink_to("..2")
        (tmp_path / "..new").rename(tmp_path / "..data")

        until(lambda: names(process) == {second})
        assert reload(process)[0] == 403


def test_a_poll_in_flight_is_finished(test: ReloadTest) -> None:
    """Its response is stored, although the reload replaced the connections."""
    test.braze.set_fault(Fault(latency_seconds=5))
    with test.start(0, timeout="10m") as process:
        wait_for_requests(test.braze, 1)
        test.write(0, timeout="9m", concurrency=1)

        assert reload(process)[0] == 200
        assert process.value("braze_campaign_up") is None

        process.wait_for("braze_campaign_up", 1)
        stored = process.value("braze_exporter_polls_total", result="stored")
        assert (stored, len(test.braze.requests)) == (1, 1)


def test_a_poll_of_a_removed_campaign_does_not_bring_it_back(test: ReloadTest) -> None:
    """Nor does one of a removed workspace bring back its counters."""
    leaving, staying = test.braze.campaigns[:2]
    rest = workspace(
        test.braze, name="other", campaigns=listed([staying]), interval="10m"
    )
    both = [workspace(test.braze, campaigns=listed([leaving]), timeout="10m"), rest]
    test.braze.set_fault(Fault(latency_seconds=5), campaign_id=leaving.id)
    with exporter(
        test.braze, test.file.parent, LIFECYCLE, document={"workspaces": both}
    ) as process:
        process.wait_for("braze_campaign_up", 1, workspace="other")
        wait_for_requests(test.braze, 2)
        written(test.file, {"workspaces": [rest]})

        assert reload(process)[0] == 200

        assert 'workspace="production"' not in process.get("/metrics")[1]
        until(lambda: not test.braze.in_flight())
        # Polls of the other workspace end after that of the removed one.
        test.braze.set_fault(Fault(status=404))
        written(test.file, {"workspaces": [rest | {"interval": "1s"}]})
        assert reload(process)[0] == 200
        process.wait_for("braze_campaign_up", 0)
        assert 'workspace="production"' not in process.get("/metrics")[1]


@pytest.mark.slow
def test_many_reloads_under_load_lose_nothing(tmp_path: Path) -> None:
    """30 at once and one after the other, while all is polled every second.

    Campaigns of the last configuration are polled once a second, by as many threads
    and connections as before.
    """
    with Simulator(SimulatorSettings(campaigns=12)) as braze:
        braze.set_fault(Fault(latency_seconds=0.15))
        test = ReloadTest(tmp_path, braze)
        everything = range(12)
        documents = [
            test.document(*numbers, **{"interval": "1s", **changes})
            for numbers, changes in (
                (everything, {}),
                (range(6), {"timeout": "3s"}),
                (range(3, 12), {"concurrency": 2}),
                (everything, {"interval": "2s", "reserve": "1%"}),
                (everything, {"name": "renamed", "timeout": "1s"}),
            )
        ]
        with test.start(*everything, interval="1s") as process:
            process.wait_until_up(12)
            before = look(process.pid)

            for number in (*range(30), 0):
                written(test.file, documents[number % len(documents)])
                process.send(signal.SIGHUP)
                assert reload(process)[0] == 200

            ids = {one.id for one in braze.campaigns}
            wait_for_a_round(braze, ids)
            wait_for_a_round(braze, ids)
            process.wait_until_up(12)
            assert "renamed" not in process.get("/metrics")[1]
            # Connections to the simulator are as many as requests in flight at once.
            until(lambda: look(process.pid).threads <= before.threads + 4)
            until(lambda: look(process.pid).files <= before.files + 8)
