"""Parses the data series of a campaign into a snapshot.

Any JSON value gives a `Snapshot` or `MalformedSeries`. Days are chosen by their `time`,
never by their position.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import NamedTuple
from zoneinfo import ZoneInfo

from exporter.model.config import Selection
from exporter.model.labels import VariationKey
from exporter.model.snapshot import (
    CampaignHistory,
    Day,
    Figures,
    RecentDays,
    Snapshot,
    Variation,
)
from exporter.series import deliverability, recent_days
from exporter.series.days import start_of_day
from exporter.series.revisions import carry_first_reading, revision
from exporter.series.rows import (
    OVERALL,
    DayStats,
    DocumentRows,
    RowParser,
    StatsKey,
    has_count,
    usable_rows,
)
from exporter.series.windows import trailing_sums

STATUS_SERIES = 5
"""What a campaign exposes beside its values at most; they are under the limit too."""

QUIET_DAYS = 14
"""So many complete days without a count make a campaign idle."""

SHORTEST_QUIET_WINDOW = QUIET_DAYS - 1
"""The shortest window in days whose requests can show that: see `days_needed`."""

_HISTORY_STATUS_SERIES = 2
"""The same of a history: the campaign's info, and which day it is."""

_DATES = ("", VariationKey("", "", 1))
"""The key of the days' timestamps where series are counted; no other stats have it."""


class ParseOptions(NamedTuple):
    """How a document is parsed."""

    today: date
    """In the workspace's time zone."""
    timezone: ZoneInfo
    windows: tuple[int, ...]
    """In days, ascending, without repeats."""
    channels: Selection
    metrics: Selection
    series_limit: int
    """Of the whole campaign, its status included."""
    revisions: bool = False
    """Whether the last complete day is compared with its first reading."""


def days_needed(windows: Iterable[int]) -> int:
    """Return how many days a request has to cover: every window and today."""
    return min(max(windows, default=0) + 2, 100)


def can_be_quiet(days: int) -> bool:
    """Return whether a request for so many days, today included, can show that."""
    return days > QUIET_DAYS


def parse(
    document: object, options: ParseOptions, *, first_complete: Day | None = None
) -> Snapshot:
    """Parse a response of Braze; `MalformedSeries`: it is not a data series.

    `first_complete` is that of the previous snapshot.
    """
    return snapshot_of(rows_of(document, options), options, first_complete)


def rows_of(document: object, options: ParseOptions) -> DocumentRows:
    """Return the rows of a document; `MalformedSeries`: it is not a data series."""
    parser = RowParser(channels=options.channels, metrics=options.metrics)
    return DocumentRows(document, options.today, parser)


def snapshot_of(
    rows: DocumentRows, options: ParseOptions, first_complete: Day | None
) -> Snapshot:
    """Return what `parse` makes of a document, some rows of which may be parsed."""
    days = rows.days()
    past = [(day, stats) for day, stats in days if day < options.today]
    ages = [((options.today - day).days, stats) for day, stats in past]
    trailing = trailing_sums(ages, options.windows)
    shown_days = [*days[:1], *past[:1]]
    is_quiet, is_active = activity(rows.rows, options)

    costs = _costs(stats for _, stats in [*shown_days, *trailing])
    costs[_DATES] = len(shown_days)
    if options.revisions and past:
        costs.update({key: len(stats) for key, stats in past[0][1].items()})
    admitted = _admit(
        rows.parser.variations(), costs, room=options.series_limit - STATUS_SERIES
    )

    def newest(rows: Sequence[tuple[date, DayStats]]) -> Day | None:
        if not rows or not admitted.has_dates:
            return None
        day, stats = rows[0]
        return Day(day, start_of_day(day, options.timezone), admitted.figures(stats))

    last_complete, first = newest(past), None
    if options.revisions:
        first = carry_first_reading(last_complete, first_complete, options.today)
    sums = ((window, admitted.figures(stats)) for window, stats in trailing)
    return Snapshot(
        variations=tuple(admitted.variations.values()),
        latest=newest(days),
        last_complete=last_complete,
        trailing=tuple((n, one) for n, one in sums if one.variations or one.overall),
        dropped_series=admitted.dropped_series,
        ignored_values=rows.parser.ignored_values,
        skipped_rows=rows.skipped_rows,
        history=_history(days, admitted, options.today),
        is_quiet=is_quiet,
        is_active=is_active,
        first_complete=first,
        revision=revision(first, last_complete),
    )


