"""Tables of the named canvases and of the shapes of generated ones.

Names of steps are not unique, and those of variants repeat from canvas to canvas.
"""

from __future__ import annotations

from dataclasses import dataclass

from exporter.simulator.objects import CONTROL, Incident, ObjectSpec


@dataclass(frozen=True, slots=True)
class StepSpec:
    """A step without id; one without channels is a delay."""

    name: str
    channels: tuple[str, ...] = ()
    reach: float = 0.9
    """The part of the users of the step before."""
    delay_days: int = 0
    deleted_days_ago: int | None = None
    entries: int = 1
    """Entries of each channel's list; they have no ids."""


@dataclass(frozen=True, slots=True)
class VariantSpec:
    """A variant without id; a control group has no steps."""

    name: str
    share: float
    """The part of the canvas's users."""
    steps: tuple[StepSpec, ...] = ()


@dataclass(frozen=True, eq=False)
class CanvasSpec(ObjectSpec):
    """A canvas without ids and dates."""

    variants: tuple[VariantSpec, ...]


_MOBILE = ("ios_push", "android_push")


def _only(*steps: StepSpec) -> tuple[VariantSpec, ...]:
    return (VariantSpec("Variant 1", 1.0, steps),)


NAMED_CANVASES = (
    CanvasSpec(
        "Abandoned checkout",
        9_800,
        _only(
            StepSpec("First reminder", ("email", "ios_push"), 0.97),
            StepSpec("Wait a day", delay_days=1),
            StepSpec("Second reminder", ("email",), 0.8),
        ),
        tags=("retention",),
        incident=Incident.SILENCE,
        conversion_events=2,
    ),
    CanvasSpec(
        "Onboarding 2026 👋",
        6_400,
        (
            VariantSpec(
                "Variant 1",
                0.9,
                (
                    StepSpec("Welcome", ("email", "sms"), 0.98),
                    StepSpec("Wait 2 days", reach=0.95, delay_days=2),
                    StepSpec("Nudge", _MOBILE, 0.8),
                    StepSpec("Tour", ("in_app_message",), 0.5),
                ),
            ),
            VariantSpec(CONTROL, 0.1),
        ),
        tags=("lifecycle", "onboarding"),
        conversion_events=2,
    ),
    CanvasSpec(
        "Basket, 3 touches",
        8_200,
        (
            VariantSpec(
                "With discount",
                0.45,
                (
                    StepSpec("Reminder", ("email",), 0.97),
                    StepSpec("Wait", reach=0.96, delay_days=1),
                    StepSpec("Reminder", ("email", "android_push"), 0.7),
                    StepSpec("Last call", ("sms",), 0.6),
                ),
            ),
            VariantSpec(
                "Without discount",
                0.45,
                (
                    StepSpec("Reminder", ("email",), 0.97),
                    StepSpec("Last call", ("sms",), 0.6, delay_days=1),
                ),
            ),
            VariantSpec(CONTROL, 0.1),
        ),
        tags=("retention", "basket"),
        conversion_events=3,
    ),
    CanvasSpec(
        "Win-back journey ♻️",
        5_300,
        _only(
            StepSpec("We miss you", ("email",), 0.96),
            StepSpec("Voucher by post", ("webhook",), 0.7, deleted_days_ago=5),
            StepSpec("Voucher", ("email", "whats_app"), 0.6, delay_days=3),
        ),
        tags=("retention", None),
        conversion_events=6,
    ),
    CanvasSpec(
        "Après l'achat: soin & retour",
        4_700,
        _only(
            StepSpec("Confirmation", ("email", "whats_app"), 0.99),
            StepSpec("Sync to warehouse", ("webhook",), 0.99),
            StepSpec("Avis ⭐", ("content_cards", "in_app_message"), 0.5),
        ),
        tags=("fr",),
    ),
    CanvasSpec(
        "Back in stock",
        7_100,
        _only(
            StepSpec("Alert", (*_MOBILE, "web_push"), 0.95, entries=2),
            StepSpec("Alert by text", ("sms",), 0.3, entries=2),
        ),
        tags=("triggered",),
    ),
    CanvasSpec(
        "Loyalty tiers",
        2_600,
        _only(
            StepSpec("Wait for the sync", reach=1.0),
            StepSpec("New tier", ("content_cards", "webhook"), 0.95),
        ),
        tags=(None,),
        uses_null=True,
    ),
    CanvasSpec(
        r"Price watch \ <b>daily</b>",
        3_900,
        _only(StepSpec('"Now cheaper!"', ("rcs", "line"), 0.9)),
        tags=("pilot", "日本"),
        send_hour=8,
    ),
    CanvasSpec(
        "Early access list",
        2_200,
        _only(
            StepSpec("Invitation", ("email",), 0.98),
            StepSpec("Opening day", ("email",), 0.9, delay_days=1),
        ),
        age_days=3,
        send_hour=11,
    ),
    CanvasSpec(
        "Summer festival",
        11_000,
        _only(StepSpec("Line-up", ("email", "sms"), 0.97)),
        tags=("seasonal",),
        stopped_days_ago=40,
        send_hour=12,
    ),
    CanvasSpec(
        "Advent calendar",
        14_000,
        _only(StepSpec("Door", ("email", "ios_push"), 0.97)),
        tags=("seasonal",),
        stopped_days_ago=130,
        is_archived=True,
    ),
    CanvasSpec(
        "Birthday journey (draft)",
        0,
        _only(StepSpec("Voucher", ("email",))),
        is_draft=True,
    ),
)

_WELCOME = StepSpec("Message 1", ("email",), 0.97)
_WAIT = StepSpec("Delay", reach=0.95, delay_days=1)
_CHAIN = (_WELCOME, _WAIT, StepSpec("Message 2", ("email", "ios_push"), 0.8))
SHAPES: tuple[tuple[VariantSpec, ...], ...] = (
    _only(_WELCOME),
    _only(*_CHAIN),
    _only(*_CHAIN, StepSpec("Message 3", ("sms",), 0.4, delay_days=2)),
    _only(StepSpec("Push", _MOBILE), StepSpec("In-app", ("in_app_message",))),
    (VariantSpec("Variant 1", 0.9, _CHAIN), VariantSpec(CONTROL, 0.1)),
)
"""Variants of generated canvases."""
