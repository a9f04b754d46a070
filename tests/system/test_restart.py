"""Values over a restart: real processes that are stopped, killed and started."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from exporter.metrics.store import ObjectKey
from exporter.polling import slots
from exporter.simulator import Fault, LoggedRequest, Simulator, SimulatorSettings
from exporter.storage.sqlite_state import FILE_NAME, SqliteState

from tests.support.daemon_process import Process, Scrape, exporter, wait_for_requests

SUCCESS = "braze_campaign_last_success_timestamp_seconds"
FIGURES = "braze_campaign_daily"
COUNT = 8


class Installation:
    """A directory with a configuration and a state, and the daemons run on it."""

    def __init__(self, directory: Path, braze: Simulator) -> None:
        self.braze = braze
        self.state = directory / "state"
        self._directory = directory

    def start(self, **changes: Any) -> Process:
        """Start a daemon that polls every ten minutes."""
        flag = f"--state.path={self.state}"
        options: dict[str, Any] = {"interval": "10m", **changes}
        return exporter(self.braze, self._directory, flag, **options)

    def fill(self, **changes: Any) -> Scrape:
        """Run a daemon until all is read; return what it served."""
        with self.start(**changes) as daemon:
            scrape = daemon.wait_for_samples(SUCCESS, COUNT)
            daemon.stop()
        return scrape

    def age(self, *, seconds: float) -> float:
        """Change the times of all polls to so long ago; return that time."""
        state, at = SqliteState(self.state), time.time() - seconds
        entries = state.load().items()
        state.save(
            {
                ObjectKey(*key): kept._replace(last_success_at=at)
                for key, kept in entries
            }
        )
        return at

    def next_round(self, **changes: Any) -> tuple[LoggedRequest, ...]:
        start = len(self.braze.requests)
        with self.start(**changes):
            wait_for_requests(self.braze, start + COUNT)
        requests = self.braze.requests[start : start + COUNT]
        assert len({one.campaign_id for one in requests}) == COUNT
        return requests


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    with Simulator(SimulatorSettings(campaigns=COUNT)) as braze:
        yield Installation(tmp_path, braze)


def test_values_are_served_at_once_with_their_age(installation: Installation) -> None:
    """Ready, up and with the same values before any request.

    SIGTERM saved them: the daemon ran for less than it waits between two saves.
    """
    before = installation.fill()
    count = len(installation.braze.requests)

    with installation.start() as daemon:
        daemon.wait_for_line("event=state.restored campaigns=8")
        after = daemon.wait_for_samples(SUCCESS, COUNT)
        assert daemon.is_ready()
        assert daemon.value("braze_exporter_state_loads_total", result="success") == 1

    content = b"".join(path.read_bytes() for path in installation.state.iterdir())
    assert len(installation.braze.requests) == count
    for family in (FIGURES, SUCCESS, "braze_campaign_trailing", "braze_campaign_up"):
        assert after[family] == before[family]
    for secret in (installation.braze.api_key.encode(), b"127.0.0.1", FIGURES.encode()):
        assert secret not in content


@pytest.mark.slow
def test_restored_campaigns_are_polled_in_their_slots(
    installation: Installation,
) -> None:
    """Slots count from the epoch, at the phase of each campaign.

    A burst of eight campaigns would be outside of the first half of the interval for
    some of them.
    """
    installation.fill(interval="30s")

    for one in installation.next_round(interval="30s"):
        assert one.campaign_id is not None
        late = (one.epoch_seconds - slots.phase(one.campaign_id) * 30) % 30
        assert late < 15


@pytest.mark.slow
def test_missed_slots_are_polled_once_under_the_ceiling(
    installation: Installation,
) -> None:
    installation.fill(interval="1s")
    installation.age(seconds=700)  # the slots of all of them passed while no daemon ran

    requests = installation.next_round(interval="1s", requests_per_minute=120)

    # 7 gaps of 0.5 s; a busy machine may delay the first request.
    assert requests[-1].monotonic_seconds - requests[0].monotonic_seconds > 2


def test_only_the_time_of_stale_values_is_restored(installation: Installation) -> None:
    before = installation.fill()
    hour_ago = installation.age(seconds=3700)
    installation.braze.set_fault(Fault(status=500))

    with installation.start() as daemon:
        after = daemon.wait_for_samples(SUCCESS, COUNT)

    assert len(before[FIGURES]) > COUNT
    assert not after[FIGURES]
    assert set(after[SUCCESS].values()) == {round(hour_ago, 3)}


def test_a_campaign_removed_meanwhile_is_not_restored(
    installation: Installation,
) -> None:
    """It leaves the file with the next save."""
    installation.fill()
    left = installation.braze.campaigns[:3]
    rest = [{"id": one.id, "name": f"New {one.name}"} for one in left]

    with installation.start(campaigns=rest) as daemon:
        scrape = daemon.wait_for_samples(SUCCESS, len(rest))
        daemon.stop()

    names = {dict(labels)["campaign"] for labels in scrape[FIGURES]}
    assert names == {one["name"] for one in rest}
    ids = {key[-1] for key in SqliteState(installation.state).load()}
    assert ids == {one["id"] for one in rest}


def test_sigkill_leaves_what_was_saved(installation: Installation) -> None:
    """The next start restores it, and may be killed, too."""
    with installation.start(interval="1s") as daemon:
        daemon.wait_for("braze_exporter_state_saves_total", 1, result="success")
        daemon.end(signal.SIGKILL)

    with installation.start() as daemon:
        daemon.wait_for_line("event=state.restored campaigns=8")
        daemon.wait_for_samples(SUCCESS, COUNT)
        daemon.end(signal.SIGKILL)

    assert len(SqliteState(installation.state).load()) == COUNT


def corrupt(path: Path) -> None:
    path.mkdir()
    (path / FILE_NAME).write_bytes(b"no database at all" * 999)


@pytest.mark.parametrize(
    ("prepare", "event"),
    [
        (lambda path: path.write_text("a file"), "state.unsaved"),
        (lambda path: path.symlink_to("/proc/nowhere"), "state.unsaved"),
        (corrupt, "state.unusable"),
    ],
    ids=["a file in its place", "nowhere", "no database"],
)
def test_an_unusable_state_directory_is_logged_once(
    installation: Installation, prepare: Callable[[Path], object], event: str
) -> None:
    prepare(installation.state)

    with installation.start() as daemon:
        daemon.wait_for_samples(SUCCESS, COUNT)
        assert daemon.is_ready()
        daemon.stop()

    (line,) = daemon.log(f"event={event}")
    assert "level=error" in line
