"""Discovery in the daemon: one campaign finder per workspace that has `discover`.

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
from exporter.discovery.catalogue import CampaignCatalogue
from exporter.discovery.catalogue_cache import CatalogueCache
from exporter.discovery.catalogue_json import Account, account_of, catalogue_of
from exporter.discovery.finder import CampaignFinder
from exporter.discovery.view import DiscoveryView
from exporter.metrics.self_metrics import SelfMetrics
from exporter.model.config import (
    Config,
    KeySource,
    ObjectConfig,
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
    """Gets the name of a workspace in which other campaigns are found."""
    after_step: Callable[[], None]
    """Is called after each request: it may have paused the key."""
    schedule: Callable[[str, float, Callable[[], None]], None]
    """Runs a function at an instant, in place of the workspace's previous."""


class _Finder(NamedTuple):
    account: Account
    finder: CampaignFinder


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
        self._finders: dict[str, _Finder] = {}
        self._lock = Lock()
        """Held while a finder is replaced, and while its next step is scheduled."""
        self._due: dict[str, float] = {}
        """When the next step of each workspace is due."""
        self._is_applying = False
        """Whether `start` follows: sessions are not those of the finders yet."""
        self._saving = Lock()
        self._is_unsaved = False
        self._save_at = 0.0
        self._is_failing = False
        self._restored = self._restore()
        self._saved: dict[Account, CampaignCatalogue] = dict(self._restored)

    def apply(self, config: Config) -> None:
        """Create and remove finders for this configuration; `start` runs them."""
        wanted = {one.name: one for one in config.workspaces if one.discover}
        # Without the lock: a key file may be on a disk that hangs.
        keys = {name: self._read_key(one.key_source) for name, one in wanted.items()}
        with self._lock:
            self._is_applying = True
            for name in set(self._finders) - set(wanted):
                self._finders.pop(name).finder.stop()
                self._metrics.forget_discovery(name)
            for name, workspace in wanted.items():
                self._apply(workspace, keys[name])

    def _apply(self, workspace: WorkspaceConfig, key: str | None) -> None:
        account = account_of(workspace, key)
        current = self._finders.get(workspace.name)
        if current is not None and current.account == account:
            current.finder.reconfigure(workspace)
            return
        known = self._restored
        if current is not None:
            current.finder.stop()
            known = {**known, current.account: current.finder.catalogue}
        self._add(workspace, account, catalogue_of(known, workspace, key))
        self._restored = {
            one: catalogue
            for one, catalogue in self._restored.items()
            if one[:2] != account[:2]
        }

    def _add(
        self,
        workspace: WorkspaceConfig,
        account: Account,
        catalogue: CampaignCatalogue | None,
    ) -> None:
        finder = CampaignFinder(
            workspace,
            session=partial(self._hooks.session_of, workspace.name),
            on_change=partial(self._publish, workspace.name),
            metrics=self._metrics,
            clock=self._clock,
            random=self._random,
            catalogue=catalogue,
        )
        self._finders[workspace.name] = _Finder(account, finder)

    def _publish(self, name: str) -> None:
        self._is_unsaved = self._file is not None
        self._hooks.on_change(name)

    def start(self) -> None:
        """Run the next step of every finder now."""
        with self._lock:
            self._is_applying = False
            for name, current in self._finders.items():
                self._schedule(name, current, self._clock.now())

    def campaigns_of(self, workspace: WorkspaceConfig) -> tuple[ObjectConfig, ...]:
        """Return the campaigns of a workspace, as far as they are known now."""
        current = self._finders.get(workspace.name)
        return (
            current.finder.campaigns_of(workspace) if current else workspace.campaigns
        )

    def views(self) -> dict[str, DiscoveryView]:
        """Return the state of discovery in each workspace that has it."""
        finders = tuple(self._finders.items())
        return {name: current.finder.view() for name, current in finders}

    def retry_now(self, name: str) -> None:
        """End the waits of a workspace: its key was replaced.

        The key may be of another workspace in Braze: its list is read at once.
        """
        current = self._finders.get(name)
        if current is None:
            return
        key = self._read_key(current.finder.workspace.key_source)  # may block
        with self._lock:
            if self._finders.get(name) is not current:
                return  # replaced meanwhile
            workspace = current.finder.workspace
            account = account_of(workspace, key)
            if key is None or account == current.account:
                current.finder.retry_now()
            else:
                current.finder.stop()
                self._add(workspace, account, current.finder.catalogue.provisional())
            self._schedule_now(name)

    def after_clock_set(self) -> None:
        """Compute all waits again, and select again: the wall clock was set."""
        with self._lock:
            for name, current in self._finders.items():
                current.finder.after_clock_set()
                self._schedule_now(name)

    def recover(self) -> None:
        """Schedule steps again that were due and did not run.

        The system may have had no thread for them. It is called regularly.
        """
        latest = self._clock.now() - _OVERDUE_SECONDS
        with self._lock:
            for name, current in self._finders.items():
                if self._due.get(name, latest) < latest and not current.finder.is_busy:
                    fields = {"workspace": name}
                    _log.warning("discovery.rescheduled", extra={"fields": fields})
                    self._schedule_now(name)

    def is_complete(self, workspace: str) -> bool:
        """Return whether all campaigns of a workspace are known."""
        current = self._finders.get(workspace)
        return current is None or current.finder.is_settled

    def was_tried(self, workspace: str, *, is_late: bool) -> bool:
        """Return whether a workspace's campaigns are known, or discovery fails.

        `is_late`: a first request is enough.
        """
        current = self._finders.get(workspace)
        return current is None or current.finder.was_tried(is_late=is_late)

    def stop(self) -> None:
        """Ignore failures from now on, and save the catalogues."""
        for current in tuple(self._finders.values()):
            current.finder.stop()
        self._save()

    def _schedule_now(self, name: str) -> None:
        if not self._is_applying:
            self._schedule(name, self._finders[name], self._clock.now())

    def _schedule(self, name: str, current: _Finder, at: float) -> None:
        self._due[name] = at
        self._hooks.schedule(name, at, partial(self._step, name, current))

    def _step(self, name: str, current: _Finder) -> None:
        if self._finders.get(name) is not current:
            return
        account, finder = current
        try:
            at = finder.step()
        except Exception:  # noqa: BLE001 - the job's border; it is logged
            _log.exception("discovery.crashed", extra={"fields": {"workspace": name}})
            at = self._clock.now() + _AFTER_A_CRASH_SECONDS
        is_due = self._is_unsaved and self._clock.now() >= self._save_at
        with self._lock:
            if at is None or self._finders.get(name) is not current:
                return
            if self._is_unsaved and finder.is_settled:
                next_save_at = self._clock.now() + _SAVE_SECONDS
                at = min(at, max(self._save_at, next_save_at))
            self._schedule(name, current, at)
        self._hooks.after_step()
        saved = self._saved.get(account, CampaignCatalogue())
        if is_due or (
            finder.is_settled and saved.listed_at != finder.catalogue.listed_at
        ):
            self._save()  # also within a round: the first one may take an hour

    def _restore(self) -> dict[Account, CampaignCatalogue]:
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
                account: replace(finder.catalogue, reading=None)
                for account, finder in tuple(self._finders.values())
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
