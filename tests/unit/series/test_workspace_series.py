"""What is read of each document of series of the workspace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from exporter.model.config import Selection
from exporter.model.errors import MalformedSeries
from exporter.model.snapshot import Snapshot
from exporter.series import (
    broadcasts,
    data_ingestion,
    event_counts,
    samples,
    segment_sizes,
    workspace_totals,
)
from exporter.series.parse import ParseOptions

NEW_YORK = ZoneInfo("America/New_York")
NOON = datetime(2026, 3, 10, 16, 0, tzinfo=UTC).timestamp()
"""In New York it is noon of Tuesday; clocks were set forward on Sunday."""

OPTIONS = ParseOptions(
    row_parser=None,
    today=date(2026, 3, 10),
    timezone=NEW_YORK,
    windows=(1, 7),
    channels=Selection(),
    metrics=Selection(),
    series_limit=5000,
    now=NOON,
)
DAU = partial(workspace_totals.parse, field="dau", metric="dau")
MAU = partial(workspace_totals.parse, field="mau", metric="mau", has_sums=False)
BOUGHT = partial(workspace_totals.parse, field="purchase_quantity", metric="purchases")


def at(text: str, zone: ZoneInfo = NEW_YORK, *, fold: int = 0) -> float:
    """Return an instant by the clocks of a zone."""
    naive = datetime.fromisoformat(text)
    return naive.replace(tzinfo=naive.tzinfo or zone, fold=fold).timestamp()


def values(found: Snapshot) -> dict[str, int | float]:
    """Return the values by family, without its prefix, and the texts of its labels."""
    return {
        "/".join(
            (one.family.removeprefix("braze_"), *(text for _, text in one.labels))
        ): one.value
        for one in found.samples
    }


def days(field: str, **counts: object) -> dict[str, object]:
    """Return a document with a row for each day of March, such as d09."""
    rows = [{"time": f"2026-03-{day[1:]}", field: n} for day, n in counts.items()]
    return {"message": "success", "data": rows}


def daily(metric: str, **others: float) -> dict[str, float]:
    return {f"workspace_{name}/{metric}": value for name, value in others.items()}


def test_a_daily_count_has_today_yesterday_and_sums_of_the_days_that_have_it() -> None:
    """Rows are out of order, two have no number; the last 7 days begin on the 3rd."""
    document = days("dau", d10=4, d09=10, d02=1000, d08=None, d03=1, d07=2.5, d04=None)

    found = DAU(document, OPTIONS)

    assert values(found) == {
        "workspace_daily/dau": 4,
        "workspace_daily_timestamp_seconds/dau": at("2026-03-10"),
        "workspace_last_complete_day/dau": 10,
        "workspace_last_complete_day_timestamp_seconds/dau": at("2026-03-09"),
        "workspace_trailing/dau/1d": 10,
        "workspace_trailing/dau/7d": 13.5,
    }
    assert (found.ignored_values, found.skipped_rows, found.dropped_series) == (0, 0, 0)


def test_users_of_30_days_have_no_sum() -> None:
    found = values(MAU(days("mau", d09=10, d10=11), OPTIONS))

    assert [name for name in found if "trailing" in name] == []
    assert found["workspace_daily/mau"] == 11
    assert found["workspace_last_complete_day/mau"] == 10


def test_the_field_of_a_count_may_differ_from_its_metric() -> None:
    """Other fields of a row are not counts of the series."""
    document = {"data": [{"time": "2026-03-09", "purchase_quantity": 3, "revenue": 7}]}

    found = values(BOUGHT(document, OPTIONS))

    assert found["workspace_daily/purchases"] == 3
    assert found["workspace_trailing/purchases/7d"] == 3
    assert not [name for name in found if "revenue" in name]


def test_a_day_without_a_number_is_absent_and_not_zero() -> None:
    document = days("dau", d10="4", d09=True, d08=0)

    found = DAU(document, OPTIONS)

    assert "workspace_daily/dau" not in values(found)
    assert "workspace_last_complete_day/dau" not in values(found)
    assert values(found)["workspace_trailing/dau/7d"] == 0
    assert "workspace_trailing/dau/1d" not in values(found)
    assert found.ignored_values == 2


@pytest.mark.parametrize(
    ("rows", "shown", "skipped"),
    [
        ([], None, 0),
        ([{"dau": 1}, {"time": 20260310, "dau": 1}, None, "2026-03-10"], None, 4),
        ([{"time": "2026-03-12", "dau": 1}], None, 1),
        ([{"time": "2026-03-11", "dau": 1}], 1, 0),
        ([{"time": "2026-03-10", "dau": 1}, {"time": "2026-03-10", "dau": 2}], 2, 0),
        ([{"time": "2026-03-10T00:00:00Z", "dau": 1}], None, 1),
        ([{"time": "2026-03-10", "dau": 10**400}], None, 0),
        ([{"time": "2026-03-10", "dau": 1, "new": {"field": []}}], 1, 0),
    ],
)
def test_odd_rows_of_days(rows: list[Any], shown: int | None, skipped: int) -> None:
    found = DAU({"data": rows}, OPTIONS)

    assert values(found).get("workspace_daily/dau") == shown
    assert found.skipped_rows == skipped


def test_sums_beyond_a_double_are_absent() -> None:
    found = DAU(days("dau", d09=1e308, d08=1e308), OPTIONS)

    assert "workspace_trailing/dau/7d" not in values(found)
    assert values(found)["workspace_trailing/dau/1d"] == 1e308


def test_a_metric_that_is_not_selected_has_no_samples() -> None:
    options = OPTIONS._replace(metrics=Selection(exclude=("da*",)))

    assert DAU(days("dau", d10=4), options).samples == ()


def test_the_size_of_a_segment_is_that_of_the_newest_day_that_has_one() -> None:
    found = segment_sizes.parse(
        days("size", d08=7, d09=5, d10=None, d07="many"), OPTIONS
    )

    assert values(found) == {"segment_size": 5}
    assert found.ignored_values == 1
    assert segment_sizes.parse({"data": []}, OPTIONS).samples == ()
    assert values(segment_sizes.parse(days("size", d10=0), OPTIONS)) == {
        "segment_size": 0
    }


def hours(*rows: tuple[object, object]) -> dict[str, object]:
    return {"data": [{"time": time, "count": count} for time, count in rows]}


def event(document: object, now: float = NOON) -> dict[str, int | float]:
    return values(event_counts.parse_hours(document, OPTIONS._replace(now=now)))


@pytest.mark.parametrize(
    ("minutes", "hour"), [(-1, "10:00"), (0, "11:00"), (59, "11:00"), (60, "12:00")]
)
def test_an_event_is_counted_in_the_newest_hour_that_is_over(
    minutes: int, hour: str
) -> None:
    """The row of an hour that still runs counts only a part of it."""
    rows = ("12:00", 12), ("10:00", 10), ("11:00", 11)
    document = hours(*((f"2026-03-10T{time}:00-04:00", n) for time, n in rows))

    assert event(document, NOON + 60 * minutes) == {
        "event_count": int(hour[:2]),
        "event_timestamp_seconds": at(f"2026-03-10T{hour}"),
    }


@pytest.mark.parametrize(
    "time",
    [
        *("2026-03-10T15:00:00Z", "2026-03-10T15:00:00.000+00:00"),
        *("2026-03-10 15:00:00 UTC", "2026-03-10T11:00:00-04:00"),
        *("2026-03-10 11:00:00 -0400", "2026-03-10T11:00:00", "2026-03-10 11:00"),
    ],
)
def test_an_hour_without_an_offset_is_in_the_zone_of_the_workspace(time: str) -> None:
    assert event(hours((time, 3)))["event_timestamp_seconds"] == at("2026-03-10T11:00")


def test_hours_around_the_one_that_clocks_skip_are_two_hours_apart_by_the_clock() -> (
    None
):
    document = hours(("2026-03-08T01:00:00", 1), ("2026-03-08T03:00:00", 3))
    three = at("2026-03-08T03:00")

    assert event(document, three)["event_count"] == 1
    assert event(document, three + 3599)["event_count"] == 1
    assert event(document, three + 3600)["event_count"] == 3


def test_an_hour_that_occurs_twice_is_over_after_the_second_time() -> None:
    """Without offsets both have one time; with offsets they are two hours."""
    naive = hours(("2026-11-01T00:00:00", 0), ("2026-11-01T01:00:00", 1))
    exact = hours(("2026-11-01T01:00:00-04:00", 1), ("2026-11-01T01:00:00-05:00", 2))
    second = at("2026-11-01T01:00", fold=1)

    assert event(naive, second + 3599)["event_count"] == 0
    assert event(naive, second + 3600)["event_count"] == 1
    assert event(exact, second)["event_count"] == 1
    assert event(exact, second + 3600)["event_count"] == 2


@pytest.mark.parametrize(
    ("rows", "shown", "skipped", "ignored"),
    [
        ([], None, 0, 0),
        ([{"time": "2026-03-10T10:00:00", "count": None}], None, 0, 0),
        ([{"time": "2026-03-10T10:00:00", "count": "3"}], None, 0, 1),
        (
            [
                {"time": "2026-03-10T10:00:00"},
                {"time": "2026-03-10T09:00:00", "count": 9},
            ],
            9,
            0,
            0,
        ),
        ([{"time": "2026-03-10T10:00:00", "count": n} for n in (1, 2)], 2, 0, 0),
        ([{"time": "2026-03-10", "count": 3}, {"count": 3}, 3, None], None, 4, 0),
        ([{"time": "2026-03-12T10:00:00", "count": 3}], None, 1, 0),
        ([{"time": "0001-01-01T00:00:00", "count": 3}], 3, 0, 0),
        ([{"time": "0001-01-01T00:00:00+14:00", "count": 3}], 3, 0, 0),
        ([{"time": "9999-12-31T23:00:00", "count": 3}], None, 1, 0),
        ([{"time": "2026-03-10T10:00:00" * 9, "count": 3}], None, 1, 0),
    ],
)
def test_odd_rows_of_hours(
    rows: list[Any], shown: int | None, skipped: int, ignored: int
) -> None:
    found = event_counts.parse_hours({"data": rows}, OPTIONS)

    assert values(found).get("event_count") == shown
    assert (found.skipped_rows, found.ignored_values) == (skipped, ignored)


def test_an_event_by_day_is_counted_in_the_newest_day_that_is_over() -> None:
    found = event_counts.parse_days(days("count", d10=1, d09=None, d08=8), OPTIONS)

    assert values(found) == {
        "event_count": 8,
        "event_timestamp_seconds": at("2026-03-08"),
    }


def planned(*rows: object) -> Snapshot:
    return broadcasts.parse({"scheduled_broadcasts": list(rows)}, OPTIONS)


def broadcast(name: object, at: object, **others: object) -> dict[str, object]:
    fields = {"id": f"id of {name}", "type": "Campaign", "tags": ["news"]}
    return {**fields, "name": name, "next_send_time": at, **others}


def test_each_broadcast_has_its_next_send() -> None:
    """The time of one in the zones of its users is that in the workspace's zone."""
    found = planned(
        broadcast("Late", "2026-03-12T09:00:00-04:00"),
        broadcast("Local", "2026-03-11 09:00:00", schedule_type="local_time_zones"),
        broadcast("Journey", "2026-03-11T00:00:00Z", type="Canvas"),
    )

    family = "broadcast_next_send_timestamp_seconds"
    assert values(found) == {
        f"{family}/canvas/Journey": at("2026-03-10T20:00"),
        f"{family}/campaign/Local": at("2026-03-11T09:00"),
        f"{family}/campaign/Late": at("2026-03-12T09:00"),
    }


