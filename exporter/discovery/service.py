"""Discovery in the daemon: a scout for each workspace that wants one, as errands.

Scouts come and go with the configuration and keep what they know over a reload; where
values are kept over a restart, so is that. It decides nothing about campaigns.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from threading import Lock

from exporter.discovery.catalogue_cache import CatalogueCache
from exporter.discovery.catalogue_json import Account
from exporter.discovery.finder import CampaignFinder
from exporter.discovery.rules import CampaignCatalogue
from exporter.metrics.self_metrics import SelfMetrics
from exporter.model.config import CampaignConfig, Config, WorkspaceConfig
from exporter.model.errors import StateError
from exporter.polling.poller import Fetcher, Workspace
from exporter.polling.scheduler import Scheduler, Task
from exporter.status.view_model import DiscoveryView

_log = logging.getLogger(__name__)

_AFTER_A_CRASH_SECONDS = 60.0


class DiscoveryService:
    """The scouts of all workspaces. `apply` is called by one thread at a time."""

    def __init__(
        self,
        desks: Mapping[str, Workspace],
        *,
        refresh: Callable[[str], None],
        jobs: Scheduler,
        telemetry: SelfMetrics,
        now: Callable[[], float],
        draw: Callable[[], float],
        clock_set_by: Callable[[], float],
        file: CatalogueCache | None,
    ) -> None:
        """`refresh` is told the name of a workspace in which others are found."""
        self._desks = desks
        self._refresh = refresh
        self._jobs = jobs
        self._telemetry = telemetry
        self._now = now
        self._draw = draw
        self._clock_set_by = clock_set_by
        self._file = file
        self._scouts: dict[str, CampaignFinder] = {}
        self._accounts: dict[str, Account] = {}
        self._saving = Lock()
        self._is_failing = False
        self._kept = self._restored()
        self._saved: dict[Account, CampaignCatalogue] = dict(self._kept)

    def apply(self, config: Config) -> None:
        """Have scouts for what this configuration wants; `begin` lets them go."""
        wanted = {one.name: one for one in config.workspaces if one.discover}
        for name in set(self._scouts) - set(wanted):
            self._jobs.drop_errand(name)
            self._scouts.pop(name).stop()
            del self._accounts[name]
            self._telemetry.forget_discovery(name)
        for name, workspace in wanted.items():
            self._equip(name, workspace)

    def _equip(self, name: str, workspace: WorkspaceConfig) -> None:
        account = (name, workspace.endpoint, str(workspace.key_source))
        scout = self._scouts.get(name)
        if scout is not None and self._accounts[name] == account:
            scout.reconfigure(workspace)
            return
        if scout is not None:
            scout.stop()
        self._accounts[name] = account
        self._scouts[name] = CampaignFinder(
            workspace,
            fetcher=partial(self._fetcher, name),
            tell_news=partial(self._refresh, name),
            telemetry=self._telemetry,
            now=self._now,
            draw=self._draw,
            clock_set_by=self._clock_set_by,
            known=self._kept.pop(account, None),
        )

    def begin(self) -> None:
        """Let every scout go on now, each when it may."""
        for name, scout in tuple(self._scouts.items()):
            self._send(name, scout, self._now())

    def campaigns_of(self, workspace: WorkspaceConfig) -> tuple[CampaignConfig, ...]:
        """Return the campaigns of a workspace, as far as they are known now."""
        scout = self._scouts.get(workspace.name)
        if scout is None or workspace.discover is None:
            return workspace.campaigns
        return scout.campaigns_of(workspace)

    def known(self) -> dict[Account, CampaignCatalogue]:
        """Return what is known now of each workspace that discovers."""
        return {
            self._accounts[name]: replace(scout.known, reading=None)
            for name, scout in tuple(self._scouts.items())
            if name in self._accounts
        }

    def seen(self) -> dict[str, DiscoveryView]:
        """Return how discovery stands in each workspace that has it."""
        return {name: scout.seen() for name, scout in tuple(self._scouts.items())}

    def look_again(self, name: str) -> None:
        """Ask at once what could not be asked with the former key."""
        scout = self._scouts.get(name)
        if scout is not None:
            scout.look_again()
            self._send(name, scout, self._now())

    def forget_windows(self) -> None:
        """Do what a wall clock that was set asks for."""
        for scout in tuple(self._scouts.values()):
            scout.forget_windows()

    def stop(self) -> None:
        """Take no further failure for true, and keep what is known."""
        for scout in tuple(self._scouts.values()):
            scout.stop()
        self._save()

    def _send(self, name: str, scout: CampaignFinder, at: float) -> None:
        run = partial(self._step, name, scout)
        self._jobs.put_errand(Task(name, at, run))

    def _step(self, name: str, scout: CampaignFinder) -> None:
        if self._scouts.get(name) is not scout:
            return
        try:
            at = scout.step()
        except Exception:  # noqa: BLE001 - the job's border; it is logged
            _log.exception("discovery.crashed", extra={"facts": {"workspace": name}})
            at = self._now() + _AFTER_A_CRASH_SECONDS
        if at is None or self._scouts.get(name) is not scout:
            return
        self._send(name, scout, at)
        account = self._accounts.get(name)
        saved = None if account is None else self._saved.get(account)
        if scout.is_settled and (
            saved is None or saved.listed_at != scout.known.listed_at
        ):
            self._save()  # once a list; details that were read since can wait

    def _fetcher(self, name: str) -> Fetcher | None:
        desk = self._desks.get(name)
        return desk.client if desk else None

    def _restored(self) -> dict[Account, CampaignCatalogue]:
        if self._file is None:
            return {}
        try:
            return self._file.load(now=self._now())
        except StateError as error:
            _log.error("state.unusable", extra={"facts": {"error": str(error)}})
            self._file.quarantine()
            return {}

    def _save(self) -> None:
        """Keep what is known, if it is another than was kept last."""
        if self._file is None:
            return
        with self._saving:
            known = self.known()
            if known == self._saved:
                return
            try:
                self._file.save(known)
            except StateError as error:
                if not self._is_failing:
                    _log.error("state.unsaved", extra={"facts": {"error": str(error)}})
                self._is_failing = True
                return
            self._saved, self._is_failing = known, False
