"""What a workspace may still ask of Braze: an account of frozen values.

Three bounds hold at once: request starts stand a fixed spacing apart (our own ceiling),
a share of each bucket that Braze grants is left to others (the reserve), and a bucket
that answered 429 stays shut until it resets. Every operation returns a new budget. It
knows no clock, no thread and no request.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from exporter.model.rate_limit_headers import RateLimitHeaders

_LONGEST_WAIT_SECONDS = 3600.0
"""Braze's windows are a minute or an hour: what lies further off is not believed."""

_SHORTEST_WAIT_SECONDS = 1.0
_LONGEST_BACKOFF_SECONDS = 60.0
_LONGEST_JITTER_SECONDS = 5.0
_UNTOLD_WINDOW_SECONDS = 60.0

_RESET_GRACE_SECONDS = 1.0
"""Reset is told in whole seconds, rounded we do not know how."""


_GUARD_SHARE = 0.02
_LONGEST_GUARD_SECONDS = 0.02


def spacing(requests_per_minute: float) -> float:
    """Return the seconds between two starts that keep under this ceiling.

    A little more than its share of a minute: we space what we start, and a request on a
    new connection arrives later than the next one on an old.
    """
    return 60 / requests_per_minute + _guard(requests_per_minute)


def ceiling_for(starts_per_minute: float) -> float:
    """Return requests per minute that let so many start, at whatever rate."""
    return starts_per_minute * (1 + _GUARD_SHARE)


def slack(requests_per_minute: float) -> float:
    """Return by how many seconds a start may be late without delaying all others.

    Else the least lateness of each would add up, and a full line would never empty.
    """
    return _guard(requests_per_minute) / 2


def _guard(requests_per_minute: float) -> float:
    return min(_GUARD_SHARE * 60 / requests_per_minute, _LONGEST_GUARD_SECONDS)


class Bucket(NamedTuple):
    """One endpoint's account with Braze."""

    in_flight: int = 0
    is_known: bool = False
    """Whether any answer came yet."""
    limit: int | None = None
    remaining: int | None = None
    """The lowest seen in the window that ends at `reset_at`; None: not said."""
    reset_at: float = -math.inf
    shut_until: float = -math.inf
    throttled_in_a_row: int = 0

    def has_room(self, *, reserve: float, concurrency: int, now: float) -> bool:
        """Tell whether one more request leaves the reserve untouched."""
        if not self.is_known:
            return self.in_flight < concurrency
        allowed = self.limit if self._is_reset(now) else self.remaining
        if allowed is None:
            return True
        return allowed - self.in_flight > self.floor(reserve)

    def floor(self, reserve: float) -> int:
        """Return how many requests are always left to others.

        One request is never withheld, or a tiny limit would stop all polling.
        """
        limit = self.limit or 0
        # Decimal fractions are not exact: 0.07 * 100 is a little over 7.
        return max(0, min(math.ceil(round(reserve * limit, 6)), limit - 1))

    def opens_at(self, *, reserve: float, concurrency: int, now: float) -> float:
        """Return when a request may start; inf: not before one in flight ends."""
        if self.has_room(reserve=reserve, concurrency=concurrency, now=now):
            return max(now, self.shut_until)
        if not self.is_known or self._is_reset(now):
            return math.inf
        return max(self.shut_until, self.reset_at + _RESET_GRACE_SECONDS)

    def _is_reset(self, now: float) -> bool:
        return now >= self.reset_at + _RESET_GRACE_SECONDS

    def learn(self, allowance: RateLimitHeaders, *, now: float) -> Bucket:
        """Return the bucket after an answer with these headers."""
        known = self._replace(is_known=True, limit=allowance.limit or self.limit)
        if allowance.remaining is None:
            return known
        told = allowance.reset_at
        reset_at = now + _UNTOLD_WINDOW_SECONDS if told is None else told
        reset_at = min(reset_at, now + _LONGEST_WAIT_SECONDS)
        if self.remaining is None or reset_at > self.reset_at + _RESET_GRACE_SECONDS:
            remaining = allowance.remaining
            return known._replace(remaining=remaining, reset_at=reset_at)
        if reset_at < self.reset_at - _RESET_GRACE_SECONDS:
            return known  # a late answer that speaks of the window before
        return known._replace(
            remaining=min(self.remaining, allowance.remaining),
            reset_at=max(self.reset_at, reset_at),
        )

    def shut(
        self,
        *,
        reset_at: float | None,
        retry_after: float | None,
        now: float,
        fraction: float,
    ) -> Bucket:
        """Return the bucket after a 429; `fraction` in [0, 1) is the jitter's draw.

        Of several, and of several headers, the longest wait that was told is obeyed.
        """
        in_a_row = self.throttled_in_a_row + 1
        told = [] if retry_after is None else [retry_after]
        if reset_at is not None and reset_at > now:
            told.append(reset_at - now)
        backoff = min(_LONGEST_BACKOFF_SECONDS, 2.0 ** min(in_a_row, 10))
        wait = max(told, default=fraction * backoff)
        wait = min(max(wait, _SHORTEST_WAIT_SECONDS), _LONGEST_WAIT_SECONDS)
        jitter = fraction * _LONGEST_JITTER_SECONDS
        shut_until = max(self.shut_until, now + wait + jitter)
        return self._replace(shut_until=shut_until, throttled_in_a_row=in_a_row)


