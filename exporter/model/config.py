"""The values of a configuration, and its problems; all are immutable."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple
from zoneinfo import ZoneInfo

_DAY_SECONDS = 86400.0
_READS_WITHIN = 4
"""How often details are read within `sent_within` or `entered_within`."""


class Problem(NamedTuple):
    """An error or warning in a configuration, with its place."""

    file: str
    line: int
    path: str
    message: str
    is_warning: bool = False

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}"
        where = f"{place}: {self.path}" if self.path else place
        return f"{where}: {'warning: ' if self.is_warning else ''}{self.message}"


class KeySource(NamedTuple):
    """The source of a workspace's API key; exactly one of the two is set."""

    env: str | None = None
    file: str | None = None

    def __str__(self) -> str:
        return f"environment variable {self.env}" if self.env else f"file {self.file}"


class ObjectConfig(NamedTuple):
    """A campaign, canvas or series to poll; `interval_seconds` is not stretched."""

    id: str
    name: str
    interval_seconds: float
    labels: Mapping[str, str] = MappingProxyType({})
    is_dormant: bool = False
    """Whether it is archived, stopped or a draft in Braze; set by discovery only."""
    edited_at: float | None = None
    """When it was last edited in Braze, in Unix seconds; set by discovery only."""
    has_steps: bool = False
    """Of a canvas: whether there are series for each step."""


class SegmentConfig(NamedTuple):
    """A segment whose size is polled."""

    id: str
    name: str


class EventConfig(NamedTuple):
    """A custom event that is polled; `unit` is `hour` or `day`."""

    name: str
    unit: str


class SeriesConfig(NamedTuple):
    """Series of the workspace that are polled."""

    interval_seconds: float
    kpi: tuple[str, ...]
    sessions: bool
    purchases: tuple[str, ...]
    segments: tuple[SegmentConfig, ...]
    events: tuple[EventConfig, ...]
    broadcasts: bool
    data_ingestion: bool
    objects: Mapping[str, tuple[ObjectConfig, ...]]
    """What is polled, by the name of its kind."""


class Selection(NamedTuple):
    """Glob patterns, case-sensitive. An empty `include` selects everything."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


class MetricsConfig(NamedTuple):
    """Which of Braze's fields are exported."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    skip_unused: bool = False
    """Whether fields that are 0 in all of an object's numbers are left out."""

    @property
    def selection(self) -> Selection:
        """The names that are selected."""
        return Selection(self.include, self.exclude)


class TagSelection(NamedTuple):
    """Tags in Braze's spelling; an empty tuple is no condition."""

    any: tuple[str, ...] = ()
    all: tuple[str, ...] = ()
    none: tuple[str, ...] = ()


class DiscoverRules(NamedTuple):
    """Which objects of one kind are polled in addition to the listed ones."""

    names: Selection
    tags: TagSelection
    channels: Selection
    active_within_seconds: float | None
    """Since the last send of a campaign, or entry into a canvas; None: no condition."""
    include_drafts: bool
    include_stopped: bool
    include_archived: bool
    most: int
    """The most objects to select."""
    labels: Mapping[str, str]
    """Label name → `tags` or `channels`."""
    list_interval_seconds: float
    grace_seconds: float
    """How long an object that is no longer listed is polled."""
    requests_per_minute: float
    """The kind's part of the ceiling."""

    @property
    def needs_details(self) -> bool:
        """Whether the selection needs details, one request per object."""
        return (
            not (self.include_drafts and self.include_stopped)
            or self.active_within_seconds is not None
            or self.channels != Selection()
            or "channels" in self.labels.values()
        )

    def round_seconds(self, objects: int) -> float:
        """Return how long reading the details of so many objects takes."""
        return objects * 60 / self.requests_per_minute

    def details_interval_seconds(self, objects: int) -> float:
        """Return how often the details of so many objects are read again.

        An object may become active at any moment, so they are read several times within
        `active_within_seconds`, in at most half of `requests_per_minute`.
        """
        wanted = _DAY_SECONDS
        if self.active_within_seconds is not None:
            wanted = min(wanted, self.active_within_seconds / _READS_WITHIN)
        return max(wanted, 2 * self.round_seconds(objects))

    def active_within_in_force(self, objects: int) -> float:
        """Return the time, extended so that nothing falls between two reads."""
        if self.active_within_seconds is None:
            return math.inf
        # The last object of a round waits for all others.
        oldest = self.details_interval_seconds(objects) + self.round_seconds(objects)
        return max(self.active_within_seconds, oldest)


class DiscoverConfig(NamedTuple):
    """What discovery selects of each kind; None: it does not look for that kind."""

    campaigns: DiscoverRules | None
    canvases: DiscoverRules | None
    list_interval_seconds: float
    grace_seconds: float

    @property
    def rules(self) -> tuple[DiscoverRules, ...]:
        """The rules of each kind that is discovered."""
        return tuple(one for one in (self.campaigns, self.canvases) if one)

    def within_rate(self, requests_per_minute: float) -> DiscoverConfig:
        """Return it under a ceiling of which each kind has an equal part."""
        part = requests_per_minute / max(1, len(self.rules))
        campaigns, canvases = (
            rules and rules._replace(requests_per_minute=part)
            for rules in (self.campaigns, self.canvases)
        )
        return self._replace(campaigns=campaigns, canvases=canvases)


@dataclass(frozen=True, slots=True)
class WorkspaceConfig:
    """One Braze workspace: endpoint, ceilings, campaigns, canvases and series."""

    name: str
    endpoint: str
    key_source: KeySource
    timezone: ZoneInfo
    interval_seconds: float
    requests_per_minute: float
    reserve: float
    """A fraction of at least 0 and below 1."""
    concurrency: int
    timeout_seconds: float
    proxy: str | None = field(repr=False)  # may contain a password
    ca_file: str | None
    allow_http: bool
    campaigns: tuple[ObjectConfig, ...]
    discover: DiscoverConfig | None = None
    processes: int = 1
    """How many processes send requests with this key: shards times replicas."""
    idle_interval_seconds: float = 3600.0
    """The interval of campaigns and canvases without activity."""
    canvases: tuple[ObjectConfig, ...] = ()
    canvas_interval_seconds: float = 900.0
    canvas_steps: bool = False
    shared_requests_per_minute: float = 60.0
    """The ceiling for all requests in Braze's shared bucket."""
    series: SeriesConfig | None = None
    contract: Mapping[str, int] = field(default_factory=dict)
    """Channel → messages that the contract includes in a calendar month."""

    def series_of(self, kind: str) -> tuple[ObjectConfig, ...]:
        """Return the series of a kind that are polled."""
        return self.series.objects.get(kind, ()) if self.series else ()


class Limits(NamedTuple):
    """Limits of one campaign, canvas or series."""

    series_per_campaign: int
    response_bytes: int
    """Of the decompressed body."""


class Config(NamedTuple):
    """A valid configuration."""

    workspaces: tuple[WorkspaceConfig, ...]
    windows: tuple[int, ...]
    """Trailing windows in days, ascending, without duplicates."""
    channels: Selection
    stale_after_seconds: float
    metrics: MetricsConfig
    limits: Limits
    revisions: bool = False
    """Whether the revision families are exported."""

    @property
    def key_variables(self) -> frozenset[str]:
        """The environment variables that contain keys."""
        sources = (one.key_source.env for one in self.workspaces)
        return frozenset(name for name in sources if name)
