"""Canvases beside campaigns: a missing permission, a clock ahead, and restarts."""

from __future__ import annotations

import re
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from exporter.simulator import Simulator, SimulatorSettings
from exporter.simulator.settings import ALL_PERMISSIONS
from exporter.storage.sqlite_state import FILE_NAME

from tests.support.daemon_process import (
    Process,
    Scrape,
    configuration,
    exporter,
    until,
    written,
)
from tests.system.test_clock_set import SetClock

TRAILING = "braze_canvas_overall_trailing"
REASON = "braze_canvas_failure_info"
CANVASES = 3


def canvases(braze: Simulator) -> list[dict[str, str]]:
    return [{"id": one.id, "name": one.name} for one in braze.canvases]


def options(braze: Simulator, **changes: Any) -> dict[str, Any]:
    """Return those of a workspace whose canvases are polled every second."""
    found = {
        "canvases": canvases(braze),
        "canvas_interval": "1s",
        "shared_requests_per_minute": 4000,
    }
    return found | changes


def reasons(process: Process) -> set[str]:
    return {dict(labels)["reason"] for labels in process.scrape()[REASON]}


def test_a_missing_permission_is_named_and_campaigns_are_polled(tmp_path: Path) -> None:
    """By log and status page; `doctor` names it too, in its own tests."""
    missing = "canvas.data_series"
    settings = SimulatorSettings(
        campaigns=3, canvases=CANVASES, permissions=ALL_PERMISSIONS - {missing}
    )
    with (
        Simulator(settings) as braze,
        exporter(braze, tmp_path, **options(braze)) as process,
    ):
        process.wait_until_up(3)
        process.wait_for_samples(REASON, CANVASES)
        (line,) = process.log("event=key.rejected|event=workspace.paused|forbidden")
        campaigns = {one.id for one in braze.campaigns}
        start = len(braze.requests)
        until(
            lambda: {one.campaign_id for one in braze.requests[start:]} >= campaigns,
            what="another round of campaigns",
        )
        page = process.get("/")[1]

        assert missing in line
        assert missing in page
        assert reasons(process) == {"forbidden"}
        refused = [one for one in braze.requests if one.canvas_id]
        assert {one.status for one in refused} == {403}
        assert len(refused) <= CANVASES
        assert set(process.scrape()["braze_campaign_up"].values()) == {1}


def test_a_clock_ahead_is_named_and_campaigns_are_polled(
    tmp_path: Path, program: Callable[[str], str]
) -> None:
    """Braze refuses canvases: the end of their days is in the future."""
    clock = SetClock(tmp_path, program("faketime"))
    with (
        Simulator(SimulatorSettings(campaigns=3, canvases=CANVASES)) as braze,
        clock.start(braze, **options(braze)) as process,
    ):
        process.wait_for_samples("braze_canvas_info", CANVASES)
        clock.set(process, 600)
        failed = process.wait_for_line(r"event=poll\.failed .*canvas.*clock is 6\d\d s")
        process.wait_for_samples(REASON, CANVASES)
        page = process.get("/")[1]
        wait_for_campaigns(braze)

        assert "run a time daemon" in failed.string
        assert re.search(r"clock is 6\d\d s ahead", page)
        assert set(process.scrape()["braze_campaign_up"].values()) == {1}
        assert not process.log("event=poll.failed .*campaign=")
        clock.set(process, 0)
        up = "braze_canvas_up"
        until(lambda: set(process.scrape()[up].values()) == {1}, what="a right clock")


def wait_for_campaigns(braze: Simulator) -> None:
    """Wait until each campaign is requested again."""
    start = len(braze.requests)
    ids = {one.id for one in braze.campaigns}
    until(lambda: {one.campaign_id for one in braze.requests[start:]} >= ids)


def windows(scrape: Scrape, days: int) -> dict[Any, float]:
    """Return the samples of a window."""
    found = scrape[TRAILING].items()
    return {key: one for key, one in found if ("window", f"{days}d") in key}


def ages(braze: Simulator, *, since: int) -> list[tuple[str, int]]:
    """Return (canvas id, age in days of the newest day) of requests since then."""
    found = []
    for one in braze.requests[since:]:
        if one.path == "/canvas/data_series":
            (end,) = parse_qs(one.query)["ending_at"]
            received_at = datetime.fromtimestamp(one.epoch_seconds, UTC)
            age = (received_at - datetime.fromisoformat(end)) / timedelta(days=1)
            found.append((str(one.canvas_id), round(age)))
    return found


