"""Slots, stretched intervals, tries and probes."""

from uuid import UUID

import pytest
from exporter.polling import slots
from hypothesis import example, given
from hypothesis import strategies as st

DAY = 86400.0

phases = st.floats(0, 1, exclude_max=True)
intervals = st.floats(1e-3, 7 * DAY)
instants = st.floats(0, 4e9)
fractions = st.floats(0, 1, exclude_max=True)


def tolerance(interval_seconds: float) -> float:
    """Return what rounding may cost: slots are floats far from the epoch."""
    return 1e-5 + interval_seconds * 1e-6


def test_a_phase_is_fixed_by_the_id() -> None:
    """Every exporter, today or tomorrow, finds the same place in the interval."""
    found = slots.phase("3bbc4555-8fa0-4c9b-a5c0-4505edf3e064")

    assert found == pytest.approx(0.493099, abs=1e-6)


@given(campaign_id=st.text(st.characters()))
def test_any_text_has_a_phase(campaign_id: str) -> None:
    """An id may hold anything, lone surrogates too, and lands in [0, 1)."""
    assert 0 <= slots.phase(campaign_id) < 1


def test_phases_are_spread_evenly() -> None:
    """Of 10,000 campaigns each hundredth of the interval gets about a hundred."""
    bins = [0] * 100

    for number in range(10_000):
        bins[int(slots.phase(str(UUID(int=number))) * 100)] += 1

    assert min(bins) > 50
    assert max(bins) < 150


@given(phase=phases, interval=intervals, after=instants)
def test_the_next_slot_is_later_and_near(
    phase: float, interval: float, after: float
) -> None:
    """It lies after the instant and at most an interval after it."""
    slot = slots.next_slot(phase=phase, interval_seconds=interval, after=after)

    assert after < slot <= after + interval + tolerance(interval)


@given(phase=phases, interval=intervals, after=instants)
def test_slots_keep_their_phase(phase: float, interval: float, after: float) -> None:
    """Every slot is a whole number of intervals from the epoch, plus the phase."""
    slot = slots.next_slot(phase=phase, interval_seconds=interval, after=after)

    distance = slot - phase * interval
    error = abs(distance - round(distance / interval) * interval)
    assert error <= tolerance(interval)


@given(phase=phases, interval=intervals, after=instants)
def test_the_slot_after_a_slot_is_an_interval_later(
    phase: float, interval: float, after: float
) -> None:
    """No slot is skipped and none is given twice, however the numbers round."""
    first = slots.next_slot(phase=phase, interval_seconds=interval, after=after)
    second = slots.next_slot(
        phase=phase, interval_seconds=interval, after=first + interval / 2
    )

    assert second - first == pytest.approx(interval, abs=tolerance(interval))


@given(phase=phases, interval=intervals, after=instants, set_by=instants)
def test_slots_stand_on_the_wall_clock(
    phase: float, interval: float, after: float, set_by: float
) -> None:
    """Where it is set by so much, slots are those of an exporter that starts now."""
    slot = slots.next_slot(
        phase=phase, interval_seconds=interval, after=after, clock_set_by=set_by
    )

    distance = slot + set_by - phase * interval
    error = abs(distance - round(distance / interval) * interval)
    assert error <= 2 * tolerance(interval)
    assert after < slot <= after + interval + 2 * tolerance(interval)


@pytest.mark.parametrize(
    ("interval", "phase", "number"),
    [(60.0, 0.7, 8), (300.0, 0.9, 1), (7.0, 0.7, 8), (300.0, 0.5, 4)],
)
def test_the_slot_after_a_slot_is_not_itself(
    interval: float, phase: float, number: int
) -> None:
    """A slot is not later than itself, also where the quotient rounds below it."""
    slot = (number + phase) * interval

    following = slots.next_slot(phase=phase, interval_seconds=interval, after=slot)

    assert following == pytest.approx(slot + interval)


@given(
    phase=phases,
    interval=intervals,
    due_at=instants,
    late=st.floats(0, 100),
)
def test_the_following_slot_is_never_too_early(
    phase: float, interval: float, due_at: float, late: float
) -> None:
    """However late a poll ends, half an interval lies between two of a campaign."""
    now = due_at + late * interval

    slot = slots.slot_following(
        due_at=due_at,
        began_at=due_at,
        now=now,
        phase=phase,
        interval_seconds=interval,
    )

    assert slot >= due_at + interval / 2 - tolerance(interval)


