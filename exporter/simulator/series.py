"""The rows of a data series, rendered.

Rows of past days change only at midnight, so they are cached until then.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Hashable
from datetime import date, timedelta
from functools import lru_cache
from typing import Any, Generic, Protocol, TypeVar

Source = TypeVar("Source", bound=Hashable)
_Source_contra = TypeVar("_Source_contra", bound=Hashable, contravariant=True)


class DayRow(Protocol[_Source_contra]):
    """A function that makes the row of one day."""

    def __call__(
        self, source: _Source_contra, day: date, /, *, today: date, progress: float
    ) -> dict[str, Any]:
        """Return the row; `progress` is the elapsed part of today."""


class RowRenderer(Generic[Source]):
    """Renders the rows of one kind of object, with an LRU cache of past days."""

    def __init__(self, day_row: DayRow[Source]) -> None:
        self._day_row = day_row
        self._past = lru_cache(maxsize=12_000)(self._past_rows)

    def render(
        self,
        source: Source,
        *,
        first_day: date,
        last_day: date,
        today: date,
        progress: float,
    ) -> str:
        """Return the days up to `last_day` as JSON, separated by commas.

        Days are ascending. `last_day` is at most `today`.
        """
        past_days = (last_day - first_day).days + (last_day != today)
        rows = []
        if past_days:
            past = self._past(source, first_day, past_days, today)
            rows.append(zlib.decompress(past).decode())
        if last_day == today:
            row = self._day_row(source, today, today=today, progress=progress)
            rows.append(json.dumps(row, ensure_ascii=False))
        return ", ".join(rows)

    def _past_rows(
        self, source: Source, first_day: date, days: int, today: date
    ) -> bytes:
        """Return the rows, compressed: the cache holds thousands of objects."""
        rows = (
            self._day_row(
                source, first_day + timedelta(days=n), today=today, progress=1.0
            )
            for n in range(days)
        )
        text = ", ".join(json.dumps(row, ensure_ascii=False) for row in rows)
        return zlib.compress(text.encode(), level=1)
