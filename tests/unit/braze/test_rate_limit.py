"""The account of what a workspace may still ask of Braze."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import pairwise
from random import Random

import pytest
from exporter.braze.rate_limit import Bucket, Budget, spacing
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

SERIES = "campaigns/data_series"
LIST = "campaigns/list"
NOW = 1_700_000_000.0


def budget(
    *, spacing: float = 0.0, reserve: float = 0.2, concurrency: int = 4
) -> Budget:
    """Return a budget that was not used yet."""
    return Budget(spacing, reserve, concurrency)


def told(
    remaining: int | None, *, limit: int | None = 100, reset_in: float | None = 60.0
) -> RateLimitHeaders:
    """Return what an answer at `NOW` said."""
    return RateLimitHeaders(
        limit, remaining, None if reset_in is None else NOW + reset_in
    )


def answered(
    account: Budget, allowance: RateLimitHeaders, *, now: float = NOW
) -> Budget:
    """Return the budget after a request that was answered at once."""
    return account.spend(SERIES, now=now).settle(SERIES, allowance, now=now)


def known(allowance: RateLimitHeaders, *, reserve: float = 0.2) -> Budget:
    """Return a budget after one answer at `NOW`."""
    return answered(budget(reserve=reserve), allowance)


def startable(account: Budget, *, now: float = NOW) -> int:
    """Count how many requests may start at `now`, one after the other."""
    count = 0
    while account.earliest(SERIES, now=now) <= now and count < 1000:
        account = account.spend(SERIES, now=now)
        count += 1
    return count


def throttled(
    account: Budget,
    allowance: RateLimitHeaders,
    *,
    retry_after: float | None = None,
    now: float = NOW,
    fraction: float = 0.0,
) -> Budget:
    """Return the budget after a request that was answered 429 at once."""
    return account.spend(SERIES, now=now).settle_throttled(
        SERIES,
        allowance,
        retry_after_seconds=retry_after,
        now=now,
        fraction=fraction,
    )


def test_starts_stand_apart() -> None:
    """The next request may start one spacing later, whichever endpoint it is for."""
    account = budget(spacing=0.5).spend(SERIES, now=NOW)

    found = [account.earliest(endpoint, now=NOW) for endpoint in (SERIES, LIST)]

    assert found == [NOW + 0.5, NOW + 0.5]


def test_spending_too_early_is_an_error() -> None:
    """Who did not ask first is told so, and for which endpoint."""
    account = budget(spacing=0.5).spend(SERIES, now=NOW)

    with pytest.raises(ValueError, match="campaigns/data_series may not start yet"):
        account.spend(SERIES, now=NOW + 0.4)


def test_a_budget_never_changes() -> None:
    """Spending returns another budget; who holds the former one may keep it."""
    account = budget()

    account.spend(SERIES, now=NOW)

    assert account == budget()


def test_an_unknown_bucket_takes_as_many_as_run_at_once() -> None:
    """Before its first answer at most `concurrency` start, then one must end."""
    account = budget(concurrency=3)
    for _ in range(3):
        account = account.spend(SERIES, now=NOW)

    full = account.earliest(SERIES, now=NOW)
    unanswered = account.settle(SERIES, None, now=NOW).earliest(SERIES, now=NOW)

    assert (full, unanswered) == (math.inf, NOW)


def test_buckets_are_apart() -> None:
    """What one endpoint used up is no matter of another."""
    account = known(told(0))

    assert account.earliest(SERIES, now=NOW) > NOW
    assert account.earliest(LIST, now=NOW) == NOW


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
    """It is exact for decimal fractions, and one request is never withheld."""
    assert Bucket(limit=limit).floor(reserve) == floor


def test_the_reserve_is_left_to_others() -> None:
    """Of 25 that remain of 100, a reserve of a fifth lets five start."""
    assert startable(known(told(25))) == 5


def test_requests_in_flight_count_as_spent() -> None:
    """An answer that left before they arrived does not know of them."""
    account = known(told(25)).spend(SERIES, now=NOW).spend(SERIES, now=NOW)
    account = account.settle(SERIES, told(24), now=NOW)

    assert startable(account) == 3


def test_the_lowest_remaining_counts() -> None:
    """Answers may overtake each other; a higher number is the older one."""
    account = known(told(25)).spend(SERIES, now=NOW).spend(SERIES, now=NOW)
    account = account.settle(SERIES, told(22), now=NOW)
    account = account.settle(SERIES, told(24), now=NOW)

    assert account.bucket(SERIES).remaining == 22


def test_at_the_floor_requests_wait_for_the_reset() -> None:
    """And for a second more, since a Reset in whole seconds may be rounded down."""
    account = known(told(20))

    assert account.earliest(SERIES, now=NOW) == NOW + 61
    assert startable(account, now=NOW + 60.9) == 0


def test_after_the_reset_the_bucket_counts_as_full() -> None:
    """All but the reserve may start before the new window's first answer."""
    assert startable(known(told(0)), now=NOW + 61) == 80


