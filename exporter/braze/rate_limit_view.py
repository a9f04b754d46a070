"""The state of one rate limit bucket, with wall-clock times, for the status page."""

from __future__ import annotations

import math
from dataclasses import dataclass

from exporter.braze.rate_limit import Budget


@dataclass(frozen=True, slots=True)
class RateLimitView:
    """The last `X-RateLimit-*` headers of an endpoint; None: not sent by Braze."""

    endpoint: str
    limit: int | None
    remaining: int | None
    """The lowest value in the current window."""
    reset_at: float | None
    reserved: int
    """Requests that are always left to other clients."""
    in_flight: int
    shut_until: float | None
    """After a 429: no request is sent before this time."""


def rate_limit_view(
    budget: Budget, endpoint: str, *, now: float, wall_offset: float
) -> RateLimitView:
    """Return the view of an endpoint's bucket; `now` is wall-clock time."""
    bucket = budget.bucket
    reset_at = bucket.reset_at + wall_offset
    shut_until = bucket.shut_until + wall_offset
    return RateLimitView(
        endpoint=endpoint,
        limit=bucket.limit,
        remaining=bucket.remaining,
        reset_at=reset_at if math.isfinite(reset_at) else None,
        reserved=bucket.floor(budget.reserve),
        in_flight=bucket.in_flight,
        shut_until=shut_until if shut_until > now else None,
    )
