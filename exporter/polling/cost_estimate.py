"""Estimates of what a configuration costs the exporter and Prometheus.

The estimates are proportional to measurements; docs/scaling.md lists their sources.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from exporter.model.config import Config, Selection
from exporter.polling.kinds import CAMPAIGN
from exporter.polling.plan import plan, typical_series

MIB = 1024 * 1024
GIB = 1024 * MIB

CPU_SECONDS_PER_POLL = 0.003
"""Of a document of 30 days; docs/performance.md."""

IDLE_CPU_SHARE = 0.002
"""Of a core, without campaigns; docs/performance.md."""

RESIDENT_BYTES = 45 * MIB
"""Of the process without campaigns; docs/performance.md."""

BYTES_PER_SERIES = 160
"""Of memory, including all other values of a campaign; docs/performance.md."""

CORE_SHARE_ADVISED = 0.5
"""Of one core: Python uses only one, and retries and scrapes need a part of it."""

SERIES_ADVISED = 1_000_000
"""Of one exporter: larger scrapes are rare, and a load for Prometheus."""

HEAD_BYTES_PER_SERIES = (3 * 1024, 8 * 1024)
"""Of Prometheus's memory; docs/scaling.md lists the sources."""

BYTES_PER_SAMPLE = (1.0, 2.0)
"""On Prometheus's disk (its documentation on storage)."""

SCRAPE_SECONDS = (15, 30, 60)
RETENTION_DAYS = 30
_DAY_SECONDS = 86400

_FEW_STATS = Selection(include=("sent", "delivered", "bounces", "reported_spam"))
"""What the alerts on deliverability read."""


class Saving(NamedTuple):
    """A change of the configuration, and the number of series with it."""

    change: str
    series: int


class Scaling(NamedTuple):
    """The total cost of a configuration."""

    campaigns: int
    """Including the most that discovery may add."""
    found_campaigns: int
    """The most campaigns that discovery may add."""
    series: int
    requests_per_minute: float
    """The planned rate, within the ceilings."""
    core_share: float
    resident_bytes: float
    campaigns_per_core: int
    """Campaigns that the advised share of a core polls, at the mean interval in force.
    The number of series may require shards earlier."""
    shards: int
    savings: tuple[Saving, ...]

    @property
    def is_limited_by_series(self) -> bool:
        """Whether the series require the shards, rather than the CPU of polls."""
        series_share = self.series / SERIES_ADVISED
        return series_share >= self.core_share / CORE_SHARE_ADVISED

    @property
    def head_bytes(self) -> tuple[float, float]:
        """The memory that Prometheus needs for the series: lowest and highest."""
        least, most = HEAD_BYTES_PER_SERIES
        return (self.series * least, self.series * most)

    def samples_per_second(self, scrape_seconds: int) -> float:
        """Return the samples that Prometheus ingests per second."""
        return self.series / scrape_seconds

    def disk_bytes(self, scrape_seconds: int) -> tuple[float, float]:
        """Return the disk space of 30 days of samples: lowest and highest."""
        samples = self.samples_per_second(scrape_seconds) * _DAY_SECONDS
        least, most = BYTES_PER_SAMPLE
        return (samples * RETENTION_DAYS * least, samples * RETENTION_DAYS * most)


def scaling(config: Config) -> Scaling:
    """Return the cost of a configuration."""
    plans = [one for one in plan(config) if one.kind is CAMPAIGN]
    listed = sum(len(one.objects) for one in plans)
    discovered = (one.kind.discovered(one.workspace) for one in plans)
    found = sum(one.most for one in discovered if one)
    campaigns = listed + found
    series = campaigns * _series_of_one(config)
    rate = sum(
        one.with_rate(one.wanted_with_found_per_minute).planned_per_minute
        for one in plans
    )
    polling_share = rate / 60 * CPU_SECONDS_PER_POLL
    core_share = IDLE_CPU_SHARE + polling_share
    advised_share = CORE_SHARE_ADVISED - IDLE_CPU_SHARE
    return Scaling(
        campaigns=campaigns,
        found_campaigns=found,
        series=series,
        requests_per_minute=rate,
        core_share=core_share,
        resident_bytes=RESIDENT_BYTES + series * BYTES_PER_SERIES,
        campaigns_per_core=math.floor(campaigns * advised_share / polling_share)
        if polling_share
        else 0,
        shards=max(
            1,
            math.ceil(core_share / CORE_SHARE_ADVISED),
            math.ceil(series / SERIES_ADVISED),
        ),
        savings=tuple(
            Saving(change, campaigns * _series_of_one(changed))
            for change, changed in _changes(config)
            if _series_of_one(changed) < _series_of_one(config)
        ),
    )


def _series_of_one(config: Config) -> int:
    return min(typical_series(config), config.limits.series_per_campaign)


def _changes(config: Config) -> Iterator[tuple[str, Config]]:
    """Yield changes that save series, and the configuration with each."""
    few = ", ".join(_FEW_STATS.include)
    if len(config.windows) > 1:
        # The longest has as many series as any other, and detects idle campaigns.
        longest = config.windows[-1:]
        yield f"windows: [{longest[0]}d]", config._replace(windows=longest)
    yield "windows: []", config._replace(windows=())
    if config.revisions:
        yield "revisions: false", config._replace(revisions=False)
    conversions = Selection(
        config.metrics.include, (*config.metrics.exclude, "conversions*")
    )
    yield (
        'metrics: {exclude: ["conversions*"]}',
        config._replace(metrics=conversions),
    )
    yield f"metrics: {{include: [{few}]}}", config._replace(metrics=_FEW_STATS)
