"""Parses `/cdi/integrations`: the last sync of each integration, over several pages.

Of an integration nothing is kept but what is exposed: it has addresses of persons.
"""

from __future__ import annotations

from collections.abc import Mapping

from exporter.model.labels import clean
from exporter.model.snapshot import Sample, Snapshot
from exporter.series import samples
from exporter.series.days import parse_instant
from exporter.series.parse import ParseOptions
from exporter.series.rows import items_of, text_of

_ID, _NAME = "integration_id", "integration_name"
_STATUS, _STARTED_AT = "last_job_status", "last_job_start_time"


def joined(before: object, page: object) -> Mapping[str, object]:
    """Return the document of all pages so far; `MalformedSeries`: it is not a page.

    `before` is what this function returned for the previous page; None: it is the
    first one.
    """
    previous = () if before is None else _items(before)
    items = (_stripped(one) for one in _items(page))
    return {"results": [*previous, *items]}


def parse(document: object, options: ParseOptions) -> Snapshot:
    """Return the start and the status of each integration's last sync.

    Of an integration that moved to a later page between two requests, the later one
    is used.
    """
    items = _items(document)
    listed: dict[tuple[str, int], tuple[str, str, Mapping[str, object]]] = {}
    skipped_rows = 0
    for number, item in enumerate(items):
        fields = item if isinstance(item, dict) else {}
        id_, name = text_of(fields.get(_ID)), text_of(fields.get(_NAME))
        skipped_rows += not (id_ or name)
        if id_ or name:
            listed[id_, 0 if id_ else number] = (id_, name, fields)
    names = samples.unique_names((id_, name) for id_, name, _ in listed.values())
    units = []
    for name, (_, _, one) in sorted(
        zip(names, listed.values(), strict=True), key=lambda it: it[0]
    ):
        unit = []
        at = parse_instant(one.get(_STARTED_AT), options.timezone)
        label = ("integration", name)
        if at is not None:
            family = "braze_data_ingestion_last_sync_timestamp_seconds"
            unit.append(Sample(family, (label,), at))
        if status := clean(text_of(one.get(_STATUS))):
            labels = (label, ("status", status))
            unit.append(Sample("braze_data_ingestion_status_info", labels, 1))
        units.append(unit)
    return samples.snapshot_of(
        units,
        series_limit=options.series_limit,
        ignored_values=0,
        skipped_rows=skipped_rows,
    )


def _items(document: object) -> list[object]:
    return list(items_of(document, key="results", expected="a list of integrations"))


def _stripped(item: object) -> object:
    """Return an integration without what is not exposed."""
    if not isinstance(item, dict):
        return None
    return {
        key: value
        for key in (_ID, _NAME, _STATUS, _STARTED_AT)
        if isinstance(value := item.get(key), str)
    }
