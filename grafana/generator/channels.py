"""Braze's channels: their names for people, and a colour for each."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as models

from grafana.generator import palette

# Neighbours in a usual campaign or canvas have different colours.
_NAMES = {
    "email": ("Email", palette.BLUE),
    "ios_push": ("iOS push", palette.ORANGE),
    "android_push": ("Android push", palette.SKY),
    "web_push": ("Web push", palette.PURPLE),
    "kindle_push": ("Kindle push", palette.VERMILLION),
    "sms": ("SMS", palette.PURPLE),
    "rcs": ("RCS", palette.ORANGE),
    "whats_app": ("WhatsApp", palette.SKY),
    "line": ("LINE", palette.VERMILLION),
    "in_app_message": ("In-app message", palette.VERMILLION),
    "trigger_in_app_message": ("In-app triggered", palette.PURPLE),
    "content_cards": ("Content cards", palette.ORANGE),
    "webhook": ("Webhook", palette.PURPLE),
}


def mappings() -> list[models.ValueMapping]:
    """Return the texts of cells; those of other channels are Braze's names."""
    return [
        models.ValueMap(
            options={
                channel: models.ValueMappingResult(text=name, index=at)
                for at, (channel, (name, _)) in enumerate(_NAMES.items())
            }
        )
    ]


def series() -> dict[str, tuple[str, str]]:
    """Return name and colour of series by Braze's name of their channel."""
    return _NAMES
