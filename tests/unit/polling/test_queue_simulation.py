"""No poll is lost, however requests end and threads interleave.

Polls run through queues as the poller and the scheduler run them.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from heapq import heappop, heappush
from random import Random
from threading import Event, Lock, Thread

import pytest
from exporter.braze import retries
from exporter.braze.session import CAMPAIGN_ANALYTICS, SHARED
from exporter.metrics.store import ObjectKey
from exporter.model.errors import FetchError, KeyRefused
from exporter.model.rate_limit_headers import RateLimitHeaders
from exporter.polling import slots
from exporter.polling.kinds import CAMPAIGN, CANVAS, Kind
from exporter.polling.request_queue import PendingPoll, RequestQueue
from exporter.polling.scheduler import Scheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.daemon_process import PATIENCE_SECONDS, until
from tests.support.fake_clock import NOW, FakeClock
from tests.support.object_keys import key
from tests.support.polling_world import (
    EMPTY_DOCUMENT,
    TIMED_OUT,
    WRONG_KEY,
    FakeBraze,
    PollingWorld,
    config,
    failure,
    workspace,
)
from tests.support.queue_world import (
    FORBIDDEN,
    UNAUTHORIZED,
    fetch,
    poll_of,
    session_of,
    throttled,
)

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
            unschedule=self.unschedule,
            now=simulation.clock.now,
            kind=kind,
        )

    def schedule(self, poll: PendingPoll) -> None:
        assert math.isfinite(poll.at)
        self.jobs[poll.object_id] = poll
        self.simulation.push(poll.at, (self, poll))

    def unschedule(self, key: ObjectKey) -> None:
        self.jobs.pop(key.id, None)

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
        is_paused = self.simulation.session.is_paused_for(self.queue)
        if not self.queue.start(poll, now=now):
            return False
        assert not is_paused
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
        failures = {"broken": TIMED_OUT, "429": throttled(headers)}
        result = fetch(
            simulation.session,
            simulation.braze,
            queue.kind,
            failures.get(end, headers),
        )
        now = simulation.clock.now()
        yield from simulation.interleave()
        self.in_flight.discard(poll.object_id)
        if end in {"401", "403"}:
            reason = UNAUTHORIZED if end == "401" else FORBIDDEN
            queue.finish_refused(poll, reason=reason, now=now)
        else:
            is_accepted = end in {"ok", "bad"}
            queue.finish(poll, is_key_accepted=is_accepted, now=now)
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
            upcoming = poll_of(poll.object_id, at=at or 0, kind=queue.kind)
            queue.enqueue((upcoming,), now=simulation.clock.now())
        elif end == "broken" and at is not None and not queue.is_probe(poll.object_id):
            yield from simulation.interleave()
            queue.reschedule(poll._replace(failure=TIMED_OUT, at=at, has_waited=False))
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
        self.queue.reschedule(PendingPoll(poll.key, due_at=slot, at=max(slot, now)))


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
        concurrency: int,
        end: Ends,
        random: Random,
        delay: float,
    ) -> None:
        self.clock = FakeClock()
        self.braze = FakeBraze()
        self.session = session_of(
            self.clock, self.braze, spacing_seconds=spacing, concurrency=concurrency
        )
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
            polls = (poll_of(id_, kind=one.queue.kind) for id_ in one.ids)
            one.queue.enqueue(tuple(polls), now=NOW)

    def push(self, at: float, event: tuple[SimulatedQueue, PendingPoll] | Work) -> None:
        self._number += 1
        heappush(self._events, (at, self._number, event))

    def interleave(self) -> Work:
        if self._delay:
            yield self.random.random() * self._delay

    def run(self, *, until: float) -> None:
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
    concurrency=st.sampled_from([1, 4]),
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
    concurrency: int,
    weights: list[int],
    seed: int,
    replaces_key: bool,
    forbidden_id: str,
    delay: float,
) -> None:
    random = Random(seed)

    def end(object_id: str) -> str:
        is_forbidden = object_id == forbidden_id
        return "403" if is_forbidden else random.choices(ENDS, [10, *weights])[0]

    simulation = Simulation(
        objects=objects,
        kinds=[CAMPAIGN, CANVAS._replace(bucket=bucket)][: len(objects)],
        spacing=spacing,
        concurrency=concurrency,
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
    # Heads of the queue start one after the other, each after two such delays.
    since = simulation.clock.now() - 300 - 60 * delay
    for one in simulation.queues:
        assert one.queue.pause is None
        assert {id_ for at, id_ in one.requests if at > since} == set(one.ids)


class RandomBraze(FakeBraze):
    """Ends requests at random, and counts those of an object in flight twice."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self.succeeded = Counter[str]()
        self.collisions = 0
        self._random = random
        self._lock = Lock()
        self._in_flight: set[str] = set()

    def respond(self, params: Mapping[str, str | int]) -> object:
        object_id = str(params["campaign_id"])
        with self._lock:
            self.collisions += object_id in self._in_flight
            self._in_flight.add(object_id)
        time.sleep(0)  # other threads run
        ends = (
            EMPTY_DOCUMENT,
            TIMED_OUT,
            WRONG_KEY,
            failure(KeyRefused, "forbidden", status=403),
            throttled(retry_after=5.0),
        )
        (end,) = self._random.choices(ends, [20, 3, 1, 1, 2])
        with self._lock:
            self._in_flight.discard(object_id)
            self.succeeded[object_id] += end is EMPTY_DOCUMENT
        return end


