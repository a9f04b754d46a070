"""Pauses after 401 and 403: probes, and what the other components do."""

from __future__ import annotations

import pytest
from exporter.braze.rate_limit import Budget
from exporter.braze.session import CAMPAIGN_ANALYTICS
from exporter.model.errors import FailureReason
from exporter.model.rate_limit_headers import RateLimitHeaders
from exporter.polling.pause import Pause

from tests.support.fake_clock import NOW
from tests.support.polling_world import TIMED_OUT
from tests.support.queue_world import (
    FORBIDDEN,
    UNAUTHORIZED,
    QueueWorld,
    paused,
    poll_of,
    throttled,
)

REASONS = {"401": UNAUTHORIZED, "403": FORBIDDEN}


@pytest.mark.parametrize("reason", [UNAUTHORIZED, FORBIDDEN])
def test_a_refusal_pauses_the_queue_and_the_next_object_probes_in_a_minute(
    reason: FailureReason,
) -> None:
    world = QueueWorld("abc")
    assert not any(map(world.queue.is_probe, "abc"))

    pause = world.refuse("a", reason=reason)

    assert pause is world.queue.pause
    assert pause is not None
    assert (pause.reason, pause.probe_id, pause.failures) == (reason, "b", 1)
    assert [one for one in "abc" if world.queue.is_probe(one)] == ["b"]
    assert not world.start("c", at=30)
    assert world.history == [("b", 60.0)]


@pytest.mark.parametrize("reason", [UNAUTHORIZED, FORBIDDEN])
def test_probes_rotate_and_become_rarer(reason: FailureReason) -> None:
    world = paused("abc", reason=reason)
    now, waits = 0.0, []
    for _ in range(6):
        object_id, at = world.last
        waits.append((object_id, (at - now) / 60))
        now = at
        world.refuse(object_id, at=now, reason=reason)

    assert waits == [("b", 1), ("c", 2), ("a", 4), ("b", 8), ("c", 15), ("a", 15)]


def test_two_refusals_at_once_are_one_pause() -> None:
    world = QueueWorld("abc", spacing=0.0)
    world.start_all("ab")

    first = world.finish_refused("a")
    assert world.history == [("c", 60.0)]  # b is in flight
    second = world.finish_refused("b", at=1)

    assert first == second
    assert world.history == [("c", 60.0)]


def test_a_late_retry_of_the_probe_is_replaced_by_the_probe() -> None:
    world = paused("ab")
    world.scheduled.clear()

    world.queue.drop(poll_of("b"), now=world.now(10))

    assert world.history == [("b", 60.0)]


def test_a_probe_without_room_is_checked_again_in_a_second() -> None:
    world = QueueWorld("abc", spacing=0.0)
    world.start_all("ac")
    world.finish_refused("a", RateLimitHeaders(1, 1, NOW + 1))

    assert not world.start("b", at=60)
    assert world.last == ("b", 61.0)


def test_a_timeout_429_or_crash_of_the_probe_delays_the_next_one() -> None:
    world = paused("abc")

    world.start("b", at=60)
    world.finish("b", TIMED_OUT, at=60)
    assert world.last == ("c", 180.0)
    world.start("c", at=180)
    world.finish("c", throttled(), at=180)
    assert world.last == ("a", 420.0)
    world.start("a", at=420)
    world.session.release(CAMPAIGN_ANALYTICS, now=world.now(420))
    world.queue.finish(poll_of("a"), is_key_accepted=False, now=world.now(420))

    assert world.last == ("b", 900.0)


@pytest.mark.parametrize(
    ("reason", "is_paused"), [(UNAUTHORIZED, True), (FORBIDDEN, False)]
)
def test_a_response_to_an_earlier_request_ends_the_pause_only_after_a_403(
    reason: FailureReason, *, is_paused: bool
) -> None:
    """Before a 401 it may have been answered with the key that was then revoked."""
    world = QueueWorld("abc", spacing=0.0)
    world.start_all("ac")
    world.finish_refused("a", reason=reason)

    world.finish("c", at=1)

    assert (world.queue.pause is not None) is is_paused
    assert world.last == ("b", 60.0 if is_paused else 1.0)


def test_after_an_accepted_probe_the_polls_that_waited_are_scheduled() -> None:
    """In the order of arrival, and the object of the probe not once more."""
    world = paused("abcd")
    world.start_all("dc", at=30)
    world.scheduled.clear()

    world.accept("b", at=60)
    world.accept("d", at=61)

    assert world.queue.pause is None
    assert world.history == [("d", 61.0), ("c", 62.0)]