def test_after_the_reset_what_is_in_flight_still_counts() -> None:
    """A window of two has room for one; it opens again when that one has ended."""
    account = known(told(0, limit=2), reserve=0.5).spend(SERIES, now=NOW + 61)

    assert account.earliest(SERIES, now=NOW + 61) == math.inf


def test_a_new_window_replaces_the_old_one() -> None:
    """A later Reset brings its own Remaining, although that is higher."""
    account = known(told(20))
    account = answered(account, told(90, reset_in=120.0), now=NOW + 61)

    assert account.bucket(SERIES).remaining == 90


def test_a_late_answer_of_an_old_window_changes_nothing() -> None:
    """Its Remaining is of a time that is over."""
    account = known(told(90, reset_in=120.0))
    later = answered(account, told(3, reset_in=60.0), now=NOW + 1)

    assert later.bucket(SERIES).remaining == 90


def test_resets_a_second_apart_are_one_window() -> None:
    """The server may compute it anew for each answer."""
    account = answered(known(told(30)), told(29, reset_in=61.0), now=NOW + 1)
    account = answered(account, told(28, reset_in=60.0), now=NOW + 2)

    bucket = account.bucket(SERIES)

    assert (bucket.remaining, bucket.reset_at) == (28, NOW + 61)


def test_without_a_reset_the_window_is_taken_for_a_minute() -> None:
    """Remaining alone is believed, but not for ever."""
    account = known(told(0, reset_in=None))

    assert account.earliest(SERIES, now=NOW) == NOW + 61


def test_a_reset_is_believed_for_an_hour() -> None:
    """Braze's windows are no longer than that: what lies further off is a mistake."""
    account = known(told(0, reset_in=1e9))

    assert account.earliest(SERIES, now=NOW) == NOW + 3601


def test_an_answer_without_headers_lets_all_start() -> None:
    """Where nothing is said about an allowance, only our own ceiling holds."""
    assert startable(known(RateLimitHeaders())) == 1000


def test_what_an_answer_leaves_out_stays_as_it_was() -> None:
    """Limit and Remaining are remembered over an answer that lacks them."""
    account = answered(known(told(30)), RateLimitHeaders())

    bucket = account.bucket(SERIES)

    assert (bucket.limit, bucket.remaining) == (100, 30)


def test_429_shuts_the_bucket_until_its_reset() -> None:
    """Reset wins over Retry-After, and up to five seconds of jitter follow."""
    found = [
        throttled(budget(), told(None), retry_after=5.0, fraction=fraction)
        .bucket(SERIES)
        .shut_until
        for fraction in (0.0, 0.5)
    ]

    assert found == [NOW + 60, NOW + 62.5]


def test_a_shut_bucket_opens_for_nothing_but_time() -> None:
    """Whatever the answers still on their way say, nothing starts before."""
    account = throttled(budget().spend(SERIES, now=NOW), told(None))
    account = account.settle(SERIES, told(100), now=NOW)

    found = [account.earliest(SERIES, now=NOW + late) for late in (0, 59, 60)]

    assert found == [NOW + 60] * 3


@pytest.mark.parametrize(
    ("reset_in", "retry_after", "wait"),
    [
        (None, 30.0, 30.0),
        (-5.0, 30.0, 30.0),
        (None, 0.0, 1.0),
        (0.2, None, 1.0),
        (1e9, None, 3600.0),
        (None, 1e9, 3600.0),
        (-5.0, None, 1.0),
    ],
)
def test_the_wait_after_429_has_bounds(
    reset_in: float | None, retry_after: float | None, wait: float
) -> None:
    """A Reset in the past gives way to Retry-After; 1 s and 1 h are the bounds."""
    account = throttled(
        budget(), told(None, reset_in=reset_in), retry_after=retry_after
    )

    assert account.bucket(SERIES).shut_until == NOW + wait


