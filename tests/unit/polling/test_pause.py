"""Pauses after 401 and 403: probes, and what the other components do."""

from __future__ import annotations

import pytest
from exporter.braze.rate_limit import Budget
from exporter.braze.session import CAMPAIGN_ANALYTICS
from exporter.model.errors import FailureReason
from exporter.model.rate_limit_headers import RateLimitHeaders
from exporter.polling.pause import Pause

from tests.support.fake_clock import NOW
from tests.support.queue_world import (
    EMPTY,
    FORBIDDEN,
    TIMED_OUT,
    UNAUTHORIZED,
    QueueWorld,
    paused,
    poll_of,
    throttled,
)


def after_403() -> QueueWorld:
    """Return a queue whose object `a` is known to be forbidden itself."""
    world = paused("abc", reason=FORBIDDEN)
    world.accept("b", at=60)
    return world


@pytest.mark.parametrize("reason", [UNAUTHORIZED, FORBIDDEN])
def test_a_refusal_pauses_the_queue(reason: FailureReason) -> None:
    """The next object probes a minute later, all others wait."""
    world = QueueWorld("abc")
    assert not any(map(world.queue.is_probe, "abc"))

    pause = world.refuse("a", reason=reason)

    assert pause is world.queue.pause
    assert pause is not None
    assert (pause.reason, pause.probe_id, pause.failures) == (reason, "b", 1)
    assert [one for one in "abc" if world.queue.is_probe(one)] == ["b"]
    assert not world.start("c", at=30)
    assert world.history == [("b", 60.0)]


def test_probes_rotate_and_become_rarer() -> None:
    """After 1, 2, 4, 8, 15 and 15 minutes, each time with the next object."""
    world = paused("abc")
    now, waits = 0.0, []
    for _ in range(6):
        object_id, at = world.last
        waits.append((object_id, (at - now) / 60))
        now = at
        world.refuse(object_id, at=now)

    assert waits == [("b", 1), ("c", 2), ("a", 4), ("b", 8), ("c", 15), ("a", 15)]


def test_the_only_object_probes() -> None:
    """Although it was refused."""
    assert paused("a").last == ("a", 60.0)


def test_an_object_in_flight_does_not_probe() -> None:
    """The rotation skips it."""
    world = QueueWorld("abc", spacing=0.0)
    world.start_all("ab")

    world.finish_refused("a")

    assert world.last == ("c", 60.0)


def test_two_refusals_at_once_are_one_pause() -> None:
    """The second one neither moves nor delays the probe."""
    world = QueueWorld("abc", spacing=0.0)
    world.start_all("ac")
    first = world.finish_refused("a")

    second = world.finish_refused("c", at=1)

    assert first == second
    assert world.history == [("b", 60.0)]


@pytest.mark.parametrize("is_dropped", [False, True])
def test_another_job_of_the_probe_becomes_the_probe(*, is_dropped: bool) -> None:
    """Its regular job, or a retry that is too late."""
    world = paused("ab")
    world.scheduled.clear()

    if is_dropped:
        world.queue.drop(poll_of("b"), now=world.now(10))
    else:
        assert not world.start("b", at=10)

    assert world.history == [("b", 60.0)]


def test_a_probe_waits_for_the_budget() -> None:
    """For the reset of an empty bucket, like any other request."""
    world = QueueWorld("abc", spacing=0.0)
    world.start_all("ac")
    world.finish_refused("a")

    world.finish("c", EMPTY._replace(reset_at=NOW + 900), at=30)
    assert not world.start("b", at=60)

    assert world.last == ("b", 901.0)


def test_a_probe_without_room_is_checked_again() -> None:
    """In a second, if only a response in flight makes room."""
    world = QueueWorld("abc", spacing=0.0)
    world.start_all("ac")
    world.finish_refused("a", RateLimitHeaders(1, 1, NOW + 1))

    assert not world.start("b", at=60)
    assert world.last == ("b", 61.0)


