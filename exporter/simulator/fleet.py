"""The campaigns of the simulated workspace: a named cast, then as many as asked for.

A fleet follows from its seed, its size and its first day alone; ids are stable over
first days. What the campaigns send on a day is not known here.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from hashlib import blake2b
from itertools import islice

NAMESPACE = uuid.UUID("0b2a7e1c-6f57-5c1e-9d0b-6272617a6521")
CONTROL = "Control Group"

# How many of a campaign's users each channel reaches when there are several.
_REACH = {"email": 0.9, "ios_push": 0.5, "android_push": 0.4, "sms": 0.3}
_SILENT_DAYS = 2


class Incident(StrEnum):
    """What is wrong with a campaign: from the fleet's first day on, and for good."""

    BOUNCES = "bounces"
    SPAM = "spam"
    SILENCE = "silence"
    """Begins two days before, so that a complete day is silent too."""


@dataclass(frozen=True, slots=True)
class Message:
    """One entry of a channel's list; `share` is its part of the campaign's volume."""

    id: str
    channel: str
    share: float
    name: str | None = None
    extra_clicks: tuple[str, ...] = ()

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

    def sends_on(self, day: date) -> bool:
        """Whether any message leaves on this day."""
        if self.is_draft or not self.volume or day < self.created_on:
            return False
        return self.stopped_on is None or day < self.stopped_on


@dataclass(frozen=True, slots=True)
class _Plan:
    """A campaign before it has a seed and a calendar."""

    name: str
    volume: float
    channels: dict[str, tuple[str | None, ...]]
    tags: tuple[str | None, ...] = ()
    age_days: int = 400
    stopped_days_ago: int | None = None
    incident: Incident | None = None
    extra_clicks: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    null: tuple[str, ...] = ()
    says_null: bool = False
    is_draft: bool = False
    is_archived: bool = False
    is_api_campaign: bool = False
    conversion_events: int = 1


_ONE = (None,)
_CAROUSEL = (
    "carousel_slide_1_Linen shirts_click",
    "carousel_slide_2_Été à la plage_click",
    "notif_button_1_Shop now_click",
    "notif_button_2_Later 💤_click",
)
_CAST = (
    _Plan(
        "Spring sale 🌷",
        62_000,
        {"email": ("Subject A", "Subject B", CONTROL)},
        tags=("promotion", "spring"),
        incident=Incident.BOUNCES,
        conversion_events=2,
    ),
    _Plan(
        "Win-back after 90 days",
        48_000,
        {"email": _ONE},
        tags=("retention",),
        incident=Incident.SPAM,
    ),
    _Plan(
        "Abandoned basket",
        21_000,
        {"email": _ONE, "ios_push": _ONE},
        tags=("retention", "triggered"),
        incident=Incident.SILENCE,
        conversion_events=2,
    ),
    _Plan(
        "Welcome series",
        12_500,
        {
            "email": _ONE,
            "ios_push": _ONE,
            "android_push": _ONE,
            "content_cards": _ONE,
        },
        tags=("onboarding", None),
        empty=("sms",),
        conversion_events=3,
    ),
    _Plan(
        "Password reset",
        9_400,
        {"email": _ONE},
        tags=("transactional",),
        is_api_campaign=True,
    ),
    _Plan(
        "Order shipped",
        7_200,
        {"email": _ONE, "sms": _ONE, "whats_app": _ONE},
        tags=("transactional",),
        is_api_campaign=True,
    ),
    _Plan(
        "Flash sale in the app",
        34_000,
        {
            "ios_push": ("Variant 1", "Variant 2", CONTROL),
            "android_push": ("Variant 1", "Variant 2", CONTROL),
        },
        tags=("promotion",),
        extra_clicks=_CAROUSEL,
        conversion_events=4,
    ),
    _Plan('Browser nudge: "Don’t miss it"', 5_600, {"web_push": _ONE}, empty=("sms",)),
    _Plan("Kindle daily deals", 1_900, {"kindle_push": _ONE}, tags=("promotion",)),
    _Plan(
        "Two-factor code",
        16_000,
        {"sms": _ONE},
        tags=("transactional",),
        is_api_campaign=True,
    ),
    _Plan("Tu pedido está en camino 🛵", 4_300, {"whats_app": _ONE}, tags=("es",)),
    _Plan(
        "Home feed cards",
        26_000,
        {"content_cards": ("Large picture", "Small picture", CONTROL)},
        null=("email", "sms", "webhook"),
        says_null=True,
    ),
    _Plan("Loyalty tier sync", 3_100, {"webhook": _ONE}, tags=(None,)),
    _Plan("Onboarding tour", 8_800, {"trigger_in_app_message": _ONE}),
    _Plan("Rate the app", 2_700, {"in_app_message": _ONE}, null=("email",)),
    _Plan("Boarding pass (RCS pilot)", 1_400, {"rcs": _ONE}, tags=("pilot",)),
    _Plan("新着アイテムのお知らせ", 3_800, {"line": _ONE}, tags=("日本",)),
    _Plan(
        "Weekly newsletter",
        41_000,
        {"email": ("Morning", "Noon", "Evening", "Evening")},
        tags=("newsletter",),
        conversion_events=2,
    ),
    _Plan(r"Price alert \ <b>50 %</b> off", 6_100, {"email": _ONE, "web_push": _ONE}),
    _Plan("Early access teaser", 15_000, {"email": _ONE}, age_days=3),
    _Plan(
        "Holiday gift guide",
        38_000,
        {"email": _ONE},
        tags=("promotion",),
        stopped_days_ago=130,
        is_archived=True,
    ),
    _Plan("Birthday voucher (draft)", 0, {"email": _ONE, "sms": _ONE}, is_draft=True),
)