def test_a_replaced_key_is_probed_at_once_and_the_delays_begin_again() -> None:
    world = paused("abc")
    other = world.beside("x")
    for at in (60, 180):
        world.refuse(world.last[0], at=at)

    world.queue.probe_now(now=world.now(200))
    assert world.last == ("a", 200.0)
    assert other.queue.pause == Pause(UNAUTHORIZED, probe_id="", probe_at=NOW + 200)
    world.refuse("a", at=200)

    assert world.last == ("b", 260.0)


def test_a_key_replaced_during_a_probe_is_probed_in_a_minute() -> None:
    world = paused("abc")
    world.refuse("b", at=60)
    world.start("c", at=180)
    world.scheduled.clear()

    world.queue.probe_now(now=world.now(181))
    world.finish_refused("c", at=182)

    assert world.history == [("a", 242.0)]


@pytest.mark.parametrize(
    ("responses", "is_paused"),
    [
        ("a403 b200 a403", False),
        ("a403 b200 c403", True),
        ("a403 b200 a401", True),
        ("a403 b200 a200 a403", True),
        ("a403 b200 c403 a200 a403", True),
        ("a403 b403 c403 a403", True),
        ("a401 b200 a403", True),
    ],
)
def test_a_403_is_about_its_object_while_others_are_accepted(
    responses: str, *, is_paused: bool
) -> None:
    """A forbidden object pauses nothing until it is accepted again."""
    world = QueueWorld("abc")
    at = 0.0
    for object_id, status in ((one[0], one[1:]) for one in responses.split()):
        at = world.last[1] if world.queue.pause else at + 1
        if status == "200":
            world.accept(object_id, at=at)
        else:
            world.refuse(object_id, at=at, reason=REASONS[status])

    assert (world.queue.pause is not None) is is_paused


def test_another_object_probes_when_the_probe_is_removed() -> None:
    world = paused("abc", reason=FORBIDDEN)

    world.queue.reconfigure(tuple("ac"), now=world.now(1))

    probe_id, at = world.last
    assert (probe_id in "ac", at) == (True, 60)
    world.queue.enqueue((poll_of(probe_id),), now=world.now(2))
    assert world.queue.state(now=world.now(2)).positions == {}
    assert world.start(probe_id, at=60)


def test_an_object_removed_while_it_probes_does_not_end_the_pause() -> None:
    world = paused("abc")
    world.start("b", at=60)

    world.queue.reconfigure(tuple("ac"), now=world.now(61))
    world.finish("b", at=62)

    assert world.queue.pause is not None
    world.accept(world.last[0], at=63)
    assert world.queue.pause is None


def test_a_401_pauses_all_components_until_its_probe_is_accepted() -> None:
    world = QueueWorld("ab")
    other = world.beside("xyz")
    other.refuse("x", reason=FORBIDDEN)
    third = world.beside("uv", bucket="third")
    world.session.reconfigure({"third": Budget(1.0, 0.2, 4)})
    third.start_all("uv")
    assert (other.last, third.history) == (("y", 60.0), [("v", 1.0)])

    world.refuse("a")

    assert third.queue.pause == Pause(UNAUTHORIZED, probe_id="", probe_at=NOW + 60)
    assert not third.start("v", at=1)
    assert not any(other.start(one, at=60) for one in "yz")
    # A late 401 of another component changes nothing: it is about the same key.
    assert third.finish_refused("u", at=61) == third.queue.pause
    third.queue.reschedule(poll_of("u", at=NOW + 300))
    assert (other.last, third.last) == (("y", 60.0), ("u", 300.0))

    world.accept("b", at=70)

    assert third.queue.state(now=world.now(70)).pause is None
    assert (other.last, third.last) == (("y", 70.0), ("v", 70.0))
    other.accept("y", at=70)
    assert other.queue.pause is None
    assert other.last == ("z", 71.0)


def test_a_403_to_the_probe_of_a_key_releases_the_other_components() -> None:
    world = QueueWorld("ab")
    other = world.beside("xy")
    world.refuse("a")
    assert not other.start("x", at=1)

    world.refuse("b", reason=FORBIDDEN, at=60)

    assert world.queue.pause is not None
    assert world.queue.pause.reason is FORBIDDEN
    assert other.queue.pause is None
    assert other.last == ("x", 60.0)
    other.accept("x", at=60)
    assert world.queue.pause is not None


def test_a_queue_without_objects_releases_the_key() -> None:
    world = QueueWorld("ab", spacing=0.0)
    other = world.beside("xy")
    world.start_all("ab")
    world.finish_refused("a")
    assert not other.start("x", at=1)

    world.queue.reconfigure((), now=world.now(2))

    assert other.last == ("x", 2.0)
    assert world.finish_refused("b", at=3) is None
    assert other.queue.pause is None
    other.accept("x", at=3)
