"""Finds the objects of one kind in one workspace, one request at a time.

Each step sends at most one request, paid for by the account of the workspace's session.
A failure discards nothing that is known.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from threading import Lock

from exporter.braze.rate_limit_view import RateLimitView, rate_limit_view
from exporter.braze.responses import Body, BrazeResponse
from exporter.braze.retries import probe_delay
from exporter.braze.session import SHARED, ApiRequest, Session
from exporter.discovery import requests, rules
from exporter.discovery.catalogue import ObjectCatalogue
from exporter.discovery.discovery_log import DiscoveryLog, request_fields
from exporter.discovery.documents import Details, Listed, ListPage, key
from exporter.discovery.kinds import ListedKind
from exporter.discovery.rules import DetailsWanted, NextRequest, PageWanted
from exporter.discovery.selector import Selector
from exporter.discovery.view import DiscoveryView
from exporter.metrics.self_metrics import SelfMetrics
from exporter.model.config import DiscoverRules, ObjectConfig, WorkspaceConfig
from exporter.model.errors import (
    FailureReason,
    FetchError,
    KeyRefused,
    MalformedCatalogue,
    ObjectRefused,
    Throttled,
    Unavailable,
    Unusable,
)
from exporter.system.clock import Clock

_CHECK_AGAIN_SECONDS = 1.0
_RESTART_AFTER_FAILURES = 5
"""After so many failures in a row the list is read from its first page again."""


class ObjectFinder:
    """The objects of one kind in one workspace; any thread may call `step`."""

    def __init__(
        self,
        workspace: WorkspaceConfig,
        kind: ListedKind,
        *,
        session: Callable[[], Session | None],
        on_change: Callable[[], None],
        metrics: SelfMetrics,
        clock: Clock,
        random: Callable[[], float],
        catalogue: ObjectCatalogue | None = None,
    ) -> None:
        """`session` returns None while there is none.

        `on_change` is called when other objects may be found than before. With an
        infinite `list_interval_seconds` known details are not read again.
        """
        self.kind = kind
        self._workspace = workspace
        self._settings = kind.rules_of(workspace)
        self._session = session
        self._on_change = on_change
        self._metrics = metrics
        self._clock = clock
        self._random = random
        self.catalogue = catalogue or ObjectCatalogue()
        """What is known now; immutable, and replaced as a whole."""
        self.failure: FetchError | None = None
        """How the last request failed; None: it succeeded."""
        self.is_settled = False
        """Whether nothing is to be requested until the list is read again."""
        self._has_sent = False
        """Whether a request was ever sent."""
        self._restored_at = self.catalogue.listed_at
        """When the list was read that was known at first."""
        self._busy = Lock()
        self._changing = Lock()
        """Held while the settings change, and while a page is added to the list."""
        self._wait_until = 0.0
        self._failures: Counter[str] = Counter()
        self._failed_page = 0
        self._log = DiscoveryLog(kind)
        self._selector = Selector(kind, wall_offset=clock.offset)
        self._changes = 1 if catalogue else 0
        """How much was learnt since the last `on_change`."""
        self._found = 0
        self.is_limited = False
        self._is_incomplete = False
        """Whether the list was read with other parameters than are configured now."""
        self._is_stopped = False
        metrics.expect_discovery(workspace.name, kind.name, kind.paths)
        if self.catalogue.objects:  # the next list may fail for long
            self._count(self._selector.selected(self.catalogue, workspace))
        if self.catalogue.listed_at is not None:
            shown_at = clock.wall(self.catalogue.listed_at)
            metrics.discovery_succeeded(workspace.name, kind.name, now=shown_at)

    @property
    def workspace(self) -> WorkspaceConfig:
        """The configuration in force."""
        return self._workspace

    def reconfigure(self, workspace: WorkspaceConfig) -> None:
        """Apply other selection rules; the catalogue is kept."""
        with self._changing:
            before, settings = self._settings, self.kind.rules_of(workspace)
            self._is_incomplete |= before.include_archived != settings.include_archived
            self._workspace, self._settings = workspace, settings
            self._changes += before != settings
            self.is_settled = False

    def was_tried(self, *, is_late: bool) -> bool:
        """Return whether the objects are known, or requesting them has failed.

        `is_late`: a first request is enough.
        """
        is_known = self._restored_at or self.is_settled or self.failure is not None
        return bool(is_known) or (is_late and self._has_sent)

    @property
    def is_complete(self) -> bool:
        """Whether all objects are known, by a list that this finder has read.

        One that was restored may be older than other saved values: a crash loses the
        newest.
        """
        has_read = self.catalogue.listed_at != self._restored_at
        return self.is_settled and has_read

    def stop(self) -> None:
        """Ignore failures from now on, and end a pause of the key."""
        self._is_stopped = True
        self._resume_key()

    def _resume_key(self) -> None:
        session = self._session()
        if session is not None:
            session.resume_key(self)

    def retry_now(self) -> None:
        """End all waits: the key was replaced."""
        self._wait_until = 0.0
        self._failures.clear()

    def after_clock_set(self) -> None:
        """Compute the wait after a 429 again: resets that Braze gave were discarded.

        Sends are compared with the wall clock, so the next step selects again.
        """
        self._changes += 1
        session = self._session()
        if isinstance(self.failure, Throttled) and session is not None:
            self._wait_until = session.budget(SHARED).bucket.shut_until

    def view(self) -> DiscoveryView:
        """Return the state for the status page, in wall time."""
        failure, listed_at = self.failure, self.catalogue.listed_at
        next_at = max(self._wait_until, self._clock.now())
        return DiscoveryView(
            kind=self.kind,
            found=self._found,
            is_limited=self.is_limited,
            listed_at=None if listed_at is None else self._clock.wall(listed_at),
            failure=failure.reason if failure else None,
            message=str(failure) if failure else "",
            next_at=self._clock.wall(next_at) if failure else None,
            rate_limit=self._rate_limit(),
        )

    def _rate_limit(self) -> RateLimitView | None:
        session = self._session()
        if session is None or not session.budget(SHARED).bucket.is_used:
            return None
        return rate_limit_view(
            session.budget(SHARED),
            " and ".join(self.kind.paths),
            now=self._clock.wall(),
            wall_offset=self._clock.offset(),
        )

    def objects_of(self, workspace: WorkspaceConfig) -> tuple[ObjectConfig, ...]:
        """Return the configured and the discovered objects of a workspace."""
        return self._selector.objects(self.catalogue, workspace)

    @property
    def is_busy(self) -> bool:
        """Whether a step runs now."""
        return self._busy.locked()

    def step(self) -> float | None:
        """Send the next request; return when to step again, None: a step runs now."""
        if not self._busy.acquire(blocking=False):
            return None
        try:
            return self._step()
        finally:
            self._busy.release()

    def _step(self) -> float:
        now = self._clock.now()
        if now < self._wait_until:
            return self._wait_until
        with self._changing:
            workspace, settings = self._workspace, self._settings
            if self._is_incomplete:
                self._is_incomplete = False
                self.catalogue = replace(self.catalogue, listed_at=None, reading=None)
        catalogue = self.catalogue.without_removed(settings.grace_seconds, now=now)
        self._changes += catalogue is not self.catalogue
        self.catalogue = catalogue
        wanted = self._selector.next_request(catalogue, workspace, now=now)
        if not isinstance(wanted, PageWanted | DetailsWanted):
            self._settle()
            return wanted
        self.is_settled = False
        session = self._session()
        if session is None or session.is_paused_for(self):
            return now + _CHECK_AGAIN_SECONDS
        with session.lock:
            at = session.earliest(SHARED, now=now)
            if at > now:  # inf: until the request in flight ends
                return at if at < math.inf else now + _CHECK_AGAIN_SECONDS
            session.spend(SHARED, now=now)
        self._has_sent = True
        self._send(session, wanted, settings)
        return max(self._clock.now(), self._wait_until)

    def _send(
        self, session: Session, wanted: NextRequest, settings: DiscoverRules
    ) -> None:
        path = requests.path(self.kind, wanted)
        parameters = requests.parameters(self.kind, wanted, settings)
        fields = request_fields(self._workspace, path)
        request = ApiRequest(SHARED, path, parameters, fields)

        # Parsed where it is decoded: details contain the texts of all messages.
        def parse(body: Body) -> object:
            document = body.document()
            return requests.parse(self.kind, wanted, document, now=self._clock.now)

        result = session.fetch(request, parse)
        if self._is_stopped:
            return
        if isinstance(result, BrazeResponse | ObjectRefused):
            session.resume_key(self)
        if isinstance(result, BrazeResponse):
            try:
                self._learn(wanted, result.document)
            except MalformedCatalogue as error:
                malformed = FailureReason.MALFORMED
                result = Unusable(str(error), reason=malformed, status=200)
        if isinstance(result, FetchError):
            self._metrics.discovery_failed(
                self._workspace.name, self.kind.name, result.reason
            )
            is_refused = isinstance(result, ObjectRefused | Unusable)
            is_of_one = is_refused and result.reason is not FailureReason.REDIRECT
            if is_of_one and isinstance(wanted, DetailsWanted):
                self._skip(wanted.listed, result)
            else:
                self._fail(session, wanted, result)
        else:
            self._succeed(wanted)

    def _succeed(self, wanted: NextRequest) -> None:
        """End a failure of the endpoint, unless the page that failed is to come."""
        if isinstance(wanted, PageWanted):
            if self.catalogue.reading and wanted.page < self._failed_page:
                return
            self._failed_page = 0
        self.failure = None
        path = requests.path(self.kind, wanted)
        self._failures[path] = 0
        self._log.succeeded(self._workspace, path)

    def _learn(self, wanted: NextRequest, parsed: object) -> None:
        """Add what was parsed to the catalogue. MalformedCatalogue: it is unusable."""
        if isinstance(parsed, MalformedCatalogue):
            raise parsed
        if isinstance(wanted, DetailsWanted):
            assert isinstance(parsed, Details)  # noqa: S101 - for the reader of types
            self._keep(wanted.listed, parsed)
            return
        assert isinstance(parsed, ListPage)  # noqa: S101 - for the reader of types
        now = self._clock.now()
        with self._changing:
            reading = self.catalogue.reading
            if self._is_incomplete or wanted.page != (reading.page if reading else 0):
                return  # a page of another list: it is read from its first page again
            self.catalogue = self.catalogue.after_page(parsed, now=now)
        if self.catalogue.reading is None:
            self._publish()

    def _keep(self, listed: Listed, details: Details) -> None:
        criteria = self._selector.criteria(self.catalogue, self._settings)
        before, after = (
            criteria.state(one) for one in (self.catalogue.details_of(listed), details)
        )
        self.catalogue = self.catalogue.with_details(listed, details)
        self._changes += before != after
        if self._changes > self._found // 4:
            # At each quarter more: the first round may take an hour.
            self._publish()

    def _fail(self, session: Session, wanted: NextRequest, failure: FetchError) -> None:
        """Wait before the next request."""
        if isinstance(wanted, PageWanted):
            self._failed_page = wanted.page
        now, path = self._clock.now(), requests.path(self.kind, wanted)
        self.failure = failure
        self._failures[path] += 1
        failures, wait = self._failures[path], failure.retry_after_seconds or 0.0
        if not isinstance(failure, Unavailable | Throttled) or (
            failures % _RESTART_AFTER_FAILURES == 0
        ):
            self.catalogue = replace(self.catalogue, reading=None)
        if isinstance(failure, Throttled):
            self._wait_until = session.budget(SHARED).bucket.shut_until
        elif isinstance(failure, KeyRefused):
            self._wait_until = now + max(probe_delay(failures), wait)
            if failure.reason is FailureReason.UNAUTHORIZED:
                session.pause_key(self, probe_at=self._wait_until)
                if self._is_stopped:  # meanwhile: it sends no probe any more
                    session.resume_key(self)
            else:
                session.resume_key(self)
        else:
            delay = rules.delay_seconds(failures, fraction=self._random())
            self._wait_until = now + max(delay, wait)
        self._log.failed(
            self._workspace,
            path,
            failure,
            next_in_seconds=self._wait_until - now,
            now=now,
        )

    def _skip(self, listed: Listed, failure: FetchError) -> None:
        """Keep the known details of an object until they are to be read again."""
        now = self._clock.now()
        known = self.catalogue.details_of(listed) or Details("", now, is_known=False)
        details = replace(known, last_edited=listed.last_edited, read_at=now)
        self._keep(listed, details)
        self._log.passed_over(self._workspace, listed, failure, now=now)

    def _settle(self) -> None:
        self._resume_key()  # nothing is left to probe with
        if self._changes:
            self._publish()
        self.is_settled = True
        self._metrics.discovery_succeeded(
            self._workspace.name, self.kind.name, now=self._clock.wall()
        )
        known = self.catalogue
        self._log.settled(
            self._workspace, self._selector.criteria(known, self._settings)
        )
        self._log.done(
            self._workspace,
            listed_at=known.listed_at,
            found=self._found,
            in_the_list=len(known.objects),
        )

    def _publish(self) -> None:
        """Update the metrics, and let the found objects be polled."""
        workspace, settings = self._workspace, self._settings
        selected = self._selector.selected(self.catalogue, workspace)
        self._changes = 0
        self._count(selected)
        self._log.selected(workspace, settings, is_limited=selected.is_limited)
        self.is_limited = selected.is_limited
        self._on_change()

    def _count(self, selected: rules.SelectedObjects) -> None:
        """Update the number of objects found in addition to the configured ones."""
        found = {key(one.id) for one in selected.objects}
        self._found = len(found - self._selector.listed_keys(self._workspace))
        self._metrics.discovered(
            self._workspace.name,
            self.kind.name,
            found=self._found,
            is_limited=selected.is_limited,
        )
