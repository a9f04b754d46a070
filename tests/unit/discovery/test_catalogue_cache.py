"""Catalogues in the state file: what is saved is loaded, and faults are reported."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from exporter.discovery import catalogue_json
from exporter.discovery.catalogue import CampaignCatalogue
from exporter.discovery.catalogue_cache import LEGACY_FILE_NAME, CatalogueCache
from exporter.discovery.documents import Details, Listed
from exporter.model.errors import StateError
from exporter.series.kept import Kept
from exporter.storage.sqlite_state import FILE_NAME, SqliteState

from tests.paths import FIXTURES
from tests.support.fake_clock import NOW
from tests.support.object_keys import key
from tests.support.snapshots import example_snapshot

ACCOUNT = ("shop", "https://rest.iad-01.braze.com", "file key")
EMPTY = ("empty", "x", "k")
CATALOGUE = CampaignCatalogue(
    campaigns={
        "a": Listed("A", 'Spring "🌷"\n\ud800', "then", 7.5, ("promo", "crm")),
        "b": Listed("b", "", missing_since=NOW - 5),
    },
    details={
        "a": Details(
            "then",
            NOW - 60,
            is_draft=True,
            is_archived=True,
            last_sent_at=5.0,
            channels=("sms",),
        ),
        "b": Details("", NOW, is_known=False),
    },
    listed_at=NOW - 3,
)
WHOLE: dict[str, object] = {"listed_at": 1.0, "campaigns": [], "details": {}}


def cache_of(directory: Path) -> CatalogueCache:
    """Return the cache of a directory, as a process that starts has it."""
    return CatalogueCache(SqliteState(directory))


def test_the_last_saved_catalogues_are_loaded(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "directory"
    cache = cache_of(directory)
    assert cache.load(now=NOW) == {}
    cache.quarantine()

    cache.save({("other", "x", "k"): CampaignCatalogue()})
    cache.save({ACCOUNT: CATALOGUE, EMPTY: CampaignCatalogue()})

    loaded = cache_of(directory).load(now=NOW)
    assert loaded == {ACCOUNT: CATALOGUE, EMPTY: CampaignCatalogue()}


def test_times_in_the_future_become_now(tmp_path: Path) -> None:
    """The clock was set back since; waiting until then would take too long."""
    cache = cache_of(tmp_path)
    cache.save({ACCOUNT: CATALOGUE})

    loaded = cache.load(now=NOW - 100)[ACCOUNT]

    assert loaded.listed_at == NOW - 100
    assert loaded.details["a"].read_at == NOW - 100
    assert loaded.details["a"].last_sent_at == 5.0
    assert loaded.campaigns["b"].missing_since == NOW - 100


DAMAGED: list[object] = [
    3,
    {},
    WHOLE | {"listed_at": "now"},
    WHOLE | {"listed_at": 10**400},
    WHOLE | {"campaigns": [{"id": 3}]},
    WHOLE | {"campaigns": 3},
    WHOLE | {"details": {"a": {"last_edited": "", "read_at": 1.0}}},
    WHOLE | {"details": []},
]


@pytest.mark.parametrize(
    "document", ["", "no catalogue", "[" * 100_000, *map(json.dumps, DAMAGED)]
)
def test_a_damaged_document_is_an_error(document: str) -> None:
    with pytest.raises(ValueError, match="not a catalogue"):
        catalogue_json.unpack(document, now=NOW)


def test_a_damaged_document_costs_only_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and replaced by the next save. The values stay."""
    state = SqliteState(tmp_path)
    values = {key("c1"): Kept(1.0, None, example_snapshot())}
    state.save(values)
    good = catalogue_json.pack(CATALOGUE)
    state.save_catalogues({EMPTY: "[]", ACCOUNT: good})

    loaded = CatalogueCache(state).load(now=NOW)

    assert loaded == {ACCOUNT: CATALOGUE}
    (record,) = caplog.records
    assert record.getMessage() == "state.skipped"
    assert record.__dict__["fields"]["workspace"] == "empty"
    assert state.load() == values


def test_instants_are_saved_in_wall_time(tmp_path: Path) -> None:
    """The clock was set by an hour since the start; sends are in Braze's time."""
    cache_of(tmp_path).save({ACCOUNT: CATALOGUE}, wall_offset=3600)

    loaded = cache_of(tmp_path).load(now=NOW + 3600)[ACCOUNT]

    assert loaded == CATALOGUE.shifted(3600)
    assert loaded.listed_at == NOW - 3 + 3600
    assert loaded.campaigns["b"].missing_since == NOW - 5 + 3600
    assert loaded.details["a"].read_at == NOW - 60 + 3600
    assert loaded.details["a"].last_sent_at == 5.0


def test_the_quarantine_leaves_a_locked_state_file(tmp_path: Path) -> None:
    cache = cache_of(tmp_path)
    cache.save({ACCOUNT: CATALOGUE})
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StateError):
            cache.load(now=NOW)
        cache.quarantine()

    assert cache.load(now=NOW) == {ACCOUNT: CATALOGUE}


@pytest.fixture
def old_directory(tmp_path: Path) -> Path:
    """Return a directory with the two files of the code before the table."""
    for name in (FILE_NAME, LEGACY_FILE_NAME):
        shutil.copy(FIXTURES / "state" / name, tmp_path)
    return tmp_path


def test_discovery_json_is_imported_once_and_removed(old_directory: Path) -> None:
    written = json.loads((old_directory / LEGACY_FILE_NAME).read_text())

    first = cache_of(old_directory).load(now=NOW * 2)
    second = cache_of(old_directory).load(now=NOW * 2)

    (account,) = first
    assert account[:2] == ("production", "http://127.0.0.1:10499")
    assert first == second
    document = json.loads(catalogue_json.pack(first[account]))
    assert document.pop("is_provisional") is False
    assert document == {name: written["workspaces"][0][name] for name in document}
    assert len(document["details"]) == len(document["campaigns"]) == 3
    assert [path.name for path in old_directory.iterdir()] == [FILE_NAME]
    assert len(SqliteState(old_directory).load()) == 3


def test_discovery_json_is_not_imported_over_newer_catalogues(
    old_directory: Path,
) -> None:
    cache = cache_of(old_directory)
    SqliteState(old_directory).save_catalogues({EMPTY: json.dumps(WHOLE)})

    loaded = cache.load(now=NOW)
    cache.save(loaded)

    assert set(loaded) == {EMPTY}
    assert not (old_directory / LEGACY_FILE_NAME).exists()


def test_discovery_json_stays_until_the_table_has_it(old_directory: Path) -> None:
    (old_directory / FILE_NAME).unlink()
    (old_directory / f"{FILE_NAME}-journal").mkdir()  # makes SQLite's writes fail

    assert len(cache_of(old_directory).load(now=NOW * 2)) == 1
    assert (old_directory / LEGACY_FILE_NAME).exists()


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"[" * 100_000, b"3", b"{}", b'{"workspaces": [{}]}']
)
def test_a_damaged_discovery_json_is_renamed(content: bytes, tmp_path: Path) -> None:
    (tmp_path / LEGACY_FILE_NAME).write_bytes(content)
    cache = cache_of(tmp_path)

    with pytest.raises(StateError, match=rf"{LEGACY_FILE_NAME} cannot be read: "):
        cache.load(now=NOW)
    cache.quarantine()

    assert cache.load(now=NOW) == {}
    assert [path.name for path in tmp_path.iterdir()] == ["discovery.unusable"]
