"""The requests of a history, and the timestamps of its samples."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from exporter.backfill import sampling
from exporter.backfill.sampling import HistoryRequest
from exporter.model.config import ObjectConfig
from exporter.polling.kinds import KINDS, History
from exporter.series.days import span_of_day
from hypothesis import given
from hypothesis import strategies as st

NOON = datetime(2026, 9, 1, 12, tzinfo=UTC).timestamp()


def history_of(name: str, unit: str = "day") -> History:
    (kind,) = (one for one in KINDS if one.name == name)
    found = kind.history(ObjectConfig(f"{unit}/x", "x", 60.0, {"unit": unit}))
    assert found is not None
    return found


OF_CAMPAIGN, OF_CANVAS = history_of("campaign"), history_of("canvas")
OF_HOURS = history_of("event", "hour")
DAILY = (OF_CAMPAIGN, OF_CANVAS, history_of("dau"), history_of("event"))
ZONES = ("UTC", "America/New_York", "Asia/Kolkata", "Pacific/Kiritimati", "Etc/GMT+12")


def sample_times(
    day: date, *, zone: str = "UTC", step: float, until: float = float("inf")
) -> list[int]:
    return list(
        sampling.sample_times(
            sampling.shown_over(day, ZoneInfo(zone)),
            timezone=ZoneInfo(zone),
            step_seconds=step,
            until=until,
        )
    )


def test_pages_end_98_days_apart() -> None:
    """The newest ends when it is requested, which may be days after the start."""
    assert sampling.pages(365, now=NOON, history=OF_CAMPAIGN) == (
        HistoryRequest(None, 100),
        HistoryRequest("2026-06-05T12:00:00Z", 100),
        HistoryRequest("2026-02-27T12:00:00Z", 100),
        HistoryRequest("2025-11-21T12:00:00Z", 83),
    )
    assert sampling.pages(10, now=NOON, history=OF_CAMPAIGN) == (
        HistoryRequest(None, 20),
    )


def test_pages_of_a_canvas_end_12_days_apart() -> None:
    """The newest ends a minute ago, since Braze refuses a later end than now."""
    assert sampling.pages(30, now=NOON, history=OF_CANVAS) == (
        HistoryRequest("2026-09-01T11:59:00Z", 14),
        HistoryRequest("2026-08-20T11:59:00Z", 14),
        HistoryRequest("2026-08-08T11:59:00Z", 8),
    )
    assert sampling.pages(3, now=NOON, history=OF_CANVAS) == (
        HistoryRequest("2026-09-01T11:59:00Z", 5),
    )
    assert len(sampling.pages(365, now=NOON, history=OF_CANVAS)) == 31


def test_pages_of_hours_end_whole_days_apart() -> None:
    """A hundred hours each, of which the next page repeats four."""
    assert sampling.pages(8, now=NOON, history=OF_HOURS) == (
        HistoryRequest("2026-09-01T11:59:00Z", 100),
        HistoryRequest("2026-08-28T11:59:00Z", 100),
        HistoryRequest("2026-08-24T11:59:00Z", 28),
    )


@given(
    days=st.integers(1, 60),
    now=st.floats(1_600_000_000, 2_000_000_000),
    zone=st.sampled_from(ZONES),
    is_date_only=st.booleans(),
)
def test_pages_of_hours_contain_every_wanted_hour(
    *, days: int, now: float, zone: str, is_date_only: bool
) -> None:
    """If Braze reads the date of an end only, those of its last day may be missing."""
    local = ZoneInfo(zone)
    contained = set()
    for page in sampling.pages(days, now=now, history=OF_HOURS):
        assert 1 <= page.length <= 100
        assert page.ending_at is not None
        end = datetime.fromisoformat(page.ending_at)
        assert end.timestamp() <= now - 60
        if is_date_only:
            end = end.astimezone(local).replace(hour=0, minute=0, second=0)
        last = int(end.timestamp() // 3600)
        contained |= set(range(last - page.length + 1, last + 1))

    today = sampling.today(now=now, timezone=local)
    first = span_of_day(today - timedelta(days=days), local)[0]
    until = now - 3660
    if is_date_only:
        until = span_of_day(sampling.today(now=now - 60, timezone=local), local)[0]
    assert contained >= set(range(int(first // 3600) + 1, int(until // 3600)))


@given(
    history=st.sampled_from(DAILY),
    days=st.integers(1, 400),
    now=st.floats(1_600_000_000, 2_000_000_000),
    zone=st.sampled_from(ZONES),
    is_read_in_utc=st.booleans(),
    is_inclusive=st.booleans(),
    delay_days=st.floats(0, 7.9),
)
def test_pages_contain_every_wanted_day(
    *,
    history: History,
    days: int,
    now: float,
    zone: str,
    is_read_in_utc: bool,
    is_inclusive: bool,
    delay_days: float,
) -> None:
    """Whether or not Braze includes the day of an end, in UTC or the workspace's zone.

    Nothing is requested of the future, and the pages may be requested days later. Only
    a newest page that needs an end may lack days, and at most yesterday.
    """
    local = ZoneInfo(zone)
    today = sampling.today(now=now, timezone=local)
    requested_at = now + delay_days * 86400
    contained = set()
    for page in sampling.pages(days, now=now, history=history):
        assert 1 <= page.length <= history.most
        last = sampling.today(now=requested_at, timezone=local)
        if page.ending_at is not None:
            end = datetime.fromisoformat(page.ending_at)
            assert end.timestamp() <= now - (history.end_delay_seconds or 0)
            last = end.astimezone(UTC if is_read_in_utc else local).date()
            last -= timedelta(days=not is_inclusive)
        contained |= {last - timedelta(days=n) for n in range(page.length)}

    sure = sampling.sure_until(local, now=now, history=history)
    wanted = {today - timedelta(days=n) for n in range(1, days + 1)}
    assert contained >= {day for day in wanted if day <= sure}
    assert sure in {today - timedelta(days=n) for n in (1, 1 + (history is OF_CANVAS))}


@pytest.mark.parametrize(
    ("hour", "zone", "age"),
    [
        (12, "UTC", 1),
        (0, "UTC", 2),
        (12, "Pacific/Kiritimati", 2),
        (9, "Pacific/Kiritimati", 1),
        (15, "Etc/GMT+12", 1),
    ],
)
def test_yesterday_may_be_missing_where_the_date_is_ahead_of_utc(
    hour: int, zone: str, age: int
) -> None:
    """And in the minute after midnight; a newest page without an end lacks no day."""
    now, local = datetime(2026, 9, 1, hour, tzinfo=UTC).timestamp(), ZoneInfo(zone)
    today = sampling.today(now=now, timezone=local)

    sure = sampling.sure_until(local, now=now, history=OF_CANVAS)

    assert sure == today - timedelta(days=age)
    assert sampling.sure_until(local, now=now, history=OF_CAMPAIGN) == (
        today - timedelta(days=1)
    )


@given(
    day=st.dates(date(2020, 1, 1), date(2030, 1, 1)),
    zone=st.sampled_from((*ZONES, "Africa/Cairo", "America/Sao_Paulo", "Asia/Beirut")),
    step=st.sampled_from(sampling.STEPS_SECONDS),
)
def test_a_day_is_sampled_over_the_next_day(day: date, zone: str, step: float) -> None:
    """From its end to the end of the next, at most a step apart."""
    days = (day, day + timedelta(days=1))
    one, two = (sample_times(each, zone=zone, step=step) for each in days)

    for found, each in ((one, days[0]), (two, days[1])):
        dates = {datetime.fromtimestamp(at, ZoneInfo(zone)).date() for at in found}
        assert dates == {each + timedelta(days=1)}
    assert all(
        0 < later - earlier <= step for earlier, later in pairwise(one + two[:1])
    )


def test_no_sample_is_later_than_the_limit() -> None:
    """The limit may be within the day, or before it."""
    day, limit = date(2026, 8, 30), datetime(2026, 8, 31, 1, tzinfo=UTC).timestamp()

    assert sample_times(day, step=900, until=limit) == [
        int(limit) - 900 * n for n in (4, 3, 2, 1, 0)
    ]
    assert sample_times(day, step=900, until=limit - 3601) == []


@pytest.mark.parametrize("zone", ["America/New_York", "Australia/Lord_Howe", "UTC"])
@pytest.mark.parametrize("step", [300, 3600, 10800, 21600, 86400])
def test_every_step_of_a_graph_of_a_year_has_a_sample(zone: str, step: int) -> None:
    """In winter and summer: Grafana uses one offset for a graph, that of its end."""
    first = date(2025, 10, 1)
    found = {
        at
        for n in range(366)
        for at in sample_times(first + timedelta(days=n), zone=zone, step=step)
    }
    begin = datetime.combine(first + timedelta(days=2), time(), ZoneInfo(zone))

    for day in (date(2026, 1, 15), date(2026, 7, 15)):
        end = datetime.combine(day, time(), ZoneInfo(zone)).timestamp()
        assert found.issuperset(range(int(end), int(begin.timestamp()), -step))


@pytest.mark.parametrize(
    ("series", "days", "expected"),
    [
        (30, 10, 300),
        (100, 365, 300),
        (200, 365, 900),
        (2000, 365, 3600),
        (5000, 365, 21600),
        (10**6, 365, 86400),
    ],
)
def test_the_step_depends_on_the_size_of_the_file(
    series: int, days: int, expected: float
) -> None:
    assert sampling.step_for(series=series, days=days) == expected
