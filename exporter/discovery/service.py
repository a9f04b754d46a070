"""Discovery in the daemon: one finder per kind and workspace that has `discover`.

Finders keep their catalogues over a reload, and over a restart where state is kept.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import NamedTuple

from exporter.braze.session import Session
from exporter.discovery.catalogue import ObjectCatalogue
from exporter.discovery.catalogue_cache import CatalogueCache
from exporter.discovery.catalogue_json import (
    CatalogueKey,
    catalogue_key,
    catalogue_of,
    is_same_place,
)
from exporter.discovery.finder import ObjectFinder
from exporter.discovery.kinds import CAMPAIGN, CANVAS, ListedKind, kinds_of
from exporter.discovery.view import DiscoveryView
from exporter.metrics.self_metrics import SelfMetrics
from exporter.model.config import (
    Config,
    KeySource,
    WorkspaceConfig,
)
from exporter.model.errors import StateError
from exporter.system.clock import Clock

_log = logging.getLogger(__name__)

_AFTER_A_CRASH_SECONDS = 60.0
_OVERDUE_SECONDS = 30.0
_SAVE_SECONDS = 5.0
_SAVE_SHARE = 20
"""Saving takes at most this part of the time: a large catalogue is saved rarely."""


class PollingHooks(NamedTuple):
    """What discovery uses of polling."""

    session_of: Callable[[str], Session | None]
    """Returns the session of a workspace."""
    on_change: Callable[[str], None]
    """Gets the name of a workspace in which other objects are found."""
    after_step: Callable[[], None]
    """Is called after each request: it may have paused the key."""
    schedule: Callable[[tuple[str, str], float, Callable[[], None]], None]
    """Runs a function at an instant, in place of the previous of (workspace, kind)."""


class _Finder(NamedTuple):
    key: CatalogueKey
    finder: ObjectFinder


FinderKey = tuple[str, str]
"""(workspace, kind)"""


class DiscoveryService:
    """The finders of all workspaces. `apply` is called by one thread at a time."""

    def __init__(
        self,
        hooks: PollingHooks,
        *,
        read_key: Callable[[KeySource], str | None],
        metrics: SelfMetrics,
        clock: Clock,
        random: Callable[[], float],
        file: CatalogueCache | None,
    ) -> None:
        """Load the catalogues of `file`; None: they are not kept."""
        self._hooks = hooks
        self._read_key = read_key
        self._metrics = metrics
        self._clock = clock
        self._random = random
        self._file = file
        self._finders: dict[FinderKey, _Finder] = {}
        self._lock = Lock()
        """Held while a finder is replaced, and while its next step is scheduled."""
        self._due: dict[FinderKey, float] = {}
        """When the next step of each finder is due."""
        self._is_applying = False
        """Whether `start` follows: sessions are not those of the finders yet."""
        self._saving = Lock()
        self._is_unsaved = False
        self._save_at = 0.0
        self._is_failing = False
        self._restored = self._restore()
        self._saved: dict[CatalogueKey, ObjectCatalogue] = dict(self._restored)

    def apply(self, config: Config) -> None:
        """Create and remove finders for this configuration; `start` runs them."""
        wanted = {
            (workspace.name, kind.name): (workspace, kind)
            for workspace in config.workspaces
            for kind in kinds_of(workspace)
        }
        # Without the lock: a key file may be on a disk that hangs.
        keys = {one.name: self._read_key(one.key_source) for one, _ in wanted.values()}
        with self._lock:
            self._is_applying = True
            for place in set(self._finders) - set(wanted):
                self._finders.pop(place).finder.stop()
                self._metrics.forget_discovery(*place)
            for workspace, kind in wanted.values():
                self._apply(workspace, kind, keys[workspace.name])

    def _apply(
        self, workspace: WorkspaceConfig, kind: ListedKind, api_key: str | None
    ) -> None:
        key = catalogue_key(workspace, kind, api_key)
        current = self._finders.get((workspace.name, kind.name))
        if current is not None and current.key == key:
            current.finder.reconfigure(workspace)
            return
        known = self._restored
        if current is not None:
            current.finder.stop()
            known = {**known, current.key: current.finder.catalogue}
        self._add(workspace, kind, key, catalogue_of(known, workspace, kind, api_key))
        self._restored = {
            one: catalogue
            for one, catalogue in self._restored.items()
            if not is_same_place(one, key)
        }

    def _add(
        self,
        workspace: WorkspaceConfig,
        kind: ListedKind,
        key: CatalogueKey,
        catalogue: ObjectCatalogue | None,
    ) -> None:
        finder = ObjectFinder(
            workspace,
            kind,
            session=partial(self._hooks.session_of, workspace.name),
            on_change=partial(self._publish, workspace.name),
            metrics=self._metrics,
            clock=self._clock,
            random=self._random,
            catalogue=catalogue,
        )
        self._finders[workspace.name, kind.name] = _Finder(key, finder)

    def _publish(self, name: str) -> None:
        self._is_unsaved = self._file is not None
        self._hooks.on_change(name)

    def start(self) -> None:
        """Run the next step of every finder now."""
        with self._lock:
            self._is_applying = False
            for place, current in self._finders.items():
                self._schedule(place, current, self._clock.now())

    def with_found(self, workspace: WorkspaceConfig) -> WorkspaceConfig:
        """Return a workspace with its objects, as far as they are known now."""
        campaigns, canvases = (
            current.finder.objects_of(workspace)
            if (current := self._finders.get((workspace.name, kind.name)))
            else kind.objects(workspace)
            for kind in (CAMPAIGN, CANVAS)
        )
        return replace(workspace, campaigns=campaigns, canvases=canvases)

    def views(self) -> dict[FinderKey, DiscoveryView]:
        """Return the state of discovery of each kind in each workspace that has it."""
        finders = tuple(self._finders.items())
        return {place: current.finder.view() for place, current in finders}

    def retry_now(self, name: str) -> None:
        """End the waits of a workspace: its key was replaced.

        The key may be of another workspace in Braze: its lists are read at once.
        """
        for place, current in tuple(self._finders.items()):
            if place[0] == name:
                # May block, so without the lock.
                key = self._read_key(current.finder.workspace.key_source)
                self._retry(place, current, key)

    def _retry(
        self, place: tuple[str, str], current: _Finder, api_key: str | None
    ) -> None:
        with self._lock:
            if self._finders.get(place) is not current:
                return  # replaced meanwhile
            finder = current.finder
            key = catalogue_key(finder.workspace, finder.kind, api_key)
            if api_key is None or key == current.key:
                finder.retry_now()
            else:
                finder.stop()
                catalogue = finder.catalogue.provisional()
                self._add(finder.workspace, finder.kind, key, catalogue)
            self._schedule_now(place)

    def after_clock_set(self) -> None:
        """Compute all waits again, and select again: the wall clock was set."""
        with self._lock:
            for place, current in self._finders.items():
                current.finder.after_clock_set()
                self._schedule_now(place)

    def recover(self) -> None:
        """Schedule steps again that were due and did not run.

        The system may have had no thread for them. It is called regularly.
        """
        latest = self._clock.now() - _OVERDUE_SECONDS
        with self._lock:
            for place, current in self._finders.items():
                is_busy = current.finder.is_busy
                if self._due.get(place, latest) < latest and not is_busy:
                    fields = {"workspace": place[0], "kind": place[1]}
                    _log.warning("discovery.rescheduled", extra={"fields": fields})
                    self._schedule_now(place)

    def is_complete(self, workspace: str) -> bool:
        """Return whether all objects of a workspace are known."""
        return all(finder.is_complete for finder in self._finders_of(workspace))

    def was_tried(self, workspace: str, *, is_late: bool) -> bool:
        """Return whether a workspace's objects are known, or discovery fails.

        `is_late`: a first request for each kind is enough.
        """
        finders = self._finders_of(workspace)
        return all(finder.was_tried(is_late=is_late) for finder in finders)

    def _finders_of(self, workspace: str) -> list[ObjectFinder]:
        finders = tuple(self._finders.items())
        return [current.finder for place, current in finders if place[0] == workspace]

    def stop(self) -> None:
        """Ignore failures from now on, and save the catalogues."""
        for current in tuple(self._finders.values()):
            current.finder.stop()
        self._save()

    def _schedule_now(self, place: FinderKey) -> None:
        if not self._is_applying:
            self._schedule(place, self._finders[place], self._clock.now())

    def _schedule(self, place: FinderKey, current: _Finder, at: float) -> None:
        self._due[place] = at
        self._hooks.schedule(place, at, partial(self._step, place, current))

    def _step(self, place: FinderKey, current: _Finder) -> None:
        if self._finders.get(place) is not current:
            return
        key, finder = current
        try:
            at = finder.step()
        except Exception:  # noqa: BLE001 - the job's border; it is logged
            fields = {"workspace": place[0], "kind": place[1]}
            _log.exception("discovery.crashed", extra={"fields": fields})
            at = self._clock.now() + _AFTER_A_CRASH_SECONDS
        is_due = self._is_unsaved and self._clock.now() >= self._save_at
        with self._lock:
            if at is None or self._finders.get(place) is not current:
                return
            if self._is_unsaved and finder.is_settled:
                next_save_at = self._clock.now() + _SAVE_SECONDS
                at = min(at, max(self._save_at, next_save_at))
            self._schedule(place, current, at)
        self._hooks.after_step()
        saved = self._saved.get(key, ObjectCatalogue())
        if is_due or (
            finder.is_settled and saved.listed_at != finder.catalogue.listed_at
        ):
            self._save()  # also within a round: the first one may take an hour

    def _restore(self) -> dict[CatalogueKey, ObjectCatalogue]:
        if self._file is None:
            return {}
        try:
            return self._file.load(now=self._clock.now())
        except StateError as error:
            _log.error("state.unusable", extra={"fields": {"error": str(error)}})
            self._file.quarantine()
            return {}

    def _save(self) -> None:
        """Save the catalogues if they changed since the last save."""
        if self._file is None:
            return
        with self._saving:
            began_at = self._clock.now()
            self._is_unsaved = False
            catalogues = {
                key: replace(finder.catalogue, reading=None)
                for key, finder in tuple(self._finders.values())
            }
            if catalogues == self._saved:
                return
            try:
                self._file.save(catalogues, wall_offset=self._clock.offset())
            except StateError as error:
                if not self._is_failing:
                    _log.error("state.unsaved", extra={"fields": {"error": str(error)}})
                self._is_failing = self._is_unsaved = True
            else:
                self._saved, self._is_failing = catalogues, False
            took = self._clock.now() - began_at
            self._save_at = self._clock.now() + max(_SAVE_SECONDS, took * _SAVE_SHARE)