def test_429_without_a_word_backs_off() -> None:
    """The wait is drawn from a length that doubles with each 429, up to a minute."""
    account, now = budget(), NOW
    waits = []
    for _ in range(7):
        account = throttled(account, RateLimitHeaders(), now=now, fraction=0.5)
        waits.append(account.bucket(SERIES).shut_until - now - 2.5)
        now = account.earliest(SERIES, now=now)

    assert waits == [1, 2, 4, 8, 16, 30, 30]


def test_an_answer_ends_the_backoff() -> None:
    """The next 429 without a word begins with the shortest wait again."""
    account = throttled(budget(), RateLimitHeaders())
    account = throttled(account, RateLimitHeaders(), now=NOW + 10)
    account = answered(account, RateLimitHeaders(), now=NOW + 20)

    assert account.bucket(SERIES).throttled_in_a_row == 0


@pytest.mark.parametrize(("reset", "retry_after"), [(4.0, 12.0), (12.0, 4.0)])
def test_of_two_headers_the_longer_wait_is_obeyed(
    reset: float, retry_after: float
) -> None:
    """Nothing is sent before either of them."""
    account = throttled(
        budget(),
        RateLimitHeaders(100, 0, NOW + reset),
        retry_after=retry_after,
        fraction=0.0,
    )

    assert account.bucket(SERIES).shut_until == NOW + 12


def test_a_little_lateness_does_not_add_up() -> None:
    """A start that is late by the slack or less leaves the next one its time."""
    account = Budget(1.02, 0.2, 4, slack_seconds=0.01).spend(SERIES, now=NOW)
    first = account.next_start_at
    late = account.spend(SERIES, now=first + 0.008)
    too_late = account.spend(SERIES, now=first + 0.5)

    assert first == NOW + 1.01
    assert late.next_start_at == pytest.approx(first + 1.02)
    assert too_late.next_start_at == pytest.approx(first + 0.5 + 1.01)
    assert late.bounded_as(Budget(2.0, 0.2, 4)).slack_seconds == 0


def test_a_second_429_does_not_shorten_the_wait() -> None:
    """Two may come at once; the one that knows the Reset is right."""
    account = throttled(budget().spend(SERIES, now=NOW), told(None))
    account = account.settle_throttled(
        SERIES, RateLimitHeaders(), retry_after_seconds=2.0, now=NOW, fraction=0.0
    )

    assert account.earliest(SERIES, now=NOW) == NOW + 60


# Headers as `answer.allowance_of` gives them: integers from 0, however absurd.
counts = st.none() | st.integers(0, 60) | st.just(10**15 - 1)
resets = st.none() | st.integers(-(10**4), 10**4) | st.just(10**14)


@dataclass(frozen=True)
class Headers:
    """An allowance whose Reset counts from the instant at which it comes."""

    limit: int | None
    remaining: int | None
    reset_in: int | None

    def at(self, now: float) -> RateLimitHeaders:
        """Return it as an answer at `now` says it."""
        reset_in = self.reset_in
        reset_at = None if reset_in is None else max(0.0, float(int(now) + reset_in))
        return RateLimitHeaders(self.limit, self.remaining, reset_at)


headers = st.builds(Headers, counts, counts, resets)
fractions = st.floats(0, 1, exclude_max=True)


