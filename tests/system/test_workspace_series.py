"""Series of the workspace, polled over real sockets from a simulated Braze."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

import pytest
from exporter.commands import check
from exporter.commands.simulate import series
from exporter.simulator import Simulator, SimulatorSettings
from exporter.simulator.settings import ALL_PERMISSIONS

from tests.support import naive_oracle
from tests.support.daemon_process import configuration, exporter, parsed, until, written
from tests.support.fake_clock import FakeClock
from tests.support.naive_workspace_oracle import Reading
from tests.support.polling_world import PollingWorld
from tests.unit.simulator.simulator_client import INTEGRATIONS, Client

HOUR = 3600.0
REASON = "braze_workspace_series_failure_info"
UP = "braze_workspace_series_up"
FAMILIES = re.compile(
    r"braze_(workspace_(daily|last_complete_day|trailing)|segment|event|broadcast"
    r"|data_ingestion)"
)


def every_series(braze: Simulator, **changes: Any) -> dict[str, Any]:
    """Return the section with each event by hour and by day."""
    found = series(braze)
    by_day = [{**one, "unit": "day"} for one in found["events"]]
    return {**found, "events": [*found["events"], *by_day], **changes}


class SimulatedWorld(PollingWorld):
    """Polls a simulator over sockets, at a time that both share."""

    def _replace_clients(self) -> None:
        """Leave the clients that the configuration has."""

    def close(self) -> None:
        for one in self.workspaces.groups.values():
            one.session.client.close()  # type: ignore[attr-defined]  # a real one


@contextmanager
def simulated(
    at: datetime, *, has_fixed_clock: bool = False, **settings: Any
) -> Iterator[tuple[Simulator, SimulatedWorld]]:
    """Run a simulator with the world's clock, or with a fixed one."""
    clock = FakeClock(at.timestamp())
    of_braze = FakeClock(at.timestamp()) if has_fixed_clock else clock
    about = SimulatorSettings(clock=of_braze.wall, api_key="key", **settings)
    with Simulator(about) as braze:
        world = SimulatedWorld(clock=clock)
        try:
            yield braze, world
        finally:
            world.close()


@pytest.mark.parametrize(
    ("timezone", "at"),
    [
        ("UTC", "2025-06-10T12:20:00"),
        ("Asia/Kolkata", "2025-06-10T19:00:00"),
        ("America/New_York", "2025-11-02T06:30:00"),
        ("Europe/Berlin", "2026-03-29T01:10:00"),
    ],
)
def test_each_family_is_an_independent_reading_of_the_documents(
    timezone: str, at: str
) -> None:
    """Also within the hour that is repeated, and after the one that is skipped."""
    now = datetime.fromisoformat(at).replace(tzinfo=UTC)
    sizes = {"campaigns": 8, "canvases": 10}
    with simulated(now, has_fixed_clock=True, timezone=timezone, **sizes) as both:
        braze, world = both
        document = configuration(
            braze, campaigns=[], timezone=timezone, series=every_series(braze)
        )
        world.apply(parsed({**document, "windows": ["1d", "7d", "28d"]}, key="key"))
        world.run(until=now.timestamp() + 60)
        assert {one.status for one in braze.requests} == {200}
        found = Reading(
            "production",
            now=now.timestamp(),
            timezone=ZoneInfo(timezone),
            windows=(1, 7, 28),
        )
        read(braze, found)
    expected = found.samples

    served = naive_oracle.parsed(shown(world))
    ours = {key: value for key, value in served.items() if FAMILIES.match(key[0])}
    assert {family for family, _ in ours} == {family for family, _ in expected}
    assert ours == expected


def shown(world: PollingWorld) -> bytes:
    """Return the page without the exporter's own metrics, families together."""
    lines = [one for one in world.page().splitlines() if "braze_exporter" not in one]
    families: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith("braze_"):
            families.setdefault(line.partition("{")[0], []).append(line)
    blocks = (
        f"# HELP {name} Of a test.\n# TYPE {name} gauge\n" + "\n".join(samples)
        for name, samples in families.items()
    )
    return ("\n".join(blocks) + "\n").encode()


def read(braze: Simulator, found: Reading) -> None:
    """Request all documents again and read them."""
    names = {one.id: one.name for one in braze.segments}
    pages = []
    with Client(braze) as client:
        for target in dict.fromkeys(
            f"{one.path}?{one.query}" for one in braze.requests
        ):
            document = client.request(target, key="key").document
            path, _, query = target.partition("?")
            asked = {name: one[-1] for name, one in parse_qs(query).items()}
            if path == INTEGRATIONS:
                pages.append(document)
            elif "broadcasts" in path:
                found.read_broadcasts(document)
            elif "segment_id" in asked:
                found.read_segment(document, names[asked["segment_id"]])
            elif "event" in asked:
                found.read_event(document, asked["event"], asked["unit"])
            else:
                found.read_daily(document)
    found.read_integrations(pages)


