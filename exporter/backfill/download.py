"""Download of a history's pages from Braze.

Requests run one at a time, within the workspace's ceiling and reserve. Failures of
Braze are retried, or recorded per campaign or workspace; they are never raised.
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
from exporter.braze.session import CAMPAIGN_ANALYTICS, ApiRequest, Session
from exporter.model.config import ObjectConfig, WorkspaceConfig
from exporter.model.errors import (
    FailureReason,
    FetchError,
    KeyRefused,
    MalformedSeries,
    Throttled,
    Unavailable,
)
from exporter.series.campaign_rows import CampaignRowParser
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

    campaign: ObjectConfig
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
        cache: PageCache,
        clock: Clock,
        random: Callable[[], float],
        on_page: Callable[[], None] = lambda: None,
    ) -> None:
        """Queue `requests`; `on_page` is called for each that is done or dropped."""
        self.workspace = workspace
        self._new = deque(requests)
        self._retries: list[PageRequest] = []
        self._cache = cache
        self._on_page = on_page
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
        self._has_response = False
        self._failures_in_a_row = 0

    @property
    def has_more(self) -> bool:
        """Whether requests are pending."""
        return bool(self._new or self._retries)

    def opens_at(self, now: float) -> float:
        """Return when the next request may start."""
        at = self.session.earliest(CAMPAIGN_ANALYTICS, now=now)
        if self._new:
            return at
        return max(at, min(request.at for request in self._retries))

    def fetch_next(self, now: float) -> None:
        """Send the next request, due retries first. OSError: the cache fails."""
        self.session.spend(CAMPAIGN_ANALYTICS, now=now)
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
        parameters: dict[str, str | int] = {
            "campaign_id": request.campaign.id,
            "length": request.page.length,
        }
        if request.page.ending_at is not None:
            parameters["ending_at"] = request.page.ending_at
        result = self.session.fetch(
            ApiRequest(CAMPAIGN_ANALYTICS, CAMPAIGN_DATA_SERIES, parameters, {})
        )
        if isinstance(result, FetchError):
            self._handle_failure(request, result)
            return
        self._has_response = True
        self._failures_in_a_row = 0
        try:
            CampaignRowParser.days(result.document)
        except MalformedSeries as error:
            self._fail(request, error)
            return
        key = source(self.workspace)
        self._cache.put(key, request.campaign.id, request.page, result.document)
        self._on_page()

    def _handle_failure(self, request: PageRequest, failure: FetchError) -> None:
        if isinstance(failure, KeyRefused):
            is_of_campaign = failure.reason is FailureReason.FORBIDDEN
            if is_of_campaign and self._has_response:
                self._fail(request, failure)
            else:
                self._stop(failure)
            return
        if isinstance(failure, Throttled):
            bucket = self.session.budget(CAMPAIGN_ANALYTICS).bucket
            if bucket.throttled_in_a_row >= _MAX_THROTTLED:
                self._stop(failure)
                return
            # A 429 does not count as a try.
            request = replace(request, tries=request.tries - 1)
        at = self.session.retry_at(
            failure,
            bucket=CAMPAIGN_ANALYTICS,
            tries=request.tries,
            first_try_at=request.first_try_at,
            interval_seconds=_RETRY_INTERVAL_SECONDS,
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
        """Drop all requests of the campaign."""
        campaign_id = request.campaign.id
        self.failures[campaign_id] = str(reason)
        self._on_page()
        for queue in (self._new, self._retries):
            for one in [one for one in queue if one.campaign.id == campaign_id]:
                queue.remove(one)
                self._on_page()

    def _stop(self, reason: Exception) -> None:
        """Drop all requests of the workspace."""
        self.stopped_by = str(reason)
        self._new.clear()
        self._retries.clear()


def run(
    downloads: Sequence[WorkspaceDownload],
    *,
    clock: Clock,
    sleep: Callable[[float], object],
    on_wait: Callable[[float, str], None] = lambda _seconds, _workspace: None,
) -> None:
    """Download all pages; `on_wait` is called when a workspace's wait begins.

    OSError: a cache cannot be written.
    """
    reported_until: dict[str, float] = {}
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
        name = download.workspace.name
        if at > reported_until.get(name, now):
            reported_until[name] = at
            on_wait(at - now, name)
        sleep(min(at - now, _MAX_SLEEP_SECONDS))


def source(workspace: WorkspaceConfig) -> str:
    """Return the cache key of a workspace."""
    return f"{workspace.name} {workspace.endpoint}"
