"""Downloaded pages on disk, so that an interrupted backfill can resume.

Each page is one file, written atomically. A directory belongs to one run and stores
when that run started, and when it ended with pages missing.
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
from typing import NamedTuple

from exporter.backfill.sampling import HistoryRequest
from exporter.model.json_values import instant, mapping

_RUN_FILE = "begun.json"
_OWN_FILES = re.compile(
    r"(?:begun|[0-9a-f]{32})\.json(?:\.new)?"
    r"|state\.(?:sqlite3(?:-journal)?|unusable)"
)
_MAX_AGE_SECONDS = 7 * 86400.0
"""Older pages are downloaded again: Braze restates past days."""

_REPAIR_SECONDS = 12 * 3600.0
"""For so long after its end a run with missing pages is resumed. A later run starts
anew, or one object that is refused for good would freeze the days of all others."""


class CacheKey(NamedTuple):
    """An object whose pages are stored."""

    workspace: str
    endpoint: str
    kind: str
    id: str


class PageCache:
    """A directory of pages. Methods raise OSError if the disk fails."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory's lock. OSError: another process holds it."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory = os.open(self._directory, os.O_RDONLY)
        try:
            try:
                fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                why = "another backfill with the same --output is running"
                raise OSError(errno.EBUSY, why, str(self._directory)) from error
            except OSError:
                pass  # the file system has no locks
            yield
        finally:
            os.close(directory)

    def start(self, *, now: float) -> float:
        """Return when the run to resume started, or clear the cache and return now."""
        started_at, ended_at = self._read_run()
        is_resumable = ended_at is None or 0 <= now - ended_at < _REPAIR_SECONDS
        is_recent = started_at is not None and 0 <= now - started_at < _MAX_AGE_SECONDS
        if started_at is not None and is_recent and is_resumable:
            return started_at
        self._clear()
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._write(_RUN_FILE, {"begun_at": now})
        return now

    def put(self, key: CacheKey, page: HistoryRequest, document: object) -> None:
        """Store a page."""
        self._write(_name(key, page), document)

    def has(self, key: CacheKey, page: HistoryRequest) -> bool:
        """Return whether the page is stored."""
        return (self._directory / _name(key, page)).is_file()

    def get(self, key: CacheKey, page: HistoryRequest) -> object:
        """Return a stored page. ValueError: the file is not JSON."""
        return self._read(_name(key, page))

    def delete(self, key: CacheKey, pages: Iterable[HistoryRequest]) -> None:
        """Delete these pages of an object."""
        for page in pages:
            (self._directory / _name(key, page)).unlink(missing_ok=True)

    def mark_incomplete(self, *, now: float) -> None:
        """Store that the run ended with pages missing."""
        started_at, _ = self._read_run()
        self._write(_RUN_FILE, {"begun_at": started_at, "asked_at": now})

    def remove(self) -> None:
        """Delete the cache's files, and the directory if nothing else is in it."""
        self._clear()
        with suppress(OSError):
            self._directory.rmdir()

    def _clear(self) -> None:
        for file in self._directory.glob("*.*"):
            if _OWN_FILES.fullmatch(file.name):
                file.unlink()

    def _read_run(self) -> tuple[float | None, float | None]:
        """Return when the run started and when it ended incomplete."""
        try:
            found = mapping(self._read(_RUN_FILE))
            started_at, ended_at = found["begun_at"], found.get("asked_at")
            return instant(started_at), None if ended_at is None else instant(ended_at)
        except (OSError, ValueError, KeyError):
            return None, None

    def _read(self, name: str) -> object:
        document: object = json.loads((self._directory / name).read_bytes())
        return document

    def _write(self, name: str, document: object) -> None:
        temporary = self._directory / f"{name}.new"
        with temporary.open("w", encoding="ascii") as file:
            json.dump(document, file, separators=(",", ":"))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._directory / name)


def _name(key: CacheKey, page: HistoryRequest) -> str:
    text = json.dumps([*key, page.ending_at, page.length])
    return f"{blake2b(text.encode(), digest_size=16).hexdigest()}.json"
