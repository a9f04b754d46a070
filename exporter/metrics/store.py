"""What is served: one frozen entry per campaign, swapped whole.

A reader takes one tuple of all entries and holds no lock while it writes to a peer. It
does not know how an entry came about, nor how a page is put together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from threading import Lock
from typing import NamedTuple

from exporter.metrics.campaign_metrics import ObjectLabels, PollStatus, RenderedObject
from exporter.model.snapshot import Snapshot
from exporter.series.incremental import CachedDocument

ObjectKey = tuple[str, str]
"""(workspace, campaign id)"""


class Fingerprint(NamedTuple):
    """An answer of Braze, as far as it tells whether another one says the same."""

    digest: int
    """Of its body."""
    known: CachedDocument
    """How it was parsed, and whether its snapshot can be reused for the next one."""


class Entry(NamedTuple):
    """All that is served of one campaign."""

    subject: ObjectLabels
    status: PollStatus
    """The campaign's own, whatever its workspace's pause shows instead."""
    status_blocks: RenderedObject
    last_read: Snapshot | None = None
    """What Braze said last; it outlives stale values."""
    values: RenderedObject | None = None
    """The same rendered; None if nothing was read yet or it is stale."""
    source: Fingerprint | None = None
    """What both were made of; None: that is not known any more."""
    read_at: float = -math.inf
    """When they were read, by the process clock."""
    failed_at: float = -math.inf
    """When the last poll failed, by the process clock."""
    expires_at: float = math.inf

    @property
    def key(self) -> ObjectKey:
        """What the store knows it by."""
        return (self.subject.workspace, self.subject.campaign_id)

    @property
    def snapshot(self) -> Snapshot | None:
        """What is served: nothing, once it is stale."""
        return None if self.values is None else self.last_read


class Store:
    """Campaign → entry. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._entries: dict[ObjectKey, Entry] = {}
        self._all: tuple[Entry, ...] | None = ()
        self.version = 0
        """Another one after every change."""

    def put(self, entry: Entry) -> None:
        """Add an entry, or put it in the place of its campaign's former one."""
        with self._lock:
            self._entries[entry.key] = entry
            self._changed()

    def get(self, key: ObjectKey) -> Entry | None:
        """Return a campaign's entry."""
        return self._entries.get(key)

    def update(self, key: ObjectKey, change: Callable[[Entry], Entry]) -> None:
        """Swap an entry for what `change` makes of it; one that is gone stays gone."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries[key] = change(entry)
                self._changed()

    def remove(self, keys: Iterable[ObjectKey]) -> None:
        """Let campaigns leave whole."""
        with self._lock:
            for key in keys:
                self._entries.pop(key, None)
            self._changed()

    def entries(self) -> tuple[Entry, ...]:
        """Return all entries, ordered by when their campaigns came."""
        with self._lock:
            if self._all is None:
                self._all = tuple(self._entries.values())
            return self._all

    def expire(self, *, now: float) -> tuple[Entry, ...]:
        """Drop the values whose time is over and return the entries that had them."""
        stale = tuple(entry for entry in self.entries() if entry.expires_at <= now)
        for entry in stale:
            self.update(entry.key, lambda current: _without_values(current, now=now))
        return stale

    def _changed(self) -> None:
        self._all = None
        self.version += 1


def _without_values(entry: Entry, *, now: float) -> Entry:
    if entry.expires_at > now:
        return entry  # a poll ended meanwhile
    return entry._replace(values=None, expires_at=math.inf)
