"""Values parsed from data series: days, figures and snapshots, all immutable."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

Stats = Mapping[str, int | float]
"""Braze's field names → finite numbers that fit a double. A missing field is no 0."""


class Variation(NamedTuple):
    """A variation of a channel; (channel, label) is unique in a snapshot."""

    channel: str
    label: str
    id: str = ""
    """Braze's `variation_api_id`, cleaned; empty without one."""
    is_control: bool = False


class Figures(NamedTuple):
    """The stats of one day or of one trailing window.

    `variations` is ordered by (channel, label) and holds no empty stats; `overall` are
    the campaign-wide ones.
    """

    variations: tuple[tuple[Variation, Stats], ...]
    overall: Stats


NO_FIGURES = Figures((), {})


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


class Snapshot(NamedTuple):
    """One parsed document; label texts are cleaned, cut and unique."""

    variations: tuple[Variation, ...]
    """Every variation with a sample in any of the figures, by (channel, label)."""
    latest: Day | None
    last_complete: Day | None
    trailing: tuple[tuple[int, Figures], ...]
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


class CampaignHistory(NamedTuple):
    """The complete days of a campaign, parsed from many pages of a data series."""

    variations: tuple[Variation, ...]
    """Every variation with a sample on any of the days, by (channel, label)."""
    days: tuple[Day, ...]
    """Oldest first; days without a row are left out."""
    series: int
    """How many series these make, those of the campaign itself included."""
    dropped_series: int
