"""The campaigns of the simulated workspace: the named ones, then generated ones.

They depend only on seed, size and first day; ids do not depend on the first day.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import date, timedelta
from itertools import islice

from exporter.simulator.campaign_specs import (
    AUDIENCES,
    MIXES,
    NAMED_CAMPAIGNS,
    THEMES,
    CampaignSpec,
)
from exporter.simulator.objects import (
    CONTROL,
    SILENT_DAYS,
    Incident,
    SimulatedObject,
    fraction_of,
    id_of,
    is_active_number,
    object_fields,
)
from exporter.simulator.stats import reach_of


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


@dataclass(frozen=True, eq=False, kw_only=True)
class Campaign(CampaignSpec, SimulatedObject):
    """One campaign."""

    messages: tuple[Message, ...]

    @property
    def is_multivariate(self) -> bool:
        """Whether a channel has several messages."""
        return len(self.variants) > 1


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
        is_active = is_active_number(number, active_fraction)
        number += 1
        chance = fraction_of(seed, "generated", number)
        theme = THEMES[int(chance * 1e4) % len(THEMES)]
        audience = AUDIENCES[int(chance * 1e6) % len(AUDIENCES)]
        channels, variants = MIXES[int(chance * 1e8) % len(MIXES)]
        yield CampaignSpec(
            f"{theme} {number:05}, {audience}",
            400 + 18_000 * chance**3 if is_active else 0,
            channels,
            variants,
            tags=("generated",),
            age_days=10 + int(chance * 1e10) % 800,
        )


def _build(spec: CampaignSpec, seed: int, first_day: date) -> Campaign:
    values = {one.name: getattr(spec, one.name) for one in fields(spec)}
    values |= object_fields(spec, id_of(seed, spec.name), first_day)
    if spec.incident is Incident.SILENCE:
        values["stopped_on"] = first_day - timedelta(days=SILENT_DAYS)
    return Campaign(**values, messages=tuple(_messages(spec, seed)))


def _messages(spec: CampaignSpec, seed: int) -> Iterator[Message]:
    sending = sum(name != CONTROL for name in spec.variants)
    # A control group takes a tenth of the users.
    treated = 1.0 if sending == len(spec.variants) else 0.9
    for channel in spec.channels:
        reach = reach_of(channel, spec.channels)
        for position, name in enumerate(spec.variants):
            is_control = name == CONTROL
            id_ = id_of(seed, spec.name, channel, position)
            response = 0.8 if is_control else 0.9 + 0.2 * fraction_of(id_, "appeal")
            yield Message(
                id=id_,
                channel=channel,
                share=reach * (0.1 if is_control else treated / sending),
                name=name,
                extra_clicks=() if is_control else spec.extra_clicks,
                response_factor=response,
            )
