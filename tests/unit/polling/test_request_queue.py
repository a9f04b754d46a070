"""The queue of a workspace's polls: their order and the budget."""

from __future__ import annotations

import pytest
from exporter.braze.rate_limit import Budget
from exporter.braze.session import CAMPAIGN_ANALYTICS
from exporter.model.rate_limit_headers import RateLimitHeaders

from tests.support.fake_clock import NOW
from tests.support.queue_world import EMPTY, FULL, QueueWorld, poll_of, throttled


def test_a_poll_that_may_not_start_yet_is_scheduled_for_the_next_start() -> None:
    world = QueueWorld("ab")
    assert world.start("a")
    assert world.history == []

    assert not world.start("b", at=0.25)
    assert world.scheduled == [poll_of("b")._replace(at=NOW + 1.0, has_waited=True)]
    assert world.start("b", at=1)


def test_only_the_first_of_many_polls_is_scheduled() -> None:
    world = QueueWorld("abc", spacing=2.0)

    world.queue.enqueue(tuple(map(poll_of, "cabx")), now=NOW)
    for at in (0.0, 2.0, 4.0):
        assert world.start(world.last[0], at=at)

    assert world.history == [("c", 0.0), ("a", 2.0), ("b", 4.0)]


def test_a_poll_is_scheduled_earlier_when_a_new_window_has_room() -> None:
    world = QueueWorld("abc", spacing=0.0)
    world.start_all("ab")
    world.finish("a", EMPTY)
    world.start("c")

    world.finish("b", FULL._replace(reset_at=NOW + 120), at=30)

    assert world.history == [("c", 61.0), ("c", 30.0)]


def test_a_full_bucket_waits_for_a_response() -> None:
    world = QueueWorld("abc", spacing=0.0, concurrency=2)
    world.start_all("abc")
    assert world.history == []

    world.finish("a", at=3)

    assert world.history == [("c", 3.0)]


def test_a_poll_that_is_too_late_is_dropped() -> None:
    world = QueueWorld("abcd")
    world.start_all("abc")

    world.queue.drop(poll_of("d"), now=world.now(50))
    assert world.history == [("b", 1.0)]
    world.queue.drop(world.scheduled[0], now=world.now(50))

    assert world.last == ("c", 50.0)


def test_an_object_is_rescheduled_unless_it_waits_is_in_flight_probes_or_has_left() -> (
    None
):
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
    world = QueueWorld("abcd")
    world.start_all("abcd")
    world.scheduled.clear()

    bounds = Budget(4.0, 0.2, 4)
    world.session.reconfigure({CAMPAIGN_ANALYTICS: bounds})
    world.queue.reconfigure(tuple("acde"), now=world.now(0.5))
    world.queue.enqueue((poll_of("e"),), now=world.now(0.5))

    order = []
    assert world.last == ("c", 1.0)
    for at in (1, 5, 9):
        order.append(world.last[0])
        assert world.start(world.last[0], at=at)
    assert order == ["c", "d", "e"]
    assert world.in_flight == 4
    assert not world.start("b", at=20)


def test_an_object_that_is_removed_and_added_while_in_flight_does_not_wait() -> None:
    world = QueueWorld("ab")
    world.start("a")
    for ids in ("b", "ab"):
        world.queue.reconfigure(tuple(ids), now=NOW)

    world.queue.enqueue((poll_of("a"), poll_of("b")), now=NOW)

    assert world.history == [("b", 1.0)]


def test_a_queue_without_objects_settles_requests_and_schedules_nothing() -> None:
    world = QueueWorld("abc")
    world.start_all("abc")
    world.scheduled.clear()

    world.queue.reconfigure((), now=world.now(1))
    world.finish_refused("a", at=2)
    world.queue.reschedule(poll_of("c"))
    world.queue.schedule_again(now=world.now(3))

    assert world.history == []
    assert world.in_flight == 0
    assert world.queue.pause is None
    assert not world.start("b", at=9)


@pytest.mark.parametrize(("is_paused", "at"), [(False, 10), (True, 60)])
def test_discarded_windows_are_not_waited_for(*, is_paused: bool, at: float) -> None:
    """Spacing and the delay of probes hold as before."""
    world = QueueWorld("abc", spacing=10.0)
    empty = RateLimitHeaders(100, 0, NOW + 3000)
    world.start("a")
    if is_paused:
        world.finish_refused("a", empty)
    else:
        world.finish("a", empty)
        world.start("b", at=2)
    assert world.last == ("b", 3001.0)

    world.now(3)
    world.session.discard_windows()
    world.queue.schedule_again(now=world.now(3))

    assert world.last == ("b", at)
    assert not world.start("b", at=at - 1)
    assert world.start("b", at=at)


def test_a_state_is_of_one_instant() -> None:
    world = QueueWorld("abc", spacing=2.0)
    world.queue.enqueue(tuple(map(poll_of, "abc")), now=NOW)
    world.start("a")

    state = world.queue.state(now=NOW)

    assert state.in_flight == {"a"}
    assert state.positions == {"b": 0, "c": 1}
    assert (state.earliest, state.pause) == (NOW + 2, None)
    assert state.budget.bucket.in_flight == 1
    assert state.endpoint == "campaigns/data_series"


def test_a_throttled_bucket_does_not_stop_another_one() -> None:
    world = QueueWorld("ab", spacing=0.0)
    other = world.beside("xy")
    world.start("a")
    world.finish("a", throttled(retry_after=900.0))

    assert not world.start("b", at=1)
    assert other.start("x", at=1)
    assert world.last == ("b", 902.5)  # with half of the jitter
