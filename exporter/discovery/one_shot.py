"""Discovery in one run, for commands: until all is known or a failure lasts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from exporter import __version__
from exporter.braze.client import Fetcher
from exporter.braze.rate_limit import Budget
from exporter.braze.session import SHARED, Session
from exporter.discovery.catalogue import ObjectCatalogue
from exporter.discovery.catalogue_cache import CatalogueCache
from exporter.discovery.catalogue_json import (
    CatalogueKey,
    catalogue_key,
    catalogue_of,
    is_same_place,
)
from exporter.discovery.finder import ObjectFinder
from exporter.discovery.kinds import CAMPAIGN, CANVAS, ListedKind
from exporter.metrics.self_metrics import SelfMetrics
from exporter.model.config import DiscoverRules, ObjectConfig, WorkspaceConfig
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
    """Finds the objects of one workspace; `print_line` gets progress and warnings."""

    def __init__(
        self,
        workspace: WorkspaceConfig,
        *,
        requests_per_minute: float,
        client: Fetcher,
        clock: Clock,
        sleep: Callable[[float], object],
        random: Callable[[], float],
        print_line: Callable[[str], None],
        file: CatalogueCache | None = None,
    ) -> None:
        """Load the catalogues from `file`; `run` saves them: a second run is short."""
        self._workspace = _read_once(workspace, requests_per_minute)
        budget = Budget.of_rate(
            requests_per_minute, reserve=workspace.reserve, concurrency=1
        )
        self._session = Session(
            client, budgets={SHARED: budget}, clock=clock, random=random
        )
        self._clock = clock
        self._random = random
        self._sleep = sleep
        self._print_line = print_line
        self._file = file
        self._saved = self._load()
        self.catalogues: dict[str, ObjectCatalogue] = {}
        """What is known of each kind, by its name, after `run`."""

    def run(self) -> WorkspaceConfig:
        """Return the workspace with the configured objects and those found now.

        FetchError: it did not finish. StateError: a catalogue cannot be saved.
        """
        found = [self._find(kind) for kind in (CAMPAIGN, CANVAS)]
        return replace(self._workspace, campaigns=found[0], canvases=found[1])

    def _find(self, kind: ListedKind) -> tuple[ObjectConfig, ...]:
        settings = kind.rules(self._workspace)
        if settings is None:
            return kind.objects(self._workspace)
        finder = ObjectFinder(
            self._workspace,
            kind,
            session=lambda: self._session,
            on_change=lambda: None,
            metrics=SelfMetrics(version=__version__, served=tuple),
            clock=self._clock,
            random=self._random,
            catalogue=self._known(kind, settings),
        )
        try:
            self._step_until_settled(finder)
        finally:
            self.catalogues[kind.name] = finder.catalogue
            self._save(finder)
        unknown = sum(not one.is_known for one in finder.catalogue.details.values())
        if unknown:
            text = f"no usable details of {unknown} {kind.plural}: they are left out"
            self._print_line(text)
        if finder.is_limited:
            option = f"{kind.max_option} ({settings.most})"
            self._print_line(f"{option} leaves {kind.plural} out")
        return finder.objects_of(self._workspace)

    def _step_until_settled(self, finder: ObjectFinder) -> None:
        failures, last = 0, None
        listed, read = 0, len(finder.catalogue.details) // _DETAILS_REPORTED
        while True:
            at = finder.step()
            listed, read = self._report_progress(finder, listed, read)
            if finder.is_settled:
                return
            failure = finder.failure
            if failure is not last:
                failures = 0 if failure is None else failures + 1
                last = failure
            is_passing = isinstance(failure, Throttled | Unavailable)
            if failure and not (is_passing and failures < _MOST_FAILURES):
                raise failure
            self._wait(finder, (at or 0.0) - self._clock.now(), failure)

    def _report_progress(
        self, finder: ObjectFinder, listed: int, read: int
    ) -> tuple[int, int]:
        """Print and save after so many more objects; return what was reported."""
        known, plural = finder.catalogue, finder.kind.plural
        found = len(known.reading.found) if known.reading else 0
        details = len(known.details)
        if found // _LISTED_REPORTED > listed:
            listed = found // _LISTED_REPORTED
            self._print_line(f"{found} {plural} in the list so far")
        if details // _DETAILS_REPORTED > read:
            read = details // _DETAILS_REPORTED
            total = len(known.objects)
            self._print_line(f"details of {details} read, of {total} {plural}")
            self._save(finder)
        return listed, read

    def _wait(
        self, finder: ObjectFinder, seconds: float, failure: FetchError | None
    ) -> None:
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
        finder.after_clock_set()

    def _load(self) -> dict[CatalogueKey, ObjectCatalogue]:
        if self._file is None:
            return {}
        try:
            return self._file.load(now=self._clock.now())
        except StateError as error:
            self._print_line(f"{error}: the list is read from the start")
            self._file.quarantine()
            return {}

    def _known(
        self, kind: ListedKind, settings: DiscoverRules
    ) -> ObjectCatalogue | None:
        """Return a loaded catalogue without old details: each is read once in a run."""
        loaded = catalogue_of(self._saved, self._workspace, kind, None)
        if loaded is None:
            return None
        oldest = self._clock.now() - settings.details_interval_seconds(
            len(loaded.details)
        )
        recent = {
            id_: one for id_, one in loaded.details.items() if one.read_at > oldest
        }
        return replace(loaded, details=recent)

    def _save(self, finder: ObjectFinder) -> None:
        if self._file is None:
            return
        key = catalogue_key(self._workspace, finder.kind, None)
        for one in [one for one in self._saved if is_same_place(one, key)]:
            del self._saved[one]
        self._saved[key] = replace(finder.catalogue, reading=None)
        self._file.save(self._saved, wall_offset=self._clock.offset())


def _read_once(workspace: WorkspaceConfig, rate: float) -> WorkspaceConfig:
    """Return a workspace whose lists are read once, by one kind after the other."""
    discover = workspace.discover
    if discover is None:
        return workspace
    campaigns, canvases = (
        rules
        and rules._replace(list_interval_seconds=math.inf, requests_per_minute=rate)
        for rules in (discover.campaigns, discover.canvases)
    )
    once = discover._replace(campaigns=campaigns, canvases=canvases)
    return replace(workspace, discover=once)
