"""What the numbers of an object's day depend on: users, rates, and the time of day.

Within a day every number grows from zero at midnight and never decreases. On later days
bounces, complaints and late conversions still grow a little.
"""

from __future__ import annotations

from datetime import date
from enum import IntEnum
from math import exp
from typing import NamedTuple

from exporter.simulator.objects import Incident, SimulatedObject, fraction_of

# Monday first.
_WEEKDAYS = (1.04, 1.12, 1.1, 1.06, 0.98, 0.72, 0.66)
_BOUNCE_SPIKE = 20.0  # 0.6 % becomes 12 %
_SPAM_SPIKE = 60.0  # 0.01 % becomes 0.6 %


class CounterKind(IntEnum):
    """What a counter depends on; an index into the factors of a day."""

    VOLUME = 0
    DELIVERED = 1
    FAILURE = 2
    COMPLAINT = 3
    RESPONSE = 4


class DayConditions(NamedTuple):
    """What the numbers of an object, or of one of its parts, depend on."""

    volume: float
    """Users so far."""
    factors: tuple[float, ...]
    """By `CounterKind`."""
    age_days: int
    done: float
    """The part of the day's sends and entries that has happened."""

    def of_part(self, volume: float, *, response_factor: float = 1.0) -> DayConditions:
        """Return the conditions of a part with so many users."""
        *others, response = self.factors
        factors = (*others, response * response_factor)
        return self._replace(volume=volume, factors=factors)

    def of_share(self, share: float, *, response_factor: float = 1.0) -> DayConditions:
        """Return the conditions of a part of the users."""
        return self.of_part(self.volume * share, response_factor=response_factor)

    @property
    def responding(self) -> float:
        """The volume times the factor of opens, clicks and conversions."""
        return self.volume * self.factors[CounterKind.RESPONSE]

    @property
    def late_conversions(self) -> float:
        """The part of the conversions of this day's users that has happened.

        Conversions are attributed for seven days.
        """
        return 0.78 + 0.22 * _settled(self.age_days, 7)


def conditions(
    one: SimulatedObject, day: date, *, today: date, progress: float
) -> DayConditions:
    """Return the conditions of an object's day.

    `progress` is the elapsed part of `today`, from 0 to 1; it is used only if `day` is
    `today`.
    """
    age_days = (today - day).days
    done = 1.0 if age_days > 0 else _done(one, progress)
    factors = _factors(one, day, age_days=age_days, done=done)
    return DayConditions(volume_on(one, day) * done, factors, age_days, done)


def volume_on(one: SimulatedObject, day: date) -> float:
    """Return the users of the whole day."""
    if not one.is_active_on(day):
        return 0.0
    return weekday_volume(one.volume, (one.id,), day)


def weekday_volume(volume: float, id_: tuple[object, ...], day: date) -> float:
    """Return what an average volume is on a day, with noise that depends on the id."""
    noise = 0.94 + 0.12 * fraction_of(*id_, day, "volume")
    return volume * _WEEKDAYS[day.weekday()] * noise


def _factors(
    one: SimulatedObject, day: date, *, age_days: int, done: float
) -> tuple[float, ...]:
    """Return the factor of each kind of counter, in the order of `CounterKind`."""
    noise = fraction_of(one.id, day, "rates")
    spikes = _spikes(one, day)
    failing = one.failure_factor * spikes[0]
    failure = (0.85 + 0.3 * noise) * failing * (1 + 0.03 * _settled(age_days, 3))
    complaint = (1.1 - 0.2 * noise) * spikes[1] * (1 + 0.1 * _settled(age_days, 5))
    # The other losses are soft bounces, which Braze does not report.
    delivered = 0.995 - 0.006 * 1.185 * failing
    # Responses lag behind the sends and catch up by the end of the day.
    response = (0.9 + 0.2 * noise) * done**0.15
    return 1.0, delivered, failure, complaint, response


def _spikes(one: SimulatedObject, day: date) -> tuple[float, float]:
    if one.incident_on is None or day < one.incident_on:
        return 1.0, 1.0
    return (
        _BOUNCE_SPIKE if one.incident is Incident.BOUNCES else 1.0,
        _SPAM_SPIKE if one.incident is Incident.SPAM else 1.0,
    )


def _settled(age_days: int, horizon_days: int) -> float:
    """Return the part of the late growth that has arrived, from 0 to 1."""
    return min(max(age_days, 0), horizon_days) / horizon_days


def _done(one: SimulatedObject, progress: float) -> float:
    """Return the part of a day's sends that is sent at `progress` of the day."""
    if one.incident:
        # A batch at midnight, so that today's figures show the incident from the first
        # minute: a fifth within minutes, the rest over the day.
        batch = (1 - exp(-progress * 720)) / (1 - exp(-720))
        return 0.2 * batch + 0.8 * part_of_day(progress)
    shift = 0.06 * fraction_of(one.id, "rhythm")
    return part_of_day(progress, shift)


def part_of_day(progress: float, shift: float = 0.0) -> float:
    """Return the part of a day's activity that has happened, from 0 to 1.

    It is a constant rate plus a morning and an evening wave.
    """
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
