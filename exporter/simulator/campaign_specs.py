"""Who is in a fleet: the named campaigns, and what generated ones are made of.

Tables only, without ids and calendar. The names hold what marketers type: quotes,
emoji, backslashes, other scripts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

CONTROL = "Control Group"


class Incident(StrEnum):
    """What is wrong with a campaign: from the fleet's first day on, and for good."""

    BOUNCES = "bounces"
    SPAM = "spam"
    SILENCE = "silence"
    """Begins two days before, so that a complete day is silent too."""


@dataclass(frozen=True, slots=True)
class Plan:
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
CAST = (
    Plan(
        "Spring sale 🌷",
        62_000,
        {"email": ("Subject A", "Subject B", CONTROL)},
        tags=("promotion", "spring"),
        incident=Incident.BOUNCES,
        conversion_events=2,
    ),
    Plan(
        "Win-back after 90 days",
        48_000,
        {"email": _ONE},
        tags=("retention",),
        incident=Incident.SPAM,
    ),
    Plan(
        "Abandoned basket",
        21_000,
        {"email": _ONE, "ios_push": _ONE},
        tags=("retention", "triggered"),
        incident=Incident.SILENCE,
        conversion_events=2,
    ),
    Plan(
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
    Plan(
        "Password reset",
        9_400,
        {"email": _ONE},
        tags=("transactional",),
        is_api_campaign=True,
    ),
    Plan(
        "Order shipped",
        7_200,
        {"email": _ONE, "sms": _ONE, "whats_app": _ONE},
        tags=("transactional",),
        is_api_campaign=True,
    ),
    Plan(
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
    Plan('Browser nudge: "Still looking?"', 5_600, {"web_push": _ONE}, empty=("sms",)),
    Plan("Kindle daily deals", 2_400, {"kindle_push": _ONE}, tags=("promotion",)),
    Plan(
        "Two-factor code",
        16_000,
        {"sms": _ONE},
        tags=("transactional",),
        is_api_campaign=True,
    ),
    Plan("Tu pedido está en camino 🛵", 4_300, {"whats_app": _ONE}, tags=("es",)),
    Plan(
        "Home feed cards",
        26_000,
        {"content_cards": ("Large picture", "Small picture", CONTROL)},
        null=("email", "sms", "webhook"),
        says_null=True,
    ),
    Plan("Loyalty tier sync", 3_100, {"webhook": _ONE}, tags=(None,)),
    Plan("Onboarding tour", 8_800, {"trigger_in_app_message": _ONE}),
    Plan("Rate the app", 2_700, {"in_app_message": _ONE}, null=("email",)),
    Plan("Boarding pass (RCS pilot)", 2_900, {"rcs": _ONE}, tags=("pilot",)),
    Plan("新着アイテムのお知らせ", 3_800, {"line": _ONE}, tags=("日本",)),
    Plan(
        "Weekly newsletter",
        41_000,
        {"email": ("Morning", "Noon", "Evening", "Evening")},
        tags=("newsletter",),
        conversion_events=2,
    ),
    Plan(r"Price alert \ <b>50 %</b> off", 6_100, {"email": _ONE, "web_push": _ONE}),
    Plan("Early access teaser", 15_000, {"email": _ONE}, age_days=3),
    Plan(
        "Holiday gift guide",
        38_000,
        {"email": _ONE},
        tags=("promotion",),
        stopped_days_ago=130,
        is_archived=True,
    ),
    Plan("Birthday voucher (draft)", 0, {"email": _ONE, "sms": _ONE}, is_draft=True),
)

THEMES = (
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
AUDIENCES = ("new customers", "VIP", "students", "lapsed", "app users", "DE", "FR")
MIXES: tuple[dict[str, tuple[str | None, ...]], ...] = (
    {"email": _ONE},
    {"email": _ONE},
    {"email": ("A", "B", CONTROL)},
    {"email": _ONE, "ios_push": _ONE, "android_push": _ONE},
    {"ios_push": _ONE, "android_push": _ONE},
    {"sms": _ONE},
    {"email": _ONE, "content_cards": _ONE},
    {"trigger_in_app_message": _ONE},
)
