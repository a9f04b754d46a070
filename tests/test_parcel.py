"""A snapshot in little room."""

from datetime import date, timedelta
from zoneinfo import ZoneInfo

from exporter.data_series import Reading, parse
from exporter.model import Selection, Snapshot
from exporter.parcel import pack


def snapshot(*, days: int = 30, sent: int = 0) -> Snapshot:
    """Return the snapshot of an email campaign that sent so much on each day."""
    first = date(2026, 2, 1)
    rows = [
        {
            "time": (first + timedelta(day)).isoformat(),
            "messages": {"email": [{"variation_api_id": "v", "sent": sent, "x": "no"}]},
        }
        for day in range(days)
    ]
    reading = Reading(
        today=date(2026, 3, 2),
        timezone=ZoneInfo("America/New_York"),
        windows=(7,),
        channels=Selection(),
        metrics=Selection(),
        series_limit=5000,
    )
    return parse({"message": "success", "data": rows}, reading)


def test_what_was_packed_comes_out_again() -> None:
    """Days, sums, history and what was first read: all of it."""
    packed = snapshot(sent=5)

    assert pack(packed).open() == packed


def test_parcels_of_equal_snapshots_are_equal() -> None:
    """However they came about."""
    one = pack(snapshot(sent=5))

    assert one == pack(one.open())
    assert one != pack(snapshot(sent=6))
    assert one != one.open()


def test_what_is_asked_for_often_is_seen_without_opening() -> None:
    """The counts of every scrape, and whether the campaign is idle."""
    busy, quiet = snapshot(sent=5), snapshot()

    parcel = pack(busy)

    assert parcel.ignored_values == busy.ignored_values == 30
    assert parcel.skipped_rows == busy.skipped_rows
    assert parcel.dropped_series == busy.dropped_series
    assert parcel.is_active == busy.is_active
    assert (parcel.is_quiet, pack(quiet).is_quiet) == (busy.is_quiet, quiet.is_quiet)
    assert pack(quiet).is_quiet
