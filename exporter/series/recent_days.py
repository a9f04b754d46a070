"""The newest days of a campaign in little room, for a picture of them.

A day is what was sent, by all channels, and how urgent its rates were. It knows nothing
of documents, pictures or today.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from struct import pack, unpack
from typing import NamedTuple

from exporter.model.snapshot import RecentDays
from exporter.series.deliverability import Level

DAYS = 28
_FORM = f"<{DAYS}d"


class PastDay(NamedTuple):
    """One day; None: Braze did not say what was sent."""

    sent: float | None = None
    level: Level = Level.UNJUDGED


_UNKNOWN = PastDay()


def packed(last: date, by_age: Mapping[int, PastDay]) -> RecentDays | None:
    """Return the days up to `last`, whose age is 0; None: nothing is known of any."""
    days = [by_age.get(age, _UNKNOWN) for age in reversed(range(DAYS))]
    if all(day.sent is None for day in days):
        return None
    return _packed(last, days)


def with_last(
    history: RecentDays | None, last: date, day: PastDay
) -> RecentDays | None:
    """Return the same days with another one as the last of them."""
    if history is None:
        return packed(last, {0: day})
    *before, _ = days_of(history)
    days = [*before, day]
    return packed(last, dict(enumerate(reversed(days))))


def days_of(history: RecentDays) -> tuple[PastDay, ...]:
    """Return all days, oldest first."""
    return tuple(
        PastDay(None if math.isnan(sent) else sent, Level(level))
        for sent, level in zip(unpack(_FORM, history.sent), history.levels, strict=True)
    )


def dump(history: RecentDays) -> dict[str, object]:
    """Return the document of a history."""
    days = days_of(history)
    return {
        "last": history.last.isoformat(),
        "sent": [day.sent for day in days],
        "levels": [int(day.level) for day in days],
    }


def parse(
    *, last: date, sent: Sequence[float | None], levels: Sequence[int]
) -> RecentDays:
    """Return what `dump` was given. ValueError: it is not that."""
    days = [PastDay(one, Level(level)) for one, level in zip(sent, levels, strict=True)]
    if len(days) != DAYS:
        message = f"{len(days)} days, expected {DAYS}"
        raise ValueError(message)
    return _packed(last, days)


def _packed(last: date, days: Sequence[PastDay]) -> RecentDays:
    sent = (math.nan if day.sent is None else day.sent for day in days)
    return RecentDays(last, pack(_FORM, *sent), bytes(day.level for day in days))
