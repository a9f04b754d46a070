"""Parses the data series of an object into a snapshot.

Any JSON value gives a `Snapshot` or `MalformedSeries`. Days are chosen by their `time`,
never by their position.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import (
    Callable,
    Hashable,
    Iterable,
    Mapping,
    Sequence,
    Set,
    Sized,
)
from datetime import date, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from exporter.model.config import Selection
from exporter.model.snapshot import (
    STEP,
    STEP_CHANNEL,
    VARIANT,
    VARIATION,
    Day,
    Figures,
    ObjectHistory,
    Part,
    PastSample,
    RecentDays,
    Snapshot,
)
from exporter.series import deliverability, month_to_date, recent_days
from exporter.series.days import start_of_day
from exporter.series.revisions import carry_first_reading, revision
from exporter.series.rows import (
    WHOLE_KEY,
    DayStats,
    DocumentRows,
    PartKey,
    Row,
    RowParser,
    usable_rows,
)
from exporter.series.windows import NOT_ADDITIVE, sums_by_day, trailing_sums

_HISTORY_STATUS_SERIES = 2
"""What a history holds beside its values: the object's info, and which day it is."""

_DATES = "dates"
_MONTH = "month"
"""The units of the days' timestamps, and of the month, where series are counted."""

_WITH_INFO = {VARIATION, VARIANT, STEP, STEP_CHANNEL}
"""Groups whose units have one more series each, with their ids."""


class ParseOptions(NamedTuple):
    """How a document is parsed."""

    row_parser: type[RowParser] | None
    """Of the kind of object; None: it has a `sample_parser`."""
    today: date
    """In the workspace's time zone."""
    timezone: ZoneInfo
    windows: tuple[int, ...]
    """In days, ascending, without repeats."""
    channels: Selection
    metrics: Selection
    series_limit: int
    """Of the whole object, its status included."""
    revisions: bool = False
    """Whether the last complete day is compared with its first reading."""
    skip_unused: bool = False
    """Whether fields are left out that are 0 in all numbers of all rows."""
    sample_parser: SampleParser | None = None
    """Of a series of the workspace."""
    now: float = 0.0
    """By the wall clock; 0 for kinds of days."""
    contract: tuple[str, ...] = ()
    """The channels whose messages of the month are counted."""

    @property
    def look_back(self) -> tuple[int, ...]:
        """The windows that requests cover."""
        return month_to_date.look_back(self.windows, is_counted=bool(self.contract))


SampleParser = Callable[[object, ParseOptions], Snapshot]
"""(document, options) → the samples; `MalformedSeries`: it is not such a document."""

HistoryParser = Callable[..., Iterable[PastSample]]
"""(rows, options, first=, last=) → the series of the past, as in `parse_history`.

Of rows with the same time the last one is used.
"""


def parse(
    document: object, options: ParseOptions, *, first_complete: Day | None = None
) -> Snapshot:
    """Parse a response of Braze; `MalformedSeries`: it is not a data series.

    `first_complete` is that of the previous snapshot.
    """
    return snapshot_of(rows_of(document, options), options, first_complete)


def rows_of(document: object, options: ParseOptions) -> DocumentRows:
    """Return the rows of a document; `MalformedSeries`: it is not a data series."""
    parser = row_parser_of(options)
    return DocumentRows(parser.days(document), options.today, parser)


def row_parser_of(options: ParseOptions) -> RowParser:
    """Return a parser of the rows of one document."""
    assert options.row_parser  # noqa: S101 - for the reader of types
    return options.row_parser(channels=options.channels, metrics=options.metrics)