@pytest.mark.slow
def test_requests_per_bucket_are_those_that_check_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Over half a day after the first hour, as the simulator counts them."""
    now = datetime(2025, 6, 10, 12, tzinfo=UTC)
    with simulated(now, campaigns=3, canvases=3) as (braze, world):
        document = configuration(
            braze,
            interval="10m",
            canvases=[{"id": one.id, "name": one.name} for one in braze.canvases],
            series=every_series(braze, interval="30m"),
        )
        document["windows"] = ["7d", "28d"]
        file = written(tmp_path / "c.yaml", document)
        check.main([file], {"BRAZE_API_KEY": "key"})
        printed = planned(capsys.readouterr().out)
        world.apply(parsed(document, key="key"))
        world.run(until=now.timestamp() + 13 * HOUR)

    counted = Counter(
        one.bucket
        for one in braze.requests
        if one.epoch_seconds >= now.timestamp() + HOUR
    )
    pages = 2
    printed["ingestion"] *= pages
    assert set(counted) == set(printed)
    for bucket, hourly in printed.items():
        assert counted[bucket] == pytest.approx(12 * hourly, rel=0.05), bucket
    assert {one.status for one in braze.requests} == {200}


def planned(text: str) -> dict[str, int]:
    """Return the requests an hour that `check` prints, by bucket."""
    buckets = {
        "campaigns/data_series": "campaigns",
        "shared with live sends, 250,000 an hour": "shared",
        "purchases and lists of events, 1,000 an hour": "purchases",
        "cdi/integrations, 50 a minute": "ingestion",
    }
    found = {}
    for title, parts in re.findall(
        r"requests per hour +rate limit (?:of )?(.*): (.*)", text
    ):
        found[buckets[title]] = sum(map(int, re.findall(r"(\d+) for", parts)))
    return found


@pytest.mark.parametrize(
    ("missing", "stopped"),
    [
        ("events.data_series", "event "),
        ("messages.schedule_broadcasts", "broadcasts"),
        ("kpi.mau.data_series", "mau"),
    ],
)
def test_a_missing_permission_is_named_and_stops_that_series_alone(
    tmp_path: Path, missing: str, stopped: str
) -> None:
    """By the log, the reason of the failure and the status page."""
    settings = SimulatorSettings(campaigns=2, permissions=ALL_PERMISSIONS - {missing})
    with Simulator(settings) as braze:
        some = {**series(braze), "interval": "1s", "data_ingestion": False}
        with exporter(
            braze, tmp_path, series=some, shared_requests_per_minute=4000
        ) as process:
            process.wait_until_up(2)
            (paused,) = until(lambda: process.log("event=workspace.paused"))
            scrape = process.scrape_until(
                lambda scrape: (
                    REASON in scrape
                    and all(
                        scrape[UP][one] != is_in(one, stopped) for one in scrape[UP]
                    )
                )
            )
            page = process.get("/")[1]
            others = {one for one in scrape[UP] if not is_in(one, stopped)}

    assert missing in paused
    assert missing in page
    assert {dict(one)["reason"] for one in scrape[REASON]} == {"forbidden"}
    assert all(is_in(one, stopped) for one in scrape[REASON])
    assert len(others) == len(scrape[UP]) - len(scrape[REASON])
    refused = [one for one in braze.requests if one.status == 403]
    assert len({one.path for one in refused}) == 1


def is_in(labels: Any, series: str) -> bool:
    """Return whether samples are of these series."""
    return str(dict(labels)["series"]).startswith(series)


def test_an_untracked_segment_fails_alone_and_addresses_appear_nowhere(
    tmp_path: Path,
) -> None:
    """Neither on a page, nor in the log or the state."""
    state = tmp_path / "state"
    with Simulator(SimulatorSettings(campaigns=1)) as braze:
        segments = [{"id": one.id, "name": one.name} for one in braze.segments]
        some = {"segments": segments, "data_ingestion": True, "interval": "1s"}
        with exporter(braze, tmp_path, f"--state.path={state}", series=some) as process:
            family = "braze_data_ingestion_status_info"
            process.wait_for_samples(family, len(braze.integrations))
            process.wait_for_samples("braze_segment_size", len(segments) - 1)
            scrape = process.wait_for_samples(REASON, 1)
            pages = [
                process.get(path)[1] for path in ("/", "/metrics", "/api/v1/status")
            ]
            process.stop()
            pages += process.lines
        kept = b"".join(file.read_bytes() for file in state.iterdir() if file.is_file())

    (failure,) = scrape[REASON]
    untracked = next(one for one in braze.segments if not one.is_tracked)
    assert dict(failure)["series"] == f"segment {untracked.name}"
    assert len(scrape["braze_segment_size"]) == len(segments) - 1
    assert len([one for one in process.lines if "event=poll.failed" in one]) == 1
    assert b"Loyalty tiers" in kept
    assert b"example.com" not in kept
    assert not any("example.com" in one for one in pages)
