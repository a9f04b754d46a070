"""Who else is there, and what each of them is to poll."""

from __future__ import annotations

from fractions import Fraction

import pytest
from exporter.polling.sharding import PARTITIONS
from exporter.sharing.membership import Roll, wanted, windows, wishes
from hypothesis import given, settings
from hypothesis import strategies as st

ALL = frozenset(range(PARTITIONS))
NONE: frozenset[int] = frozenset()


@settings(deadline=None)
@given(live=st.sets(st.text(min_size=1), min_size=1, max_size=8))
def test_every_partition_is_wanted_by_exactly_one(live: set[str]) -> None:
    """Whoever is there."""
    members = tuple(sorted(live))

    parts = [wanted(one, members) for one in members]

    assert sorted(number for part in parts for number in part) == sorted(ALL)


def test_parts_are_about_equal_and_stay() -> None:
    """One that leaves takes only its own partitions along."""
    three, two = ("a", "b", "c"), ("a", "b")

    assert all(60 < len(wanted(one, three)) < 110 for one in three)
    for one in two:
        assert wanted(one, three) < wanted(one, two)


def test_whoever_is_not_there_wants_nothing() -> None:
    """Nor does anybody before he knows who is there."""
    assert wanted("a", ("b",)) == NONE
    assert wanted("a", ()) == NONE


def test_wishes_tell_of_each_partition() -> None:
    """Claim what is wanted; hold what is busy, release what is not."""
    found = wishes(
        wanted=frozenset({0, 1}),
        leased=frozenset({1, 2, 3}),
        busy=frozenset({1, 2}),
        is_settled=True,
    )

    assert found == "wwhr" + "-" * (PARTITIONS - 4)


def test_a_newcomer_claims_nothing_yet() -> None:
    """It only keeps what it has."""
    found = wishes(wanted=ALL, leased=frozenset({0}), busy=NONE, is_settled=False)

    assert found == "h" * PARTITIONS


@pytest.mark.parametrize(
    ("roll", "share"),
    [
        (Roll(), Fraction(1)),
        (Roll(live=("a",)), Fraction(1)),
        (Roll(live=("a", "b"), vanished=1), Fraction(2, 3)),
        (Roll(live=("a", "b"), alone=1), Fraction(1, 2)),
        (Roll(live=("a",), alone=1), Fraction(1)),
    ],
)
def test_the_part_of_others_is_left_to_them(roll: Roll, share: Fraction) -> None:
    """Those that are cut off, or alone still, ask Braze without a word."""
    assert roll.share() == share


@pytest.mark.parametrize(
    ("rate", "share", "expected"),
    [
        (60, Fraction(1), ((1, 1),)),
        (120, Fraction(1), ((2, 1),)),
        (90, Fraction(1), ((1, 1), (1, 2))),
        (61, Fraction(1), ((1, 1), (1, 60))),
        (6000, Fraction(1), ((100, 1),)),
        (600, Fraction(2, 3), ((6, 1), (1, 2), (1, 6))),
        (7, Fraction(1), ((1, 9), (1, 180))),
        (0.5, Fraction(1), ((1, 120),)),
        (0.1, Fraction(1, 2), ((1, 1200),)),
    ],
)
def test_a_ceiling_is_so_many_in_whole_seconds(
    rate: float, share: Fraction, expected: tuple[tuple[int, int], ...]
) -> None:
    """Of several windows if need be, so that none holds many."""
    assert windows(rate, share) == expected


@settings(deadline=None)
@given(
    rate=st.floats(0.1, 50_000),
    share=st.fractions(Fraction(1, 10), 1, max_denominator=50),
)
def test_windows_never_give_more_than_the_ceiling(rate: float, share: Fraction) -> None:
    """Not much less either, and never many more at once than in a second."""
    found = windows(rate, share)

    allowed = Fraction(rate) * share / 60
    given = sum(Fraction(amount, seconds) for amount, seconds in found)
    assert all(amount >= 1 for amount, _ in found)
    assert allowed * Fraction(995, 1000) <= given <= allowed
    assert sum(amount for amount, _ in found) <= allowed + 5
    assert len({seconds for _, seconds in found}) == len(found)
