"""The simulator's series of the workspace: shapes, errors, permissions, rate limits."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from exporter.simulator import RateLimit
from exporter.simulator.settings import ALL_PERMISSIONS

from tests.unit.simulator.simulator_client import (
    BROADCASTS,
    CANVAS_LIST,
    EVENT_SERIES,
    INTEGRATIONS,
    LIST,
    NOON,
    SEGMENT_SERIES,
    Client,
    FixedClock,
    serving,
)

REVENUE, QUANTITY = "/purchases/revenue_series", "/purchases/quantity_series"
DAILY = {
    "/kpi/dau/data_series": "dau",
    "/kpi/mau/data_series": "mau",
    "/kpi/new_users/data_series": "new_users",
    "/kpi/uninstalls/data_series": "uninstalls",
    "/sessions/data_series": "sessions",
    REVENUE: "revenue",
    QUANTITY: "purchase_quantity",
}
PERMISSIONS = {
    **{path: path.strip("/").replace("/", ".") for path in DAILY},
    SEGMENT_SERIES: "segments.data_series",
    EVENT_SERIES: "events.data_series",
    BROADCASTS: "messages.schedule_broadcasts",
    INTEGRATIONS: "cdi.integration_list",
}
TODAY = NOON.date()


def query(client: Client, path: str) -> dict[str, Any]:
    """Return the parameters of a valid request."""
    found: dict[str, dict[str, Any]] = {
        SEGMENT_SERIES: {"segment_id": client.braze.segments[0].id, "length": 3},
        EVENT_SERIES: {"event": client.braze.events[1].name, "length": 3},
        BROADCASTS: {"end_time": "2025-07-01"},
        INTEGRATIONS: {},
    }
    return found.get(path, {"length": 3})


def rows(client: Client, path: str, **parameters: Any) -> list[dict[str, Any]]:
    reply = client.request(path, **parameters)
    assert reply.status == 200, reply.body
    assert reply.document["message"] == "success"
    return list(reply.document["data"])


@pytest.mark.parametrize("path", DAILY)
def test_a_daily_series_has_one_row_a_day_until_today(
    client: Client, path: str
) -> None:
    found = rows(client, path, length=30)
    ended = rows(client, path, length=2, ending_at="2025-06-01")

    days = [date.fromisoformat(one["time"]) for one in found]
    assert days == [TODAY - timedelta(days=age) for age in reversed(range(30))]
    assert all(one.keys() == {"time", DAILY[path]} for one in found)
    assert all(one[DAILY[path]] > 0 for one in found)
    assert [one["time"] for one in ended] == ["2025-05-30", "2025-05-31"]
    assert ended == found[-12:-10]


@pytest.mark.parametrize("path", [*DAILY, SEGMENT_SERIES, EVENT_SERIES])
@pytest.mark.parametrize("length", ["0", "101", "-1", "ten", None])
def test_a_bad_length_is_400(client: Client, path: str, length: str | None) -> None:
    parameters = {**query(client, path), "length": length}

    reply = client.request(path, **{k: v for k, v in parameters.items() if v})

    assert reply.status == 400
    assert "length" in reply.document["message"]


@pytest.mark.parametrize(
    ("path", "parameters", "message"),
    [
        (EVENT_SERIES, {"unit": "minute"}, "unit must be day or hour"),
        (EVENT_SERIES, {"unit": "Hour"}, "unit"),
        (EVENT_SERIES, {"event": "renamed"}, "Invalid event"),
        (EVENT_SERIES, {"unit": "hour", "length": "101"}, "length"),
        (EVENT_SERIES, {"unit": "hour", "ending_at": "soon"}, "ending_at"),
        (EVENT_SERIES, {"unit": "hour", "ending_at": "0001-01-01"}, "calendar"),
        (QUANTITY, {"unit": "week"}, "unit"),
        (SEGMENT_SERIES, {"segment_id": "55f0a1"}, "Invalid Segment ID"),
        (BROADCASTS, {"end_time": "tomorrow"}, "end_time"),
        (INTEGRATIONS, {"cursor": "c2tpcA=="}, "Invalid cursor"),
        (INTEGRATIONS, {"cursor": "12"}, "Invalid cursor"),
        (INTEGRATIONS, {"cursor": "é"}, "Invalid cursor"),
    ],
)
def test_other_invalid_parameters_are_400(
    client: Client, path: str, parameters: Any, message: str
) -> None:
    reply = client.request(path, **{**query(client, path), **parameters})

    assert reply.status == 400
    assert message in reply.document["message"]


def test_a_segment_without_analytics_tracking_is_400(client: Client) -> None:
    untracked = [one for one in client.braze.segments if not one.is_tracked]

    replies = [
        client.request(SEGMENT_SERIES, segment_id=one.id, length=3)
        for one in client.braze.segments
    ]

    assert len(untracked) == 1
    assert [one.status for one in replies].count(200) == len(replies) - 1
    assert replies[client.braze.segments.index(untracked[0])].status == 400


@pytest.mark.parametrize("path", PERMISSIONS)
def test_each_path_has_its_own_permission(path: str) -> None:
    permission = PERMISSIONS[path]
    others = {"other": frozenset({permission})}
    missing = ALL_PERMISSIONS - {permission}
    with serving(permissions=missing, other_keys=others) as client:
        refused = client.request(path, **query(client, path))

        assert refused.status == 403
        assert permission in refused.document["message"]
        assert client.request(path, key="other", **query(client, path)).status == 200
        assert permission in ALL_PERMISSIONS


def test_purchases_and_ingestion_have_their_own_rate_limits(clock: FixedClock) -> None:
    small = {"purchases_limit": RateLimit(3, 3600), "ingestion_limit": RateLimit(2, 60)}
    with serving(clock, **small) as client:

        def remaining(path: str) -> tuple[int, str | None]:
            reply = client.request(path, **query(client, path))
            return reply.status, reply.headers["X-RateLimit-Remaining"]

        assert remaining(REVENUE) == (200, "2")
        assert remaining(QUANTITY) == (200, "1")
        assert remaining(INTEGRATIONS) == (200, "1")
        assert remaining(INTEGRATIONS) == (200, "0")
        assert remaining(INTEGRATIONS) == (429, "0")
        assert remaining(QUANTITY) == (200, "0")
        assert remaining(REVENUE) == (429, "0")
        assert remaining(EVENT_SERIES) == (200, "249999")
        assert remaining(LIST) == (200, "249998")
        assert remaining("/kpi/dau/data_series") == (200, "249997")
        clock.now += timedelta(minutes=1)
        assert remaining(INTEGRATIONS) == (200, "1")
        assert remaining(REVENUE) == (429, "0")
        counted = client.control("/-/requests").document["buckets"]
        assert counted == {"ingestion": 4, "purchases": 5, "shared": 3}
        assert {one.bucket for one in client.braze.requests} == set(counted)


@pytest.mark.parametrize(
    ("path", "limit", "reset"),
    [
        (REVENUE, "1000", NOON + timedelta(hours=1)),
        (INTEGRATIONS, "50", NOON + timedelta(minutes=1)),
        (BROADCASTS, "250000", NOON + timedelta(hours=1)),
    ],
)
def test_the_rate_limits_are_those_of_braze(
    client: Client, path: str, limit: str, reset: datetime
) -> None:
    headers = client.request(path, **query(client, path)).headers

    assert headers["X-RateLimit-Limit"] == limit
    assert int(headers["X-RateLimit-Reset"]) == reset.timestamp()


def test_hours_begin_at_full_hours_of_the_zone_and_the_last_one_runs() -> None:
    """In a zone with an offset of half an hour."""
    clock = FixedClock(NOON + timedelta(minutes=10))
    with serving(clock, timezone="Asia/Kolkata") as client:
        event = client.braze.events[1].name
        asked = {"event": event, "unit": "hour"}
        found = rows(client, EVENT_SERIES, length=3, **asked)
        ended = rows(client, EVENT_SERIES, length=1, ending_at=NOON, **asked)
        clock.now += timedelta(minutes=50)
        later = rows(client, EVENT_SERIES, length=4, **asked)

    zone = "+05:30"
    assert [one["time"] for one in found] == [
        f"2025-06-10T{hour}:00:00{zone}" for hour in (15, 16, 17)
    ]
    assert [one["time"] for one in ended] == [f"2025-06-10T17:00:00{zone}"]
    assert later[:2] == found[:2]
    assert later[2]["count"] > found[2]["count"] > 0


@pytest.mark.parametrize(
    ("day", "hours"), [(date(2025, 3, 9), 23), (date(2025, 11, 2), 25)]
)
def test_the_hours_of_a_day_add_up_to_it(day: date, hours: int) -> None:
    """Also of a day of 23 or 25 hours; each hour is another instant."""
    zone = ZoneInfo("America/New_York")
    midnight = datetime.combine(day + timedelta(days=1), datetime.min.time(), zone)
    with serving(FixedClock(midnight), timezone=zone.key) as client:
        for path in (EVENT_SERIES, "/sessions/data_series", QUANTITY):
            about = {**query(client, path), "ending_at": midnight.isoformat()}
            by_hour = rows(client, path, **{**about, "length": hours, "unit": "hour"})
            [by_day] = rows(client, path, **{**about, "length": 1})
            field = next(name for name in by_day if name != "time")

            starts = {datetime.fromisoformat(one["time"]) for one in by_hour}
            assert {at.astimezone(zone).date() for at in starts} == {day}
            assert len({at.astimezone(UTC) for at in starts}) == hours
            assert by_day["time"] == day.isoformat()
            assert sum(one[field] for one in by_hour) == by_day[field]


def test_a_broadcast_is_listed_once_with_its_next_send(clock: FixedClock) -> None:
    """Until the midnight (UTC) of the day of `end_time`."""
    with serving(clock, timezone="America/New_York") as client:

        def sends(end: str) -> dict[str, dict[str, Any]]:
            reply = client.request(BROADCASTS, end_time=end)
            assert reply.document.keys() == {"scheduled_broadcasts"}
            listed = reply.document["scheduled_broadcasts"]
            found = {one["name"]: one for one in listed}
            assert len(found) == len(listed)
            return found

        found = sends("2025-07-10T00:00:00Z")
        sale = client.braze.campaign("Spring sale 🌷")
        assert found[sale.name] == {
            "name": sale.name,
            "id": sale.id,
            "type": "Campaign",
            "tags": ["promotion", "spring"],
            "next_send_time": "2025-06-10T09:00:00-04:00",
            "schedule_type": "America/New_York",
        }
        assert {one["type"] for one in found.values()} == {"Campaign", "Canvas"}
        # Archived, stopped and triggered ones send at no planned time.
        assert not {"Holiday gift guide", "Summer festival", "Password reset"} & set(
            found
        )
        assert not sends("2025-06-10T23:00:00Z")
        assert not sends("2020-01-01")
        assert sale.name in sends("2025-06-11T00:00:00Z")
        clock.now += timedelta(hours=1)
        assert (
            sends("2025-07-10")[sale.name]["next_send_time"]
            == "2025-06-11T09:00:00-04:00"
        )
        client.braze.change(sale.id, stopped_on=TODAY)
        assert sale.name not in sends("2025-07-10")


def test_integrations_have_pages_of_ten(client: Client) -> None:
    """`Link` has the pages before and after; addresses are in every entry."""
    first = client.request(INTEGRATIONS)
    [link] = re.findall(r'^<([^>]*)>; rel="next"$', first.headers["Link"])
    second = client.request(link)

    assert link.startswith("/cdi/integrations?cursor=")
    assert second.headers["Link"] == ('</cdi/integrations?cursor=c2tpcDow>; rel="prev"')
    assert client.request("/cdi/integrations?cursor=c2tpcDow").body == first.body
    pages = [reply.document["results"] for reply in (first, second)]
    assert [len(page) for page in pages] == [10, len(client.braze.integrations) - 10]
    found = [one for page in pages for one in page]
    assert [one["integration_name"] for one in found] == [
        one.name for one in client.braze.integrations
    ]
    assert {one["integration_id"] for one in found} == {
        one.id for one in client.braze.integrations
    }
    assert all("@" in one["contact_emails"] for one in found)
    assert [one["last_job_status"] for one in found].count("error") == 1
    for one in found:
        times = ("last_updated_at", "last_job_start_time", "next_scheduled_run")
        updated, started, following = (datetime.fromisoformat(one[at]) for at in times)
        assert started <= NOON < following
        is_failing = one["last_job_status"] == "error"
        assert (NOON - updated > timedelta(days=2)) == is_failing
    assert client.request(CANVAS_LIST).headers["Link"] is None
