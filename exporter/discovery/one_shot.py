"""Discovery in one run, for commands: until all is known or a failure lasts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from exporter import __version__
from exporter.braze.client import Fetcher
from exporter.braze.rate_limit import Budget
from exporter.braze.session import SHARED, Session
from exporter.discovery.catalogue import CampaignCatalogue
from exporter.discovery.catalogue_cache import CatalogueCache
from exporter.discovery.catalogue_json import Account, account_of, catalogue_of
from exporter.discovery.finder import CampaignFinder
from exporter.metrics.self_metrics import SelfMetrics
from exporter.model.config import DiscoverConfig, ObjectConfig, WorkspaceConfig
from exporter.model.durations import duration
from exporter.model.errors import FetchError, StateError, Throttled, Unavailable
from exporter.system.clock import Clock

_MOST_FAILURES = 3
_MAX_SLEEP_SECONDS = 10.0
"""A long wait is cut into such pieces, to notice that the wall clock was set."""

_REPORTED_SECONDS = 5.0
_DETAILS_REPORTED = 100
"""After so many more details progress is printed, and the catalogue is saved."""

_LISTED_REPORTED = 1000


class DiscoveryRun:
    """Finds the campaigns of one workspace; `print_line` gets progress and warnings."""

    def __init__(
        self,
        workspace: WorkspaceConfig,
        settings: DiscoverConfig,
        *,
        client: Fetcher,
        clock: Clock,
        sleep: Callable[[float], object],
        random: Callable[[], float],
        print_line: Callable[[str], None],
        file: CatalogueCache | None = None,
    ) -> None:
        """Load the catalogue from `file`; `run` saves it, so a second run is short."""
        settings = settings._replace(list_interval_seconds=math.inf)
        budget = Budget.of_rate(
            settings.requests_per_minute, reserve=workspace.reserve, concurrency=1
        )
        session = Session(client, budgets={SHARED: budget}, clock=clock, random=random)
        self._session = session
        self._settings = settings
        self._workspace = replace(workspace, discover=settings)
        self._account = account_of(workspace, None)
        self._clock = clock
        self._sleep = sleep
        self._print_line = print_line
        self._file = file
        self._saved = self._load()
        self._finder = CampaignFinder(
            self._workspace,
            session=lambda: session,
            on_change=lambda: None,
            metrics=SelfMetrics(version=__version__, served=tuple),
            clock=clock,
            random=random,
            catalogue=self._known(catalogue_of(self._saved, workspace, None)),
            is_one_shot=True,
        )
        self._listed = 0
        self._read = len(self.catalogue.details) // _DETAILS_REPORTED

    @property
    def catalogue(self) -> CampaignCatalogue:
        """What is known now."""
        return self._finder.catalogue

    def run(self) -> tuple[ObjectConfig, ...]:
        """Return the configured campaigns and those that discovery finds now.

        FetchError: it did not finish. StateError: the catalogue cannot be saved.
        """
        try:
            self._step_until_settled()
        finally:
            self._save()
        unknown = sum(not one.is_known for one in self.catalogue.details.values())
        if unknown:
            text = f"no usable details of {unknown} campaigns: they are left out"
            self._print_line(text)
        if self._finder.is_limited:
            most = self._settings.max_campaigns
            self._print_line(f"max_campaigns ({most}) leaves campaigns out")
        return self._finder.campaigns_of(self._workspace)

    def _step_until_settled(self) -> None:
        failures, last = 0, None
        while True:
            at = self._finder.step()
            self._report_progress()
            if self._finder.is_settled:
                return
            failure = self._finder.failure
            if failure is not last:
                failures = 0 if failure is None else failures + 1
                last = failure
            is_passing = isinstance(failure, Throttled | Unavailable)
            if failure and not (is_passing and failures < _MOST_FAILURES):
                raise failure
            self._wait((at or 0.0) - self._clock.now(), failure)

    def _report_progress(self) -> None:
        known = self.catalogue
        found = len(known.reading.found) if known.reading else 0
        details = len(known.details)
        if found // _LISTED_REPORTED > self._listed:
            self._listed = found // _LISTED_REPORTED
            self._print_line(f"{found} campaigns in the list so far")
        if details // _DETAILS_REPORTED > self._read:
            self._read = details // _DETAILS_REPORTED
            total = len(known.campaigns)
            self._print_line(f"details of {details} read, of {total} campaigns")
            self._save()

    def _wait(self, seconds: float, failure: FetchError | None) -> None:
        """Sleep; shorter if the wall clock was set, by which Braze's resets are."""
        if seconds >= _REPORTED_SECONDS:
            why = failure or "for Braze's rate limit or the configured ceiling"
            self._print_line(f"waiting {duration(seconds)}: {why}")
        until = self._clock.now() + seconds
        while not self._clock.jump():
            left = until - self._clock.now()
            if left <= 0:
                return
            self._sleep(min(left, _MAX_SLEEP_SECONDS))
        self._session.discard_windows()
        self._finder.after_clock_set()

    def _load(self) -> dict[Account, CampaignCatalogue]:
        if self._file is None:
            return {}
        try:
            return self._file.load(now=self._clock.now())
        except StateError as error:
            self._print_line(f"{error}: the list is read from the start")
            self._file.quarantine()
            return {}

    def _known(self, loaded: CampaignCatalogue | None) -> CampaignCatalogue | None:
        """Return a loaded catalogue without old details: each is read once in a run."""
        if loaded is None:
            return None
        oldest = self._clock.now() - self._settings.details_interval_seconds(
            len(loaded.details)
        )
        recent = {
            id_: one for id_, one in loaded.details.items() if one.read_at > oldest
        }
        return replace(loaded, details=recent)

    def _save(self) -> None:
        if self._file is not None:
            for account in [one for one in self._saved if one[:2] == self._account[:2]]:
                del self._saved[account]
            self._saved[self._account] = replace(self.catalogue, reading=None)
            self._file.save(self._saved, wall_offset=self._clock.offset())
