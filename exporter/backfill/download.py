"""Download of a history's pages from Braze.

Requests run one at a time, within the workspace's ceiling and reserve. 429 and
transient failures are retried. Cached pages are not requested. Failures of Braze are
recorded per campaign or workspace and never raised.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from exporter.backfill.page_cache import PageCache
from exporter.backfill.sampling import HistoryRequest
from exporter.braze.client import Fetcher
from exporter.braze.paths import CAMPAIGN_DATA_SERIES
from exporter.braze.rate_limit import Budget
from exporter.braze.session import (
    CAMPAIGN_ANALYTICS,
    ApiRequest,
    Session,
)
from exporter.model.config import CampaignConfig, WorkspaceConfig
from exporter.model.errors import (
    FailureReason,
    FetchError,
    KeyRefused,
    MalformedSeries,
    Throttled,
    Unavailable,
)
from exporter.series import rows
from exporter.system.clock import Clock

_MAX_SLEEP_SECONDS = 10.0
"""A long wait is cut into such pieces, to notice that the wall clock was set."""

_RETRY_INTERVAL_SECONDS = 120.0
"""Retries are those of a campaign polled at this interval: within a minute."""

_MAX_THROTTLED = 10
_MAX_FAILURES = 3
"""This many campaigns in a row without a response stop their workspace."""


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A page that is not downloaded yet; `at` is when its retry is due."""

    campaign: CampaignConfig
    page: HistoryRequest
    tries: int = 0
    first_try_at: float = math.inf
    at: float = -math.inf


class WorkspaceDownload:
    """The pending pages of one workspace, and its session."""

    def __init__(
        self,
        workspace: WorkspaceConfig,
        *,
        client: Fetcher,
        requests: Sequence[PageRequest],
        clock: Clock,
        random: Callable[[], float],
    ) -> None:
        """Queue `requests` in this order; those of one campaign must be adjacent."""
        self.workspace = workspace
        self._new = deque(requests)
        self._retries: list[PageRequest] = []
        self.failures: dict[str, str] = {}
        """Campaign id → why its history is incomplete."""
        self.stopped_by = ""
        """Why no further request is sent; empty while the download runs."""
        budget = Budget.of_rate(
            workspace.requests_per_minute,
            reserve=workspace.reserve,
            concurrency=workspace.concurrency,
        )
        self.session = Session(
            client, budgets={CAMPAIGN_ANALYTICS: budget}, clock=clock, random=random
        )
        self.has_response = False
        self.failures_in_a_row = 0
        self.wait_reported_until = -math.inf

    @property
    def has_more(self) -> bool:
        """Whether requests are pending."""
        return bool(self._new or self._retries)

    def opens_at(self, now: float) -> float:
        """Return when the next request may start; call it with none in flight."""
        at = self.session.earliest(CAMPAIGN_ANALYTICS, now=now)
        if self._new:
            return at
        return max(at, min(request.at for request in self._retries))

    def pop(self, now: float) -> PageRequest:
        """Remove and return the next request, due retries first; spend the budget."""
        self.session.spend(CAMPAIGN_ANALYTICS, now=now)
        request = next((one for one in self._retries if one.at <= now), None)
        if request is None:
            request = self._new.popleft()
        else:
            self._retries.remove(request)
        return replace(
            request,
            tries=request.tries + 1,
            first_try_at=min(request.first_try_at, now),
        )

    def retry_later(self, request: PageRequest, *, at: float) -> None:
        """Schedule a retry."""
        self._retries.append(replace(request, at=at))

    def fail(self, request: PageRequest, reason: str) -> int:
        """Drop all requests of the campaign; return how many were pending."""
        campaign_id = request.campaign.id
        self.failures[campaign_id] = reason
        before = len(self._new) + len(self._retries)
        while self._new and self._new[0].campaign.id == campaign_id:
            self._new.popleft()
        self._retries = [one for one in self._retries if one.campaign.id != campaign_id]
        return before - len(self._new) - len(self._retries)

    def stop(self, reason: str) -> None:
        """Drop all requests of the workspace."""
        self.stopped_by = reason
        self._new.clear()
        self._retries.clear()


class Download:
    """Fills a page cache from Braze."""

    def __init__(
        self,
        cache: PageCache,
        *,
        clock: Clock,
        sleep: Callable[[float], object],
        on_page: Callable[[], None] = lambda: None,
        on_wait: Callable[[float, str], None] = lambda _seconds, _workspace: None,
    ) -> None:
        """`on_page` is called for each finished page, `on_wait` when a wait begins."""
        self._cache = cache
        self._clock = clock
        self._sleep = sleep
        self._on_page = on_page
        self._on_wait = on_wait

    def run(self, downloads: Sequence[WorkspaceDownload]) -> None:
        """Download all pages. OSError: the cache cannot be written."""
        while pending := [one for one in downloads if one.has_more]:
            now = self._clock.now()
            if self._clock.jump():
                for one in downloads:
                    one.session.discard_windows()
            download = min(pending, key=lambda one: one.opens_at(now))
            at = download.opens_at(now)
            if at > now:
                if at > download.wait_reported_until:
                    download.wait_reported_until = at
                    self._on_wait(at - now, download.workspace.name)
                self._sleep(min(at - now, _MAX_SLEEP_SECONDS))
            else:
                self._fetch(download, download.pop(now))

    def _fetch(self, download: WorkspaceDownload, request: PageRequest) -> None:
        parameters: dict[str, str | int] = {
            "campaign_id": request.campaign.id,
            "length": request.page.length,
            "ending_at": request.page.ending_at,
        }
        result = download.session.fetch(
            ApiRequest(CAMPAIGN_ANALYTICS, CAMPAIGN_DATA_SERIES, parameters, {})
        )
        if isinstance(result, FetchError):
            self._handle_failure(download, request, result)
            return
        download.has_response = True
        download.failures_in_a_row = 0
        try:
            rows.check(result.document)
        except MalformedSeries as error:
            self._fail(download, request, str(error))
            return
        self._cache.put(
            source(download.workspace),
            request.campaign.id,
            request.page,
            result.document,
        )
        self._on_page()

    def _handle_failure(
        self, download: WorkspaceDownload, request: PageRequest, failure: FetchError
    ) -> None:
        if isinstance(failure, KeyRefused):
            is_of_campaign = failure.reason is FailureReason.FORBIDDEN
            if is_of_campaign and download.has_response:
                self._fail(download, request, str(failure))
            else:
                download.stop(str(failure))
            return
        session = download.session
        if isinstance(failure, Throttled):
            bucket = session.budget(CAMPAIGN_ANALYTICS).bucket
            if bucket.throttled_in_a_row >= _MAX_THROTTLED:
                download.stop(str(failure))
                return
            # A 429 does not count as a try.
            request = replace(request, tries=request.tries - 1)
        at = session.retry_at(
            failure,
            bucket=CAMPAIGN_ANALYTICS,
            tries=request.tries,
            first_try_at=request.first_try_at,
            interval_seconds=_RETRY_INTERVAL_SECONDS,
        )
        if at is not None:
            download.retry_later(request, at=at)
            return
        self._fail(download, request, str(failure))
        if isinstance(failure, Unavailable):
            download.failures_in_a_row += 1
            if download.failures_in_a_row >= _MAX_FAILURES:
                download.stop(str(failure))

    def _fail(
        self, download: WorkspaceDownload, request: PageRequest, reason: str
    ) -> None:
        for _ in range(1 + download.fail(request, reason)):
            self._on_page()


def source(workspace: WorkspaceConfig) -> str:
    """Return the cache key of a workspace."""
    return f"{workspace.name} {workspace.endpoint}"
