"""The rate limit headers of one Braze response."""

from __future__ import annotations

from typing import NamedTuple


class RateLimitHeaders(NamedTuple):
    """The `X-RateLimit-*` headers of a response; None: absent or invalid."""

    limit: int | None = None
    remaining: int | None = None
    reset_at: float | None = None
