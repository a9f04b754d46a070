"""Messages of one day: bounces and complaints, and whether their rates are too high.

Rates are of email alone: bounces of other channels do not affect reputation. Small
volumes are not judged: one complaint in a hundred is 1 % by chance.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from math import isfinite
from typing import NamedTuple

from exporter.model.snapshot import Figures, Stats, channels_of
from exporter.series.windows import exact_sum

EMAIL = "email"
LEAST_VOLUME = 1000
"""A rate of fewer messages is judged only from `MANY_EVENTS` events on."""

LEAST_EVENTS = 3
MANY_EVENTS = 10


class Level(IntEnum):
    """The verdict on a rate; higher is more urgent."""

    UNJUDGED = 0
    FINE = 1
    WARNING = 2
    CRITICAL = 3


class DeliverabilityLimits(NamedTuple):
    """The rates from which on the level is WARNING or CRITICAL."""

    warning: float
    critical: float


BOUNCES = DeliverabilityLimits(0.03, 0.05)
"""Braze, IP warming: above 3 to 5 % of a campaign, clean the list."""

SPAM = DeliverabilityLimits(0.0008, 0.003)
"""Braze: investigate from 0.08 % on. Google and Yahoo: never reach 0.3 %."""


class Rate(NamedTuple):
    """A fraction; None if a number of it is missing or the whole is 0."""

    ratio: float | None = None
    level: Level = Level.UNJUDGED


class Deliverability(NamedTuple):
    """The messages of one day; None: no channel has the field."""

    sent: int | float | None
    """Over all channels, as the next two."""
    bounces: int | float | None
    reported_spam: int | float | None
    email_sent: int | float | None
    email_delivered: int | float | None
    email_bounces: int | float | None
    bounce_rate: Rate
    """Email bounces of email sent."""
    spam_rate: Rate
    """Complaints of email delivered, or of email sent if that is missing."""

    @property
    def level(self) -> Level:
        """The more urgent of the two."""
        return max(self.bounce_rate.level, self.spam_rate.level)


def of_figures(figures: Figures) -> Deliverability:
    """Add up the messages of a day."""
    return of_parts(channels_of(figures))


def of_parts(parts: Iterable[tuple[str, Stats]]) -> Deliverability:
    """Add up pairs of a channel and its stats."""
    pairs = tuple(parts)
    everything = [stats for _, stats in pairs]
    email = [stats for channel, stats in pairs if channel == EMAIL]
    sent, bounces = _added(email, "sent"), _added(email, "bounces")
    delivered = _added(email, "delivered")
    spam = _added(everything, "reported_spam")
    return Deliverability(
        sent=_added(everything, "sent"),
        bounces=_added(everything, "bounces"),
        reported_spam=spam,
        email_sent=sent,
        email_delivered=delivered,
        email_bounces=bounces,
        bounce_rate=rate(bounces, sent, BOUNCES),
        spam_rate=rate(
            spam, sent if delivered is None else delivered, SPAM, volume=sent
        ),
    )


def rate(
    events: int | float | None,
    whole: int | float | None,
    limits: DeliverabilityLimits,
    *,
    volume: int | float | None = None,
) -> Rate:
    """Return a rate with its level; a rate equal to a limit has reached it.

    `volume` is the number of messages where `whole` is less than that.
    """
    if events is None or whole is None or whole <= 0 or events < 0:
        return Rate()
    ratio = events / whole
    if not isfinite(ratio):
        return Rate()
    is_enough = max(whole, volume or 0) >= LEAST_VOLUME or events >= MANY_EVENTS
    if not is_enough:
        return Rate(ratio)
    if ratio < limits.warning or events < LEAST_EVENTS:
        return Rate(ratio, Level.FINE)
    return Rate(ratio, Level.CRITICAL if ratio >= limits.critical else Level.WARNING)


def _added(parts: Iterable[Stats], name: str) -> int | float | None:
    found = [stats[name] for stats in parts if name in stats]
    if len(found) < 2:
        return found[0] if found else None
    return exact_sum(found)
