"""The polling plan of a configuration: wanted rates, ceilings, intervals and series.

`check` prints it, and the daemon follows it.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from exporter.braze.rate_limit import ceiling_for, spacing
from exporter.braze.session import SHARED
from exporter.model.config import (
    Config,
    DiscoverRules,
    ObjectConfig,
    WorkspaceConfig,
)
from exporter.model.patterns import matcher
from exporter.polling import slots
from exporter.polling.kinds import CAMPAIGN, KINDS, Kind
from exporter.series import month_to_date
from exporter.series.older_days import REREAD_SECONDS
from exporter.series.windows import NOT_ADDITIVE

_TYPICAL_CHANNEL = "email"
_TYPICAL_STATS = (
    *("sent", "opens", "unique_opens", "clicks", "unique_clicks", "unsubscribes"),
    *("bounces", "delivered", "reported_spam"),
)
"""The fields of one email message in Braze's documentation of the endpoint."""

_TYPICAL_OVERALL_STATS = (
    *("revenue", NOT_ADDITIVE),
    *("conversions", "conversions1", "conversions2", "conversions3"),
    *("conversions_by_send_time", "conversions1_by_send_time"),
    *("conversions2_by_send_time", "conversions3_by_send_time"),
)
"""Revenue, unique recipients and four conversion events by either date; there are as
many fields however many of the events a campaign has."""

_TYPICAL_UNUSED = frozenset(
    f"conversions{number}{date}"
    for number in (1, 2, 3)
    for date in ("", "_by_send_time")
)
"""Braze reports them as 0 for a campaign with one conversion event."""

_TYPICAL_ENTRIES = ("entries", "revenue", "conversions", "conversions_by_entry_time")
"""Fields of a canvas and of a variant with one conversion event; steps lack entries."""

_PAGE_SIZE = 100
"""Objects on one page of Braze's lists."""

_DAY_SECONDS = 86400.0

_LEAST_SHARE = 0.1
"""Of the shared ceiling, for canvases beside discovery."""

_POLL_SERIES = 3
"""Of a series of the workspace: up, interval and last success."""

_STATUS_SERIES = 7
"""Info, up, interval, last success, one variation info and two timestamps of days."""


class GroupPlan(NamedTuple):
    """The plan of one kind in one workspace. Rates are requests per minute."""

    workspace: WorkspaceConfig
    kind: Kind
    wanted_per_minute: float
    ceiling_per_minute: float
    """The part of the kind in the ceiling of its bucket."""
    share: float
    """That part as a fraction; of a bucket that has only this kind it is 1."""
    stretch: float
    """The factor, at least 1, on every interval."""
    windows: tuple[int, ...]
    """Those that requests cover, with a contract also that of a month."""
    typical_series: int
    """Series expected when each campaign sends one email message, and each canvas one
    in one step of one variant."""
    found_series: int
    """Those of the most objects that discovery may add."""

    @property
    def older_requests(self) -> int:
        """Requests of one object for days older than one request has."""
        return self.kind.older_requests(self.windows)

    @property
    def older_per_minute(self) -> float:
        """The part of the wanted rate that reads days older than one request has."""
        return _older_rate(self.kind, self.windows, len(self.objects))

    @property
    def wanted_with_found_per_minute(self) -> float:
        """The wanted rate with the most objects that discovery may add."""
        discover = self.kind.discovered(self.workspace)
        if discover is None:
            return self.wanted_per_minute
        older = self.older_requests * 60 / REREAD_SECONDS
        each = 60 / self.kind.interval_seconds(self.workspace) + older
        return self.wanted_per_minute + discover.most * each

    @property
    def can_detect_idle(self) -> bool:
        """Whether responses have enough days to detect that an object is idle."""
        return self.kind.can_be_quiet(self.windows)

    @property
    def objects(self) -> tuple[ObjectConfig, ...]:
        """The objects that are polled."""
        return self.kind.objects(self.workspace)

    def with_rate(self, wanted_per_minute: float) -> GroupPlan:
        """Return the plan with this rate, stretched to the ceiling."""
        stretch = max(1.0, wanted_per_minute / self.startable_per_minute)
        return self._replace(wanted_per_minute=wanted_per_minute, stretch=stretch)

    @property
    def planned_per_minute(self) -> float:
        """Requests while nothing fails."""
        return self.wanted_per_minute / self.stretch

    @property
    def needed_per_minute(self) -> float:
        """The lowest ceiling, rounded up to hundredths, that stretches no interval.

        It is that of the bucket, for all kinds in it.
        """
        return math.ceil(100 * ceiling_for(self.wanted_per_minute) / self.share) / 100

    @property
    def interval_seconds(self) -> float:
        """The default interval of the kind, stretched."""
        return self.kind.interval_seconds(self.workspace) * self.stretch

    @property
    def startable_per_minute(self) -> float:
        """Requests that may start in a minute under the ceiling."""
        return 60 / self.spacing_seconds

    @property
    def spacing_seconds(self) -> float:
        """The time between two starts while all kinds of the bucket have requests."""
        return spacing(self.ceiling_per_minute / self.share) / self.share