@pytest.mark.parametrize("seed", range(3))
def test_threads_share_a_queue(seed: int) -> None:
    """Eight threads poll thirty objects: none is in flight twice, none is lost."""
    ids = "abcdefghijklmnopqrstuvwxyz0123"
    braze = RandomBraze(Random(seed))

    def run(poll: PendingPoll) -> None:
        world.clock.time = max(world.clock.time, poll.at)
        upcoming = world.poller.poll(poll)
        if upcoming is not None:
            world.shop.queue.reschedule(upcoming)

    scheduler = Scheduler(run, wall_time=lambda _: 0.0)  # every job is due at once
    world = PollingWorld(scheduler)
    world.braze = braze
    world.apply(config(workspace(ids, requests_per_minute=6000, concurrency=8)))
    scheduler.start()
    try:
        until(lambda: all(braze.succeeded[one] >= 10 for one in ids))
    finally:
        scheduler.stop()

    assert braze.collisions == 0


class SlowClock(FakeClock):
    """Now and then a reading takes a while, in which other threads run."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self._random = random

    def now(self) -> float:
        if self._random.random() < 0.3:
            time.sleep(self._random.random() * 0.002)
        return super().now()


@pytest.mark.parametrize("seed", range(3))
def test_reloads_during_polls_lose_no_poll(seed: int) -> None:
    """Objects leave and come back while their requests are in flight.

    The watchdog, which would schedule lost polls again, finds none.
    """
    ids = "abcdef"
    random = Random(seed)
    braze = RandomBraze(Random(seed))
    bounds = {"requests_per_minute": 6000, "concurrency": 8}

    def run(poll: PendingPoll) -> None:
        world.clock.time = max(world.clock.time, poll.at)
        upcoming = world.poller.poll(poll)
        if upcoming is not None:
            world.shop.queue.reschedule(upcoming)

    def reload(polled_ids: str) -> None:
        world.apply(config(workspace(polled_ids, **bounds)))

    def is_lost() -> bool:
        world.workspaces.recover()
        return world.metric("polls_recovered_total") > 0

    scheduler = Scheduler(run, wall_time=lambda _: 0.0)  # every job is due at once
    world = PollingWorld(scheduler, clock=SlowClock(random))
    world.braze = braze
    reload(ids)
    scheduler.start()
    try:
        for _ in range(100):
            left = random.sample(ids, random.randrange(1, 4))
            reload("".join(one for one in ids if one not in left))
            reload(ids)
            assert not is_lost()
        before = Counter(braze.succeeded)
        until(
            lambda: is_lost() or all(braze.succeeded[one] > before[one] for one in ids)
        )
    finally:
        scheduler.stop()

    assert not is_lost()


class InterruptedClock(FakeClock):
    """Calls `interrupt` at the reading that `countdown` reaches."""

    def __init__(self) -> None:
        super().__init__()
        self.countdown = -1
        self.interrupt: Callable[[], object] = lambda: None

    def now(self) -> float:
        self.countdown -= 1
        if self.countdown == 0:
            self.interrupt()
        return super().now()


class HeldBraze(FakeBraze):
    """Holds its responses until `is_released`."""

    def __init__(self) -> None:
        super().__init__()
        self.is_requested, self.is_released = Event(), Event()
        self.is_released.set()

    def respond(self, params: Mapping[str, str | int]) -> object:
        self.is_requested.set()
        assert self.is_released.wait(PATIENCE_SECONDS)
        return super().respond(params)


@pytest.mark.parametrize("step", range(1, 16))
@pytest.mark.parametrize(
    "response", [throttled(retry_after=5.0), TIMED_OUT, WRONG_KEY, EMPTY_DOCUMENT]
)
def test_a_response_at_any_step_of_a_reload_loses_no_poll(
    response: object, step: int
) -> None:
    """The object left with the previous reload, and comes back with this one."""
    clock = InterruptedClock()
    world = PollingWorld(clock=clock)
    world.braze = braze = HeldBraze()
    world.apply(config(workspace("abc")))
    world.run(until=NOW + 60)
    braze.responses = [response, EMPTY_DOCUMENT]
    braze.is_requested.clear()
    braze.is_released.clear()
    due = world.scheduler.polls.pop(key("a"))
    clock.time = max(clock.time, due.at)

    def poll() -> None:
        upcoming = world.poller.poll(due)
        if upcoming is not None:
            world.shop.queue.reschedule(upcoming)

    def end_poll() -> None:
        braze.is_released.set()
        thread.join(PATIENCE_SECONDS)

    thread = Thread(target=poll)
    thread.start()
    assert braze.is_requested.wait(PATIENCE_SECONDS)
    world.apply(config(workspace("bc")))
    clock.interrupt, clock.countdown = end_poll, step

    world.apply(config(workspace("abc")))

    end_poll()
    world.run(until=clock.time + 400)
    braze.requests.clear()
    world.run(until=clock.time + 1200)
    assert set(braze.polled_ids) == set("abc")
    assert world.metric("polls_recovered_total") == 0
