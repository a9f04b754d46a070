"""The campaigns of the simulated workspace: the named ones, then generated ones.

They depend only on seed, size and first day; ids do not depend on the first day.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import date, timedelta
from hashlib import blake2b
from itertools import islice

from exporter.simulator.campaign_specs import (
    AUDIENCES,
    CONTROL,
    MIXES,
    NAMED_CAMPAIGNS,
    THEMES,
    CampaignSpec,
    Incident,
)

NAMESPACE = uuid.UUID("0b2a7e1c-6f57-5c1e-9d0b-6272617a6521")

# The part of a campaign's users that each channel reaches when there are several.
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
    response_factor: float = 1.0
    """Factor on opens, clicks and conversions."""

    @property
    def is_control(self) -> bool:
        """Whether this is the control group, which receives no message."""
        return self.name == CONTROL


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Campaign(CampaignSpec):
    """One campaign; two are equal only if they are the same object."""

    id: str
    messages: tuple[Message, ...]
    created_on: date
    stopped_on: date | None = None
    """The first day without sends."""
    incident_on: date | None = None
    failure_factor: float = 1.0
    """Factor on bounces and other failures."""
    edited_at: float | None = None
    """Time of the last edit; None: on its second day."""
    is_nameless: bool = False
    """Its name is null in the list and the details."""

    @property
    def is_multivariate(self) -> bool:
        """Whether a channel has several messages."""
        return len(self.variants) > 1

    def sends_on(self, day: date) -> bool:
        """Return whether any message is sent on this day."""
        if self.is_draft or not self.volume or day < self.created_on:
            return False
        return self.stopped_on is None or day < self.stopped_on


def fraction_of(*parts: object) -> float:
    """Return a hash of the parts as a number in [0, 1)."""
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
    """Return the named campaigns, then generated ones, `size` in all.

    Size None: the named ones only. `active_fraction` of the generated campaigns, evenly
    spread, send; the others have figures of zero.
    """
    count = len(NAMED_CAMPAIGNS) if size is None else size
    specs = islice(_specs(seed, active_fraction), count)
    return tuple(
        _build(spec if has_incidents else replace(spec, incident=None), seed, first_day)
        for spec in specs
    )


def _specs(seed: int, active_fraction: float) -> Iterator[CampaignSpec]:
    yield from NAMED_CAMPAIGNS
    number = 0
    while True:
        is_active = int((number + 1) * active_fraction) > int(number * active_fraction)
        number += 1
        chance = fraction_of(seed, "generated", number)
        theme = THEMES[int(chance * 1e4) % len(THEMES)]
        audience = AUDIENCES[int(chance * 1e6) % len(AUDIENCES)]
        channels, variants = MIXES[int(chance * 1e8) % len(MIXES)]
        yield CampaignSpec(
            f"{theme} {number:05}, {audience}",
            400 + 18_000 * chance**3 if is_active else 0,
            channels,
            ("generated",),
            variants,
            age_days=10 + int(chance * 1e10) % 800,
        )


def _build(spec: CampaignSpec, seed: int, first_day: date) -> Campaign:
    stopped_on = None
    if spec.incident is Incident.SILENCE:
        stopped_on = first_day - timedelta(days=_SILENT_DAYS)
    elif spec.stopped_days_ago is not None:
        stopped_on = first_day - timedelta(days=spec.stopped_days_ago)
    id_ = _id(seed, spec.name)
    return Campaign(
        **{one.name: getattr(spec, one.name) for one in fields(spec)},
        id=id_,
        messages=tuple(_messages(spec, seed)),
        created_on=first_day - timedelta(days=spec.age_days),
        stopped_on=stopped_on,
        incident_on=first_day if spec.incident else None,
        failure_factor=1.0 if spec.incident else 0.4 + 0.9 * fraction_of(id_, "list"),
    )


def _messages(spec: CampaignSpec, seed: int) -> Iterator[Message]:
    sending = sum(name != CONTROL for name in spec.variants)
    # A control group takes a tenth of the users.
    treated = 1.0 if sending == len(spec.variants) else 0.9
    for channel in spec.channels:
        reach = _REACH.get(channel, 0.7) if len(spec.channels) > 1 else 1.0
        for position, name in enumerate(spec.variants):
            is_control = name == CONTROL
            id_ = _id(seed, spec.name, channel, position)
            response = 0.8 if is_control else 0.9 + 0.2 * fraction_of(id_, "appeal")
            yield Message(
                id=id_,
                channel=channel,
                share=reach * (0.1 if is_control else treated / sending),
                name=name,
                extra_clicks=() if is_control else spec.extra_clicks,
                response_factor=response,
            )


def _id(*parts: object) -> str:
    return str(uuid.uuid5(NAMESPACE, "/".join(map(str, parts))))
