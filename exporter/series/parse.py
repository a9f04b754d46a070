"""A campaign's data series: the document Braze answers becomes a snapshot.

Any JSON value at all gives a `Snapshot` or `MalformedSeries`; no odd field, entry or
row costs more than itself, and what is left out is counted. Days are chosen by their
`time`, never by their place. It knows nothing of HTTP, Prometheus or the clock.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import NamedTuple
from zoneinfo import ZoneInfo

from exporter.model.config import Selection
from exporter.model.labels import Identity
from exporter.model.snapshot import (
    CampaignHistory,
    Day,
    Figures,
    RecentDays,
    Snapshot,
    Stats,
    Variation,
)
from exporter.series import deliverability, recent_days
from exporter.series.days import starts_at
from exporter.series.revisions import first_reading, revision
from exporter.series.rows import (
    OVERALL,
    DayStats,
    DocumentRows,
    Reader,
    StatsKey,
    holds_a_count,
    usable_rows,
)
from exporter.series.windows import add_up

STATUS_SERIES = 5
"""What a campaign exposes beside its values at most; they are under the limit too."""

QUIET_DAYS = 14
"""So many complete days without a count make a campaign idle."""

_CHRONICLE_STATUS_SERIES = 2
"""The same of a chronicle: its campaign's info, and which day it is."""

# As the key of the campaign-wide stats, no identity's.
_DATES = ("", Identity("", "", 1))
"""What the timestamps of the days stand under where series are counted."""


class ParseOptions(NamedTuple):
    """How a document is to be read."""

    today: date
    """In the workspace's time zone."""
    timezone: ZoneInfo
    windows: tuple[int, ...]
    """In days, ascending, without repeats."""
    channels: Selection
    metrics: Selection
    series_limit: int
    """Of the whole campaign, its status included."""


def days_needed(windows: Iterable[int]) -> int:
    """Return for how many days to ask so that every window and today are covered."""
    return min(max(windows, default=0) + 2, 100)


def parse(
    document: object, reading: ParseOptions, *, first_complete: Day | None = None
) -> Snapshot:
    """Read one answer of Braze; raise `MalformedSeries` if it is no data series.

    `first_complete` is what the snapshot before it remembers of a day's first reading.
    """
    return snapshot_of(sheet(document, reading), reading, first_complete)


def sheet(document: object, reading: ParseOptions) -> DocumentRows:
    """Return what is to be read; `MalformedSeries`: it is no data series."""
    reader = Reader(channels=reading.channels, metrics=reading.metrics)
    return DocumentRows(document, reading.today, reader)


def snapshot_of(
    sheet: DocumentRows, reading: ParseOptions, first_complete: Day | None
) -> Snapshot:
    """Return what `parse` makes of a document, of which some rows may be read."""
    days, reader = sheet.days(), sheet.reader
    past = [(day, part) for day, part in days if day < reading.today]
    ages = [((reading.today - day).days, part) for day, part in past]
    trailing = add_up(ages, reading.windows)
    chosen = [*days[:1], *past[:1]]
    is_quiet, is_active = activity(sheet.rows, reading.today)

    variations = reader.variations()
    # The last complete day once more: for its revision.
    costs = _costs(part for _, part in [*chosen, *past[:1], *trailing])
    costs[_DATES] = len(chosen)
    order = [_DATES, OVERALL, *(key for key in variations if key in costs)]
    kept = _admit(costs, order=order, room=reading.series_limit - STATUS_SERIES)
    series = sum(costs[key] for key in kept)
    dropped_series = sum(costs.values()) - series
    shown = {key: one for key, one in variations.items() if key in kept}

    def figures(part: DayStats) -> Figures:
        return _figures(part, shown=shown, has_overall=OVERALL in kept)

    def newest(rows: Sequence[tuple[date, DayStats]]) -> Day | None:
        if not rows or _DATES not in kept:
            return None
        day, part = rows[0]
        return Day(day, starts_at(day, reading.timezone), figures(part))

    sums = ((window, figures(part)) for window, part in trailing)
    last_complete = newest(past)
    first_complete = first_reading(
        last_complete, known=first_complete, today=reading.today
    )
    series -= _unrevised(first_complete, last_complete)
    return Snapshot(
        variations=tuple(shown.values()),
        latest=newest(days),
        last_complete=last_complete,
        trailing=tuple((n, one) for n, one in sums if one.variations or one.overall),
        series=series,
        dropped_series=dropped_series,
        ignored_values=reader.ignored_values,
        skipped_rows=sheet.skipped_rows,
        history=_history(days, kept, reading.today),
        is_quiet=is_quiet,
        is_active=is_active,
        first_complete=first_complete,
    )


