"""The frozen values that travel between the floors.

Whoever holds one may keep it: nothing here changes after it was made. Instants are
seconds since the epoch (float), durations end in `_seconds`. It knows nothing of YAML,
HTTP or Prometheus.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple
from zoneinfo import ZoneInfo


class Problem(NamedTuple):
    """One thing wrong in a configuration: what, where, and what was expected."""

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
    """Where a workspace's API key is read from; exactly one of the two is set."""

    env: str | None = None
    file: str | None = None

    def __str__(self) -> str:
        return f"environment variable {self.env}" if self.env else f"file {self.file}"


class CampaignConfig(NamedTuple):
    """One campaign to poll; `interval_seconds` is as wanted, before any stretching."""

    id: str
    name: str
    interval_seconds: float
    labels: Mapping[str, str] = MappingProxyType({})
    is_dormant: bool = False
    """Whether Braze calls it archived or a draft; told by discovery alone."""


class Selection(NamedTuple):
    """Glob patterns, case-sensitive. An empty `include` takes all; `exclude` wins."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


class TagSelection(NamedTuple):
    """Tags as they stand in Braze; what is empty asks for nothing."""

    any: tuple[str, ...] = ()
    all: tuple[str, ...] = ()
    none: tuple[str, ...] = ()


class DiscoverConfig(NamedTuple):
    """Which campaigns of a workspace are polled besides the listed ones."""

    names: Selection
    tags: TagSelection
    channels: Selection
    sent_within_seconds: float | None
    """None: whenever it was, if ever."""
    include_drafts: bool
    include_archived: bool
    max_campaigns: int
    list_interval_seconds: float
    grace_seconds: float
    """How long a campaign that is no longer there stays."""
    requests_per_minute: float
    labels: Mapping[str, str] = MappingProxyType({})
    """Label name → `tags` or `channels`."""

    @property
    def needs_details(self) -> bool:
        """Whether the list alone, which is cheap, does not tell what is wanted."""
        return (
            not self.include_drafts
            or self.sent_within_seconds is not None
            or self.channels != Selection()
            or "channels" in self.labels.values()
        )


@dataclass(frozen=True, slots=True)
class WorkspaceConfig:
    """One Braze workspace: where it is, what we may spend there, what we read."""

    name: str
    endpoint: str
    key_source: KeySource
    timezone: ZoneInfo
    interval_seconds: float
    requests_per_minute: float
    reserve: float
    """A fraction from 0 up to, not including, 1."""
    concurrency: int
    timeout_seconds: float
    proxy: str | None = field(repr=False)  # may hold a password
    ca_file: str | None
    allow_http: bool
    campaigns: tuple[CampaignConfig, ...]
    discover: DiscoverConfig | None = None
    idle_interval_seconds: float = 3600.0
    """How often a campaign is polled in which nothing happens."""


class Limits(NamedTuple):
    """What one campaign may cost."""

    series_per_campaign: int
    response_bytes: int
    """Of the decompressed body."""


class Config(NamedTuple):
    """A configuration without a problem."""

    workspaces: tuple[WorkspaceConfig, ...]
    windows: tuple[int, ...]
    """Trailing windows in days, ascending, without repeats."""
    channels: Selection
    stale_after_seconds: float
    metrics: Selection
    limits: Limits
    revisions: bool = False
    """Whether the families of revisions are exposed."""

    @property
    def key_variables(self) -> frozenset[str]:
        """The environment variables in which keys are."""
        sources = (one.key_source.env for one in self.workspaces)
        return frozenset(name for name in sources if name)
