"""What the polls of one kind of object in one workspace share."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from exporter.braze.session import Session
from exporter.metrics.object_metrics import (
    ObjectLabels,
    PollStatus,
    RenderedObject,
    render_status,
)
from exporter.metrics.self_metrics import SelfMetrics
from exporter.metrics.store import Entry, ObjectKey
from exporter.model.config import Config, ObjectConfig
from exporter.polling import slots
from exporter.polling.idle import IdleSchedule
from exporter.polling.kinds import Kind
from exporter.polling.plan import GroupPlan
from exporter.polling.request_queue import PendingPoll, RequestQueue
from exporter.series import older_days
from exporter.series.older_days import OlderDays
from exporter.series.parse import ParseOptions
from exporter.system.clock import Clock

_STALE_INTERVALS = 3
"""Values are kept for so many intervals, however short `stale_after` is."""


GroupKey = tuple[str, str]
"""(workspace, kind)"""


class ObjectGroup(NamedTuple):
    """The objects of one kind in one workspace under the configuration in force."""

    config: Config
    plan: GroupPlan
    session: Session
    queue: RequestQueue
    idle: IdleSchedule
    objects: Mapping[str, ObjectConfig]
    """By id."""

    @property
    def name(self) -> str:
        """The value of the label `workspace`."""
        return self.plan.workspace.name

    @property
    def kind(self) -> Kind:
        """The kind of its objects."""
        return self.plan.kind

    @property
    def key(self) -> GroupKey:
        """The key of the group."""
        return (self.name, self.kind.name)

    @property
    def older_requests(self) -> int:
        """How many requests beside the newest one the days to cover need."""
        return self.plan.older_requests

    def are_older_due(self, object_id: str, older: OlderDays, *, now: float) -> bool:
        """Return whether older days are to be requested; `now` is by the wall clock."""
        today = self.parse_options(object_id, now=now).today
        windows = self.plan.windows if self.older_requests else ()
        phase = slots.phase(object_id)
        return older_days.is_due(older, windows, today=today, now=now, phase=phase)

    def object_key(self, object_id: str) -> ObjectKey:
        """Return the key of an object in the store."""
        return ObjectKey(self.name, self.kind.name, object_id)

    def labels_of(self, one: ObjectConfig) -> ObjectLabels:
        """Return the labels of an object."""
        kind, title = self.kind.name, self.kind.title(one)
        return ObjectLabels(self.name, kind, title, one.id, one.labels, one.edited_at)

    def parse_options(self, object_id: str, *, now: float) -> ParseOptions:
        """Return how a document is parsed; `now` is by the wall clock."""
        zone, one = self.plan.workspace.timezone, self.objects[object_id]
        sample_parser = self.kind.sample_parser(one)
        # The time of its last edit is a series, too.
        most = self.config.limits.series_per_campaign - (one.edited_at is not None)
        return ParseOptions(
            row_parser=self.kind.row_parser(one),
            today=datetime.fromtimestamp(now, zone).date(),
            timezone=zone,
            windows=self.config.windows,
            channels=self.config.channels,
            metrics=self.config.metrics.selection,
            skip_unused=self.config.metrics.skip_unused,
            revisions=self.config.revisions and self.kind.has_revisions,
            series_limit=most,
            sample_parser=sample_parser,
            now=now if sample_parser else 0.0,
            contract=() if sample_parser else tuple(self.plan.workspace.contract),
        )

    def reading(self, object_id: str) -> object:
        """Return what determines which days are requested and how they are parsed."""
        return self.parse_options(object_id, now=0.0)

    @property
    def sending(self) -> object:
        """What determines how requests are sent, beside the account.

        A failure may be due to it.
        """
        one, limits = self.plan.workspace, self.config.limits
        return (one.timeout_seconds, one.proxy, one.ca_file, limits.response_bytes)

    def lifetime_seconds(self, interval_seconds: float) -> float:
        """Return how long values are served after a successful poll."""
        return max(self.config.stale_after_seconds, _STALE_INTERVALS * interval_seconds)

    def render_status(self, labels: ObjectLabels, status: PollStatus) -> RenderedObject:
        """Render the status of an object: failing while the queue is paused."""
        pause = self.queue.pause
        if pause is not None:
            status = status._replace(is_up=False, failure=pause.reason)
        return render_status(labels, status)

    def with_status(self, entry: Entry, status: PollStatus) -> Entry:
        """Return an entry with another status, or with one that is rendered again."""
        blocks = self.render_status(entry.labels, status)
        return entry._replace(status=status, status_blocks=blocks)

    def next_poll(
        self,
        poll: PendingPoll,
        *,
        clock: Clock,
        interval_seconds: float | None = None,
    ) -> PendingPoll | None:
        """Return the poll after this one; None: the queue schedules it, as a probe."""
        if self.queue.is_probe(poll.object_id):
            return None
        return self.poll_after(
            poll.object_id,
            due_at=poll.due_at,
            began_at=poll.first_try_at,
            clock=clock,
            interval_seconds=interval_seconds,
        )

    def poll_after(
        self,
        object_id: str,
        *,
        due_at: float,
        began_at: float,
        clock: Clock,
        interval_seconds: float | None = None,
    ) -> PendingPoll:
        """Return an object's poll at the slot after one that was due and began then.

        An instant that lies in the future counts as now.
        """
        now = clock.now()
        slot = slots.slot_following(
            due_at=min(due_at, now),
            began_at=min(began_at, now),
            now=now,
            phase=slots.phase(object_id),
            interval_seconds=interval_seconds or self.idle.interval_seconds(object_id),
            wall_offset=clock.offset(),
        )
        key = self.object_key(object_id)
        return PendingPoll(key, due_at=slot, at=max(slot, now))

    def show_intervals(self, metrics: SelfMetrics) -> None:
        """Update the gauges of the planned requests and of the interval in force."""
        metrics.planned(
            self.name,
            self.kind.name,
            requests_per_minute=self.idle.plan.planned_per_minute,
            interval_seconds=self.idle.plan.interval_seconds,
            stretch=self.idle.plan.stretch,
        )


def in_force(
    groups: Mapping[GroupKey, ObjectGroup], group: ObjectGroup
) -> ObjectGroup | None:
    """Return a group as configured now; None: another account, or removed."""
    current = groups.get(group.key)
    is_same = current is not None and current.queue is group.queue
    return current if is_same else None
