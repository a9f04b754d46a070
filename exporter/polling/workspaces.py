"""All workspaces and objects that are polled under the configuration in force.

A new configuration is applied in place: what did not change keeps its values, its
phase, its budget and its connections.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from threading import RLock

from exporter.braze.proxies import ProxySettings
from exporter.braze.rate_limit import Budget
from exporter.braze.session import Ended, Session
from exporter.metrics.self_metrics import SelfMetrics
from exporter.metrics.store import ObjectKey, Store
from exporter.model.config import Config, KeySource, ObjectConfig, WorkspaceConfig
from exporter.model.errors import FailureReason
from exporter.polling import entries, plan, slots
from exporter.polling.clock_log import ClockLog
from exporter.polling.connections import Connector, WorkspaceConnection
from exporter.polling.idle import IdleSchedule, is_idle
from exporter.polling.kinds import KINDS, Kind
from exporter.polling.object_group import GroupKey, ObjectGroup
from exporter.polling.pause_display import PauseDisplay
from exporter.polling.plan_log import log_plans
from exporter.polling.request_queue import PendingPoll, RequestQueue
from exporter.polling.scheduler import Scheduler
from exporter.series.kept import Kept, KeptEntries
from exporter.system.clock import Clock

_log = logging.getLogger(__name__)

_REFUSED = (FailureReason.FORBIDDEN, FailureReason.NOT_FOUND, FailureReason.BAD_REQUEST)
"""Failures of one object that may be due to the key, and are polled slowly."""


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
        self.groups: dict[GroupKey, ObjectGroup] = {}
        """Always as the last `apply` left them."""
        self.pauses = PauseDisplay(
            self.groups, store=store, metrics=metrics, clock=clock
        )
        self._connections: dict[str, WorkspaceConnection] = {}
        self._sessions: dict[str, Session] = {}
        self._scheduler = scheduler
        self._store = store
        self._metrics = metrics
        self._connector = Connector(read_key=read_key, proxies=proxies, now=clock.wall)
        self._clock = clock
        self._random = random
        self._clock_log = ClockLog(clock)
        self._lock = RLock()
        self._config: Config | None = None
        self.polled_part: Callable[[WorkspaceConfig], WorkspaceConfig] = (
            lambda workspace: workspace
        )
        """A workspace with all objects that are polled, discovered ones included."""
        self._kept: dict[ObjectKey, Kept] = {}
        """Values of the state file, also of objects that are discovered later."""

    def apply(self, config: Config, kept: KeptEntries | None = None) -> None:
        """Poll what this configuration lists; start with `kept` values.

        One thread at a time may call it.
        """
        connections = {}
        for one in config.workspaces:  # may block: without a lock
            previous = self._connections.get(one.name)
            connections[one.name] = self._connector.connect(config, one, previous)
        with self._lock, self._published_together():
            self._config = config
            for name in set(self._connections) - set(connections):
                self._remove_workspace(name)
            if kept:
                self._kept = {ObjectKey(*key): one for key, one in kept.items()}
            for one in config.workspaces:
                self._apply(config, self.polled_part(one), connections[one.name])
            self.pauses.update_all()

    def refresh(self, name: str) -> None:
        """Poll the objects that are discovered in a workspace now."""
        with self._lock:
            connection = self._connections.get(name)
            if connection is None or self._config is None:
                return
            (configured,) = (one for one in self._config.workspaces if one.name == name)
            found = self.polled_part(configured)
            if any(
                kind.objects(found) != tuple(self._objects(name, kind).values())
                for kind in KINDS
            ):
                with self._published_together():
                    self._apply(self._config, found, connection)
                    self.pauses.update_all()

    def _published_together(self) -> AbstractContextManager[None]:
        return self._metrics.published_with(self._store.published_together())

    def names(self) -> tuple[str, ...]:
        """Return the names of the workspaces."""
        return tuple(self._connections)

    def groups_of(self, name: str) -> tuple[ObjectGroup, ...]:
        """Return the groups of a workspace."""
        return tuple(one for key, one in tuple(self.groups.items()) if key[0] == name)

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Delay other configurations and found objects to the end of the context."""
        with self._lock:
            yield

    def session_of(self, name: str) -> Session | None:
        """Return the session of a workspace; None: the workspace has none now."""
        return self._sessions.get(name)

    def check_keys(self) -> tuple[str, ...]:
        """Probe a paused workspace at once if its key was replaced.

        Return the names of the workspaces whose keys were.
        """
        changed = []
        for name, connection in tuple(self._connections.items()):
            if connection.key.has_changed():
                _log.info("key.changed", extra={"fields": {"workspace": name}})
                for group in self.groups_of(name):
                    group.queue.probe_now(now=self._clock.now())
                    self._retry_refused(group)
                changed.append(name)
        return tuple(changed)

    def _retry_refused(self, group: ObjectGroup) -> None:
        """Poll at once what the previous key had no permission for, or not found."""
        now = self._clock.now()
        polls = []
        for object_id in group.objects:
            entry = self._store.get(group.object_key(object_id))
            if entry and entry.status.failure in _REFUSED:
                polls.append(PendingPoll(entry.key, due_at=now))
        group.queue.enqueue(tuple(polls), now=now)

    def recover(self) -> None:
        """Schedule polls again that nothing would start any more, and count them.

        A fault of this program; it is called regularly, and two calls in a row have to
        find a poll lost.
        """
        active_ids = defaultdict(set)
        for key in self._scheduler.active_keys():
            active_ids[key.workspace, key.kind].add(key.id)
        for group_key, group in tuple(self.groups.items()):
            lost = group.queue.recover(
                active_ids[group_key],
                look_again=partial(self._active_ids, group_key),
                now=self._clock.now(),
            )
            if lost:
                self._metrics.recovered(group.name, lost)
                fields = {"workspace": group.name, "polls": lost}
                _log.warning("polls.recovered", extra={"fields": fields})

    def _active_ids(self, group_key: GroupKey) -> set[str]:
        active = self._scheduler.active_keys()
        return {key.id for key in active if (key.workspace, key.kind) == group_key}

    def after_clock_set(self) -> None:
        """Adjust what is in wall time after the wall clock was set; waits stay."""
        self._scheduler.after_clock_set()
        for session in tuple(self._sessions.values()):
            session.discard_windows()
        for group in tuple(self.groups.values()):
            group.queue.schedule_again(now=self._clock.now())
        for entry in self._store.entries():
            group_now = self.groups.get((entry.key.workspace, entry.key.kind))
            if group_now is not None:
                shift = partial(entries.in_wall_time, self._clock, group=group_now)
                self._store.update(entry.key, shift)

    def abort(self) -> None:
        """Break off all requests; later ones fail at once."""
        for connection in tuple(self._connections.values()):
            connection.client.abort()

    def _apply(
        self,
        config: Config,
        workspace: WorkspaceConfig,
        connection: WorkspaceConnection,
    ) -> None:
        """Poll what is configured in a workspace, kind by kind."""
        name = workspace.name
        previous = self._connections.get(name)
        self._connect(workspace, connection, previous)
        plans = plan.plan(config._replace(workspaces=(workspace,)))
        for gone in {one.key for one in self.groups_of(name)} - {
            (name, one.kind.name) for one in plans
        }:
            self._remove_group(gone)
        log_plans(plans, {one.key: one.plan for one in self.groups_of(name)})
        for one in plans:
            self._apply_group(config, one)
        if previous is not None and connection.client is not previous.client:
            previous.client.retire()

    def _connect(
        self,
        workspace: WorkspaceConfig,
        connection: WorkspaceConnection,
        previous: WorkspaceConnection | None,
    ) -> None:
        """Change threads, client, session and budgets to those configured now."""
        name, client = workspace.name, connection.client
        self._connections[name] = connection
        if previous is None or client is not previous.client:
            self._scheduler.open(name, concurrency=workspace.concurrency)
        if previous and connection.has_account_of(previous):
            session = self._sessions[name]
            session.client = client
            session.reconfigure(_budgets(workspace))
        else:
            self._sessions[name] = Session(
                client,
                budgets=_budgets(workspace),
                clock=self._clock,
                random=self._random,
                on_end=partial(self._record, name),
            )

    def _apply_group(self, config: Config, group_plan: plan.GroupPlan) -> None:
        group = self._group(config, group_plan)
        previous = self.groups.get(group.key)
        if previous and previous.queue is not group.queue:
            # Before the other queue is used: both schedule jobs of the same objects.
            previous.queue.close(now=self._clock.now())
        # Before the queue is changed: a poll that it starts has to find its object.
        self.groups[group.key] = group
        if previous and previous.queue is group.queue:
            group.queue.reconfigure(tuple(group.objects), now=self._clock.now())
        group.show_intervals(self._metrics)
        if previous is not None:
            self._remove(group, set(previous.objects) - set(group.objects))
        added = self._show(group, previous)
        if previous and previous.queue is group.queue:
            self._update_intervals(group, previous)
        else:
            added = tuple(group.objects.values())
        self._start(group, added)
        for object_id in group.objects:
            self._kept.pop(group.object_key(object_id), None)

    def _group(self, config: Config, group_plan: plan.GroupPlan) -> ObjectGroup:
        name, kind = group_plan.workspace.name, group_plan.kind
        session = self._sessions[name]
        objects = {one.id: one for one in group_plan.objects}
        previous = self.groups.get((name, kind.name))
        if previous and previous.session is session:
            queue = previous.queue
        else:
            self._metrics.expect(name, kind.name, kind.path)
            queue = RequestQueue(
                session,
                workspace=name,
                kind=kind,
                object_ids=tuple(objects),
                schedule=self._scheduler.put,
                unschedule=self._scheduler.drop,
                now=self._clock.now,
            )
        return ObjectGroup(
            config=config,
            plan=group_plan,
            session=session,
            queue=queue,
            idle=IdleSchedule(group_plan, self._idle_ids(group_plan)),
            objects=objects,
        )

    def _objects(self, name: str, kind: Kind) -> Mapping[str, ObjectConfig]:
        group = self.groups.get((name, kind.name))
        return group.objects if group else {}

    def _record(self, name: str, ended: Ended) -> None:
        """Count a request that ended, and log it as debug."""
        request = ended.request
        self._metrics.answered(
            name, request.path, code=ended.status, seconds=ended.seconds
        )
        if ended.headers is not None:
            self._metrics.allowed(name, request.path, ended.headers)
        if ended.answered_at is not None:
            seconds = ended.seconds or 0.0
            self._clock_log.compare(name, ended.answered_at, seconds=seconds)
        fields = {**request.fields, "status": ended.status, "seconds": ended.seconds}
        _log.debug("braze.answered", extra={"fields": fields})

    def _idle_ids(self, group_plan: plan.GroupPlan) -> tuple[str, ...]:
        """Return the objects that are idle, by what was last read of each."""
        found = []
        for one in group_plan.objects:
            key = ObjectKey(group_plan.workspace.name, group_plan.kind.name, one.id)
            entry, known = self._store.get(key), self._kept.get(key)
            previous = known.snapshot if known else None
            if is_idle(one, entry.last_read if entry else previous):
                found.append(one.id)
        return tuple(found)

    def _remove_workspace(self, name: str) -> None:
        for group in self.groups_of(name):
            self._remove_group(group.key)
        self._scheduler.close(name)
        self._connections.pop(name).client.retire()
        del self._sessions[name]
        self._metrics.forget(name)
        _log.info("workspace.removed", extra={"fields": {"workspace": name}})

    def _remove_group(self, key: GroupKey) -> None:
        group = self.groups.pop(key)
        group.queue.close(now=self._clock.now())
        self._remove(group, group.objects)
        self._metrics.forget_kind(*key)

    def _remove(self, group: ObjectGroup, object_ids: Iterable[str]) -> None:
        self._store.remove(map(group.object_key, object_ids))

    def _show(
        self, group: ObjectGroup, previous: ObjectGroup | None
    ) -> tuple[ObjectConfig, ...]:
        """Store every object under its current name; return those that are new."""
        is_other_queue = previous is not None and previous.queue is not group.queue
        added = []
        for one in group.objects.values():
            key, labels = group.object_key(one.id), group.labels_of(one)
            entry, known = self._store.get(key), self._kept.get(key)
            if entry is None:
                added.append(one)
                self._store.put(
                    entries.first_entry(labels, group, known, now=self._clock.now())
                )
            elif entry.labels != labels or is_other_queue:
                rename = partial(entries.renamed, labels=labels, group=group)
                self._store.update(key, rename)
        return tuple(added)

    def _update_intervals(self, group: ObjectGroup, previous: ObjectGroup) -> None:
        """Show changed intervals, and advance polls that are due earlier now."""
        now = self._clock.now()
        for object_id in group.objects:
            interval = group.idle.interval_seconds(object_id)
            before = _intervals(previous, object_id)
            if before in {None, _intervals(group, object_id)}:
                continue
            self._store.update(
                group.object_key(object_id),
                partial(entries.with_interval, interval_seconds=interval, group=group),
            )
            planned = self._scheduler.planned(group.object_key(object_id))
            slot = slots.next_slot(
                phase=slots.phase(object_id),
                interval_seconds=interval,
                after=now,
                wall_offset=self._clock.offset(),
            )
            if planned and not planned.tries and slot < planned.at:
                group.queue.reschedule(planned._replace(due_at=slot, at=slot))

    def _start(self, group: ObjectGroup, added: tuple[ObjectConfig, ...]) -> None:
        """Start polling new objects: at once, or at the next slot if read before."""
        now = self._clock.now()
        due = []
        for one in added:
            key = group.object_key(one.id)
            known = self._kept.get(key)
            poll = PendingPoll(key, due_at=now)
            if known is not None:
                at = known.last_success_at
                poll = group.poll_after(
                    one.id, due_at=at, began_at=at, clock=self._clock
                )
            if poll.due_at > now:
                group.queue.reschedule(poll)
            else:
                due.append(one)
        apart = group.plan.spacing_seconds
        first_round = plan.first_round(tuple(due), now=now, spacing_seconds=apart)
        polls = []
        for object_id, due_at in first_round:
            polls.append(PendingPoll(group.object_key(object_id), due_at))
            due_then = partial(entries.due, at=due_at)
            self._store.update(group.object_key(object_id), due_then)
        group.queue.enqueue(tuple(polls), now=now)


def _budgets(configured: WorkspaceConfig) -> dict[str, Budget]:
    """Return the budgets by bucket; discovery sends one request at a time."""
    polled = {kind.bucket for kind in KINDS if kind.objects(configured)}
    return {
        kind.bucket: Budget.of_rate(
            kind.ceiling(configured),
            reserve=configured.reserve,
            concurrency=configured.concurrency if kind.bucket in polled else 1,
            processes=configured.processes,
        )
        for kind in KINDS
    }


def _intervals(group: ObjectGroup, object_id: str) -> tuple[float, float] | None:
    """Return the interval in force and how long values are served at it."""
    if object_id not in group.objects:
        return None
    interval = group.idle.interval_seconds(object_id)
    return (interval, group.lifetime_seconds(interval))
