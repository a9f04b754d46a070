"""Asks Braze for the pages of a history, as politely as the daemon polls.

One request at a time, under the workspace's ceiling and reserve; 429 is waited out and
what fails for now is tried again. Pages that the archive holds are not asked for. It
raises nothing for what Braze answers, and writes no line of the history.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from exporter.backfill.page_cache import PageCache
from exporter.backfill.sampling import HistoryRequest
from exporter.braze.rate_limit import Budget, slack, spacing
from exporter.braze.responses import BrazeResponse
from exporter.model.config import CampaignConfig, WorkspaceConfig
from exporter.model.errors import (
    FailureReason,
    FetchError,
    KeyRefused,
    MalformedSeries,
    Throttled,
    Unavailable,
)
from exporter.model.rate_limit_headers import RateLimitHeaders
from exporter.polling import slots
from exporter.polling.request_queue import ENDPOINT
from exporter.series import rows

_LOOK_SECONDS = 10.0
"""How often a long wait looks whether the wall clock was set."""

_TRY_SECONDS = 120.0
"""As of a campaign that is polled so often: its tries may take a minute."""

_MOST_THROTTLED = 10
_MOST_FAILURES = 3
"""So many campaigns in a row that had no answer: Braze is out of order."""


class Fetcher(Protocol):
    """What is needed of a client."""

    def fetch(self, path: str, params: Mapping[str, str | int]) -> BrazeResponse:
        """Return the answer to one GET, or raise `FetchError`."""


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A page that is still to be asked for."""

    campaign: CampaignConfig
    page: HistoryRequest
    tries: int = 0
    first_try_at: float = math.inf
    at: float = -math.inf


class WorkspaceDownload:
    """One workspace: what is wanted there, and what may be asked."""

    def __init__(
        self,
        workspace: WorkspaceConfig,
        *,
        client: Fetcher,
        wanted: Sequence[PageRequest],
    ) -> None:
        """Take wants in this order; those of one campaign stand together."""
        self.workspace = workspace
        self._fresh = deque(wanted)
        self._later: list[PageRequest] = []
        self.failures: dict[str, str] = {}
        """Campaign id → why there is no history of it."""
        self.stopped_by = ""
        """Why nothing more is asked there; empty: nothing did."""
        self.client = client
        self.budget = Budget(
            spacing(workspace.requests_per_minute),
            workspace.reserve,
            workspace.concurrency,
            slack_seconds=slack(workspace.requests_per_minute),
        )
        self.has_answered = False
        self.failures_in_a_row = 0
        self.waits_until = -math.inf
        """Until when it waits, as was told."""

    @property
    def has_more(self) -> bool:
        """Whether anything is still wanted."""
        return bool(self._fresh or self._later)

    def opens_at(self, now: float) -> float:
        """Return when the next request may start; none is in flight."""
        at = self.budget.earliest(ENDPOINT, now=now)
        if self._fresh:
            return at
        return max(at, min(want.at for want in self._later))

    def take(self, now: float) -> PageRequest:
        """Take the first want that is due, and spend a request on it."""
        self.budget = self.budget.spend(ENDPOINT, now=now)
        want = next((one for one in self._later if one.at <= now), None)
        if want is None:
            want = self._fresh.popleft()
        else:
            self._later.remove(want)
        return replace(
            want, tries=want.tries + 1, first_try_at=min(want.first_try_at, now)
        )

    def put_back(self, want: PageRequest, *, at: float) -> None:
        """Ask for it again, not before that."""
        self._later.append(replace(want, at=at))

    def settle(self, allowance: RateLimitHeaders | None, *, now: float) -> None:
        """Account for a request that ended in anything but 429."""
        self.budget = self.budget.settle(ENDPOINT, allowance, now=now)

    def forget_windows(self, *, now: float) -> None:
        """Wait for no reset of which Braze told: the wall clock was set since."""
        self.budget = self.budget.without_windows(now=now)

    def give_up(self, want: PageRequest, reason: str) -> int:
        """Ask for no page of that campaign any more; return how many were left."""
        self.failures[want.campaign.id] = reason
        before = len(self._fresh) + len(self._later)
        while self._fresh and self._fresh[0].campaign.id == want.campaign.id:
            self._fresh.popleft()  # they stand together
        self._later = [
            one for one in self._later if one.campaign.id != want.campaign.id
        ]
        return before - len(self._fresh) - len(self._later)

    def stop(self, reason: str) -> None:
        """Ask for nothing more there."""
        self.stopped_by = reason
        self._fresh.clear()
        self._later.clear()


