"""Revisions: by how much a day changed since its first reading."""

from __future__ import annotations

import math
from datetime import date
from fractions import Fraction

import pytest
from exporter.model.snapshot import (
    NO_FIGURES,
    VARIATION,
    WHOLE,
    Day,
    Part,
    Stats,
)
from exporter.series.revisions import carry_first_reading, revision
from hypothesis import given
from hypothesis import strategies as st

MONDAY, TUESDAY, TODAY = date(2026, 8, 31), date(2026, 9, 1), date(2026, 9, 2)


def variation(channel: str, name: str, id_: str = "") -> Part:
    return Part(VARIATION, channel, name, id_)


WELCOME = variation("email", "Welcome", "id-1")


def day(on: date = TUESDAY, *entries: tuple[Part, Stats], **overall: float) -> Day:
    return Day(on, 0.0, (*entries, *([(WHOLE, overall)] if overall else [])))


def test_the_first_reading_of_a_day_is_carried() -> None:
    first, later = day(revenue=1), day(revenue=2)

    assert carry_first_reading(first, None, TODAY) is first
    assert carry_first_reading(later, first, TODAY) is first
    assert carry_first_reading(first, day(MONDAY), TODAY) is first


def test_a_response_without_the_day_keeps_its_first_reading() -> None:
    first = day()

    assert carry_first_reading(day(MONDAY), first, TODAY) is first
    assert carry_first_reading(None, first, TODAY) is first
    assert revision(first, day(MONDAY)) == revision(first, None) == NO_FIGURES


def test_a_first_reading_of_a_day_that_is_not_over_is_dropped() -> None:
    assert carry_first_reading(day(), day(TODAY), TODAY) == day()


def test_a_revision_is_the_difference_to_the_first_reading() -> None:
    first = day(TUESDAY, (WELCOME, {"sent": 10, "bounces": 3, "opens": 1}), x=1, y=2)
    last = day(TUESDAY, (WELCOME, {"sent": 10, "bounces": 5, "new": 1}), x=0, z=2)

    found = revision(first, last)

    assert found == ((WELCOME, {"sent": 0, "bounces": 2}), (WHOLE, {"x": -1}))


def test_a_renamed_variation_is_matched_by_its_id() -> None:
    """Without an id, or with an id that is used twice, it is matched by its label."""
    renamed = variation("email", "Hello", "id-1")
    nameless, twice = variation("sms", "default"), variation("sms", "A", "id-2")
    twin = variation("sms", "A #2", "id-2")
    others = (variation("sms", "B", "id-2"), variation("push", "default"))
    before = [(one, {"sent": 1}) for one in (WELCOME, nameless, twice)]
    after = [(one, {"sent": 5}) for one in (renamed, nameless, twice, twin, *others)]

    found = revision(day(TUESDAY, *before, (twin, {"sent": 2})), day(TUESDAY, *after))

    moved = {part.name: stats["sent"] for part, stats in found}
    assert moved == {"Hello": 4, "default": 4, "A": 4, "A #2": 3}


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (12.1, 12.3, 0.2),
        (0.1, 0, -0.1),
        (10**300, 10**300 + 1, 1),
        (-(10**308), 10**308, None),
        (-1.7e308, 1.7e308, None),
        (1e-320, 1e-320, 0),
    ],
)
def test_differences_are_computed_in_decimals(
    before: float, now: float, expected: float | None
) -> None:
    found = dict(revision(day(x=before), day(x=now)))

    assert found.get(WHOLE, {}).get("x") == expected


@given(*[st.integers(-(10**307), 10**307) | st.floats(allow_nan=False)] * 2)
def test_a_difference_is_finite_and_close_to_exact(before: float, now: float) -> None:
    if not (math.isfinite(before) and math.isfinite(now)):
        return

    move = dict(revision(day(x=before), day(x=now))).get(WHOLE, {}).get("x")

    if move is not None:
        exact = Fraction(now) - Fraction(before)
        tolerance = max(abs(Fraction(before)), abs(Fraction(now))) / 10**14
        assert abs(Fraction(move) - exact) <= tolerance
        assert math.isfinite(move)
