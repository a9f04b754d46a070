"""Tables of the named campaigns and of the parts of generated ones.

Names contain quotes, emoji, backslashes and non-Latin scripts, as in real workspaces.
"""

from __future__ import annotations

from dataclasses import dataclass

from exporter.simulator.objects import CONTROL, Incident, ObjectSpec


@dataclass(frozen=True, eq=False)
class CampaignSpec(ObjectSpec):
    """A campaign without id and dates."""

    channels: tuple[str, ...]
    variants: tuple[str | None, ...] = (None,)
    """The names of the messages of each channel."""
    extra_clicks: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    """Channels with an empty list."""
    null: tuple[str, ...] = ()
    """Channels whose list is null."""
    is_api_campaign: bool = False


_EMAIL = ("email",)
_MOBILE = ("ios_push", "android_push")
_PROMOTION = ("promotion",)
_TRANSACTIONAL = ("transactional",)
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
        _EMAIL,
        tags=("promotion", "spring"),
        variants=("Subject A", "Subject B", CONTROL),
        incident=Incident.BOUNCES,
        conversion_events=2,
        send_hour=9,
    ),
    CampaignSpec(
        "Win-back after 90 days",
        48_000,
        _EMAIL,
        tags=("retention",),
        incident=Incident.SPAM,
        send_hour=10,
    ),
    CampaignSpec(
        "Abandoned basket",
        21_000,
        ("email", "ios_push"),
        tags=("retention", "triggered"),
        incident=Incident.SILENCE,
        conversion_events=2,
    ),
    CampaignSpec(
        "Welcome series",
        12_500,
        (*_EMAIL, *_MOBILE, "content_cards"),
        tags=("onboarding", None),
        empty=("sms",),
        conversion_events=3,
    ),
    CampaignSpec(
        "Password reset", 9_400, _EMAIL, tags=_TRANSACTIONAL, is_api_campaign=True
    ),
    CampaignSpec(
        "Order shipped",
        7_200,
        ("email", "sms", "whats_app"),
        tags=_TRANSACTIONAL,
        is_api_campaign=True,
    ),
    CampaignSpec(
        "Flash sale in the app",
        34_000,
        _MOBILE,
        tags=_PROMOTION,
        variants=("Variant 1", "Variant 2", CONTROL),
        extra_clicks=_CAROUSEL,
        conversion_events=4,
        send_hour=18,
    ),
    CampaignSpec(
        'Browser nudge: "Still looking?"', 5_600, ("web_push",), empty=("sms",)
    ),
    CampaignSpec(
        "Kindle daily deals",
        2_400,
        ("kindle_push",),
        tags=_PROMOTION,
        send_hour=7,
    ),
    CampaignSpec(
        "Two-factor code", 16_000, ("sms",), tags=_TRANSACTIONAL, is_api_campaign=True
    ),
    CampaignSpec("Tu pedido está en camino 🛵", 4_300, ("whats_app",), tags=("es",)),
    CampaignSpec(
        "Home feed cards",
        26_000,
        ("content_cards",),
        variants=("Large picture", "Small picture", CONTROL),
        null=("email", "sms", "webhook"),
        uses_null=True,
        send_hour=6,
    ),
    CampaignSpec("Loyalty tier sync", 3_100, ("webhook",), tags=(None,)),
    CampaignSpec("Onboarding tour", 8_800, ("trigger_in_app_message",)),
    CampaignSpec("Rate the app", 2_700, ("in_app_message",), null=("email",)),
    CampaignSpec("Boarding pass (RCS pilot)", 2_900, ("rcs",), tags=("pilot",)),
    CampaignSpec("新着アイテムのお知らせ", 3_800, ("line",), tags=("日本",)),
    CampaignSpec(
        "Weekly newsletter",
        41_000,
        _EMAIL,
        tags=("newsletter",),
        variants=("Morning", "Noon", "Evening", "Evening"),
        conversion_events=2,
        send_hour=8,
    ),
    CampaignSpec(r"Price alert \ <b>50 %</b> off", 6_100, ("email", "web_push")),
    CampaignSpec("Early access teaser", 15_000, _EMAIL, age_days=3),
    CampaignSpec(
        "Holiday gift guide",
        38_000,
        _EMAIL,
        tags=_PROMOTION,
        stopped_days_ago=130,
        is_archived=True,
        send_hour=9,
    ),
    CampaignSpec("Birthday voucher (draft)", 0, ("email", "sms"), is_draft=True),
)

THEMES = (
    *("Newsletter", "Restock alert", "Price drop", "Trial ending", "Renewal reminder"),
    *("Product tips", "Survey", "Referral bonus", "Loyalty points", "New arrivals"),
)
AUDIENCES = ("new customers", "VIP", "students", "lapsed", "app users", "DE", "FR")
_ONE = (None,)
MIXES: tuple[tuple[tuple[str, ...], tuple[str | None, ...]], ...] = (
    (_EMAIL, _ONE),
    (_EMAIL, _ONE),
    (_EMAIL, ("A", "B", CONTROL)),
    ((*_EMAIL, *_MOBILE), _ONE),
    (_MOBILE, _ONE),
    (("sms",), _ONE),
    (("email", "content_cards"), _ONE),
    (("trigger_in_app_message",), _ONE),
)
"""Channels and variants of generated campaigns."""
