"""The request budget of one Braze bucket."""

import math
from collections import Counter
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any

import pytest
from exporter.braze.rate_limit import Bucket, Budget, ceiling_for
from exporter.braze.rate_limit_view import RateLimitView, rate_limit_view
from exporter.model.rate_limit_headers import RateLimitHeaders
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.fake_clock import NOW

NEW = Budget(0.0, reserve=0.2, concurrency=4)


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
    started = 0
    while budget.earliest(now=now) <= now and started < 1000:
        budget = budget.spend(now=now)
        started += 1
    return started


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
    budget = NEW
    assert not budget.bucket.is_used
    assert startable(budget) == 4
    for _ in range(4):
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
    assert Bucket(limit=limit).floor(reserve) == floor


@pytest.mark.parametrize(
    ("headers", "processes", "late", "expected"),
    [
        (headers_of(25), 1, 0, 5),
        (headers_of(20), 1, 0, 0),
        # A reset in whole seconds may be rounded down: a second is added to it.
        (headers_of(20), 1, 60.9, 0),
        (headers_of(0), 1, 61, 80),
        # Without headers only the spacing limits requests.
        (RateLimitHeaders(), 1, 0, 1000),
        # Five requests for each other process; but one request is always left.
        (headers_of(40), 3, 0, 10),
        (headers_of(30), 3, 0, 0),
        (headers_of(8, limit=8), 3, 0, 1),
    ],
)
def test_the_reserve_is_left_until_the_window_resets(
    headers: RateLimitHeaders, processes: int, late: float, expected: int
) -> None:
    budget = answered(NEW._replace(processes=processes), headers)

    assert startable(budget, now=NOW + late) == expected


def test_requests_in_flight_count_as_spent() -> None:
    """A response may have been sent before they arrived, also after the reset."""
    budget = answered(NEW, headers_of(25)).spend(now=NOW).spend(now=NOW)
    half = answered(NEW._replace(reserve=0.5), headers_of(0, limit=2))

    assert startable(budget.settle(headers_of(24), now=NOW)) == 3
    assert half.spend(now=NOW + 61).earliest(now=NOW + 61) == math.inf


@pytest.mark.parametrize(
    ("responses", "remaining", "reset_in"),
    [
        # Responses may overtake each other: a higher number is the older one.
        ([headers_of(25), headers_of(22), headers_of(24)], 22, 60),
        ([headers_of(25), headers_of(90, reset_in=120.0)], 90, 120),
        # A late response of the previous window is ignored.
        ([headers_of(90, reset_in=120.0), headers_of(3)], 90, 120),
        # Resets a second apart are of one window.
        ([headers_of(30), headers_of(29, reset_in=61.0), headers_of(28)], 28, 61),
        ([headers_of(30), RateLimitHeaders()], 30, 60),
        ([headers_of(0, reset_in=None)], 0, 60),
        ([headers_of(0, reset_in=1e9)], 0, 3600),
    ],
)
def test_headers_are_merged(
    responses: list[RateLimitHeaders], remaining: int, reset_in: float
) -> None:
    budget = NEW
    for headers in responses:
        budget = answered(budget, headers)

    assert budget.bucket.limit == 100
    assert budget.bucket.remaining == remaining
    assert budget.bucket.reset_at == NOW + reset_in


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
    budget = throttled(
        NEW,
        headers_of(None, reset_in=reset_in),
        retry_after=retry_after,
        fraction=fraction,
    )

    assert budget.bucket.shut_until == NOW + wait
    assert budget.bucket.is_used


def test_429_without_headers_backs_off() -> None:
    """The longest random wait doubles up to a minute; a response starts it again."""
    budget, now = NEW, NOW
    waits = []
    for _ in range(7):
        budget = throttled(budget, RateLimitHeaders(), now=now, fraction=0.5)
        waits.append(budget.bucket.shut_until - now - 2.5)
        now = budget.earliest(now=now)

    assert waits == [1, 2, 4, 8, 16, 30, 30]
    assert answered(budget, RateLimitHeaders(), now=now).bucket.throttled_in_a_row == 0


@pytest.mark.parametrize(
    ("budget", "before", "after"),
    [
        # The end of a window is given again by the next response.
        (answered(NEW, headers_of(0)), 61, 10),
        # The end of a 429 may be an hour off: it is cut to a minute.
        (throttled(NEW, headers_of(0, reset_in=3000.0), retry_after=5.0), 3001, 70),
        (throttled(NEW, headers_of(0), retry_after=30.0), 61, 60),
        # The spacing stays.
        (NEW._replace(next_start_at=NOW + 90), 90, 90),
    ],
    ids=["window", "long 429", "short 429", "spacing"],
)
def test_waits_after_the_wall_clock_was_set(
    budget: Budget, before: float, after: float
) -> None:
    budget = budget._replace(bucket=budget.bucket._replace(in_flight=1))

    found = budget.without_windows(now=NOW + 10)

    assert budget.earliest(now=NOW + 10) == NOW + before
    assert found.earliest(now=NOW + 10) == NOW + after
    assert found.bucket.in_flight == 1


@pytest.mark.parametrize(
    ("bucket", "expected"),
    [
        (
            Bucket(1, True, 100, 40, reset_at=NOW, shut_until=NOW + 50),
            RateLimitView("a", 100, 40, NOW + 10, 20, 1, shut_until=NOW + 60),
        ),
        # No response yet; and a bucket that is open again.
        (Bucket(), RateLimitView("a", None, None, None, 0, 0, shut_until=None)),
        (
            Bucket(shut_until=NOW - 11),
            RateLimitView("a", None, None, None, 0, 0, shut_until=None),
        ),
    ],
)
def test_the_view_has_wall_clock_times(bucket: Bucket, expected: RateLimitView) -> None:
    budget = Budget(2.0, reserve=0.2, concurrency=4, bucket=bucket)

    assert rate_limit_view(budget, "a", now=NOW, wall_offset=10.0) == expected


