"""What there is to see of every workspace and campaign at one instant.

Made of what the plan says, what the last polls brought and where the next ones stand.
Instants are by the wall clock. It knows nothing of pages, words or requests.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from exporter.braze.rate_limit import Budget
from exporter.metrics.campaign_metrics import ObjectLabels, PollStatus
from exporter.model.errors import FailureReason
from exporter.model.snapshot import Day, RecentDays, Snapshot
from exporter.polling.plan import WorkspacePlan
from exporter.polling.sharding import Shard
from exporter.series import deliverability
from exporter.series.deliverability import Deliverability, Level


class CampaignState(StrEnum):
    """How a campaign's polls go; the most urgent first."""

    PAUSED = "paused"
    """Its workspace is, for Braze refuses the key."""
    STALE = "stale"
    """The last good poll is so long ago that its values have left."""
    FAILING = "failing"
    WAITING = "waiting"
    """For its first poll."""
    OK = "ok"


@dataclass(frozen=True, slots=True)
class PauseView:
    """Why a workspace asks for one campaign only, and when it does."""

    reason: FailureReason
    probe_id: str
    probe_at: float


@dataclass(frozen=True, slots=True)
class RateLimitView:
    """What Braze's `X-RateLimit-*` headers said of an endpoint; None: nothing."""

    endpoint: str
    limit: int | None
    remaining: int | None
    """The lowest in this window."""
    reset_at: float | None
    reserved: int
    """How many requests are always left to others."""
    in_flight: int
    shut_until: float | None
    """Until then nothing is sent: it answered 429."""


@dataclass(frozen=True, slots=True)
class DiscoveryView:
    """How a workspace's discovery stands."""

    campaigns: int
    """How many it has found beside the listed ones."""
    is_limited: bool
    """Whether `max_campaigns` keeps others out."""
    listed_at: float | None
    """When the list was last read to its end."""
    failure: FailureReason | None
    """Why its last question had no usable answer; None: it had one."""
    message: str
    """The same in words."""
    next_at: float | None
    """After a failure: when it asks again."""
    rate_limit: RateLimitView | None


@dataclass(frozen=True, slots=True)
class WorkspaceView:
    """One workspace."""

    plan: WorkspacePlan
    pause: PauseView | None
    rate_limits: tuple[RateLimitView, ...]
    states: Mapping[CampaignState, int]
    waiting: int
    """How many campaigns stand in the line."""
    idle: int
    """How many are asked slowly, for nothing happens in them."""
    discovery: DiscoveryView | None
    """None: only listed campaigns are polled."""

    @property
    def name(self) -> str:
        """The label `workspace`."""
        return self.plan.workspace.name

    @property
    def limits(self) -> tuple[RateLimitView, ...]:
        """All that Braze's headers said, to discovery as well."""
        found = self.discovery.rate_limit if self.discovery else None
        return (*self.rate_limits, found) if found else self.rate_limits


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a campaign's last poll failed."""

    reason: FailureReason
    message: str
    """Empty: it failed before the last restart."""
    at: float | None


@dataclass(frozen=True, slots=True)
class DayOf:
    """One day of a campaign."""

    date: date
    starts_at: float
    tally: Deliverability


@dataclass(frozen=True, slots=True)
class NextPoll:
    """When a campaign is asked for next."""

    at: float | None
    """None: nobody knows, for its workspace is paused or an answer is waited for."""
    place: int | None = None
    """How many are before it in the line, if it waits there."""
    is_running: bool = False
    is_of_others: bool = False
    """Whether another exporter asks for it."""


