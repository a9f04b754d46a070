"""The newest days of an object in few bytes, for the sparkline of the status page.

Of a day they hold how much was sent by all channels, and how urgent its rates were.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from struct import pack, unpack
from typing import Any, NamedTuple

from exporter.model.json_values import count, instant, text
from exporter.model.snapshot import RecentDays
from exporter.series.deliverability import Level

DAYS = 28
_FORMAT = f"<{DAYS}d"


class PastDay(NamedTuple):
    """One day; no `sent` means that no channel has the field."""

    sent: float | None = None
    level: Level = Level.UNJUDGED


_UNKNOWN = PastDay()


def pack_days(last: date, by_age: Mapping[int, PastDay]) -> RecentDays | None:
    """Return the days up to `last`, whose age is 0; None if no day has `sent`."""
    days = [by_age.get(age, _UNKNOWN) for age in reversed(range(DAYS))]
    if all(day.sent is None for day in days):
        return None
    return _packed(last, days)


def replace_last(
    history: RecentDays | None, last: date, day: PastDay
) -> RecentDays | None:
    """Return the same days with another last day."""
    if history is None:
        return pack_days(last, {0: day})
    *before, _ = unpack_days(history)
    days = [*before, day]
    return pack_days(last, dict(enumerate(reversed(days))))


def unpack_days(history: RecentDays) -> tuple[PastDay, ...]:
    """Return all days, oldest first."""
    return tuple(
        PastDay(None if math.isnan(sent) else sent, Level(level))
        for sent, level in zip(
            unpack(_FORMAT, history.sent), history.levels, strict=True
        )
    )


def dump(history: RecentDays) -> dict[str, object]:
    """Return a history as a JSON document."""
    days = unpack_days(history)
    return {
        "last": history.last.isoformat(),
        "sent": [day.sent for day in days],
        "levels": [int(day.level) for day in days],
    }


def parse(document: Mapping[str, Any]) -> RecentDays:
    """Return the history of a document of `dump`; ValueError: another document."""
    days = [
        PastDay(None if sent is None else instant(sent), Level(count(level)))
        for sent, level in zip(document["sent"], document["levels"], strict=True)
    ]
    if len(days) != DAYS:
        message = f"{len(days)} days, expected {DAYS}"
        raise ValueError(message)
    return _packed(date.fromisoformat(text(document["last"])), days)


def _packed(last: date, days: Sequence[PastDay]) -> RecentDays:
    sent = (math.nan if day.sent is None else day.sent for day in days)
    return RecentDays(last, pack(_FORMAT, *sent), bytes(day.level for day in days))
