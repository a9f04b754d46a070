"""Snapshots of plain samples, and the names of what is listed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from exporter.model.labels import NamedEntry, assign_labels, clean, identify
from exporter.model.snapshot import Sample, Snapshot

STATUS_SERIES = 4
"""What a series exposes beside its samples at most; it is under the limit too."""


def snapshot_of(
    units: Iterable[Sequence[Sample]],
    *,
    series_limit: int,
    ignored_values: int,
    skipped_rows: int = 0,
) -> Snapshot:
    """Return the samples within the limit of the series, status included.

    The samples of a unit are kept or dropped together; after the first unit that does
    not fit, no other is kept.
    """
    kept: list[Sample] = []
    dropped = 0
    for unit in units:
        if dropped or STATUS_SERIES + len(kept) + len(unit) > series_limit:
            dropped += len(unit)
        else:
            kept += unit
    return Snapshot(
        samples=tuple(kept),
        dropped_series=dropped,
        ignored_values=ignored_values,
        skipped_rows=skipped_rows,
    )


def unique_names(listed: Iterable[tuple[str, str]]) -> list[str]:
    """Return a unique label for each (id, name), in their order.

    Equal names get the first 8 characters of the ids; without a name it is the id.
    """
    entries = [_named(one) for one in identify(listed)]
    labels = assign_labels([entries])
    return [labels[one.key] for one in entries]


def _named(one: NamedEntry) -> NamedEntry:
    return one if one.name else one._replace(name=clean(one.key.id))
