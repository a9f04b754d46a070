"""What the keeper saves of a store, and what a fault of the disk costs."""

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from exporter.metrics.campaign_metrics import (
    ObjectLabels,
    PollStatus,
    render_status,
    render_values,
)
from exporter.metrics.self_metrics import SelfMetrics
from exporter.metrics.store import Entry, Kept, ObjectKey, Store
from exporter.model.errors import FailureReason, StateError
from exporter.storage.autosave import Autosave
from exporter.storage.sqlite_state import FILE_NAME, SqliteState

from tests.unit.series.test_snapshot_json import example

SNAPSHOT = example()


class Recorder(SqliteState):
    """A state that notes what it is given, and fails while it is told to."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.is_full = False
        self.saves: list[tuple[set[ObjectKey], set[ObjectKey]]] = []

    def save(
        self, changed: Mapping[ObjectKey, Kept], gone: Iterable[ObjectKey] = ()
    ) -> None:
        """Note, then save or fail."""
        leavers = set(gone)
        self.saves.append((set(changed), leavers))
        if self.is_full:
            message = "the disk is full"
            raise StateError(message)
        super().save(changed, leavers)


class Room:
    """A keeper over a store and a directory."""

    def __init__(self, directory: Path) -> None:
        self.state = Recorder(directory)
        self.store = Store()
        self.telemetry = SelfMetrics(version="0", served=tuple)
        self.keeper = Autosave(self.state, store=self.store, telemetry=self.telemetry)

    def read(self, campaign_id: str, *, at: float = 100.0) -> None:
        """Let a campaign have been read."""
        subject = ObjectLabels("shop", campaign_id, campaign_id, {})
        status = PollStatus(
            is_up=True, failure=None, interval_seconds=300, last_success_at=at
        )
        self.store.put(
            Entry(
                subject,
                status,
                render_status(subject, status),
                last_read=SNAPSHOT,
                values=render_values(subject, SNAPSHOT),
            )
        )

    def count(self, name: str, result: str) -> float | None:
        """Return a counter."""
        return self.telemetry.registry.get_sample_value(
            f"braze_exporter_{name}_total", {"result": result}
        )


@pytest.fixture
def room(tmp_path: Path) -> Room:
    """Return a room whose directory is empty."""
    return Room(tmp_path)


def test_what_was_read_is_kept(room: Room, tmp_path: Path) -> None:
    """The next keeper restores it."""
    room.read("a")

    room.keeper.save()

    kept = Room(tmp_path).keeper.restore()
    assert kept == {("shop", "a"): Kept(100.0, None, SNAPSHOT)}
    assert room.count("state_saves", "success") == 1


def test_only_what_changed_is_written(room: Room) -> None:
    """And nothing at all if nothing did."""
    for campaign_id in "abc":
        room.read(campaign_id)
    room.keeper.save()
    room.read("b", at=200.0)

    room.keeper.save()
    room.keeper.save()

    everyone = {("shop", campaign_id) for campaign_id in "abc"}
    assert room.state.saves == [(everyone, set()), ({("shop", "b")}, set())]


def test_what_was_restored_is_not_written_again(room: Room, tmp_path: Path) -> None:
    """A restart of ten thousand campaigns writes none of them."""
    room.read("a")
    room.keeper.save()
    later = Room(tmp_path)
    later.keeper.restore()
    later.read("a")

    later.keeper.save()

    assert later.state.saves == []


def test_a_failure_is_kept_beside_the_values(room: Room) -> None:
    """So that a campaign is not up again by a restart."""
    room.read("a")

    def fail(entry: Entry) -> Entry:
        status = entry.status._replace(is_up=False, failure=FailureReason.TIMEOUT)
        return entry._replace(status=status)

    room.store.update(("shop", "a"), fail)
    room.keeper.save()

    assert room.state.load()["shop", "a"].failure is FailureReason.TIMEOUT


def test_campaigns_that_left_are_forgotten(room: Room) -> None:
    """Those that were restored and are configured no more as well."""
    for campaign_id in "ab":
        room.read(campaign_id)
    room.keeper.save()

    room.store.remove([("shop", "a")])
    room.keeper.save()

    assert set(room.state.load()) == {("shop", "b")}
    assert room.state.saves[-1] == (set(), {("shop", "a")})


def test_stale_and_unread_campaigns_are_not_saved(room: Room) -> None:
    """What has no values has nothing to keep; what was kept of it stays."""
    room.read("a")
    room.keeper.save()
    for campaign_id in "ab":
        subject = ObjectLabels("shop", campaign_id, campaign_id, {})
        status = PollStatus(None, None, 300, None)
        room.store.put(Entry(subject, status, render_status(subject, status)))

    room.keeper.save()

    assert set(room.state.load()) == {("shop", "a")}
    assert len(room.state.saves) == 1


def test_a_full_disk_is_told_once_counted_and_healed(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    """What could not be written is, as soon as there is room again."""
    caplog.set_level("INFO", logger="exporter")
    room.read("a")
    room.state.is_full = True

    for _ in range(3):
        room.keeper.save()
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    room.state.is_full = False
    room.keeper.save()

    assert told == [("ERROR", "state.unsaved")]
    assert caplog.records[-1].getMessage() == "state.saved_again"
    assert room.count("state_saves", "failure") == 3
    assert room.count("state_saves", "success") == 1
    assert set(room.state.load()) == {("shop", "a")}


def test_a_file_that_cannot_be_used_is_told_and_replaced(
    room: Room, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One line, a counter, and the values of now in a new file; the old one stays."""
    file = tmp_path / FILE_NAME
    file.write_bytes(b"something else" * 500)

    kept = room.keeper.restore()
    room.read("a")
    room.keeper.save()

    assert kept == {}
    (record,) = caplog.records
    assert record.getMessage() == "state.unusable"
    assert str(file) in record.__dict__["facts"]["error"]
    assert room.count("state_loads", "failure") == 1
    assert room.count("state_loads", "success") == 0
    assert set(room.state.load()) == {("shop", "a")}
    assert file.with_suffix(".unusable").read_bytes().startswith(b"something else")