def snapshot_of(
    rows: DocumentRows, options: ParseOptions, first_complete: Day | None
) -> Snapshot:
    """Return what `parse` makes of a document, some rows of which may be parsed."""
    all_days = rows.days()
    days = all_days
    if options.skip_unused:
        used = rows.parser.fields_in_use(row for _, row in rows.rows)
        days = [(day, _only(used, stats)) for day, stats in all_days]
    past = [(day, stats) for day, stats in days if day < options.today]
    ages = [((options.today - day).days, stats) for day, stats in past]
    trailing = trailing_sums(ages, options.windows)
    shown_days = [*days[:1], *past[:1]]
    month = month_to_date.of_days(
        days, today=options.today, timezone=options.timezone, channels=options.contract
    )
    is_quiet, is_active = activity(rows.rows, rows.parser, options)

    costed = [stats for _, stats in [*shown_days, *trailing]]
    if options.revisions and past:
        costed.append(past[0][1])
    room = options.series_limit - rows.parser.status_series
    admitted = _admit(
        rows.parser,
        costed,
        days_shown=len(shown_days),
        months_shown=len(month.messages) if month else 0,
        room=room,
    )

    def newest(rows: Sequence[tuple[date, DayStats]]) -> Day | None:
        if not rows or not admitted.has_dates:
            return None
        day, stats = rows[0]
        return Day(day, start_of_day(day, options.timezone), admitted.figures(stats))

    last_complete, first = newest(past), None
    if options.revisions:
        reading = last_complete
        if reading and options.skip_unused:
            # A number that is added to 0 later has a revision.
            stats = next(stats for day, stats in all_days if day == reading.date)
            reading = reading._replace(figures=admitted.all_figures(stats))
        first = carry_first_reading(reading, first_complete, options.today)
    sums = ((window, admitted.figures(stats)) for window, stats in trailing)
    return Snapshot(
        parts=tuple(admitted.parts.values()),
        latest=newest(days),
        last_complete=last_complete,
        trailing=tuple((n, one) for n, one in sums if one),
        dropped_series=admitted.dropped_series,
        ignored_values=rows.parser.ignored_values,
        skipped_rows=rows.skipped_rows,
        history=_history(days, admitted, options.today),
        is_quiet=is_quiet,
        is_active=is_active,
        first_complete=first,
        revision=revision(first, last_complete),
        month_to_date=month if admitted.has_month else None,
    )


def _only(names: Set[str], day: DayStats) -> DayStats:
    kept = (
        (key, {name: value for name, value in stats.items() if name in names})
        for key, stats in day.items()
    )
    return {key: stats for key, stats in kept if stats}


def parse_history(
    pages: Iterable[object], options: ParseOptions, *, first: date, last: date
) -> ObjectHistory:
    """Parse the complete days from `first` on; `MalformedSeries`: a page is malformed.

    `last` is the last complete day that the pages certainly cover; a row of a later day
    shows that they cover more. Of a day in several pages the first of them is used.
    Pages come newest first, and one is in memory at a time. Labels are those that the
    newest row gives, even if it is of today.
    """
    days: dict[date, DayStats] = {}
    used: set[str] = set()
    parser = row_parser_of(options)
    for document in pages:
        parser.entries = 0  # the limit is that of one document
        for day, row in usable_rows(parser.days(document), options.today)[0]:
            if day not in days:
                days[day] = parser.parse(row)
                if options.skip_unused:
                    used |= parser.fields_in_use([row])
    if options.skip_unused:
        days = {day: _only(used, stats) for day, stats in days.items()}
    dates = complete_dates(days, options.today, first=first, last=last)
    shown_days = [(day, days[day]) for day in reversed(dates) if day in days]
    windows = tuple(one for one in options.windows if one <= len(dates))

    fields: dict[PartKey, dict[str, dict[date, int | float]]] = defaultdict(dict)
    for day, stats_by_key in shown_days:
        for key, stats in stats_by_key.items():
            for name, value in stats.items():
                fields[key].setdefault(name, {})[day] = value

    def with_sums(window: int) -> Mapping[PartKey, Sized]:
        """Return the fields that have a sum over some such window."""
        return {
            key: [
                name
                for name, values in stats.items()
                if name != NOT_ADDITIVE and any(sums_by_day(values, dates, window))
            ]
            for key, stats in fields.items()
        }

    admitted = _admit(
        parser,
        [fields, *map(with_sums, windows)],
        days_shown=_HISTORY_STATUS_SERIES,
        room=options.series_limit,
    )
    return ObjectHistory(
        parts=tuple(admitted.parts.values()),
        days=tuple(
            Day(day, start_of_day(day, options.timezone), admitted.figures(stats))
            for day, stats in reversed(shown_days)
        ),
        dates=dates,
        windows=windows,
        series=admitted.series,
        dropped_series=admitted.dropped_series,
    )


