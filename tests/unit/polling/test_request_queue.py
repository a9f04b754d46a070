"""The queue of a workspace's polls: their order and the budget."""

from __future__ import annotations

import pytest
from exporter.braze.rate_limit import Budget
from exporter.braze.session import CAMPAIGN_ANALYTICS
from exporter.model.rate_limit_headers import RateLimitHeaders

from tests.support.fake_clock import NOW
from tests.support.queue_world import EMPTY, FULL, QueueWorld, poll_of, throttled


def test_a_poll_starts_at_once_if_the_budget_allows_it() -> None:
    """Nothing is scheduled."""
    world = QueueWorld("ab")

    assert world.start("a")
    assert world.history == []


def test_a_poll_that_may_not_start_yet_is_scheduled() -> None:
    """For the instant of the next start; it has waited then."""
    world = QueueWorld("ab")
    world.start("a")

    assert not world.start("b", at=0.25)
    assert world.scheduled == [poll_of("b")._replace(at=NOW + 1.0, has_waited=True)]
    assert world.start("b", at=1)


def test_polls_start_in_the_order_of_arrival() -> None:
    """Although the budget would allow a later one to start."""
    world = QueueWorld("abc")
    world.start_all("ab")

    assert not world.start("c", at=1.5)
    assert world.start("b", at=1.5)
    assert [object_id for object_id, _ in world.history] == ["b", "c"]


def test_a_first_round_is_enqueued_at_once() -> None:
    """Only the first is scheduled; each start schedules the next one."""
    world = QueueWorld("abc", spacing=2.0)

    world.queue.enqueue(tuple(map(poll_of, "cabx")), now=NOW)
    for at in (0.0, 2.0, 4.0):
        assert world.start(world.last[0], at=at)

    assert world.history == [("c", 0.0), ("a", 2.0), ("b", 4.0)]


def test_an_object_is_never_in_flight_twice() -> None:
    """A second job of it starts nothing, waits for nothing and pays for nothing."""
    world = QueueWorld("ab", spacing=0.0)
    world.start("a")

    assert not world.start("a", at=5)
    assert world.history == []
    assert world.in_flight == 1


def test_an_object_waits_once() -> None:
    """Whether it has a second job or the head of the queue runs too early."""
    world = QueueWorld("abc")
    world.start_all("abcc")
    assert not world.start("b", at=0.5)
    assert world.history == [("b", 1.0)] * 2

    world.start("b", at=1)
    world.start("c", at=2)
    world.finish("c", at=3)

    assert world.history[2:] == [("c", 2.0)]


def test_a_full_bucket_waits_for_a_response() -> None:
    """The end of a request schedules the next poll."""
    world = QueueWorld("abc", spacing=0.0, concurrency=2)
    world.start_all("abc")
    assert world.history == []

    world.finish("a", at=3)

    assert world.history == [("c", 3.0)]


def test_a_bucket_filled_by_another_component_is_checked_again() -> None:
    """Its response does not schedule the polls of this queue."""
    world = QueueWorld("a", spacing=0.0, concurrency=1)
    other = world.beside("x", bucket=CAMPAIGN_ANALYTICS)
    assert other.start("x")

    assert not world.start("a", at=2)
    assert world.last == ("a", 3.0)
    other.finish("x", at=2.5)

    assert world.start("a", at=3)


def test_a_poll_is_scheduled_earlier_when_a_new_window_has_room() -> None:
    """It waited for the reset of the previous one."""
    world = QueueWorld("abc", spacing=0.0)
    world.start_all("ab")
    world.finish("a", EMPTY)
    world.start("c")

    world.finish("b", FULL._replace(reset_at=NOW + 120), at=30)

    assert world.history == [("c", 61.0), ("c", 30.0)]


def test_a_poll_that_is_too_late_is_dropped() -> None:
    """The next one is scheduled; one that did not wait takes no place."""
    world = QueueWorld("abcd")
    world.start_all("abc")

    world.queue.drop(poll_of("d"), now=world.now(50))
    assert world.history == [("b", 1.0)]
    world.queue.drop(world.scheduled[0], now=world.now(50))

    assert world.last == ("c", 50.0)


def test_polls_wait_until_the_bucket_opens_after_429() -> None:
    """With half of the jitter."""
    world = QueueWorld("ab", spacing=0.0)
    world.start("a")

    world.finish("a", throttled(EMPTY))
    world.start("b")

    assert world.last == ("b", 62.5)


