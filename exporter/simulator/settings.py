"""What a simulated workspace is like, with every default."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

DEFAULT_API_KEY = "simulated-braze-key"
ALL_PERMISSIONS = frozenset(
    {"campaigns.data_series", "campaigns.list", "campaigns.details"}
)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """So many requests in each window; windows begin at multiples of their length."""

    requests: int
    seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorSettings:
    """What a simulated workspace is like; the same settings give the same figures."""

    seed: int = 1
    timezone: str = "UTC"
    """The IANA name of the zone whose midnights part the days."""
    host: str = "127.0.0.1"
    port: int = 0
    """0 takes a free one."""
    api_key: str = DEFAULT_API_KEY
    permissions: frozenset[str] = ALL_PERMISSIONS
    other_keys: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """More keys that are accepted, each with its permissions."""
    campaigns: int | None = None
    """How many campaigns there are; None: the named ones."""
    active_fraction: float = 1.0
    """How many of the campaigns beyond the named ones send anything."""
    has_incidents: bool = True
    data_series_limit: RateLimit = RateLimit(50_000, 60)
    shared_limit: RateLimit = RateLimit(250_000, 3600)
    repeats_pages: bool = False
    """Whether the list answers each page with the first one."""
    request_log_size: int | None = 100_000
    clock: Callable[[], float] = time.time
    """Seconds since the epoch."""
