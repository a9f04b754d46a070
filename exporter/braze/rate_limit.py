"""The request budget of one Braze bucket, as immutable values.

Three bounds hold at once: request starts are a fixed time apart (the configured
ceiling), a share of the bucket is left to other users (the reserve), and after a 429
the bucket is shut until it resets. Every operation returns a new budget.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from exporter.model.rate_limit_headers import RateLimitHeaders

# Braze's windows are a minute or an hour: later resets are cut to this.
_LONGEST_WAIT_SECONDS = 3600.0
_SHORTEST_WAIT_SECONDS = 1.0
_LONGEST_BACKOFF_SECONDS = 60.0
_LONGEST_JITTER_SECONDS = 5.0
_DEFAULT_WINDOW_SECONDS = 60.0
# The reset is given in whole seconds; how it is rounded is not documented.
_RESET_GRACE_SECONDS = 1.0
_GUARD_SHARE = 0.02
_LONGEST_GUARD_SECONDS = 0.02


def spacing(requests_per_minute: float) -> float:
    """Return the seconds between two starts that keep under this ceiling.

    A little more than 60 s divided by the ceiling: starts are spaced, and a request on
    a new connection arrives later than the next one on an open connection.
    """
    return 60 / requests_per_minute + _guard(requests_per_minute)


def ceiling_for(starts_per_minute: float) -> float:
    """Return the requests per minute at which so many may start."""
    return starts_per_minute * (1 + _GUARD_SHARE)


def slack(requests_per_minute: float) -> float:
    """Return how many seconds late a start may be without delaying the next ones.

    Without slack, small delays add up and a full queue never empties.
    """
    return _guard(requests_per_minute) / 2


def _guard(requests_per_minute: float) -> float:
    return min(_GUARD_SHARE * 60 / requests_per_minute, _LONGEST_GUARD_SECONDS)


class Bucket(NamedTuple):
    """The state of one bucket, as far as Braze's response headers gave it."""

    in_flight: int = 0
    is_known: bool = False
    """Whether a response came yet."""
    limit: int | None = None
    remaining: int | None = None
    """The lowest value in the window that ends at `reset_at`; None: not given."""
    reset_at: float = -math.inf
    shut_until: float = -math.inf
    throttled_in_a_row: int = 0

    @property
    def is_used(self) -> bool:
        """Whether a request was sent that counts against it."""
        return self.is_known or self.in_flight > 0 or self.throttled_in_a_row > 0

    def floor(self, reserve: float) -> int:
        """Return how many requests are always left to other users.

        At most all but one: a tiny limit must not stop all polling.
        """
        limit = self.limit or 0
        # Decimal fractions are not exact: 0.07 * 100 is a little over 7.
        return max(0, min(math.ceil(round(reserve * limit, 6)), limit - 1))

    def is_reset(self, now: float) -> bool:
        """Return whether the window of the last headers is over."""
        return now >= self.reset_at + _RESET_GRACE_SECONDS

    def learn(self, headers: RateLimitHeaders, *, now: float) -> Bucket:
        """Return the bucket after a response with these headers."""
        known = self._replace(is_known=True, limit=headers.limit or self.limit)
        if headers.remaining is None:
            return known
        given = headers.reset_at
        reset_at = now + _DEFAULT_WINDOW_SECONDS if given is None else given
        reset_at = min(reset_at, now + _LONGEST_WAIT_SECONDS)
        if self.remaining is None or reset_at > self.reset_at + _RESET_GRACE_SECONDS:
            remaining = headers.remaining
            return known._replace(remaining=remaining, reset_at=reset_at)
        if reset_at < self.reset_at - _RESET_GRACE_SECONDS:
            return known  # a late response, of the previous window
        return known._replace(
            remaining=min(self.remaining, headers.remaining),
            reset_at=max(self.reset_at, reset_at),
        )

    def shut(
        self,
        headers: RateLimitHeaders,
        *,
        retry_after_seconds: float | None,
        now: float,
        fraction: float,
    ) -> Bucket:
        """Return the bucket after a 429; `fraction`, in [0, 1), is the random jitter.

        The longest wait of all headers and of all recent 429s is kept.
        """
        in_a_row = self.throttled_in_a_row + 1
        waits = [] if retry_after_seconds is None else [retry_after_seconds]
        if headers.reset_at is not None and headers.reset_at > now:
            waits.append(headers.reset_at - now)
        backoff = min(_LONGEST_BACKOFF_SECONDS, 2.0 ** min(in_a_row, 10))
        wait = max(waits, default=fraction * backoff)
        wait = min(max(wait, _SHORTEST_WAIT_SECONDS), _LONGEST_WAIT_SECONDS)
        jitter = fraction * _LONGEST_JITTER_SECONDS
        shut_until = max(self.shut_until, now + wait + jitter)
        return self._replace(shut_until=shut_until, throttled_in_a_row=in_a_row)


