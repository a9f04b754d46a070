"""The values of series of the workspace in words."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest
from exporter.status import series_text

from tests.support.views import NOW, series

HOUR, DAY = 3600, 86400
MIDNIGHT = NOW - 12 * HOUR
PLANNED = "broadcast_next_send_timestamp_seconds"
LAST_SYNC = "data_ingestion_last_sync_timestamp_seconds"
STATUS = "data_ingestion_status_info"

Sample = tuple[str, dict[str, str], float]


def days(metric: str, *days: tuple[str, float, float]) -> list[Sample]:
    """Return the samples of (family, count, start of the day)."""
    return [
        sample
        for family, count, at in days
        for sample in (
            (f"workspace_{family}", {"metric": metric}, count),
            (f"workspace_{family}_timestamp_seconds", {"metric": metric}, at),
        )
    ]


def planned(name: str, at: float) -> Sample:
    return (PLANNED, {"kind": "campaign", "name": name}, at)


def synced(name: str, status: str) -> list[Sample]:
    return [
        (LAST_SYNC, {"integration": name}, NOW),
        (STATUS, {"integration": name, "status": status}, 1),
    ]


def event(count: float, at: float) -> list[Sample]:
    return [("event_count", {}, count), ("event_timestamp_seconds", {}, at)]


TODAY = ("daily", 1234, MIDNIGHT)
YESTERDAY = ("last_complete_day", 5678.4, MIDNIGHT - DAY)


@pytest.mark.parametrize(
    ("kind", "samples", "text"),
    [
        ("dau", days("dau", TODAY, YESTERDAY), "1,234 today so far, 5,678 on 21 Jun"),
        # Without a row of today both days are the same.
        (
            "dau",
            days(
                "dau",
                ("daily", 7, MIDNIGHT - DAY),
                ("last_complete_day", 7, MIDNIGHT - DAY),
            ),
            "7 on 21 Jun",
        ),
        # The day has no count.
        ("mau", [("workspace_daily_timestamp_seconds", {"metric": "mau"}, NOW)], ""),
        ("segment", [("segment_size", {}, 46_000)], "46,000 users"),
        ("segment", [("segment_size", {}, 1)], "1 user"),
        ("broadcasts", [planned("A", NOW - 5)], "1 planned"),
        (
            "broadcasts",
            [
                planned("A", NOW - 5),
                planned("B", NOW + 2 * HOUR),
                planned("C", NOW + DAY),
            ],
            "3 planned, the next in 2 h: B",
        ),
        (
            "data_ingestion",
            [*synced("A", "success"), *synced("B", "error"), *synced("C", "success")],
            "3 integrations: 2 success, 1 error",
        ),
        ("data_ingestion", [], ""),
    ],
)
def test_values(kind: str, samples: list[Sample], text: str) -> None:
    one = series(kind, *samples)

    assert series_text.value(one, timezone=ZoneInfo("UTC"), now=NOW) == text


@pytest.mark.parametrize(
    ("unit", "timezone", "text"),
    [
        ("hour", "UTC", "512 on 22 Jun, 10:00 to 11:00"),
        ("hour", "Asia/Kolkata", "512 on 22 Jun, 15:30 to 16:30"),
        ("day", "UTC", "512 on 22 Jun"),
    ],
)
def test_events_have_the_time_of_the_workspace(
    unit: str, timezone: str, text: str
) -> None:
    labels: dict[str, Any] = {"event": "log_in", "unit": unit}
    one = series("event", *event(512, NOW - 2 * HOUR), labels=labels)

    assert series_text.value(one, timezone=ZoneInfo(timezone), now=NOW) == text
