"""Polling, discovery and saved state, started and stopped together."""

from __future__ import annotations

import logging
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.braze.proxies import ProxySettings
from exporter.metrics.self_metrics import SelfMetrics, Served
from exporter.metrics.store import Entry, Store
from exporter.model.config import Config, KeySource, WorkspaceConfig
from exporter.polling.kinds import CAMPAIGN, CANVAS
from exporter.polling.object_group import GroupKey
from exporter.polling.poller import Poller
from exporter.polling.request_queue import PendingPoll
from exporter.polling.scheduler import Scheduler
from exporter.polling.sharding import Shard
from exporter.polling.workspaces import Workspaces
from exporter.series.kept import KeptEntries
from exporter.system.clock import Clock
from exporter.system.logformat import Fact

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
        self._read_key = read_key
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
        self.workspaces.polled_part = self._polled_part
        self._poller = Poller(
            self.workspaces.groups,
            store=store,
            metrics=metrics,
            pauses=self.workspaces.pauses,
            clock=clock,
        )
        self._state: SqliteState | None = None
        self._autosave: Autosave | None = None
        if state_path is not None:
            from exporter.storage.autosave import Autosave
            from exporter.storage.sqlite_state import SqliteState

            self._state = SqliteState(Path(state_path))
            self._autosave = Autosave(self._state, store=store, telemetry=metrics)
        self._discovery: DiscoveryService | None = None
        self._is_applied = False

    @property
    def has_state(self) -> bool:
        """Whether the last values are saved on disk."""
        return self._autosave is not None

    def start(self, config: Config) -> None:
        """Start polling, with the values that were saved."""
        self.scheduler.start()
        self.apply(config, self._autosave.restore() if self._autosave else None)

    def apply(self, config: Config, kept: KeptEntries | None = None) -> None:
        """Poll what a configuration lists; start with `kept` values."""
        if self._discovery is None and any(one.discover for one in config.workspaces):
            self._discovery = self._new_discovery()
        if self._discovery is not None:
            self._discovery.apply(config)
        self.workspaces.apply(config, kept)
        if self._discovery is not None:
            self._discovery.start()
        self._poller.forget_removed()
        self._is_applied = True

    def entries(self) -> tuple[Entry, ...]:
        """Drop and log values that became stale, and return all entries.

        Messages of a month that ended are dropped, too.
        """
        now = self._clock.now()
        self._store.end_months(now=self._clock.wall(now))
        for entry in self._store.expire(now=now):
            fields: dict[str, Fact] = {
                "workspace": entry.labels.workspace,
                entry.labels.families.label: entry.labels.name,
                "last_success_at": entry.status.last_success_at,
            }
            self._poller.log.write(logging.WARNING, "campaign.stale", fields, now=now)
        return self._store.entries()

    def save(self) -> None:
        """Save the values that changed."""
        if self._autosave is not None and self._is_applied:
            self._autosave.save(self._is_complete)

    def _is_complete(self, workspace: str) -> bool:
        return self._discovery is None or self._discovery.is_complete(workspace)

    def recover(self) -> None:
        """Schedule polls again that nothing would start any more."""
        self.workspaces.recover()
        if self._discovery is not None:
            self._discovery.recover()

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

    def is_ready(self, *, is_late: bool) -> bool:
        """Return whether each workspace is paused or has ended its first round.

        Then all objects were polled or restored, and discovery knows them or fails.
        `is_late`: the first request of each, where one is needed, is enough.
        """
        if not self._is_applied:
            return False
        untried = {
            (entry.key.workspace, entry.key.kind)
            for entry in self._store.entries()
            if entry.status.is_up is None
        }
        return all(
            group.queue.pause is not None
            or (
                (key not in untried or (is_late and group.queue.has_sent))
                and (
                    self._discovery is None
                    or self._discovery.was_tried(group.name, is_late=is_late)
                )
            )
            for key, group in tuple(self.workspaces.groups.items())
        )

    def discovery_views(self) -> Mapping[GroupKey, DiscoveryView]:
        """Return the state of discovery by workspace and kind."""
        return self._discovery.views() if self._discovery else {}

    def served(self) -> Iterator[Served]:
        """Yield what is served of each workspace now."""
        entries = defaultdict(list)
        for entry in self._store.entries():
            entries[entry.labels.workspace].append(entry)
        for name in self.workspaces.names():
            groups = self.workspaces.groups_of(name)
            snapshots = [one.snapshot for one in entries[name] if one.snapshot]
            objects = Counter(one.key.kind for one in entries[name])
            idle = {group.kind: len(group.idle.idle_ids) for group in groups}
            is_own = self._shard is None or self._shard.holds(name)
            contract = groups[0].plan.workspace.contract if groups and is_own else {}
            yield Served(
                workspace=name,
                campaigns=objects[CAMPAIGN.name],
                canvases=objects[CANVAS.name],
                series=sum(one.series for one in entries[name]),
                series_dropped=sum(one.dropped_series for one in snapshots),
                ignored_values=sum(one.ignored_values for one in snapshots),
                skipped_rows=sum(one.skipped_rows for one in snapshots),
                idle_campaigns=idle.get(CAMPAIGN, 0),
                idle_canvases=idle.get(CANVAS, 0),
                contract=contract,
            )

    def _run(self, poll: PendingPoll) -> None:
        if poll.at - self._clock.now() > _EARLY_SECONDS:
            self.scheduler.put(poll)  # the wall clock was just set forward
            return
        upcoming = self._poller.poll(poll)
        group = self.workspaces.groups.get((poll.workspace, poll.key.kind))
        if upcoming is not None and group is not None:
            group.queue.reschedule(upcoming)

    def _polled_part(self, workspace: WorkspaceConfig) -> WorkspaceConfig:
        """Return a workspace with the objects that this process polls."""
        if self._discovery is not None:
            workspace = self._discovery.with_found(workspace)
        return self._shard.part(workspace) if self._shard else workspace

    def _new_discovery(self) -> DiscoveryService:
        from exporter.discovery.catalogue_cache import CatalogueCache
        from exporter.discovery.service import DiscoveryService, PollingHooks

        return DiscoveryService(
            PollingHooks(
                session_of=self.workspaces.session_of,
                on_change=self.workspaces.refresh,
                after_step=self.workspaces.pauses.update_all,
                schedule=self.scheduler.put_task,
            ),
            read_key=self._read_key,
            metrics=self._metrics,
            clock=self._clock,
            random=random.random,
            file=None if self._state is None else CatalogueCache(self._state),
        )