def parse_history(
    pages: Iterable[object], options: ParseOptions, *, first: date
) -> CampaignHistory:
    """Parse the complete days from `first` on; `MalformedSeries`: a page is malformed.

    Of a day in several pages the first of them is used. Labels are those that the
    newest row gives, even if it is of today.
    """
    rows: dict[date, Mapping[str, object]] = {}
    for document in pages:
        for day, row in usable_rows(document, options.today)[0]:
            rows.setdefault(day, row)
    parser = RowParser(channels=options.channels, metrics=options.metrics)
    days = [(day, parser.parse(rows[day])) for day in sorted(rows, reverse=True)]
    shown_days = [(day, stats) for day, stats in days if first <= day < options.today]

    union: dict[StatsKey, dict[str, int | float]] = defaultdict(dict)
    for _, stats_by_key in shown_days:
        for key, stats in stats_by_key.items():
            union[key].update(stats)
    costs = _costs([dict(union)])
    costs[_DATES] = _HISTORY_STATUS_SERIES
    admitted = _admit(parser.variations(), costs, room=options.series_limit)
    return CampaignHistory(
        variations=tuple(admitted.variations.values()),
        days=tuple(
            Day(day, start_of_day(day, options.timezone), admitted.figures(stats))
            for day, stats in reversed(shown_days)
        ),
        series=admitted.series,
        dropped_series=admitted.dropped_series,
    )


class _Admitted(NamedTuple):
    """What the limit of series admits of a document."""

    variations: Mapping[StatsKey, Variation]
    has_overall: bool
    has_dates: bool
    series: int
    dropped_series: int

    def figures(self, day: DayStats) -> Figures:
        """Return the admitted stats of a day."""
        return Figures(
            tuple(
                (one, day[key]) for key, one in self.variations.items() if key in day
            ),
            overall=day.get(OVERALL, {}) if self.has_overall else {},
        )


def _admit(
    variations: Mapping[StatsKey, Variation], costs: Counter[StatsKey], *, room: int
) -> _Admitted:
    """Return what fits; after the first variation that does not, no other does."""
    kept = set()
    series = 0
    for key in (_DATES, OVERALL, *(key for key in variations if key in costs)):
        if series + costs[key] <= room:
            kept.add(key)
            series += costs[key]
        elif key != OVERALL:
            break
    return _Admitted(
        variations={key: one for key, one in variations.items() if key in kept},
        has_overall=OVERALL in kept,
        has_dates=_DATES in kept,
        series=series,
        dropped_series=sum(costs.values()) - series,
    )


def _costs(days: Iterable[DayStats]) -> Counter[StatsKey]:
    """Count the series of each key, its `variation_info` included."""
    costs = Counter[StatsKey]()
    for day in days:
        for key, stats in day.items():
            costs[key] += len(stats)
    costs.update(key for key in list(costs) if key != OVERALL)
    return costs


def _history(
    days: Iterable[tuple[date, DayStats]], admitted: _Admitted, today: date
) -> RecentDays | None:
    """Return the newest days, over the admitted stats."""
    by_age = {}
    for day, stats in days:
        age = (today - day).days
        if 0 <= age < recent_days.DAYS:
            by_age[age] = past_day(admitted.figures(stats))
    return recent_days.pack_days(today, by_age)


def past_day(figures: Figures) -> recent_days.PastDay:
    """Return the day's entry in the history."""
    parts = [(one.channel, stats) for one, stats in figures.variations]
    found = deliverability.of_parts([*parts, (OVERALL[0], figures.overall)])
    sent = None if found.sent is None else float(found.sent)
    return recent_days.PastDay(sent, found.level)


def activity(
    rows: Sequence[tuple[date, Mapping[str, object]]], options: ParseOptions
) -> tuple[bool, bool]:
    """Return whether two weeks were quiet, and whether the last two days were not.

    Without a window that is long enough, no weeks are quiet in any response.
    Fields that are not selected count too: a campaign that sends is not idle, even if
    only its bounces are exposed.
    """
    ages = [((options.today - day).days, row) for day, row in rows]
    recent = [(age, row) for age, row in ages if age <= QUIET_DAYS]
    active = [age for age, row in recent if has_count(row)]
    complete = sum(age >= 1 for age, _ in recent)
    is_quiet = (
        not active
        and complete == QUIET_DAYS
        and can_be_quiet(days_needed(options.windows))
    )
    return is_quiet, any(age <= 1 for age in active)