def test_a_crashed_poll_is_not_in_flight() -> None:
    """The next one is scheduled."""
    world = QueueWorld("ab", spacing=0.0, concurrency=1)
    world.start_all("ab")

    world.session.release(CAMPAIGN_ANALYTICS, now=world.now(2))
    world.queue.finish(poll_of("a"), is_key_accepted=False, now=world.now(2))

    assert world.last == ("b", 2.0)
    assert world.start("b", at=2)
    assert world.start("a", at=2) is False


def test_an_object_is_rescheduled_unless_the_queue_does_it() -> None:
    """Not if it waits, is in flight, probes or has left."""
    world = QueueWorld("abcd", spacing=0.0)
    world.start_all("ab")
    world.finish_refused("b")
    world.start("d", at=1)
    world.scheduled.clear()
    assert world.queue.is_probe("c")

    for object_id in "abcdx":
        world.queue.reschedule(poll_of(object_id, at=NOW + 300))

    assert world.history == [("b", 300.0)]


def test_a_reconfigured_queue_keeps_positions_and_requests_in_flight() -> None:
    """Under the new bounds; objects that left do not start or wait."""
    world = QueueWorld("abcd")
    world.start_all("abcd")
    world.scheduled.clear()

    bounds = Budget(4.0, 0.2, 4)
    world.session.reconfigure({CAMPAIGN_ANALYTICS: bounds})
    world.queue.reconfigure(tuple("acde"), now=world.now(0.5))
    world.queue.enqueue((poll_of("e"),), now=world.now(0.5))

    assert world.last == ("c", 1.0)
    order = []
    for at in (1, 5, 9):
        order.append(world.last[0])
        assert world.start(world.last[0], at=at)
    assert order == ["c", "d", "e"]
    assert world.in_flight == 4
    assert not world.start("b", at=20)


def test_an_object_that_is_removed_and_added_while_in_flight_does_not_wait() -> None:
    """Objects behind it are scheduled."""
    world = QueueWorld("ab")
    world.start("a")
    for ids in ("b", "ab"):
        world.queue.reconfigure(tuple(ids), now=NOW)

    world.queue.enqueue((poll_of("a"), poll_of("b")), now=NOW)

    assert world.history == [("b", 1.0)]


def test_a_closed_queue_schedules_nothing() -> None:
    """Requests in flight are settled, even if they are refused."""
    world = QueueWorld("abc")
    world.start_all("abc")
    world.scheduled.clear()

    world.queue.close()
    world.finish_refused("a", at=2)
    world.queue.reschedule(poll_of("c"))
    world.queue.schedule_again(now=world.now(3))

    assert world.history == []
    assert world.in_flight == 0
    assert world.queue.pause is None
    assert not world.start("b", at=9)


@pytest.mark.parametrize(
    ("is_paused", "before", "after"), [(False, 3001, 10), (True, 3001, 60)]
)
def test_resets_are_not_waited_for_after_the_wall_clock_was_set(
    *, is_paused: bool, before: float, after: float
) -> None:
    """Spacing and the delay of probes hold as before."""
    world = QueueWorld("abc", spacing=10.0)
    empty = RateLimitHeaders(100, 0, NOW + 3000)
    world.start("a")
    if is_paused:
        world.finish_refused("a", empty)
    else:
        world.finish("a", empty)
        world.start("b", at=2)
    assert world.last == ("b", before)

    world.now(3)
    world.session.discard_windows()
    world.queue.schedule_again(now=world.now(3))

    assert world.last == ("b", after)
    assert not world.start("b", at=after - 1)
    assert world.start("b", at=after)


def test_a_state_is_of_one_instant() -> None:
    """Requests in flight, positions, the next start and the pause."""
    world = QueueWorld("abc", spacing=2.0)
    world.queue.enqueue(tuple(map(poll_of, "abc")), now=NOW)
    world.start("a")

    state = world.queue.state(now=NOW)

    assert state.in_flight == {"a"}
    assert state.positions == {"b": 0, "c": 1}
    assert state.earliest == NOW + 2
    assert state.budget.bucket.in_flight == 1
    assert state.endpoint == "campaigns/data_series"
    assert state.pause is None


def test_a_throttled_bucket_does_not_stop_another_one() -> None:
    """Although both are of one session."""
    world = QueueWorld("ab", spacing=0.0)
    other = world.beside("xy")
    world.start("a")
    world.finish("a", throttled(retry_after=900.0))

    assert not world.start("b", at=1)
    assert other.start("x", at=1)
    assert world.last == ("b", 902.5)
