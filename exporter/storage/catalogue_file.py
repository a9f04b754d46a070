"""What discovery knew, kept on disk over a restart: one JSON file; or told to others.

It is written whole and swapped in, so that a crash leaves the old or the new one. Every
fault of file or disk is one `StateError`. It holds names and tags, never a key.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from exporter.discovery.documents import Details, Listed, key
from exporter.discovery.rules import CampaignCatalogue
from exporter.model.errors import StateError
from exporter.system.read_file import MIB, read_regular

FILE_NAME = "discovery.json"

_VERSION = 1
_LONGEST_BYTES = 256 * MIB
_FAULTS = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,
    RecursionError,
)
Account = tuple[str, str, str]
"""Name, endpoint and source of the key: what was known of another is no use."""


def pack(account: Account, known: CampaignCatalogue) -> bytes:
    """Return what is known as bytes, for other exporters of the same account."""
    text = json.dumps({"version": _VERSION, **_written(account, known)})
    return zlib.compress(text.encode(), 1)


def unpack(content: bytes, account: Account, *, now: float) -> CampaignCatalogue:
    """Return what was packed; ValueError: it is none, or of another account."""
    try:
        inflate = zlib.decompressobj()
        kept = json.loads(inflate.decompress(content, _LONGEST_BYTES))
        told_account, known = _read(kept, now)
        if kept["version"] != _VERSION or told_account != account:
            message = "it is of another version or account"
            raise ValueError(message)
    except (zlib.error, *_FAULTS) as error:
        message = "not a catalogue as this version writes it"
        raise ValueError(message) from error
    return known


class CatalogueFile:
    """The file below a directory; made when it is first saved to."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE_NAME

    def load(self, *, now: float) -> dict[Account, CampaignCatalogue]:
        """Return what is kept, nothing if there is no file. StateError: unusable."""
        try:
            content = json.loads(read_regular(str(self._path), at_most=_LONGEST_BYTES))
            if content["version"] != _VERSION:
                message = f"its format is not {_VERSION}"
                raise ValueError(message)
            return dict(_read(kept, now) for kept in content["workspaces"])
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except _FAULTS as error:
            raise self._unusable("read", error) from error

    def save(self, known: Mapping[Account, CampaignCatalogue]) -> None:
        """Keep this in the place of what was kept, or, on StateError, do not."""
        content = {
            "version": _VERSION,
            "workspaces": [_written(*item) for item in known.items()],
        }
        new = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                new.unlink()
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
            with os.fdopen(os.open(new, flags, 0o600), "w") as file:
                json.dump(content, file)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
        except (OSError, ValueError) as error:
            raise self._unusable("written", error) from error

    def set_aside(self) -> None:
        """Rename a file that cannot be used, so that the next save makes a new one."""
        with suppress(OSError):
            self._path.rename(self._path.with_suffix(".unusable"))

    def _unusable(self, what: str, error: Exception) -> StateError:
        told = error if isinstance(error, OSError | ValueError) else "it is damaged"
        return StateError(f"the state file {self._path} cannot be {what}: {told}")


def _written(account: Account, known: CampaignCatalogue) -> dict[str, object]:
    name, endpoint, key_source = account
    return {
        "name": name,
        "endpoint": endpoint,
        "key_source": key_source,
        "listed_at": known.listed_at,
        "campaigns": [asdict(one) for one in known.campaigns.values()],
        "details": {id_: asdict(one) for id_, one in known.details.items()},
    }


def _read(kept: dict[str, Any], now: float) -> tuple[Account, CampaignCatalogue]:
    listed_at = kept["listed_at"]
    campaigns = [_listed(one, now) for one in kept["campaigns"]]
    known = CampaignCatalogue(
        campaigns={key(one.id): one for one in campaigns},
        details={
            _text(id_): _details(one, now) for id_, one in kept["details"].items()
        },
        listed_at=None if listed_at is None else _past(listed_at, now),
    )
    name, endpoint, key_source = (
        _text(kept[each]) for each in ("name", "endpoint", "key_source")
    )
    return (name, endpoint, key_source), known


def _listed(kept: dict[str, Any], now: float) -> Listed:
    missing_since = kept["missing_since"]
    return Listed(
        id=_text(kept["id"]),
        name=_text(kept["name"]),
        last_edited=_text(kept["last_edited"]),
        edited_at=_instant(kept["edited_at"]),
        tags=tuple(map(_text, kept["tags"])),
        missing_since=None if missing_since is None else _past(missing_since, now),
    )


def _details(kept: dict[str, Any], now: float) -> Details:
    last_sent_at = kept["last_sent_at"]
    return Details(
        last_edited=_text(kept["last_edited"]),
        read_at=_past(kept["read_at"], now),
        is_known=kept["is_known"] is True,
        is_draft=kept["is_draft"] is True,
        is_archived=kept["is_archived"] is True,
        last_sent_at=None if last_sent_at is None else _instant(last_sent_at),
        channels=tuple(map(_text, kept["channels"])),
    )


def _past(value: object, now: float) -> float:
    """Return an instant; one to come was told by a clock that was set since."""
    return min(_instant(value), now)


def _instant(value: object) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):  # type: ignore[arg-type]  # it is a number
        message = "an instant in it is no number"
        raise ValueError(message)
    return float(value)  # type: ignore[arg-type]  # it is a number


def _text(value: object) -> str:
    if not isinstance(value, str):
        message = "a text in it is none"
        raise ValueError(message)
    return value