class AnySequence(RuleBasedStateMachine):
    """Time passes, requests start and end, and headers say what they like."""

    def __init__(self) -> None:
        super().__init__()
        self.account = budget()
        self.now = NOW
        self.in_flight = 0
        self.starts: list[float] = []
        self.shut_until = -math.inf

    @initialize(
        spacing=st.floats(0, 60),
        reserve=st.floats(0, 1, exclude_max=True),
        concurrency=st.integers(1, 8),
    )
    def begin(self, spacing: float, reserve: float, concurrency: int) -> None:
        """Draw the configuration."""
        self.account = Budget(spacing, reserve, concurrency)

    @rule(seconds=st.floats(0, 120))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    @rule()
    def ask(self) -> None:
        """Start a request as soon as one may start, if that is a matter of time."""
        at = self.account.earliest(SERIES, now=self.now)
        if at == math.inf:
            return
        self.now = at
        if self.account.earliest(SERIES, now=at) > at:
            assert self.in_flight  # one in flight stands in the way meanwhile
            return
        self.account = self.account.spend(SERIES, now=at)
        self.in_flight += 1
        self.starts.append(at)
        assert at >= self.shut_until

    @precondition(lambda self: self.in_flight)
    @rule(said=st.none() | headers)
    def answer(self, said: Headers | None) -> None:
        """End a request with any headers, or without an answer."""
        self.in_flight -= 1
        allowance = said.at(self.now) if said else None
        self.account = self.account.settle(SERIES, allowance, now=self.now)

    @precondition(lambda self: self.in_flight)
    @rule(
        said=headers,
        retry_after=st.none() | st.floats(0, 3600),
        fraction=fractions,
    )
    def refuse(self, said: Headers, retry_after: float | None, fraction: float) -> None:
        """End a request with 429."""
        self.in_flight -= 1
        allowance = said.at(self.now)
        self.account = self.account.settle_throttled(
            SERIES,
            allowance,
            retry_after_seconds=retry_after,
            now=self.now,
            fraction=fraction,
        )
        wait = retry_after or 0.0
        if allowance.reset_at is not None and allowance.reset_at > self.now:
            wait = allowance.reset_at - self.now
        wait = min(max(wait, 1.0), 3600.0)
        self.shut_until = max(self.shut_until, self.now + wait)

    @invariant()
    def starts_stand_apart(self) -> None:
        """Keep a spacing between any two starts."""
        spacing = self.account.spacing_seconds
        assert all(later >= sooner + spacing for sooner, later in pairwise(self.starts))

    @invariant()
    def in_flight_is_counted(self) -> None:
        """Count as many as are out, never less than none."""
        assert self.account.bucket(SERIES).in_flight == self.in_flight >= 0

    @invariant()
    def the_next_start_is_not_past(self) -> None:
        """Look ahead, never back."""
        assert self.account.earliest(SERIES, now=self.now) >= self.now

    @invariant()
    def all_ends_well(self) -> None:
        """Let a request start within about an hour once nothing is in flight."""
        if self.in_flight:
            return
        at = self.account.earliest(SERIES, now=self.now)
        assert at <= self.now + 3600 + 5 + self.account.spacing_seconds
        assert self.account.earliest(SERIES, now=at) == at


AnySequence.TestCase.settings = settings(
    max_examples=50, stateful_step_count=40, deadline=None
)
TestAnySequence = AnySequence.TestCase


@dataclass
class HonestBraze:
    """A fixed window over one bucket, whose Reset is told in whole seconds."""

    limit: int
    window_seconds: float
    offset_seconds: float
    round_reset: Callable[[float], int]
    seen: dict[int, int] = field(default_factory=dict)

    def arrive(self, now: float) -> RateLimitHeaders:
        """Count a request in its window and say what is left."""
        number = math.floor((now - self.offset_seconds) / self.window_seconds)
        self.seen[number] = self.seen.get(number, 0) + 1
        end = (number + 1) * self.window_seconds + self.offset_seconds
        remaining = max(0, self.limit - self.seen[number])
        return RateLimitHeaders(self.limit, remaining, float(self.round_reset(end)))


@dataclass
class Traffic:
    """Requests on their way: each arrives, and its answer comes back, in any order."""

    account: Budget
    braze: HonestBraze
    random: Random
    latency_seconds: float
    now: float = NOW

    def run(self, *, starts: int) -> None:
        """Start so many requests, each as soon as the budget lets it."""
        events: list[tuple[float, int, RateLimitHeaders | None]] = []
        number = 0
        while number < starts:
            at = self.account.earliest(SERIES, now=self.now)
            if events and events[0][0] <= at:
                self._happen(events)
                continue
            self.now = at
            if self.account.earliest(SERIES, now=at) > at:
                continue
            self.account = self.account.spend(SERIES, now=at)
            number += 1
            heappush(events, (at + self._delay(), number, None))

    def _happen(self, events: list[tuple[float, int, RateLimitHeaders | None]]) -> None:
        self.now, number, allowance = heappop(events)
        if allowance is None:
            said = self.braze.arrive(self.now)
            heappush(events, (self.now + self._delay(), number, said))
        else:
            self.account = self.account.settle(SERIES, allowance, now=self.now)

    def _delay(self) -> float:
        return self.random.random() * self.latency_seconds


