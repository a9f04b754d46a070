"""The state of all workspaces and campaigns at one instant, with wall-clock times."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from exporter.braze.rate_limit_view import RateLimitView
from exporter.discovery.view import DiscoveryView
from exporter.metrics.campaign_metrics import ObjectLabels, PollStatus
from exporter.model.errors import FailureReason
from exporter.model.snapshot import Day, RecentDays, Snapshot
from exporter.polling.plan import WorkspacePlan
from exporter.polling.sharding import Shard
from exporter.series import deliverability
from exporter.series.deliverability import Deliverability, Level


class CampaignState(StrEnum):
    """The polling state of a campaign; the most urgent first."""

    PAUSED = "paused"
    """Braze rejects the key of its workspace."""
    STALE = "stale"
    """The last success is so long ago that the values have expired."""
    FAILING = "failing"
    WAITING = "waiting"
    """Not polled yet."""
    OK = "ok"


@dataclass(frozen=True, slots=True)
class PauseView:
    """A paused workspace, in which one campaign is polled as a probe."""

    reason: FailureReason
    probe_id: str
    probe_at: float


@dataclass(frozen=True, slots=True)
class WorkspaceView:
    """The state of one workspace."""

    plan: WorkspacePlan
    pause: PauseView | None
    rate_limits: tuple[RateLimitView, ...]
    states: Mapping[CampaignState, int]
    waiting: int
    """Campaigns in the request queue."""
    idle: int
    """Campaigns polled at the idle interval."""
    discovery: DiscoveryView | None
    """None: discovery is not configured."""

    @property
    def name(self) -> str:
        """The label `workspace`."""
        return self.plan.workspace.name

    @property
    def all_rate_limits(self) -> tuple[RateLimitView, ...]:
        """The rate limits of polling and of discovery."""
        limit = self.discovery.rate_limit if self.discovery else None
        return (*self.rate_limits, limit) if limit else self.rate_limits


@dataclass(frozen=True, slots=True)
class FailureView:
    """Why a campaign's last poll failed."""

    reason: FailureReason
    message: str
    """Empty: it failed before the last restart."""
    at: float | None


@dataclass(frozen=True, slots=True)
class DayView:
    """One day of a campaign, summed over its messages."""

    date: date
    starts_at: float
    tally: Deliverability


@dataclass(frozen=True, slots=True)
class NextPoll:
    """The time of a campaign's next poll."""

    at: float | None
    """None: unknown, after a pause or after a response that is still awaited."""
    place: int | None = None
    """The number of campaigns before it, if it is in the request queue."""
    is_running: bool = False


@dataclass(frozen=True, slots=True)
class CampaignView:
    """The state of one campaign."""

    workspace: str
    name: str
    id: str
    labels: Mapping[str, str]
    state: CampaignState
    is_up: bool | None
    """Whether its last poll succeeded, even if its workspace is paused."""
    interval_seconds: float
    last_success_at: float | None
    next_poll: NextPoll
    failure: FailureView | None
    channels: tuple[str, ...]
    latest: DayView | None
    last_complete: Day | None
    """Not summed: only the JSON contains it."""
    history: RecentDays | None
    series: int
    dropped_series: int
    is_of_today: bool
    """Whether the latest day is today in the workspace's time zone."""
    is_idle: bool
    """Whether it is polled at the idle interval."""

    @property
    def level(self) -> Level:
        """The more urgent level of the latest day's rates."""
        return self.latest.tally.level if self.latest else Level.UNJUDGED


@dataclass(frozen=True, slots=True)
class Overview:
    """The state of everything at the instant `at`."""

    at: float
    workspaces: tuple[WorkspaceView, ...]
    campaigns: tuple[CampaignView, ...]
    shard: Shard | None = None
    """None: this process polls all campaigns."""


@dataclass(frozen=True, slots=True)
class QueueView:
    """The state of a workspace's request queue."""

    pause: PauseView | None
    rate_limits: tuple[RateLimitView, ...]
    spacing_seconds: float
    in_flight: frozenset[str]
    places: Mapping[str, int]
    earliest: float

    def next_poll(
        self, campaign_id: str, *, planned_at: float | None, now: float
    ) -> NextPoll:
        """Return the next poll of a campaign that is scheduled for `planned_at`."""
        if campaign_id in self.in_flight:
            return NextPoll(at=now, is_running=True)
        if self.pause and campaign_id == self.pause.probe_id:
            return NextPoll(max(self.pause.probe_at, now))
        place = self.places.get(campaign_id)
        if self.pause:
            return NextPoll(None, place)
        if place is None:
            return NextPoll(None if planned_at is None else max(planned_at, now))
        at = max(self.earliest, now) + place * self.spacing_seconds
        return NextPoll(at if math.isfinite(at) else None, place)


def workspace_view(
    plan: WorkspacePlan,
    queue: QueueView,
    *,
    idle: int = 0,
    discovery: DiscoveryView | None = None,
    campaigns: Iterable[CampaignView],
) -> WorkspaceView:
    """Return the view of a workspace that has these campaigns."""
    return WorkspaceView(
        plan=plan,
        pause=queue.pause,
        rate_limits=queue.rate_limits,
        states=Counter(campaign.state for campaign in campaigns),
        waiting=len(queue.places),
        idle=idle,
        discovery=discovery,
    )


def campaign_view(
    labels: ObjectLabels,
    status: PollStatus,
    snapshot: Snapshot | None,
    *,
    next_poll: NextPoll,
    is_paused: bool,
    is_idle: bool,
    today: date,
    series: int,
) -> CampaignView:
    """Return the view of a campaign; no snapshot: it has no values."""
    latest = snapshot.latest if snapshot else None
    return CampaignView(
        workspace=labels.workspace,
        name=labels.campaign,
        id=labels.campaign_id,
        labels=labels.labels,
        state=_state(status, has_values=snapshot is not None, is_paused=is_paused),
        is_up=status.is_up,
        interval_seconds=status.interval_seconds,
        last_success_at=status.last_success_at,
        next_poll=next_poll,
        failure=_failure_view(status),
        channels=_channels(snapshot),
        latest=day_view(latest),
        last_complete=snapshot.last_complete if snapshot else None,
        history=snapshot.history if snapshot else None,
        series=series,
        dropped_series=snapshot.dropped_series if snapshot else 0,
        is_of_today=latest is not None and latest.date == today,
        is_idle=is_idle,
    )


def day_view(day: Day | None) -> DayView | None:
    """Return a day with its messages summed."""
    return (
        None
        if day is None
        else DayView(day.date, day.starts_at, deliverability.of_figures(day.figures))
    )


def today_in(timezone: ZoneInfo, *, now: float) -> date:
    """Return the current date in a time zone."""
    return datetime.fromtimestamp(now, timezone).date()


def _state(status: PollStatus, *, has_values: bool, is_paused: bool) -> CampaignState:
    if is_paused:
        return CampaignState.PAUSED
    if status.last_success_at is not None and not has_values:
        return CampaignState.STALE
    if status.is_up is None:
        return CampaignState.WAITING
    return CampaignState.OK if status.is_up else CampaignState.FAILING


def _failure_view(status: PollStatus) -> FailureView | None:
    if status.failure is None:
        return None
    return FailureView(
        reason=status.failure,
        message=status.error,
        at=status.failed_at,
    )


def _channels(snapshot: Snapshot | None) -> tuple[str, ...]:
    if snapshot is None:
        return ()
    return tuple(dict.fromkeys(one.channel for one in snapshot.variations))
