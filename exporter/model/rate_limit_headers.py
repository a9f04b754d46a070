"""The rate limit headers of one Braze response."""

from __future__ import annotations

from typing import NamedTuple


class RateLimitHeaders(NamedTuple):
    """What the `X-RateLimit-*` headers of one answer said; None: not said."""

    limit: int | None = None
    remaining: int | None = None
    reset_at: float | None = None

    def earlier(self, seconds: float) -> RateLimitHeaders:
        """Return it as a clock has it that is so many seconds behind Braze's."""
        if self.reset_at is None:
            return self
        return self._replace(reset_at=self.reset_at - seconds)