def complete_dates(
    rows: Iterable[date], today: date, *, first: date, last: date
) -> tuple[date, ...]:
    """Return the dates from `first` on that are over and that the pages cover."""
    last = min(today - timedelta(days=1), max([last, *rows]))
    return tuple(first + timedelta(days=n) for n in range((last - first).days + 1))


class _Admitted(NamedTuple):
    """What the limit of series admits of a document."""

    parts: Mapping[PartKey, Part]
    unused_parts: Mapping[PartKey, Part]
    """Parts without a number on the days, which cost no series."""
    has_dates: bool
    has_month: bool
    series: int
    dropped_series: int

    def figures(self, day: DayStats) -> Figures:
        """Return the admitted stats of a day."""
        return tuple((one, day[key]) for key, one in self.parts.items() if key in day)

    def all_figures(self, day: DayStats) -> Figures:
        """Return the stats of a day that the limit does not keep out."""
        parts = {**self.parts, **self.unused_parts}
        return tuple((one, day[key]) for key, one in parts.items() if key in day)


def _admit(
    parser: RowParser,
    days: Iterable[Mapping[PartKey, Sized]],
    *,
    days_shown: int,
    months_shown: int = 0,
    room: int,
) -> _Admitted:
    """Return what fits; after the first unit that does not, no other does.

    `days` have one series for each field. Numbers of the whole object that do not fit
    leave room for the units after it.
    """
    found = parser.parts()
    unit_of = {key: parser.unit(key) for key in found}
    costs = Counter[Hashable]()
    for day in days:
        for key, stats in day.items():
            costs[unit_of[key]] += len(stats)
    parts = {key: one for key, one in found.items() if unit_of[key] in costs}
    costs.update({unit_of[key] for key in parts if key[0] in _WITH_INFO})
    costs[_DATES], costs[_MONTH] = days_shown, months_shown
    kept: set[Hashable] = set()
    series = 0
    for unit in dict.fromkeys((_DATES, _MONTH, *(unit_of[key] for key in parts))):
        if series + costs[unit] <= room:
            kept.add(unit)
            series += costs[unit]
        elif unit != WHOLE_KEY:
            break
    return _Admitted(
        parts={key: one for key, one in parts.items() if unit_of[key] in kept},
        unused_parts={key: one for key, one in found.items() if key not in parts},
        has_dates=_DATES in kept,
        has_month=_MONTH in kept,
        series=series,
        dropped_series=sum(costs.values()) - series,
    )


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
    found = deliverability.of_figures(figures)
    sent = None if found.sent is None else float(found.sent)
    return recent_days.PastDay(sent, found.level)


def activity(
    rows: Iterable[tuple[date, Row]], parser: RowParser, options: ParseOptions
) -> tuple[bool, bool]:
    """Return whether the quiet days were quiet, and whether the last two were not.

    Without a window that is long enough, no weeks are quiet in any response.
    Fields that are not selected count too: a campaign that sends is not idle, even if
    only its bounces are exposed.
    """
    ages = [((options.today - day).days, row) for day, row in rows]
    recent = [(age, row) for age, row in ages if age <= parser.quiet_days]
    active = [age for age, row in recent if parser.has_count(row)]
    complete = sum(age >= 1 for age, _ in recent)
    is_quiet = (
        not active
        and complete == parser.quiet_days
        and parser.can_be_quiet(options.look_back)
    )
    return is_quiet, any(age <= 1 for age in active)
