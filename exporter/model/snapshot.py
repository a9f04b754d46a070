"""Values parsed from data series: days, figures and snapshots, all immutable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import NamedTuple

Stats = Mapping[str, int | float]
"""Braze's field names → finite numbers that fit a double. A missing field is no 0."""


OVERALL = "overall"
VARIATION = "variation"
CHANNEL = "channel"
VARIANT = "variant"
STEP = "step"
STEP_CHANNEL = "step_channel"

GROUPS = (OVERALL, VARIATION, CHANNEL, VARIANT, STEP, STEP_CHANNEL)
"""In this order parts are exposed, and kept under a limit of series."""


class Part(NamedTuple):
    """What a number counts within its object; (group, channel, name) is unique.

    Campaigns have variations of channels; canvases have channels, variants and steps.
    """

    group: str
    """One of `GROUPS`."""
    channel: str = ""
    """Empty in the groups without a channel."""
    name: str = ""
    """The label of the variation, variant or step; empty in the other groups."""
    id: str = ""
    """Braze's id of that, cleaned; empty without one."""
    is_control: bool = False


WHOLE = Part(OVERALL)
"""The object as a whole."""

Figures = tuple[tuple[Part, Stats], ...]
"""The stats of one day or of one trailing window, in the order of the parts.

No stats are empty.
"""

NO_FIGURES: Figures = ()


def channels_of(figures: Figures) -> Iterable[tuple[str, Stats]]:
    """Yield the channel and the stats of each part that counts messages once."""
    for part, stats in figures:
        if part.group in {VARIATION, CHANNEL}:
            yield part.channel, stats


class Day(NamedTuple):
    """One day of a data series."""

    date: date
    starts_at: float
    """The first instant of that day in the workspace's time zone."""
    figures: Figures


class RecentDays(NamedTuple):
    """The newest days in few bytes; `recent_days` packs and unpacks them."""

    last: date
    sent: bytes
    levels: bytes


Span = tuple[float, float]
"""From an instant until before another one, in seconds since the epoch."""


class Sample(NamedTuple):
    """One sample of a series that has no parts; unique by family and labels."""

    family: str
    labels: tuple[tuple[str, str], ...]
    """(name, text) as the family orders its labels; no text is empty."""
    value: int | float


class PastSample(NamedTuple):
    """One series of a workspace's series in the past; as `Sample`."""

    family: str
    labels: tuple[tuple[str, str], ...]
    values: tuple[tuple[Span, int | float], ...]
    """When each was served; ascending, without overlap, and not empty."""


class MonthToDate(NamedTuple):
    """The messages of a calendar month up to and including today so far."""

    ends_at: float
    """The first instant of the next month in the workspace's time zone."""
    messages: tuple[tuple[str, int | float], ...]
    """(channel, messages); without the channels that have no number."""


class Snapshot(NamedTuple):
    """One parsed document; label texts are cleaned, cut and unique."""

    parts: tuple[Part, ...] = ()
    """Every part with a sample in any of the figures, by (group, channel, name)."""
    latest: Day | None = None
    last_complete: Day | None = None
    trailing: tuple[tuple[int, Figures], ...] = ()
    """(window in days, sums), ascending; windows without any number are left out."""
    dropped_series: int = 0
    """How many series the limit kept out."""
    ignored_values: int = 0
    skipped_rows: int = 0
    history: RecentDays | None = None
    """For the status page; no metric exposes it."""
    is_quiet: bool = False
    """Whether everything was 0 on each of the last 14 complete days and is today."""
    is_active: bool = False
    """Whether anything but 0 was counted today or yesterday."""
    first_complete: Day | None = None
    """The first reading of the last complete day; None if revisions are off."""
    revision: Figures = NO_FIGURES
    """By how much `last_complete` differs from `first_complete`."""
    month_to_date: MonthToDate | None = None
    """None without a contract, or while days of the month were not requested."""
    samples: tuple[Sample, ...] = ()
    """Of a series of the workspace, which has nothing of the above but counts."""


class ObjectHistory(NamedTuple):
    """The complete days of an object, parsed from many pages of a data series."""

    parts: tuple[Part, ...]
    """Every part with a sample on any of the days, by (group, channel, name)."""
    days: tuple[Day, ...]
    """Oldest first; days without a row are left out."""
    dates: tuple[date, ...]
    """The complete days that were requested, oldest first, with or without a row."""
    windows: tuple[int, ...]
    """Those that are not longer than that."""
    series: int
    """How many series these make, those of the object itself included."""
    dropped_series: int


class SampleHistory(NamedTuple):
    """The past of a series of the workspace, parsed from many pages."""

    samples: tuple[PastSample, ...]

    @property
    def series(self) -> int:
        """How many series these are."""
        return len(self.samples)
