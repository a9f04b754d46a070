"""Catalogues in the state file: what is saved is loaded, and faults are reported."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from exporter.discovery import catalogue_json
from exporter.discovery.catalogue_cache import LEGACY_FILE_NAME, CatalogueCache
from exporter.discovery.documents import Details, Listed
from exporter.discovery.rules import CampaignCatalogue
from exporter.model.errors import StateError
from exporter.series.kept import Kept
from exporter.storage.sqlite_state import FILE_NAME, SqliteState

from tests.support.snapshots import example_snapshot

FIXTURES = Path(__file__).parents[2] / "fixtures/state"
NOW = 1_750_000_000.0
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


def cache_of(directory: Path) -> CatalogueCache:
    """Return the cache of a directory, as a process that starts has it."""
    return CatalogueCache(SqliteState(directory))


def test_saved_catalogues_are_loaded(tmp_path: Path) -> None:
    """All of the last save, none of those before."""
    cache = cache_of(tmp_path / "new" / "directory")

    cache.save({("other", "x", "k"): CampaignCatalogue()})
    cache.save({ACCOUNT: CATALOGUE, EMPTY: CampaignCatalogue()})

    later = cache_of(tmp_path / "new" / "directory")
    assert later.load(now=NOW) == {ACCOUNT: CATALOGUE, EMPTY: CampaignCatalogue()}


def test_a_first_start_loads_nothing(tmp_path: Path) -> None:
    """With or without the directory; there is nothing to quarantine."""
    for cache in (cache_of(tmp_path), cache_of(tmp_path / "none")):
        assert cache.load(now=NOW) == {}
        cache.quarantine()


def test_times_in_the_future_become_now(tmp_path: Path) -> None:
    """The clock was set back since; waiting until then would take too long."""
    cache = cache_of(tmp_path)
    cache.save({ACCOUNT: CATALOGUE})

    loaded = cache.load(now=NOW - 100)[ACCOUNT]

    assert loaded.listed_at == NOW - 100
    assert loaded.details["a"].read_at == NOW - 100
    assert loaded.details["a"].last_sent_at == 5.0
    assert loaded.campaigns["b"].missing_since == NOW - 100


WHOLE: dict[str, object] = {"listed_at": 1.0, "campaigns": [], "details": {}}
DETAILS = {"last_edited": "", "read_at": 1.0, "is_known": True, "is_draft": False}
DAMAGED: list[object] = [
    3,
    [],
    {},
    WHOLE | {"listed_at": "now"},
    WHOLE | {"listed_at": True},
    WHOLE | {"listed_at": float("inf")},
    WHOLE | {"listed_at": 10**400},
    WHOLE | {"campaigns": [{"id": 3}]},
    WHOLE | {"campaigns": 3},
    WHOLE | {"details": {"a": DETAILS}},
    WHOLE | {"details": []},
]


@pytest.mark.parametrize(
    "document", ["", "no catalogue", "[" * 100_000, *map(json.dumps, DAMAGED)]
)
def test_a_damaged_document_is_an_error(document: str) -> None:
    """For any text at all."""
    with pytest.raises(ValueError, match="not a catalogue"):
        catalogue_json.unpack(document, now=NOW)


def test_damaged_documents_are_deleted_by_the_quarantine(tmp_path: Path) -> None:
    """The values in the same file stay."""
    state = SqliteState(tmp_path)
    values = {("shop", "c1"): Kept(1.0, None, example_snapshot())}
    state.save(values)
    state.save_catalogues({ACCOUNT: "[]"})
    cache = CatalogueCache(state)

    with pytest.raises(StateError, match="cannot be read: "):
        cache.load(now=NOW)
    cache.quarantine()

    assert cache.load(now=NOW) == {}
    assert state.load() == values


def test_a_damaged_state_file_is_renamed_by_the_quarantine(tmp_path: Path) -> None:
    """And the next save creates a new one."""
    (tmp_path / FILE_NAME).write_bytes(b"something else" * 500)
    cache = cache_of(tmp_path)

    with pytest.raises(StateError, match=FILE_NAME):
        cache.load(now=NOW)
    cache.quarantine()
    cache.save({ACCOUNT: CATALOGUE})

    assert cache.load(now=NOW) == {ACCOUNT: CATALOGUE}
    assert (tmp_path / FILE_NAME).with_suffix(".unusable").exists()


def test_a_locked_state_file_is_not_renamed(tmp_path: Path) -> None:
    """The next start loads it."""
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
        shutil.copy(FIXTURES / name, tmp_path)
    return tmp_path


def test_discovery_json_is_imported_once_and_removed(old_directory: Path) -> None:
    """The values beside it stay."""
    written = json.loads((old_directory / LEGACY_FILE_NAME).read_text())

    first = cache_of(old_directory).load(now=NOW * 2)
    second = cache_of(old_directory).load(now=NOW * 2)

    (account,) = first
    assert account == (
        "production",
        "http://127.0.0.1:10499",
        "environment variable BRAZE_API_KEY",
    )
    assert first == second
    document = json.loads(catalogue_json.pack(first[account]))
    assert document == {name: written["workspaces"][0][name] for name in document}
    assert len(document["details"]) == len(document["campaigns"]) == 3
    assert [path.name for path in old_directory.iterdir()] == [FILE_NAME]
    assert len(SqliteState(old_directory).load()) == 3


def test_discovery_json_is_not_imported_over_newer_catalogues(
    old_directory: Path,
) -> None:
    """It is removed all the same."""
    SqliteState(old_directory).save_catalogues({EMPTY: json.dumps(WHOLE)})

    assert set(cache_of(old_directory).load(now=NOW)) == {EMPTY}
    assert not (old_directory / LEGACY_FILE_NAME).exists()


def test_discovery_json_stays_until_the_table_has_it(old_directory: Path) -> None:
    """While the state file cannot be written to, catalogues are loaded from it."""
    (old_directory / FILE_NAME).unlink()
    (old_directory / f"{FILE_NAME}-journal").mkdir()  # makes SQLite's writes fail

    assert len(cache_of(old_directory).load(now=NOW * 2)) == 1
    assert (old_directory / LEGACY_FILE_NAME).exists()


def legacy(*workspaces: object, version: object = 1) -> bytes:
    """Return the content of a discovery.json."""
    return json.dumps({"version": version, "workspaces": workspaces}).encode()


NAMED: dict[str, object] = {"name": "shop", "endpoint": "x", "key_source": "k", **WHOLE}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        b"3",
        b"{}",
        b'{"version": 1, "workspaces": 3}',
        legacy(version=2),
        legacy({}),
        legacy(NAMED | {"name": 3}),
        *(legacy(NAMED | one) for one in DAMAGED if isinstance(one, dict) and one),
    ],
)
def test_a_damaged_discovery_json_is_renamed(content: bytes, tmp_path: Path) -> None:
    """One error names the file; the quarantine renames it."""
    file = tmp_path / LEGACY_FILE_NAME
    file.write_bytes(content)
    cache = cache_of(tmp_path)

    with pytest.raises(StateError, match=rf"{LEGACY_FILE_NAME} cannot be read: "):
        cache.load(now=NOW)
    cache.quarantine()

    assert cache.load(now=NOW) == {}
    assert [path.name for path in tmp_path.iterdir()] == ["discovery.unusable"]
    assert cache_of(tmp_path).load(now=NOW) == {}
