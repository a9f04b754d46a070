"""Parses `/messages/scheduled_broadcasts`: the planned sends of campaigns and canvases.

A recurring one has one sample, with its next send.
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

    def order(self, now: float) -> tuple[bool, float]:
        """Return the order of sends of one broadcast: the next one, then past ones."""
        at = self.next_send_at
        return (at < now, abs(at - now))


def parse(document: object, options: ParseOptions) -> Snapshot:
    """Return when each broadcast is sent next, the earliest first."""
    items = items_of(
        document, key="scheduled_broadcasts", expected="a list of broadcasts"
    )
    by_kind: dict[str, dict[tuple[str, int], _Broadcast]] = defaultdict(dict)
    skipped_rows = 0
    for number, item in enumerate(items):
        if not isinstance(item, dict):
            skipped_rows += 1
            continue
        kind = text_of(item.get("type")).lower()
        id_, name = text_of(item.get("id")), text_of(item.get("name"))
        at = parse_instant(item.get("next_send_time"), options.timezone)
        if kind not in _KINDS or not (id_ or name) or at is None:
            skipped_rows += 1
            continue
        one, key = _Broadcast(id_, name, at), (id_, 0 if id_ else number)
        known = by_kind[kind].get(key, one)
        by_kind[kind][key] = min(known, one, key=lambda it: it.order(options.now))
    found = [
        Sample(
            "braze_broadcast_next_send_timestamp_seconds",
            (("kind", kind), ("name", name)),
            broadcast.next_send_at,
        )
        for kind, listed in by_kind.items()
        for broadcast, name in zip(
            listed.values(),
            samples.unique_names((one.id, one.name) for one in listed.values()),
            strict=True,
        )
    ]
    return samples.snapshot_of(
        [(one,) for one in sorted(found, key=lambda one: (one.value, one.labels))],
        series_limit=options.series_limit,
        ignored_values=0,
        skipped_rows=skipped_rows,
    )
