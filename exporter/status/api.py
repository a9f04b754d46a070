"""The JSON document of `/api/v1/status`.

Times are seconds since the epoch; unknown values are null. Within `v1`, names are only
added. It contains no key and no proxy, which may have a password.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence

from exporter.braze.rate_limit_view import RateLimitView
from exporter.discovery.view import DiscoveryView
from exporter.model.errors import FailureReason
from exporter.model.snapshot import RecentDays
from exporter.polling.kinds import CAMPAIGN, CANVAS, KINDS, Kind
from exporter.series.recent_days import unpack_days
from exporter.status import series_text, texts
from exporter.status.view_model import (
    DayView,
    GroupView,
    ObjectState,
    ObjectView,
    Overview,
    WorkspaceView,
    day_view,
)

_CHUNK_OBJECTS = 200
"""Objects in one chunk: json.dumps holds the interpreter lock while it runs."""


def document_chunks(
    overview: Overview,
    objects: Sequence[ObjectView],
    *,
    version: str,
    is_ready: bool,
) -> Iterator[str]:
    """Yield the chunks of the document; `objects` are those that it lists."""
    shard = overview.shard
    totals = Counter(one.kind.plural for one in overview.objects)
    found = {
        plural: [one for one in objects if one.kind.plural == plural]
        for plural in _PLURALS
    }
    head = {
        "version": version,
        "at": _time(overview.at),
        "ready": is_ready,
        "shard": shard
        and {
            "summary": texts.shard(shard),
            "number": shard.number,
            "total": shard.total,
        },
        "workspaces": [_workspace(one, overview.at) for one in overview.workspaces],
        **{f"{plural}_total": totals[plural] for plural in found},
        **{f"{plural}_found": len(listed) for plural, listed in found.items()},
    }
    yield _dump(head)[:-1]
    for plural, listed in found.items():
        yield f',"{plural}":['
        for start in range(0, len(listed), _CHUNK_OBJECTS):
            chunk = [
                _object(one, overview) for one in listed[start : start + _CHUNK_OBJECTS]
            ]
            yield ("," if start else "") + _dump(chunk)[1:-1]
        yield "]"
    yield "}\n"


_PLURALS = tuple(dict.fromkeys(kind.plural for kind in KINDS))
"""The lists of objects; all series of the workspace are one."""

_DISCOVERY = {CAMPAIGN.name: "discovery", CANVAS.name: "canvas_discovery"}


def _dump(document: object) -> str:
    return json.dumps(document, separators=(",", ":"), allow_nan=False)


def _workspace(view: WorkspaceView, now: float) -> dict[str, object]:
    groups: dict[Kind, GroupView] = {one.kind: one for one in view.all_groups}
    campaigns = _group(groups[CAMPAIGN])
    canvases = dict.fromkeys(campaigns)
    if CANVAS in groups:
        canvases = _group(groups[CANVAS])
    return {
        "workspace": view.name,
        "endpoint": view.config.endpoint,
        "timezone": view.config.timezone.key,
        **campaigns,
        **{f"canvas_{name}": value for name, value in canvases.items()},
        "summary": texts.summary(view),
        "rate_limits": [_rate_limit(limit, now) for limit in view.rate_limits],
        **dict.fromkeys(_DISCOVERY.values()),
        **{_DISCOVERY[one.kind.name]: _discovery(one, now) for one in view.discoveries},
        **{plural: _states(view, plural) for plural in _PLURALS},
    }


def _states(view: WorkspaceView, plural: str) -> dict[str, object]:
    states = Counter[ObjectState]()
    for group in view.all_groups:
        if group.kind.plural == plural:
            states.update(group.states)
    return {
        "total": states.total(),
        **{str(state): states[state] for state in ObjectState},
    }


def _group(view: GroupView) -> dict[str, object]:
    plan, pause = view.plan, view.pause
    return {
        "state": "paused" if pause else "polling",
        "summary": texts.pause(view) or texts.polling(view),
        "pause": pause
        and {
            "reason": pause.reason,
            "message": texts.pause(view),
            "next_probe_at": _time(pause.probe_at),
        },
        "budget": {
            "requests_per_minute": plan.ceiling_per_minute,
            "wanted_per_minute": plan.wanted_per_minute,
            "planned_per_minute": plan.planned_per_minute,
            "stretch": plan.stretch,
            "interval_seconds": plan.interval_seconds,
            "reserve": plan.workspace.reserve,
            "concurrency": plan.workspace.concurrency,
        },
        "waiting": view.waiting,
        "idle": view.idle,
    }


def _discovery(view: DiscoveryView, now: float) -> dict[str, object]:
    return {
        "summary": texts.discovery(view, now=now),
        view.kind.plural: view.found,
        "limited": view.is_limited,
        "listed_at": _time(view.listed_at),
        "failure": view.failure
        and {
            "reason": view.failure,
            "message": view.message,
            "next_try_at": _time(view.next_at),
        },
    }


def _rate_limit(view: RateLimitView, now: float) -> dict[str, object]:
    return {
        "endpoint": view.endpoint,
        "limit": view.limit,
        "remaining": view.remaining,
        "reset_at": _time(view.reset_at),
        "reserved": view.reserved,
        "in_flight": view.in_flight,
        "shut_until": _time(view.shut_until),
        "message": texts.limit(view, now=now),
    }


def _object(view: ObjectView, overview: Overview) -> dict[str, object]:
    kind = view.kind.label
    labels, status, snapshot = view.labels, view.status, view.snapshot
    found: dict[str, object] = {
        "workspace": labels.workspace,
        "kind": view.kind.name,
        kind: labels.name,
        f"{kind}_id": labels.id,
        "labels": dict(labels.labels),
        "channels": list(view.channels),
        "state": view.state,
        "up": status.is_up,
        "idle": view.is_idle,
        "interval_seconds": status.interval_seconds,
        "last_success_at": _time(status.last_success_at),
        "next_poll_at": _time(view.next_poll.at),
        "polling": view.next_poll.is_running,
        "waiting_place": view.next_poll.place,
        "last_error": status.failure and _failure(status.failure, view),
        "day": _day(view.latest),
        "last_complete_day": _day(
            day_view(snapshot.last_complete if snapshot else None)
        ),
        "history": view.history and _history(view.history),
        "series": view.series,
        "series_count": view.series,
        "series_dropped": snapshot.dropped_series if snapshot else 0,
    }
    if not view.kind.is_series:
        return found
    zone = overview.timezone_of(view)
    return found | {
        kind: labels.name,  # and no number, which is `series_count`
        "value": series_text.value(view, timezone=zone, now=overview.at) or None,
        "samples": [
            {"metric": one.family, "labels": dict(one.labels), "value": one.value}
            for one in (snapshot.samples if snapshot else ())
        ],
    }


def _failure(reason: FailureReason, view: ObjectView) -> dict[str, object]:
    status = view.status
    return {
        "reason": reason,
        "explanation": texts.failure(reason, view.kind),
        "message": status.error or None,
        "at": _time(status.failed_at),
    }


def _day(view: DayView | None) -> dict[str, object] | None:
    if view is None:
        return None
    tally = view.tally
    return {
        "date": view.date.isoformat(),
        "starts_at": view.starts_at,
        "sent": tally.sent,
        "bounces": tally.bounces,
        "reported_spam": tally.reported_spam,
        "email": {
            "sent": tally.email_sent,
            "delivered": tally.email_delivered,
            "bounces": tally.email_bounces,
        },
        "bounce_rate": tally.bounce_rate.ratio,
        "bounce_level": tally.bounce_rate.level.name.lower(),
        "spam_rate": tally.spam_rate.ratio,
        "spam_level": tally.spam_rate.level.name.lower(),
    }


def _history(history: RecentDays) -> dict[str, object]:
    days = unpack_days(history)
    return {
        "last_date": history.last.isoformat(),
        "sent": [_number(day.sent) for day in days],
        "levels": [day.level.name.lower() for day in days],
    }


def _number(value: float | None) -> int | float | None:
    return int(value) if value is not None and value.is_integer() else value


def _time(at: float | None) -> float | None:
    """Return a time rounded to 1 ms; more digits are noise of the clock offset."""
    return None if at is None else round(at, 3)
