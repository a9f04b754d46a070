"""The state file: the last values of every object and the catalogues of discovery.

One SQLite file. A crash at any moment leaves the old or the new state, and every fault
of file or disk is a `StateError`. The file holds neither API keys nor rendered bytes.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import chain, count
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from exporter.metrics.families import BY_KIND
from exporter.metrics.object_metrics import can_render
from exporter.metrics.store import ObjectKey
from exporter.model.errors import FailureReason, StateError
from exporter.model.json_values import instant
from exporter.series import older_days, snapshot_json
from exporter.series.kept import Kept, KeptEntries
from exporter.storage.table_reader import TableReader, checked_text

_log = logging.getLogger(__name__)

FILE_NAME = "state.sqlite3"

CatalogueKey = tuple[str, str, str, str]
"""A workspace's name, its endpoint, the kind, and a fingerprint of the API key.

The column of the fingerprint is called `key_source`: earlier versions wrote that.
"""

Documents = Mapping[CatalogueKey, str]

_APPLICATION_ID = 0x42727A45
"""The bytes "BrzE": marks a SQLite file as one of this exporter."""

_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    # 1
    (
        "CREATE TABLE kept (workspace TEXT, campaign_id TEXT, "
        "last_success_at REAL, failure TEXT, snapshot TEXT, "
        "PRIMARY KEY (workspace, campaign_id)) WITHOUT ROWID",
    ),
    # 2: snapshots gained keys; `snapshot_json.parse` has defaults for them.
    (),
    # 3: snapshots lost their `series`; catalogues got a table.
    (
        "CREATE TABLE catalogues (workspace TEXT, endpoint TEXT, key_source TEXT, "
        "document TEXT, PRIMARY KEY (workspace, endpoint, key_source)) WITHOUT ROWID",
    ),
    # 4: canvases are kept too, with the days that one request does not cover.
    (
        "ALTER TABLE kept RENAME TO campaigns",
        "CREATE TABLE kept (workspace TEXT, kind TEXT, object_id TEXT, "
        "last_success_at REAL, failure TEXT, snapshot TEXT, older TEXT, "
        "PRIMARY KEY (workspace, kind, object_id)) WITHOUT ROWID",
        "INSERT INTO kept SELECT workspace, 'campaign', campaign_id, last_success_at, "
        "failure, snapshot, NULL FROM campaigns",
        "DROP TABLE campaigns",
    ),
    # 5: there are catalogues of canvases, too.
    (
        "ALTER TABLE catalogues RENAME TO campaigns",
        "CREATE TABLE catalogues (workspace TEXT, endpoint TEXT, kind TEXT, "
        "key_source TEXT, document TEXT, "
        "PRIMARY KEY (workspace, endpoint, kind, key_source)) WITHOUT ROWID",
        "INSERT INTO catalogues SELECT workspace, endpoint, 'campaign', key_source, "
        "document FROM campaigns",
        "DROP TABLE campaigns",
    ),
    # 6: sums and revisions are of one account.
    ("ALTER TABLE kept ADD COLUMN endpoint_digest TEXT",),
)
"""Number n, counted from 1, brings a file of version n - 1 to version n."""

VERSION = len(_MIGRATIONS)
"""The schema's version, `PRAGMA user_version` of the file."""

_TABLES = [("table", "catalogues"), ("table", "kept")]

_BUSY_SECONDS = 2.0
_MAX_VALUE_BYTES = 64 * 1024 * 1024
"""Of a row and of each of its columns."""
_MAX_KEY_BYTES = 64 * 1024
"""Of the columns that are no JSON in ASCII, with SQLite's own bytes."""
# Steps of SQLite's virtual machine, about ten seconds: 100,000 campaigns take a
# hundredth of it.
_STEPS_PER_CHECK, _MAX_CHECKS = 1_000_000, 1000

T = TypeVar("T")


