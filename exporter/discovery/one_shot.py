"""Which campaigns a workspace has, asked for in one go by a command that ends.

The questions are a scout's, as in the daemon: each within discovery's own budget, one
after the other until all is known or a failure stays.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from exporter import __version__
from exporter.discovery.catalogue_cache import CatalogueCache
from exporter.discovery.catalogue_json import Account
from exporter.discovery.finder import CampaignFinder
from exporter.discovery.rules import CampaignCatalogue
from exporter.metrics.self_metrics import SelfMetrics
from exporter.model.config import CampaignConfig, DiscoverConfig, WorkspaceConfig
from exporter.model.errors import FetchError, StateError, Throttled, Unavailable
from exporter.polling.poller import Fetcher
from exporter.system.clock import Clock
from exporter.system.progress import duration

_MOST_FAILURES = 3
_LOOK_SECONDS = 10.0
"""How often a long wait looks whether the wall clock was set."""

_TOLD_SECONDS = 5.0
_DETAILS_KEPT = 100
"""After so many more details what is known is kept, and how many they are is told."""

_LISTED_TOLD = 1000


class DiscoveryRun:
    """Finds campaigns and keeps what it knows, so that another run need not ask."""

    def __init__(
        self,
        file: CatalogueCache,
        *,
        clock: Clock,
        wait: Callable[[float], object],
        draw: Callable[[], float],
        say: Callable[[str], None],
    ) -> None:
        self._file = file
        self._clock = clock
        self._wait = wait
        self._draw = draw
        self._say = say

    def campaigns_of(
        self, workspace: WorkspaceConfig, *, client: Fetcher
    ) -> tuple[CampaignConfig, ...]:
        """Return the listed campaigns and those that discovery finds now.

        FetchError: it could not be finished. StateError: nothing can be kept.
        """
        if workspace.discover is None:
            return workspace.campaigns
        account = (workspace.name, workspace.endpoint, str(workspace.key_source))
        kept = self._kept()
        known = kept.setdefault(account, CampaignCatalogue())
        settings = workspace.discover._replace(list_interval_seconds=math.inf)
        workspace = replace(workspace, discover=settings)
        scout = scout_of(
            workspace, client=client, clock=self._clock, draw=self._draw, known=known
        )

        def keep() -> None:
            kept[account] = replace(scout.known, reading=None)
            self._file.save(kept)

        tell = course(scout, partial(self._tell, workspace))

        def stepped() -> None:
            if len(scout.known.details) >= len(kept[account].details) + _DETAILS_KEPT:
                keep()
            tell()

        def waits(seconds: float, failure: FetchError | None) -> None:
            if seconds >= _TOLD_SECONDS:
                why = failure or "as Braze's limits or the budget ask"
                self._tell(workspace, f"waiting {duration(seconds)}: {why}")

        self._tell(workspace, "asking Braze which campaigns there are")
        try:
            failure = explore(
                scout,
                clock=self._clock,
                wait=self._wait,
                waits=waits,
                stepped=stepped,
            )
        finally:
            keep()
        if failure is not None:
            raise failure
        found = scout.campaigns_of(workspace)
        for told in (*doubts(scout, settings), f"{len(found)} campaigns"):
            self._tell(workspace, told)
        return found

    def _kept(self) -> dict[Account, CampaignCatalogue]:
        try:
            return self._file.load(now=self._clock.now())
        except StateError as error:
            self._say(f"{error}: all is asked for")
            self._file.quarantine()
            return {}

    def _tell(self, workspace: WorkspaceConfig, text: str) -> None:
        self._say(f"workspace {workspace.name}: {text}")


def scout_of(
    workspace: WorkspaceConfig,
    *,
    client: Fetcher,
    clock: Clock,
    draw: Callable[[], float],
    known: CampaignCatalogue | None = None,
) -> CampaignFinder:
    """Return a scout for `explore`, who may know something already."""
    return CampaignFinder(
        workspace,
        fetcher=lambda: client,
        tell_news=lambda: None,
        telemetry=SelfMetrics(version=__version__, served=tuple),
        now=clock.now,
        draw=draw,
        clock_set_by=clock.set_by,
        known=known,
    )


def explore(
    scout: CampaignFinder,
    *,
    clock: Clock,
    wait: Callable[[float], object],
    waits: Callable[[float, FetchError | None], None],
    stepped: Callable[[], None] = lambda: None,
) -> FetchError | None:
    """Ask until all is known; return the failure that ended it before.

    `wait` lets so many seconds pass. `waits` is told of each wait and which failure it
    is for, `stepped` after each question.
    """
    failures, last = 0, None
    while True:
        at = scout.step()
        stepped()
        if scout.is_settled:
            return None
        failure = scout.failure
        if failure is not last:
            failures = 0 if failure is None else failures + 1
            last = failure
        is_passing = isinstance(failure, Throttled | Unavailable)
        if failure and not (is_passing and failures < _MOST_FAILURES):
            return failure
        seconds = max(0.0, (at or 0.0) - clock.now())
        if seconds:
            waits(seconds, failure)
        if _is_clock_set(clock, seconds=seconds, wait=wait):
            scout.forget_windows()


def course(scout: CampaignFinder, say: Callable[[str], None]) -> Callable[[], None]:
    """Return what says now and then how far the scout has come, called at each step."""
    told = len(scout.known.details) // _DETAILS_KEPT
    listed = 0

    def tell() -> None:
        nonlocal told, listed
        known = scout.known
        found = len(known.reading.found) if known.reading else 0
        read = len(known.details)
        if found // _LISTED_TOLD > listed:
            say(f"{found} campaigns in the list so far")
        elif read // _DETAILS_KEPT > told:
            say(f"details of {read} read, of {len(known.campaigns)} campaigns")
        told = max(told, read // _DETAILS_KEPT)
        listed = max(listed, found // _LISTED_TOLD)

    return tell


def doubts(scout: CampaignFinder, settings: DiscoverConfig) -> tuple[str, ...]:
    """Say what is not in the list although it might be."""
    told = []
    unknown = sum(not one.is_known for one in scout.known.details.values())
    if unknown:
        told.append(f"Braze gave no usable details of {unknown} campaigns: left out")
    if scout.is_limited:
        told.append(f"max_campaigns ({settings.max_campaigns}) keeps campaigns out")
    return tuple(told)


def _is_clock_set(
    clock: Clock, *, seconds: float, wait: Callable[[float], object]
) -> bool:
    """Let so many seconds pass, or less: True as soon as the wall clock was set."""
    until = clock.now() + seconds
    while (left := until - clock.now()) > 0:
        wait(min(left, _LOOK_SECONDS))
        if clock.jump():
            return True
    return False
