"""Counters of channels and conversions of users, from the conditions of a day.

Numbers are rounded down, so that small volumes never exceed their rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from exporter.simulator.day_conditions import CounterKind, DayConditions

Stats = dict[str, Any]
Counters = tuple[tuple[str, CounterKind, float], ...]

_PUSH: Counters = (
    ("sent", CounterKind.VOLUME, 1.0),
    ("direct_opens", CounterKind.RESPONSE, 0.036),
    ("total_opens", CounterKind.RESPONSE, 0.061),
    ("bounces", CounterKind.FAILURE, 0.006),
    ("body_clicks", CounterKind.RESPONSE, 0.031),
)
_IN_APP: Counters = (
    ("impressions", CounterKind.VOLUME, 1.0),
    ("clicks", CounterKind.RESPONSE, 0.14),
    ("first_button_clicks", CounterKind.RESPONSE, 0.09),
    ("second_button_clicks", CounterKind.RESPONSE, 0.03),
)
# Shares of the volume; their sums leave room for noise and late growth.
COUNTERS: dict[str, Counters] = {
    "email": (
        ("sent", CounterKind.VOLUME, 1.0),
        ("opens", CounterKind.RESPONSE, 0.41),
        ("unique_opens", CounterKind.RESPONSE, 0.27),
        ("machine_open", CounterKind.RESPONSE, 0.16),
        ("machine_amp_open", CounterKind.RESPONSE, 0.002),
        ("clicks", CounterKind.RESPONSE, 0.048),
        ("unique_clicks", CounterKind.RESPONSE, 0.033),
        ("unsubscribes", CounterKind.RESPONSE, 0.0016),
        ("bounces", CounterKind.FAILURE, 0.006),
        ("delivered", CounterKind.DELIVERED, 1.0),
        ("reported_spam", CounterKind.COMPLAINT, 0.0001),
    ),
    "ios_push": _PUSH,
    "android_push": _PUSH,
    "web_push": _PUSH,
    "kindle_push": _PUSH,
    "sms": (
        ("sent", CounterKind.VOLUME, 1.0),
        ("sent_to_carrier", CounterKind.VOLUME, 0.998),
        ("delivered", CounterKind.VOLUME, 0.978),
        ("rejected", CounterKind.FAILURE, 0.006),
        ("delivery_failed", CounterKind.FAILURE, 0.003),
        ("clicks", CounterKind.RESPONSE, 0.055),
        ("opt_out", CounterKind.RESPONSE, 0.0018),
        ("help", CounterKind.RESPONSE, 0.0004),
    ),
    "whats_app": (
        ("sent", CounterKind.VOLUME, 1.0),
        ("delivered", CounterKind.VOLUME, 0.973),
        ("failed", CounterKind.FAILURE, 0.008),
        ("read", CounterKind.RESPONSE, 0.62),
    ),
    "content_cards": (
        ("sent", CounterKind.VOLUME, 1.0),
        ("total_impressions", CounterKind.RESPONSE, 0.83),
        ("unique_impressions", CounterKind.RESPONSE, 0.52),
        ("total_clicks", CounterKind.RESPONSE, 0.044),
        ("unique_clicks", CounterKind.RESPONSE, 0.035),
        ("total_dismissals", CounterKind.RESPONSE, 0.052),
        ("unique_dismissals", CounterKind.RESPONSE, 0.047),
    ),
    "webhook": (
        ("sent", CounterKind.VOLUME, 1.0),
        ("errors", CounterKind.FAILURE, 0.002),
    ),
    "trigger_in_app_message": _IN_APP,
    "in_app_message": _IN_APP,
    "rcs": (
        ("sent", CounterKind.VOLUME, 1.0),
        ("delivered", CounterKind.VOLUME, 0.97),
        ("rejected", CounterKind.FAILURE, 0.005),
        ("read", CounterKind.RESPONSE, 0.58),
        ("clicks", CounterKind.RESPONSE, 0.09),
    ),
    "line": (
        ("sent", CounterKind.VOLUME, 1.0),
        ("opens", CounterKind.RESPONSE, 0.44),
        ("clicks", CounterKind.RESPONSE, 0.06),
    ),
}

_REACH = {"email": 0.9, "ios_push": 0.5, "android_push": 0.4, "sms": 0.3}
# Conversions per user, by event; later events are as rare as the last one.
CONVERSION_SHARES = (0.021, 0.012, 0.006, 0.002)
_DOLLARS = 38.47


def reach_of(channel: str, channels: Sequence[str]) -> float:
    """Return the part of the users that a channel reaches beside these others."""
    return _REACH.get(channel, 0.7) if len(channels) > 1 else 1.0


def channel_stats(counters: Counters, day: DayConditions) -> Stats:
    """Return the counters of a channel."""
    return {
        name: int(day.volume * share * day.factors[kind])
        for name, kind, share in counters
    }


def conversion_stats(day: DayConditions, *, events: int, dated: str) -> Stats:
    """Return the revenue and the conversions of so many events.

    `dated` is the suffix of conversions that count on the day of the send or entry.
    """
    buyers = day.responding
    stats: Stats = {"revenue": round(int(buyers * CONVERSION_SHARES[0]) * _DOLLARS, 2)}
    for event in range(events):
        name = f"conversions{event or ''}"
        count = buyers * CONVERSION_SHARES[min(event, len(CONVERSION_SHARES) - 1)]
        stats[name] = int(count)
        stats[f"{name}{dated}"] = int(count * day.late_conversions)
    return stats
