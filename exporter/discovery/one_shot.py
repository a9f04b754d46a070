"""Discovery in one run, for commands: until all is known or a failure lasts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from exporter import __version__
from exporter.braze.client import Fetcher
from exporter.braze.rate_limit import Budget
from exporter.braze.session import SHARED, Session
from exporter.discovery.catalogue_cache import CatalogueCache
from exporter.discovery.catalogue_json import Account
from exporter.discovery.finder import CampaignFinder
from exporter.discovery.rules import CampaignCatalogue
from exporter.metrics.self_metrics import SelfMetrics
from exporter.model.config import CampaignConfig, DiscoverConfig, WorkspaceConfig
from exporter.model.durations import duration
from exporter.model.errors import FetchError, StateError, Throttled, Unavailable
from exporter.system.clock import Clock

_MOST_FAILURES = 3
_LOOK_SECONDS = 10.0
"""How often a long wait checks whether the wall clock was set."""

_REPORTED_SECONDS = 5.0
_DETAILS_SAVED = 100
"""After so many more details the catalogue is saved, and progress is printed."""

_LISTED_REPORTED = 1000


class DiscoveryRun:
    """Finds campaigns and saves the catalogue, so that a second run is short."""

    def __init__(
        self,
        file: CatalogueCache,
        *,
        clock: Clock,
        sleep: Callable[[float], object],
        random: Callable[[], float],
        print_line: Callable[[str], None],
    ) -> None:
        self._file = file
        self._clock = clock
        self._sleep = sleep
        self._random = random
        self._print_line = print_line

    def campaigns_of(
        self, workspace: WorkspaceConfig, *, client: Fetcher
    ) -> tuple[CampaignConfig, ...]:
        """Return the configured campaigns and those that discovery finds now.

        FetchError: it did not finish. StateError: the catalogue cannot be saved.
        """
        if workspace.discover is None:
            return workspace.campaigns
        account = (workspace.name, workspace.endpoint, str(workspace.key_source))
        kept = self._saved()
        catalogue = kept.setdefault(account, CampaignCatalogue())
        settings = workspace.discover._replace(list_interval_seconds=math.inf)
        workspace = replace(workspace, discover=settings)
        finder = finder_of(
            workspace,
            client=client,
            clock=self._clock,
            random=self._random,
            catalogue=catalogue,
        )

        def save() -> None:
            kept[account] = replace(finder.catalogue, reading=None)
            self._file.save(kept)

        print_progress = progress_printer(finder, partial(self._print, workspace))

        def on_step() -> None:
            if (
                len(finder.catalogue.details)
                >= len(kept[account].details) + _DETAILS_SAVED
            ):
                save()
            print_progress()

        def on_wait(seconds: float, failure: FetchError | None) -> None:
            if seconds >= _REPORTED_SECONDS:
                why = failure or "for Braze's rate limit or the configured ceiling"
                self._print(workspace, f"waiting {duration(seconds)}: {why}")

        self._print(workspace, "reading the list of campaigns")
        try:
            failure = run(
                finder,
                clock=self._clock,
                sleep=self._sleep,
                on_wait=on_wait,
                on_step=on_step,
            )
        finally:
            save()
        if failure is not None:
            raise failure
        found = finder.campaigns_of(workspace)
        for text in (*warnings(finder, settings), f"{len(found)} campaigns"):
            self._print(workspace, text)
        return found

    def _saved(self) -> dict[Account, CampaignCatalogue]:
        try:
            return self._file.load(now=self._clock.now())
        except StateError as error:
            self._print_line(f"{error}: the list is read from the start")
            self._file.quarantine()
            return {}

    def _print(self, workspace: WorkspaceConfig, text: str) -> None:
        self._print_line(f"workspace {workspace.name}: {text}")


def finder_of(
    workspace: WorkspaceConfig,
    *,
    client: Fetcher,
    clock: Clock,
    random: Callable[[], float],
    catalogue: CampaignCatalogue | None = None,
) -> CampaignFinder:
    """Return a finder for `run`, with what is known already."""
    assert workspace.discover is not None  # noqa: S101 - the caller checked it
    budget = Budget.of_rate(
        workspace.discover.requests_per_minute,
        reserve=workspace.reserve,
        concurrency=1,
    )
    session = Session(client, budgets={SHARED: budget}, clock=clock, random=random)
    return CampaignFinder(
        workspace,
        session=lambda: session,
        on_change=lambda: None,
        metrics=SelfMetrics(version=__version__, served=tuple),
        clock=clock,
        random=random,
        catalogue=catalogue,
    )


def run(
    finder: CampaignFinder,
    *,
    clock: Clock,
    sleep: Callable[[float], object],
    on_wait: Callable[[float, FetchError | None], None],
    on_step: Callable[[], None] = lambda: None,
) -> FetchError | None:
    """Step until all is known; return the failure that ended it early.

    `on_wait` gets the seconds of each wait and its failure, if any; `on_step` is called
    after each request.
    """
    failures, last = 0, None
    while True:
        at = finder.step()
        on_step()
        if finder.is_settled:
            return None
        failure = finder.failure
        if failure is not last:
            failures = 0 if failure is None else failures + 1
            last = failure
        is_passing = isinstance(failure, Throttled | Unavailable)
        if failure and not (is_passing and failures < _MOST_FAILURES):
            return failure
        seconds = max(0.0, (at or 0.0) - clock.now())
        if seconds:
            on_wait(seconds, failure)
        if _is_clock_set(clock, seconds=seconds, sleep=sleep):
            finder.discard_windows()


def progress_printer(
    finder: CampaignFinder, print_line: Callable[[str], None]
) -> Callable[[], None]:
    """Return a function that prints progress, to be called after each step."""
    reported = len(finder.catalogue.details) // _DETAILS_SAVED
    listed = 0

    def print_progress() -> None:
        nonlocal reported, listed
        known = finder.catalogue
        found = len(known.reading.found) if known.reading else 0
        read = len(known.details)
        if found // _LISTED_REPORTED > listed:
            print_line(f"{found} campaigns in the list so far")
        elif read // _DETAILS_SAVED > reported:
            print_line(f"details of {read} read, of {len(known.campaigns)} campaigns")
        reported = max(reported, read // _DETAILS_SAVED)
        listed = max(listed, found // _LISTED_REPORTED)

    return print_progress


def warnings(finder: CampaignFinder, settings: DiscoverConfig) -> tuple[str, ...]:
    """Return what may be missing from the list, and why."""
    found = []
    unknown = sum(not one.is_known for one in finder.catalogue.details.values())
    if unknown:
        found.append(f"no usable details of {unknown} campaigns: they are left out")
    if finder.is_limited:
        found.append(f"max_campaigns ({settings.max_campaigns}) leaves campaigns out")
    return tuple(found)


def _is_clock_set(
    clock: Clock, *, seconds: float, sleep: Callable[[float], object]
) -> bool:
    """Sleep; return True early, once the wall clock was set."""
    until = clock.now() + seconds
    while (left := until - clock.now()) > 0:
        sleep(min(left, _LOOK_SECONDS))
        if clock.jump():
            return True
    return False