class Budget(NamedTuple):
    """What one workspace allows. `reserve` is a fraction in [0, 1)."""

    spacing_seconds: float
    reserve: float
    concurrency: int
    next_start_at: float = -math.inf
    buckets: Mapping[str, Bucket] = MappingProxyType({})
    slack_seconds: float = 0.0
    """How much of the spacing a late start may eat up."""

    def bucket(self, endpoint: str) -> Bucket:
        """Return the account of an endpoint, a fresh one if it was never used."""
        return self.buckets.get(endpoint, Bucket())

    def earliest(self, endpoint: str, *, now: float) -> float:
        """Return when a request may start, never before `now`; inf: after an answer."""
        opens_at = self.bucket(endpoint).opens_at(
            reserve=self.reserve, concurrency=self.concurrency, now=now
        )
        return max(opens_at, self.next_start_at, now)

    def spend(self, endpoint: str, *, now: float) -> Budget:
        """Return the budget after a request started; ValueError: it may not yet."""
        if self.earliest(endpoint, now=now) > now:
            message = f"a request to {endpoint} may not start yet"
            raise ValueError(message)
        bucket = self.bucket(endpoint)
        started = self._with(endpoint, bucket._replace(in_flight=bucket.in_flight + 1))
        next_start_at = max(
            self.next_start_at + self.spacing_seconds,
            now + self.spacing_seconds - self.slack_seconds,
        )
        return started._replace(next_start_at=next_start_at)

    def settle(
        self, endpoint: str, allowance: RateLimitHeaders | None, *, now: float
    ) -> Budget:
        """Return the budget after a request ended; no allowance: it had no answer."""
        bucket = self.bucket(endpoint)
        bucket = bucket._replace(in_flight=bucket.in_flight - 1)
        if allowance is not None:
            bucket = bucket.learn(allowance, now=now)._replace(throttled_in_a_row=0)
        return self._with(endpoint, bucket)

    def settle_throttled(
        self,
        endpoint: str,
        allowance: RateLimitHeaders,
        *,
        retry_after_seconds: float | None,
        now: float,
        fraction: float,
    ) -> Budget:
        """Return the budget after a request that was answered 429."""
        before = self.bucket(endpoint)
        bucket = before._replace(in_flight=before.in_flight - 1)
        bucket = bucket.learn(allowance, now=now).shut(
            reset_at=allowance.reset_at,
            retry_after=retry_after_seconds,
            now=now,
            fraction=fraction,
        )
        return self._with(endpoint, bucket)

    def bounded_as(self, other: Budget) -> Budget:
        """Return this account under the bounds of another."""
        return self._replace(
            spacing_seconds=other.spacing_seconds,
            reserve=other.reserve,
            concurrency=other.concurrency,
            slack_seconds=other.slack_seconds,
        )

    def without_windows(self, *, now: float) -> Budget:
        """Return the account after the wall clock was set.

        When a window ends, or a 429, was said by that clock: the next answer says it
        again, a minute later at most. What is in flight or not yet due stays so.
        """
        longest_shut = now + _LONGEST_BACKOFF_SECONDS
        buckets = {
            endpoint: bucket._replace(
                is_known=False,
                remaining=None,
                reset_at=-math.inf,
                shut_until=min(bucket.shut_until, longest_shut),
            )
            for endpoint, bucket in self.buckets.items()
        }
        return self._replace(buckets=buckets)

    def _with(self, endpoint: str, bucket: Bucket) -> Budget:
        return self._replace(buckets={**self.buckets, endpoint: bucket})
