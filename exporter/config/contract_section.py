"""Parsing of `contract`: messages a month that the contract with Braze includes."""

from __future__ import annotations

from collections.abc import Mapping

from exporter.config import option_values
from exporter.config.option import OPTIONAL
from exporter.config.reader import Field, Section, unknown_key
from exporter.model.config import Selection
from exporter.model.patterns import matcher

CHANNELS = (
    *("email", "ios_push", "android_push", "web_push", "kindle_push", "sms", "rcs"),
    *("whats_app", "line", "content_cards", "webhook"),
)
"""Braze's channels whose messages have a count `sent`."""

_IN_APP = {"in_app_message", "trigger_in_app_message"}


def parse(
    field: Field, *, channels: Selection, metrics: Selection
) -> Mapping[str, int]:
    """Return messages by channel; warns of those that are not exported."""
    fields = field.fields(f"a mapping such as {field.option.example}")
    found = {}
    for channel, value in fields.items():
        number = value._replace(option=field.option).parsed(option_values.integer)
        if channel in _IN_APP:
            value.error(
                "in-app messages are not sent, Braze counts impressions; expected one "
                f"of {', '.join(CHANNELS)}"
            )
        elif channel not in CHANNELS:
            field.error(
                unknown_key(channel, dict.fromkeys(CHANNELS, OPTIONAL)),
                line=value.node.line,
            )
        elif number is not None:
            found[channel] = number
            if not matcher(channels)(channel):
                value.warn(
                    "`channels` excludes this channel, so its messages of the month "
                    "are not exported; include it"
                )
    if found and not matcher(metrics)("sent"):
        field.warn(
            "`metrics` excludes sent, so messages of the month are not exported; "
            "include it"
        )
    return found


def warn_of_no_messages(section: Section) -> None:
    """Warn at `contract` of a workspace that polls no campaign or canvas."""
    listed = (section.at("campaigns"), section.at("canvases"))
    is_listed = any(one and not one.is_empty for one in listed)
    field = section.at("contract")
    if field and not is_listed and section.at("discover") is None:
        field.warn(
            "no campaign or canvas is polled, so there are no messages of the month; "
            "expected `campaigns`, `canvases` or `discover`"
        )
