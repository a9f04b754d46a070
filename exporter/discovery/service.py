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
from exporter.discovery.catalogue_json import Account, account_of
from exporter.discovery.finder import CampaignFinder
from exporter.discovery.view import DiscoveryView
from exporter.metrics.self_metrics import SelfMetrics
from exporter.model.config import CampaignConfig, Config, WorkspaceConfig
from exporter.model.errors import StateError
from exporter.system.clock import Clock

_log = logging.getLogger(__name__)

_AFTER_A_CRASH_SECONDS = 60.0


class _Finder(NamedTuple):
    account: Account
    finder: CampaignFinder


class DiscoveryService:
    """The finders of all workspaces. `apply` is called by one thread at a time."""

    def __init__(
        self,
        *,
        session_of: Callable[[str], Session | None],
        on_change: Callable[[str], None],
        after_step: Callable[[], None],
        schedule: Callable[[str, float, Callable[[], None]], None],
        metrics: SelfMetrics,
        clock: Clock,
        random: Callable[[], float],
        file: CatalogueCache | None,
    ) -> None:
        """`on_change` gets the name of a workspace in which others are found.

        `after_step` is called after each request: it may have paused the key.
        `schedule` runs a function at an instant, in place of the workspace's previous.
        """
        self._session_of = session_of
        self._on_change = on_change
        self._after_step = after_step
        self._run_at = schedule
        self._metrics = metrics
        self._clock = clock
        self._random = random
        self._file = file
        self._finders: dict[str, _Finder] = {}
        self._saving = Lock()
        self._is_failing = False
        self._restored = self._restore()
        self._saved: dict[Account, CampaignCatalogue] = dict(self._restored)

    def apply(self, config: Config) -> None:
        """Create and remove finders for this configuration; `start` runs them."""
        wanted = {one.name: one for one in config.workspaces if one.discover}
        for name in set(self._finders) - set(wanted):
            self._finders.pop(name).finder.stop()
            self._metrics.forget_discovery(name)
        for workspace in wanted.values():
            self._apply(workspace)

    def _apply(self, workspace: WorkspaceConfig) -> None:
        name = workspace.name
        account = account_of(workspace)
        current = self._finders.get(name)
        if current is not None:
            if current.account == account:
                current.finder.reconfigure(workspace)
                return
            current.finder.stop()
        finder = CampaignFinder(
            workspace,
            session=partial(self._session_of, name),
            on_change=partial(self._on_change, name),
            metrics=self._metrics,
            clock=self._clock,
            random=self._random,
            catalogue=self._restored.pop(account, None),
        )
        self._finders[name] = _Finder(account, finder)

    def start(self) -> None:
        """Run the next step of every finder now."""
        for name in tuple(self._finders):
            self._schedule(name, self._finders[name], self._clock.now())

    def campaigns_of(self, workspace: WorkspaceConfig) -> tuple[CampaignConfig, ...]:
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
        """End the waits of a workspace: its key was replaced."""
        current = self._finders.get(name)
        if current is not None:
            current.finder.retry_now()
            self._schedule(name, current, self._clock.now())

    def after_clock_set(self) -> None:
        """Compute all waits again: the wall clock was set."""
        for current in tuple(self._finders.values()):
            current.finder.after_clock_set()

    def is_complete(self, workspace: str) -> bool:
        """Return whether all campaigns of a workspace are known."""
        current = self._finders.get(workspace)
        return current is None or current.finder.is_settled

    def stop(self) -> None:
        """Ignore failures from now on, and save the catalogues."""
        for current in tuple(self._finders.values()):
            current.finder.stop()
        self._save()

    def _schedule(self, name: str, current: _Finder, at: float) -> None:
        self._run_at(name, at, partial(self._step, name, current))

    def _step(self, name: str, current: _Finder) -> None:
        if self._finders.get(name) is not current:
            return
        account, finder = current
        try:
            at = finder.step()
        except Exception:  # noqa: BLE001 - the job's border; it is logged
            _log.exception("discovery.crashed", extra={"fields": {"workspace": name}})
            at = self._clock.now() + _AFTER_A_CRASH_SECONDS
        if at is None or self._finders.get(name) is not current:
            return
        self._schedule(name, current, at)
        self._after_step()
        saved = self._saved.get(account, CampaignCatalogue())
        if finder.is_settled and saved.listed_at != finder.catalogue.listed_at:
            self._save()  # once per list; details read since are saved later

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
            catalogues = {
                account: replace(finder.catalogue, reading=None)
                for account, finder in tuple(self._finders.values())
            }
            if catalogues == self._saved:
                return
            try:
                self._file.save(catalogues)
            except StateError as error:
                if not self._is_failing:
                    _log.error("state.unsaved", extra={"fields": {"error": str(error)}})
                self._is_failing = True
            else:
                self._saved, self._is_failing = catalogues, False
