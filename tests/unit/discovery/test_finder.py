"""One workspace's discovery, step by step, against a fake Braze client."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from exporter.braze.rate_limit import Budget
from exporter.braze.responses import BrazeResponse
from exporter.braze.session import SHARED, Session
from exporter.discovery.documents import FULL_PAGE
from exporter.discovery.finder import CampaignFinder
from exporter.discovery.rules import CampaignCatalogue
from exporter.metrics.self_metrics import SelfMetrics
from exporter.model.config import WorkspaceConfig
from exporter.model.errors import (
    CampaignRefused,
    FailureReason,
    FetchError,
    KeyRefused,
    Throttled,
    Unavailable,
    Unusable,
)
from exporter.model.rate_limit_headers import RateLimitHeaders
from exporter.system.clock import Clock

from tests.unit.discovery.test_rules import workspace

NOW = 1_750_000_000.0
FULL = RateLimitHeaders(limit=1000, remaining=900, reset_at=NOW + 60)


class Braze:
    """A fake client that records requests and raises the given failures."""

    def __init__(self) -> None:
        self.campaigns: list[dict[str, object]] = []
        self.details: dict[str, dict[str, object]] = {}
        self.requested: list[str] = []
        self.failures: list[FetchError | None] = []
        self.allowance = FULL
        self.during: Callable[[], None] = lambda: None

    def add(self, id_: str, name: str, **details: object) -> None:
        """Add a campaign."""
        self.campaigns.append({"id": id_, "name": name, "last_edited": "then"})
        self.details[id_] = {"name": name, "channels": ["email"], **details}

    def fetch(
        self,
        path: str,
        params: Mapping[str, str | int],
        read: Callable[[object], object] = lambda document: document,
        *_: object,
    ) -> BrazeResponse:
        """Answer, or fail with the next failure."""
        is_list = path == "/campaigns/list"
        name = f"page {params['page']}" if is_list else str(params["campaign_id"])
        self.requested.append(name)
        self.during()
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
        if not is_list:
            return BrazeResponse(read(self.details[name]), 200, self.allowance)
        start = int(params["page"]) * FULL_PAGE
        content = {"campaigns": self.campaigns[start : start + FULL_PAGE]}
        return BrazeResponse(read(content), 200, self.allowance)


class FinderRun:
    """A finder with a fake clock and a fake client."""

    def __init__(
        self, where: WorkspaceConfig, known: CampaignCatalogue | None = None
    ) -> None:
        self.now = NOW
        self.braze: Braze | None = Braze()
        self.workspace = where
        self.news = 0
        self.telemetry = SelfMetrics(version="0", served=tuple)
        self.clock = Clock(wall=lambda: self.now, steady=lambda: self.now)
        self.session: Session | None = None
        self.finder = CampaignFinder(
            where,
            session=self.session_of_braze,
            on_change=self.count_change,
            metrics=self.telemetry,
            clock=self.clock,
            random=lambda: 0.5,
            catalogue=known,
        )

    def session_of_braze(self) -> Session | None:
        """Return the session, which keeps its account over a change of the client."""
        if self.braze is None:
            return None
        discover = self.workspace.discover
        assert discover is not None
        budget = Budget.of_rate(
            discover.requests_per_minute,
            reserve=self.workspace.reserve,
            concurrency=1,
        )
        if self.session is None:
            self.session = Session(
                self.braze,
                budgets={SHARED: budget},
                clock=self.clock,
                random=lambda: 0.5,
            )
        self.session.client = self.braze
        return self.session

    def count_change(self) -> None:
        """Count."""
        self.news += 1

    def step(self) -> float:
        """Go one step and return in how many seconds the next is due."""
        at = self.finder.step()
        assert at is not None
        return at - self.now

    def run(self, *, seconds: float) -> None:
        """Step whenever it is due."""
        end = self.now + seconds
        while True:
            at = self.finder.step()
            assert at is not None
            if at > end:
                break
            self.now = max(at, self.now)
        self.now = end

    def names(self) -> set[str]:
        """Return how the campaigns are called."""
        return {one.name for one in self.finder.campaigns_of(self.workspace)}

    def shown(self, name: str) -> float | None:
        """Return a gauge or counter, summed."""
        values = [
            sample.value
            for family in self.telemetry.registry.collect()
            for sample in family.samples
            if sample.name == f"braze_exporter_{name}"
        ]
        return sum(values) if values else None


def finder_run(
    *names: str, where: WorkspaceConfig | None = None, **discover: Any
) -> FinderRun:
    """Return a finder_run through a workspace with campaigns of these names."""
    run = FinderRun(where or workspace(**discover))
    for name in names:
        assert run.braze
        run.braze.add(name.lower(), name)
    return run


def requested(run: FinderRun) -> list[str]:
    """Return what was requested since this was last called."""
    assert run.braze
    questions, run.braze.requested = run.braze.requested, []
    return questions


def failure(
    kind: type[FetchError], reason: FailureReason, status: int | None = None
) -> FetchError:
    """Return a failure."""
    return kind("no", reason=reason, status=status, rate_limit=FULL)


def test_campaigns_are_found_and_shown_as_they_come() -> None:
    """The list first, then the details of each; all is known then, for an hour."""
    run = finder_run("A", "B", "C")

    run.run(seconds=60)

    assert requested(run) == ["page 0", "a", "b", "c"]
    assert run.names() == {"A", "B", "C"}
    assert run.finder.is_settled
    assert run.news == 4
    assert run.shown("discovered_campaigns") == 3
    assert run.shown("discovery_limited") == 0
    assert run.shown("discovery_failures_total") == 0
    done_at = run.shown("discovery_last_success_timestamp_seconds")
    assert done_at is not None
    assert NOW < done_at < NOW + 3
    run.run(seconds=3500)
    assert requested(run) == []
    run.run(seconds=100)
    assert requested(run) == ["page 0"]


def test_requests_keep_to_the_ceiling_of_discovery() -> None:
    """The ceiling of the workspace's polls is a different one."""
    run = finder_run("A", requests_per_minute=6)

    run.run(seconds=9.9)
    assert requested(run) == ["page 0"]
    run.run(seconds=0.3)

    assert requested(run) == ["a"]