def _unrevised(first: Day | None, last: Day | None) -> int:
    """Return how many numbers of the last complete day have no revision."""
    shown = _count(last.figures) if last else 0
    return shown - _count(revision(first, last))


def _count(figures: Figures) -> int:
    return len(figures.overall) + sum(len(stats) for _, stats in figures.variations)


def parse_chronicle(
    pages: Iterable[object], reading: ParseOptions, *, first: date
) -> CampaignHistory:
    """Read the complete days from `first` on; `MalformedSeries`: a page is none.

    Of a day that several pages hold, the first of them counts. Labels are those that
    the newest row would give, also if it is of today.
    """
    rows: dict[date, Mapping[str, object]] = {}
    for document in pages:
        for day, row in usable_rows(document, reading.today)[0]:
            rows.setdefault(day, row)
    reader = Reader(channels=reading.channels, metrics=reading.metrics)
    days = [(day, reader.read(rows[day])) for day in sorted(rows, reverse=True)]
    chosen = [(day, part) for day, part in days if first <= day < reading.today]

    variations = reader.variations()
    costs = _costs([_united(part for _, part in chosen)])
    costs[_DATES] = _CHRONICLE_STATUS_SERIES
    order = [_DATES, OVERALL, *(key for key in variations if key in costs)]
    kept = _admit(costs, order=order, room=reading.series_limit)
    series = sum(costs[key] for key in kept)
    shown = {key: one for key, one in variations.items() if key in kept}
    return CampaignHistory(
        variations=tuple(shown.values()),
        days=tuple(
            Day(
                day,
                starts_at(day, reading.timezone),
                _figures(part, shown=shown, has_overall=OVERALL in kept),
            )
            for day, part in reversed(chosen)
        ),
        series=series,
        dropped_series=sum(costs.values()) - series,
    )


def _united(parts: Iterable[DayStats]) -> DayStats:
    """Return every field that occurs, with any one of its values."""
    union: dict[StatsKey, dict[str, int | float]] = defaultdict(dict)
    for part in parts:
        for key, stats in part.items():
            union[key].update(stats)
    return dict(union)


def _figures(
    part: DayStats, *, shown: Mapping[StatsKey, Variation], has_overall: bool
) -> Figures:
    return Figures(
        tuple((one, part[key]) for key, one in shown.items() if key in part),
        overall=part.get(OVERALL, {}) if has_overall else {},
    )


def _history(
    days: Iterable[tuple[date, DayStats]], kept: set[StatsKey], today: date
) -> RecentDays | None:
    """Return how the newest days went, over what is shown of them."""
    by_age = {}
    for day, part in days:
        age = (today - day).days
        if 0 <= age < recent_days.DAYS:
            shown = ((key[0], stats) for key, stats in part.items() if key in kept)
            by_age[age] = _past_day(shown)
    return recent_days.packed(today, by_age)


def past_day(figures: Figures) -> recent_days.PastDay:
    """Return how a day went, by what is shown of it."""
    parts = [(one.channel, stats) for one, stats in figures.variations]
    return _past_day([*parts, (OVERALL[0], figures.overall)])


def _past_day(parts: Iterable[tuple[str, Stats]]) -> recent_days.PastDay:
    tally = deliverability.tally_of(parts)
    return recent_days.PastDay(_double(tally.sent), tally.level)


def _double(value: float | None) -> float | None:
    return None if value is None else float(value)


def activity(
    rows: Sequence[tuple[date, Mapping[str, object]]], today: date
) -> tuple[bool, bool]:
    """Return whether two weeks were quiet, and whether anything is happening.

    Every number of Braze counts, also what is not selected to be shown: a campaign that
    sends must not be taken for idle because only its bounces are.
    """
    ages = [((today - day).days, row) for day, row in rows]
    recent = [(age, row) for age, row in ages if age <= QUIET_DAYS]
    active = [age for age, row in recent if holds_a_count(row)]
    complete = sum(age >= 1 for age, _ in recent)
    is_quiet = not active and complete == QUIET_DAYS
    return is_quiet, any(age <= 1 for age in active)


def _costs(parts: Iterable[DayStats]) -> Counter[StatsKey]:
    """Count the series of each identity, its `variation_info` included."""
    costs = Counter[StatsKey]()
    for part in parts:
        for key, stats in part.items():
            costs[key] += len(stats)
    costs.update(key for key in list(costs) if key != OVERALL)
    return costs


def _admit(
    costs: Mapping[StatsKey, int], *, order: Iterable[StatsKey], room: int
) -> set[StatsKey]:
    """Return what fits; after the first identity that does not, no other does."""
    kept = set()
    for key in order:
        if costs[key] <= room:
            kept.add(key)
            room -= costs[key]
        elif key != OVERALL:
            room = 0
    return kept
