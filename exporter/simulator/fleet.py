"""The campaigns of the simulated workspace: a named cast, then as many as asked for.

A fleet follows from its seed, its size and its first day alone; ids are stable over
first days. What the campaigns send on a day is not known here.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from hashlib import blake2b
from itertools import islice

from exporter.simulator.campaign_specs import (
    AUDIENCES,
    CAST,
    CONTROL,
    MIXES,
    THEMES,
    Incident,
    Plan,
)

NAMESPACE = uuid.UUID("0b2a7e1c-6f57-5c1e-9d0b-6272617a6521")

# How many of a campaign's users each channel reaches when there are several.
_REACH = {"email": 0.9, "ios_push": 0.5, "android_push": 0.4, "sms": 0.3}
_SILENT_DAYS = 2


@dataclass(frozen=True, slots=True)
class Message:
    """One entry of a channel's list; `share` is its part of the campaign's volume."""

    id: str
    channel: str
    share: float
    name: str | None = None
    extra_clicks: tuple[str, ...] = ()
    appeal: float = 1.0
    """How much more than usual its readers respond."""

    @property
    def is_control(self) -> bool:
        """Whether this is the control group, which gets no message."""
        return self.name == CONTROL


@dataclass(frozen=True, slots=True, eq=False)
class Campaign:
    """One campaign; two are equal only if they are the same object."""

    id: str
    name: str
    tags: tuple[str | None, ...]
    messages: tuple[Message, ...]
    volume: float
    """Users reached on an average day."""
    created_on: date
    stopped_on: date | None = None
    """The first day without sends."""
    incident: Incident | None = None
    incident_on: date | None = None
    is_multivariate: bool = False
    is_draft: bool = False
    is_archived: bool = False
    is_api_campaign: bool = False
    sends_at_midnight: bool = False
    says_null: bool = False
    """Null where others leave a field out, as some answers of Braze do."""
    empty_channels: tuple[str, ...] = ()
    null_channels: tuple[str, ...] = ()
    conversion_events: int = 1
    carelessness: float = 1.0
    """How many times the usual failures its list of users has."""
    edited_at: float | None = None
    """When it was last edited; None: on its second day."""
    is_nameless: bool = False
    """The list and the details say null for its name."""

    def sends_on(self, day: date) -> bool:
        """Whether any message leaves on this day."""
        if self.is_draft or not self.volume or day < self.created_on:
            return False
        return self.stopped_on is None or day < self.stopped_on


def fraction_of(*parts: object) -> float:
    """Return a number from 0 up to 1 that follows from the parts alone."""
    digest = blake2b("/".join(map(str, parts)).encode(), digest_size=7).digest()
    # 52 bits: more would round up to 1 in a double.
    return (int.from_bytes(digest) >> 4) / 2**52


def build_fleet(
    *,
    seed: int,
    first_day: date,
    size: int | None = None,
    active_fraction: float = 1.0,
    has_incidents: bool = True,
) -> tuple[Campaign, ...]:
    """Return the cast and after it generated campaigns, `size` in all.

    None is the cast alone. Of the generated ones the `active_fraction`, evenly spread,
    sends; the others have figures of zero.
    """
    plans = islice(_plans(seed, active_fraction), len(CAST) if size is None else size)
    return tuple(
        _build(plan if has_incidents else replace(plan, incident=None), seed, first_day)
        for plan in plans
    )


def _plans(seed: int, active_fraction: float) -> Iterator[Plan]:
    yield from CAST
    number = 0
    while True:
        is_active = int((number + 1) * active_fraction) > int(number * active_fraction)
        number += 1
        chance = fraction_of(seed, "generated", number)
        theme = THEMES[int(chance * 1e4) % len(THEMES)]
        audience = AUDIENCES[int(chance * 1e6) % len(AUDIENCES)]
        yield Plan(
            f"{theme} {number:05}, {audience}",
            400 + 18_000 * chance**3 if is_active else 0,
            MIXES[int(chance * 1e8) % len(MIXES)],
            tags=("generated",),
            age_days=10 + int(chance * 1e10) % 800,
        )


def _build(plan: Plan, seed: int, first_day: date) -> Campaign:
    stopped_on = None
    if plan.incident is Incident.SILENCE:
        stopped_on = first_day - timedelta(days=_SILENT_DAYS)
    elif plan.stopped_days_ago is not None:
        stopped_on = first_day - timedelta(days=plan.stopped_days_ago)
    id_ = _id(seed, plan.name)
    return Campaign(
        id=id_,
        name=plan.name,
        tags=plan.tags,
        messages=tuple(_messages(plan, seed)),
        volume=plan.volume,
        created_on=first_day - timedelta(days=plan.age_days),
        stopped_on=stopped_on,
        incident=plan.incident,
        incident_on=first_day if plan.incident else None,
        is_multivariate=any(len(names) > 1 for names in plan.channels.values()),
        is_draft=plan.is_draft,
        is_archived=plan.is_archived,
        is_api_campaign=plan.is_api_campaign,
        # An alert on today's figures must have something to look at from the start.
        sends_at_midnight=plan.incident in (Incident.BOUNCES, Incident.SPAM),
        says_null=plan.says_null,
        empty_channels=plan.empty,
        null_channels=plan.null,
        conversion_events=plan.conversion_events,
        carelessness=1.0 if plan.incident else 0.4 + 0.9 * fraction_of(id_, "list"),
    )


def _messages(plan: Plan, seed: int) -> Iterator[Message]:
    for channel, names in plan.channels.items():
        reach = _REACH.get(channel, 0.7) if len(plan.channels) > 1 else 1.0
        sending = [name for name in names if name != CONTROL]
        # A control group takes a tenth of the users.
        treated = 1.0 if len(sending) == len(names) else 0.9
        for position, name in enumerate(names):
            share = 0.1 if name == CONTROL else treated / len(sending)
            id_ = _id(seed, plan.name, channel, position)
            appeal = 0.8 if name == CONTROL else 0.9 + 0.2 * fraction_of(id_, "appeal")
            yield Message(
                id=id_,
                channel=channel,
                share=reach * share,
                name=name,
                extra_clicks=() if name == CONTROL else plan.extra_clicks,
                appeal=appeal,
            )


def _id(*parts: object) -> str:
    return str(uuid.uuid5(NAMESPACE, "/".join(map(str, parts))))