_THEMES = (
    "Newsletter",
    "Restock alert",
    "Price drop",
    "Trial ending",
    "Renewal reminder",
    "Product tips",
    "Survey",
    "Referral bonus",
    "Loyalty points",
    "New arrivals",
)
_AUDIENCES = ("new customers", "VIP", "students", "lapsed", "app users", "DE", "FR")
_MIXES: tuple[dict[str, tuple[str | None, ...]], ...] = (
    {"email": _ONE},
    {"email": _ONE},
    {"email": ("A", "B", CONTROL)},
    {"email": _ONE, "ios_push": _ONE, "android_push": _ONE},
    {"ios_push": _ONE, "android_push": _ONE},
    {"sms": _ONE},
    {"email": _ONE, "content_cards": _ONE},
    {"trigger_in_app_message": _ONE},
)


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
    plans = islice(_plans(seed, active_fraction), len(_CAST) if size is None else size)
    return tuple(
        _build(
            plan if has_incidents else replace(plan, incident=None), seed, first_day
        )
        for plan in plans
    )


def _plans(seed: int, active_fraction: float) -> Iterator[_Plan]:
    yield from _CAST
    number = 0
    while True:
        is_active = int((number + 1) * active_fraction) > int(number * active_fraction)
        number += 1
        chance = fraction_of(seed, "generated", number)
        theme = _THEMES[int(chance * 1e4) % len(_THEMES)]
        audience = _AUDIENCES[int(chance * 1e6) % len(_AUDIENCES)]
        yield _Plan(
            f"{theme} {number:05}, {audience}",
            400 + 18_000 * chance**3 if is_active else 0,
            _MIXES[int(chance * 1e8) % len(_MIXES)],
            tags=("generated",),
            age_days=10 + int(chance * 1e10) % 800,
        )


def _build(plan: _Plan, seed: int, first_day: date) -> Campaign:
    stopped_on = None
    if plan.incident is Incident.SILENCE:
        stopped_on = first_day - timedelta(days=_SILENT_DAYS)
    elif plan.stopped_days_ago is not None:
        stopped_on = first_day - timedelta(days=plan.stopped_days_ago)
    return Campaign(
        id=_id(seed, plan.name),
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
    )


def _messages(plan: _Plan, seed: int) -> Iterator[Message]:
    for channel, names in plan.channels.items():
        reach = _REACH.get(channel, 0.7) if len(plan.channels) > 1 else 1.0
        sending = [name for name in names if name != CONTROL]
        # A control group takes a tenth of the users.
        treated = 1.0 if len(sending) == len(names) else 0.9
        for position, name in enumerate(names):
            share = 0.1 if name == CONTROL else treated / len(sending)
            yield Message(
                id=_id(seed, plan.name, channel, position),
                channel=channel,
                share=reach * share,
                name=name,
                extra_clicks=() if name == CONTROL else plan.extra_clicks,
            )


def _id(*parts: object) -> str:
    return str(uuid.uuid5(NAMESPACE, "/".join(map(str, parts))))
