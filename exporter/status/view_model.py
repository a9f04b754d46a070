"""The state of all workspaces and their objects at one instant, in wall time."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from exporter.braze.rate_limit_view import RateLimitView
from exporter.discovery.view import DiscoveryView
from exporter.metrics.object_metrics import ObjectLabels, PollStatus
from exporter.metrics.store import Entry
from exporter.model.config import WorkspaceConfig
from exporter.model.snapshot import Day, RecentDays, Snapshot
from exporter.polling.kinds import CAMPAIGN, KINDS, Kind
from exporter.polling.pause import Pause
from exporter.polling.plan import GroupPlan
from exporter.polling.request_queue import QueueState
from exporter.polling.sharding import Shard
from exporter.series import deliverability
from exporter.series.deliverability import Deliverability, Level


class ObjectState(StrEnum):
    """The polling state of a campaign or canvas; the most urgent first."""

    PAUSED = "paused"
    """Braze rejects the key of its workspace, or a permission is missing."""
    STALE = "stale"
    """The last success is so long ago that the values have expired."""
    FAILING = "failing"
    """The last poll failed, or none has ended long after the first was due."""
    WAITING = "waiting"
    """Not polled yet, and not overdue."""
    OK = "ok"


@dataclass(frozen=True, slots=True)
class GroupView:
    """The state of the objects of one kind in one workspace."""

    plan: GroupPlan
    pause: Pause | None
    states: Mapping[ObjectState, int]
    waiting: int
    """Objects in the request queue."""
    idle: int
    """Objects polled at the idle interval."""

    @property
    def kind(self) -> Kind:
        """The kind of its objects."""
        return self.plan.kind


@dataclass(frozen=True, slots=True)
class WorkspaceView:
    """The state of one workspace."""

    config: WorkspaceConfig
    all_groups: tuple[GroupView, ...]
    """In the order of the kinds, that of campaigns always among them."""
    rate_limits: tuple[RateLimitView, ...]
    """One per bucket of Braze, once it is used."""
    discoveries: tuple[DiscoveryView, ...]
    """Of the kinds that are discovered."""

    @property
    def name(self) -> str:
        """The label `workspace`."""
        return self.config.name

    @property
    def groups(self) -> tuple[GroupView, ...]:
        """The groups with objects; without any, that of campaigns."""
        found = tuple(one for one in self.all_groups if one.plan.objects)
        return found or self.all_groups[:1]

    @property
    def polled_together(self) -> tuple[tuple[GroupView, ...], ...]:
        """The groups, those of series by the bucket that they share."""
        together: dict[tuple[str, str], list[GroupView]] = defaultdict(list)
        for one in self.groups:
            together[one.kind.plural, one.kind.bucket].append(one)
        return tuple(map(tuple, together.values()))

    @property
    def pauses(self) -> tuple[GroupView, ...]:
        """The paused groups; of those that a refused key pauses, the one that probes.

        If discovery probes the key, it is the first one.
        """
        paused = [one for one in self.groups if one.pause]
        by_key = [one for one in paused if one.pause and one.pause.is_of_key]
        by_key.sort(key=lambda one: not (one.pause and one.pause.probe_id))
        return tuple(one for one in paused if one not in by_key[1:])


@dataclass(frozen=True, slots=True)
class DayView:
    """One day of an object, summed over its messages."""

    date: date
    starts_at: float
    tally: Deliverability


@dataclass(frozen=True, slots=True)
class NextPoll:
    """The time of an object's next poll."""

    at: float | None
    """None: unknown, after a pause or after a response that is still awaited."""
    place: int | None = None
    """The number of objects before it, if it is in the request queue."""
    is_running: bool = False


