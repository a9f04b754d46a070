"""The simulator's series of the workspace fit its campaigns and canvases."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.unit.simulator.simulator_client import (
    EVENT_SERIES,
    INTEGRATIONS,
    NOON,
    SEGMENT_SERIES,
    Client,
    FixedClock,
    serving,
    total_sent,
)

Values = Callable[..., list[Any]]
DAYS = 28


@pytest.fixture(name="values")
def _values(client: Client) -> Values:
    """Return a function that requests the values of a series, oldest first."""

    def values(path: str, **parameters: Any) -> list[Any]:
        reply = client.request(path, **{"length": DAYS, **parameters})
        assert reply.status == 200, reply.body
        fields = [set(one) - {"time"} for one in reply.document["data"]]
        return [
            row[field]
            for row, (field,) in zip(reply.document["data"], fields, strict=True)
        ]

    return values


def test_users_sessions_and_uninstalls_are_in_proportion(values: Values) -> None:
    dau, mau, new, gone = (
        values(f"/kpi/{name}/data_series")
        for name in ("dau", "mau", "new_users", "uninstalls")
    )
    sessions = values("/sessions/data_series")

    for day in range(DAYS):
        assert gone[day] < new[day] < dau[day] < mau[day]
        assert dau[day] < sessions[day] < 3 * dau[day]
    assert max(mau) < 1.1 * min(mau)
    # Of complete days; at weekends there are fewer.
    complete = dau[:-1]
    assert 1.2 < max(complete) / min(complete) < 2.5
    assert dau[-1] < complete[-7]


def test_messages_are_attributed_a_part_of_the_purchases(
    client: Client, values: Values
) -> None:
    """Of revenue and of conversions, on each complete day."""
    revenue = values("/purchases/revenue_series", length=8)
    quantity = values("/purchases/quantity_series", length=8)
    attributed = [0.0] * 8
    converted = [0] * 8
    for campaign in client.braze.campaigns:
        for day, row in enumerate(client.days(campaign, length=8)):
            attributed[day] += row["revenue"]
            converted[day] += row["conversions"]
    for canvas in client.braze.canvases:
        for day, row in enumerate(client.canvas_days(canvas, length=8)):
            attributed[day] += row["total_stats"].get("revenue", 0)
            converted[day] += row["total_stats"].get("conversions", 0)

    for day in range(7):
        assert 0.1 * revenue[day] < attributed[day] < 0.6 * revenue[day]
        assert 0.1 * quantity[day] < converted[day] < 0.6 * quantity[day]


def test_more_campaigns_mean_more_users() -> None:
    path = "/kpi/dau/data_series"

    def dau(campaigns: int) -> Any:
        with serving(campaigns=campaigns) as client:
            return client.request(path, length=2).document["data"][0]["dau"]

    assert dau(5) < dau(22) < dau(200)


def test_hours_have_a_curve_and_repeat_by_week(values: Values) -> None:
    """Few events at night, most in the morning; a week earlier they are alike."""
    asked = {"event": "order_placed", "unit": "hour"}
    this_week = values(EVENT_SERIES, **asked, length=24, ending_at="2025-06-10")
    last_week = values(EVENT_SERIES, **asked, length=24, ending_at="2025-06-03")

    assert min(this_week) > 0
    assert max(this_week) == max(this_week[7:12])
    assert max(this_week) > 3 * max(this_week[:4])
    for now, before in zip(this_week, last_week, strict=True):
        assert now == pytest.approx(before, rel=0.2, abs=3)


def test_one_event_stops_with_its_campaign(client: Client, values: Values) -> None:
    """Two days before the first day, at midnight; the others go on."""
    stopped, *others = client.braze.events
    campaign = client.braze.campaign("Abandoned basket")
    sent = [total_sent(row) for row in client.days(campaign, length=5)]

    counts = values(EVENT_SERIES, event=stopped.name, length=5)

    assert [bool(count) for count in counts] == [True, True, False, False, False]
    assert [bool(count) for count in sent] == [True, True, False, False, False]
    assert counts[0] > sent[0] / 2
    hours = values(EVENT_SERIES, event=stopped.name, unit="hour", length=100)
    assert [bool(count) for count in hours] == [True] * 39 + [False] * 61
    for one in others:
        # The last hour has just begun.
        assert all(values(EVENT_SERIES, event=one.name, unit="hour", length=100)[:-1])


def test_one_segment_collapses_on_the_first_day(client: Client, values: Values) -> None:
    for segment in client.braze.segments:
        if segment.is_tracked:
            *before, today = values(SEGMENT_SERIES, segment_id=segment.id)
            assert max(before) < 1.1 * min(before)
            is_collapsed = segment.name == "Loyalty members"
            assert (today < 0.1 * min(before)) == is_collapsed
            assert (today > 0.9 * min(before)) != is_collapsed


def test_an_earlier_clock_shows_the_time_before_the_incidents(
    client: Client, clock: FixedClock, values: Values
) -> None:
    """So that a history of scrapes can be made before a live one."""
    clock.now = NOON - timedelta(days=7)

    stopped = client.braze.events[0].name
    assert all(values(EVENT_SERIES, event=stopped, unit="hour", length=100)[:-1])
    for segment in client.braze.segments:
        if segment.is_tracked:
            sizes = values(SEGMENT_SERIES, segment_id=segment.id, length=2)
            assert min(sizes) > 0.9 * segment.size
    page = client.request(INTEGRATIONS).document["results"]
    assert {one["last_job_status"] for one in page} == {"success"}
    started = [datetime.fromisoformat(one["last_job_start_time"]) for one in page]
    assert all(at <= clock.now.astimezone(UTC) for at in started)


def test_without_incidents_all_is_healthy() -> None:
    with serving(has_incidents=False) as client:
        counts = client.request(
            EVENT_SERIES, event=client.braze.events[0].name, length=5
        ).document["data"]
        results = client.request(INTEGRATIONS).document["results"]

        assert all(one["count"] for one in counts)
        assert {one["last_job_status"] for one in results} == {"success"}