class Budget(NamedTuple):
    """What may be requested from one bucket. `reserve` is a fraction in [0, 1)."""

    spacing_seconds: float
    reserve: float
    concurrency: int
    slack_seconds: float = 0.0
    """How much of the spacing a late start may use up."""
    processes: int = 1
    """How many processes send requests with the same key."""
    next_start_at: float = -math.inf
    bucket: Bucket = Bucket()

    @classmethod
    def of_rate(
        cls,
        requests_per_minute: float,
        *,
        reserve: float,
        concurrency: int,
        processes: int = 1,
    ) -> Budget:
        """Return the budget of a bucket before its first request."""
        return cls(
            spacing(requests_per_minute),
            reserve,
            concurrency,
            slack_seconds=slack(requests_per_minute),
            processes=processes,
        )

    def earliest(self, *, now: float) -> float:
        """Return when a request may start, at least `now`; inf: after a response."""
        bucket = self.bucket
        opens_at = bucket.shut_until
        if not self._has_room(now):
            if not bucket.is_known or bucket.is_reset(now):
                return math.inf
            opens_at = max(opens_at, bucket.reset_at + _RESET_GRACE_SECONDS)
        return max(opens_at, self.next_start_at, now)

    def _has_room(self, now: float) -> bool:
        """Return whether one more request leaves the reserve untouched."""
        bucket = self.bucket
        if not bucket.is_known:
            return bucket.in_flight < self.concurrency
        allowed = bucket.limit if bucket.is_reset(now) else bucket.remaining
        if allowed is None:
            return True
        # Each other process may have so many requests that were not counted in the
        # last response to this one.
        margin = (self.processes - 1) * (self.concurrency + 1)
        floor = bucket.floor(self.reserve)
        # Even with a tiny limit one request is never withheld.
        floor = min(floor + margin, max(floor, (bucket.limit or 0) - 1))
        return allowed - bucket.in_flight > floor

    def spend(self, *, now: float) -> Budget:
        """Return the budget after a request started; ValueError: it may not yet."""
        if self.earliest(now=now) > now:
            raise ValueError("the request may not start yet")
        next_start_at = max(
            self.next_start_at + self.spacing_seconds,
            now + self.spacing_seconds - self.slack_seconds,
        )
        bucket = self.bucket._replace(in_flight=self.bucket.in_flight + 1)
        return self._replace(bucket=bucket, next_start_at=next_start_at)

    def settle(self, headers: RateLimitHeaders | None, *, now: float) -> Budget:
        """Return the budget after a request ended; None: without a response."""
        bucket = self.bucket._replace(in_flight=self.bucket.in_flight - 1)
        if headers is not None:
            bucket = bucket.learn(headers, now=now)._replace(throttled_in_a_row=0)
        return self._replace(bucket=bucket)

    def settle_throttled(
        self,
        headers: RateLimitHeaders,
        *,
        retry_after_seconds: float | None,
        now: float,
        fraction: float,
    ) -> Budget:
        """Return the budget after a request that was answered 429."""
        bucket = self.bucket._replace(in_flight=self.bucket.in_flight - 1)
        bucket = bucket.learn(headers, now=now).shut(
            headers, retry_after_seconds=retry_after_seconds, now=now, fraction=fraction
        )
        return self._replace(bucket=bucket)

    def bounded_as(self, other: Budget) -> Budget:
        """Return this budget with the bounds of another one."""
        return other._replace(next_start_at=self.next_start_at, bucket=self.bucket)

    def without_windows(self, *, now: float) -> Budget:
        """Return the budget after the wall clock was set.

        The end of a window or of a 429 was given by the previous wall time: the next
        response gives it again, a minute later at most. Requests in flight stay.
        """
        bucket = self.bucket._replace(
            is_known=False,
            remaining=None,
            reset_at=-math.inf,
            shut_until=min(self.bucket.shut_until, now + _LONGEST_BACKOFF_SECONDS),
        )
        return self._replace(bucket=bucket)