@dataclass(frozen=True, slots=True)
class ObjectView:
    """The state of one campaign or canvas."""

    kind: Kind
    labels: ObjectLabels
    status: PollStatus
    """The state of its polls, even if they are paused."""
    snapshot: Snapshot | None
    """None: it has no values."""
    state: ObjectState
    next_poll: NextPoll
    latest: DayView | None
    is_of_today: bool
    """Whether the latest day is today in the workspace's time zone."""
    is_idle: bool
    """Whether it is polled at the idle interval."""
    series: int

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels of its messages."""
        parts = self.snapshot.parts if self.snapshot else ()
        return tuple(dict.fromkeys(one.channel for one in parts if one.channel))

    @property
    def history(self) -> RecentDays | None:
        """The last 28 days."""
        return self.snapshot.history if self.snapshot else None

    @property
    def level(self) -> Level:
        """The more urgent level of the latest day's rates."""
        return self.latest.tally.level if self.latest else Level.UNJUDGED


@dataclass(frozen=True, slots=True)
class Overview:
    """The state of everything at the instant `at`."""

    at: float
    workspaces: tuple[WorkspaceView, ...]
    objects: tuple[ObjectView, ...]
    shard: Shard | None = None
    """None: this process polls all objects."""

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds that are polled; without any, campaigns.

        All series of the workspace are one of them.
        """
        groups = [group for one in self.workspaces for group in one.groups]
        polled = {one.kind for one in groups if one.plan.objects}
        found = {one.label: one for one in KINDS if one in polled}
        return tuple(found.values()) or (CAMPAIGN,)

    def timezone_of(self, one: ObjectView) -> ZoneInfo:
        """Return the time zone of an object's workspace."""
        name = one.labels.workspace
        return next(
            each.config.timezone for each in self.workspaces if each.name == name
        )


def next_poll(
    queue: QueueState, object_id: str, *, planned_at: float | None, now: float
) -> NextPoll:
    """Return the next poll of an object that is scheduled for `planned_at`."""
    if object_id in queue.in_flight:
        return NextPoll(now, is_running=True)
    if queue.pause and object_id == queue.pause.probe_id:
        return NextPoll(max(queue.pause.probe_at, now))
    place = queue.positions.get(object_id)
    if queue.pause:
        return NextPoll(None, place)
    if place is None:
        return NextPoll(None if planned_at is None else max(planned_at, now))
    at = max(queue.earliest, now) + place * queue.budget.spacing_seconds
    return NextPoll(at if math.isfinite(at) else None, place)


def object_view(
    entry: Entry,
    *,
    kind: Kind,
    next_poll: NextPoll,
    is_paused: bool,
    is_overdue: bool,
    is_idle: bool,
    today: date,
) -> ObjectView:
    """Return the view of an object."""
    snapshot = entry.snapshot
    latest = day_view(snapshot.latest) if snapshot else None
    value_series = entry.values.series if entry.values else 0
    return ObjectView(
        kind=kind,
        labels=entry.labels,
        status=entry.status,
        snapshot=snapshot,
        state=_state(entry, is_paused=is_paused, is_overdue=is_overdue),
        next_poll=next_poll,
        latest=latest,
        is_of_today=latest is not None and latest.date == today,
        is_idle=is_idle,
        series=entry.status_blocks.series + value_series,
    )


def day_view(day: Day | None) -> DayView | None:
    """Return a day with its messages summed."""
    if day is None:
        return None
    return DayView(day.date, day.starts_at, deliverability.of_figures(day.figures))


def today_in(timezone: ZoneInfo, *, now: float) -> date:
    """Return the current date in a time zone."""
    return datetime.fromtimestamp(now, timezone).date()


def _state(entry: Entry, *, is_paused: bool, is_overdue: bool) -> ObjectState:
    status = entry.status
    if is_paused:
        return ObjectState.PAUSED
    if status.last_success_at is not None and entry.snapshot is None:
        return ObjectState.STALE
    if status.is_up is None:
        return ObjectState.FAILING if is_overdue else ObjectState.WAITING
    return ObjectState.OK if status.is_up else ObjectState.FAILING
