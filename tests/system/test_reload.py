"""A new configuration taken over while the daemon runs: real processes and sockets."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from exporter.simulator import Fault, Simulator, SimulatorSettings

from tests.support.daemon_process import Process, Running, configuration, until, written

AT = "braze_exporter_config_last_reload_success_timestamp_seconds"
OK = "braze_exporter_config_last_reload_successful"


@contextmanager
def exporter(
    braze: Simulator, file: str | Path, *flags: str
) -> Iterator[tuple[Process, Running]]:
    """Run the daemon with its lifecycle open, until all it polls is up."""
    arguments = ("--config.file", str(file), "--web.listen-address", "127.0.0.1:0")
    environment = {"BRAZE_API_KEY": braze.api_key}
    with Process(*arguments, *flags, environment=environment) as process:
        running = Running(process.url)
        until(lambda: running.get("/-/ready")[0] == 200)
        yield process, running


def listed(braze: Simulator, *numbers: int, **changes: object) -> list[object]:
    """Return campaigns as a configuration lists them."""
    chosen = [braze.campaigns[number] for number in numbers]
    return [{"id": one.id, "name": one.name, **changes} for one in chosen]


def names(running: Running, family: str = "braze_campaign_info") -> set[str]:
    """Return the campaigns that a family shows."""
    return {dict(labels)["campaign"] for labels in running.scrape().get(family, {})}


def reload(running: Running, *, method: str = "POST") -> tuple[int, str]:
    """Request a reload."""
    return running.get("/-/reload", method=method)


def hang_up(process: Process, running: Running) -> None:
    """Send SIGHUP and wait until it is done."""
    before = running.value(AT)
    os.kill(process.pid, signal.SIGHUP)
    until(lambda: running.value(AT) != before)


def post(process: Process, running: Running) -> None:
    """Post a reload."""
    del process
    assert reload(running) == (200, "Reloaded.\n")


def put(process: Process, running: Running) -> None:
    """Put a reload."""
    del process
    assert reload(running, method="PUT") == (200, "Reloaded.\n")


@pytest.mark.parametrize("way", [hang_up, post, put])
def test_a_new_configuration_is_taken_over_in_place(
    tmp_path: Path, way: Callable[[Process, Running], None]
) -> None:
    """A campaign leaves whole with the next scrape, another comes, one is untouched.

    A campaign that stays keeps its values and is not requested again.
    """
    file = tmp_path / "config.yaml"
    with Simulator() as braze:
        document = configuration(braze, campaigns=listed(braze, 0, 1), interval="10m")
        written(file, document)
        with exporter(braze, file, "--web.enable-lifecycle") as (process, running):
            until(lambda: len(braze.requests) == 2)
            stays, leaves, comes = (one.name for one in braze.campaigns[:3])
            document = configuration(
                braze, campaigns=listed(braze, 0, 2), interval="10m"
            )
            written(file, document)

            way(process, running)

            samples = running.scrape()
            _, page = running.get("/metrics")
            assert names(running) == {stays, comes}
            assert leaves not in page
            assert running.value("braze_campaign_up", campaign=stays) == 1
            assert any(
                ("campaign", stays) in labels
                for labels in samples["braze_campaign_daily"]
            )
            running.wait_for("braze_campaign_up", 1, campaign=comes)
            requested = [one.campaign_id for one in braze.requests]
            assert requested.count(braze.campaigns[0].id) == 1
            assert requested.count(braze.campaigns[2].id) == 1


def test_a_forbidden_reload_names_the_flag(tmp_path: Path) -> None:
    """403 without the flag, 405 for other methods, and nothing is reloaded."""
    with Simulator() as braze:
        document = configuration(braze, campaigns=listed(braze, 0))
        file = written(tmp_path / "config.yaml", document)
        with exporter(braze, file) as (_, running):
            before = running.value(AT)

            response = reload(running)

            assert response[0] == 403
            assert "--web.enable-lifecycle" in response[1]
            assert reload(running, method="GET")[0] == 405
            assert reload(running, method="DELETE")[0] == 405
            assert running.value(AT) == before


def test_a_bad_file_changes_nothing(tmp_path: Path) -> None:
    """500 with every problem, a gauge, lines in the log; then a good one heals it."""
    file = tmp_path / "config.yaml"
    with Simulator() as braze:
        good = configuration(braze, campaigns=listed(braze, 0))
        written(file, good)
        with exporter(braze, file, "--web.enable-lifecycle") as (process, running):
            before = running.value(AT)
            written(file, {**configuration(braze, interval="fast"), "windows": "all"})

            status, response = reload(running)

            assert status == 500
            assert f"{file}:1: workspaces[0].interval" in response
            assert f"{file}:1: windows" in response
            assert running.value(OK) == 0
            assert running.value(AT) == before
            assert names(running) == {braze.campaigns[0].name}
            process.wait_for_line("event=config.problem .*windows")
            process.wait_for_line("event=config.rejected")
            count = len(braze.requests)
            until(lambda: len(braze.requests) > count + 1, what="polls that go on")
            file.unlink()
            assert "cannot be read" in reload(running)[1]

            written(file, good)

            assert reload(running)[0] == 200
            assert running.value(OK) == 1


def test_a_swapped_symlink_is_noticed(tmp_path: Path) -> None:
    """As Kubernetes exchanges a ConfigMap, with --config.enable-auto-reload."""
    with Simulator() as braze:
        for folder, number in (("..1", 0), ("..2", 1)):
            (tmp_path / folder).mkdir()
            document = configuration(
                braze, campaigns=listed(braze, number), interval="10m"
            )
            written(tmp_path / folder / "config.yaml", document)
        (tmp_path / "..data").symlink_to("..1")
        file = tmp_path / "config.yaml"
        file.symlink_to("..data/config.yaml")
        with exporter(braze, file, "--config.enable-auto-reload") as (_, running):
            assert names(running) == {braze.campaigns[0].name}

            (tmp_path / "..new").symlink_to("..2")
            (tmp_path / "..new").rename(tmp_path / "..data")

            until(lambda: names(running) == {braze.campaigns[1].name})
            assert reload(running)[0] == 403


def test_a_poll_on_its_way_is_finished(tmp_path: Path) -> None:
    """Its answer counts, although the way to Braze was built anew meanwhile."""
    file = tmp_path / "config.yaml"
    with Simulator() as braze:
        only = listed(braze, 0)
        written(file, configuration(braze, campaigns=only, interval="10m"))
        braze.set_fault(Fault(latency_seconds=1.5))
        arguments = ("--config.file", str(file), "--web.enable-lifecycle")
        with Process(
            *arguments,
            "--web.listen-address=127.0.0.1:0",
            environment={"BRAZE_API_KEY": braze.api_key},
        ) as process:
            running = Running(process.url)
            assert braze.wait_for_requests(1)

            changes = {"campaigns": only, "interval": "10m", "timeout": "9s"}
            written(file, configuration(braze, **changes, concurrency=1))
            assert reload(running)[0] == 200
            assert running.value("braze_campaign_up") is None

            running.wait_for("braze_campaign_up", 1)
            stored = running.value("braze_exporter_polls_total", result="stored")
            assert (stored, len(braze.requests)) == (1, 1)


def test_a_poll_of_a_campaign_that_left_does_not_bring_it_back(tmp_path: Path) -> None:
    """Nor does one of a workspace that left bring back its counters."""
    file = tmp_path / "config.yaml"
    with Simulator() as braze:
        leaving = configuration(braze, campaigns=listed(braze, 0, 1), interval="10m")
        rest = configuration(
            braze, name="other", campaigns=listed(braze, 2), interval="10m"
        )
        written(file, {"workspaces": [*both(leaving), *both(rest)]})
        braze.set_fault(Fault(latency_seconds=1.0), campaign_id=braze.campaigns[0].id)
        arguments = ("--config.file", str(file), "--web.enable-lifecycle")
        with Process(
            *arguments,
            "--web.listen-address=127.0.0.1:0",
            environment={"BRAZE_API_KEY": braze.api_key},
        ) as process:
            running = Running(process.url)
            assert braze.wait_for_requests(3)
            written(file, rest)

            assert reload(running)[0] == 200

            assert 'workspace="production"' not in running.get("/metrics")[1]
            until(lambda: all(one.status is not None for one in braze.requests))
            assert braze.wait_for_requests(3)
            until(lambda: running.value("braze_campaign_up") == 1)
            assert 'workspace="production"' not in running.get("/metrics")[1]


def both(document: Mapping[str, object]) -> list[object]:
    """Return the workspaces of a configuration."""
    workspaces = document["workspaces"]
    assert isinstance(workspaces, list)
    return workspaces


def resources(process: Process) -> tuple[int, int]:
    """Return how many threads and file descriptors a process has."""
    proc = Path("/proc") / str(process.pid)
    return len(list((proc / "task").iterdir())), len(list((proc / "fd").iterdir()))


def wait_for_a_round(braze: Simulator, campaign_ids: set[str]) -> None:
    """Wait until each of these campaigns, and no other, is requested once more."""
    start = len(braze.requests)

    def requested() -> set[str | None]:
        return {one.campaign_id for one in braze.requests[start:]}

    until(lambda: requested() == campaign_ids)


@pytest.mark.slow
def test_many_reloads_under_load_lose_nothing(tmp_path: Path) -> None:
    """30 at once and one after the other, while all is polled every second.

    Campaigns of the last configuration are polled once a second, by as many threads
    and connections as before.
    """
    file = tmp_path / "config.yaml"
    with Simulator(SimulatorSettings(campaigns=12)) as braze:
        braze.set_fault(Fault(latency_seconds=0.15))
        documents = [
            configuration(braze, campaigns=listed(braze, *range(12))),
            configuration(braze, campaigns=listed(braze, *range(6)), timeout="3s"),
            configuration(braze, campaigns=listed(braze, *range(3, 12)), concurrency=2),
            configuration(
                braze, campaigns=listed(braze, *range(12), interval="2s"), reserve="1%"
            ),
            configuration(
                braze, name="renamed", campaigns=listed(braze, *range(12)), timeout="1s"
            ),
        ]
        written(file, documents[0])
        with exporter(braze, file, "--web.enable-lifecycle") as (process, running):
            until(lambda: len(running.scrape()["braze_campaign_up"]) == 12)
            before = resources(process)

            for number in range(30):
                written(file, documents[number % len(documents)])
                os.kill(process.pid, signal.SIGHUP)
                assert reload(running)[0] == 200
            written(file, documents[0])
            assert reload(running)[0] == 200

            ids = {one.id for one in braze.campaigns}
            wait_for_a_round(braze, ids)
            wait_for_a_round(braze, ids)
            assert set(running.scrape()["braze_campaign_up"].values()) == {1.0}
            assert "renamed" not in running.get("/metrics")[1]
            threads, files = before
            # Connections to the simulator are as many as answers were awaited at once.
            until(lambda: resources(process)[0] <= threads + 4)
            until(lambda: resources(process)[1] <= files + 8)
