"""Tables of a workspace's segments, custom events and integrations.

Segments and events belong to the audiences and triggers of the named campaigns and
canvases.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

from exporter.simulator.objects import SILENT_DAYS, id_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A segment."""

    id: str
    name: str
    size: int
    is_tracked: bool
    """Whether it has analytics tracking; without it there is no series."""
    collapsed_on: date | None
    """The first day with a small part of the users; None: there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A custom event; its name is its id."""

    name: str
    volume: int
    """Events on an average day."""
    stopped_on: date | None
    """The first day without events; None: there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Integration:
    """An integration of Cloud Data Ingestion."""

    id: str
    name: str
    warehouse: str
    period_minutes: int
    failing_since: date | None
    """The first day whose syncs fail; None: there is none."""


class Workspace(NamedTuple):
    """What a workspace has beside campaigns and canvases."""

    segments: tuple[Segment, ...]
    events: tuple[Event, ...]
    integrations: tuple[Integration, ...]


COLLAPSED_SEGMENT = "Loyalty members"
STOPPED_EVENT = "basket_abandoned"
"""The trigger of the campaign that stopped sending."""
FAILING_INTEGRATION = "Loyalty tiers"
"""The integration that fills the segment that collapsed."""

# Name, users, whether it has analytics tracking.
_SEGMENTS = (
    ("Newsletter readers", 46_000, True),
    ("Lapsed for 90 days", 52_000, True),
    (COLLAPSED_SEGMENT, 31_000, True),
    ("App users with push 📱", 74_000, True),
    ('VIP "gold"', 2_800, True),
    ("SMS opt-ins", 19_500, True),
    ("All users, without analytics tracking", 410_000, False),
)
_EVENTS = (
    (STOPPED_EVENT, 26_000),
    ("checkout_started", 12_400),
    ("order_placed", 8_900),
    ("account_created", 7_100),
    ("Article consulté", 51_000),
)
# Equal names, as users give them; Braze shows ten a page.
_INTEGRATIONS = (
    ("Users", "snowflake", 60),
    (FAILING_INTEGRATION, "snowflake", 60),
    ("Purchases", "bigquery", 15),
    ("Price list", "bigquery", 1440),
    ("Stock", "bigquery", 30),
    ("Consents", "snowflake", 30),
    ("Propensity scores", "databricks", 1440),
    ("Churn scores", "databricks", 1440),
    ("Stores", "redshift", 1440),
    ("Returns", "redshift", 360),
    ("Users", "redshift", 1440),
    ("Support tickets", "databricks", 180),
)


def build_workspace(*, seed: int, first_day: date, has_incidents: bool) -> Workspace:
    """Return the workspace; incidents of events and syncs begin before `first_day`."""
    incident_on = first_day if has_incidents else None
    before = first_day - timedelta(days=SILENT_DAYS) if has_incidents else None
    segments = tuple(
        Segment(
            id=id_of(seed, "segment", name),
            name=name,
            size=size,
            is_tracked=is_tracked,
            collapsed_on=incident_on if name == COLLAPSED_SEGMENT else None,
        )
        for name, size, is_tracked in _SEGMENTS
    )
    events = tuple(
        Event(
            name=name,
            volume=volume,
            stopped_on=before if name == STOPPED_EVENT else None,
        )
        for name, volume in _EVENTS
    )
    return Workspace(segments, events, tuple(_integrations(seed, before)))


def _integrations(seed: int, failing_since: date | None) -> Iterator[Integration]:
    for position, (name, warehouse, minutes) in enumerate(_INTEGRATIONS):
        yield Integration(
            id=id_of(seed, "integration", position),
            name=name,
            warehouse=warehouse,
            period_minutes=minutes,
            failing_since=failing_since if name == FAILING_INTEGRATION else None,
        )