class Download:
    """Fills an archive; `wait` lets so many seconds pass, `draw` a random fraction."""

    def __init__(
        self,
        archive: PageCache,
        *,
        now: Callable[[], float],
        wait: Callable[[float], None],
        draw: Callable[[], float],
        advanced: Callable[[], None] = lambda: None,
        waits: Callable[[float, str], None] = lambda _seconds, _why: None,
        jump: Callable[[], float] = lambda: 0.0,
        clock_set_by: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`advanced` is told of each page, `waits` of each wait and of which workspace.

        `jump` tells by how much the wall clock, by which Braze speaks, was set since it
        was last asked; `clock_set_by` by how much it is ahead of `now`.
        """
        self._archive = archive
        self._now = now
        self._wait = wait
        self._draw = draw
        self._advanced = advanced
        self._waits = waits
        self._jump = jump
        self._clock_set_by = clock_set_by

    def run(self, accounts: Sequence[WorkspaceDownload]) -> None:
        """Ask for all that is wanted. OSError: the archive cannot be written."""
        while open_ := [one for one in accounts if one.has_more]:
            now = self._now()
            if self._jump():
                for one in accounts:
                    one.forget_windows(now=now)
            account = min(open_, key=lambda one: one.opens_at(now))
            at = account.opens_at(now)
            if at > now:
                if at > account.waits_until:
                    account.waits_until = at
                    self._waits(at - now, account.workspace.name)
                self._wait(min(at - now, _LOOK_SECONDS))
            else:
                self._ask(account, account.take(now))

    def _ask(self, account: WorkspaceDownload, want: PageRequest) -> None:
        parameters: dict[str, str | int] = {
            "campaign_id": want.campaign.id,
            "length": want.page.length,
            "ending_at": want.page.ending_at,
        }
        try:
            answer = account.client.fetch(f"/{ENDPOINT}", parameters)
        except FetchError as failure:
            self._take_failure(account, want, failure)
            return
        account.settle(self._steadily(answer.allowance), now=self._now())
        account.has_answered = True
        account.failures_in_a_row = 0
        try:
            rows.check(answer.document)
        except MalformedSeries as error:
            self._give_up(account, want, str(error))
            return
        workspace = account.workspace
        self._archive.put(
            source(workspace), want.campaign.id, want.page, answer.document
        )
        self._advanced()

    def _take_failure(
        self, account: WorkspaceDownload, want: PageRequest, failure: FetchError
    ) -> None:
        now = self._now()
        if isinstance(failure, Throttled):
            self._take_throttled(account, want, failure)
            return
        account.settle(self._steadily(failure.allowance), now=now)
        if isinstance(failure, KeyRefused):
            is_of_campaign = failure.reason is FailureReason.FORBIDDEN
            if is_of_campaign and account.has_answered:
                self._give_up(account, want, str(failure))
            else:
                account.stop(str(failure))
            return
        if not isinstance(failure, Unavailable):
            self._give_up(account, want, str(failure))
            return
        at = slots.next_try(
            tries=want.tries,
            first_try_at=want.first_try_at,
            now=now,
            interval_seconds=_TRY_SECONDS,
            fraction=self._draw(),
        )
        if at is not None:
            account.put_back(want, at=at)
            return
        self._give_up(account, want, str(failure))
        account.failures_in_a_row += 1
        if account.failures_in_a_row >= _MOST_FAILURES:
            account.stop(str(failure))

    def _give_up(
        self, account: WorkspaceDownload, want: PageRequest, reason: str
    ) -> None:
        for _ in range(1 + account.give_up(want, reason)):
            self._advanced()

    def _take_throttled(
        self, account: WorkspaceDownload, want: PageRequest, failure: Throttled
    ) -> None:
        now = self._now()
        account.budget = account.budget.settle_throttled(
            ENDPOINT,
            self._steadily(failure.allowance) or RateLimitHeaders(),
            retry_after_seconds=failure.retry_after_seconds,
            now=now,
            fraction=self._draw(),
        )
        bucket = account.budget.bucket(ENDPOINT)
        if bucket.throttled_in_a_row >= _MOST_THROTTLED:
            account.stop(str(failure))
            return
        # It was not served: that is no try. Until when the bucket is shut it knows.
        account.put_back(replace(want, tries=want.tries - 1), at=now)

    def _steadily(self, told: RateLimitHeaders | None) -> RateLimitHeaders | None:
        """Return what Braze's headers say by the clock that nobody sets."""
        return None if told is None else told.earlier(self._clock_set_by())


def source(workspace: WorkspaceConfig) -> str:
    """Return what tells the pages of one workspace from those of another."""
    return f"{workspace.name} {workspace.endpoint}"
