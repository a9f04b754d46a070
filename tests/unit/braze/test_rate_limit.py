"""The request budget of one Braze bucket."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import pairwise
from random import Random

import pytest
from exporter.braze.rate_limit import Bucket, Budget, ceiling_for
from exporter.model.rate_limit_headers import RateLimitHeaders
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.support.fake_clock import NOW


def new_budget(
    *, spacing: float = 0.0, reserve: float = 0.2, concurrency: int = 4
) -> Budget:
    """Return a budget before its first request."""
    return Budget(spacing, reserve, concurrency)


def headers_of(
    remaining: int | None, *, limit: int | None = 100, reset_in: float | None = 60.0
) -> RateLimitHeaders:
    """Return the headers of a response at `NOW`."""
    return RateLimitHeaders(
        limit, remaining, None if reset_in is None else NOW + reset_in
    )


def answered(budget: Budget, headers: RateLimitHeaders, *, now: float = NOW) -> Budget:
    """Return the budget after a request that was answered at once."""
    return budget.spend(now=now).settle(headers, now=now)


def known(headers: RateLimitHeaders, *, reserve: float = 0.2) -> Budget:
    """Return a budget after its first response."""
    return answered(new_budget(reserve=reserve), headers)


def throttled(
    budget: Budget,
    headers: RateLimitHeaders,
    *,
    retry_after: float | None = None,
    now: float = NOW,
    fraction: float = 0.0,
) -> Budget:
    """Return the budget after a request that was answered 429 at once."""
    return budget.spend(now=now).settle_throttled(
        headers, retry_after_seconds=retry_after, now=now, fraction=fraction
    )


def startable(budget: Budget, *, now: float = NOW) -> int:
    """Return how many requests may start at `now`, at most 1000."""
    count = 0
    while budget.earliest(now=now) <= now and count < 1000:
        budget = budget.spend(now=now)
        count += 1
    return count


def test_starts_are_spaced() -> None:
    """An earlier start raises an error; a budget is immutable."""
    unused = new_budget(spacing=0.5)
    budget = unused.spend(now=NOW)

    assert unused == new_budget(spacing=0.5)
    assert budget.earliest(now=NOW) == NOW + 0.5
    with pytest.raises(ValueError, match="may not start yet"):
        budget.spend(now=NOW + 0.4)


@pytest.mark.parametrize(("per_minute", "least"), [(60, 1.0), (6, 10.0), (6000, 0.01)])
def test_starts_are_spaced_a_little_more_than_the_ceiling(
    per_minute: float, least: float
) -> None:
    """Braze counts arrivals, and a new connection delays the first of two requests."""
    budget = Budget.of_rate(per_minute, reserve=0.2, concurrency=4)

    assert least < budget.spacing_seconds <= least * 1.02
    assert 0 < budget.slack_seconds < budget.spacing_seconds - least
    assert ceiling_for(60 / budget.spacing_seconds) >= per_minute * (1 - 1e-9)


def test_small_delays_do_not_add_up() -> None:
    """A start that is late by the slack at most does not delay the next ones."""
    budget = Budget(1.02, 0.2, 4, slack_seconds=0.01).spend(now=NOW)
    first = budget.next_start_at
    late = budget.spend(now=first + 0.008)
    too_late = budget.spend(now=first + 0.5)

    assert first == NOW + 1.01
    assert late.next_start_at == pytest.approx(first + 1.02)
    assert too_late.next_start_at == pytest.approx(first + 0.5 + 1.01)


def test_an_unknown_bucket_is_limited_by_concurrency() -> None:
    """Before the first response, requests wait for others to end."""
    budget = new_budget(concurrency=3)
    assert not budget.bucket.is_used
    assert startable(budget) == 3
    for _ in range(3):
        budget = budget.spend(now=NOW)

    assert budget.bucket.is_used
    assert budget.earliest(now=NOW) == math.inf
    assert budget.settle(None, now=NOW).earliest(now=NOW) == NOW


@pytest.mark.parametrize(
    ("reserve", "limit", "floor"),
    [
        (0.2, 100, 20),
        (0.2, 101, 21),
        (0.07, 100, 7),
        (0.0, 100, 0),
        (0.99, 1, 0),
        (0.99, 10, 9),
        (0.5, None, 0),
    ],
)
def test_the_floor_is_the_reserve_rounded_up(
    reserve: float, limit: int | None, floor: int
) -> None:
    """It is exact for decimal fractions, and always leaves one request."""
    assert Bucket(limit=limit).floor(reserve) == floor


@pytest.mark.parametrize(
    ("headers", "late", "count"),
    [
        (headers_of(25), 0, 5),
        (headers_of(20), 0, 0),
        (headers_of(20), 60.9, 0),
        (headers_of(0), 61, 80),
        (RateLimitHeaders(), 0, 1000),
    ],
)
def test_the_reserve_is_left_until_the_window_resets(
    headers: RateLimitHeaders, late: float, count: int
) -> None:
    """A reset in whole seconds may be rounded down: a second is added to it.

    Without headers only the spacing limits requests.
    """
    assert startable(known(headers), now=NOW + late) == count


@pytest.mark.parametrize(
    ("remaining", "limit", "count"), [(40, 100, 10), (30, 100, 0), (8, 8, 1)]
)
def test_requests_of_other_processes_are_left_room(
    remaining: int, limit: int, count: int
) -> None:
    """Of two others, five each; but one request is always left."""
    budget = new_budget()._replace(processes=3)

    found = answered(budget, headers_of(remaining, limit=limit))

    assert startable(found) == count


def test_requests_in_flight_count_as_spent() -> None:
    """A response may have been sent before they arrived."""
    budget = known(headers_of(25)).spend(now=NOW).spend(now=NOW)

    assert startable(budget.settle(headers_of(24), now=NOW)) == 3


def test_requests_in_flight_count_after_the_reset() -> None:
    """A window of two with a reserve of half has room for one at a time."""
    budget = known(headers_of(0, limit=2), reserve=0.5).spend(now=NOW + 61)

    assert budget.earliest(now=NOW + 61) == math.inf


@pytest.mark.parametrize(
    ("first", "others", "expected"),
    [
        # Responses may overtake each other: a higher number is the older one.
        (headers_of(25), [headers_of(22), headers_of(24)], (100, 22, 60)),
        (headers_of(25), [headers_of(90, reset_in=120.0)], (100, 90, 120)),
        # A late response of the previous window is ignored.
        (headers_of(90, reset_in=120.0), [headers_of(3)], (100, 90, 120)),
        # Resets a second apart are of one window.
        (
            headers_of(30),
            [headers_of(29, reset_in=61.0), headers_of(28)],
            (100, 28, 61),
        ),
        (headers_of(30), [RateLimitHeaders()], (100, 30, 60)),
        (headers_of(0, reset_in=None), [], (100, 0, 60)),
        (headers_of(0, reset_in=1e9), [], (100, 0, 3600)),
    ],
    ids=["overtaken", "new window", "late", "one window", "none", "no reset", "far"],
)
def test_headers_are_merged(
    first: RateLimitHeaders,
    others: list[RateLimitHeaders],
    expected: tuple[int, int, float],
) -> None:
    """The lowest `remaining` of the latest window counts; windows have bounds."""
    budget = known(first)
    for headers in others:
        budget = answered(budget, headers)

    bucket = budget.bucket
    assert (bucket.limit, bucket.remaining, bucket.reset_at - NOW) == expected


@pytest.mark.parametrize(
    ("reset_in", "retry_after", "fraction", "wait"),
    [
        # The longest wait is kept, with up to five seconds of jitter.
        (60.0, 5.0, 0.0, 60.0),
        (60.0, 5.0, 0.5, 62.5),
        (4.0, 12.0, 0.0, 12.0),
        (12.0, 4.0, 0.0, 12.0),
        # A reset in the past is ignored; 1 s and 1 h are the bounds.
        (None, 30.0, 0.0, 30.0),
        (-5.0, 30.0, 0.0, 30.0),
        (None, 0.0, 0.0, 1.0),
        (0.2, None, 0.0, 1.0),
        (1e9, None, 0.0, 3600.0),
        (None, 1e9, 0.0, 3600.0),
        (-5.0, None, 0.0, 1.0),
    ],
)
def test_429_shuts_the_bucket(
    reset_in: float | None, retry_after: float | None, fraction: float, wait: float
) -> None:
    """Until its reset or for `Retry-After`, whichever is longer."""
    budget = throttled(
        new_budget(),
        headers_of(None, reset_in=reset_in),
        retry_after=retry_after,
        fraction=fraction,
    )

    assert budget.bucket.shut_until == NOW + wait
    assert budget.bucket.is_used


def test_a_shut_bucket_opens_at_its_time_only() -> None:
    """Later responses with room, or another 429 with a shorter wait, change nothing."""
    budget = new_budget().spend(now=NOW).spend(now=NOW)
    budget = throttled(budget, headers_of(None)).settle(headers_of(100), now=NOW)
    budget = budget.settle_throttled(
        RateLimitHeaders(), retry_after_seconds=2.0, now=NOW, fraction=0.0
    )

    found = [budget.earliest(now=NOW + late) for late in (0, 59, 60)]

    assert found == [NOW + 60] * 3


def test_429_without_headers_backs_off() -> None:
    """The longest random wait doubles up to a minute; a response starts it again."""
    budget, now = new_budget(), NOW
    waits = []
    for _ in range(7):
        budget = throttled(budget, RateLimitHeaders(), now=now, fraction=0.5)
        waits.append(budget.bucket.shut_until - now - 2.5)
        now = budget.earliest(now=now)

    assert waits == [1, 2, 4, 8, 16, 30, 30]
    assert answered(budget, RateLimitHeaders(), now=now).bucket.throttled_in_a_row == 0


def test_other_bounds_keep_the_account() -> None:
    """All bounds are the new ones."""
    before = answered(Budget(1.0, 0.2, 4, slack_seconds=0.01), headers_of(50))
    bounds = Budget(10.0, 0.5, 1, processes=2)

    assert before.bounded_as(bounds) == bounds._replace(
        next_start_at=before.next_start_at, bucket=before.bucket
    )


@pytest.mark.parametrize(
    ("ended", "before", "after"),
    [
        # The end of a window is given again by the next response.
        (lambda one: one.settle(headers_of(0), now=NOW), 61, 10),
        # The end of a 429 may be an hour off: it is cut to a minute.
        (
            lambda one: one.settle_throttled(
                headers_of(0, reset_in=3000.0),
                retry_after_seconds=5.0,
                now=NOW + 1,
                fraction=0.0,
            ),
            3001,
            70,
        ),
        (
            lambda one: one.settle_throttled(
                headers_of(0), retry_after_seconds=30.0, now=NOW + 6, fraction=0.0
            ),
            61,
            60,
        ),
        # The spacing stays.
        (lambda one: one._replace(next_start_at=NOW + 90), 90, 90),
    ],
    ids=["window", "long 429", "short 429", "spacing"],
)
def test_waits_after_the_wall_clock_was_set(
    ended: Callable[[Budget], Budget], before: float, after: float
) -> None:
    """Instants that Braze gave are discarded, requests in flight stay."""
    budget = ended(new_budget().spend(now=NOW).spend(now=NOW))

    found = budget.without_windows(now=NOW + 10)

    assert budget.earliest(now=NOW + 10) == NOW + before
    assert found.earliest(now=NOW + 10) == NOW + after
    assert found.bucket.in_flight == budget.bucket.in_flight > 0


# Headers as the client parses them: integers from 0, however absurd.
counts = st.none() | st.integers(0, 60) | st.just(10**15 - 1)
resets = st.none() | st.integers(-(10**4), 10**4) | st.just(10**14)


@dataclass(frozen=True)
class RelativeHeaders:
    """Headers whose reset counts from the instant of the response."""

    limit: int | None
    remaining: int | None
    reset_in: int | None

    def at(self, now: float) -> RateLimitHeaders:
        """Return the headers of a response at `now`."""
        reset_in = self.reset_in
        reset_at = None if reset_in is None else max(0.0, float(int(now) + reset_in))
        return RateLimitHeaders(self.limit, self.remaining, reset_at)


any_headers = st.builds(RelativeHeaders, counts, counts, resets)
fractions = st.floats(0, 1, exclude_max=True)


class AnySequence(RuleBasedStateMachine):
    """Time passes, requests start and end, and headers have any values."""

    def __init__(self) -> None:
        super().__init__()
        self.budget = new_budget()
        self.now = NOW
        self.in_flight = 0
        self.starts: list[float] = []
        self.shut_until = -math.inf

    @initialize(
        spacing=st.floats(0, 60),
        reserve=fractions,
        concurrency=st.integers(1, 8),
    )
    def configure(self, spacing: float, reserve: float, concurrency: int) -> None:
        """Choose the bounds."""
        self.budget = Budget(spacing, reserve, concurrency)

    @rule(seconds=st.floats(0, 120))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    @rule()
    def start(self) -> None:
        """Start a request as soon as one may start."""
        at = self.budget.earliest(now=self.now)
        if at == math.inf:
            return
        self.now = at
        if self.budget.earliest(now=at) > at:
            assert self.in_flight  # the window was reset, and has no room for one more
            return
        self.budget = self.budget.spend(now=at)
        self.in_flight += 1
        self.starts.append(at)
        assert at >= self.shut_until

    @precondition(lambda self: self.in_flight)
    @rule(given=st.none() | any_headers)
    def end(self, given: RelativeHeaders | None) -> None:
        """End a request with any headers, or without a response."""
        self.in_flight -= 1
        headers = given.at(self.now) if given else None
        self.budget = self.budget.settle(headers, now=self.now)

    @precondition(lambda self: self.in_flight)
    @rule(
        given=any_headers,
        retry_after=st.none() | st.floats(0, 3600),
        fraction=fractions,
    )
    def throttle(
        self, given: RelativeHeaders, retry_after: float | None, fraction: float
    ) -> None:
        """End a request with 429."""
        self.in_flight -= 1
        headers = given.at(self.now)
        self.budget = self.budget.settle_throttled(
            headers, retry_after_seconds=retry_after, now=self.now, fraction=fraction
        )
        wait = retry_after or 0.0
        if headers.reset_at is not None:
            wait = max(wait, headers.reset_at - self.now)
        wait = min(max(wait, 1.0), 3600.0)
        self.shut_until = max(self.shut_until, self.now + wait)

    @invariant()
    def starts_are_spaced(self) -> None:
        """No two starts are closer than the spacing."""
        spacing = self.budget.spacing_seconds
        assert all(later >= sooner + spacing for sooner, later in pairwise(self.starts))

    @invariant()
    def in_flight_is_counted(self) -> None:
        """Compare the number of requests in flight."""
        assert self.budget.bucket.in_flight == self.in_flight >= 0

    @invariant()
    def the_next_start_is_not_in_the_past(self) -> None:
        """`earliest` is never before `now`."""
        assert self.budget.earliest(now=self.now) >= self.now

    @invariant()
    def a_request_may_start_within_an_hour(self) -> None:
        """At least once nothing is in flight."""
        if self.in_flight:
            return
        at = self.budget.earliest(now=self.now)
        assert at <= self.now + 3600 + 5 + self.budget.spacing_seconds
        assert self.budget.earliest(now=at) == at


AnySequence.TestCase.settings = settings(
    max_examples=50, stateful_step_count=40, deadline=None
)
TestAnySequence = AnySequence.TestCase


@dataclass
class FixedWindow:
    """A bucket of Braze: a fixed window whose reset is given in whole seconds."""

    limit: int
    window_seconds: float
    offset_seconds: float
    round_reset: Callable[[float], int]
    counts: dict[int, int] = field(default_factory=dict)
    """Requests by window."""

    def arrive(self, now: float) -> RateLimitHeaders:
        """Count a request in its window, and return the headers of its response."""
        number = math.floor((now - self.offset_seconds) / self.window_seconds)
        self.counts[number] = self.counts.get(number, 0) + 1
        end = (number + 1) * self.window_seconds + self.offset_seconds
        remaining = max(0, self.limit - self.counts[number])
        return RateLimitHeaders(self.limit, remaining, float(self.round_reset(end)))


@dataclass
class Traffic:
    """Requests that arrive, and responses that come back, in any order.

    Each process has its own budget; if there are several, each has at most
    `concurrency` requests in flight.
    """

    budgets: list[Budget]
    braze: FixedWindow
    random: Random
    latency_seconds: float
    now: float = NOW
    events: list[tuple[float, int, int, RateLimitHeaders | None]] = field(
        default_factory=list
    )

    def run(self, *, starts: int) -> None:
        """Start so many requests, each as soon as the budget allows it."""
        number = 0
        while number < starts:
            process = self.random.randrange(len(self.budgets))
            at = self._earliest(process)
            if self.events and self.events[0][0] <= at:
                self._handle()
                continue
            self.now = at
            if self._earliest(process) > at:
                continue
            self.budgets[process] = self.budgets[process].spend(now=at)
            number += 1
            heappush(self.events, (at + self._delay(), number, process, None))

    def _earliest(self, process: int) -> float:
        budget = self.budgets[process]
        has_limit = len(self.budgets) > 1
        is_busy = has_limit and budget.bucket.in_flight >= budget.concurrency
        return math.inf if is_busy else budget.earliest(now=self.now)

    def _handle(self) -> None:
        self.now, number, process, headers = heappop(self.events)
        if headers is None:
            response = self.braze.arrive(self.now)
            event = (self.now + self._delay(), number, process, response)
            heappush(self.events, event)
        else:
            budget = self.budgets[process].settle(headers, now=self.now)
            self.budgets[process] = budget

    def _delay(self) -> float:
        return self.random.random() * self.latency_seconds


@settings(max_examples=200, deadline=None)
@given(
    limit=st.integers(1, 60),
    reserve=st.floats(0, 0.99),
    concurrency=st.integers(1, 8),
    processes=st.integers(1, 3),
    window=st.floats(5, 3600),
    offset=st.floats(0, 3600),
    round_reset=st.sampled_from([math.floor, math.ceil]),
    spacing=st.floats(0, 1),
    latency=st.floats(0.001, 30),
    random=st.randoms(use_true_random=False),
)
def test_every_window_keeps_its_reserve(
    *,
    limit: int,
    reserve: float,
    concurrency: int,
    processes: int,
    window: float,
    offset: float,
    round_reset: Callable[[float], int],
    spacing: float,
    latency: float,
    random: Random,
) -> None:
    """No window gets more than its limit less the reserve, so that 429 never comes.

    Only if that is less than one request for each process, each sends one; and before
    the first response each process starts `concurrency` requests at once.
    """
    ours = max(processes, limit - Bucket(limit=limit).floor(reserve))
    budget = Budget(
        spacing, reserve, min(concurrency, ours // processes), processes=processes
    )
    braze = FixedWindow(limit, window, offset, round_reset)

    Traffic([budget] * processes, braze, Random(random.random()), latency).run(
        starts=150
    )

    assert max(braze.counts.values()) <= ours