class Installation:
    """A directory with a configuration and a state, and the daemons run on it."""

    def __init__(self, braze: Simulator, directory: Path) -> None:
        self.braze = braze
        self.directory = directory

    def start(self, *, windows: tuple[str, ...] = ("7d", "28d")) -> Process:
        """Start a daemon; canvases are polled every ten minutes."""
        about = options(self.braze, canvas_interval="10m", interval="10m")
        document = configuration(self.braze, **about) | {"windows": windows}
        state = f"--state.path={self.directory / 'state'}"
        return exporter(self.braze, self.directory, state, document=document)

    def kill_after_a_save(self) -> Scrape:
        """Run a daemon until all is saved, and kill it; return what it served."""
        with self.start() as process:
            served = process.scrape_until(
                lambda scrape: canvases_of(windows(scrape, 28)) == CANVASES
            )
            saves = process.value("braze_exporter_state_saves_total", result="success")
            until(
                lambda: self.read_at() == CANVASES,
                what=f"a save after {saves}",
            )
            process.end(signal.SIGKILL)
        return served

    def read_at(self) -> int:
        """Return of how many canvases all older days are saved."""
        file = self.directory / "state" / FILE_NAME
        if not file.exists():
            return 0
        with closing(sqlite3.connect(file)) as database:
            query = (
                "SELECT count(*) FROM sqlite_master, kept WHERE kind = 'canvas' "
                "AND sqlite_master.name = 'kept' "
                "AND json_extract(older, '$.read_at') > 0"
            )
            try:
                return int(database.execute(query).fetchone()[0])
            except sqlite3.OperationalError:
                return 0  # no table yet

    def corrupt(self, canvas_id: str) -> None:
        with closing(sqlite3.connect(self.directory / "state" / FILE_NAME)) as database:
            query = "UPDATE kept SET older = '{\"rows\": 5' WHERE object_id = ?"
            database.execute(query, (canvas_id,))
            database.commit()


def canvases_of(samples: dict[Any, float]) -> int:
    return len({dict(labels)["canvas"] for labels in samples})


@pytest.fixture
def installation(tmp_path: Path) -> Any:
    with Simulator(SimulatorSettings(campaigns=2, canvases=CANVASES)) as braze:
        yield Installation(braze, tmp_path)


def test_long_windows_are_served_at_once_after_sigkill(
    installation: Installation,
) -> None:
    """No day is requested again, neither by a start nor by a reload."""
    before = installation.kill_after_a_save()
    start = len(installation.braze.requests)

    with installation.start() as process:
        process.wait_for_line("event=state.restored campaigns=2 canvases=3")
        after = process.scrape()
        written_again = configuration(
            installation.braze,
            **options(installation.braze, canvas_interval="1s", interval="10m"),
        )
        written(
            installation.directory / "config.yaml",
            {**written_again, "windows": ["7d", "28d"]},
        )
        process.send(signal.SIGHUP)
        wait_for_a_round_of_canvases(installation.braze)
        wait_for_a_round_of_canvases(installation.braze)

    assert windows(after, 28)
    assert after[TRAILING] == before[TRAILING]
    assert {age for _, age in ages(installation.braze, since=start)} == {0}


def wait_for_a_round_of_canvases(braze: Simulator) -> None:
    start = len(braze.requests)
    ids = {one.id for one in braze.canvases}
    until(lambda: {one.canvas_id for one in braze.requests[start:]} >= ids)


def test_a_corrupt_row_costs_the_days_of_one_canvas(installation: Installation) -> None:
    """Its days are requested again; the other canvases are served at once."""
    before = installation.kill_after_a_save()
    corrupt = installation.braze.canvases[0]
    installation.corrupt(corrupt.id)
    start = len(installation.braze.requests)

    with installation.start() as process:
        process.wait_for_line("event=state.skipped .*rows=1")
        at_once = windows(process.scrape(), 28)
        after = process.scrape_until(
            lambda scrape: canvases_of(windows(scrape, 28)) == CANVASES
        )

    assert canvases_of(at_once) >= CANVASES - 1
    assert windows(after, 28) == windows(before, 28)
    requested = ages(installation.braze, since=start)
    assert requested == [(corrupt.id, age) for age in (0, 13, 26)]


@pytest.mark.parametrize(
    ("longest", "requested"), [("13d", set()), ("20d", set()), ("40d", {0, 13, 26, 39})]
)
def test_other_windows_after_a_restart(
    installation: Installation, longest: str, requested: set[int]
) -> None:
    """Only a longer one needs more days, and it needs a poll."""
    installation.kill_after_a_save()
    start = len(installation.braze.requests)

    with installation.start(windows=("7d", longest)) as process:
        process.wait_for_line("event=state.restored campaigns=2 canvases=3")
        served = windows(process.scrape(), 7)

    assert canvases_of(served) == CANVASES
    assert {age for _, age in ages(installation.braze, since=start)} <= requested
