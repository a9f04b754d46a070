"""Several exporters that share a configuration by shards, as real processes."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest
from exporter.polling.sharding import Shard
from exporter.simulator import Simulator, SimulatorSettings

from tests.support.daemon_process import (
    Process,
    Running,
    configuration,
    run,
    until,
    written,
)

FREE = "--web.listen-address=127.0.0.1:0"
SHARDS = 3


@contextmanager
def shards(braze: Simulator, file: str) -> Iterator[list[Running]]:
    """Run one process for each shard."""
    environment = {"BRAZE_API_KEY": braze.api_key}
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                Process(
                    "--config.file",
                    file,
                    FREE,
                    *flags_of(number),
                    environment=environment,
                )
            )
            for number in range(SHARDS)
        ]
        yield [Running(one.url) for one in processes]
        for one in processes:
            assert one.end(signal.SIGTERM, seconds=8) == 0


def flags_of(number: int) -> tuple[str, str]:
    """Return the flags of a shard, whose number ends the name of a pod."""
    return (f"--shard=braze-exporter-{number}", f"--total-shards={SHARDS}")


def shown(running: Running) -> set[str]:
    """Return the ids of the campaigns that an exporter serves."""
    infos = running.scrape()["braze_campaign_info"]
    return {dict(labels)["campaign_id"] for labels in infos}


@pytest.mark.slow
def test_each_campaign_is_served_by_one_shard_within_one_ceiling(
    tmp_path: Path,
) -> None:
    """Of a full workspace all shards together start no more than one would."""
    with Simulator(SimulatorSettings(campaigns=60)) as braze:
        # Wants 3,600 a minute.
        document = configuration(braze, requests_per_minute=600)
        with shards(braze, written(tmp_path / "config.yaml", document)) as running:
            ids = {one.id for one in braze.campaigns}
            until(lambda: {one.campaign_id for one in braze.requests} == ids)
            first = braze.requests[-1].monotonic_seconds
            until(
                lambda: braze.requests[-1].monotonic_seconds > first + 6,
                what="six seconds of requests",
            )
            served = Counter(one for each in running for one in shown(each))
            info = [each.scrape()["braze_exporter_shard_info"] for each in running]
            polled = Counter(one.campaign_id for one in braze.requests)

    times = [one.monotonic_seconds for one in braze.requests]
    six_seconds = sum(first < at <= first + 6 for at in times)
    assert served == Counter(ids)
    assert set(polled) == ids
    assert info == [
        {frozenset({("shard", str(n)), ("total_shards", str(SHARDS))}): 1.0}
        for n in range(SHARDS)
    ]
    assert 45 <= six_seconds <= 60 + SHARDS


def test_shards_share_what_is_discovered(tmp_path: Path) -> None:
    """Each reads the list, and polls its own part of it."""
    with Simulator(SimulatorSettings(campaigns=30)) as braze:
        document = configuration(braze, campaigns=[], discover={"include_drafts": True})
        with shards(braze, written(tmp_path / "config.yaml", document)) as running:
            found = until(
                lambda: (
                    all(map(is_settled, running))
                    and Counter(one for each in running for one in shown(each))
                )
            )
            ids = {one.id for one in braze.campaigns if not one.is_archived}

    assert found == Counter(ids)


def is_ready(running: Running) -> bool:
    """Return whether an exporter is ready."""
    return running.get("/-/ready")[0] == 200


def is_settled(running: Running) -> bool:
    """Return whether discovery has finished once."""
    name = "braze_exporter_discovery_last_success_timestamp_seconds"
    return running.value(name) is not None


@pytest.mark.parametrize("way", ["check", "--config.check"])
def test_check_plans_a_shard(tmp_path: Path, way: str) -> None:
    """Its campaigns, and its part of the budget."""
    with Simulator(SimulatorSettings(campaigns=60)) as braze:
        file = written(tmp_path / "config.yaml", configuration(braze))
        own = sum(Shard(0, 2).holds(one.id) for one in braze.campaigns)

    ended = run(way, "--config.file", file, "--shard=0", "--total-shards=2")

    assert ended.returncode == 0
    assert "valid, 1 workspace, 60 campaigns" in ended.stdout
    assert f"shard 0 of 2 (numbers start at 0): {own} campaigns" in ended.stdout
    assert f"{60 * own} wanted, 3000 allowed" in ended.stdout


@pytest.mark.parametrize("command", [(), ("check",)])
def test_half_a_shard_is_wrong_usage(tmp_path: Path, command: tuple[str, ...]) -> None:
    """Both flags or neither."""
    file = str(tmp_path / "config.yaml")

    ended = run(*command, "--config.file", file, "--shard=0")

    assert ended.returncode == 2
    assert "expected both --shard and --total-shards, or neither" in ended.stderr


def test_a_shard_without_a_campaign_is_ready_at_once(tmp_path: Path) -> None:
    """It serves the metrics about itself."""
    with Simulator() as braze:
        one = [{"id": braze.campaigns[0].id, "name": "only"}]
        document = configuration(braze, campaigns=one)
        with shards(braze, written(tmp_path / "config.yaml", document)) as running:
            for each in running:
                until(partial(is_ready, each))
            sizes = sorted(
                each.value("braze_exporter_campaigns") or 0 for each in running
            )

    assert sizes == [0, 0, 1]
