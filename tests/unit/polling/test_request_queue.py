"""The queue of a workspace's polls: order, budget, pauses, and no poll is lost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from heapq import heappop, heappush
from queue import Queue
from random import Random
from threading import Barrier, Lock, Thread

import pytest
from exporter.braze import retries
from exporter.braze.rate_limit import Budget
from exporter.braze.responses import BrazeResponse
from exporter.braze.session import CAMPAIGN_ANALYTICS, SHARED, ApiRequest, Session
from exporter.model.errors import FailureReason, FetchError, Throttled, Unavailable
from exporter.model.rate_limit_headers import RateLimitHeaders
from exporter.polling import slots
from exporter.polling.kinds import CAMPAIGN, Kind
from exporter.polling.pause import Pause
from exporter.polling.request_queue import PendingPoll, RequestQueue
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.fake_clock import NOW, FakeClock

UNAUTHORIZED, FORBIDDEN = FailureReason.UNAUTHORIZED, FailureReason.FORBIDDEN
FULL = RateLimitHeaders(limit=50_000, remaining=50_000, reset_at=NOW + 60)
EMPTY = RateLimitHeaders(limit=50_000, remaining=0, reset_at=NOW + 60)
OTHER_KIND = CAMPAIGN._replace(name="canvas", path="canvas/series", bucket=SHARED)


def poll_of(object_id: str, *, at: float = NOW) -> PendingPoll:
    """Return a poll."""
    return PendingPoll("shop", object_id, due_at=at, at=at)


def request_of(kind: Kind) -> ApiRequest:
    """Return a request of a kind."""
    return ApiRequest(kind.bucket, kind.path, {}, {})


class FakeClient:
    """Ends every request with `end`."""

    def __init__(self) -> None:
        self.end: BrazeResponse | FetchError = BrazeResponse({}, 200, FULL)

    def fetch(
        self, path: str, params: Mapping[str, str | int], *_: object
    ) -> BrazeResponse:
        """Return or raise the end."""
        del path, params
        if isinstance(self.end, FetchError):
            raise self.end
        return self.end


def ended(
    headers: RateLimitHeaders | None,
    *,
    is_throttled: bool = False,
    retry_after: float | None = None,
) -> BrazeResponse | FetchError:
    """Return how a request ended, as far as a queue is concerned."""
    if is_throttled:
        return Throttled(
            "429",
            reason=FailureReason.RATE_LIMITED,
            status=429,
            allowance=headers,
            retry_after_seconds=retry_after,
        )
    if headers is None:
        return Unavailable("timeout", reason=FailureReason.TIMEOUT)
    return BrazeResponse({}, 200, headers)


def session_of(clock: FakeClock, client: FakeClient, **bounds: float) -> Session:
    """Return a session with two buckets and these bounds."""
    given = {"spacing_seconds": 1.0, "reserve": 0.2, "concurrency": 4} | bounds
    budget = Budget(**given)  # type: ignore[arg-type]  # concurrency is an integer
    return Session(
        client,
        budgets={CAMPAIGN_ANALYTICS: budget, SHARED: budget},
        clock=clock,
        random=lambda: 0.5,
    )


class QueueWorld:
    """A queue of objects with single letters as ids, and what it scheduled.

    All instants are in seconds after `NOW`.
    """

    def __init__(
        self,
        ids: str,
        *,
        spacing: float = 1.0,
        concurrency: int = 4,
        session: Session | None = None,
        kind: Kind = CAMPAIGN,
        clock: FakeClock | None = None,
    ) -> None:
        self.clock = clock or FakeClock()
        self.client = FakeClient()
        self.session = session or session_of(
            self.clock,
            self.client,
            spacing_seconds=spacing,
            concurrency=concurrency,
        )
        self.scheduled: list[PendingPoll] = []
        self.queue = RequestQueue(
            self.session,
            workspace="shop",
            object_ids=tuple(ids),
            schedule=self.scheduled.append,
            now=self.clock.now,
            kind=kind,
        )

    def beside(self, ids: str, *, bucket: str = SHARED) -> QueueWorld:
        """Return another queue on the same session."""
        other = QueueWorld(
            ids,
            session=self.session,
            kind=OTHER_KIND._replace(bucket=bucket),
            clock=self.clock,
        )
        other.client = self.client
        return other

    def now(self, at: float) -> float:
        """Set the clock and return its time."""
        self.clock.time = NOW + at
        return self.clock.time

    def start(self, object_id: str, *, at: float = 0) -> bool:
        """Start a poll."""
        return self.queue.start(poll_of(object_id), now=self.now(at))

    def start_all(self, ids: str, *, at: float = 0) -> None:
        """Let polls start or wait, in this order."""
        for object_id in ids:
            self.start(object_id, at=at)

    def settle(self, end: BrazeResponse | FetchError) -> None:
        """Settle one request in flight."""
        self.client.end = end
        self.session.fetch(request_of(self.queue.kind))

    def finish(
        self,
        object_id: str,
        *,
        at: float = 0,
        headers: RateLimitHeaders | None = FULL,
        is_throttled: bool = False,
        retry_after: float | None = None,
    ) -> None:
        """End a request in flight with a document, with 429, or without response."""
        now = self.now(at)
        self.settle(ended(headers, is_throttled=is_throttled, retry_after=retry_after))
        is_accepted = headers is not None and not is_throttled
        self.queue.finish(poll_of(object_id), is_key_accepted=is_accepted, now=now)

    def finish_refused(
        self,
        object_id: str,
        *,
        at: float = 0,
        reason: FailureReason = UNAUTHORIZED,
        headers: RateLimitHeaders = FULL,
    ) -> Pause | None:
        """End a request in flight with 401 or 403."""
        now = self.now(at)
        self.settle(ended(headers))
        return self.queue.finish_refused(poll_of(object_id), reason=reason, now=now)

    def accept(self, object_id: str, *, at: float) -> None:
        """Start a poll whose request is answered at once."""
        assert self.start(object_id, at=at)
        self.finish(object_id, at=at)

    def refuse(
        self, object_id: str, *, at: float = 0, reason: FailureReason = UNAUTHORIZED
    ) -> Pause | None:
        """Start a poll whose request is refused at once."""
        assert self.start(object_id, at=at)
        return self.finish_refused(object_id, at=at, reason=reason)

    @property
    def history(self) -> list[tuple[str, float]]:
        """Everything that was scheduled: object ids and instants."""
        return [(one.object_id, one.at - NOW) for one in self.scheduled]

    @property
    def last(self) -> tuple[str, float]:
        """What was scheduled last."""
        return self.history[-1]

    @property
    def in_flight(self) -> int:
        """How many requests count against the bucket."""
        return self.session.budget(self.queue.kind.bucket).bucket.in_flight


def paused(ids: str, *, reason: FailureReason = UNAUTHORIZED) -> QueueWorld:
    """Return a queue whose first object was refused at 0 s."""
    world = QueueWorld(ids)
    world.refuse(ids[0], reason=reason)
    return world


def after_403() -> QueueWorld:
    """Return a queue whose object `a` is known to be forbidden itself."""
    world = paused("abc", reason=FORBIDDEN)
    world.accept("b", at=60)
    return world


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
    world.finish("a", headers=EMPTY)
    world.start("c")

    world.finish("b", headers=FULL._replace(reset_at=NOW + 120), at=30)

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

    world.finish("a", headers=EMPTY, is_throttled=True)
    world.start("b")

    assert world.last == ("b", 62.5)


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

    world.finish("c", at=30, headers=EMPTY._replace(reset_at=NOW + 900))
    assert not world.start("b", at=60)

    assert world.last == ("b", 901.0)


def test_a_probe_without_room_is_checked_again() -> None:
    """In a second, if only a response in flight makes room."""
    world = QueueWorld("abc", spacing=0.0)
    world.start_all("ac")
    world.finish_refused("a", headers=RateLimitHeaders(1, 1, NOW + 1))

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
    world.finish("b", headers=None, at=60)
    assert world.last == ("c", 180.0)
    world.start("c", at=180)
    world.finish("c", is_throttled=True, at=180)
    assert world.last == ("a", 420.0)
    world.start("a", at=420)
    world.session.release(CAMPAIGN_ANALYTICS, now=world.now(420))
    world.queue.release(poll_of("a"), now=world.now(420))

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
    world.queue.allow("a")
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


def test_a_crashed_poll_is_not_in_flight() -> None:
    """The next one is scheduled."""
    world = QueueWorld("ab", spacing=0.0, concurrency=1)
    world.start_all("ab")

    world.session.release(CAMPAIGN_ANALYTICS, now=world.now(2))
    world.queue.release(poll_of("a"), now=world.now(2))

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
    assert world.queue.object_ids == {*"acde"}
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


def test_a_closed_queue_schedules_nothing() -> None:
    """Requests in flight are settled, even if they are refused."""
    world = QueueWorld("abc")
    world.start_all("abc")
    world.scheduled.clear()

    world.queue.close()
    world.finish_refused("a", at=2)
    world.queue.reschedule(poll_of("c"))
    world.queue.after_clock_set(now=world.now(3))

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
        world.finish_refused("a", headers=empty)
    else:
        world.finish("a", headers=empty)
        world.start("b", at=2)
    assert world.last == ("b", before)

    world.now(3)
    world.session.discard_windows()
    world.queue.after_clock_set(now=world.now(3))

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
    assert state.object_ids == {"a", "b", "c"}
    assert state.earliest == NOW + 2
    assert state.budget.bucket.in_flight == 1
    assert state.endpoint == "campaigns/data_series"
    assert state.pause is None


def test_a_401_pauses_all_components_until_its_probe_is_accepted() -> None:
    """A component that waits sends nothing, whatever it probes itself."""
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

    for waiting in (other, third):
        pause = waiting.queue.pause
        assert pause is not None
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

    assert third.queue.pause is None
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


def test_a_throttled_bucket_does_not_stop_another_one() -> None:
    """Although both are of one session."""
    world = QueueWorld("ab", spacing=0.0)
    other = world.beside("xy")
    world.start("a")
    world.finish("a", is_throttled=True, retry_after=900.0)

    assert not world.start("b", at=1)
    assert other.start("x", at=1)
    assert world.last == ("b", 902.5)


# What follows runs polls through queues as the poller and the scheduler do, to see
# that no poll is lost, however requests end and threads interleave.

Ends = Callable[[str], str]
"""Object id → one of `ENDS`."""

ENDS = ("ok", "broken", "bad", "401", "403", "429")

Work = Iterator[float]
"""The steps of a thread: the seconds before each next one."""


class SimulatedQueue:
    """One queue, its jobs, and what is known of its objects."""

    def __init__(
        self, simulation: Simulation, kind: Kind, ids: tuple[str, ...]
    ) -> None:
        self.simulation = simulation
        self.ids = ids
        self.jobs: dict[str, PendingPoll] = {}
        self.in_flight: set[str] = set()
        self.requests: list[tuple[float, str]] = []
        self.queue = RequestQueue(
            simulation.session,
            workspace="shop",
            object_ids=ids,
            schedule=self.schedule,
            now=simulation.clock.now,
            kind=kind,
        )

    def schedule(self, poll: PendingPoll) -> None:
        """Replace the job of an object."""
        assert math.isfinite(poll.at)
        self.jobs[poll.object_id] = poll
        self.simulation.push(poll.at, (self, poll))

    def places(self, object_id: str) -> list[str]:
        """Return where an object is; the head of the queue may be scheduled."""
        now = self.simulation.clock.now()
        position = self.queue.state(now=now).positions.get(object_id)
        places = [] if position is None else ["waiting"]
        if object_id in self.in_flight:
            places.append("in flight")
        elif self.queue.is_probe(object_id):
            places.append("probe")
        elif object_id in self.jobs and position != 0:
            places.append("scheduled")
        return places

    def poll(self, poll: PendingPoll) -> Work:
        """Run one job."""
        simulation = self.simulation
        yield from simulation.interleave()
        now = simulation.clock.now()
        if poll.failure and retries.is_over(
            first_try_at=poll.first_try_at,
            now=now,
            interval_seconds=simulation.interval,
        ):
            self.queue.drop(poll, now=now)
            yield from self._go_on(poll)
            return
        yield from simulation.interleave()
        if not self._start(poll, now):
            return
        first_try_at = min(poll.first_try_at, now)
        poll = poll._replace(tries=poll.tries + 1, first_try_at=first_try_at)
        yield simulation.random.random() * 3
        yield from self._finish(poll, simulation.end(poll.object_id))

    def _start(self, poll: PendingPoll, now: float) -> bool:
        object_id = poll.object_id
        state = self.queue.state(now=now)
        if not self.queue.start(poll, now=now):
            return False
        assert object_id not in self.in_flight
        assert state.earliest <= now
        if state.pause is None:
            assert state.positions.get(object_id, len(state.positions)) == 0
        else:
            assert object_id == state.pause.probe_id
            assert now >= state.pause.probe_at
        self.in_flight.add(object_id)
        self.requests.append((now, object_id))
        return True

    def _finish(self, poll: PendingPoll, end: str) -> Work:
        """Settle a request and record its end, as the poller does."""
        simulation, queue = self.simulation, self.queue
        headers = RateLimitHeaders(1000, 900, simulation.clock.now() + 60)
        simulation.client.end = result = ended(
            None if end == "broken" else headers, is_throttled=end == "429"
        )
        simulation.session.fetch(request_of(queue.kind))
        now = simulation.clock.now()
        yield from simulation.interleave()
        self.in_flight.discard(poll.object_id)
        if end in {"401", "403"}:
            reason = UNAUTHORIZED if end == "401" else FORBIDDEN
            queue.finish_refused(poll, reason=reason, now=now)
        else:
            is_accepted = end in {"ok", "bad"}
            queue.finish(poll, is_key_accepted=is_accepted, now=now)
        if end == "ok":
            queue.allow(poll.object_id)
        at = None
        if isinstance(result, FetchError):
            at = simulation.session.retry_at(
                result,
                bucket=queue.kind.bucket,
                tries=poll.tries,
                first_try_at=poll.first_try_at,
                interval_seconds=simulation.interval,
            )
        if end == "429" and not queue.is_probe(poll.object_id):
            yield from simulation.interleave()
            upcoming = poll_of(poll.object_id, at=at or 0)
            queue.enqueue((upcoming,), now=simulation.clock.now())
        elif end == "broken" and at is not None and not queue.is_probe(poll.object_id):
            yield from simulation.interleave()
            failure = Unavailable("broken", reason=FailureReason.CONNECTION)
            queue.reschedule(poll._replace(failure=failure, at=at, has_waited=False))
        else:
            yield from self._go_on(poll)

    def _go_on(self, poll: PendingPoll) -> Work:
        if self.queue.is_probe(poll.object_id):
            return
        now = self.simulation.clock.now()
        slot = slots.slot_following(
            due_at=min(poll.due_at, now),
            began_at=min(poll.first_try_at, now),
            now=now,
            phase=slots.phase(poll.object_id),
            interval_seconds=self.simulation.interval,
        )
        yield from self.simulation.interleave()
        self.queue.reschedule(
            PendingPoll("shop", poll.object_id, due_at=slot, at=max(slot, now))
        )


class Simulation:
    """Queues on one session, with threads that take their steps one by one.

    `delay` is the longest time between two steps of a thread, in which others take
    theirs; with 0 each poll has two steps, before and after its response.
    """

    interval = 60.0

    def __init__(
        self,
        *,
        objects: list[int],
        kinds: list[Kind],
        spacing: float,
        end: Ends,
        random: Random,
        delay: float = 0.0,
    ) -> None:
        self.clock = FakeClock()
        self.client = FakeClient()
        self.session = session_of(self.clock, self.client, spacing_seconds=spacing)
        self.end = end
        self.random = random
        self._delay = delay
        self._number = 0
        self._events: list[
            tuple[float, int, tuple[SimulatedQueue, PendingPoll] | Work]
        ] = []
        self.queues = [
            SimulatedQueue(self, kind, tuple(f"{kind.name}{n}" for n in range(count)))
            for kind, count in zip(kinds, objects, strict=True)
        ]
        for one in self.queues:
            one.queue.enqueue(tuple(map(poll_of, one.ids)), now=NOW)

    def push(self, at: float, event: tuple[SimulatedQueue, PendingPoll] | Work) -> None:
        """Add an event."""
        self._number += 1
        heappush(self._events, (at, self._number, event))

    def interleave(self) -> Work:
        """Let other threads take their steps."""
        if self._delay:
            yield self.random.random() * self._delay

    def run(self, *, until: float) -> None:
        """Take steps until an instant."""
        while self._events[0][0] <= until:
            self.step()
        self.clock.time = until

    def step(self) -> None:
        """Start the next job that is due, or take the next step of a thread."""
        at, _, event = heappop(self._events)
        self.clock.time = max(self.clock.time, at)
        if isinstance(event, tuple):
            one, poll = event
            if one.jobs.get(poll.object_id) is not poll:
                return  # it was replaced
            del one.jobs[poll.object_id]
            event = one.poll(poll)
        seconds = next(event, None)
        if seconds is not None:
            self.push(self.clock.now() + seconds, event)


@settings(max_examples=80, deadline=None)
@given(
    objects=st.lists(st.integers(1, 8), min_size=1, max_size=2),
    bucket=st.sampled_from([CAMPAIGN_ANALYTICS, SHARED]),
    spacing=st.sampled_from([0.0, 0.5, 2.0]),
    weights=st.lists(st.sampled_from([0, 0, 1, 5]), min_size=5, max_size=5),
    seed=st.integers(0, 2**32),
    replaces_key=st.booleans(),
    forbidden_id=st.sampled_from(["", "campaign0"]),
    delay=st.sampled_from([0, 0, 0.01, 1.0, 20.0]),
)
def test_no_object_is_lost(
    *,
    objects: list[int],
    bucket: str,
    spacing: float,
    weights: list[int],
    seed: int,
    replaces_key: bool,
    forbidden_id: str,
    delay: float,
) -> None:
    """However requests end and threads interleave, of one queue or two on a session.

    No object is in flight twice. Polls start in order, no earlier than the budget
    allows, and in a pause only the probe starts. All are polled again once requests
    succeed. Between the steps of polls every object is in exactly one place.
    """
    random = Random(seed)

    def end(object_id: str) -> str:
        is_forbidden = object_id == forbidden_id
        return "403" if is_forbidden else random.choices(ENDS, [10, *weights])[0]

    simulation = Simulation(
        objects=objects,
        kinds=[CAMPAIGN, OTHER_KIND._replace(bucket=bucket)][: len(objects)],
        spacing=spacing,
        end=end,
        random=random,
        delay=delay,
    )

    for _ in range(600):
        simulation.step()
        for one in simulation.queues:
            if not delay:
                assert [len(one.places(id_)) for id_ in one.ids] == [1] * len(one.ids)
            if replaces_key and random.random() < 0.01:
                one.queue.probe_now(now=simulation.clock.now())

    simulation.end = lambda _: "ok"
    simulation.run(until=simulation.clock.now() + 3600)
    for one in simulation.queues:
        assert one.queue.pause is None
        recent = {id_ for at, id_ in one.requests if at > simulation.clock.now() - 300}
        assert recent == set(one.ids)


class ThreadedQueue:
    """Real threads that run each job at once; a job moves the clock to its instant."""

    def __init__(self, *, objects: int, polls: int, seed: int) -> None:
        self.polls: Counter[str] = Counter()
        self.collisions = 0
        self._wanted = polls
        self._seed = seed
        self._lock = Lock()
        self._clock = FakeClock()
        self._jobs: dict[str, PendingPoll] = {}
        self._due: Queue[str | None] = Queue()
        self._in_flight: set[str] = set()
        self._ids = tuple(f"c{number}" for number in range(objects))
        self._session = session_of(self._clock, FakeClient(), spacing_seconds=0.1)
        self._queue = RequestQueue(
            self._session,
            workspace="shop",
            object_ids=self._ids,
            schedule=self._schedule,
            now=self._clock.now,
        )

    def run(self, *, threads: int) -> None:
        """Run until each object was polled often enough."""
        barrier = Barrier(threads)
        workers = [
            Thread(target=self._run, args=(barrier, Random(self._seed + number)))
            for number in range(threads)
        ]
        for worker in workers:
            worker.start()
        self._queue.enqueue(tuple(map(poll_of, self._ids)), now=NOW)
        for worker in workers:
            worker.join()

    def _run(self, barrier: Barrier, random: Random) -> None:
        barrier.wait()
        while (object_id := self._due.get(timeout=30)) is not None:
            with self._lock:
                poll = self._jobs.pop(object_id, None)
                self._clock.time = max(self._clock.time, poll.at if poll else 0.0)
            if poll and self._queue.start(poll, now=self._clock.now()):
                self._request(poll, random)
            with self._lock:
                is_over = all(self.polls[one] >= self._wanted for one in self._ids)
            if is_over:
                break
        self._due.put(None)  # the next thread ends, too

    def _request(self, poll: PendingPoll, random: Random) -> None:
        queue, object_id = self._queue, poll.object_id
        with self._lock:
            self.collisions += object_id in self._in_flight
            self._in_flight.add(object_id)
        end = random.choices(ENDS, [20, 2, 2, 1, 1, 2])[0]
        self._session.fetch(request_of(CAMPAIGN))
        with self._lock:
            self._in_flight.discard(object_id)
            self.polls[object_id] += end == "ok"
        now = self._clock.now()
        if end in {"401", "403"}:
            reason = UNAUTHORIZED if end == "401" else FORBIDDEN
            queue.finish_refused(poll, reason=reason, now=now)
        else:
            is_accepted = end in {"ok", "bad"}
            queue.finish(poll, is_key_accepted=is_accepted, now=now)
        if end == "ok":
            queue.allow(object_id)
        queue.reschedule(poll_of(object_id, at=now + random.random() * 60))

    def _schedule(self, poll: PendingPoll) -> None:
        with self._lock:
            self._jobs[poll.object_id] = poll
        self._due.put(poll.object_id)


@pytest.mark.parametrize("seed", range(3))
def test_threads_share_a_queue(seed: int) -> None:
    """Eight threads poll thirty objects: none is in flight twice, none is lost."""
    threaded = ThreadedQueue(objects=30, polls=20, seed=seed)

    threaded.run(threads=8)

    assert threaded.collisions == 0
    assert min(threaded.polls.values()) >= 20