def test_a_first_start_is_no_fault(room: Room) -> None:
    """There is nothing to restore, and that is a success."""
    assert room.keeper.restore() == {}
    assert room.count("state_loads", "success") == 1


def test_a_file_that_was_removed_is_written_whole_again(
    room: Room, tmp_path: Path
) -> None:
    """Not only what changed since: the rest was in it, too."""
    for campaign_id in "ab":
        room.read(campaign_id)
    room.keeper.save()
    (tmp_path / FILE_NAME).unlink()

    room.keeper.save()

    assert set(room.state.load()) == {("shop", "a"), ("shop", "b")}


def test_a_file_that_was_overwritten_is_replaced(room: Room, tmp_path: Path) -> None:
    """It is set aside by the save that meets it, and the next one makes a new file."""
    for campaign_id in "ab":
        room.read(campaign_id)
    room.keeper.save()
    (tmp_path / FILE_NAME).write_bytes(b"something else" * 500)
    room.read("a", at=200.0)

    room.keeper.save()
    room.keeper.save()

    assert set(room.state.load()) == {("shop", "a"), ("shop", "b")}
    assert room.count("state_saves", "failure") == 1


def test_a_file_that_somebody_reads_is_not_set_aside(
    room: Room, tmp_path: Path
) -> None:
    """As a backup does: we begin without it, and it stays for the next start."""
    room.read("a")
    room.keeper.save()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as other:
        other.execute("BEGIN EXCLUSIVE")
        kept = Room(tmp_path).keeper.restore()

    assert kept == {}
    assert set(Room(tmp_path).keeper.restore()) == {("shop", "a")}


def test_a_place_where_nothing_can_be_kept_is_told_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """At the start, when somebody looks, and not first when there are values."""
    (tmp_path / "file").write_text("no directory")

    kept = Room(tmp_path / "file").keeper.restore()

    assert kept == {}
    (record,) = caplog.records
    assert record.getMessage() == "state.unusable"
