"""Estimates of what a configuration costs the exporter and Prometheus.

The estimates are proportional to measurements; docs/scaling.md lists their sources.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from exporter.model.config import Config, MetricsConfig, WorkspaceConfig
from exporter.polling.kinds import KINDS, Kind
from exporter.polling.plan import GroupPlan, plan

MIB = 1024 * 1024
GIB = 1024 * MIB

CPU_SECONDS_PER_POLL = 0.003
"""Of a campaign's document of 30 days, or of a canvas with a few steps;
docs/performance.md."""

IDLE_CPU_SHARE = 0.002
"""Of a core, without polls; docs/performance.md."""

RESIDENT_BYTES = 45 * MIB
"""Of the process without values; docs/performance.md."""

BYTES_PER_SERIES = 160
"""Of memory, including all other values of a campaign; docs/performance.md."""

OLDER_DAYS_BYTES = (64 * 1024, 40 * 1024)
"""Of memory and of the state file, for the days of a canvas that its newest request
lacks; docs/scaling.md."""

STATE_BYTES_PER_SERIES = 60
"""Of the state file; docs/scaling.md."""

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

_MOST_KEPT = 0.99
"""A change that leaves more of the series is not advised."""

_FEW_STATS = ("sent", "delivered", "bounces", "reported_spam")
"""What the alerts on deliverability read."""


class Saving(NamedTuple):
    """A change of the configuration, and the number of series with it."""

    change: str
    series: int


class Scaling(NamedTuple):
    """The total cost of a configuration."""

    objects: tuple[tuple[Kind, int], ...]
    """How many of each kind, including the most that discovery may add."""
    found: int
    """The most objects that discovery may add."""
    series: int
    requests_per_minute: float
    """The planned rate, within the ceilings."""
    core_share: float
    resident_bytes: float
    state_bytes: float
    """Of the file in --state.path."""
    objects_per_core: int
    """Objects that the advised share of a core polls, at the mean interval in force.
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
    plans = plan(config)
    numbers = {
        kind: sum(_most(one) for one in plans if one.kind is kind) for kind in KINDS
    }
    series = _series(config)
    with_older = sum(_most(one) for one in plans if one.older_requests)
    older_memory, older_state = (with_older * size for size in OLDER_DAYS_BYTES)
    rate = sum(
        one.with_rate(one.wanted_with_found_per_minute).planned_per_minute
        for one in plans
    )
    polling_share = rate / 60 * CPU_SECONDS_PER_POLL
    core_share = IDLE_CPU_SHARE + polling_share
    advised_share = CORE_SHARE_ADVISED - IDLE_CPU_SHARE
    return Scaling(
        objects=tuple((kind, number) for kind, number in numbers.items() if number),
        found=sum(_found(one) for one in plans),
        series=series,
        requests_per_minute=rate,
        core_share=core_share,
        resident_bytes=RESIDENT_BYTES + series * BYTES_PER_SERIES + older_memory,
        state_bytes=series * STATE_BYTES_PER_SERIES + older_state,
        objects_per_core=math.floor(
            sum(numbers.values()) * advised_share / polling_share
        )
        if polling_share
        else 0,
        shards=max(
            1,
            math.ceil(core_share / CORE_SHARE_ADVISED),
            math.ceil(series / SERIES_ADVISED),
        ),
        savings=tuple(
            Saving(change, fewer)
            for change, changed in _changes(config)
            if (fewer := _series(changed)) < _MOST_KEPT * series
        ),
    )


def _found(one: GroupPlan) -> int:
    discover = one.kind.discovered(one.workspace)
    return discover.most if discover else 0


def _most(one: GroupPlan) -> int:
    return len(one.objects) + _found(one)


def _series(config: Config) -> int:
    return sum(one.typical_series + one.found_series for one in plan(config))


def _without_steps(workspace: WorkspaceConfig) -> WorkspaceConfig:
    canvases = tuple(one._replace(has_steps=False) for one in workspace.canvases)
    return replace(workspace, canvas_steps=False, canvases=canvases)


def _changes(config: Config) -> Iterator[tuple[str, Config]]:
    """Yield changes that save series, and the configuration with each."""
    # Daily counts of the workspace are named one by one: they are wanted.
    named = tuple(
        kind.metric
        for kind in KINDS
        if kind.metric and any(map(kind.objects, config.workspaces))
    )
    few = MetricsConfig(include=(*_FEW_STATS, *named))
    if len(config.windows) > 1:
        # The longest has as many series as any other, and detects idle campaigns.
        longest = config.windows[-1:]
        yield f"windows: [{longest[0]}d]", config._replace(windows=longest)
    yield "windows: []", config._replace(windows=())
    if config.revisions:
        yield "revisions: false", config._replace(revisions=False)
    workspaces = tuple(map(_without_steps, config.workspaces))
    yield "canvas_steps and steps: false", config._replace(workspaces=workspaces)
    skipping = config.metrics._replace(skip_unused=True)
    yield (
        "metrics: {skip_unused: true}  # no conversions1 to 3 with one event",
        config._replace(metrics=skipping),
    )
    conversions = config.metrics._replace(
        exclude=(*config.metrics.exclude, "conversions*")
    )
    yield (
        'metrics: {exclude: ["conversions*"]}',
        config._replace(metrics=conversions),
    )
    yield (
        f"metrics: {{include: [{', '.join(few.include)}]}}",
        config._replace(metrics=few),
    )
