"""Reads the rows of a table, however damaged or large it is.

A row that cannot be read or parsed is skipped. The size of what is read is limited.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)

MAX_BYTES = 1024 * 1024 * 1024
"""Of all rows of a table: several times those of 10,000 campaigns, or of a thousand
canvases of 50 steps with windows of 28 days."""
_ROW_BYTES = 2048
"""What a row counts at least: its objects in memory."""

_MAX_RESUMES = 100
_UTF8, _ESCAPE = "utf-8", "surrogateescape"

Row = tuple[Any, ...]


class TableReader:
    """Iterates over (key, columns) of the rows of a table.

    Bytes that are not UTF-8 are lone surrogates in texts: see `checked_text`.
    """

    def __init__(
        self,
        database: sqlite3.Connection,
        table: str,
        keys: Sequence[str],
        columns: Sequence[str],
        *,
        max_bytes: int | None = None,
    ) -> None:
        """Prepare to read; all names have to be constants: they are part of a query."""
        self._database = database
        self._table = table
        self._keys = keys
        self._columns = columns
        self._room = MAX_BYTES if max_bytes is None else max_bytes
        self._skipped = 0
        self._first_error = ""
        self._is_too_long = False

    def __iter__(self) -> Iterator[tuple[tuple[str, ...], Row]]:
        """Yield rows ordered by key. sqlite3.Error: the table is damaged."""
        # An error of the decoder would end the query.
        self._database.text_factory = partial(str, encoding=_UTF8, errors=_ESCAPE)
        size = len(self._keys)
        seen: set[tuple[str, ...]] = set()
        for row in self._rows():
            self._room -= _ROW_BYTES + sum(map(_length, row))
            if self._room < 0:
                self._is_too_long = True
                return
            key = row[:size]
            with self.skipping(key):
                key = tuple(map(checked_text, key))
                # Those of a damaged file could repeat without end.
                if key in seen:
                    message = "it occurs twice"
                    raise ValueError(message)
                seen.add(key)
                yield key, row[size:]

    def _rows(self) -> Iterator[Row]:
        """Yield all rows but those with a value beyond SQLite's limit of length.

        Such a row ends a query, and Python drops the row before it.
        """
        size, whole = len(self._keys), (*self._keys, *self._columns)
        after: Row = ()
        for _ in range(_MAX_RESUMES):
            try:
                for row in self._select(whole, after):
                    after = row[:size]
                    yield row
            except sqlite3.DataError:
                pass
            else:
                return
            is_past = False
            while not is_past:
                (key,) = self._select(self._keys, after, limit=1)
                is_past = True
                with self.skipping(key):
                    (row,) = self._select(whole, after, limit=1)
                    is_past = False
                    yield row
                after = key
        message = f"{_MAX_RESUMES} rows of {self._table} are too large"
        raise ValueError(message)

    def _select(
        self, columns: Sequence[str], after: Row, *, limit: int = -1
    ) -> Iterator[Row]:
        keys = ", ".join(self._keys)
        where = f"WHERE ({keys}) > ({', '.join('?' * len(after))})" if after else ""
        query = f"SELECT {', '.join(columns)} FROM {self._table} {where}"  # noqa: S608
        return self._database.execute(f"{query} ORDER BY {keys} LIMIT {limit}", after)

    @contextmanager
    def skipping(self, key: Sequence[object]) -> Iterator[None]:
        """Count an error as a row that is skipped."""
        try:
            yield
        except (sqlite3.DataError, ValueError, TypeError, RecursionError) as error:
            self._skipped += 1
            if not self._first_error:
                self._first_error = f"row {tuple(key)!r}"[:200] + f": {error}"[:200]

    def log_skipped(self, file: Path) -> None:
        """Log how many rows were skipped, and why the first of them was."""
        fields: dict[str, str | int] = {"file": str(file), "table": self._table}
        if self._skipped:
            fields |= {"rows": self._skipped, "error": self._first_error}
            _log.warning("state.skipped", extra={"fields": fields})
        if self._is_too_long:
            error = f"only the first {MAX_BYTES >> 20} MiB of it are read"
            fields |= {"error": error, "advice": "delete the file if this repeats"}
            _log.warning("state.too_long", extra={"fields": fields})


def checked_text(value: object) -> str:
    """Return a text of the table. ValueError: not a text, or not UTF-8."""
    if not isinstance(value, str):
        message = "expected a text"
        raise ValueError(message)
    value.encode(_UTF8)
    return value


def _length(value: object) -> int:
    return len(value) if isinstance(value, str | bytes) else 0
