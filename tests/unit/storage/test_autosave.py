"""What is saved of a store, and what a fault of the disk costs."""

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from exporter.metrics.object_metrics import (
    ObjectLabels,
    PollStatus,
    render_status,
    render_values,
)
from exporter.metrics.self_metrics import SelfMetrics
from exporter.metrics.store import Entry, ObjectKey, Store
from exporter.model.errors import FailureReason, StateError
from exporter.series.kept import Kept
from exporter.storage.autosave import Autosave
from exporter.storage.sqlite_state import FILE_NAME, SqliteState

from tests.support.object_keys import key
from tests.support.snapshots import example_snapshot

SNAPSHOT = example_snapshot()


class RecordingState(SqliteState):
    """A state file that records what it is given; `is_full` makes saves fail."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.is_full = False
        self.saves: list[tuple[set[ObjectKey], set[ObjectKey]]] = []

    def save(
        self, changed: Mapping[ObjectKey, Kept], gone: Iterable[ObjectKey] = ()
    ) -> None:
        removed = set(gone)
        self.saves.append((set(changed), removed))
        if self.is_full:
            message = "the disk is full"
            raise StateError(message)
        super().save(changed, removed)


class Fixture:
    """An `Autosave` over a store and a directory."""

    def __init__(self, directory: Path) -> None:
        self.state = RecordingState(directory)
        self.store = Store()
        self.telemetry = SelfMetrics(version="0", served=tuple)
        self.autosave = Autosave(self.state, store=self.store, telemetry=self.telemetry)

    def put(self, *campaign_ids: str, **changes: Any) -> None:
        for campaign_id in campaign_ids:
            subject = ObjectLabels("shop", "campaign", campaign_id, campaign_id, {})
            status = PollStatus(True, None, 300, 100.0)._replace(**changes)
            values = render_values(subject, SNAPSHOT)
            self.store.put(
                Entry(subject, status, render_status(subject, status), SNAPSHOT, values)
            )

    def saved_ids(self) -> set[str]:
        return {key[-1] for key in self.state.load()}

    def count(self, name: str, result: str) -> float | None:
        return self.telemetry.registry.get_sample_value(
            f"braze_exporter_{name}_total", {"result": result}
        )


@pytest.fixture
def fixture(tmp_path: Path) -> Fixture:
    return Fixture(tmp_path)


def test_saved_values_are_restored(fixture: Fixture, tmp_path: Path) -> None:
    assert fixture.autosave.restore() == {}
    fixture.put("a")

    fixture.autosave.save()

    kept = Fixture(tmp_path).autosave.restore()
    assert kept == {key("a"): Kept(100.0, None, SNAPSHOT)}
    assert fixture.count("state_loads", "success") == 1
    assert fixture.count("state_saves", "success") == 1


def test_only_changed_campaigns_are_written(fixture: Fixture) -> None:
    fixture.put(*"abc")
    fixture.autosave.save()
    fixture.put("b", last_success_at=200.0)

    fixture.autosave.save()
    fixture.autosave.save()

    everything = set(map(key, "abc"))
    assert fixture.state.saves == [(everything, set()), ({key("b")}, set())]


def test_restored_values_are_not_written_again(
    fixture: Fixture, tmp_path: Path
) -> None:
    fixture.put("a")
    fixture.autosave.save()
    later = Fixture(tmp_path)
    later.autosave.restore()
    later.put("a")

    later.autosave.save()

    assert later.state.saves == []


def test_an_object_that_is_found_during_a_save_keeps_its_values(
    fixture: Fixture, tmp_path: Path
) -> None:
    """Discovery ends while the entries of the store are compared."""
    fixture.put(*"abc")
    fixture.autosave.save()
    later = Fixture(tmp_path)
    later.autosave.restore()
    later.put("a")
    complete: list[str] = []
    entries = later.store.entries

    def entries_before_more_are_found() -> tuple[Entry, ...]:
        known = entries()
        later.put("b", "c")
        complete.append("shop")
        return known

    later.store.entries = entries_before_more_are_found  # type: ignore[method-assign]  # one call
    later.autosave.save(complete.__contains__)

    assert later.saved_ids() == {"a", "b", "c"}


def test_the_failure_of_the_last_poll_is_saved(fixture: Fixture) -> None:
    """So that a restart does not make a failing campaign look healthy."""
    fixture.put("a", is_up=False, failure=FailureReason.TIMEOUT)

    fixture.autosave.save()

    assert fixture.state.load()[key("a")].failure is FailureReason.TIMEOUT


def test_campaigns_that_left_the_store_are_deleted(fixture: Fixture) -> None:
    fixture.put(*"ab")
    fixture.autosave.save()

    fixture.store.remove([key("a")])
    fixture.autosave.save()

    assert fixture.saved_ids() == {"b"}
    assert fixture.state.saves[-1] == (set(), {key("a")})


def test_campaigns_without_values_are_not_saved(fixture: Fixture) -> None:
    """What was saved before the values became stale stays."""
    fixture.put("a")
    fixture.autosave.save()
    fixture.put("b", last_success_at=None)
    fixture.store.update(key("a"), lambda entry: entry._replace(values=None))

    fixture.autosave.save()

    assert fixture.saved_ids() == {"a"}
    assert len(fixture.state.saves) == 1


def test_a_full_disk_is_logged_once_and_counted_each_time(
    fixture: Fixture, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="exporter")
    fixture.put("a")
    fixture.state.is_full = True

    for _ in range(3):
        fixture.autosave.save()
    fixture.state.is_full = False
    fixture.autosave.save()

    logged = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert logged == [("ERROR", "state.unsaved"), ("INFO", "state.saved_again")]
    assert fixture.count("state_saves", "failure") == 3
    assert fixture.count("state_saves", "success") == 1
    assert fixture.saved_ids() == {"a"}


def test_an_unusable_file_is_logged_and_replaced(
    fixture: Fixture, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / FILE_NAME
    file.write_bytes(b"something else" * 500)

    kept = fixture.autosave.restore()
    fixture.put("a")
    fixture.autosave.save()

    assert kept == {}
    (record,) = caplog.records
    assert record.getMessage() == "state.unusable"
    assert str(file) in record.__dict__["fields"]["error"]
    assert fixture.count("state_loads", "failure") == 1
    assert fixture.count("state_loads", "success") == 0
    assert fixture.saved_ids() == {"a"}
    assert file.with_suffix(".unusable").read_bytes().startswith(b"something else")


@pytest.mark.parametrize("is_created_by_discovery", [False, True])
def test_a_file_that_was_removed_is_written_whole(
    fixture: Fixture, tmp_path: Path, *, is_created_by_discovery: bool
) -> None:
    fixture.put(*"ab")
    fixture.autosave.save()
    (tmp_path / FILE_NAME).unlink()
    if is_created_by_discovery:
        fixture.state.save_catalogues({})

    fixture.autosave.save()

    assert fixture.saved_ids() == {"a", "b"}


def test_a_file_that_was_overwritten_is_replaced(
    fixture: Fixture, tmp_path: Path
) -> None:
    fixture.put(*"ab")
    fixture.autosave.save()
    (tmp_path / FILE_NAME).write_bytes(b"something else" * 500)
    fixture.put("a", last_success_at=200.0)

    fixture.autosave.save()
    fixture.autosave.save()

    assert fixture.saved_ids() == {"a", "b"}
    assert fixture.count("state_saves", "failure") == 1


def test_a_locked_file_is_not_renamed(fixture: Fixture, tmp_path: Path) -> None:
    fixture.put("a")
    fixture.autosave.save()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as other:
        other.execute("BEGIN EXCLUSIVE")
        kept = Fixture(tmp_path).autosave.restore()

    assert kept == {}
    assert set(Fixture(tmp_path).autosave.restore()) == {key("a")}


def test_values_of_campaigns_that_are_not_known_yet_are_not_removed(
    tmp_path: Path,
) -> None:
    """Discovery may find them later."""
    fixture = Fixture(tmp_path)
    fixture.put("a", "b")
    fixture.autosave.save()

    fixture.store.remove([key("b")])
    fixture.autosave.save(lambda workspace: workspace != "shop")
    assert set(fixture.state.load()) == {key("a"), key("b")}

    fixture.autosave.save(lambda _: True)
    assert set(fixture.state.load()) == {key("a")}
