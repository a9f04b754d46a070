"""What the polls of one workspace share, and how its objects are rendered."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from exporter.braze.session import Session
from exporter.metrics.campaign_metrics import ObjectLabels, PollStatus, RenderedObject
from exporter.metrics.self_metrics import SelfMetrics
from exporter.metrics.store import Entry
from exporter.model.config import CampaignConfig, Config
from exporter.polling import slots
from exporter.polling.connections import WorkspaceConnection
from exporter.polling.idle import IdleSchedule
from exporter.polling.plan import WorkspacePlan
from exporter.polling.request_queue import PendingPoll, RequestQueue
from exporter.series.parse import ParseOptions
from exporter.system.clock import Clock

_STALE_INTERVALS = 3
"""Values are kept for so many intervals, however short `stale_after` is."""


class Workspace(NamedTuple):
    """One workspace under the configuration in force."""

    config: Config
    plan: WorkspacePlan
    connection: WorkspaceConnection
    session: Session
    queue: RequestQueue
    idle: IdleSchedule
    campaigns: Mapping[str, CampaignConfig]

    @property
    def name(self) -> str:
        """The value of the label `workspace`."""
        return self.plan.workspace.name

    def parse_options(self, *, now: float) -> ParseOptions:
        """Return how a document is parsed; `now` is by the wall clock."""
        zone = self.plan.workspace.timezone
        return ParseOptions(
            today=datetime.fromtimestamp(now, zone).date(),
            timezone=zone,
            windows=self.config.windows,
            channels=self.config.channels,
            metrics=self.config.metrics,
            revisions=self.config.revisions,
            series_limit=self.config.limits.series_per_campaign,
        )

    def reading(self) -> tuple[object, ...]:
        """Return what determines which days are requested and how they are parsed."""
        return (self.plan.days_per_request, self.parse_options(now=0.0))

    def lifetime_seconds(self, interval_seconds: float) -> float:
        """Return how long values are served after a successful poll."""
        return max(self.config.stale_after_seconds, _STALE_INTERVALS * interval_seconds)

    def render_status(self, labels: ObjectLabels, status: PollStatus) -> RenderedObject:
        """Render the status of an object: failing while the queue is paused."""
        pause = self.queue.pause
        if pause is not None:
            status = status._replace(is_up=False, failure=pause.reason)
        return self.queue.kind.render_status(labels, status)

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
        return PendingPoll(self.name, object_id, due_at=slot, at=max(slot, now))

    def show_intervals(self, metrics: SelfMetrics) -> None:
        """Update the gauges of the planned requests and of the interval in force."""
        metrics.planned(
            self.name,
            requests_per_minute=self.idle.plan.planned_per_minute,
            interval_seconds=self.idle.plan.interval_seconds,
            stretch=self.idle.plan.stretch,
        )


def in_force(
    workspaces: Mapping[str, Workspace], workspace: Workspace
) -> Workspace | None:
    """Return a workspace as configured now; None: another account, or removed."""
    current = workspaces.get(workspace.name)
    is_same = current is not None and current.queue is workspace.queue
    return current if is_same else None
