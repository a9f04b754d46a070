"""Parses series of the workspace with one count a day, such as `/kpi/dau`.

`data` is a list of days with `time` and the count, whose field differs by endpoint.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta

from exporter.model.json_values import is_number
from exporter.model.patterns import matcher
from exporter.model.snapshot import PastSample, Sample, Snapshot
from exporter.series import samples
from exporter.series.days import span_of_day, start_of_day
from exporter.series.parse import ParseOptions, complete_dates
from exporter.series.rows import Row, items_of, usable_rows
from exporter.series.windows import exact_sum, sums_by_day

_DAY = timedelta(days=1)


def parse(
    document: object,
    options: ParseOptions,
    *,
    field: str,
    metric: str,
    has_sums: bool = True,
) -> Snapshot:
    """Return the counts of the newest day, of the last complete one, and sums.

    `metric` is the label of the count `field`; `has_sums`: it adds up over days.
    """
    days = items_of(document, expected="a list of days")
    rows, skipped_rows = usable_rows(days, options.today)
    ignored_values = sum(is_ignored(row.get(field)) for _, row in rows)
    is_selected = matcher(options.metrics)(metric)
    found = tuple(_samples(rows, options, field, metric, has_sums=has_sums))
    return samples.snapshot_of(
        [found] if is_selected else [],
        series_limit=options.series_limit,
        ignored_values=ignored_values if is_selected else 0,
        skipped_rows=skipped_rows,
    )


def history(
    rows: Sequence[object],
    options: ParseOptions,
    *,
    first: date,
    last: date,
    field: str,
    metric: str,
    has_sums: bool = True,
) -> Iterator[PastSample]:
    """Yield the counts of complete days, and sums, each over the day after it."""
    if not matcher(options.metrics)(metric):
        return
    found = dict(usable_rows(rows, options.today)[0])
    dates = complete_dates(found, options.today, first=first, last=last)
    starts = {day: start_of_day(day, options.timezone) for day in dates if day in found}
    counts = {day: value for day in starts if is_number(value := found[day].get(field))}
    labels = (("metric", metric),)
    name = "braze_workspace_last_complete_day"
    yield from _past(name, labels, counts, options)
    yield from _past(f"{name}_timestamp_seconds", labels, starts, options)
    for window in options.windows if has_sums else ():
        own = (*labels, ("window", f"{window}d"))
        sums = dict(sums_by_day(counts, dates, window))
        yield from _past("braze_workspace_trailing", own, sums, options)


def _past(
    family: str,
    labels: tuple[tuple[str, str], ...],
    values: Mapping[date, int | float],
    options: ParseOptions,
) -> Iterator[PastSample]:
    """Yield a series with the values of days, unless there are none."""
    if values:
        spans = (span_of_day(day + _DAY, options.timezone) for day in values)
        past = tuple(zip(spans, values.values(), strict=True))
        yield PastSample(family, labels, past)


def is_ignored(value: object) -> bool:
    """Return whether a value is neither a number nor absent."""
    return value is not None and not is_number(value)


def _samples(
    rows: list[tuple[date, Row]],
    options: ParseOptions,
    field: str,
    metric: str,
    *,
    has_sums: bool,
) -> Iterator[Sample]:
    """Yield the samples of rows, which are newest first."""
    labels = (("metric", metric),)
    past = [(day, row) for day, row in rows if day < options.today]
    for family, newest in (("daily", rows[:1]), ("last_complete_day", past[:1])):
        for day, row in newest:
            name = f"braze_workspace_{family}"
            if is_number(value := row.get(field)):
                yield Sample(name, labels, value)
            starts_at = start_of_day(day, options.timezone)
            yield Sample(f"{name}_timestamp_seconds", labels, starts_at)
    for window in options.windows if has_sums else ():
        values = [
            value
            for day, row in past
            if (options.today - day).days <= window
            and is_number(value := row.get(field))
        ]
        if values and (added := exact_sum(values)) is not None:
            own = (*labels, ("window", f"{window}d"))
            yield Sample("braze_workspace_trailing", own, added)
