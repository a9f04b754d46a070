"""The options of `series`: what is polled of a workspace beside its messages."""

from __future__ import annotations

from collections.abc import Mapping

from exporter.config.option import Option, OptionKind

KPIS = ("dau", "mau", "new_users", "uninstalls")
PURCHASES = ("revenue", "quantity")
UNITS = ("hour", "day")

PURCHASES_LEAST_SECONDS = 1800.0
"""Braze allows 1,000 requests an hour, together with other endpoints."""

SEGMENT: Mapping[str, Option] = {
    "id": Option(
        is_required=True,
        help="The segment's API identifier, a UUID; unique in the workspace.",
        example="9f0c2b1e-8a37-4d0b-9d8e-2f5f5d1c7a22",
    ),
    "name": Option(
        is_required=True,
        help="The label `segment`, at most 248 characters; unique in the workspace.",
        example="Newsletter readers",
    ),
}
EVENT: Mapping[str, Option] = {
    "name": Option(
        is_required=True,
        help="The custom event as in Braze, at most 245 characters; also a label.",
        example="order_placed",
    ),
    "unit": Option(
        "hour",
        help="What is counted: the last complete `hour` or `day`.",
        example="day",
    ),
}
SERIES: Mapping[str, Option] = {
    "interval": Option(
        "15m",
        OptionKind.DURATION,
        least=1.0,
        most=7 * 86400.0,
        help="How often each series is polled; purchases not more often than every "
        "30m.",
    ),
    "kpi": Option(
        "[]",
        OptionKind.LIST,
        help="Counts of users a day: `dau`, `mau`, `new_users`, `uninstalls`.",
        example="[dau, mau, new_users, uninstalls]",
    ),
    "sessions": Option(
        "false", OptionKind.BOOLEAN, help="Sessions a day.", example="true"
    ),
    "purchases": Option(
        "[]",
        OptionKind.LIST,
        help="Purchases a day: `revenue`, `quantity`.",
        example="[revenue, quantity]",
    ),
    "segments": Option(
        kind=OptionKind.SECTIONS,
        section=SEGMENT,
        help="Segments whose size is polled; each needs analytics tracking in Braze.",
    ),
    "events": Option(
        kind=OptionKind.SECTIONS,
        section=EVENT,
        help="Custom events that are counted.",
    ),
    "broadcasts": Option(
        "false",
        OptionKind.BOOLEAN,
        help="The next planned send of each scheduled campaign and canvas.",
        example="true",
    ),
    "data_ingestion": Option(
        "false",
        OptionKind.BOOLEAN,
        help="The last sync of each integration of Cloud Data Ingestion.",
        example="true",
    ),
}
