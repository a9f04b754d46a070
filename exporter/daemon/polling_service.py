"""Polling, discovery and saved state, started and stopped together."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.braze.proxies import ProxySettings
from exporter.metrics.self_metrics import SelfMetrics, Served
from exporter.metrics.store import Entry, Store
from exporter.model.config import CampaignConfig, Config, KeySource, WorkspaceConfig
from exporter.polling.poller import Poller
from exporter.polling.request_queue import PendingPoll
from exporter.polling.scheduler import Scheduler, Task
from exporter.polling.sharding import Shard
from exporter.polling.workspaces import Workspaces
from exporter.series.kept import KeptEntries
from exporter.system.clock import Clock

if TYPE_CHECKING:  # imported where it is used: it would slow every start
    from exporter.discovery.service import DiscoveryService
    from exporter.discovery.view import DiscoveryView
    from exporter.storage.autosave import Autosave
    from exporter.storage.sqlite_state import SqliteState

_EARLY_SECONDS = 1.5


class PollingService:
    """Everything that sends requests to Braze. Any thread may call any method."""

    def __init__(
        self,
        *,
        store: Store,
        metrics: SelfMetrics,
        clock: Clock,
        read_key: Callable[[KeySource], str | None],
        proxies: ProxySettings,
        state_path: str | None,
        shard: Shard | None,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._shard = shard
        self.scheduler = Scheduler(self._run, wall_time=clock.wall_exactly)
        self.workspaces = Workspaces(
            scheduler=self.scheduler,
            store=store,
            metrics=metrics,
            read_key=read_key,
            proxies=proxies,
            clock=clock,
            random=random.random,
        )
        self.workspaces.campaigns_of = self._campaigns_of
        self._poller = Poller(
            self.workspaces.by_name, store=store, metrics=metrics, clock=clock
        )
        self._state = _state(state_path)
        self._autosave = self._new_autosave()
        self._discovery: DiscoveryService | None = None

    @property
    def has_state(self) -> bool:
        """Whether the last values are saved on disk."""
        return self._autosave is not None

    def start(self, config: Config) -> None:
        """Start polling, with the values that were saved."""
        self.scheduler.start()
        self._apply(config, self._autosave.restore() if self._autosave else {})

    def apply(self, config: Config) -> None:
        """Poll what another configuration lists."""
        self._apply(config, {})
        self._poller.forget_removed()

    def _apply(self, config: Config, kept: KeptEntries) -> None:
        if self._discovery is None and any(one.discover for one in config.workspaces):
            self._discovery = self._new_discovery()
        if self._discovery is None:
            self.workspaces.apply(config, kept)
            return
        self._discovery.apply(config)
        self.workspaces.apply(config, kept)
        self._discovery.start()

    def save(self) -> None:
        """Save the values that changed."""
        if self._autosave is not None:
            self._autosave.save()

    def check_keys(self) -> None:
        """Probe paused workspaces whose keys were replaced."""
        for name in self.workspaces.check_keys():
            if self._discovery is not None:
                self._discovery.retry_now(name)

    def after_clock_set(self) -> None:
        """Rebuild the schedule: the wall clock was set."""
        self.workspaces.after_clock_set()
        if self._discovery is not None:
            self._discovery.after_clock_set()

    def stop(self) -> None:
        """Start no more requests, and break off those in flight."""
        self._poller.stop()
        if self._discovery is not None:
            self._discovery.stop()
        self.scheduler.stop()
        self.workspaces.abort()

    def was_tried(self, entry: Entry) -> bool:
        """Return whether an object was polled, restored, or its workspace is paused."""
        workspace = self.workspaces.by_name.get(entry.subject.workspace)
        is_paused = workspace is None or workspace.queue.pause is not None
        return is_paused or entry.status.is_up is not None

    def discovery_views(self) -> Mapping[str, DiscoveryView]:
        """Return the state of discovery by workspace."""
        return self._discovery.views() if self._discovery else {}

    def served(self) -> Iterator[Served]:
        """Yield what is served of each workspace now."""
        workspaces = dict(self.workspaces.by_name)
        totals = {name: Counter[str]() for name in workspaces}
        for entry in self._store.entries():
            total = totals.get(entry.subject.workspace)
            if total is None:
                continue
            total["campaigns"] += 1
            total["series"] += entry.status_blocks.series
            if entry.values is not None and entry.snapshot is not None:
                total["series"] += entry.values.series
                total["series_dropped"] += entry.snapshot.dropped_series
                total["ignored_values"] += entry.snapshot.ignored_values
                total["skipped_rows"] += entry.snapshot.skipped_rows
        for name, total in totals.items():
            yield Served(
                workspace=name,
                campaigns=total["campaigns"],
                series=total["series"],
                series_dropped=total["series_dropped"],
                ignored_values=total["ignored_values"],
                skipped_rows=total["skipped_rows"],
                idle_campaigns=len(workspaces[name].idle.idle_ids),
            )

    def _run(self, poll: PendingPoll) -> None:
        if poll.at - self._clock.now() > _EARLY_SECONDS:
            self.scheduler.put(poll)  # the wall clock was just set forward
            return
        upcoming = self._poller.poll(poll)
        workspace = self.workspaces.by_name.get(poll.workspace)
        if upcoming is not None and workspace is not None:
            workspace.queue.reschedule(upcoming)

    def _campaigns_of(self, workspace: WorkspaceConfig) -> tuple[CampaignConfig, ...]:
        """Return the campaigns of a workspace that this process polls."""
        campaigns = workspace.campaigns
        if self._discovery is not None:
            campaigns = self._discovery.campaigns_of(workspace)
        return campaigns if self._shard is None else self._shard.own(campaigns)

    def _new_autosave(self) -> Autosave | None:
        if self._state is None:
            return None
        from exporter.storage.autosave import Autosave

        return Autosave(self._state, store=self._store, telemetry=self._metrics)

    def _new_discovery(self) -> DiscoveryService:
        from exporter.discovery.catalogue_cache import CatalogueCache
        from exporter.discovery.service import DiscoveryService

        return DiscoveryService(
            session_of=self.workspaces.session_of,
            on_change=self.workspaces.refresh,
            after_step=self._poller.show_pauses,
            schedule=lambda *task: self.scheduler.put_task(Task(*task)),
            metrics=self._metrics,
            clock=self._clock,
            random=random.random,
            file=None if self._state is None else CatalogueCache(self._state),
        )


def _state(state_path: str | None) -> SqliteState | None:
    if state_path is None:
        return None
    from exporter.storage.sqlite_state import SqliteState

    return SqliteState(Path(state_path))
