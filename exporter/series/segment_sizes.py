"""Parses `/segments/data_series`: the estimated number of users of a segment by day."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

from exporter.model.json_values import is_number
from exporter.model.snapshot import PastSample, Sample, Snapshot
from exporter.series import samples
from exporter.series.days import span_of_day
from exporter.series.parse import ParseOptions, complete_dates
from exporter.series.rows import items_of, usable_rows
from exporter.series.workspace_totals import is_ignored

_FAMILY = "braze_segment_size"


def parse(document: object, options: ParseOptions) -> Snapshot:
    """Return the size of the newest day that has one."""
    days = items_of(document, expected="a list of days")
    rows, skipped_rows = usable_rows(days, options.today)
    values = [row.get("size") for _, row in rows]
    sizes = [value for value in values if is_number(value)]
    return samples.snapshot_of(
        [(Sample(_FAMILY, (), size),) for size in sizes[:1]],
        series_limit=options.series_limit,
        ignored_values=sum(map(is_ignored, values)),
        skipped_rows=skipped_rows,
    )


def history(
    rows: Sequence[object], options: ParseOptions, *, first: date, last: date
) -> Iterator[PastSample]:
    """Yield the sizes of complete days, each over its own day."""
    found = dict(usable_rows(rows, options.today)[0])
    dates = complete_dates(found, options.today, first=first, last=last)
    values = tuple(
        (span_of_day(day, options.timezone), size)
        for day in dates
        if day in found and is_number(size := found[day].get("size"))
    )
    if values:
        yield PastSample(_FAMILY, (), values)