# Headers as the client parses them: integers from 0, however absurd; the reset counts
# from the instant of the response.
counts = st.none() | st.integers(0, 60) | st.just(10**15 - 1)
resets = st.none() | st.integers(-(10**4), 10**4) | st.just(10**14)
any_headers = st.tuples(counts, counts, resets)
fractions = st.floats(0, 1, exclude_max=True)
waits = st.tuples(st.just("wait"), st.floats(0, 120))
starts = st.tuples(st.just("start"), st.none())
ends = st.tuples(st.just("end"), st.none() | any_headers)
throttles = st.tuples(
    st.just("429"), st.tuples(any_headers, st.none() | st.floats(0, 3600), fractions)
)


def at(
    now: float, given: tuple[int | None, int | None, int | None]
) -> RateLimitHeaders:
    """Return the headers of a response at `now`."""
    limit, remaining, reset_in = given
    reset_at = None if reset_in is None else max(0.0, float(int(now) + reset_in))
    return RateLimitHeaders(limit, remaining, reset_at)


@settings(max_examples=100)
@given(
    spacing=st.floats(0, 60),
    reserve=fractions,
    concurrency=st.integers(1, 8),
    steps=st.lists(waits | starts | ends | throttles, min_size=1, max_size=40),
)
def test_any_sequence_keeps_the_bounds(
    spacing: float, reserve: float, concurrency: int, steps: list[tuple[str, Any]]
) -> None:
    budget, now, in_flight = Budget(spacing, reserve, concurrency), NOW, 0
    last_start = shut_until = -math.inf
    for kind, value in steps:
        earliest = budget.earliest(now=now)
        if kind == "wait":
            now += value
        elif kind == "start" and earliest < math.inf:
            now = earliest
            if budget.earliest(now=now) > now:
                assert in_flight  # the window was reset, and has no room for one more
                continue
            assert now >= max(shut_until, last_start + spacing)
            budget, last_start, in_flight = budget.spend(now=now), now, in_flight + 1
        elif kind == "end" and in_flight:
            in_flight -= 1
            budget = budget.settle(value and at(now, value), now=now)
        elif kind == "429" and in_flight:
            in_flight -= 1
            headers, retry_after = at(now, value[0]), value[1]
            budget = budget.settle_throttled(
                headers, retry_after_seconds=retry_after, now=now, fraction=value[2]
            )
            wait = max(retry_after or 0.0, (headers.reset_at or now) - now, 1.0)
            shut_until = max(shut_until, now + min(wait, 3600.0))
        earliest = budget.earliest(now=now)
        assert budget.bucket.in_flight == in_flight
        assert earliest >= now
        if not in_flight:
            assert earliest <= now + 3600 + 5 + spacing
            assert budget.earliest(now=earliest) == earliest


@settings(max_examples=200)
@given(st.data())
def test_every_window_keeps_its_reserve(data: st.DataObject) -> None:
    """No window gets more than its limit less the reserve, so that 429 never comes.

    Braze has fixed windows and gives their ends in whole seconds; requests and
    responses arrive in any order. Only if there is less than one request for each
    process, each sends one; and before the first response each process starts
    `concurrency` requests at once. Of several processes, each has at most `concurrency`
    requests in flight.
    """
    limit = data.draw(st.integers(1, 60), "limit")
    reserve = data.draw(st.floats(0, 0.99), "reserve")
    processes = data.draw(st.integers(1, 3), "processes")
    ours = max(processes, limit - Bucket(limit=limit).floor(reserve))
    concurrency = min(data.draw(st.integers(1, 8), "concurrency"), ours // processes)
    spacing = data.draw(st.floats(0, 1), "spacing")
    budget = Budget(spacing, reserve, concurrency, processes=processes)
    budgets = [budget] * processes
    window = data.draw(st.floats(5, 3600), "window")
    offset = data.draw(st.floats(0, 3600), "offset")
    round_reset = data.draw(st.sampled_from([math.floor, math.ceil]), "rounding")
    latency = data.draw(st.floats(0.001, 30), "latency")
    random, number, now = Random(data.draw(st.integers(), "seed")), count(), NOW
    events: list[tuple[float, int, int, RateLimitHeaders | None]] = []
    requests: Counter[int] = Counter()

    def earliest(process: int) -> float:
        is_busy = budgets[process].bucket.in_flight >= concurrency
        is_limited = processes > 1 and is_busy
        return math.inf if is_limited else budgets[process].earliest(now=now)

    def later(process: int, headers: RateLimitHeaders | None) -> None:
        event = (now + random.random() * latency, next(number), process, headers)
        heappush(events, event)

    while requests.total() < 150:
        process = random.randrange(processes)
        start_at = earliest(process)
        if not events or events[0][0] > start_at:
            now = start_at
            if earliest(process) <= now:
                budgets[process] = budgets[process].spend(now=now)
                later(process, None)
            continue
        now, _, process, headers = heappop(events)
        if headers is not None:
            budgets[process] = budgets[process].settle(headers, now=now)
            continue
        index = math.floor((now - offset) / window)
        requests[index] += 1
        reset_at = float(round_reset((index + 1) * window + offset))
        remaining = max(0, limit - requests[index])
        later(process, RateLimitHeaders(limit, remaining, reset_at))

    assert max(requests.values()) <= ours
