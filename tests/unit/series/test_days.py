"""Dates in documents of Braze, and the first instants of days."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from exporter.series.days import parse_date, start_of_day


def test_a_date_is_parsed() -> None:
    assert parse_date("2024-02-29") == date(2024, 2, 29)


@pytest.mark.parametrize(
    "value",
    [
        *(None, 20250622, ["2025-06-22"], ""),
        *("20250622", "2025-W25-7", "2025-6-22", "2025-02-30", "0000-01-01"),
        *("2025-06-22\n", " 2025-06-22", "2025-06-22T00:00:00"),
        "\uff12\uff10\uff12\uff15-06-22",
    ],
)
def test_any_other_value_is_not_a_date(value: object) -> None:
    assert parse_date(value) is None


@pytest.mark.parametrize(
    ("zone", "day", "first"),
    [
        ("UTC", date(2025, 6, 22), "2025-06-22T00:00:00"),
        ("America/New_York", date(2025, 6, 22), "2025-06-22T04:00:00"),
        ("America/New_York", date(2025, 3, 10), "2025-03-10T04:00:00"),
        ("America/New_York", date(2025, 11, 3), "2025-11-03T05:00:00"),
        ("Australia/Lord_Howe", date(2025, 4, 7), "2025-04-06T13:30:00"),
        ("America/Sao_Paulo", date(2018, 11, 4), "2018-11-04T03:00:00"),
        ("Africa/Cairo", date(2024, 4, 26), "2024-04-25T22:00:00"),
        ("Asia/Beirut", date(2022, 3, 27), "2022-03-26T22:00:00"),
        ("America/Havana", date(2024, 11, 3), "2024-11-03T04:00:00"),
        ("America/Havana", date(2024, 3, 10), "2024-03-10T05:00:00"),
        ("America/St_Johns", date(2010, 11, 7), "2010-11-07T02:30:00"),
        ("Pacific/Apia", date(2011, 12, 29), "2011-12-29T10:00:00"),
        ("Pacific/Apia", date(2011, 12, 30), "2011-12-30T10:00:00"),
        ("Pacific/Apia", date(2011, 12, 31), "2011-12-30T10:00:00"),
        ("America/Toronto", date(1919, 3, 31), "1919-03-31T04:30:00"),
    ],
)
def test_a_day_starts_at_its_first_instant(zone: str, day: date, first: str) -> None:
    instant = datetime.fromisoformat(first).replace(tzinfo=UTC)

    assert start_of_day(day, ZoneInfo(zone)) == instant.timestamp()


def test_the_earliest_date_has_a_first_instant() -> None:
    assert start_of_day(date.min, ZoneInfo("Asia/Tokyo")) < 0
