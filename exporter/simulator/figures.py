"""The figures of a campaign's day: the rows of `/campaigns/data_series`.

Within a day every number grows from zero at midnight and never decreases. On later days
bounces, complaints and conversions by send time still grow a little. Numbers are
rounded down, so that small volumes never exceed their rate.
"""

from __future__ import annotations

from datetime import date
from enum import IntEnum
from math import exp
from typing import Any, NamedTuple

from exporter.simulator.campaign_specs import Incident
from exporter.simulator.fleet import Campaign, Message, fraction_of

Row = dict[str, Any]


class _Kind(IntEnum):
    """What a counter depends on; an index into the factors of a day."""

    VOLUME = 0
    DELIVERED = 1
    FAILURE = 2
    COMPLAINT = 3
    RESPONSE = 4


_Counters = tuple[tuple[str, _Kind, float], ...]

_PUSH: _Counters = (
    ("sent", _Kind.VOLUME, 1.0),
    ("direct_opens", _Kind.RESPONSE, 0.036),
    ("total_opens", _Kind.RESPONSE, 0.061),
    ("bounces", _Kind.FAILURE, 0.006),
    ("body_clicks", _Kind.RESPONSE, 0.031),
)
_IN_APP: _Counters = (
    ("impressions", _Kind.VOLUME, 1.0),
    ("clicks", _Kind.RESPONSE, 0.14),
    ("first_button_clicks", _Kind.RESPONSE, 0.09),
    ("second_button_clicks", _Kind.RESPONSE, 0.03),
)
# Shares of the volume; their sums leave room for noise and late growth.
_COUNTERS: dict[str, _Counters] = {
    "email": (
        ("sent", _Kind.VOLUME, 1.0),
        ("opens", _Kind.RESPONSE, 0.41),
        ("unique_opens", _Kind.RESPONSE, 0.27),
        ("machine_open", _Kind.RESPONSE, 0.16),
        ("machine_amp_open", _Kind.RESPONSE, 0.002),
        ("clicks", _Kind.RESPONSE, 0.048),
        ("unique_clicks", _Kind.RESPONSE, 0.033),
        ("unsubscribes", _Kind.RESPONSE, 0.0016),
        ("bounces", _Kind.FAILURE, 0.006),
        ("delivered", _Kind.DELIVERED, 1.0),
        ("reported_spam", _Kind.COMPLAINT, 0.0001),
    ),
    "ios_push": _PUSH,
    "android_push": _PUSH,
    "web_push": _PUSH,
    "kindle_push": _PUSH,
    "sms": (
        ("sent", _Kind.VOLUME, 1.0),
        ("sent_to_carrier", _Kind.VOLUME, 0.998),
        ("delivered", _Kind.VOLUME, 0.978),
        ("rejected", _Kind.FAILURE, 0.006),
        ("delivery_failed", _Kind.FAILURE, 0.003),
        ("clicks", _Kind.RESPONSE, 0.055),
        ("opt_out", _Kind.RESPONSE, 0.0018),
        ("help", _Kind.RESPONSE, 0.0004),
    ),
    "whats_app": (
        ("sent", _Kind.VOLUME, 1.0),
        ("delivered", _Kind.VOLUME, 0.973),
        ("failed", _Kind.FAILURE, 0.008),
        ("read", _Kind.RESPONSE, 0.62),
    ),
    "content_cards": (
        ("sent", _Kind.VOLUME, 1.0),
        ("total_impressions", _Kind.RESPONSE, 0.83),
        ("unique_impressions", _Kind.RESPONSE, 0.52),
        ("total_clicks", _Kind.RESPONSE, 0.044),
        ("unique_clicks", _Kind.RESPONSE, 0.035),
        ("total_dismissals", _Kind.RESPONSE, 0.052),
        ("unique_dismissals", _Kind.RESPONSE, 0.047),
    ),
    "webhook": (("sent", _Kind.VOLUME, 1.0), ("errors", _Kind.FAILURE, 0.002)),
    "trigger_in_app_message": _IN_APP,
    "in_app_message": _IN_APP,
    "rcs": (
        ("sent", _Kind.VOLUME, 1.0),
        ("delivered", _Kind.VOLUME, 0.97),
        ("rejected", _Kind.FAILURE, 0.005),
        ("read", _Kind.RESPONSE, 0.58),
        ("clicks", _Kind.RESPONSE, 0.09),
    ),
    "line": (
        ("sent", _Kind.VOLUME, 1.0),
        ("opens", _Kind.RESPONSE, 0.44),
        ("clicks", _Kind.RESPONSE, 0.06),
    ),
}

# Monday first.
_WEEKDAYS = (1.04, 1.12, 1.1, 1.06, 0.98, 0.72, 0.66)
# (conversions per user, dollars per conversion) of the first event and those after it.
_CONVERSION_SHARES = (0.021, 0.012, 0.006, 0.002)
_DOLLARS = 38.47
_BOUNCE_SPIKE = 20.0  # 0.6 % becomes 12 %
_SPAM_SPIKE = 60.0  # 0.01 % becomes 0.6 %


class _Day(NamedTuple):
    """What the numbers of a campaign, or of one of its messages, depend on."""

    campaign: Campaign
    volume: float
    factors: tuple[float, ...]
    age_days: int

    def of(self, message: Message) -> _Day:
        *others, response = self.factors
        factors = (*others, response * message.response_factor)
        return self._replace(volume=self.volume * message.share, factors=factors)