@dataclass(frozen=True, slots=True)
class CampaignView:
    """One campaign."""

    subject: ObjectLabels
    state: CampaignState
    is_up: bool | None
    """Whether the last poll of its own succeeded, whatever its workspace does."""
    interval_seconds: float
    last_success_at: float | None
    next_poll: NextPoll
    failure: Failure | None
    channels: tuple[str, ...]
    latest: DayOf | None
    last_complete: Day | None
    """Not yet added up: only few ask for it."""
    history: RecentDays | None
    series: int
    dropped_series: int
    is_of_today: bool
    """Whether the latest day is the one that it is now in its workspace."""
    is_idle: bool
    """Whether it is asked slowly, for nothing happens in it."""

    @property
    def level(self) -> Level:
        """What its latest day asks for."""
        return self.latest.tally.level if self.latest else Level.UNJUDGED


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything, as it was `at` one instant."""

    at: float
    workspaces: tuple[WorkspaceView, ...]
    campaigns: tuple[CampaignView, ...]
    shard: Shard | None = None
    """Which part of the campaigns this process polls; None: all of them."""


@dataclass(frozen=True, slots=True)
class QueueView:
    """How a workspace's line stands; instants are by the wall clock."""

    pause: PauseView | None
    budget: Budget
    in_flight: frozenset[str]
    places: Mapping[str, int]
    earliest: float
    members: frozenset[str] | None = None
    """Whom this exporter asks for; None: for all."""

    def next_poll(
        self, campaign_id: str, *, planned_at: float | None, now: float
    ) -> NextPoll:
        """Return when a campaign is asked for, whose job is planned at an instant."""
        if campaign_id in self.in_flight:
            return NextPoll(at=now, is_running=True)
        if self.members is not None and campaign_id not in self.members:
            return NextPoll(None, is_of_others=True)
        if self.pause and campaign_id == self.pause.probe_id:
            return NextPoll(max(self.pause.probe_at, now))
        place = self.places.get(campaign_id)
        if self.pause:
            return NextPoll(None, place)
        if place is None:
            return NextPoll(None if planned_at is None else max(planned_at, now))
        at = max(self.earliest, now) + place * self.budget.spacing_seconds
        return NextPoll(at if math.isfinite(at) else None, place)


def workspace_seen(
    plan: WorkspacePlan,
    line: QueueView,
    *,
    idle: int = 0,
    discovery: DiscoveryView | None = None,
    campaigns: Iterable[CampaignView],
    now: float,
    clock_set_by: float,
) -> WorkspaceView:
    """Return what there is to see of a workspace; its campaigns are counted."""
    return WorkspaceView(
        plan=plan,
        pause=line.pause,
        rate_limits=tuple(
            rate_limit(line.budget, endpoint, now=now, clock_set_by=clock_set_by)
            for endpoint in sorted(line.budget.buckets)
        ),
        states=Counter(one.state for one in campaigns),
        waiting=len(line.places),
        idle=idle,
        discovery=discovery,
    )


def rate_limit(
    budget: Budget, endpoint: str, *, now: float, clock_set_by: float
) -> RateLimitView:
    """Return what was said of an endpoint, by the wall clock, as `now` is."""
    bucket = budget.bucket(endpoint)
    reset_at = bucket.reset_at + clock_set_by
    shut_until = bucket.shut_until + clock_set_by
    return RateLimitView(
        endpoint=endpoint,
        limit=bucket.limit,
        remaining=bucket.remaining,
        reset_at=reset_at if math.isfinite(reset_at) else None,
        reserved=bucket.floor(budget.reserve),
        in_flight=bucket.in_flight,
        shut_until=shut_until if shut_until > now else None,
    )


def campaign_seen(
    subject: ObjectLabels,
    status: PollStatus,
    snapshot: Snapshot | None,
    *,
    next_poll: NextPoll,
    is_paused: bool,
    is_idle: bool,
    today: date,
    series: int,
) -> CampaignView:
    """Return what there is to see of a campaign."""
    latest = snapshot.latest if snapshot else None
    failed_at = status.failed_at
    return CampaignView(
        subject=subject,
        state=_state(status, has_values=snapshot is not None, is_paused=is_paused),
        is_up=status.is_up,
        interval_seconds=status.interval_seconds,
        last_success_at=status.shown_success_at,
        next_poll=next_poll,
        failure=None
        if status.failure is None
        else Failure(
            reason=status.failure,
            message=status.error,
            at=None if failed_at is None else failed_at + status.clock_set_by,
        ),
        channels=_channels(snapshot),
        latest=day_of(latest),
        last_complete=snapshot.last_complete if snapshot else None,
        history=snapshot.history if snapshot else None,
        series=series,
        dropped_series=snapshot.dropped_series if snapshot else 0,
        is_of_today=latest is not None and latest.date == today,
        is_idle=is_idle,
    )


def today_in(timezone: ZoneInfo, *, now: float) -> date:
    """Return which day it is there."""
    return datetime.fromtimestamp(now, UTC).astimezone(timezone).date()


def _state(status: PollStatus, *, has_values: bool, is_paused: bool) -> CampaignState:
    if is_paused:
        return CampaignState.PAUSED
    if status.last_success_at is not None and not has_values:
        return CampaignState.STALE
    if status.is_up is None:
        return CampaignState.WAITING
    return CampaignState.OK if status.is_up else CampaignState.FAILING


def _channels(snapshot: Snapshot | None) -> tuple[str, ...]:
    if snapshot is None:
        return ()
    return tuple(dict.fromkeys(one.channel for one in snapshot.variations))


def day_of(day: Day | None) -> DayOf | None:
    """Return a day with its messages added up."""
    return None if day is None else DayOf(day.date, day.starts_at, deliverability.of_figures(day.figures))