def test_an_accepted_probe_ends_the_pause() -> None:
    """Polls that waited are scheduled in the order of arrival."""
    world = paused("abcd")
    world.start_all("dc", at=30)

    world.accept("b", at=60)

    assert world.queue.pause is None
    assert world.last == ("d", 61.0)


def test_a_poll_scheduled_before_the_pause_is_scheduled_again_after_it() -> None:
    """It keeps its position; the probe leaves the queue."""
    world = QueueWorld("abcd")
    world.start_all("abc")
    world.finish_refused("a")
    assert world.history == [("b", 1.0), ("b", 60.0)]
    world.start("c", at=1)
    world.start("a", at=30)

    world.accept("b", at=60)

    assert world.last == ("c", 61.0)
    world.accept("c", at=61)
    assert world.last == ("a", 62.0)


def test_a_response_that_does_not_show_the_key_accepted_is_followed_by_a_probe() -> (
    None
):
    """No response, 429, or a crash of the poll: the next probe is later."""
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


def test_a_request_sent_before_a_401_does_not_end_the_pause() -> None:
    """It may have been answered before the key was revoked."""
    world = QueueWorld("abc", spacing=0.0)
    world.start_all("ac")
    world.finish_refused("a")

    world.finish("c", at=1)

    assert world.queue.pause is not None


def test_any_accepted_request_ends_the_pause_after_a_403() -> None:
    """The key is valid; the object that was to probe is polled at once."""
    world = QueueWorld("abc", spacing=0.0)
    world.start_all("ac")
    world.finish_refused("a", reason=FORBIDDEN)

    world.finish("c", at=1)

    assert world.queue.pause is None
    assert world.last == ("b", 1.0)
    world.accept("b", at=1)
    assert world.refuse("a", reason=FORBIDDEN, at=2) is None


def test_a_replaced_key_is_probed_at_once() -> None:
    """The delays between probes begin again."""
    world = paused("abc")
    for at in (60, 180):
        world.refuse(world.last[0], at=at)

    world.queue.probe_now(now=world.now(200))
    assert world.last == ("a", 200.0)
    world.refuse("a", at=200)

    assert world.last == ("b", 260.0)


def test_a_key_replaced_during_a_probe_is_probed_in_a_minute() -> None:
    """The probe in flight gets no second job."""
    world = paused("abc")
    world.refuse("b", at=60)
    world.start("c", at=180)
    world.scheduled.clear()

    world.queue.probe_now(now=world.now(181))
    world.finish_refused("c", at=182)

    assert world.history == [("a", 242.0)]


def test_a_replaced_key_without_a_pause_schedules_nothing() -> None:
    """The next poll uses it."""
    world = QueueWorld("a")

    world.queue.probe_now(now=NOW)

    assert world.history == []


def test_a_forbidden_object_pauses_nothing() -> None:
    """Once another one was accepted; the next poll is scheduled."""
    world = after_403()
    assert world.queue.forbidden_ids == {"a"}
    world.start_all("ac", at=100)

    assert world.finish_refused("a", reason=FORBIDDEN, at=100) is None
    assert world.queue.pause is None
    assert world.last == ("c", 101.0)


@pytest.mark.parametrize(
    ("object_id", "reason"), [("c", FORBIDDEN), ("a", UNAUTHORIZED)]
)
def test_other_refusals_pause_again(object_id: str, reason: FailureReason) -> None:
    """A 403 of another object, and any 401, which is about the key."""
    pause = after_403().refuse(object_id, reason=reason, at=100)

    assert pause is not None
    assert pause.reason is reason


def test_an_accepted_object_is_not_forbidden_any_more() -> None:
    """Whether it was polled or ended a pause as its probe."""
    world = after_403()
    world.accept("a", at=99)
    assert world.refuse("a", reason=FORBIDDEN, at=100) is not None

    world = after_403()
    world.refuse("c", reason=FORBIDDEN, at=100)
    assert world.last == ("a", 160.0)
    world.accept("a", at=160)
    assert world.refuse("a", reason=FORBIDDEN, at=200) is not None


