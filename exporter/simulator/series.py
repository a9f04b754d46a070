"""The body of `/campaigns/data_series`.

Rows of past days change only at midnight, so they are cached until then.
"""

from __future__ import annotations

import json
import zlib
from datetime import date, timedelta
from functools import lru_cache

from exporter.simulator.figures import day_row
from exporter.simulator.fleet import Campaign


class DataSeries:
    """Renders data series with an LRU cache of the rows of past days."""

    def __init__(self) -> None:
        self._past = lru_cache(maxsize=12_000)(_past_rows)

    def render(
        self,
        campaign: Campaign,
        *,
        last_day: date,
        length: int,
        today: date,
        progress: float,
    ) -> bytes:
        """Return `length` days up to `last_day`, or up to `today` if that is earlier.

        Days are ascending.
        """
        last_day = min(last_day, today)
        first_day = last_day - timedelta(days=length - 1)
        past_days = length - (last_day == today)
        rows = []
        if past_days:
            past = self._past(campaign, first_day, past_days, today)
            rows.append(zlib.decompress(past).decode())
        if last_day == today:
            row = day_row(campaign, today, today=today, progress=progress)
            rows.append(json.dumps(row, ensure_ascii=False))
        return f'{{"message": "success", "data": [{", ".join(rows)}]}}'.encode()


def _past_rows(campaign: Campaign, first_day: date, days: int, today: date) -> bytes:
    """Return the rows, compressed: the cache holds thousands of campaigns."""
    rows = (
        day_row(campaign, first_day + timedelta(days=n), today=today, progress=1.0)
        for n in range(days)
    )
    text = ", ".join(json.dumps(row, ensure_ascii=False) for row in rows)
    return zlib.compress(text.encode(), level=1)