def names(found: Snapshot) -> list[tuple[str, str]]:
    """Return the kinds and names in their order."""
    return [(one.labels[0][1], one.labels[1][1]) for one in found.samples]


def test_broadcasts_of_one_name_have_their_ids_behind_it() -> None:
    time = "2026-03-12T09:00:00Z"
    found = planned(
        broadcast("Sale", time, id="aaaabbbbcccc"),
        broadcast("Sale", time, id="ddddeeeeffff"),
        broadcast("Sale", time, id="ddddeeeegggg"),
        broadcast("Sale", time, type="Canvas"),
        broadcast("", time, id="nameless"),
        broadcast(None, time, id="unnamed"),
        broadcast("x" * 300 + "\0", time),
    )

    assert names(found) == [
        ("campaign", "Sale (aaaabbbb)"),
        ("campaign", "Sale (ddddeeee)"),
        ("campaign", "Sale (ddddeeee) #2"),
        ("campaign", "nameless"),
        ("campaign", "unnamed"),
        ("campaign", "x" * 256),
        ("canvas", "Sale"),
    ]


@pytest.mark.parametrize(
    ("minutes", "shown"), [(-61, "15:00"), (60, "17:00"), (61, "20:00"), (999, "20:00")]
)
def test_a_broadcast_that_is_listed_several_times_has_its_next_send(
    minutes: int, shown: str
) -> None:
    """By its id; after the last of its times, that one."""
    times = [f"2026-03-10T{hour}:00:00Z" for hour in ("20", "15", "17")]
    rows = [broadcast("Daily", time, id="d") for time in times]
    others = [broadcast("Daily", times[0], type="Canvas", id="d")]

    found = broadcasts.parse(
        {"scheduled_broadcasts": [*rows, *others]},
        OPTIONS._replace(now=NOON + 60 * minutes),
    )

    family = "broadcast_next_send_timestamp_seconds"
    assert values(found) == {
        f"{family}/campaign/Daily": at(f"2026-03-10T{shown}:00Z"),
        f"{family}/canvas/Daily": at(times[0]),
    }
    assert found.skipped_rows == 0


