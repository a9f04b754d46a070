"""Messages sent in the calendar month up to and including today so far.

As in trailing windows, a day without a row counts as nothing, and a channel without any
number is left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from exporter.model.snapshot import (
    CHANNEL,
    VARIATION,
    Figures,
    MonthToDate,
    channels_of,
)
from exporter.series.days import start_of_day
from exporter.series.rows import DayStats
from exporter.series.windows import exact_sum

_SENT = "sent"

_MOST_PAST_DAYS = 30
"""Of a month before its last day."""


def look_back(windows: tuple[int, ...], *, is_counted: bool) -> tuple[int, ...]:
    """Return the windows that requests cover; `is_counted`: with those of a month."""
    return tuple(sorted({*windows, _MOST_PAST_DAYS})) if is_counted else windows


def past_days(today: date) -> int:
    """Return how many days of the month are over."""
    return today.day - 1


def of_days(
    days: Iterable[tuple[date, DayStats]],
    *,
    today: date,
    timezone: ZoneInfo,
    channels: Collection[str],
) -> MonthToDate | None:
    """Add up the month's messages of these channels; None: there is no number."""
    first = today.replace(day=1)
    values: dict[str, list[int | float]] = defaultdict(list)
    for day, stats_by_key in days if channels else ():
        if first <= day <= today:
            for (group, channel, _), stats in stats_by_key.items():
                if group in {VARIATION, CHANNEL} and _SENT in stats:
                    values[channel].append(stats[_SENT])
    sums = ((one, exact_sum(values[one])) for one in channels if one in values)
    messages = tuple((one, sent) for one, sent in sums if sent is not None)
    next_month = (first + timedelta(days=31)).replace(day=1)
    return (
        MonthToDate(start_of_day(next_month, timezone), messages) if messages else None
    )


def has_all(
    month: MonthToDate | None, figures: Figures, *, channels: Collection[str]
) -> bool:
    """Return whether the month has the channels of these figures of one of its days.

    It lacks those whose sum is beyond the range of a double.
    """
    known = {channel for channel, _ in month.messages} if month else set()
    missing = [one for one in channels if one not in known]
    return not any(True for one in missing for _ in _sent(figures, one))


def renewed(month: MonthToDate, *, before: Figures, now: Figures) -> MonthToDate | None:
    """Return the month with other figures of today; None: add up all days again.

    Only integers can be subtracted from their sum again.
    """
    messages = []
    for channel, total in month.messages:
        if not isinstance(total, int):
            return None
        gone = (-sent for sent in _sent(before, channel))
        added = exact_sum([total, *gone, *_sent(now, channel)])
        if added is None:
            return None
        messages.append((channel, added))
    return month._replace(messages=tuple(messages))


def _sent(figures: Figures, channel: str) -> Iterable[int | float]:
    parts = channels_of(figures)
    return (stats[_SENT] for own, stats in parts if own == channel and _SENT in stats)