class SqliteState:
    """The state file of a directory; the first save creates both. It is thread-safe."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.files_created = 0
        """How many files this object has created or found without a table."""
        self._not_kept: set[ObjectKey] = set()
        """The objects whose values were too large at their last save."""
        self._path = directory / FILE_NAME
        self._lock = Lock()

    def load(self) -> KeptEntries:
        """Return the saved values, empty without a file. StateError: unusable."""
        # The directory is created here, so that a wrong path is logged at the start.
        with self._errors("read"):
            self._make_directory()
        return self._read(
            "kept",
            ("workspace", "kind", "object_id"),
            ("last_success_at", "failure", "snapshot", "older", "endpoint_digest"),
            _parse_kept,
        )

    def save(
        self, changed: Mapping[ObjectKey, Kept], gone: Iterable[ObjectKey] = ()
    ) -> None:
        """Save what changed and delete what is gone; on StateError, neither.

        A row that is too large to be read back is logged and left out.
        """
        rows = (
            row
            for key, kept in changed.items()
            if self._fits(key, row := (*key, *_dump(kept)))
        )
        with self._writing() as database:
            database.executemany(
                "INSERT OR REPLACE INTO kept VALUES (?,?,?,?,?,?,?,?)", rows
            )
            database.executemany(
                "DELETE FROM kept WHERE workspace = ? AND kind = ? AND object_id = ?",
                gone,
            )

    def load_catalogues(self) -> dict[CatalogueKey, str]:
        """Return the saved documents, empty without a file. StateError: unusable."""
        return self._read(
            "catalogues",
            ("workspace", "endpoint", "kind", "key_source"),
            ("document",),
            lambda _, columns: checked_text(columns[0]),
        )

    def save_catalogues(self, documents: Documents) -> None:
        """Replace all documents; on StateError, none."""
        rows = ((*key, document) for key, document in documents.items())
        with self._writing() as database:
            database.execute("DELETE FROM catalogues")
            database.executemany("INSERT INTO catalogues VALUES (?,?,?,?,?)", rows)

    def _fits(self, key: ObjectKey, row: Sequence[str | float | None]) -> bool:
        """Return whether a row can be read back; log once that one cannot."""
        size = sum(len(column) for column in row if isinstance(column, str))
        is_small = size <= _MAX_VALUE_BYTES - _MAX_KEY_BYTES
        if is_small:
            self._not_kept.discard(key)
        elif key not in self._not_kept:
            self._not_kept.add(key)
            most = _MAX_VALUE_BYTES >> 20
            fields = {
                "workspace": key.workspace,
                f"{key.kind}_id": key.id,
                "error": f"its values take {size >> 20} MiB, at most {most} are kept",
                "advice": "reduce limits.series_per_campaign",
            }
            _log.warning("state.not_kept", extra={"fields": fields})
        return is_small

    def exists(self) -> bool:
        """Return whether there is a file that was saved to."""
        try:
            return self._path.lstat().st_size > 0
        except OSError:
            return False

    def quarantine(self) -> None:
        """Rename an unusable file, so that the next save creates a new one."""
        with self._lock, suppress(OSError):
            self._path.rename(self._path.with_suffix(".unusable"))

    def _read(
        self,
        table: str,
        keys: Sequence[str],
        columns: Sequence[str],
        parse: Callable[[tuple[str, ...], tuple[Any, ...]], T],
    ) -> dict[Any, T]:
        """Return what `parse` makes of the key and columns of each row, by its key."""
        with self._lock, self._errors("read"):
            if not self._size():
                return {}
            with closing(self._connect()) as database:
                if _is_blank(database):
                    return {}  # a crash rolled its first save back
                with database:
                    if _version(database) < VERSION:
                        database.execute("BEGIN IMMEDIATE")
                    _migrate(database)
                rows = TableReader(database, table, keys, columns)
                found = {}
                for key, row in rows:
                    with rows.skipping(key):
                        found[key] = parse(key, row)
                rows.log_skipped(self._path)
                return found

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._errors("written"):
            self._make_private()
            with closing(self._connect()) as database, database:
                # Explicitly: Python's module begins a transaction before an INSERT
                # only, and a crash would leave a new file without its tables.
                database.execute("BEGIN IMMEDIATE")
                is_blank = _is_blank(database)
                _migrate(database)
                yield database
            self.files_created += is_blank

    def _connect(self) -> sqlite3.Connection:
        """Open the file without trusting its content."""
        database = sqlite3.connect(self._path, timeout=_BUSY_SECONDS)
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE_BYTES)
        checks = count()
        database.set_progress_handler(
            lambda: next(checks) >= _MAX_CHECKS, _STEPS_PER_CHECK
        )
        database.execute("PRAGMA trusted_schema = OFF")
        return database

    def _size(self) -> int:
        """Return the file's length, 0 without one. ValueError: not a regular file."""
        try:
            status = self._path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return 0
        if not stat.S_ISREG(status.st_mode):
            message = "it is a link or a directory, expected a regular file"
            raise ValueError(message)
        return status.st_size

    def _make_directory(self) -> None:
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            message = f"{self.directory} is a file, or in one; expected a directory"
            raise OSError(message) from error

    def _make_private(self) -> None:
        """Create the file with mode 0600, before SQLite does with the umask's."""
        self._make_directory()
        self._size()
        flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self._path, flags, 0o600)
        try:
            # The file of another user keeps its mode if it is writable.
            with suppress(PermissionError):
                os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        """Raise every fault of file, disk or content as a `StateError`."""
        try:
            yield
        except (sqlite3.Error, OSError, ValueError, TypeError, RecursionError) as error:
            is_temporary = isinstance(error, OSError | sqlite3.OperationalError)
            code = getattr(error, "sqlite_errorcode", None)
            raise StateError(
                f"the state file {self._path} cannot be {what}: {error}",
                is_damaged=not is_temporary,
                is_locked=code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED},
            ) from error


