"""Values over a restart: real processes that are stopped, killed and started."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from exporter.polling import slots
from exporter.simulator import Fault, Simulator, SimulatorSettings
from exporter.storage.sqlite_state import FILE_NAME, SqliteState

from tests.support.daemon_process import Process, Running, configuration, until, written

SUCCESS = "braze_campaign_last_success_timestamp_seconds"
FIGURES = "braze_campaign_daily"
SAVED = "braze_exporter_state_saves_total"
LOADED = "braze_exporter_state_loads_total"


class Installation:
    """A directory with a configuration and a state, and the daemons run on it."""

    def __init__(self, directory: Path, braze: Simulator) -> None:
        self.braze = braze
        self.state = directory / "state"
        self._file = directory / "config.yaml"

    def configure(self, **changes: object) -> None:
        """Write the configuration."""
        written(self._file, configuration(self.braze, **changes))

    @contextmanager
    def open(self) -> Iterator[tuple[Process, Running]]:
        """Run a daemon."""
        with Process(
            f"--config.file={self._file}",
            "--web.listen-address=127.0.0.1:0",
            f"--state.path={self.state}",
            environment={"BRAZE_API_KEY": self.braze.api_key},
        ) as process:
            yield process, Running(process.url)

    def age(self, *, seconds: float) -> float:
        """Let all have been read so long ago, and return when that was."""
        state, at = SqliteState(self.state), time.time() - seconds
        state.save(
            {
                key: kept._replace(last_success_at=at)
                for key, kept in state.load().items()
            }
        )
        return at

    def fill(self) -> Running:
        """Run a daemon until all is read, end it and return what it showed last."""
        with self.open() as (process, running):
            count = len(self.braze.campaigns)
            until(lambda: len(running.scrape().get(SUCCESS, {})) == count)
            shown = Shown(running)
            assert process.end(signal.SIGTERM, seconds=10) == 0
        return shown


class Shown(Running):
    """What a daemon showed, for when it is gone."""

    def __init__(self, running: Running) -> None:
        super().__init__(running.url)
        self._page = running.get("/metrics")

    def get(self, path: str, *, method: str = "GET") -> tuple[int, str]:
        """Return the page of then."""
        del path, method
        return self._page


@pytest.fixture
def braze() -> Iterator[Simulator]:
    """Run a simulated Braze with a few campaigns."""
    with Simulator(SimulatorSettings(campaigns=8)) as simulator:
        yield simulator


@pytest.fixture
def installation(tmp_path: Path, braze: Simulator) -> Installation:
    """Return a house whose campaigns are polled every ten minutes."""
    made = Installation(tmp_path, braze)
    made.configure(interval="10m")
    return made


def test_values_are_served_at_once_with_their_age(
    installation: Installation, braze: Simulator
) -> None:
    """Ready, up and with the same values before any request, while Braze is down.

    SIGTERM saved them: the daemon ran for less than it waits between two saves.
    """
    before = installation.fill().scrape()
    braze.set_fault(Fault(status=500))
    count = len(braze.requests)

    with installation.open() as (process, running):
        process.wait_for_line("event=state.restored campaigns=8")
        until(lambda: len(running.scrape().get(SUCCESS, {})) == 8)
        after = running.scrape()
        assert running.get("/-/ready")[0] == 200
        assert running.value(LOADED, result="success") == 1

    assert len(braze.requests) == count
    for family in (FIGURES, SUCCESS, "braze_campaign_trailing", "braze_campaign_up"):
        assert after[family] == before[family]


def test_no_burst_reaches_braze(installation: Installation, braze: Simulator) -> None:
    """A restored campaign is polled when its slot comes, as if nothing had happened.

    Slots count from the epoch, at each campaign's own phase of the interval.
    """
    installation.configure(interval="3s")
    installation.fill()
    begun = len(braze.requests)

    with installation.open():
        assert braze.wait_for_requests(begun + 8, timeout_seconds=15)
    requests = braze.requests[begun : begun + 8]

    for one in requests:
        assert one.campaign_id is not None
        late = (one.epoch_seconds - slots.phase(one.campaign_id) * 3) % 3
        assert late < 1
    asked = {one.campaign_id for one in requests}
    assert asked == {one.id for one in braze.campaigns}


@pytest.mark.slow
def test_after_a_long_while_all_are_polled_under_the_ceiling(
    installation: Installation, braze: Simulator
) -> None:
    """Missed slots are served once, spread as a first round is; age is shown."""
    installation.configure(requests_per_minute=300)
    installation.fill()
    installation.age(seconds=700)  # the slots of all of them passed while no daemon ran
    begun = len(braze.requests)

    with installation.open():
        assert braze.wait_for_requests(begun + 8, timeout_seconds=10)
    requests = braze.requests[begun : begun + 8]

    starts = [one.monotonic_seconds for one in requests]
    assert min(later - earlier for earlier, later in pairwise(starts)) > 0.19
    assert len({one.campaign_id for one in requests}) == 8


def test_stale_values_are_not_restored(
    installation: Installation, braze: Simulator
) -> None:
    """When they were read is known, and that is all."""
    before = installation.fill().scrape()
    hour_ago = installation.age(seconds=3700)
    braze.set_fault(Fault(status=500))

    with installation.open() as (_, running):
        until(lambda: len(running.scrape().get(SUCCESS, {})) == 8)
        after = running.scrape()

    assert len(before[FIGURES]) > 8
    assert FIGURES not in after
    assert set(after[SUCCESS].values()) == {round(hour_ago, 3)}


def test_a_campaign_that_left_meanwhile_is_not_restored(
    installation: Installation, braze: Simulator
) -> None:
    """It leaves the file with the next save."""
    installation.fill()
    rest = [{"id": one.id, "name": f"New {one.name}"} for one in braze.campaigns[:3]]
    installation.configure(interval="10m", campaigns=rest)

    with installation.open() as (process, running):
        until(lambda: len(running.scrape().get(SUCCESS, {})) == 3)
        names = {dict(labels)["campaign"] for labels in running.scrape()[FIGURES]}
        assert process.end(signal.SIGTERM, seconds=10) == 0

    assert names == {one["name"] for one in rest}
    assert {key[1] for key in SqliteState(installation.state).load()} == {
        one["id"] for one in rest
    }


def test_kill_9_leaves_what_was_saved(installation: Installation) -> None:
    """Whenever it comes: the next start serves it, and neither complains."""
    installation.configure(interval="1s")
    with installation.open() as (process, running):
        running.wait_for(SAVED, 1, result="success")
        process.end(signal.SIGKILL, seconds=10)

    with installation.open() as (process, running):
        process.wait_for_line("event=state.restored campaigns=8")
        until(lambda: len(running.scrape().get(SUCCESS, {})) == 8)
        process.end(signal.SIGKILL, seconds=10)

    assert len(SqliteState(installation.state).load()) == 8


def test_the_key_is_in_no_file(installation: Installation, braze: Simulator) -> None:
    """Nor does the endpoint, nor anything that was rendered."""
    installation.fill()

    content = b"".join(path.read_bytes() for path in installation.state.iterdir())
    assert braze.api_key.encode() not in content
    assert b"127.0.0.1" not in content
    assert b"braze_campaign" not in content


def spoil(path: Path) -> None:
    """Put what is no state in the file's place."""
    path.mkdir()
    (path / FILE_NAME).write_bytes(b"no database at all" * 999)


@pytest.mark.parametrize(
    ("prepare", "event"),
    [
        (lambda path: path.write_text("a file"), "state.unsaved"),
        (lambda path: path.symlink_to("/proc/nowhere"), "state.unsaved"),
        (spoil, "state.unusable"),
    ],
    ids=["a file in its place", "nowhere", "no state"],
)
def test_an_unusable_state_directory_is_logged_once(
    installation: Installation, prepare: object, event: str
) -> None:
    """The daemon runs and serves as without it."""
    assert callable(prepare)
    prepare(installation.state)

    with installation.open() as (process, running):
        until(lambda: len(running.scrape().get(SUCCESS, {})) == 8)
        assert running.get("/-/healthy")[0] == 200
        assert running.get("/-/ready")[0] == 200
        assert process.end(signal.SIGTERM, seconds=10) == 0
    logged = [line for line in process.lines if f"event={event}" in line]
    assert len(logged) == 1
    assert "level=error" in logged[0]