def day_row(campaign: Campaign, day: date, *, today: date, progress: float) -> Row:
    """Return one element of `data`.

    `progress` is the elapsed part of `today`, from 0 to 1; it is used only if `day` is
    `today`. On days without sends all counters are zero.
    """
    age_days = (today - day).days
    done = 1.0 if age_days > 0 else _sent_share(campaign, progress)
    factors = _factors(campaign, day, age_days=age_days, done=done)
    whole = _Day(campaign, _volume(campaign, day) * done, factors, age_days)
    channels: dict[str, list[Row]] = {channel: [] for channel in campaign.empty}
    sent: list[Row] = []
    for message in campaign.messages:
        entry = _entry(whole.of(message), message)
        channels.setdefault(message.channel, []).append(entry)
        if not message.is_control:
            sent.append(entry)
    stats = _user_stats(whole)
    if campaign.is_multivariate:
        stats = {name: round(sum(one[name] for one in sent), 2) for name in stats}
    messages = {**dict.fromkeys(campaign.null), **channels}
    return {"time": day.isoformat(), "messages": messages, **stats}


def _entry(day: _Day, message: Message) -> Row:
    """Return a message's entry."""
    counters = _COUNTERS[message.channel]
    entry: Row = {"variation_api_id": message.id}
    if day.campaign.is_multivariate:
        entry["variation_name"] = message.name
    if message.is_control:
        if day.campaign.uses_null:
            entry |= {name: None for name, _, _ in counters}
        return entry | {"enrolled": int(day.volume)} | _user_stats(day)
    if day.campaign.uses_null:
        entry["enrolled"] = None
    entry |= {
        name: int(day.volume * share * day.factors[kind])
        for name, kind, share in counters
    }
    clicks = day.volume * day.factors[_Kind.RESPONSE] * 0.009
    for place, name in enumerate(message.extra_clicks, 1):
        entry[name] = int(clicks / place)
    return entry | _user_stats(day) if day.campaign.is_multivariate else entry


def _user_stats(day: _Day) -> Row:
    """Return recipients, conversions and revenue; unused conversion events are zero."""
    buyers = day.volume * day.factors[_Kind.RESPONSE]
    # Conversions are attributed to the send for seven days.
    by_send_time = 0.78 + 0.22 * _settled(day.age_days, 7)
    stats: Row = {
        "unique_recipients": int(day.volume * 0.97),
        "revenue": round(int(buyers * _CONVERSION_SHARES[0]) * _DOLLARS, 2),
    }
    for event, share in enumerate(_CONVERSION_SHARES):
        name = f"conversions{event or ''}"
        count = buyers * share if event < day.campaign.conversion_events else 0.0
        stats[name] = int(count)
        stats[f"{name}_by_send_time"] = int(count * by_send_time)
    return stats


def _volume(campaign: Campaign, day: date) -> float:
    if not campaign.sends_on(day):
        return 0.0
    noise = 0.94 + 0.12 * fraction_of(campaign.id, day, "volume")
    return campaign.volume * _WEEKDAYS[day.weekday()] * noise


def _factors(
    campaign: Campaign, day: date, *, age_days: int, done: float
) -> tuple[float, ...]:
    """Return the factor of each kind of counter, in the order of `_Kind`."""
    noise = fraction_of(campaign.id, day, "rates")
    spikes = _spikes(campaign, day)
    failing = campaign.failure_factor * spikes[0]
    failure = (0.85 + 0.3 * noise) * failing * (1 + 0.03 * _settled(age_days, 3))
    complaint = (1.1 - 0.2 * noise) * spikes[1] * (1 + 0.1 * _settled(age_days, 5))
    # The other losses are soft bounces, which Braze does not report.
    delivered = 0.995 - 0.006 * 1.185 * failing
    # Responses lag behind the sends and catch up by the end of the day.
    response = (0.9 + 0.2 * noise) * done**0.15
    return 1.0, delivered, failure, complaint, response


def _spikes(campaign: Campaign, day: date) -> tuple[float, float]:
    if campaign.incident_on is None or day < campaign.incident_on:
        return 1.0, 1.0
    return (
        _BOUNCE_SPIKE if campaign.incident is Incident.BOUNCES else 1.0,
        _SPAM_SPIKE if campaign.incident is Incident.SPAM else 1.0,
    )


def _settled(age_days: int, horizon_days: int) -> float:
    """Return the part of the late growth that has arrived, from 0 to 1."""
    return min(max(age_days, 0), horizon_days) / horizon_days


def _sent_share(campaign: Campaign, progress: float) -> float:
    """Return the part of a day's sends that is sent at `progress` of the day."""
    if campaign.incident:
        # A batch at midnight, so that today's figures show the incident from the first
        # minute: a fifth within minutes, the rest over the day.
        batch = (1 - exp(-progress * 720)) / (1 - exp(-720))
        return 0.2 * batch + 0.8 * _waves(progress, 0.0)
    shift = 0.06 * fraction_of(campaign.id, "rhythm")
    return _waves(progress, shift)


def _waves(progress: float, shift: float) -> float:
    """Return a constant rate plus a morning and an evening wave, from 0 to 1."""
    return (
        0.3 * progress
        + 0.45 * _wave(progress, 0.38 + shift)
        + 0.25 * _wave(progress, 0.72 + shift)
    )


def _wave(progress: float, centre: float) -> float:
    def cumulative(at: float) -> float:
        return 1 / (1 + exp((centre - at) / 0.05))

    start, end = cumulative(0.0), cumulative(1.0)
    return (cumulative(progress) - start) / (end - start)
