"""The frozen values that travel between the floors.

Whoever holds one may keep it: nothing here changes after it was made. Instants are
seconds since the epoch (float), durations end in `_seconds`. It knows nothing of YAML,
HTTP or Prometheus.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple
from zoneinfo import ZoneInfo

Stats = Mapping[str, int | float]
"""Braze's field names → finite numbers that fit a double. Absent was not said."""


class FailureReason(StrEnum):
    """Why a poll failed: the text of the label `reason`."""

    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    RATE_LIMITED = "rate_limited"
    BAD_REQUEST = "bad_request"
    NOT_FOUND = "not_found"
    REDIRECT = "redirect"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    TOO_LARGE = "too_large"
    MALFORMED = "malformed"


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


class Secret:
    """A text that nothing prints: `reveal()` is the only way to it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "<secret>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> str:
        message = "a secret is not pickled"
        raise TypeError(message)

    def reveal(self) -> str:
        """Return the text itself: for the request header and nowhere else."""
        return self._text


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

    @property
    def key_variables(self) -> frozenset[str]:
        """The environment variables in which keys are."""
        sources = (one.key_source.env for one in self.workspaces)
        return frozenset(name for name in sources if name)


class Allowance(NamedTuple):
    """What the `X-RateLimit-*` headers of one answer said; None: not said."""

    limit: int | None = None
    remaining: int | None = None
    reset_at: float | None = None

    def earlier(self, seconds: float) -> Allowance:
        """Return it as a clock has it that is so many seconds behind Braze's."""
        if self.reset_at is None:
            return self
        return self._replace(reset_at=self.reset_at - seconds)


class Variation(NamedTuple):
    """One identity of a channel, as shown; a snapshot holds a (channel, label) once."""

    channel: str
    label: str
    id: str = ""
    """Braze's `variation_api_id`, cleaned; empty when Braze gave none."""
    is_control: bool = False


class Figures(NamedTuple):
    """The stats of one day or of one trailing window.

    `variations` is ordered by (channel, label) and holds no empty stats; `overall` are
    the campaign-wide ones.
    """

    variations: tuple[tuple[Variation, Stats], ...]
    overall: Stats


class Day(NamedTuple):
    """One day of a data series."""

    date: date
    starts_at: float
    """The first instant of that day in the workspace's time zone."""
    figures: Figures


class History(NamedTuple):
    """What the newest days looked like, in little room: `history` packs and reads it.

    Ten thousand campaigns have one each.
    """

    last: date
    sent: bytes
    levels: bytes


class Snapshot(NamedTuple):
    """What one document said of a campaign; label texts are cleaned, cut and unique."""

    variations: tuple[Variation, ...]
    """Every identity with a sample in any of the figures, by (channel, label)."""
    latest: Day | None
    last_complete: Day | None
    trailing: tuple[tuple[int, Figures], ...]
    """(window in days, sums), ascending; a window without any number is left out."""
    series: int
    """How many samples this makes, with the days' timestamps and variation infos."""
    dropped_series: int
    ignored_values: int
    skipped_rows: int
    history: History | None = None
    """For people who look; nothing of it is exposed as a metric."""
    is_quiet: bool = False
    """Whether all was 0 on each of the last 14 complete days, and is today."""
    is_active: bool = False
    """Whether anything but 0 was counted today or yesterday."""
    first_complete: Day | None = None
    """What was read of a complete day when it was first read; mostly the last one."""


class Chronicle(NamedTuple):
    """What many pages of a data series said of a campaign's complete days."""

    variations: tuple[Variation, ...]
    """Every identity with a sample on any of the days, by (channel, label)."""
    days: tuple[Day, ...]
    """Oldest first; a day without a row is not among them."""
    series: int
    """How many series these make, those of the campaign itself included."""
    dropped_series: int