@pytest.mark.parametrize(
    "row",
    [
        *(None, [], {}, "Sale"),
        broadcast("A", None),
        broadcast("A", "soon"),
        broadcast("A", 1773262800),
        broadcast("A", "2026-03-12"),
        broadcast("A", "2026-03-12T09:00:00Z", type="News Feed"),
        broadcast("A", "2026-03-12T09:00:00Z", type=None),
        broadcast(None, "2026-03-12T09:00:00Z", id=7),
    ],
)
def test_a_broadcast_without_time_kind_or_name_is_skipped(row: object) -> None:
    found = planned(row, broadcast("B", "2026-03-12T09:00:00Z"))

    assert names(found) == [("campaign", "B")]
    assert found.skipped_rows == 1


def test_the_limit_keeps_the_broadcasts_that_are_sent_first() -> None:
    rows = [broadcast(f"N{day}", f"2026-03-{day}T09:00:00Z") for day in (15, 13, 14)]
    options = OPTIONS._replace(series_limit=samples.STATUS_SERIES + 2)

    found = broadcasts.parse({"scheduled_broadcasts": rows}, options)

    assert [name for _, name in names(found)] == ["N13", "N14"]
    assert found.dropped_series == 1


def integration(name: object, **others: object) -> dict[str, object]:
    return {
        "integration_id": f"id of {name}",
        "integration_name": name,
        "integration_status": "active",
        "contact_emails": "team@example.com",
        "last_job_status": "success",
        "last_job_start_time": "2026-03-10T15:00:00Z",
        **others,
    }