def _is_blank(database: sqlite3.Connection) -> bool:
    (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return not tables


def _version(database: sqlite3.Connection) -> int:
    """Return the schema's version; DatabaseError: of another program or newer."""
    (application_id,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if application_id != _APPLICATION_ID:
        message = "it is not a state file of this exporter"
        raise sqlite3.DatabaseError(message)
    if not 1 <= version <= VERSION:
        message = f"its schema has version {version}, expected 1 to {VERSION}"
        raise sqlite3.DatabaseError(message)
    return int(version)


def _migrate(database: sqlite3.Connection) -> None:
    """Bring the schema to `VERSION` in the caller's transaction, or DatabaseError."""
    version = 0 if _is_blank(database) else _version(database)
    if not version:
        database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
    if version < VERSION:
        for statement in chain.from_iterable(_MIGRATIONS[version:]):
            database.execute(statement)
        database.execute(f"PRAGMA user_version = {VERSION}")
    # A view in a table's place could be computed without end.
    schema = database.execute(
        "SELECT type, name FROM sqlite_master ORDER BY name LIMIT 3"
    )
    if schema.fetchall() != _TABLES:
        message = "its tables are not those of this exporter"
        raise sqlite3.DatabaseError(message)


def _parse_kept(key: tuple[str, ...], columns: tuple[Any, ...]) -> Kept:
    _, kind, _ = key
    at, failure, document, older, digest = columns
    snapshot = snapshot_json.parse(json.loads(checked_text(document)))
    families = BY_KIND.get(kind)
    if families is None or not can_render(families, snapshot):
        message = "no family has its figures"
        raise ValueError(message)
    return Kept(
        instant(at),
        FailureReason(checked_text(failure)) if failure else None,
        snapshot,
        older_days.parse(json.loads(checked_text(older)) if older else None),
        checked_text(digest) if digest else "",
    )


def _dump(kept: Kept) -> tuple[float, str | None, str, str | None, str]:
    older = older_days.dump(kept.older)
    return (
        kept.last_success_at,
        kept.failure,
        _json(snapshot_json.dump(kept.snapshot)),
        None if older is None else _json(older),
        kept.endpoint_digest,
    )


def _json(document: object) -> str:
    return json.dumps(document, separators=(",", ":"))
