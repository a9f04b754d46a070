"""All workspaces and objects that are polled under the configuration in force.

A new configuration is applied in place: what did not change keeps its values, its
phase, its budget and its connections.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from threading import RLock

from exporter.braze.proxies import ProxySettings
from exporter.braze.rate_limit import Budget, spacing
from exporter.braze.session import SHARED, Ended, Session
from exporter.metrics.campaign_metrics import ObjectLabels
from exporter.metrics.self_metrics import SelfMetrics
from exporter.metrics.store import ObjectKey, Store
from exporter.model.config import CampaignConfig, Config, KeySource, WorkspaceConfig
from exporter.model.errors import FailureReason
from exporter.polling import entries, plan, slots
from exporter.polling.clock_log import ClockLog
from exporter.polling.connections import Connector, WorkspaceConnection
from exporter.polling.idle import IdleSchedule, is_idle
from exporter.polling.kinds import CAMPAIGN
from exporter.polling.plan_log import log_plan
from exporter.polling.request_queue import PendingPoll, RequestQueue
from exporter.polling.scheduler import Scheduler
from exporter.polling.workspace import Workspace
from exporter.series.kept import Kept, KeptEntries
from exporter.system.clock import Clock

_log = logging.getLogger(__name__)

_DISCOVERY_CONCURRENCY = 1


class Workspaces:
    """Any thread may call any method."""

    def __init__(
        self,
        *,
        scheduler: Scheduler,
        store: Store,
        metrics: SelfMetrics,
        read_key: Callable[[KeySource], str | None],
        proxies: ProxySettings,
        clock: Clock,
        random: Callable[[], float],
    ) -> None:
        self.by_name: dict[str, Workspace] = {}
        """Always as the last `apply` left it."""
        self._scheduler = scheduler
        self._store = store
        self._metrics = metrics
        self._connector = Connector(read_key=read_key, proxies=proxies, now=clock.wall)
        self._clock = clock
        self._random = random
        self._clock_log = ClockLog(clock)
        self._lock = RLock()
        self._config: Config | None = None
        self.campaigns_of: Callable[[WorkspaceConfig], tuple[CampaignConfig, ...]] = (
            lambda workspace: workspace.campaigns
        )
        """All campaigns of a workspace that are polled, discovered ones included."""
        self._kept: dict[ObjectKey, Kept] = {}
        """Values of the state file, also of campaigns that are discovered later."""

    def apply(self, config: Config, kept: KeptEntries | None = None) -> None:
        """Poll what this configuration lists; start with `kept` values.

        One thread at a time may call it.
        """
        connections = {}
        for one in config.workspaces:  # may block: without a lock
            current = self.by_name.get(one.name)
            previous = current.connection if current else None
            connections[one.name] = self._connector.connect(config, one, previous)
        with self._lock, self._store.published_together():
            self._config = config
            workspaces = tuple(
                replace(one, campaigns=self.campaigns_of(one))
                for one in config.workspaces
            )
            plans = {
                one.workspace.name: one
                for one in plan.plan(config._replace(workspaces=workspaces))
            }
            for name in set(self.by_name) - set(plans):
                self._remove_workspace(name)
            if kept:
                self._kept = dict(kept)
            for name, workspace_plan in plans.items():
                self._apply(config, workspace_plan, connections[name])

    def refresh(self, name: str) -> None:
        """Poll the campaigns that are discovered in a workspace now."""
        with self._lock:
            current = self.by_name.get(name)
            if current is None or self._config is None:
                return
            (configured,) = (one for one in self._config.workspaces if one.name == name)
            campaigns = self.campaigns_of(configured)
            if campaigns != current.plan.workspace.campaigns:
                found = replace(configured, campaigns=campaigns)
                (one,) = plan.plan(self._config._replace(workspaces=(found,)))
                with self._store.published_together():
                    self._apply(self._config, one, current.connection)

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Delay other configurations and found campaigns to the end of the context."""
        with self._lock:
            yield

    def session_of(self, name: str) -> Session | None:
        """Return the session of a workspace; None: the workspace has none now."""
        current = self.by_name.get(name)
        return current.session if current else None

    def check_keys(self) -> tuple[str, ...]:
        """Probe a paused workspace at once if its key was replaced.

        Return the names of the workspaces whose keys were.
        """
        changed = []
        for name, workspace in tuple(self.by_name.items()):
            if workspace.connection.key.has_changed():
                _log.info("key.changed", extra={"fields": {"workspace": name}})
                workspace.queue.probe_now(now=self._clock.now())
                self._retry_forbidden(workspace)
                changed.append(name)
        return tuple(changed)

    def _retry_forbidden(self, workspace: Workspace) -> None:
        """Poll at once what the previous key had no permission for."""
        now = self._clock.now()
        polls = []
        for object_id in workspace.campaigns:
            entry = self._store.get((workspace.name, object_id))
            if entry and entry.status.failure is FailureReason.FORBIDDEN:
                polls.append(PendingPoll(workspace.name, object_id, due_at=now))
        workspace.queue.enqueue(tuple(polls), now=now)

    def recover(self) -> None:
        """Schedule polls again that nothing would start any more, and count them.

        A fault of this program; it is called regularly, and two calls in a row have to
        find a poll lost.
        """
        active_ids = defaultdict(set)
        for name, object_id in self._scheduler.active_keys():
            active_ids[name].add(object_id)
        for name, workspace in tuple(self.by_name.items()):
            lost = workspace.queue.recover(
                active_ids[name],
                look_again=partial(self._active_ids, name),
                now=self._clock.now(),
            )
            if lost:
                self._metrics.recovered(name, lost)
                fields = {"workspace": name, "polls": lost}
                _log.warning("polls.recovered", extra={"fields": fields})

    def _active_ids(self, name: str) -> set[str]:
        return {one for owner, one in self._scheduler.active_keys() if owner == name}

    def after_clock_set(self) -> None:
        """Adjust what is in wall time after the wall clock was set; waits stay."""
        self._scheduler.after_clock_set()
        for workspace in tuple(self.by_name.values()):
            workspace.session.discard_windows()
            workspace.queue.schedule_again(now=self._clock.now())
        for entry in self._store.entries():
            workspace_now = self.by_name.get(entry.labels.workspace)
            if workspace_now is not None:
                shift = partial(
                    entries.in_wall_time, self._clock, workspace=workspace_now
                )
                self._store.update(entry.key, shift)

    def abort(self) -> None:
        """Break off all requests; later ones fail at once."""
        for workspace in tuple(self.by_name.values()):
            workspace.connection.client.abort()

    def _apply(
        self,
        config: Config,
        workspace_plan: plan.WorkspacePlan,
        connection: WorkspaceConnection,
    ) -> None:
        name = workspace_plan.workspace.name
        previous = self.by_name.get(name)
        workspace = self._workspace(config, workspace_plan, connection, previous)
        if previous and previous.queue is not workspace.queue:
            # Before the other queue is used: both schedule jobs of the same objects.
            previous.queue.reconfigure((), now=self._clock.now())
        # Before the queue is changed: a poll that it starts has to find its object.
        self.by_name[name] = workspace
        self._reconfigure(workspace, previous)
        workspace.show_intervals(self._metrics)
        log_plan(workspace.plan, previous.plan if previous else None)
        if previous is not None:
            self._remove(name, set(previous.campaigns) - set(workspace.campaigns))
        added = self._show(workspace, previous)
        if previous and previous.queue is workspace.queue:
            self._update_intervals(workspace, previous)
        else:
            added = tuple(workspace.campaigns.values())
        self._start(workspace, added)
        for object_id in workspace.campaigns:
            self._kept.pop((name, object_id), None)

    def _workspace(
        self,
        config: Config,
        workspace_plan: plan.WorkspacePlan,
        connection: WorkspaceConnection,
        previous: Workspace | None,
    ) -> Workspace:
        configured = workspace_plan.workspace
        name = configured.name
        campaigns = {campaign.id: campaign for campaign in configured.campaigns}
        if previous and connection.has_account_of(previous.connection):
            session, queue = previous.session, previous.queue
        else:
            self._metrics.expect(name, CAMPAIGN.path)
            session = Session(
                connection.client,
                budgets=_budgets(configured),
                clock=self._clock,
                random=self._random,
                on_end=partial(self._record, name),
            )
            queue = RequestQueue(
                session,
                workspace=name,
                object_ids=tuple(campaigns),
                schedule=self._scheduler.put,
                unschedule=self._scheduler.drop,
                now=self._clock.now,
            )
        return Workspace(
            config=config,
            plan=workspace_plan,
            connection=connection,
            session=session,
            queue=queue,
            idle=IdleSchedule(workspace_plan, self._idle_ids(configured)),
            campaigns=campaigns,
        )

    def _reconfigure(self, workspace: Workspace, previous: Workspace | None) -> None:
        """Change threads, client, budgets and queue to those configured now."""
        configured, client = workspace.plan.workspace, workspace.connection.client
        if previous is None or client is not previous.connection.client:
            self._scheduler.open(configured.name, concurrency=configured.concurrency)
            workspace.session.client = client
            if previous is not None:
                previous.connection.client.retire()
        if previous and previous.queue is workspace.queue:
            workspace.session.reconfigure(_budgets(configured))
            ids = tuple(workspace.campaigns)
            workspace.queue.reconfigure(ids, now=self._clock.now())

    def _record(self, name: str, ended: Ended) -> None:
        """Count a request that ended, and log it as debug."""
        request = ended.request
        self._metrics.answered(
            name, request.path, code=ended.status, seconds=ended.seconds
        )
        if ended.headers is not None:
            self._metrics.allowed(name, request.path, ended.headers)
        if ended.answered_at is not None:
            self._clock_log.compare(name, ended.answered_at, seconds=ended.seconds)
        fields = {**request.fields, "status": ended.status, "seconds": ended.seconds}
        _log.debug("braze.answered", extra={"fields": fields})

    def _idle_ids(self, configured: WorkspaceConfig) -> tuple[str, ...]:
        """Return the campaigns that are idle, by what was last read of each."""
        found = []
        for campaign in configured.campaigns:
            key = (configured.name, campaign.id)
            entry, known = self._store.get(key), self._kept.get(key)
            previous = known.snapshot if known else None
            if is_idle(campaign, entry.last_read if entry else previous):
                found.append(campaign.id)
        return tuple(found)

    def _remove_workspace(self, name: str) -> None:
        workspace = self.by_name.pop(name)
        workspace.queue.reconfigure((), now=self._clock.now())
        self._scheduler.close(name)
        self._remove(name, workspace.campaigns)
        workspace.connection.client.retire()
        self._metrics.forget(name)
        _log.info("workspace.removed", extra={"fields": {"workspace": name}})

    def _remove(self, workspace: str, object_ids: Iterable[str]) -> None:
        self._store.remove((workspace, object_id) for object_id in object_ids)

    def _show(
        self, workspace: Workspace, previous: Workspace | None
    ) -> tuple[CampaignConfig, ...]:
        """Store every campaign under its current name; return those that are new."""
        is_other_queue = previous is not None and previous.queue is not workspace.queue
        added = []
        for campaign in workspace.campaigns.values():
            key = (workspace.name, campaign.id)
            labels = ObjectLabels(
                workspace.name, campaign.name, campaign.id, campaign.labels
            )
            entry = self._store.get(key)
            if entry is None:
                added.append(campaign)
                self._store.put(
                    entries.first_entry(
                        labels, workspace, self._kept.get(key), now=self._clock.now()
                    )
                )
            elif entry.labels != labels or is_other_queue:
                rename = partial(entries.renamed, labels=labels, workspace=workspace)
                self._store.update(key, rename)
        return tuple(added)

    def _update_intervals(self, workspace: Workspace, previous: Workspace) -> None:
        """Show changed intervals, and advance polls that are due earlier now."""
        now = self._clock.now()
        for object_id in workspace.campaigns:
            interval = workspace.idle.interval_seconds(object_id)
            before = _intervals(previous, object_id)
            if before in {None, _intervals(workspace, object_id)}:
                continue
            self._store.update(
                (workspace.name, object_id),
                partial(
                    entries.with_interval,
                    interval_seconds=interval,
                    workspace=workspace,
                ),
            )
            planned = self._scheduler.planned(workspace.name, object_id)
            slot = slots.next_slot(
                phase=slots.phase(object_id),
                interval_seconds=interval,
                after=now,
                wall_offset=self._clock.offset(),
            )
            if planned and not planned.tries and slot < planned.at:
                workspace.queue.reschedule(planned._replace(due_at=slot, at=slot))

    def _start(self, workspace: Workspace, added: tuple[CampaignConfig, ...]) -> None:
        """Start polling new campaigns: at once, or at the next slot if read before."""
        name = workspace.name
        now = self._clock.now()
        due = []
        for campaign in added:
            known = self._kept.get((name, campaign.id))
            poll = PendingPoll(name, campaign.id, due_at=now)
            if known is not None:
                at = known.last_success_at
                poll = workspace.poll_after(
                    campaign.id, due_at=at, began_at=at, clock=self._clock
                )
            if poll.due_at > now:
                workspace.queue.reschedule(poll)
            else:
                due.append(campaign)
        apart = spacing(workspace.plan.workspace.requests_per_minute)
        first_round = plan.first_round(tuple(due), now=now, spacing_seconds=apart)
        polls = []
        for object_id, due_at in first_round:
            polls.append(PendingPoll(name, object_id, due_at))
            self._store.update((name, object_id), partial(entries.due, at=due_at))
        workspace.queue.enqueue(tuple(polls), now=now)


def _budgets(configured: WorkspaceConfig) -> dict[str, Budget]:
    budgets = {
        CAMPAIGN.bucket: Budget.of_rate(
            configured.requests_per_minute,
            reserve=configured.reserve,
            concurrency=configured.concurrency,
            processes=configured.processes,
        )
    }
    if configured.discover is not None:
        budgets[SHARED] = Budget.of_rate(
            configured.discover.requests_per_minute,
            reserve=configured.reserve,
            concurrency=_DISCOVERY_CONCURRENCY,
            processes=configured.processes,
        )
    return budgets


def _intervals(workspace: Workspace, object_id: str) -> tuple[float, float] | None:
    """Return the interval in force and how long values are served at it."""
    if object_id not in workspace.campaigns:
        return None
    interval = workspace.idle.interval_seconds(object_id)
    return (interval, workspace.lifetime_seconds(interval))
