"""What is served: one immutable entry per object, replaced as a whole.

A reader gets one tuple of all entries and holds no lock while it writes to a client.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import NamedTuple

from exporter.metrics.object_metrics import (
    ObjectLabels,
    PollStatus,
    RenderedObject,
    without_month,
)
from exporter.model.snapshot import Snapshot
from exporter.series.incremental import CachedDocument
from exporter.series.older_days import NOTHING_OLDER, OlderDays

_LATE_SECONDS = 30.0
"""How long after its first slot an object counts as failing if it was never polled."""


class ObjectKey(NamedTuple):
    """Identifies an object of a workspace."""

    workspace: str
    kind: str
    id: str
    """In Braze."""


class Fingerprint(NamedTuple):
    """The digest of a response's body, and how the response was parsed."""

    digest: int
    known: CachedDocument


class Entry(NamedTuple):
    """All that is served of one object."""

    labels: ObjectLabels
    status: PollStatus
    """The status of the object; a pause of its workspace does not change it."""
    status_blocks: RenderedObject
    last_read: Snapshot | None = None
    """The last successful poll; kept when `values` expire."""
    values: RenderedObject | None = None
    """`last_read`, rendered; None before the first success and when it is stale."""
    fingerprint: Fingerprint | None = None
    """The response of `last_read`; None: unknown."""
    read_at: float = -math.inf
    """When `last_read` was read, by the process clock."""
    failed_at: float = -math.inf
    """When the last poll failed, by the process clock."""
    expires_at: float = math.inf
    due_at: float = math.inf
    """When the first poll is due."""
    account: object = None
    """Identifies the account whose polls may change the entry."""
    endpoint_digest: str = ""
    """Of that account; a state file contains no address."""
    older: OlderDays = NOTHING_OLDER
    """The days that its newest request does not cover."""

    @property
    def key(self) -> ObjectKey:
        """The key of the entry in a store."""
        return ObjectKey(self.labels.workspace, self.labels.kind, self.labels.id)

    @property
    def month_ends_at(self) -> float:
        """When the month ends whose messages are served, by the wall clock."""
        month = self.snapshot and self.snapshot.month_to_date
        return month.ends_at if month else math.inf

    @property
    def series(self) -> int:
        """The number of series that are served."""
        return self.status_blocks.series + (self.values.series if self.values else 0)

    @property
    def snapshot(self) -> Snapshot | None:
        """The snapshot that is served; None once it is stale."""
        return None if self.values is None else self.last_read

    def is_overdue(self, *, now: float) -> bool:
        """Return whether no poll has ended although the first was due long ago."""
        return self.status.is_up is None and now - self.due_at > _LATE_SECONDS


class Store:
    """The entries by object. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._entries: dict[ObjectKey, Entry] = {}
        self._all: tuple[Entry, ...] | None = ()
        self._is_held = False
        self._month_ends_at = math.inf
        self.version = 0
        """Increases with every change."""

    def put(self, entry: Entry) -> None:
        """Add an entry, or replace the previous entry of its object."""
        with self._lock:
            self._set(entry)
            self._changed()

    def get(self, key: ObjectKey) -> Entry | None:
        """Return an object's entry."""
        return self._entries.get(key)

    def update(self, key: ObjectKey, change: Callable[[Entry], Entry]) -> None:
        """Replace an entry by what `change` returns; a removed one stays removed."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._set(change(entry))
                self._changed()

    def remove(self, keys: Iterable[ObjectKey]) -> None:
        """Remove objects; unknown keys are ignored."""
        with self._lock:
            for key in keys:
                self._entries.pop(key, None)
            self._changed()

    def entries(self) -> tuple[Entry, ...]:
        """Return all entries, in the order in which objects were added."""
        with self._lock:
            return self._snapshot()

    @contextmanager
    def published_together(self) -> Iterator[None]:
        """Keep what `entries` returns until the end of the context.

        A reader sees all changes of the context or none, so that no page contains two
        configurations. One thread at a time may use it.
        """
        with self._lock:
            self._snapshot()
            self._is_held = True
        try:
            yield
        finally:
            with self._lock:
                self._is_held = False
                self._changed()

    def expire(self, *, now: float) -> tuple[Entry, ...]:
        """Remove the values that expired by `now`; return the entries that had them."""
        with self._lock:
            stale = tuple(
                entry for entry in self._entries.values() if entry.expires_at <= now
            )
        for entry in stale:
            self.update(entry.key, lambda current: _without_values(current, now=now))
        return stale

    def end_months(self, *, now: float) -> None:
        """Remove the messages of months that ended by `now`, by the wall clock."""
        if now < self._month_ends_at:
            return
        with self._lock:
            self._month_ends_at = math.inf
            for entry in tuple(self._entries.values()):
                self._set(_without_month(entry, now=now))
            self._changed()

    def _set(self, entry: Entry) -> None:
        self._entries[entry.key] = entry
        self._month_ends_at = min(self._month_ends_at, entry.month_ends_at)

    def _snapshot(self) -> tuple[Entry, ...]:
        if self._all is None:
            self._all = tuple(self._entries.values())
        return self._all

    def _changed(self) -> None:
        if not self._is_held:
            self._all = None
            self.version += 1


def _without_month(entry: Entry, *, now: float) -> Entry:
    if entry.month_ends_at > now or not entry.last_read or not entry.values:
        return entry
    values = without_month(entry.values, entry.last_read)
    snapshot = entry.last_read._replace(month_to_date=None)
    return entry._replace(last_read=snapshot, values=values)


def _without_values(entry: Entry, *, now: float) -> Entry:
    if entry.expires_at > now:
        return entry  # a poll ended meanwhile
    return entry._replace(values=None, expires_at=math.inf)
