"""The figures of a campaign's day: the rows of `/campaigns/data_series`."""

from __future__ import annotations

from datetime import date

from exporter.simulator.day_conditions import DayConditions, conditions
from exporter.simulator.fleet import Campaign, Message
from exporter.simulator.stats import (
    CONVERSION_SHARES,
    COUNTERS,
    Stats,
    channel_stats,
    conversion_stats,
)

_DATED = "_by_send_time"


def day_row(campaign: Campaign, day: date, *, today: date, progress: float) -> Stats:
    """Return one element of `data`.

    `progress` is the elapsed part of `today`, from 0 to 1; it is used only if `day` is
    `today`. On days without sends all counters are zero.
    """
    whole = conditions(campaign, day, today=today, progress=progress)
    channels: dict[str, list[Stats]] = {channel: [] for channel in campaign.empty}
    sent: list[Stats] = []
    for message in campaign.messages:
        part = whole.of_share(message.share, response_factor=message.response_factor)
        entry = _entry(campaign, message, part)
        channels.setdefault(message.channel, []).append(entry)
        if not message.is_control:
            sent.append(entry)
    stats = _user_stats(campaign, whole)
    if campaign.is_multivariate:
        stats = {name: round(sum(one[name] for one in sent), 2) for name in stats}
    messages = {**dict.fromkeys(campaign.null), **channels}
    return {"time": day.isoformat(), "messages": messages, **stats}


def _entry(campaign: Campaign, message: Message, day: DayConditions) -> Stats:
    """Return a message's entry."""
    counters = COUNTERS[message.channel]
    entry: Stats = {"variation_api_id": message.id}
    if campaign.is_multivariate:
        entry["variation_name"] = message.name
    if message.is_control:
        if campaign.uses_null:
            entry |= {name: None for name, _, _ in counters}
        return entry | {"enrolled": int(day.volume)} | _user_stats(campaign, day)
    if campaign.uses_null:
        entry["enrolled"] = None
    entry |= channel_stats(counters, day)
    clicks = day.responding * 0.009
    for place, name in enumerate(message.extra_clicks, 1):
        entry[name] = int(clicks / place)
    return entry | _user_stats(campaign, day) if campaign.is_multivariate else entry


def _user_stats(campaign: Campaign, day: DayConditions) -> Stats:
    """Return recipients, conversions and revenue; unused conversion events are zero."""
    used = conversion_stats(day, events=campaign.conversion_events, dated=_DATED)
    unused = conversion_stats(
        day.of_part(0.0), events=len(CONVERSION_SHARES), dated=_DATED
    )
    return {"unique_recipients": int(day.volume * 0.97), **unused, **used}
