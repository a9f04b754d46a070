"""Download of a history's pages from Braze.

Requests run one at a time, within the ceiling and reserve of their bucket. Failures of
Braze are retried, or recorded per object or download; they are never raised.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from exporter.backfill.page_cache import CacheKey, PageCache
from exporter.backfill.sampling import HistoryRequest
from exporter.braze.client import Fetcher
from exporter.braze.rate_limit import Budget
from exporter.braze.session import ApiRequest, Session
from exporter.model.config import ObjectConfig, WorkspaceConfig
from exporter.model.errors import (
    FailureReason,
    FetchError,
    KeyRefused,
    MalformedSeries,
    Throttled,
    Unavailable,
)
from exporter.polling.kinds import KINDS, Kind
from exporter.system.clock import Clock

_MAX_SLEEP_SECONDS = 10.0
"""A long wait is cut into such pieces, to notice that the wall clock was set."""

_RETRY_INTERVAL_SECONDS = 120.0
"""Retries are those of an object polled at this interval: within a minute."""

_MAX_THROTTLED = 10
_MAX_FAILURES = 3
"""This many objects in a row without a response stop their download."""


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A page that is not downloaded yet; `at` is when its retry is due."""

    object: ObjectConfig
    page: HistoryRequest
    tries: int = 0
    first_try_at: float = math.inf
    at: float = -math.inf


def session_of(
    workspace: WorkspaceConfig,
    *,
    client: Fetcher,
    clock: Clock,
    random: Callable[[], float],
) -> Session:
    """Return the session of a workspace, which its downloads share."""
    budgets = {
        kind.bucket: Budget.of_rate(
            kind.ceiling(workspace),
            reserve=workspace.reserve,
            concurrency=workspace.concurrency,
        )
        for kind in KINDS
    }
    return Session(client, budgets=budgets, clock=clock, random=random)


class GroupDownload:
    """The pending pages of one kind of object in one workspace."""

    def __init__(
        self,
        workspace: WorkspaceConfig,
        kind: Kind,
        *,
        session: Session,
        requests: Sequence[PageRequest],
        cache: PageCache,
        on_page: Callable[[], None] = lambda: None,
    ) -> None:
        """Queue `requests`; `on_page` is called for each that is done or dropped."""
        self.workspace = workspace
        self.kind = kind
        self.session = session
        self._new = deque(requests)
        self._retries: list[PageRequest] = []
        self._cache = cache
        self._on_page = on_page
        self.failures: dict[str, str] = {}
        """Object id → why its history is incomplete."""
        self.stopped_by = ""
        """Why no further request is sent; empty while the download runs."""
        self.is_forbidden = False
        """Whether that is a missing permission for the kind."""
        self._has_response = False
        self._failures_in_a_row = 0

    @property
    def has_more(self) -> bool:
        """Whether requests are pending."""
        return bool(self._new or self._retries)

    def opens_at(self, now: float) -> float:
        """Return when the next request may start."""
        at = self.session.earliest(self.kind.bucket, now=now)
        if self._new:
            return at
        return max(at, min(request.at for request in self._retries))

    def fetch_next(self, now: float) -> None:
        """Send the next request, due retries first. OSError: the cache fails."""
        self.session.spend(self.kind.bucket, now=now)
        request = next((one for one in self._retries if one.at <= now), None)
        if request is None:
            request = self._new.popleft()
        else:
            self._retries.remove(request)
        request = replace(
            request,
            tries=request.tries + 1,
            first_try_at=min(request.first_try_at, now),
        )
        one, page = request.object, request.page
        history = self.kind.history(one)
        assert history is not None  # noqa: S101 - for the reader of types
        parameters = history.query(one.id, length=page.length, ending_at=page.ending_at)
        result = self.session.fetch(
            ApiRequest(self.kind.bucket, self.kind.path, parameters, {})
        )
        if isinstance(result, FetchError):
            self._handle_failure(request, result)
            return
        self._has_response = True
        self._failures_in_a_row = 0
        try:
            self.kind.rows(one, result.document)
        except MalformedSeries as error:
            self._fail(request, error)
            return
        self._cache.put(key_of(self.workspace, self.kind, one), page, result.document)
        self._on_page()

    def _handle_failure(self, request: PageRequest, failure: FetchError) -> None:
        if isinstance(failure, KeyRefused):
            is_forbidden = failure.reason is FailureReason.FORBIDDEN
            if is_forbidden and self._has_response:
                self._fail(request, failure)
            else:
                self.is_forbidden = is_forbidden
                self._stop(failure)
            return
        if isinstance(failure, Throttled):
            bucket = self.session.budget(self.kind.bucket).bucket
            if bucket.throttled_in_a_row >= _MAX_THROTTLED:
                self._stop(failure)
                return
            # A 429 does not count as a try.
            request = replace(request, tries=request.tries - 1)
        at = self.session.retry_at(
            failure,
            bucket=self.kind.bucket,
            tries=request.tries,
            first_try_at=request.first_try_at,
            interval_seconds=_RETRY_INTERVAL_SECONDS,
            is_patient=True,
        )
        if at is not None:
            self._retries.append(replace(request, at=at))
            return
        self._fail(request, failure)
        if isinstance(failure, Unavailable):
            self._failures_in_a_row += 1
            if self._failures_in_a_row >= _MAX_FAILURES:
                self._stop(failure)

    def _fail(self, request: PageRequest, reason: Exception) -> None:
        """Drop all requests of the object."""
        object_id = request.object.id
        self.failures[object_id] = str(reason)
        self._on_page()
        for queue in (self._new, self._retries):
            for one in [one for one in queue if one.object.id == object_id]:
                queue.remove(one)
                self._on_page()

    def _stop(self, reason: Exception) -> None:
        """Drop all requests of the download."""
        self.stopped_by = str(reason)
        self._new.clear()
        self._retries.clear()


def run(
    downloads: Sequence[GroupDownload],
    *,
    clock: Clock,
    sleep: Callable[[float], object],
    on_wait: Callable[[float, GroupDownload], None] = lambda _seconds, _download: None,
) -> None:
    """Download all pages; `on_wait` is called when a download's wait begins.

    OSError: a cache cannot be written.
    """
    reported_until: dict[GroupDownload, float] = {}
    while pending := [one for one in downloads if one.has_more]:
        now = clock.now()
        if clock.jump():
            for one in downloads:
                one.session.discard_windows()
        download = min(pending, key=lambda one: one.opens_at(now))
        at = download.opens_at(now)
        if at <= now:
            download.fetch_next(now)
            continue
        if at > reported_until.get(download, now):
            reported_until[download] = at
            on_wait(at - now, download)
        sleep(min(at - now, _MAX_SLEEP_SECONDS))


def key_of(workspace: WorkspaceConfig, kind: Kind, one: ObjectConfig) -> CacheKey:
    """Return the cache key of an object."""
    return CacheKey(workspace.name, workspace.endpoint, kind.name, one.id)
