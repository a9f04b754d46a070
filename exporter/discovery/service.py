"""Discovery in the daemon: one campaign finder per workspace that has `discover`.

Finders keep their catalogues over a reload, and over a restart where state is kept.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import Protocol

from exporter.braze.session import Session
from exporter.discovery.catalogue_cache import CatalogueCache
from exporter.discovery.catalogue_json import Account
from exporter.discovery.finder import CampaignFinder
from exporter.discovery.rules import CampaignCatalogue
from exporter.discovery.view import DiscoveryView
from exporter.metrics.self_metrics import SelfMetrics
from exporter.model.config import CampaignConfig, Config, WorkspaceConfig
from exporter.model.errors import StateError
from exporter.system.clock import Clock

_log = logging.getLogger(__name__)

_AFTER_A_CRASH_SECONDS = 60.0


class TaskScheduler(Protocol):
    """Runs one function per workspace at a given instant."""

    def put_task(self, workspace: str, at: float, run: Callable[[], None], /) -> None:
        """Run a function at `at`, in place of the previous one of the workspace."""

    def drop_task(self, workspace: str, /) -> None:
        """Remove the function of a workspace."""


class DiscoveryService:
    """The finders of all workspaces. `apply` is called by one thread at a time."""

    def __init__(
        self,
        *,
        session_of: Callable[[str], Session | None],
        on_change: Callable[[str], None],
        after_step: Callable[[], None],
        tasks: TaskScheduler,
        metrics: SelfMetrics,
        clock: Clock,
        random: Callable[[], float],
        file: CatalogueCache | None,
    ) -> None:
        """`on_change` gets the name of a workspace in which others are found.

        `after_step` is called after each request: it may have paused the key.
        """
        self._session_of = session_of
        self._on_change = on_change
        self._after_step = after_step
        self._tasks = tasks
        self._metrics = metrics
        self._clock = clock
        self._random = random
        self._file = file
        self._finders: dict[str, CampaignFinder] = {}
        self._accounts: dict[str, Account] = {}
        self._saving = Lock()
        self._is_failing = False
        self._restored = self._restore()
        self._saved: dict[Account, CampaignCatalogue] = dict(self._restored)

    def apply(self, config: Config) -> None:
        """Create and remove finders for this configuration; `start` runs them."""
        wanted = {one.name: one for one in config.workspaces if one.discover}
        for name in set(self._finders) - set(wanted):
            self._tasks.drop_task(name)
            self._finders.pop(name).stop()
            del self._accounts[name]
            self._metrics.forget_discovery(name)
        for name, workspace in wanted.items():
            self._apply(name, workspace)

    def _apply(self, name: str, workspace: WorkspaceConfig) -> None:
        account = (name, workspace.endpoint, str(workspace.key_source))
        finder = self._finders.get(name)
        if finder is not None and self._accounts[name] == account:
            finder.reconfigure(workspace)
            return
        if finder is not None:
            finder.stop()
        self._accounts[name] = account
        self._finders[name] = CampaignFinder(
            workspace,
            session=partial(self._session_of, name),
            on_change=partial(self._on_change, name),
            metrics=self._metrics,
            clock=self._clock,
            random=self._random,
            catalogue=self._restored.pop(account, None),
        )

    def start(self) -> None:
        """Run the next step of every finder now."""
        for name, finder in tuple(self._finders.items()):
            self._schedule(name, finder, self._clock.now())

    def campaigns_of(self, workspace: WorkspaceConfig) -> tuple[CampaignConfig, ...]:
        """Return the campaigns of a workspace, as far as they are known now."""
        finder = self._finders.get(workspace.name)
        if finder is None or workspace.discover is None:
            return workspace.campaigns
        return finder.campaigns_of(workspace)

    def catalogues(self) -> dict[Account, CampaignCatalogue]:
        """Return what is known now of each workspace that has discovery."""
        return {
            self._accounts[name]: replace(finder.catalogue, reading=None)
            for name, finder in tuple(self._finders.items())
            if name in self._accounts
        }

    def views(self) -> dict[str, DiscoveryView]:
        """Return the state of discovery in each workspace that has it."""
        return {name: finder.view() for name, finder in tuple(self._finders.items())}

    def retry_now(self, name: str) -> None:
        """End the waits of a workspace: its key was replaced."""
        finder = self._finders.get(name)
        if finder is not None:
            finder.retry_now()
            self._schedule(name, finder, self._clock.now())

    def after_clock_set(self) -> None:
        """Compute all waits again: the wall clock was set."""
        for finder in tuple(self._finders.values()):
            finder.after_clock_set()

    def stop(self) -> None:
        """Ignore failures from now on, and save the catalogues."""
        for finder in tuple(self._finders.values()):
            finder.stop()
        self._save()

    def _schedule(self, name: str, finder: CampaignFinder, at: float) -> None:
        self._tasks.put_task(name, at, partial(self._step, name, finder))

    def _step(self, name: str, finder: CampaignFinder) -> None:
        if self._finders.get(name) is not finder:
            return
        try:
            at = finder.step()
        except Exception:  # noqa: BLE001 - the job's border; it is logged
            _log.exception("discovery.crashed", extra={"fields": {"workspace": name}})
            at = self._clock.now() + _AFTER_A_CRASH_SECONDS
        if at is None or self._finders.get(name) is not finder:
            return
        self._schedule(name, finder, at)
        self._after_step()
        account = self._accounts.get(name)
        saved = None if account is None else self._saved.get(account)
        if finder.is_settled and (
            saved is None or saved.listed_at != finder.catalogue.listed_at
        ):
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
            catalogues = self.catalogues()
            if catalogues == self._saved:
                return
            try:
                self._file.save(catalogues)
            except StateError as error:
                if not self._is_failing:
                    _log.error("state.unsaved", extra={"fields": {"error": str(error)}})
                self._is_failing = True
                return
            self._saved, self._is_failing = catalogues, False
