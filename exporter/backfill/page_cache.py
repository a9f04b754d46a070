"""Pages of Braze on disk, so that a history that was interrupted goes on.

Each page is a file, whole or not there at all, whenever the process is killed. A
directory belongs to one run: it remembers when that began, and when it came to its end
with something missing. It knows nothing of what pages say, and holds no key.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path

from exporter.backfill.sampling import HistoryRequest

_BEGUN = "begun.json"
_OURS = re.compile(
    r"(?:begun|[0-9a-f]{32})\.json(?:\.new)?"
    r"|state\.(?:sqlite3(?:-journal)?|unusable)"
    r"|discovery\.(?:json|new|unusable)"
)
_LONGEST_RUN_SECONDS = 7 * 86400.0
"""What was read longer ago is asked for again: Braze restates past days."""

_REPAIR_SECONDS = 12 * 3600.0
"""So long is asked once more for what was missing alone. Tomorrow's run counts its days
anew, or a campaign that is refused for good would hold up all others."""


class PageCache:
    """A directory of pages. OSError: the disk does not do what it should."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes out meanwhile. OSError: one of them is at work there."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory = os.open(self._directory, os.O_RDONLY)
        try:
            self._lock(directory)
            yield
        finally:
            os.close(directory)

    def _lock(self, directory: int) -> None:
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            why = "another run with this output is at work"
            raise OSError(errno.EBUSY, why, str(self._directory)) from error
        except OSError:
            return  # this disk knows no locks

    def begin(self, *, now: float) -> float:
        """Return when the run began that is to go on, or `now` of a new one."""
        begun_at, asked_at = self._begun()
        is_due = asked_at is None or 0 <= now - asked_at < _REPAIR_SECONDS
        if (
            begun_at is not None
            and is_due
            and 0 <= now - begun_at < _LONGEST_RUN_SECONDS
        ):
            return begun_at
        self._clear()
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._write(_BEGUN, {"begun_at": now})
        return now

    def put(
        self, source: str, campaign_id: str, page: HistoryRequest, document: object
    ) -> None:
        """Keep a page; `source` tells whose campaign it is."""
        self._write(_name(source, campaign_id, page), document)

    def has(self, source: str, campaign_id: str, page: HistoryRequest) -> bool:
        """Tell whether the page is kept."""
        return (self._directory / _name(source, campaign_id, page)).is_file()

    def get(self, source: str, campaign_id: str, page: HistoryRequest) -> object:
        """Return a page that is kept. ValueError: somebody changed it."""
        document: object = self._read(_name(source, campaign_id, page))
        return document

    def forget(
        self, source: str, campaign_id: str, pages: Iterable[HistoryRequest]
    ) -> None:
        """Let these pages of a campaign be asked for again."""
        for page in pages:
            with suppress(FileNotFoundError):
                (self._directory / _name(source, campaign_id, page)).unlink()

    def note_asked(self, *, now: float) -> None:
        """Remember that all was asked for, and not all was given."""
        begun_at, _ = self._begun()
        self._write(_BEGUN, {"begun_at": begun_at, "asked_at": now})

    def remove(self) -> None:
        """Forget all of it; what is not ours stays."""
        self._clear()
        with suppress(OSError):  # it is not there, or there is more in it
            self._directory.rmdir()

    def _clear(self) -> None:
        for file in self._directory.glob("*.*"):
            if _OURS.fullmatch(file.name):
                file.unlink()

    def _begun(self) -> tuple[float | None, float | None]:
        """Return when the run began and when it had asked for all, if it did."""
        try:
            document = self._read(_BEGUN)
        except (OSError, ValueError):
            return None, None
        found = document if isinstance(document, dict) else {}
        begun_at, asked_at = found.get("begun_at"), found.get("asked_at")
        return (
            begun_at if isinstance(begun_at, float) else None,
            asked_at if isinstance(asked_at, float) else None,
        )

    def _read(self, name: str) -> object:
        document: object = json.loads((self._directory / name).read_bytes())
        return document

    def _write(self, name: str, document: object) -> None:
        written = self._directory / f"{name}.new"
        with written.open("w", encoding="ascii") as file:
            json.dump(document, file, separators=(",", ":"))
            file.flush()
            os.fsync(file.fileno())
        written.replace(self._directory / name)


def _name(source: str, campaign_id: str, page: HistoryRequest) -> str:
    key = json.dumps([source, campaign_id, page.ending_at, page.length])
    return f"{blake2b(key.encode(), digest_size=16).hexdigest()}.json"
