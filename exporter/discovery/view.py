"""The state of a workspace's discovery, with wall-clock times, for the status page."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.braze.rate_limit_view import RateLimitView
from exporter.discovery.kinds import ListedKind
from exporter.model.errors import FailureReason


@dataclass(frozen=True, slots=True)
class DiscoveryView:
    """The state of the discovery of one kind in one workspace."""

    kind: ListedKind
    found: int
    """Objects found, in addition to the configured ones."""
    is_limited: bool
    """Whether `max` excludes objects."""
    listed_at: float | None
    """When the list was last read completely."""
    failure: FailureReason | None
    """Why the last request failed; None: it succeeded."""
    message: str
    """The error message of the failure, or empty."""
    next_at: float | None
    """After a failure: the time of the next request."""
    rate_limit: RateLimitView | None