def page(*rows: object) -> dict[str, object]:
    return {"results": list(rows), "message": "success"}


def ingestion(*pages: object) -> Snapshot:
    document: object = None
    for one in pages:
        document = data_ingestion.joined(document, one)
    return data_ingestion.parse(document, OPTIONS)


def test_each_integration_of_all_pages_has_its_last_sync() -> None:
    found = ingestion(
        page(integration("Users", last_job_status="config_error"), None),
        page(integration("Catalogue", last_job_start_time=None)),
        page(integration("New", last_job_status=None, last_job_start_time=None)),
    )

    assert values(found) == {
        "data_ingestion_status_info/Catalogue/success": 1,
        "data_ingestion_last_sync_timestamp_seconds/Users": at("2026-03-10T11:00"),
        "data_ingestion_status_info/Users/config_error": 1,
    }
    assert found.skipped_rows == 1


def test_of_an_integration_nothing_is_remembered_that_is_not_exposed() -> None:
    joined = data_ingestion.joined(None, page(integration("Users", password="secret")))

    assert "example.com" not in str(joined)
    assert "secret" not in str(joined)
    assert "Users" in str(joined)


def test_integrations_of_one_name_on_two_pages_have_their_ids_behind_it() -> None:
    found = ingestion(
        page(integration("Users", integration_id="aaaabbbbcccc")),
        page(integration("Users", integration_id="ddddeeeeffff")),
    )

    labels = {dict(one.labels)["integration"] for one in found.samples}
    assert labels == {"Users (aaaabbbb)", "Users (ddddeeee)"}


def test_an_integration_on_two_pages_is_that_of_the_later_page() -> None:
    """It moved while the pages were requested."""
    found = ingestion(
        page(integration("Users", integration_id="u", last_job_status="running")),
        page(
            integration("Users", integration_id="u"), integration("", integration_id=7)
        ),
    )

    assert set(values(found)) == {
        "data_ingestion_status_info/Users/success",
        "data_ingestion_last_sync_timestamp_seconds/Users",
    }
    assert found.skipped_rows == 1


def joined_ingestion(document: object, options: ParseOptions) -> Snapshot:
    return data_ingestion.parse(data_ingestion.joined(None, document), options)


PARSERS: Mapping[str, tuple[str, Callable[[object, ParseOptions], Snapshot]]] = {
    "totals": ("data", DAU),
    "segments": ("data", segment_sizes.parse),
    "hours": ("data", event_counts.parse_hours),
    "days": ("data", event_counts.parse_days),
    "broadcasts": ("scheduled_broadcasts", broadcasts.parse),
    "ingestion": ("results", joined_ingestion),
}


@pytest.mark.parametrize(("key", "parser"), PARSERS.values(), ids=PARSERS)
def test_a_document_without_the_list_is_malformed(
    key: str, parser: Callable[[object, ParseOptions], Snapshot]
) -> None:
    odd: tuple[object, ...] = (
        None,
        [],
        "text",
        3,
        {},
        {key: None},
        {key: {}},
        {key: "x"},
        {key: 1},
    )
    for document in odd:
        with pytest.raises(MalformedSeries, match="expected"):
            parser(document, OPTIONS)
    with pytest.raises(MalformedSeries, match="message"):
        parser({key: [], "message": "no"}, OPTIONS)
    assert parser({key: []}, OPTIONS).samples == ()