def plan(config: Config) -> tuple[GroupPlan, ...]:
    """Plan the kinds of every workspace, in the configuration's order."""
    return tuple(
        one for workspace in config.workspaces for one in _plans(config, workspace)
    )


def _plans(config: Config, workspace: WorkspaceConfig) -> Iterator[GroupPlan]:
    """Yield the plans of a workspace; kinds in one bucket are stretched alike."""
    kinds = [
        kind
        for kind in KINDS
        if kind is CAMPAIGN or kind.objects(workspace) or kind.discovered(workspace)
    ]
    wanted = {kind: _wanted(config, workspace, kind) for kind in kinds}
    in_bucket: dict[str, float] = defaultdict(float)
    for kind, rate in wanted.items():
        in_bucket[kind.bucket] += rate
    for kind, rate in wanted.items():
        total = in_bucket[kind.bucket]
        # Discovery may not have found any object yet.
        yield _plan(config, workspace, kind, share=rate / total if rate else 1.0)


def _wanted(config: Config, workspace: WorkspaceConfig, kind: Kind) -> float:
    objects = kind.objects(workspace)
    rate = sum(60 / each.interval_seconds for each in objects)
    return rate + _older_rate(kind, _windows(config, workspace, kind), len(objects))


def _windows(config: Config, workspace: WorkspaceConfig, kind: Kind) -> tuple[int, ...]:
    """Return the windows that requests cover."""
    is_counted = bool(workspace.contract) and not kind.is_series
    return month_to_date.look_back(config.windows, is_counted=is_counted)


def _older_rate(kind: Kind, windows: tuple[int, ...], objects: int) -> float:
    """Return the rate that reads days older than one request has."""
    return kind.older_requests(windows) * objects * 60 / REREAD_SECONDS


def _plan(
    config: Config, workspace: WorkspaceConfig, kind: Kind, *, share: float
) -> GroupPlan:
    objects, discover = kind.objects(workspace), kind.discovered(workspace)
    series_of = partial(
        _series_of, config, workspace, kind, is_listed=discover is not None
    )
    # Counted first: there may be thousands, and discovery plans often.
    numbers = Counter(each.has_steps for each in objects)
    one = GroupPlan(
        workspace=workspace,
        kind=kind,
        wanted_per_minute=0.0,
        ceiling_per_minute=_ceiling(workspace, kind) * share,
        share=share,
        stretch=1.0,
        windows=_windows(config, workspace, kind),
        typical_series=sum(
            number * series_of(has_steps=steps) for steps, number in numbers.items()
        ),
        found_series=discover.most * series_of(has_steps=workspace.canvas_steps)
        if discover
        else 0,
    )
    return one.with_rate(_wanted(config, workspace, kind))