@example(phase=0.0, interval=335545.20099189994, due_at=0.0, late=24.0)
@given(phase=phases, interval=intervals, due_at=instants, late=st.floats(0, 100))
def test_the_following_slot_skips_no_more_than_was_missed(
    phase: float, interval: float, due_at: float, late: float
) -> None:
    """It is the first one still to come, or else the latest of those missed."""
    now = due_at + late * interval

    slot = slots.slot_following(
        due_at=due_at,
        began_at=due_at,
        now=now,
        phase=phase,
        interval_seconds=interval,
    )

    assert slot <= due_at + interval * 1.5 + tolerance(interval) or slot <= now
    assert slot > now - interval - tolerance(interval)


def test_missed_slots_are_served_once() -> None:
    """After a poll of ten intervals one runs at once, the next one in its slot."""
    now = 1010.0

    missed = slots.slot_following(
        due_at=900.0, began_at=900.0, now=now, phase=0.5, interval_seconds=10.0
    )
    following = slots.slot_following(
        due_at=missed, began_at=now, now=now, phase=0.5, interval_seconds=10.0
    )

    assert (missed, following) == (1005.0, 1015.0)


def test_a_poll_that_begins_late_serves_what_was_missed_before() -> None:
    """Ten intervals in the line are one poll, followed by the next slot to come."""
    slot = slots.slot_following(
        due_at=905.0, began_at=1010.0, now=1011.0, phase=0.5, interval_seconds=10.0
    )

    assert slot == 1015.0


def test_a_first_poll_just_before_a_slot_is_not_repeated_in_it() -> None:
    """A first round begins anywhere; a slot less than half an interval on is passed."""
    soon, later = (
        slots.slot_following(
            due_at=due_at, began_at=due_at, now=97.0, phase=0, interval_seconds=10
        )
        for due_at in (96.0, 94.0)
    )

    assert (soon, later) == (110.0, 100.0)


@pytest.mark.parametrize(
    ("wanted", "ceiling", "factor"), [(0, 120, 1), (120, 120, 1), (300, 120, 2.5)]
)
def test_intervals_stretch_until_the_wish_fits(
    wanted: float, ceiling: float, factor: float
) -> None:
    """What fits is left as it is; what does not is stretched by the exact ratio."""
    stretch = slots.stretch(wanted_per_minute=wanted, ceiling_per_minute=ceiling)

    assert stretch == factor


@pytest.mark.parametrize(
    ("interval", "slow"), [(60, 600), (300, 3000), (1800, 3600), (7200, 7200)]
)
def test_a_refused_campaign_is_polled_slowly(interval: float, slow: float) -> None:
    """Ten times as rarely, but every hour, and never more often than wanted."""
    assert slots.slow_interval(interval) == slow


@given(
    tries=st.integers(1, 10),
    interval=intervals,
    first=instants,
    spent=st.floats(0, 100),
    fraction=fractions,
)
def test_tries_are_bounded(
    *, tries: int, interval: float, first: float, spent: float, fraction: float
) -> None:
    """A sixth try never comes; the others begin within half an interval, or 60 s."""
    at = slots.next_try(
        tries=tries,
        first_try_at=first,
        now=first + spent,
        interval_seconds=interval,
        fraction=fraction,
    )

    assert at is None or (
        tries < 5 and first + spent <= at <= first + min(interval / 2, 60)
    )


@pytest.mark.parametrize(("tries", "longest"), [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0)])
def test_backoff_grows_with_full_jitter(tries: int, longest: float) -> None:
    """The wait is drawn from 0 up to a length that doubles with each try."""
    waits = [
        slots.next_try(
            tries=tries,
            first_try_at=0.0,
            now=0.0,
            interval_seconds=3600.0,
            fraction=fraction,
        )
        for fraction in (0.0, 0.5, 1.0)
    ]

    assert waits == [0.0, longest / 2, longest]


def test_a_poll_is_over_after_its_window() -> None:
    """The last instant of the window is in it, the one after it is not."""
    short = [
        slots.is_over(first_try_at=100.0, now=now, interval_seconds=60.0)
        for now in (130.0, 130.1)
    ]
    long = [
        slots.is_over(first_try_at=100.0, now=now, interval_seconds=3600.0)
        for now in (160.0, 160.1)
    ]

    assert short == long == [False, True]


def test_probes_become_rarer() -> None:
    """After 1, 2, 4 and 8 minutes, then every 15, however long it takes."""
    minutes = [slots.probe_delay(failures) / 60 for failures in range(1, 7)]

    assert minutes == [1, 2, 4, 8, 15, 15]
    assert slots.probe_delay(10_000) == 15 * 60