def test_a_key_without_permission_is_probed_on() -> None:
    """Where every object gets 403."""
    world = paused("ab", reason=FORBIDDEN)
    for _ in range(4):
        object_id, at = world.last
        world.refuse(object_id, reason=FORBIDDEN, at=at)

    pause = world.queue.pause
    assert pause is not None
    assert pause.forbidden_ids == {"a", "b"}


def test_a_401_forbids_no_object() -> None:
    """After it, a 403 pauses the queue again."""
    world = paused("ab")
    world.accept("b", at=60)

    assert world.refuse("a", reason=FORBIDDEN, at=100) is not None


def test_another_object_probes_when_the_probe_is_removed() -> None:
    """At the same instant; it does not wait besides."""
    world = paused("abc", reason=FORBIDDEN)
    assert world.last == ("b", 60.0)

    world.queue.reconfigure(tuple("ac"), now=world.now(1))

    probe_id, at = world.last
    assert probe_id in "ac"
    assert at == 60
    world.queue.enqueue((poll_of(probe_id),), now=world.now(2))
    assert world.queue.state(now=world.now(2)).positions == {}
    assert world.start(probe_id, at=60)


def test_an_object_removed_while_it_probes_is_replaced() -> None:
    """Its result does not end the pause after a 401, but the next probe's does."""
    world = paused("abc")
    world.start("b", at=60)

    world.queue.reconfigure(tuple("ac"), now=world.now(61))
    world.finish("b", at=62)

    assert world.queue.pause is not None
    world.accept(world.last[0], at=63)
    assert world.queue.pause is None


def test_a_401_pauses_all_components_until_its_probe_is_accepted() -> None:
    """A component that waits sends nothing, even if it probes a permission."""
    world = QueueWorld("ab")
    other = world.beside("xyz")
    other.refuse("x", reason=FORBIDDEN)
    assert other.last == ("y", 60.0)
    third = world.beside("uv", bucket="third")
    world.session.reconfigure({"third": Budget(1.0, 0.2, 4)})
    third.start("u")
    third.start("v")
    assert third.history == [("v", 1.0)]

    world.refuse("a")

    assert third.queue.pause == Pause(UNAUTHORIZED, probe_id="", probe_at=NOW + 60)
    assert not third.start("v", at=1)
    assert not other.start("y", at=60)
    assert not other.start("z", at=60)
    # A late 401 of another component changes nothing: it is about the same key.
    assert third.finish_refused("u", at=61) == third.queue.pause
    third.queue.reschedule(poll_of("u", at=NOW + 300))
    assert third.last == ("u", 300.0)
    assert other.last == ("y", 60.0)

    world.accept("b", at=70)

    assert third.queue.state(now=world.now(70)).pause is None
    assert third.last == ("v", 70.0)
    assert other.last == ("y", 70.0)
    other.accept("y", at=70)
    assert other.queue.pause is None
    assert other.last == ("z", 71.0)


def test_a_403_pauses_its_own_queue_only() -> None:
    """Even if the key was refused before."""
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


@pytest.mark.parametrize("is_closed", [False, True])
def test_a_queue_without_objects_releases_the_key(*, is_closed: bool) -> None:
    """A 401 that comes later does not pause the others again."""
    world = QueueWorld("ab", spacing=0.0)
    other = world.beside("xy")
    world.start_all("ab")
    world.finish_refused("a")
    assert not other.start("x", at=1)

    world.now(2)
    if is_closed:
        world.queue.close()
    else:
        world.queue.reconfigure((), now=world.now(2))

    assert other.last == ("x", 2.0)
    assert world.finish_refused("b", at=3) is None
    assert other.queue.pause is None
    other.accept("x", at=3)
