"""Slots and stretched intervals."""

from uuid import UUID

import pytest
from exporter.polling import slots
from hypothesis import example, given
from hypothesis import strategies as st

DAY = 86400.0

phases = st.floats(0, 1, exclude_max=True)
intervals = st.floats(1e-3, 7 * DAY)
instants = st.floats(0, 4e9)


def tolerance(interval_seconds: float) -> float:
    """Return the rounding error: slots are floats far from the epoch."""
    return 1e-5 + interval_seconds * 1e-6


def test_a_phase_is_fixed_by_the_id() -> None:
    found = slots.phase("3bbc4555-8fa0-4c9b-a5c0-4505edf3e064")

    assert found == pytest.approx(0.493099, abs=1e-6)


@given(object_id=st.text(st.characters()))
def test_any_text_has_a_phase(object_id: str) -> None:
    assert 0 <= slots.phase(object_id) < 1


def test_phases_are_spread_evenly() -> None:
    bins = [0] * 100

    for number in range(10_000):
        bins[int(slots.phase(str(UUID(int=number))) * 100)] += 1

    assert min(bins) > 50
    assert max(bins) < 150


@example(phase=0.7, interval=60.0, after=(8 + 0.7) * 60, wall_offset=0.0)
@example(phase=0.9, interval=300.0, after=(1 + 0.9) * 300, wall_offset=0.0)
@example(phase=0.7, interval=7.0, after=(8 + 0.7) * 7, wall_offset=0.0)
@given(
    phase=phases,
    interval=intervals,
    after=instants,
    wall_offset=st.just(0.0) | instants,
)
def test_slots_keep_their_phase_by_the_wall_clock(
    phase: float, interval: float, after: float, wall_offset: float
) -> None:
    slot = slots.next_slot(
        phase=phase, interval_seconds=interval, after=after, wall_offset=wall_offset
    )

    assert after < slot <= after + interval + 2 * tolerance(interval)
    distance = slot + wall_offset - phase * interval
    error = abs(distance - round(distance / interval) * interval)
    assert error <= 2 * tolerance(interval)


@example(phase=0.0, interval=335545.20099189994, due_at=0.0, late=24.0)
@given(phase=phases, interval=intervals, due_at=instants, late=st.floats(0, 100))
def test_the_following_slot_is_neither_too_early_nor_too_late(
    phase: float, interval: float, due_at: float, late: float
) -> None:
    now = due_at + late * interval

    slot = slots.slot_following(
        due_at=due_at,
        began_at=due_at,
        now=now,
        phase=phase,
        interval_seconds=interval,
    )

    assert slot >= due_at + interval / 2 - tolerance(interval)
    assert slot <= due_at + interval * 1.5 + tolerance(interval) or slot <= now
    assert slot > now - interval - tolerance(interval)


@pytest.mark.parametrize(
    ("due_at", "began_at", "now", "slot"),
    [
        # Of ten slots missed during a poll the latest is polled at once,
        (905.0, 905.0, 1010.0, 1005.0),
        # and after it the next one to come.
        (1005.0, 1010.0, 1010.0, 1015.0),
        # Slots that were missed before the poll began are skipped.
        (905.0, 1010.0, 1011.0, 1015.0),
        # The first round begins at any time: a slot soon after it is skipped,
        (101.0, 101.0, 102.0, 115.0),
        # one more than half an interval later is not.
        (99.0, 99.0, 102.0, 105.0),
    ],
)
def test_missed_slots_are_polled_once(
    due_at: float, began_at: float, now: float, slot: float
) -> None:
    found = slots.slot_following(
        due_at=due_at, began_at=began_at, now=now, phase=0.5, interval_seconds=10.0
    )

    assert found == slot


@pytest.mark.parametrize(
    ("interval", "slow"), [(60, 600), (300, 3000), (1800, 3600), (7200, 7200)]
)
def test_a_refused_object_is_polled_slowly(interval: float, slow: float) -> None:
    assert slots.slow_interval(interval) == slow