def test_the_reserve_is_left_to_others() -> None:
    """Both paths share one bucket of Braze, and its rate-limit headers."""
    run = finder_run("A")
    assert run.braze
    run.braze.allowance = RateLimitHeaders(limit=100, remaining=20, reset_at=NOW + 600)

    run.run(seconds=599)
    assert requested(run) == ["page 0"]
    run.run(seconds=3)

    assert requested(run) == ["a"]


def test_a_long_list_is_read_to_its_end() -> None:
    """Page by page; what was known stays until then."""
    run = finder_run(*(f"N{n}" for n in range(FULL_PAGE)), include_drafts=True)

    assert run.step() == 0
    assert run.names() == set()
    run.run(seconds=60)

    assert requested(run) == ["page 0", "page 1"]
    assert len(run.names()) == FULL_PAGE


def test_a_rename_is_served_after_the_next_list() -> None:
    """And one that left stays for its grace."""
    run = finder_run("A", "B", include_drafts=True, grace="2h")
    run.run(seconds=60)
    assert run.braze
    run.braze.campaigns = [{"id": "a", "name": "Alpha"}]

    run.run(seconds=3600)
    assert run.names() == {"Alpha", "B"}
    run.run(seconds=7200)

    assert run.names() == {"Alpha"}
    assert run.shown("discovered_campaigns") == 1


def test_found_campaigns_are_counted_beside_the_listed_ones() -> None:
    """One that is listed as well is no news."""
    own = [{"id": "a", "name": "Mine"}]
    run = finder_run("A", "B", where=workspace(own, include_drafts=True))

    run.run(seconds=60)

    assert run.names() == {"Mine", "B"}
    assert run.shown("discovered_campaigns") == 1


