"""Several exporters with one configuration and key: shards and replicas."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from exporter.commands.simulate import series
from exporter.polling.sharding import Shard
from exporter.simulator import RateLimit, Simulator, SimulatorSettings

from tests.support.daemon_process import (
    Process,
    Running,
    configuration,
    exporter,
    listed,
    run,
    until,
    wait_for_requests,
    written,
)

SHARDS = [(f"--shard=braze-exporter-{n}", "--total-shards=3") for n in range(3)]
"""A shard's number ends the name of its pod."""
REPLICAS = [("--replicas=2",)] * 2


@contextmanager
def exporters(
    braze: Simulator,
    directory: Path,
    flags: Iterable[tuple[str, ...]],
    **changes: Any,
) -> Iterator[list[Process]]:
    with ExitStack() as stack:
        processes = [
            stack.enter_context(exporter(braze, directory, *each, **changes))
            for each in flags
        ]
        assert all(one.url for one in processes)
        yield processes
        for one in processes:
            one.stop()


def served(processes: Iterable[Running]) -> Counter[str]:
    return Counter(
        dict(labels)["campaign_id"]
        for each in processes
        for labels in each.scrape()["braze_campaign_info"]
    )


@pytest.mark.slow
@pytest.mark.parametrize("flags", [SHARDS, REPLICAS], ids=["shards", "replicas"])
def test_together_they_keep_the_ceiling_of_one(
    tmp_path: Path, flags: list[tuple[str, ...]]
) -> None:
    """60 campaigns want 3,600 requests a minute; 600 are allowed."""
    with Simulator(SimulatorSettings(campaigns=60)) as braze:
        with exporters(braze, tmp_path, flags, requests_per_minute=600) as running:
            expected = 60 * len(flags) if flags is REPLICAS else 60
            until(lambda: sum(map(campaigns_up, running)) == expected)
            start = len(braze.requests)
            wait_for_requests(braze, start + 60)

        times = [one.monotonic_seconds for one in braze.requests]
    assert times[start + 59] - times[start] > 5  # 5.9 s; some may start at once


def campaigns_up(running: Running) -> float:
    return sum(running.scrape()["braze_campaign_up"].values())


@pytest.mark.slow
def test_two_replicas_keep_the_reserve(tmp_path: Path) -> None:
    """Of 100 requests in a window the last 20 are left to other users of the key."""
    limit = RateLimit(requests=100, seconds=10)
    with Simulator(SimulatorSettings(campaigns=60, data_series_limit=limit)) as braze:
        with exporters(braze, tmp_path, REPLICAS, reserve="20%"):
            wait_for_requests(braze, 201)
        requests = braze.requests

    windows = Counter(one.epoch_seconds // 10 for one in requests)
    assert max(windows.values()) <= 80
    assert {one.status for one in requests} == {200}


def test_each_campaign_is_served_by_one_shard(tmp_path: Path) -> None:
    with Simulator() as braze, exporters(braze, tmp_path, SHARDS) as running:
        ids = [one.id for one in braze.campaigns]
        until(lambda: served(running) == Counter(ids))
        info = [each.scrape()["braze_exporter_shard_info"] for each in running]

    assert info == [
        {frozenset({("shard", str(n)), ("total_shards", "3")}): 1.0} for n in range(3)
    ]


def test_shards_share_what_is_discovered(tmp_path: Path) -> None:
    """Each reads the list, and polls its own part of it."""
    name = "braze_exporter_discovery_last_success_timestamp_seconds"
    changes = {"campaigns": [], "discover": {"include_drafts": True}}
    with (
        Simulator(SimulatorSettings(campaigns=30)) as braze,
        exporters(braze, tmp_path, SHARDS, **changes) as running,
    ):
        for each in running:
            each.wait_for_samples(name, 1)
        ids = [one.id for one in braze.campaigns if not one.is_archived]
        until(lambda: served(running) == Counter(ids))


def test_a_shard_without_a_campaign_is_ready_at_once(tmp_path: Path) -> None:
    with Simulator() as braze:
        one = listed(braze.campaigns[:1])
        with exporters(braze, tmp_path, SHARDS, campaigns=one) as running:
            for each in running:
                until(each.is_ready)
            sizes = [each.value("braze_exporter_campaigns") or 0 for each in running]

    assert sorted(sizes) == [0, 0, 1]


def test_each_series_is_polled_by_one_shard(tmp_path: Path) -> None:
    """As `check` plans it, and as the status page shows it."""
    family = "braze_workspace_series_up"
    with Simulator(SimulatorSettings(campaigns=3)) as braze:
        some = {**series(braze), "interval": "1h"}
        with exporters(
            braze, tmp_path, SHARDS, series=some, shared_requests_per_minute=4000
        ) as running:
            for each in running:
                until(each.is_ready)
            scrapes = [each.scrape()[family] for each in running]
            pages = [json.loads(each.get("/api/v1/status")[1]) for each in running]
            found = Counter(
                dict(labels)["series"] for scrape in scrapes for labels in scrape
            )
        document = configuration(braze, series=some)
        file = written(tmp_path / "config.yaml", document)
        planned = [
            run("check", "--config.file", file, *flags).stdout for flags in SHARDS
        ]

    assert set(found.values()) == {1}
    assert [page["series_total"] for page in pages] == list(map(len, scrapes))
    for number, text in zip(map(len, scrapes), planned, strict=True):
        assert f"valid, 1 workspace, 3 campaigns, {len(found)} series" in text
        assert re.search(rf"shard \d of 3 .*, {number} series of the workspace,", text)


@pytest.mark.parametrize("command", ["check", "--config.check"])
def test_check_plans_one_of_several(tmp_path: Path, command: str) -> None:
    with Simulator(SimulatorSettings(campaigns=60, canvases=30)) as braze:
        document = configuration(braze, canvases=listed(braze.canvases))
        file = written(tmp_path / "config.yaml", document)
        own, canvases = (
            sum(Shard(0, 2).holds(one.id) for one in objects)
            for objects in (braze.campaigns, braze.canvases)
        )
    arguments = (command, "--config.file", file)

    shard = run(*arguments, "--shard=0", "--total-shards=2").stdout
    replica = run(*arguments, "--replicas=2").stdout

    assert "valid, 1 workspace, 60 campaigns, 30 canvases" in shard
    assert (
        f"shard 0 of 2 (numbers start at 0): {own} campaigns, {canvases} can" in shard
    )
    assert f"{60 * own} wanted, 3000 allowed" in shard
    assert f"\n  canvases             {canvases}\n" in shard
    assert "one of 2 replicas: every ceiling divided by 2" in replica
    assert "3000 allowed" in replica


@pytest.mark.parametrize("command", [(), ("check",)], ids=["daemon", "check"])
@pytest.mark.parametrize(
    ("flag", "problem"),
    [
        ("--shard=0", "expected both --shard and --total-shards, or neither"),
        ("--replicas=0", "--replicas is '0', expected 1 to 100"),
    ],
)
def test_invalid_flags_are_refused(
    command: tuple[str, ...], flag: str, problem: str
) -> None:
    ended = run(*command, "--config.file=config.yaml", flag)

    assert ended.returncode == 2
    assert problem in ended.stderr
