"""What to ask for a history, and when its days are the last complete ones."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from exporter.backfill import sampling
from hypothesis import given
from hypothesis import strategies as st

NOON = datetime(2026, 9, 1, 12, tzinfo=UTC).timestamp()
ZONES = ("UTC", "America/New_York", "Asia/Kolkata", "Pacific/Kiritimati", "Etc/GMT+12")
instants_of_time = st.floats(1_600_000_000, 2_000_000_000)


def test_a_year_is_asked_for_in_four_pages() -> None:
    """The newest ends now, each ends 98 days before the one that came before it."""
    pages = sampling.pages(365, now=NOON)

    assert [page.ending_at for page in pages] == [
        "2026-09-01T12:00:00Z",
        "2026-05-26T12:00:00Z",
        "2026-02-17T12:00:00Z",
        "2025-11-11T12:00:00Z",
    ]
    assert [page.length for page in pages] == [100, 100, 100, 73]


def test_a_few_days_are_one_short_page() -> None:
    """With today, and with the day that an excluded end would lack."""
    (page,) = sampling.pages(10, now=NOON)

    assert page.length == 12


@given(
    days=st.integers(1, sampling.MOST_DAYS),
    now=instants_of_time,
    zone=st.sampled_from(ZONES),
    braze_zone=st.sampled_from(ZONES),
    is_inclusive=st.booleans(),
)
def test_pages_hold_every_day_that_is_wanted(
    days: int, now: float, zone: str, braze_zone: str, is_inclusive: bool
) -> None:
    """Whether Braze takes the day of an end in or leaves it out, whatever its zone.

    One day is forgiven: where its days are a zone's far from ours, its yesterday is not
    over here, or is not yet there.
    """
    today = sampling.today(now=now, timezone=ZoneInfo(zone))
    first = sampling.first_day(days, now=now, timezone=ZoneInfo(zone))
    held = set()
    for page in sampling.pages(days, now=now):
        assert 1 <= page.length <= 100
        end = datetime.fromisoformat(page.ending_at).astimezone(ZoneInfo(braze_zone))
        last = end.date() - timedelta(days=not is_inclusive)
        held |= {last - timedelta(days=n) for n in range(page.length)}

    wanted = {first + timedelta(days=n) for n in range(days)}
    missing = wanted - held

    assert first + timedelta(days=days) == today
    if zone == braze_zone:
        assert missing == set()
    else:
        assert missing <= {first, today - timedelta(days=1), today - timedelta(days=2)}


@given(
    day=st.dates(date(2020, 1, 1), date(2030, 1, 1)),
    zone=st.sampled_from((*ZONES, "Africa/Cairo", "America/Sao_Paulo", "Asia/Beirut")),
    step=st.sampled_from(sampling.STEPS_SECONDS),
)
def test_a_day_is_sampled_from_its_end_to_the_end_of_the_next(
    day: date, zone: str, step: float
) -> None:
    """Each instant has the day for its yesterday, steps are even, days do not meet."""
    timezone = ZoneInfo(zone)
    both = [
        list(
            sampling.instants(
                each, timezone=timezone, step_seconds=step, until=float("inf")
            )
        )
        for each in (day, day + timedelta(days=1))
    ]

    for found, each in zip(both, (day, day + timedelta(days=1)), strict=True):
        days = {datetime.fromtimestamp(at, timezone).date() for at in found}
        assert days == {each + timedelta(days=1)}
    assert all(0 < two - one <= step for one, two in pairwise(both[0] + both[1][:1]))


def test_nothing_is_later_than_what_was_told() -> None:
    """Also if that is in the midst of a day, or before it."""
    day = date(2026, 8, 30)
    end = datetime(2026, 8, 31, 1, tzinfo=UTC).timestamp()

    def found(until: float) -> list[int]:
        return list(
            sampling.instants(
                day, timezone=ZoneInfo("UTC"), step_seconds=900, until=until
            )
        )

    assert found(end) == [int(end) - 900 * n for n in (4, 3, 2, 1, 0)]
    assert found(end - 3601) == []


@pytest.mark.parametrize("zone", ["America/New_York", "Australia/Lord_Howe", "UTC"])
@pytest.mark.parametrize("step", [300, 3600, 10800, 21600, 86400])
def test_a_graph_of_a_year_meets_a_sample_at_each_step(zone: str, step: int) -> None:
    """In winter and in summer, whichever it is at its end: Grafana has one offset."""
    timezone = ZoneInfo(zone)
    first = date(2025, 10, 1)
    days = [first + timedelta(days=n) for n in range(366)]
    found = {
        at
        for day in days
        for at in sampling.instants(
            day, timezone=timezone, step_seconds=step, until=float("inf")
        )
    }

    for end in (date(2026, 1, 15), date(2026, 7, 15)):
        midnight = datetime.combine(end, time(), timezone).timestamp()
        begin = datetime.combine(first + timedelta(days=2), time(), timezone)
        steps = range(int(midnight), int(begin.timestamp()), -step)
        assert found.issuperset(steps)


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
def test_the_step_is_as_fine_as_a_file_can_hold(
    series: int, days: int, expected: float
) -> None:
    """A year of a few campaigns has no gap, one of many a sample each hour."""
    assert sampling.step_for(series=series, days=days) == expected


def test_long_steps_may_have_two_rows() -> None:
    """Of winter and of summer; those within an hour are the same."""
    assert sampling.lines_a_day(300) == 288
    assert sampling.lines_a_day(3600) == 24
    assert sampling.lines_a_day(21600) == 8


@given(series=st.integers(1, 10**7), days=st.integers(1, sampling.MOST_DAYS))
def test_more_is_never_sampled_more_finely(series: int, days: int) -> None:
    """And the coarsest is once a day."""
    step = sampling.step_for(series=series, days=days)

    assert step in sampling.STEPS_SECONDS
    assert step <= sampling.step_for(series=2 * series, days=days)
    assert step <= sampling.step_for(series=series, days=2 * days)
