"""The documents of `/campaigns/list` and `/campaigns/details`.

Some channels are spelled differently here than in the data series, as in Braze.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

from exporter.simulator.fleet import Campaign, Message

PAGE_SIZE = 100
_SPELLINGS = {"content_cards": "content_card", "in_app_message": "in-app_message"}


def list_page(
    campaigns: Sequence[Campaign], *, page: int, include_archived: bool
) -> dict[str, object]:
    """Return a page, from 0, ordered by creation; pages past the end are empty."""
    listed = [one for one in campaigns if include_archived or not one.is_archived]
    listed.sort(key=_created_at)
    return {
        "message": "success",
        "campaigns": [
            {
                "id": campaign.id,
                "last_edited": _edited_at(campaign).isoformat(),
                "name": _name(campaign),
                "is_api_campaign": campaign.is_api_campaign,
                "tags": list(campaign.tags),
            }
            for campaign in listed[page * PAGE_SIZE : (page + 1) * PAGE_SIZE]
        ],
    }


def details(campaign: Campaign, *, today: date) -> dict[str, object]:
    """Return a campaign's details; drafts and inactive campaigns were never sent."""
    is_over = campaign.stopped_on is not None and campaign.stopped_on <= today
    last_day = campaign.stopped_on if is_over else None
    was_sent = not campaign.is_draft and campaign.volume > 0
    last_sent = _at(last_day - timedelta(days=1) if last_day else today, hour=0)
    return {
        "message": "success",
        "created_at": _created_at(campaign).isoformat(),
        "updated_at": _edited_at(campaign).isoformat(),
        "archived": campaign.is_archived,
        "draft": campaign.is_draft,
        "enabled": not (campaign.is_draft or campaign.is_archived),
        "has_post_launch_draft": False,
        "name": _name(campaign),
        "description": "",
        "schedule_type": "api_triggered" if campaign.is_api_campaign else "time_based",
        "channels": sorted({_spelling(message) for message in campaign.messages}),
        "first_sent": _created_at(campaign).isoformat() if was_sent else None,
        "last_sent": last_sent.isoformat() if was_sent else None,
        "tags": list(campaign.tags),
        "teams": [],
        "messages": {
            message.id: {
                "channel": _spelling(message),
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


def _created_at(campaign: Campaign) -> datetime:
    return _at(campaign.created_on, hour=9)


def _name(campaign: Campaign) -> str | None:
    return None if campaign.is_nameless else campaign.name


def _edited_at(campaign: Campaign) -> datetime:
    if campaign.edited_at is not None:
        return datetime.fromtimestamp(campaign.edited_at, UTC)
    return _at(campaign.created_on + timedelta(days=1), hour=11)


def _at(day: date, *, hour: int) -> datetime:
    return datetime.combine(day, time(hour), tzinfo=UTC)


def _spelling(message: Message) -> str:
    return _SPELLINGS.get(message.channel, message.channel)
