"""Tables of the named campaigns and of the parts of generated ones.

Names contain quotes, emoji, backslashes and non-Latin scripts, as in real workspaces.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

CONTROL = "Control Group"


class Incident(StrEnum):
    """A problem of a campaign, from the first day on."""

    BOUNCES = "bounces"
    SPAM = "spam"
    SILENCE = "silence"
    """Begins two days earlier, so that complete days are silent too."""


@dataclass(frozen=True, slots=True)
class CampaignSpec:
    """A campaign without id and dates."""

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
    uses_null: bool = False
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
NAMED_CAMPAIGNS = (
    CampaignSpec(
        "Spring sale 🌷",
        62_000,
        {"email": ("Subject A", "Subject B", CONTROL)},
        tags=("promotion", "spring"),
        incident=Incident.BOUNCES,
        conversion_events=2,
    ),
    CampaignSpec(
        "Win-back after 90 days",
        48_000,
        {"email": _ONE},
        tags=("retention",),
        incident=Incident.SPAM,
    ),
    CampaignSpec(
        "Abandoned basket",
        21_000,
        {"email": _ONE, "ios_push": _ONE},
        tags=("retention", "triggered"),
        incident=Incident.SILENCE,
        conversion_events=2,
    ),
    CampaignSpec(
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
    CampaignSpec(
        "Password reset",
        9_400,
        {"email": _ONE},
        tags=("transactional",),
        is_api_campaign=True,
    ),
    CampaignSpec(
        "Order shipped",
        7_200,
        {"email": _ONE, "sms": _ONE, "whats_app": _ONE},
        tags=("transactional",),
        is_api_campaign=True,
    ),
    CampaignSpec(
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
    CampaignSpec(
        'Browser nudge: "Still looking?"', 5_600, {"web_push": _ONE}, empty=("sms",)
    ),
    CampaignSpec(
        "Kindle daily deals", 2_400, {"kindle_push": _ONE}, tags=("promotion",)
    ),
    CampaignSpec(
        "Two-factor code",
        16_000,
        {"sms": _ONE},
        tags=("transactional",),
        is_api_campaign=True,
    ),
    CampaignSpec(
        "Tu pedido está en camino 🛵", 4_300, {"whats_app": _ONE}, tags=("es",)
    ),
    CampaignSpec(
        "Home feed cards",
        26_000,
        {"content_cards": ("Large picture", "Small picture", CONTROL)},
        null=("email", "sms", "webhook"),
        uses_null=True,
    ),
    CampaignSpec("Loyalty tier sync", 3_100, {"webhook": _ONE}, tags=(None,)),
    CampaignSpec("Onboarding tour", 8_800, {"trigger_in_app_message": _ONE}),
    CampaignSpec("Rate the app", 2_700, {"in_app_message": _ONE}, null=("email",)),
    CampaignSpec("Boarding pass (RCS pilot)", 2_900, {"rcs": _ONE}, tags=("pilot",)),
    CampaignSpec("新着アイテムのお知らせ", 3_800, {"line": _ONE}, tags=("日本",)),
    CampaignSpec(
        "Weekly newsletter",
        41_000,
        {"email": ("Morning", "Noon", "Evening", "Evening")},
        tags=("newsletter",),
        conversion_events=2,
    ),
    CampaignSpec(
        r"Price alert \ <b>50 %</b> off", 6_100, {"email": _ONE, "web_push": _ONE}
    ),
    CampaignSpec("Early access teaser", 15_000, {"email": _ONE}, age_days=3),
    CampaignSpec(
        "Holiday gift guide",
        38_000,
        {"email": _ONE},
        tags=("promotion",),
        stopped_days_ago=130,
        is_archived=True,
    ),
    CampaignSpec(
        "Birthday voucher (draft)", 0, {"email": _ONE, "sms": _ONE}, is_draft=True
    ),
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
