"""What was last read, kept on disk over a restart: one SQLite file.

SQLite's transactions see to it that a crash at any moment leaves the old or the new
state. Every fault of file or disk is one `StateError`: the daemon runs on without. It
holds snapshots, never a key and never rendered bytes.
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
import stat
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from typing import Any

from exporter.metrics.store import Kept, KeptEntries, ObjectKey
from exporter.model.errors import FailureReason, StateError
from exporter.model.snapshot import Snapshot
from exporter.series import snapshot_json

FILE_NAME = "state.sqlite3"

_APPLICATION = 0x42727A45  # "BrzE": tells our files from other SQLite files
_BUSY_SECONDS = 2.0
_TABLE = (
    "CREATE TABLE kept (workspace TEXT, campaign_id TEXT, "
    "last_success_at REAL, failure TEXT, snapshot TEXT, "
    "PRIMARY KEY (workspace, campaign_id)) WITHOUT ROWID"
)
_LONGEST_BYTES = 64 * 1024 * 1024
# Of SQLite's machine: some ten seconds; 100,000 campaigns take a hundredth of it.
_STEPS_AT_ONCE, _TURNS = 1_000_000, 1000


class SqliteState:
    """The file below a directory; made when it is first saved to."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE_NAME

    def load(self) -> KeptEntries:
        """Return what is kept, nothing if there is no file. StateError: unusable."""
        try:
            # Now, and not first when there is something to save: who starts us looks.
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._size():
                return {}
            with closing(self._connect()) as database:
                if self._is_blank(database):
                    return {}  # a crash undid its first save
                self._check(database)
                rows = database.execute(
                    "SELECT workspace, campaign_id, last_success_at, failure, "
                    "snapshot FROM kept"
                )
                return _read(rows)
        except (sqlite3.Error, OSError, ValueError, TypeError, RecursionError) as error:
            raise self._unusable("read", error) from error

    def save(
        self, changed: Mapping[ObjectKey, Kept], gone: Iterable[ObjectKey] = ()
    ) -> None:
        """Keep what changed and forget what is gone, or, on StateError, neither."""
        rows = (
            (*key, kept.last_success_at, kept.failure, _dump(kept.snapshot))
            for key, kept in changed.items()
        )
        try:
            self._make_private()
            with closing(self._connect()) as database, database:
                # By ourselves: Python's module begins before an INSERT only, and a
                # file that was just made would be left half made by a crash.
                database.execute("BEGIN IMMEDIATE")
                self._prepare(database)
                database.executemany(
                    "INSERT OR REPLACE INTO kept VALUES (?,?,?,?,?)", rows
                )
                database.executemany(
                    "DELETE FROM kept WHERE workspace = ? AND campaign_id = ?", gone
                )
        except (sqlite3.Error, OSError, ValueError) as error:
            raise self._unusable("written", error) from error

    def is_there(self) -> bool:
        """Tell whether there is a file that something was saved to."""
        try:
            return self._path.lstat().st_size > 0
        except OSError:
            return False

    def set_aside(self) -> None:
        """Rename a file that cannot be used, so that the next save makes a new one."""
        with suppress(OSError):
            self._path.rename(self._path.with_suffix(".unusable"))

    def _connect(self) -> sqlite3.Connection:
        """Open the file without trust: it may have been made to harm us."""
        database = sqlite3.connect(self._path, timeout=_BUSY_SECONDS)
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_BYTES)
        turns = count()
        database.set_progress_handler(lambda: next(turns) >= _TURNS, _STEPS_AT_ONCE)
        database.execute("PRAGMA trusted_schema = OFF")
        return database

    def _size(self) -> int:
        """Return how long the file is, 0 for none. ValueError: it is something else."""
        try:
            status = self._path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return 0
        if not stat.S_ISREG(status.st_mode):
            message = "it is a link or a directory, expected a regular file"
            raise ValueError(message)
        return status.st_size

    def _make_private(self) -> None:
        """Make the file, readable by us alone, before SQLite would."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._size()
        flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self._path, flags, 0o600)
        try:
            # Another's file that we may write to stays as he wants it.
            with suppress(PermissionError):
                os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)

    def _prepare(self, database: sqlite3.Connection) -> None:
        if self._is_blank(database):
            database.execute(f"PRAGMA application_id = {_APPLICATION}")
            database.execute(_TABLE)
        else:
            self._check(database)
        # A file of an older version takes rows of ours from now on.
        database.execute(f"PRAGMA user_version = {snapshot_json.VERSION}")

    def _is_blank(self, database: sqlite3.Connection) -> bool:
        (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return not tables

    def _check(self, database: sqlite3.Connection) -> None:
        (application,) = database.execute("PRAGMA application_id").fetchone()
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if application != _APPLICATION:
            message = "it is not a state file of this exporter"
            raise sqlite3.DatabaseError(message)
        if version not in snapshot_json.READABLE:
            message = f"its format is {version}, expected {snapshot_json.VERSION}"
            raise sqlite3.DatabaseError(message)
        # A view in the table's place could be computed for ever.
        schema = database.execute("SELECT type, sql FROM sqlite_master LIMIT 2")
        if schema.fetchall() != [("table", _TABLE)]:
            message = "it holds something else than the table of this exporter"
            raise sqlite3.DatabaseError(message)

    def _unusable(self, what: str, error: Exception) -> StateError:
        is_passing = isinstance(error, OSError | sqlite3.OperationalError)
        code = getattr(error, "sqlite_errorcode", None)
        return StateError(
            f"the state file {self._path} cannot be {what}: {error}",
            is_damaged=not is_passing,
            is_locked=code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED},
        )


def _read(rows: Iterable[tuple[Any, ...]]) -> KeptEntries:
    """Read row after row: those of a damaged file could go round in a circle."""
    entries: dict[ObjectKey, Kept] = {}
    for workspace, campaign_id, at, failure, document in rows:
        key = (str(workspace), str(campaign_id))
        if key in entries:
            message = "a campaign is in it twice"
            raise ValueError(message)
        entries[key] = Kept(
            _instant(at),
            FailureReason(failure) if failure else None,
            snapshot_json.read(json.loads(document)),
        )
    return entries


def _instant(value: object) -> float:
    if type(value) is not float or not math.isfinite(value):
        message = f"{value!r} is no instant"
        raise ValueError(message)
    return value


def _dump(snapshot: Snapshot) -> str:
    return json.dumps(snapshot_json.write(snapshot), separators=(",", ":"))
