"""Days beyond one request: which windows are known, and what is remembered."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, cast

import orjson
import pytest
from exporter.model.errors import MalformedSeries
from exporter.series.older_days import (
    NOTHING_OLDER,
    OlderDays,
    dump,
    merge,
    parse,
    requests_needed,
    rows_of,
    windows_requested,
)
from hypothesis import given
from hypothesis import strategies as st

TODAY = date(2026, 11, 29)


def ago(age: int, today: date = TODAY) -> date:
    return today - timedelta(days=age)


def response(*ages: int, today: date = TODAY, value: int = 1) -> list[tuple[date, Any]]:
    return [
        (ago(age, today), {"time": str(ago(age, today)), "n": value}) for age in ages
    ]


def days_of(older: OlderDays) -> dict[date, Any]:
    return dict(rows_of(older))


def requested(older: OlderDays, request: int, today: date = TODAY) -> OlderDays:
    """Return what is remembered after a response without any row."""
    return merge(older, [], today=today, request=request, days=28)


@pytest.mark.parametrize(
    ("windows", "requests"),
    [((), 0), ((7,), 0), ((13,), 0), ((14,), 1), ((26,), 1), ((7, 28), 2), ((98,), 7)],
)
def test_the_longest_window_determines_the_number_of_requests(
    windows: tuple[int, ...], requests: int
) -> None:
    """A request is sure of 13 complete days, whichever way Braze reads its end."""
    assert requests_needed(windows) == requests


def test_a_window_is_known_once_all_its_days_were_asked_for() -> None:
    windows = (7, 13, 14, 28)

    first = requested(NOTHING_OLDER, 1)
    both = requested(first, 2)

    assert windows_requested(windows, NOTHING_OLDER, today=TODAY) == (7, 13)
    assert windows_requested(windows, first, today=TODAY) == (7, 13, 14)
    assert windows_requested(windows, both, today=TODAY) == windows
    assert windows_requested(windows, requested(NOTHING_OLDER, 2), today=TODAY) == (
        7,
        13,
    )


def test_a_new_day_needs_no_older_days_again() -> None:
    older = requested(requested(requested(NOTHING_OLDER, 0), 1), 2)

    for days in range(1, 30):
        today = TODAY + timedelta(days=days)
        assert windows_requested((28,), older, today=today) == (28,)
        older = requested(older, 0, today)


def test_a_gap_of_two_weeks_makes_long_windows_unknown() -> None:
    """The process was down: the days between were never requested."""
    older = requested(requested(requested(NOTHING_OLDER, 0), 1), 2)
    later = TODAY + timedelta(days=15)

    assert windows_requested((7, 28), older, today=later) == (7,)


def test_rows_are_remembered_until_they_are_too_old() -> None:
    newest = merge(NOTHING_OLDER, response(0, 1), today=TODAY, request=0, days=28)
    older = merge(newest, response(28, 29), today=TODAY, request=2, days=28)

    assert set(days_of(older)) == {ago(0), ago(1), ago(28)}
    next_day = merge(older, response(5), today=ago(-1), request=0, days=29)
    assert set(days_of(next_day)) == {ago(5), ago(28)}
    day_after = merge(next_day, [], today=ago(-2), request=0, days=29)
    assert set(days_of(day_after)) == set()
    assert days_of(NOTHING_OLDER) == {}


def test_a_day_that_was_not_over_is_forgotten_when_no_later_request_covers_it() -> None:
    """Its figures were those of a part of it, and no window may use them."""
    older = merge(NOTHING_OLDER, response(0, 1), today=TODAY, request=0, days=29)

    today = ago(-14)
    later = merge(older, [], today=today, request=0, days=29)

    assert set(days_of(later)) == {ago(1)}
    assert windows_requested((13, 14), later, today=today) == (13,)


def test_days_after_the_present_one_count_as_not_requested() -> None:
    """They were requested by a clock that was ahead."""
    older = requested(NOTHING_OLDER, 0, ago(-30))

    older = requested(older, 0)

    assert max(older.requested) == ago(1)


def test_newer_days_in_a_response_of_older_ones_are_left_out() -> None:
    """A response that was cached on the way may have any days."""
    newest = merge(NOTHING_OLDER, response(0, 1), today=TODAY, request=0, days=28)

    older = merge(
        newest, response(-1, 0, 1, 11, 12, value=9), today=TODAY, request=1, days=28
    )

    assert {day: row["n"] for day, row in days_of(older).items()} == {
        ago(0): 1,
        ago(1): 1,
        ago(12): 9,
    }


def test_days_of_the_newest_response_are_not_replaced_by_older_ones() -> None:
    """The newest response may come again with the same bytes and is not parsed then."""
    newest = merge(NOTHING_OLDER, response(0, 13), today=TODAY, request=0, days=28)

    older = merge(newest, response(13, 14, value=9), today=TODAY, request=1, days=28)

    assert {day: row["n"] for day, row in days_of(older).items()} == {
        ago(0): 1,
        ago(13): 1,
        ago(14): 9,
    }


def test_packed_rows_that_are_too_long_together_are_refused() -> None:
    """A state file is not trusted, and its rows are inflated together.

    Of a canvas with more the newest days are kept, and the others requested again.
    """
    text = "x" * (9 * 1024 * 1024)
    rows: list[tuple[date, Any]] = [(ago(age), {"text": text}) for age in (1, 2, 3, 4)]
    older = merge(NOTHING_OLDER, rows, today=TODAY, request=0, days=28)
    packed = dump(older)
    assert packed is not None

    kept = parse(packed)
    assert set(kept.rows) == {ago(1), ago(2), ago(3)}
    assert kept.requested == {ago(1), ago(2), ago(3)}
    assert dump(kept) == packed

    fourth = dump(older._replace(rows={ago(4): older.rows[ago(4)]}))
    assert fourth is not None
    more = {**cast("Any", packed["rows"]), **cast("Any", fourth["rows"])}
    with pytest.raises(ValueError, match="rows of at most 32 MiB"):
        parse({**packed, "rows": more})


def test_a_restated_day_replaces_the_remembered_one() -> None:
    older = merge(NOTHING_OLDER, response(20), today=TODAY, request=1, days=28)

    again = merge(older, response(20, value=2), today=TODAY, request=1, days=28)

    assert days_of(again)[ago(20)]["n"] == 2


def test_a_row_nested_too_deeply_is_malformed() -> None:
    """The decoder of responses accepts 1024 levels."""
    row = {"time": str(ago(5)), "more": orjson.loads("[" * 1015 + "]" * 1015)}

    with pytest.raises(MalformedSeries, match="nested too deeply"):
        merge(NOTHING_OLDER, [(ago(5), row)], today=TODAY, request=0, days=28)


@given(
    st.text(st.characters()),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_any_row_is_remembered_as_it_is(text: str, whole: int, number: float) -> None:
    """The decoder of responses returns no other numbers."""
    row = {"time": str(ago(5)), text: [text, whole, number, None]}

    older = merge(NOTHING_OLDER, [(ago(5), row)], today=TODAY, request=0, days=28)

    assert days_of(older) == {ago(5): row}
    assert parse(dump(older)) == older
