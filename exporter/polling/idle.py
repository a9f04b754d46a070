"""Which campaigns of a workspace are polled slowly, and what interval that leaves each.

A campaign in which nothing happens is asked at the idle interval; what that saves is
shared by all where intervals have to be stretched. Which lane a campaign belongs to is
decided from its snapshot by whoever read it. It knows neither polls nor the clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from threading import Lock

from exporter.model.config import CampaignConfig
from exporter.model.snapshot import Snapshot
from exporter.polling.plan import WorkspacePlan
from exporter.polling.slots import stretch


def is_idle(campaign: CampaignConfig, snapshot: Snapshot | None) -> bool:
    """Tell whether nothing is to be expected of a campaign for now.

    Nothing was counted for two weeks; or Braze calls it archived or a draft and nothing
    is being counted. Of one that was never read only the latter is known.
    """
    if snapshot is None:
        return campaign.is_dormant
    is_over = campaign.is_dormant and not snapshot.is_active
    return snapshot.is_quiet or is_over


class IdleSchedule:
    """The lanes of one workspace under one plan. Any thread may call any method."""

    def __init__(self, plan: WorkspacePlan, idle_ids: Iterable[str] = ()) -> None:
        idle_interval = plan.workspace.idle_interval_seconds
        self._plan = plan
        self._fast = {one.id: one.interval_seconds for one in plan.workspace.campaigns}
        self._slow = {one: max(at, idle_interval) for one, at in self._fast.items()}
        self._idle_ids = frozenset(idle_ids) & frozenset(self._fast)
        self._lock = Lock()
        self._rhythms = Counter(map(self._configured, self._fast))
        self._stretch = self._needed_stretch()

    def move(self, campaign_id: str, *, is_idle: bool) -> bool:
        """Put a campaign on a lane; return whether it was on the other one."""
        with self._lock:
            if campaign_id not in self._fast or (
                is_idle == (campaign_id in self._idle_ids)
            ):
                return False
            self._rhythms[self._configured(campaign_id)] -= 1
            self._idle_ids ^= {campaign_id}
            self._rhythms[self._configured(campaign_id)] += 1
            self._stretch = self._needed_stretch()
            return True

    @property
    def idle_ids(self) -> frozenset[str]:
        """The campaigns on the slow lane."""
        return self._idle_ids

    @property
    def stretch(self) -> float:
        """The factor, at least 1, on every interval now."""
        return self._stretch

    @property
    def plan(self) -> WorkspacePlan:
        """The plan with the rates and the stretch of now; intervals are as planned."""
        with self._lock:
            return self._plan._replace(
                wanted_per_minute=self._wanted_per_minute(), stretch=self._stretch
            )

    @property
    def default_interval_seconds(self) -> float:
        """The workspace's own interval, stretched."""
        return self._plan.workspace.interval_seconds * self._stretch

    @property
    def planned_per_minute(self) -> float:
        """How many requests a minute will be sent while nothing fails."""
        return self._wanted_per_minute() / self._stretch

    def interval_seconds(self, campaign_id: str) -> float:
        """Return the interval in force."""
        return self._configured(campaign_id) * self._stretch

    def _configured(self, campaign_id: str) -> float:
        lane = self._slow if campaign_id in self._idle_ids else self._fast
        return lane[campaign_id]

    def _wanted_per_minute(self) -> float:
        # From few counts each time: sums that are kept up would drift.
        rhythms = tuple(self._rhythms.items())
        return sum(60 / seconds * count for seconds, count in rhythms)

    def _needed_stretch(self) -> float:
        return stretch(
            wanted_per_minute=self._wanted_per_minute(),
            ceiling_per_minute=self._plan.startable_per_minute,
        )