def _ceiling(workspace: WorkspaceConfig, kind: Kind) -> float:
    """Return the ceiling of a kind; in the shared bucket discovery has its part."""
    ceiling, discover = kind.ceiling(workspace), workspace.discover
    if kind.bucket != SHARED or discover is None:
        return ceiling
    requests = (sum(discovery_per_day(one, objects=one.most)) for one in discover.rules)
    part = sum(requests) * 60 / _DAY_SECONDS
    return max(ceiling - part, ceiling * _LEAST_SHARE)


def _series_of(
    config: Config,
    workspace: WorkspaceConfig,
    kind: Kind,
    *,
    is_listed: bool,
    has_steps: bool,
) -> int:
    """Return the number of series of a typical object, within its limit.

    With the list of discovery the time of its last edit is one, too.
    """
    if kind is CAMPAIGN:
        series = typical_series(config)
    elif kind.is_series:
        series = typical_samples(config, kind) + _POLL_SERIES
    else:
        series = typical_canvas_series(config, has_steps=has_steps)
    if not kind.is_series:
        series += _has_typical_month(config, workspace)
    return min(series + is_listed, config.limits.series_per_campaign)


def _has_typical_month(config: Config, workspace: WorkspaceConfig) -> bool:
    """Return whether messages of the month are exported for an email message."""
    return (
        _TYPICAL_CHANNEL in workspace.contract
        and matcher(config.channels)(_TYPICAL_CHANNEL)
        and matcher(config.metrics.selection)("sent")
    )


def typical_series(config: Config) -> int:
    """Return the number of series of a campaign with one email message."""
    is_wanted = matcher(config.metrics.selection)
    has_channel = matcher(config.channels)(_TYPICAL_CHANNEL)
    names = {*(_TYPICAL_STATS if has_channel else ()), *_TYPICAL_OVERALL_STATS}
    if config.metrics.skip_unused:
        names -= _TYPICAL_UNUSED
    stats = sum(map(is_wanted, names))
    views = 2 + config.revisions + len(config.windows)
    unsummed = len(config.windows) if is_wanted(NOT_ADDITIVE) else 0
    return stats * views - unsummed + _STATUS_SERIES


def typical_canvas_series(config: Config, *, has_steps: bool) -> int:
    """Return the number of series of a canvas with one step, variant and channel."""
    is_wanted = matcher(config.metrics.selection)
    has_channel = matcher(config.channels)(_TYPICAL_CHANNEL)
    messages = sum(map(is_wanted, _TYPICAL_STATS)) if has_channel else 0
    entries = sum(map(is_wanted, _TYPICAL_ENTRIES))
    stats = messages + 2 * entries
    if has_steps:
        stats += messages + sum(map(is_wanted, _TYPICAL_ENTRIES[1:]))
    views = 2 + len(config.windows)
    return stats * views + _STATUS_SERIES + has_steps


def typical_samples(config: Config, kind: Kind) -> int:
    """Return the number of series of one series of the workspace."""
    if not kind.metric:
        return kind.typical_samples
    if not matcher(config.metrics.selection)(kind.metric):
        return 0
    return 2 * 2 + len(config.windows) * kind.has_sums  # days and their timestamps


def discovery_per_day(discover: DiscoverRules, *, objects: int) -> tuple[int, int]:
    """Return the highest requests a day for the list and for the details.

    Details are requested only of objects that names and tags select.
    """
    lists = _DAY_SECONDS / discover.list_interval_seconds
    pages = objects // _PAGE_SIZE + 1
    reads = _DAY_SECONDS / discover.details_interval_seconds(objects)
    details = math.ceil(reads * objects) if discover.needs_details else 0
    return math.ceil(lists * pages), details


def first_round(
    objects: tuple[ObjectConfig, ...], *, now: float, spacing_seconds: float
) -> tuple[tuple[str, float], ...]:
    """Return (object id, due at) of the polls of a first round, ordered by phase."""
    ordered = sorted(objects, key=lambda one: slots.phase(one.id))
    return tuple(
        (one.id, now + number * spacing_seconds) for number, one in enumerate(ordered)
    )
