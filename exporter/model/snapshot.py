"""Values parsed from data series: days, figures and snapshots, all immutable."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

Stats = Mapping[str, int | float]
"""Braze's field names → finite numbers that fit a double. Absent was not said."""


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


class RecentDays(NamedTuple):
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
    history: RecentDays | None = None
    """For people who look; nothing of it is exposed as a metric."""
    is_quiet: bool = False
    """Whether all was 0 on each of the last 14 complete days, and is today."""
    is_active: bool = False
    """Whether anything but 0 was counted today or yesterday."""
    first_complete: Day | None = None
    """What was read of a complete day when it was first read; mostly the last one."""


class CampaignHistory(NamedTuple):
    """What many pages of a data series said of a campaign's complete days."""

    variations: tuple[Variation, ...]
    """Every identity with a sample on any of the days, by (channel, label)."""
    days: tuple[Day, ...]
    """Oldest first; a day without a row is not among them."""
    series: int
    """How many series these make, those of the campaign itself included."""
    dropped_series: int
