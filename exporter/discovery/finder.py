"""Finds out, question by question, which campaigns one workspace has.

Each step asks Braze at most one thing, within discovery's own budget, and tells when
the next one is due. A failure costs nothing that was known. What to ask, and what is
wanted, `discovery` decides.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from threading import Lock

from exporter.braze.rate_limit import Budget, slack, spacing
from exporter.braze.responses import BrazeResponse
from exporter.discovery import documents, rules
from exporter.discovery.documents import DETAILS, LIST, Details, Listed
from exporter.discovery.rules import CampaignCatalogue, Choice, PageWanted, Question
from exporter.metrics.self_metrics import SelfMetrics
from exporter.model.config import CampaignConfig, DiscoverConfig, WorkspaceConfig
from exporter.model.errors import (
    CampaignRefused,
    FailureReason,
    FetchError,
    KeyRefused,
    MalformedCatalogue,
    Throttled,
    Unavailable,
    Unusable,
)
from exporter.model.rate_limit_headers import RateLimitHeaders
from exporter.polling import slots
from exporter.polling.poller import Fetcher
from exporter.status.view_model import DiscoveryView, RateLimitView, rate_limit
from exporter.system.log_rate_limit import LINES_PER_MINUTE, LogRateLimit
from exporter.system.logformat import Fact

_log = logging.getLogger(__name__)

SHARED = "default"
"""Braze's bucket for both paths, and for the company's own sends."""
ENDPOINTS = (LIST, DETAILS)

_LOOK_AGAIN_SECONDS = 1.0
_LOG_AGAIN_SECONDS = 3600.0
_READ_ANEW_AFTER = 5
"""So many failures in a row, and the list is read from its beginning again."""
_UNFINISHED = (FailureReason.TIMEOUT, FailureReason.CONNECTION)
_Asked = BrazeResponse | FetchError


class CampaignFinder:
    """What is known of one workspace; `step` may be called by any thread.

    `tell_news` is called when other campaigns may be found than before.
    """

    def __init__(
        self,
        workspace: WorkspaceConfig,
        *,
        fetcher: Callable[[], Fetcher | None],
        tell_news: Callable[[], None],
        telemetry: SelfMetrics,
        now: Callable[[], float],
        draw: Callable[[], float],
        clock_set_by: Callable[[], float] = lambda: 0.0,
        known: CampaignCatalogue | None = None,
    ) -> None:
        """`fetcher` gives None while nobody may be asked."""
        self._workspace = workspace
        self._settings = settings = _settings(workspace)
        self._fetcher = fetcher
        self._tell_news = tell_news
        self._telemetry = telemetry
        self._now = now
        self._draw = draw
        self._clock_set_by = clock_set_by
        self.known = known or CampaignCatalogue()
        """What is known now; frozen, and swapped whole."""
        self.failure: FetchError | None = None
        """How the last question failed; None: it did not."""
        self.is_settled = False
        """Whether nothing is to be asked until the next list."""
        self._busy = Lock()
        self._budget = _budget(workspace, settings)
        self._wait_until = 0.0
        self._failures: Counter[str] = Counter()
        self._logged: dict[str, tuple[FailureReason, float]] = {}
        self._quota = LogRateLimit(LINES_PER_MINUTE)
        self._candidates: tuple[object, object, tuple[Listed, ...]] = (None, None, ())
        self._done_at: float | None = None
        self._news = 1 if known else 0
        """How much was learnt that is not shown yet."""
        self._shown = 0
        self.is_limited = False
        self._is_incomplete = False
        """Whether the list was read with other parameters than are wanted now."""
        self._is_stopped = False
        telemetry.expect_discovery(workspace.name, ENDPOINTS)
        if self.known.listed_at is not None:
            self._show_restored(self.known.listed_at)

    def _show_restored(self, listed_at: float) -> None:
        """Show what was known before a restart: the list may fail for long."""
        choice = self._choice(self.known, self._workspace, self._settings)
        self._count(choice)
        shown_at = listed_at + self._clock_set_by()
        self._telemetry.discovery_succeeded(self._workspace.name, now=shown_at)

    def reconfigure(self, workspace: WorkspaceConfig) -> None:
        """Go on with other wishes; what is known stays."""
        before, settings = self._settings, _settings(workspace)
        self._is_incomplete |= before.include_archived != settings.include_archived
        self._workspace, self._settings = workspace, settings
        self._budget = self._budget.bounded_as(_budget(workspace, settings))
        self._news += before != settings
        self.is_settled = False

    def stop(self) -> None:
        """Take no further failure for true: requests are about to be broken off."""
        self._is_stopped = True

    def look_again(self) -> None:
        """Wait for nothing any more: another key is here, or another one's answer."""
        self._wait_until = 0.0
        self._failures.clear()

    def forget_windows(self) -> None:
        """Wait for no reset of which Braze told: the wall clock was set since."""
        self._budget = self._budget.without_windows(now=self._now())
        if isinstance(self.failure, Throttled):
            self._wait_until = self._budget.bucket(SHARED).shut_until

    def seen(self) -> DiscoveryView:
        """Return how it stands, by the wall clock."""
        now, set_by, failure = self._now(), self._clock_set_by(), self.failure
        listed_at = self.known.listed_at
        return DiscoveryView(
            campaigns=self._shown,
            is_limited=self.is_limited,
            listed_at=None if listed_at is None else listed_at + set_by,
            failure=failure.reason if failure else None,
            message=str(failure) if failure else "",
            next_at=max(self._wait_until, now) + set_by if failure else None,
            rate_limit=self._rate_limit(now + set_by, set_by),
        )

    def _rate_limit(self, now: float, clock_set_by: float) -> RateLimitView | None:
        if SHARED not in self._budget.buckets:
            return None
        seen = rate_limit(self._budget, SHARED, now=now, clock_set_by=clock_set_by)
        return replace(seen, endpoint=" and ".join(ENDPOINTS))

    def campaigns_of(self, workspace: WorkspaceConfig) -> tuple[CampaignConfig, ...]:
        """Return a workspace's campaigns, the listed ones and those that were found."""
        settings, known = workspace.discover, self.known
        if settings is None:
            return workspace.campaigns
        return rules.campaigns(
            workspace, self._choice(known, workspace, settings), known
        )

    def step(self) -> float | None:
        """Ask the next question; return when to step again, None: another one does."""
        if not self._busy.acquire(blocking=False):
            return None
        try:
            return self._step()
        finally:
            self._busy.release()

    def _step(self) -> float:
        now, workspace, settings = self._now(), self._workspace, self._settings
        if now < self._wait_until:
            return self._wait_until
        if self._is_incomplete:
            self._is_incomplete = False
            self.known = replace(self.known, listed_at=None, reading=None)
        known = rules.without_leavers(self.known, settings, now=now)
        if known is not self.known:
            self.known = known
            self._news += 1
        question = rules.next_question(
            known,
            self._wanted(known, settings),
            settings,
            listed=_keys(workspace),
            now=now,
        )
        if not isinstance(question, PageWanted | rules.DetailsWanted):
            self._settle(now)
            return question
        self.is_settled = False
        at = self._budget.earliest(SHARED, now=now)
        fetcher = self._fetcher()
        if at > now or fetcher is None:
            return at if at > now else now + _LOOK_AGAIN_SECONDS
        self._budget = self._budget.spend(SHARED, now=now)
        self._ask(fetcher, question)
        return max(self._now(), self._wait_until)

    def _ask(self, fetcher: Fetcher, question: Question) -> None:
        endpoint, parameters = _request(question, self._settings)
        began_at = self._now()
        try:
            answer: _Asked = fetcher.fetch(f"/{endpoint}", parameters)
        except FetchError as failure:
            answer = failure
        if self._is_stopped:
            return
        self._account(endpoint, answer, seconds=self._now() - began_at)
        try:
            if isinstance(answer, FetchError):
                raise answer
            self._learn(question, answer)
        except MalformedCatalogue as error:
            self._fail(
                question,
                Unusable(str(error), reason=FailureReason.MALFORMED, status=200),
            )
        except FetchError as failure:
            self._fail(question, failure)
        else:
            self.failure = None
            self._failures[endpoint] = 0
            if self._logged.pop(endpoint, None):
                _log.info("discovery.recovered", extra={"facts": self._facts(endpoint)})

    def _account(self, endpoint: str, answer: _Asked, *, seconds: float) -> None:
        name, now, allowance = self._workspace.name, self._now(), answer.allowance
        is_broken = isinstance(answer, FetchError) and answer.reason in _UNFINISHED
        code = None if is_broken else answer.status
        self._telemetry.answered(name, endpoint, code=code, seconds=seconds)
        if allowance is not None:
            self._telemetry.allowed(name, endpoint, allowance)
        facts = self._facts(endpoint) | {"status": answer.status, "seconds": seconds}
        _log.debug("braze.answered", extra={"facts": facts})
        set_by = self._clock_set_by()
        told = None if allowance is None else allowance.earlier(set_by)
        if not isinstance(answer, Throttled):
            self._budget = self._budget.settle(SHARED, told, now=now)
            return
        self._budget = self._budget.settle_throttled(
            SHARED,
            told or RateLimitHeaders(),
            retry_after_seconds=answer.retry_after_seconds,
            now=now,
            fraction=self._draw(),
        )

    def _learn(self, question: Question, answer: BrazeResponse) -> None:
        known, now = self.known, self._now()
        if isinstance(question, PageWanted):
            if question.page == 0:
                known = rules.begun(known)
            page = documents.read_page(answer.document)
            self.known = known = rules.turned(known, page, now=now)
            if known.reading is None:
                self._publish()
            return
        details = documents.read_details(
            answer.document, last_edited=question.campaign.last_edited, read_at=now
        )
        self._keep(question.campaign, details)

    def _keep(self, campaign: Listed, details: Details) -> None:
        before = self.known.details.get(documents.key(campaign.id))
        self.known = rules.detailed(self.known, campaign, details)
        settings = self._settings
        self._news += rules.showing(settings, before) != rules.showing(
            settings, details
        )
        if self._news > self._shown // 4:
            # Each time a quarter more than before: a first round may take an hour.
            self._publish()

    def _fail(self, question: Question, failure: FetchError) -> None:
        """Wait before the next question, unless this one campaign is the cause."""
        endpoint, _ = _request(question, self._settings)
        self._telemetry.discovery_failed(self._workspace.name, failure.reason)
        if isinstance(question, rules.DetailsWanted) and _is_of_one(failure):
            self._pass_over(question.campaign, failure)
            return
        now = self._now()
        self.failure = failure
        self._failures[endpoint] += 1
        failures = self._failures[endpoint]
        if not isinstance(failure, Unavailable | Throttled) or (
            failures % _READ_ANEW_AFTER == 0
        ):
            self.known = replace(self.known, reading=None)
        if isinstance(failure, Throttled):
            self._wait_until = self._budget.bucket(SHARED).shut_until
        elif isinstance(failure, KeyRefused):
            self._wait_until = now + slots.probe_delay(failures)
        else:
            delay = rules.delay_seconds(failures, fraction=self._draw())
            self._wait_until = now + delay
        self._log_failure(endpoint, failure)

    def _pass_over(self, campaign: Listed, failure: FetchError) -> None:
        """Keep what was known of a campaign; ask again when it is edited, or daily."""
        now = self._now()
        before = self.known.details.get(documents.key(campaign.id))
        details = before or Details("", now, is_known=False)
        self._keep(
            campaign, replace(details, last_edited=campaign.last_edited, read_at=now)
        )
        facts = self._facts(DETAILS) | {
            "campaign": campaign.name,
            "campaign_id": campaign.id,
            "reason": failure.reason,
            "status": failure.status,
            "error": str(failure),
        }
        quota, self._quota = self._quota, self._quota.counted(now=now)
        is_told = quota.admits(now=now)
        if is_told:
            facts |= quota.facts(now=now)
        level = logging.WARNING if is_told else logging.DEBUG
        _log.log(level, "discovery.passed_over", extra={"facts": facts})

    def _settle(self, now: float) -> None:
        if self._news:
            self._publish()
        self.is_settled = True
        shown_now = now + self._clock_set_by()
        self._telemetry.discovery_succeeded(self._workspace.name, now=shown_now)
        if self._done_at != self.known.listed_at:  # once a list, not daily details
            self._done_at = self.known.listed_at
            facts: dict[str, Fact] = {
                "workspace": self._workspace.name,
                "campaigns": self._shown,
                "in_the_list": len(self.known.campaigns),
            }
            _log.info("discovery.done", extra={"facts": facts})

    def _publish(self) -> None:
        """Show what was found, and let it be polled."""
        workspace, settings, known = self._workspace, self._settings, self.known
        choice = self._choice(known, workspace, settings)
        self._news = 0
        self._count(choice)
        if choice.is_limited and not self.is_limited:
            facts: dict[str, Fact] = {
                "workspace": workspace.name,
                "max_campaigns": settings.max_campaigns,
                "advice": "raise max_campaigns, or narrow the selection",
            }
            _log.warning("discovery.limited", extra={"facts": facts})
        self.is_limited = choice.is_limited
        self._tell_news()

    def _count(self, choice: Choice) -> None:
        """Show how many were found beside the listed ones."""
        listed = _keys(self._workspace)
        self._shown = sum(
            documents.key(one.id) not in listed for one in choice.campaigns
        )
        self._telemetry.discovered(
            self._workspace.name, campaigns=self._shown, is_limited=choice.is_limited
        )

    def _choice(
        self,
        known: CampaignCatalogue,
        workspace: WorkspaceConfig,
        settings: DiscoverConfig,
    ) -> Choice:
        wanted = self._wanted(known, settings)
        return rules.choose(known, wanted, settings, listed=_keys(workspace))

    def _wanted(
        self, known: CampaignCatalogue, settings: DiscoverConfig
    ) -> tuple[Listed, ...]:
        """Return the candidates, computed once for each list."""
        listed, wishes, wanted = self._candidates
        if listed is not known.campaigns or wishes is not settings:
            wanted = rules.candidates(known, settings)
            self._candidates = (known.campaigns, settings, wanted)
        return wanted

    def _log_failure(self, endpoint: str, failure: FetchError) -> None:
        now = self._now()
        reason, logged_at = self._logged.get(endpoint, (None, 0.0))
        is_news = reason is not failure.reason or now - logged_at >= _LOG_AGAIN_SECONDS
        if is_news:
            self._logged[endpoint] = (failure.reason, now)
        facts = self._facts(endpoint) | {
            "reason": failure.reason,
            "status": failure.status,
            "next_in_seconds": round(self._wait_until - now),
            "error": str(failure),
        }
        level = logging.WARNING if is_news else logging.DEBUG
        _log.log(level, "discovery.failed", extra={"facts": facts})

    def _facts(self, endpoint: str) -> dict[str, Fact]:
        return {
            "workspace": self._workspace.name,
            "endpoint": f"{self._workspace.endpoint}/{endpoint}",
        }


def _settings(workspace: WorkspaceConfig) -> DiscoverConfig:
    if workspace.discover is None:
        message = f"no discovery is configured in {workspace.name}"
        raise ValueError(message)
    return workspace.discover


def _budget(workspace: WorkspaceConfig, settings: DiscoverConfig) -> Budget:
    rate = settings.requests_per_minute
    return Budget(spacing(rate), workspace.reserve, 1, slack_seconds=slack(rate))


def _keys(workspace: WorkspaceConfig) -> frozenset[str]:
    return frozenset(documents.key(one.id) for one in workspace.campaigns)


def _request(
    question: Question, settings: DiscoverConfig
) -> tuple[str, dict[str, str | int]]:
    if isinstance(question, PageWanted):
        archived = "true" if settings.include_archived else "false"
        return LIST, {"page": question.page, "include_archived": archived}
    return DETAILS, {"campaign_id": question.campaign.id}


def _is_of_one(failure: FetchError) -> bool:
    """Tell whether the cause is the one campaign that was asked for."""
    if isinstance(failure, Unusable):
        return failure.reason is not FailureReason.REDIRECT
    return isinstance(failure, CampaignRefused)
