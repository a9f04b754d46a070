"""Settings of a simulated workspace."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

DEFAULT_API_KEY = "simulated-braze-key"
ALL_PERMISSIONS = frozenset(
    (
        *(
            f"{kind}.{path}"
            for kind in ("campaigns", "canvas")
            for path in ("data_series", "list", "details")
        ),
        *(f"kpi.{kpi}.data_series" for kpi in ("dau", "mau", "new_users")),
        "kpi.uninstalls.data_series",
        *(f"{kind}.data_series" for kind in ("sessions", "segments", "events")),
        *("purchases.revenue_series", "purchases.quantity_series"),
        *("messages.schedule_broadcasts", "cdi.integration_list"),
    )
)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Requests per window; windows begin at multiples of their length."""

    requests: int
    seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorSettings:
    """Settings of a simulated workspace; equal settings give equal figures."""

    seed: int = 1
    timezone: str = "UTC"
    """IANA name of the time zone of the days."""
    host: str = "127.0.0.1"
    port: int = 0
    """0 picks a free port."""
    api_key: str = DEFAULT_API_KEY
    permissions: frozenset[str] = ALL_PERMISSIONS
    other_keys: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Further valid keys, each with its permissions."""
    campaigns: int | None = None
    """Number of campaigns; None: the named ones."""
    canvases: int | None = None
    """Number of canvases; None: the named ones."""
    active_fraction: float = 1.0
    """Fraction of the generated campaigns and canvases that are active."""
    has_incidents: bool = True
    data_series_limit: RateLimit = RateLimit(50_000, 60)
    """Of the data series of campaigns."""
    shared_limit: RateLimit = RateLimit(250_000, 3600)
    """Of all paths without their own."""
    purchases_limit: RateLimit = RateLimit(1_000, 3600)
    """Of revenue and quantity of purchases together."""
    ingestion_limit: RateLimit = RateLimit(50, 60)
    """Of the list of integrations."""
    repeats_pages: bool = False
    """Whether every page of a list is the first one."""
    clock: Callable[[], float] = time.time
    """Seconds since the epoch."""
