"""Parses `/segments/data_series`: the estimated number of users of a segment by day."""

from __future__ import annotations

from exporter.model.json_values import is_number
from exporter.model.snapshot import Sample, Snapshot
from exporter.series import samples
from exporter.series.parse import ParseOptions
from exporter.series.rows import items_of, usable_rows
from exporter.series.workspace_totals import is_ignored


def parse(document: object, options: ParseOptions) -> Snapshot:
    """Return the size of the newest day that has one."""
    days = items_of(document, expected="a list of days")
    rows, skipped_rows = usable_rows(days, options.today)
    values = [row.get("size") for _, row in rows]
    sizes = [value for value in values if is_number(value)]
    return samples.snapshot_of(
        [(Sample("braze_segment_size", (), size),) for size in sizes[:1]],
        series_limit=options.series_limit,
        ignored_values=sum(map(is_ignored, values)),
        skipped_rows=skipped_rows,
    )
