"""Two identical exporters with `--replicas 2`, as real processes with one key."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from exporter.simulator import RateLimit, Simulator, SimulatorSettings

from tests.support.daemon_process import (
    Process,
    Running,
    configuration,
    run,
    until,
    written,
)

SECONDS = 24
"""Two rounds of 60 campaigns by two replicas, at 10 requests a second."""


@contextmanager
def replicas(braze: Simulator, file: str) -> Iterator[list[Running]]:
    """Run two replicas."""
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                Process(
                    f"--config.file={file}",
                    "--web.listen-address=127.0.0.1:0",
                    "--replicas=2",
                    environment={"BRAZE_API_KEY": braze.api_key},
                )
            )
            for _ in range(2)
        ]
        yield [Running(one.url) for one in processes]
        for one in processes:
            assert one.end(signal.SIGTERM, seconds=8) == 0


def is_polled(running: Running) -> bool:
    """Return whether every campaign was polled once."""
    return len(running.scrape().get("braze_campaign_up", {})) == 60


@pytest.mark.slow
def test_two_replicas_keep_the_ceiling_of_one(tmp_path: Path) -> None:
    """Both serve all campaigns, and together start no more requests than allowed."""
    with Simulator(SimulatorSettings(campaigns=60)) as braze:
        document = configuration(braze, requests_per_minute=600)
        with replicas(braze, written(tmp_path / "config.yaml", document)) as running:
            until(lambda: all(map(is_polled, running)), seconds=120)
            first = braze.requests[-1].monotonic_seconds
            until(
                lambda: braze.requests[-1].monotonic_seconds > first + SECONDS,
                seconds=10 * SECONDS,
                what="two rounds of requests",
            )

    times = [one.monotonic_seconds for one in braze.requests]
    polled = sum(first < at <= first + SECONDS for at in times)
    assert 10 * SECONDS / 2 <= polled <= 10 * SECONDS + 2


@pytest.mark.slow
def test_two_replicas_keep_the_reserve(tmp_path: Path) -> None:
    """Of 100 requests in a window the last 20 are left to other users of the key."""
    limit = RateLimit(requests=100, seconds=10)
    with Simulator(SimulatorSettings(campaigns=60, data_series_limit=limit)) as braze:
        document = configuration(braze, requests_per_minute=6000, reserve="20%")
        with replicas(braze, written(tmp_path / "config.yaml", document)):
            until(
                lambda: (
                    {one.status for one in braze.requests[-200:]} == {200}
                    and len(braze.requests) > 200
                ),
                seconds=90,
                what="three windows of requests",
            )
            requests = list(braze.requests)

    windows = Counter(one.epoch_seconds // 10 for one in requests)
    assert max(windows.values()) <= 80
    assert all(one.status == 200 for one in requests)


@pytest.mark.parametrize("way", ["check", "--config.check"])
def test_check_divides_the_ceilings(tmp_path: Path, way: str) -> None:
    """The plan is that of one replica."""
    with Simulator(SimulatorSettings(campaigns=60)) as braze:
        file = written(tmp_path / "config.yaml", configuration(braze))

    ended = run(way, "--config.file", file, "--replicas=2")

    assert ended.returncode == 0
    assert "one of 2 replicas: every ceiling divided by 2" in ended.stdout
    assert "3000 allowed" in ended.stdout


@pytest.mark.parametrize("command", [(), ("check",)])
def test_an_invalid_number_of_replicas_is_refused(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    """The message names the flag and its bounds."""
    file = str(tmp_path / "config.yaml")

    ended = run(*command, "--config.file", file, "--replicas=0")

    assert ended.returncode == 2
    assert "--replicas is '0', expected 1 to 100" in ended.stderr