@settings(max_examples=150, deadline=None)
@given(
    limit=st.integers(1, 60),
    reserve=st.floats(0, 0.99),
    concurrency=st.integers(1, 8),
    window=st.floats(5, 3600),
    offset=st.floats(0, 3600),
    round_reset=st.sampled_from([math.floor, math.ceil]),
    spacing=st.floats(0, 1),
    latency=st.floats(0.001, 30),
    random=st.randoms(use_true_random=False),
)
def test_an_honest_braze_keeps_its_reserve(
    *,
    limit: int,
    reserve: float,
    concurrency: int,
    window: float,
    offset: float,
    round_reset: Callable[[float], int],
    spacing: float,
    latency: float,
    random: Random,
) -> None:
    """In no window does it see more than its limit less the reserve: 429 never comes.

    Only before the first answer, when nobody knows the limit, `concurrency` may start.
    """
    ours = max(1, limit - math.ceil(round(reserve * limit, 6)))
    account = Budget(spacing, reserve, min(concurrency, ours))
    braze = HonestBraze(limit, window, offset, round_reset)

    Traffic(account, braze, Random(random.random()), latency).run(starts=150)

    assert max(braze.seen.values()) <= ours


def test_other_bounds_keep_what_was_learnt() -> None:
    """Spacing, reserve and concurrency are the new ones, the accounts the old ones."""
    before = Budget(1.0, 0.2, 4).spend("x", now=100.0)
    before = before.settle("x", RateLimitHeaders(100, 50, 160.0), now=100.0)

    after = before.bounded_as(Budget(10.0, 0.5, 1))

    assert (after.spacing_seconds, after.reserve, after.concurrency) == (10.0, 0.5, 1)
    assert after.buckets == before.buckets
    assert after.next_start_at == before.next_start_at


def test_a_window_is_not_believed_after_the_clock_was_set() -> None:
    """When it ends was told by that clock: the next answer tells it again."""
    budget = Budget(0.0, 0.2, 4).spend("x", now=100.0)
    budget = budget.settle("x", RateLimitHeaders(100, 0, 160.0), now=100.0)

    forgetful = budget.without_windows(now=110.0)

    assert budget.earliest("x", now=110.0) == 161.0
    assert forgetful.earliest("x", now=110.0) == 110.0


def test_a_429_that_a_wrong_clock_read_is_over_in_a_minute() -> None:
    """The reset it told lies an hour off; whoever asks too soon is told again."""
    budget = Budget(0.0, 0.2, 4).spend("x", now=100.0)
    budget = budget.settle_throttled(
        "x",
        RateLimitHeaders(100, 0, 3700.0),
        retry_after_seconds=5.0,
        now=101.0,
        fraction=0.0,
    )

    forgetful = budget.without_windows(now=110.0)

    assert budget.earliest("x", now=110.0) == 3701.0
    assert forgetful.earliest("x", now=110.0) == 170.0


def test_a_clock_that_is_set_ends_no_other_wait() -> None:
    """Neither for the next start nor for a bucket that is shut; none is forgotten."""
    budget = Budget(5.0, 0.2, 4).spend("x", now=100.0).spend("x", now=105.0)
    budget = budget.settle_throttled(
        "x",
        RateLimitHeaders(100, 0, 160.0),
        retry_after_seconds=30.0,
        now=106.0,
        fraction=0.0,
    )

    forgetful = budget.without_windows(now=107.0)

    assert forgetful.earliest("y", now=107.0) == 110.0
    assert forgetful.earliest("x", now=107.0) == 160.0
    assert forgetful.bucket("x").in_flight == 1


@pytest.mark.parametrize(("per_minute", "least"), [(60, 1.0), (6, 10.0), (6000, 0.01)])
def test_starts_are_spaced_a_little_more_than_the_ceiling(
    per_minute: float, least: float
) -> None:
    """What Braze counts are arrivals: a slow connection must not bring two together."""
    assert least < spacing(per_minute) <= least * 1.02
