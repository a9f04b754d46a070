"""The state of a workspace's discovery, with wall-clock times, for the status page."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.braze.rate_limit_view import RateLimitView
from exporter.model.errors import FailureReason


@dataclass(frozen=True, slots=True)
class DiscoveryView:
    """The state of one workspace's discovery."""

    campaigns: int
    """Campaigns found, in addition to the configured ones."""
    is_limited: bool
    """Whether `max_campaigns` excludes campaigns."""
    listed_at: float | None
    """When the list was last read completely."""
    failure: FailureReason | None
    """Why the last request failed; None: it succeeded."""
    message: str
    """The error message of the failure, or empty."""
    next_at: float | None
    """After a failure: the time of the next request."""
    rate_limit: RateLimitView | None
