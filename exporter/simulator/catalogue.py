"""The documents of `/campaigns/list` and `/campaigns/details`, and of canvases.

Some channels are spelled differently here than in the data series, as in Braze.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import zip_longest
from typing import Any

from exporter.simulator.canvas_fleet import Canvas, Step, Variant
from exporter.simulator.fleet import Campaign
from exporter.simulator.objects import SimulatedObject

PAGE_SIZE = 100
_SPELLINGS = {"content_cards": "content_card", "in_app_message": "in-app_message"}


def list_page(
    objects: Iterable[SimulatedObject],
    *,
    page: int,
    is_newest_first: bool,
    include_archived: bool,
    edited_after: datetime | None,
) -> list[dict[str, object]]:
    """Return a page, from 0, ordered by creation; pages past the end are empty.

    Drafts and stopped objects are included.
    """
    listed = [
        one
        for one in objects
        if (include_archived or not one.is_archived)
        and (edited_after is None or _edited_at(one) > edited_after)
    ]
    listed.sort(key=_created_at, reverse=is_newest_first)
    return [_entry(one) for one in listed[page * PAGE_SIZE : (page + 1) * PAGE_SIZE]]


def _entry(one: SimulatedObject) -> dict[str, object]:
    kind = {"is_api_campaign": one.is_api_campaign} if isinstance(one, Campaign) else {}
    return {
        "id": one.id,
        "last_edited": _edited_at(one).isoformat(),
        "name": shown_name(one),
        **kind,
        "tags": list(one.tags),
    }


def campaign_details(campaign: Campaign, *, today: date) -> dict[str, object]:
    """Return a campaign's details; drafts and inactive campaigns were never sent."""
    first_sent, last_sent = _activity(campaign, today)
    return {
        **_details(campaign),
        "enabled": not (campaign.is_draft or campaign.is_archived),
        "schedule_type": "api_triggered" if campaign.is_api_campaign else "time_based",
        "channels": _channels(message.channel for message in campaign.messages),
        "first_sent": first_sent,
        "last_sent": last_sent,
        "messages": {
            message.id: {
                "channel": _spelling(message.channel),
                "name": message.name,
                **({"type": "control"} if message.is_control else {}),
            }
            for message in campaign.messages
        },
        "conversion_behaviors": [
            {"type": "Makes Any Purchase", "window": 604_800}
            for _ in range(campaign.conversion_events)
        ],
    }


def canvas_details(canvas: Canvas, *, today: date) -> dict[str, object]:
    """Return a canvas's details; deleted steps are left out."""
    first_entry, last_entry = _activity(canvas, today)
    is_over = canvas.is_draft or canvas.is_archived or canvas.is_stopped_on(today)
    existing = {one.id: _existing(one) for one in canvas.variants}
    steps = [step for each in existing.values() for step in each]
    return {
        **_details(canvas),
        "enabled": not is_over,
        "schedule_type": "action_based" if canvas.send_hour is None else "time_based",
        "channels": _channels(channel for step in steps for channel in step.channels),
        "first_entry": first_entry,
        "last_entry": last_entry,
        "variants": [
            {
                "name": one.name,
                "id": one.id,
                "first_step_ids": [step.id for step in existing[one.id][:1]],
            }
            for one in canvas.variants
        ],
        "steps": [
            _step(step, following)
            for each in existing.values()
            for step, following in zip_longest(each, each[1:])
        ],
    }


def shown_name(one: SimulatedObject) -> str | None:
    """Return the name that responses contain."""
    return None if one.is_nameless else one.name


def _details(one: SimulatedObject) -> dict[str, object]:
    """Return the fields of both kinds."""
    return {
        "message": "success",
        "created_at": _created_at(one).isoformat(),
        "updated_at": _edited_at(one).isoformat(),
        "archived": one.is_archived,
        "draft": one.is_draft,
        "has_post_launch_draft": False,
        "name": shown_name(one),
        "description": "",
        "tags": list(one.tags),
        "teams": [],
    }


def _existing(variant: Variant) -> Sequence[Step]:
    return [step for step in variant.steps if not step.is_deleted]


def _step(step: Step, following: Step | None) -> dict[str, Any]:
    next_ids = [following.id] if following else []
    return {
        "name": step.name,
        "type": "message" if step.channels else "delay",
        "id": step.id,
        # Only steps with messages are listed here, all of them as paths.
        "next_step_ids": next_ids if following and following.channels else [],
        "next_paths": [{"name": None, "next_step_id": id_} for id_ in next_ids],
        "channels": _channels(step.channels),
        "messages": {
            step.message_id(channel): {"channel": _spelling(channel)}
            for channel in step.channels
        },
    }


def _activity(one: SimulatedObject, today: date) -> tuple[str | None, str | None]:
    """Return the times of the first and the last activity; None: never."""
    if one.is_draft or not one.volume:
        return None, None
    last_day = today
    if one.stopped_on is not None and one.is_stopped_on(today):
        last_day = one.stopped_on - timedelta(days=1)
    return _created_at(one).isoformat(), _at(last_day, hour=0).isoformat()


def _created_at(one: SimulatedObject) -> datetime:
    return _at(one.created_on, hour=9)


def _edited_at(one: SimulatedObject) -> datetime:
    if one.edited_at is not None:
        return datetime.fromtimestamp(one.edited_at, UTC)
    return _at(one.created_on + timedelta(days=1), hour=11)


def _at(day: date, *, hour: int) -> datetime:
    return datetime.combine(day, time(hour), tzinfo=UTC)


def _channels(channels: Iterable[str]) -> list[str]:
    return sorted({_spelling(channel) for channel in channels})


def _spelling(channel: str) -> str:
    return _SPELLINGS.get(channel, channel)