def test_the_limit_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """With an advice, and by a gauge as long as it lasts."""
    run = finder_run("A", "B", include_drafts=True, max_campaigns=1)

    run.run(seconds=8000)

    assert run.names() == {"A"}
    assert run.shown("discovery_limited") == 1
    assert [one.message for one in caplog.records].count("discovery.limited") == 1


@pytest.mark.parametrize(
    ("kind", "reason", "wait"),
    [
        (Unavailable, FailureReason.SERVER_ERROR, 1.5),
        (Unavailable, FailureReason.TIMEOUT, 1.5),
        (Unusable, FailureReason.REDIRECT, 1.5),
        (CampaignRefused, FailureReason.BAD_REQUEST, 1.5),
        (KeyRefused, FailureReason.UNAUTHORIZED, 60),
        (KeyRefused, FailureReason.FORBIDDEN, 60),
        (Throttled, FailureReason.RATE_LIMITED, 3.5),
    ],
)
def test_a_failing_list_keeps_the_catalogue(
    kind: type[FetchError],
    reason: FailureReason,
    wait: float,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is logged once, counted each time, retried later, and its end is logged."""
    caplog.set_level(logging.INFO)
    run = finder_run("A", include_drafts=True)
    run.run(seconds=3700)
    requested(run)
    assert run.braze
    failed = kind("no", reason=reason, status=500, rate_limit=RateLimitHeaders())
    run.braze.failures = [failed] * 2

    caplog.clear()

    run.now += run.step()
    assert 0 < run.step() <= wait * 1.01
    assert run.finder.failure is failed
    run.run(seconds=4000)

    assert run.names() == {"A"}
    assert run.shown("discovery_failures_total") == 2
    told = [one.message for one in caplog.records]
    assert told.count("discovery.failed") == 1
    assert told.count("discovery.recovered") == 1
    assert run.finder.failure is None


def test_unchanged_details_are_not_published() -> None:
    """They are read daily; only a changed selection is published."""
    run = finder_run("A", "B", sent_within="30d")
    assert run.braze
    for id_, sent in (("a", "2025-06-15"), ("b", "2025-06-15")):
        run.braze.details[id_]["last_sent"] = sent
    run.run(seconds=3600)
    run.braze.details["a"]["last_sent"] = "2025-06-16"
    run.braze.details["b"]["last_sent"] = "2025-01-01"
    run.run(seconds=86400)

    questions = requested(run)
    assert run.names() == {"A"}
    assert [questions.count(each) for each in "ab"] == [2, 2]
    # Each list, two that came, and one that went.
    assert run.news == questions.count("page 0") + 3


def test_a_missing_permission_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """In the failure's own words; tried again in 1, 2, 4, ... at most 15 minutes."""
    run = finder_run("A")
    assert run.braze
    run.braze.failures = [failure(KeyRefused, FailureReason.FORBIDDEN, 403)] * 9

    waits = []
    for _ in range(6):
        waits.append(round(run.step()))
        run.now += waits[-1] + 1

    assert waits == [60, 120, 240, 480, 900, 900]
    (told,) = [one for one in caplog.records if one.message == "discovery.failed"]
    facts = vars(told)["fields"]
    assert (facts["reason"], facts["status"]) == ("forbidden", 403)
    assert facts["endpoint"].endswith("/campaigns/list")


def test_a_changed_key_is_tried_at_once() -> None:
    """The wait for the previous key ends."""
    run = finder_run("A")
    assert run.braze
    run.braze.failures = [failure(KeyRefused, FailureReason.UNAUTHORIZED, 401)]
    run.step()
    run.now += 1

    run.finder.retry_now()
    run.run(seconds=10)

    assert run.names() == {"A"}


def test_a_temporary_failure_retries_the_same_page() -> None:
    """After five in a row, or a page that repeats, from the first one."""
    run = finder_run(*(f"N{n}" for n in range(FULL_PAGE + 1)), include_drafts=True)
    assert run.braze
    unavailable = failure(Unavailable, FailureReason.SERVER_ERROR, 503)
    run.braze.failures = [None, *[unavailable] * 5]

    run.run(seconds=3000)

    assert requested(run) == ["page 0", *["page 1"] * 5, "page 0", "page 1"]


def test_a_repeating_page_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It is a failure: what was known stays, and it begins again."""
    run = finder_run("A", include_drafts=True)
    run.run(seconds=60)
    assert run.braze
    run.braze.campaigns = [{"id": f"{n % FULL_PAGE}", "name": "Z"} for n in range(150)]

    run.run(seconds=3600)

    assert run.names() == {"A"}
    assert "discovery.failed" in [one.message for one in caplog.records]
    assert run.finder.failure is not None
    assert run.finder.failure.reason is FailureReason.MALFORMED


@pytest.mark.parametrize(
    "refusal",
    [
        failure(CampaignRefused, FailureReason.BAD_REQUEST, 400),
        failure(Unusable, FailureReason.TOO_LARGE, 200),
    ],
)
def test_one_campaign_without_details_is_skipped_alone(
    refusal: FetchError, caplog: pytest.LogCaptureFixture
) -> None:
    """The others are found; it is requested for again a day later."""
    run = finder_run("A", "B")
    assert run.braze
    run.braze.failures = [None, refusal]

    run.run(seconds=60)

    assert run.names() == {"B"}
    assert run.finder.is_settled
    (told,) = [one for one in caplog.records if one.message == "discovery.passed_over"]
    assert vars(told)["fields"]["campaign"] == "A"
    run.run(seconds=86400)
    assert run.names() == {"A", "B"}


def test_malformed_details_skip_one_campaign() -> None:
    """And a campaign that was known before stays as it was."""
    run = finder_run("A")
    run.run(seconds=60)
    assert run.braze
    run.braze.details["a"] = {"message": "no"}

    run.run(seconds=2 * 86400)

    assert run.names() == {"A"}
    assert run.shown("discovery_failures_total") == 2


def test_log_lines_of_skipped_campaigns_are_limited(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Ten a minute, and then how many were left out."""
    run = finder_run(*(f"N{n}" for n in range(99)), requests_per_minute=60)
    assert run.braze
    refusal = failure(CampaignRefused, FailureReason.NOT_FOUND, 404)
    run.braze.failures = [None, *[refusal] * 99]

    run.run(seconds=120)

    told = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert len(told) == 20
    assert "suppressed" in vars(told[10])["fields"]


def test_other_options_change_the_selection_at_once() -> None:
    """What is known stays; archived ones are listed anew."""
    run = finder_run("A", "B", include_drafts=True)
    run.run(seconds=60)
    requested(run)

    changes: list[tuple[dict[str, Any], set[str], list[str]]] = [
        ({"names": {"include": ["B"]}}, {"B"}, []),
        ({"include_archived": True}, {"A", "B"}, ["page 0"]),
    ]
    for wishes, names, questions in changes:
        run.workspace = workspace(include_drafts=True, **wishes)
        run.finder.reconfigure(run.workspace)
        assert run.names() == names
        run.run(seconds=10)
        assert requested(run) == questions
        assert run.shown("discovered_campaigns") == len(names)


def test_nothing_is_requested_without_a_session() -> None:
    """It looks again in a second."""
    run = finder_run("A")
    run.braze = None

    assert run.step() == 1


def test_only_one_step_at_a_time() -> None:
    """Another thread's step is left to the one that is under way."""
    run = finder_run("A")
    steps: list[float | None] = []
    assert run.braze
    run.braze.during = lambda: steps.append(run.finder.step())

    run.step()

    assert steps == [None]


def test_an_aborted_request_is_no_failure() -> None:
    """When the exporter stops, its requests end with an error."""
    run = finder_run("A")
    assert run.braze
    run.braze.failures = [failure(Unavailable, FailureReason.CONNECTION)]
    run.braze.during = run.finder.stop

    run.step()

    assert run.finder.failure is None
    assert run.shown("discovery_failures_total") == 0


def test_a_set_clock_blocks_no_bucket() -> None:
    """Window ends by the previous wall clock are discarded."""
    run = finder_run("A")
    assert run.braze
    run.braze.allowance = RateLimitHeaders(limit=10, remaining=0, reset_at=NOW + 3000)
    run.step()
    assert run.step() > 1000

    run.finder.discard_windows()

    assert run.step() < 2


def test_a_set_clock_ends_the_wait_after_a_429() -> None:
    """The reset was by the previous wall clock; at most a minute of it is left."""
    run = finder_run("A")
    assert run.braze
    told = RateLimitHeaders(limit=10, remaining=0, reset_at=NOW + 3000)
    run.braze.failures = [
        Throttled("no", reason=FailureReason.RATE_LIMITED, rate_limit=told)
    ]
    assert run.step() > 1000

    run.finder.discard_windows()

    assert run.step() <= 60


def test_known_details_are_not_requested_again() -> None:
    """As after a restart."""
    run = finder_run("A")
    run.run(seconds=60)

    again = FinderRun(run.workspace, known=run.finder.catalogue)
    again.run(seconds=60)

    assert requested(again) == []
    assert again.names() == {"A"}
    assert again.shown("discovered_campaigns") == 1


def test_restored_campaigns_are_shown_while_the_list_fails() -> None:
    """How many were found, that some are kept out, and when the list was last read."""
    run = finder_run("A", "B", "C", max_campaigns=2)
    run.run(seconds=60)

    again = FinderRun(run.workspace, known=run.finder.catalogue)

    assert again.shown("discovered_campaigns") == 2
    assert again.shown("discovery_limited") == 1
    success = "discovery_last_success_timestamp_seconds"
    assert again.shown(success) == run.finder.catalogue.listed_at
    assert again.news == 0


def test_the_view_has_wall_clock_times() -> None:
    """The result and its time; after a failure its reason and the next request."""
    run = finder_run("A", "B")
    first = run.finder.view()
    run.run(seconds=60)
    found = run.finder.view()
    assert run.braze
    run.braze.failures = [failure(KeyRefused, FailureReason.FORBIDDEN, 403)] * 9
    run.now += 3600
    run.step()
    failing = run.finder.view()

    assert (first.campaigns, first.listed_at, first.rate_limit) == (0, None, None)
    assert (found.campaigns, found.failure, found.next_at) == (2, None, None)
    assert found.listed_at is not None
    assert NOW <= found.listed_at < NOW + 60
    assert found.rate_limit is not None
    assert found.rate_limit.endpoint == "campaigns/list and campaigns/details"
    assert (failing.campaigns, failing.message) == (2, "no")
    assert failing.failure is FailureReason.FORBIDDEN
    assert failing.next_at == run.now + 60


def test_a_list_that_was_never_read_has_not_succeeded() -> None:
    """Known details do not count."""
    assert (
        FinderRun(workspace(), known=CampaignCatalogue()).shown("discovered_campaigns")
        == 0
    )
    success = "discovery_last_success_timestamp_seconds"
    assert FinderRun(workspace(), known=CampaignCatalogue()).shown(success) is None


def test_a_workspace_without_discovery_has_no_finder() -> None:
    """And is polled as it is listed."""
    plain = replace(workspace([{"id": "b", "name": "B"}]), discover=None)
    run = finder_run("A")
    run.run(seconds=60)

    with pytest.raises(ValueError, match="no discovery is configured in shop"):
        FinderRun(plain)
    assert run.finder.campaigns_of(plain) == plain.campaigns
