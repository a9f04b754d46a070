"""What discovery knew, on disk: what is saved is read back, and faults are told."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import pytest
from exporter.discovery.documents import Details, Listed
from exporter.discovery.rules import CampaignCatalogue
from exporter.model.errors import StateError
from exporter.storage.catalogue_file import FILE_NAME, CatalogueFile, pack, unpack

NOW = 1_750_000_000.0
ACCOUNT = ("shop", "https://rest.iad-01.braze.com", "file key")
KNOWN = CampaignCatalogue(
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


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    """All of it, by a file that its owner alone can read, and saved over."""
    file = CatalogueFile(tmp_path / "new" / "directory")

    file.save({("other", "x", "k"): CampaignCatalogue()})
    file.save({ACCOUNT: KNOWN, ("empty", "x", "k"): CampaignCatalogue()})

    assert file.load(now=NOW) == {
        ACCOUNT: KNOWN,
        ("empty", "x", "k"): CampaignCatalogue(),
    }
    (path,) = (tmp_path / "new" / "directory").iterdir()
    assert path.name == FILE_NAME
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_is_packed_is_unpacked() -> None:
    """For other exporters of the same account."""
    assert unpack(pack(ACCOUNT, KNOWN), ACCOUNT, now=NOW) == KNOWN


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no catalogue",
        pack(ACCOUNT, KNOWN)[:-9],
        pack(("other", "x", "k"), KNOWN),
        zlib.compress(b"[]"),
        zlib.compress(b'{"version": 1}'),
        zlib.compress(b"[" * 100_000),
    ],
)
def test_anything_else_is_no_catalogue(content: bytes) -> None:
    """However odd it is, and of whatever account."""
    with pytest.raises(ValueError, match="not a catalogue"):
        unpack(content, ACCOUNT, now=NOW)


def test_without_a_file_nothing_is_known(tmp_path: Path) -> None:
    """Nor without its directory."""
    assert CatalogueFile(tmp_path).load(now=NOW) == {}
    assert CatalogueFile(tmp_path / "none").load(now=NOW) == {}


def test_instants_to_come_are_now(tmp_path: Path) -> None:
    """The clock was set back since: the list must not wait until then."""
    file = CatalogueFile(tmp_path)
    file.save({ACCOUNT: KNOWN})

    known = file.load(now=NOW - 100)[ACCOUNT]

    assert known.listed_at == NOW - 100
    assert known.details["a"].read_at == NOW - 100
    assert known.details["a"].last_sent_at == 5.0
    assert known.campaigns["b"].missing_since == NOW - 100


def damaged() -> list[bytes]:
    """Return files that are no use."""
    whole = {
        "name": "shop",
        "endpoint": "x",
        "key_source": "k",
        "listed_at": 1.0,
        "campaigns": [],
        "details": {},
    }
    details = {"last_edited": "", "read_at": 1.0, "is_known": True, "is_draft": False}
    changes: list[dict[str, object]] = [
        {"listed_at": "now"},
        {"listed_at": True},
        {"listed_at": float("inf")},
        {"listed_at": 10**400},
        {"name": 3},
        {"campaigns": [{"id": 3}]},
        {"campaigns": 3},
        {"details": {"a": details}},
        {"details": []},
    ]
    wrong: list[object] = [
        3,
        {},
        {"version": 2, "workspaces": []},
        {"version": 1, "workspaces": 3},
        {"version": 1, "workspaces": [{}]},
        *({"version": 1, "workspaces": [whole | one]} for one in changes),
    ]
    return [b"", b"\xff", b"[" * 100_000, *(json.dumps(one).encode() for one in wrong)]


@pytest.mark.parametrize("content", damaged(), ids=range(len(damaged())))
def test_a_damaged_file_is_told(content: bytes, tmp_path: Path) -> None:
    """Whatever is in it, one error names the file; set aside, it is in no one's way."""
    file = CatalogueFile(tmp_path)
    (tmp_path / FILE_NAME).write_bytes(content)

    with pytest.raises(StateError, match=rf"{FILE_NAME} cannot be read: "):
        file.load(now=NOW)

    file.set_aside()
    assert file.load(now=NOW) == {}
    assert [path.name for path in tmp_path.iterdir()] == ["discovery.unusable"]


def test_a_directory_in_its_place_is_told(tmp_path: Path) -> None:
    """When it is read and when it is written; what is set aside in vain stays."""
    (tmp_path / FILE_NAME).mkdir()
    file = CatalogueFile(tmp_path)

    with pytest.raises(StateError, match="cannot be read: "):
        file.load(now=NOW)
    with pytest.raises(StateError, match="cannot be written: "):
        file.save({})
    CatalogueFile(tmp_path / "none").set_aside()


def test_no_link_is_followed_when_it_is_written(tmp_path: Path) -> None:
    """Somebody else could have put one there."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("kept")
    (tmp_path / "discovery.new").symlink_to(elsewhere)

    CatalogueFile(tmp_path).save({ACCOUNT: KNOWN})

    assert elsewhere.read_text() == "kept"
    assert CatalogueFile(tmp_path).load(now=NOW) == {ACCOUNT: KNOWN}
