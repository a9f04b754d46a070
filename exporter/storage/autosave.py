"""Saves the values of a store to the state file while the daemon runs.

A fault of the disk is logged once and counted each time; polling goes on without it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from threading import Lock

from exporter.metrics.families import BY_KIND, CAMPAIGN, CANVAS
from exporter.metrics.self_metrics import SelfMetrics
from exporter.metrics.store import Entry, ObjectKey, Store
from exporter.model.errors import StateError
from exporter.series.kept import Kept, KeptEntries
from exporter.storage.sqlite_state import SqliteState

_log = logging.getLogger(__name__)


class Autosave:
    """Saves what changed in a store since the last save that succeeded."""

    def __init__(
        self, state: SqliteState, *, store: Store, telemetry: SelfMetrics
    ) -> None:
        self._state = state
        self._store = store
        self._telemetry = telemetry
        self._saved: dict[ObjectKey, Kept] = {}
        self._files_created = state.files_created
        self._is_failing = False
        self._lock = Lock()

    def restore(self) -> KeptEntries:
        """Return the saved values; of an unusable file, which is quarantined, none.

        A file that another process has locked stays in its place.
        """
        try:
            kept = self._state.load()
        except StateError as error:
            _log.error("state.unusable", extra={"fields": {"error": str(error)}})
            self._telemetry.restored(is_successful=False)
            if not error.is_locked:
                self._state.quarantine()
            return {}
        self._telemetry.restored(is_successful=True)
        self._saved = {ObjectKey(*key): one for key, one in kept.items()}
        labels = Counter(BY_KIND[key.kind].label for key in self._saved)
        facts = {
            "campaigns": labels[CAMPAIGN.label],
            "canvases": labels[CANVAS.label],
            "series": labels["series"],
        }
        _log.info("state.restored", extra={"fields": facts})
        return kept

    def save(self, is_complete: Callable[[str], bool] = lambda _: True) -> None:
        """Save what changed; if the file was removed, everything.

        `is_complete` returns whether all objects of a workspace are known. Only then
        does an object without an entry lose its saved values: discovery may find it.
        """
        with self._lock:
            self._save(is_complete)

    def _save(self, is_complete: Callable[[str], bool]) -> None:
        if (
            not self._state.exists()
            or self._files_created != self._state.files_created  # by discovery
        ):
            self._saved.clear()
        # Before the entries: objects may be found while these are compared.
        complete = set(filter(is_complete, {key.workspace for key in self._saved}))
        entries = {entry.key: entry for entry in self._store.entries()}
        changed = {
            key: kept
            for key, entry in entries.items()
            if (kept := _kept(entry)) and kept != self._saved.get(key)
        }
        gone = [
            key
            for key in self._saved
            if key not in entries and key.workspace in complete
        ]
        if not changed and not gone:
            return
        try:
            self._state.save(changed, gone)
        except StateError as error:
            self._telemetry.saved(is_successful=False)
            if not self._is_failing:
                _log.error("state.unsaved", extra={"fields": {"error": str(error)}})
            self._is_failing = True
            if error.is_damaged:
                self._state.quarantine()
            return
        self._files_created = self._state.files_created
        self._telemetry.saved(is_successful=True)
        if self._is_failing:
            _log.info("state.saved_again", extra={"fields": {}})
        self._is_failing = False
        self._saved.update(changed)
        for key in gone:
            del self._saved[key]


def _kept(entry: Entry) -> Kept | None:
    """Return what to save; None without values: what was saved before stays."""
    last_success_at = entry.status.last_success_at
    if entry.snapshot is None or last_success_at is None:
        return None
    return Kept(
        last_success_at,
        entry.status.failure,
        entry.snapshot,
        entry.older,
        entry.endpoint_digest,
    )
