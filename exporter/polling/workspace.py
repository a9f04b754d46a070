"""What the polls of one workspace share, and how its objects are rendered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from exporter.braze.session import Session
from exporter.metrics.campaign_metrics import ObjectLabels, PollStatus, RenderedObject
from exporter.metrics.self_metrics import SelfMetrics
from exporter.model.config import CampaignConfig, Config
from exporter.polling.idle import IdleSchedule
from exporter.polling.plan import WorkspacePlan
from exporter.polling.request_queue import RequestQueue

_STALE_INTERVALS = 3
"""Values are kept for so many intervals, however short `stale_after` is."""


class Workspace(NamedTuple):
    """One workspace under the configuration in force."""

    config: Config
    plan: WorkspacePlan
    session: Session
    queue: RequestQueue
    idle: IdleSchedule
    campaigns: Mapping[str, CampaignConfig]

    @property
    def name(self) -> str:
        """The value of the label `workspace`."""
        return self.plan.workspace.name

    def lifetime_seconds(self, interval_seconds: float) -> float:
        """Return how long values are served after a successful poll."""
        return max(self.config.stale_after_seconds, _STALE_INTERVALS * interval_seconds)

    def render_status(self, labels: ObjectLabels, status: PollStatus) -> RenderedObject:
        """Render the status of an object: failing while the queue is paused."""
        pause = self.queue.pause
        if pause is not None:
            status = status._replace(is_up=False, failure=pause.reason)
        return self.queue.kind.render_status(labels, status)

    def show_intervals(self, metrics: SelfMetrics) -> None:
        """Update the gauges of the planned requests and of the interval in force."""
        metrics.planned(
            self.name,
            requests_per_minute=self.idle.planned_per_minute,
            interval_seconds=self.idle.default_interval_seconds,
            stretch=self.idle.stretch,
        )
