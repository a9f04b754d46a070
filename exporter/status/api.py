"""What there is to see as JSON: the document of `/api/v1/status`.

Numbers are numbers, instants seconds since the epoch, what is not known is null. Names
are only added within `v1`. It holds no key and no proxy: neither is in what it reads.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from exporter.model.snapshot import RecentDays
from exporter.polling.sharding import Shard
from exporter.series.deliverability import Deliverability, Level
from exporter.series.recent_days import unpack_days
from exporter.status import texts
from exporter.status.view_model import (
    CampaignState,
    CampaignView,
    DayOf,
    DiscoveryView,
    Failure,
    Overview,
    RateLimitView,
    WorkspaceView,
    day_of,
)

_AT_ONCE = 200
"""Campaigns in one piece: json does not let others run while it writes."""


def pieces(
    overview: Overview, chosen: Sequence[CampaignView], *, version: str, is_ready: bool
) -> Iterator[str]:
    """Yield the document piece by piece; `chosen` are the campaigns to show."""
    head = {
        "version": version,
        "at": _instant(overview.at),
        "ready": is_ready,
        "shard": _shard(overview.shard),
        "workspaces": [_workspace(one, overview.at) for one in overview.workspaces],
        "campaigns_total": len(overview.campaigns),
        "campaigns_found": len(chosen),
    }
    yield _written(head)[:-1] + ',"campaigns":['
    for start in range(0, len(chosen), _AT_ONCE):
        rows = [_campaign(one) for one in chosen[start : start + _AT_ONCE]]
        yield ("," if start else "") + _written(rows)[1:-1]
    yield "]}\n"


def _written(document: object) -> str:
    return json.dumps(document, separators=(",", ":"), allow_nan=False)


def _shard(one: Shard | None) -> dict[str, object] | None:
    if one is None:
        return None
    return {"summary": texts.shard(one), "number": one.number, "total": one.total}


def _workspace(one: WorkspaceView, now: float) -> dict[str, object]:
    plan = one.plan
    workspace = plan.workspace
    pause = one.pause
    return {
        "workspace": one.name,
        "endpoint": workspace.endpoint,
        "timezone": workspace.timezone.key,
        "state": "paused" if pause else "polling",
        "summary": texts.reason(one) or texts.rhythm(one),
        "pause": pause
        and {
            "reason": pause.reason,
            "message": texts.reason(one),
            "next_probe_at": _instant(pause.probe_at),
        },
        "budget": {
            "requests_per_minute": plan.ceiling_per_minute,
            "wanted_per_minute": plan.wanted_per_minute,
            "planned_per_minute": plan.planned_per_minute,
            "stretch": plan.stretch,
            "interval_seconds": plan.interval_seconds,
            "reserve": workspace.reserve,
            "concurrency": workspace.concurrency,
        },
        "rate_limits": [_rate_limit(limit, now) for limit in one.limits],
        "discovery": one.discovery and _discovery(one.discovery, now),
        "waiting": one.waiting,
        "idle": one.idle,
        "campaigns": {
            "total": sum(one.states.values()),
            **{str(state): one.states.get(state, 0) for state in CampaignState},
        },
    }


def _discovery(one: DiscoveryView, now: float) -> dict[str, object]:
    return {
        "summary": texts.discovery(one, now=now),
        "campaigns": one.campaigns,
        "limited": one.is_limited,
        "listed_at": _instant(one.listed_at),
        "failure": one.failure
        and {
            "reason": one.failure,
            "message": one.message,
            "next_try_at": _instant(one.next_at),
        },
    }


def _rate_limit(one: RateLimitView, now: float) -> dict[str, object]:
    return {
        "endpoint": one.endpoint,
        "limit": one.limit,
        "remaining": one.remaining,
        "reset_at": _instant(one.reset_at),
        "reserved": one.reserved,
        "in_flight": one.in_flight,
        "shut_until": _instant(one.shut_until),
        "message": texts.limit(one, now=now),
    }


def _campaign(one: CampaignView) -> dict[str, object]:
    subject = one.subject
    return {
        "workspace": subject.workspace,
        "campaign": subject.campaign,
        "campaign_id": subject.campaign_id,
        "labels": dict(subject.labels),
        "channels": list(one.channels),
        "state": one.state,
        "up": one.is_up,
        "idle": one.is_idle,
        "interval_seconds": one.interval_seconds,
        "last_success_at": _instant(one.last_success_at),
        "next_poll_at": _instant(one.next_poll.at),
        "polling": one.next_poll.is_running,
        "waiting_place": one.next_poll.place,
        "last_error": _failure(one.failure),
        "day": _day(one.latest),
        "last_complete_day": _day(day_of(one.last_complete)),
        "history": one.history and _history(one.history),
        "series": one.series,
        "series_dropped": one.dropped_series,
    }


def _failure(one: Failure | None) -> dict[str, object] | None:
    if one is None:
        return None
    return {
        "reason": one.reason,
        "explanation": texts.REASONS[one.reason],
        "message": one.message or None,
        "at": _instant(one.at),
    }


def _day(one: DayOf | None) -> dict[str, object] | None:
    if one is None:
        return None
    return {
        "date": one.date.isoformat(),
        "starts_at": one.starts_at,
        **_tally(one.tally),
    }


def _tally(one: Deliverability) -> dict[str, object]:
    return {
        "sent": one.sent,
        "bounces": one.bounces,
        "reported_spam": one.reported_spam,
        "email": {
            "sent": one.email_sent,
            "delivered": one.email_delivered,
            "bounces": one.email_bounces,
        },
        "bounce_rate": one.bounce_rate.ratio,
        "bounce_level": _level(one.bounce_rate.level),
        "spam_rate": one.spam_rate.ratio,
        "spam_level": _level(one.spam_rate.level),
    }


def _history(one: RecentDays) -> dict[str, object]:
    days = unpack_days(one)
    return {
        "last_date": one.last.isoformat(),
        "sent": [_number(day.sent) for day in days],
        "levels": [_level(day.level) for day in days],
    }


def _level(level: Level) -> str:
    return level.name.lower()


def _number(value: float | None) -> int | float | None:
    return int(value) if value is not None and value.is_integer() else value


def _instant(at: float | None) -> float | None:
    """Return it to the millisecond: more would be noise of the clocks' difference."""
    return None if at is None else round(at, 3)
