"""Parses `/messages/scheduled_broadcasts`: the planned sends of campaigns and canvases.

A recurring one is listed once, with its next send.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from exporter.model.snapshot import Sample, Snapshot
from exporter.series import samples
from exporter.series.days import parse_instant
from exporter.series.parse import ParseOptions
from exporter.series.rows import items_of, text_of

_KINDS = {"campaign", "canvas"}


class _Broadcast(NamedTuple):
    id: str
    name: str
    next_send_at: float


def parse(document: object, options: ParseOptions) -> Snapshot:
    """Return when each broadcast is sent next, the earliest first."""
    items = items_of(
        document, key="scheduled_broadcasts", expected="a list of broadcasts"
    )
    by_kind: dict[str, list[_Broadcast]] = defaultdict(list)
    for item in items:
        if not isinstance(item, dict):
            continue
        kind = text_of(item.get("type")).lower()
        id_, name = text_of(item.get("id")), text_of(item.get("name"))
        at = parse_instant(item.get("next_send_time"), options.timezone)
        if kind in _KINDS and (id_ or name) and at is not None:
            by_kind[kind].append(_Broadcast(id_, name, at))
    found = [
        Sample(
            "braze_broadcast_next_send_timestamp_seconds",
            (("kind", kind), ("name", name)),
            broadcast.next_send_at,
        )
        for kind, listed in by_kind.items()
        for broadcast, name in zip(
            listed,
            samples.unique_names((one.id, one.name) for one in listed),
            strict=True,
        )
    ]
    return samples.snapshot_of(
        [(one,) for one in sorted(found, key=lambda one: (one.value, one.labels))],
        series_limit=options.series_limit,
        ignored_values=0,
        skipped_rows=len(items) - len(found),
    )
