"""One workspace's discovery, step by step, against a Braze of ten lines."""

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
    """Answers as it is told to, and notes what it was asked."""

    def __init__(self) -> None:
        self.campaigns: list[dict[str, object]] = []
        self.details: dict[str, dict[str, object]] = {}
        self.asked: list[str] = []
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
        self.asked.append(name)
        self.during()
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
        if not is_list:
            return BrazeResponse(read(self.details[name]), 200, self.allowance)
        start = int(params["page"]) * FULL_PAGE
        content = {"campaigns": self.campaigns[start : start + FULL_PAGE]}
        return BrazeResponse(read(content), 200, self.allowance)


class Walk:
    """A finder with a clock of its own."""

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
            on_change=self.note_news,
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

    def note_news(self) -> None:
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


def walk(*names: str, where: WorkspaceConfig | None = None, **discover: Any) -> Walk:
    """Return a walk through a workspace with campaigns of these names."""
    made = Walk(where or workspace(**discover))
    for name in names:
        assert made.braze
        made.braze.add(name.lower(), name)
    return made


def asked(made: Walk) -> list[str]:
    """Return what was asked since this was last called."""
    assert made.braze
    questions, made.braze.asked = made.braze.asked, []
    return questions


def failure(
    kind: type[FetchError], reason: FailureReason, status: int | None = None
) -> FetchError:
    """Return a failure."""
    return kind("no", reason=reason, status=status, allowance=FULL)


def test_campaigns_are_found_and_shown_as_they_come() -> None:
    """The list first, then the details of each; all is known then, for an hour."""
    made = walk("A", "B", "C")

    made.run(seconds=60)

    assert asked(made) == ["page 0", "a", "b", "c"]
    assert made.names() == {"A", "B", "C"}
    assert made.finder.is_settled
    assert made.news == 4
    assert made.shown("discovered_campaigns") == 3
    assert made.shown("discovery_limited") == 0
    assert made.shown("discovery_failures_total") == 0
    done_at = made.shown("discovery_last_success_timestamp_seconds")
    assert done_at is not None
    assert NOW < done_at < NOW + 3
    made.run(seconds=3500)
    assert asked(made) == []
    made.run(seconds=100)
    assert asked(made) == ["page 0"]


def test_requests_stand_apart_as_the_own_budget_says() -> None:
    """Whatever the workspace's polls may."""
    made = walk("A", requests_per_minute=6)

    made.run(seconds=9.9)
    assert asked(made) == ["page 0"]
    made.run(seconds=0.3)

    assert asked(made) == ["a"]


def test_the_reserve_is_left_to_others() -> None:
    """What the headers tell counts for both paths: they share Braze's bucket."""
    made = walk("A")
    assert made.braze
    made.braze.allowance = RateLimitHeaders(limit=100, remaining=20, reset_at=NOW + 600)

    made.run(seconds=599)
    assert asked(made) == ["page 0"]
    made.run(seconds=3)

    assert asked(made) == ["a"]


def test_a_long_list_is_read_to_its_end() -> None:
    """Page by page; what was known stays until then."""
    made = walk(*(f"N{n}" for n in range(FULL_PAGE)), include_drafts=True)

    assert made.step() == 0
    assert made.names() == set()
    made.run(seconds=60)

    assert asked(made) == ["page 0", "page 1"]
    assert len(made.names()) == FULL_PAGE


def test_a_rename_shows_with_the_next_list() -> None:
    """And one that left stays for its grace."""
    made = walk("A", "B", include_drafts=True, grace="2h")
    made.run(seconds=60)
    assert made.braze
    made.braze.campaigns = [{"id": "a", "name": "Alpha"}]

    made.run(seconds=3600)
    assert made.names() == {"Alpha", "B"}
    made.run(seconds=7200)

    assert made.names() == {"Alpha"}
    assert made.shown("discovered_campaigns") == 1


def test_found_campaigns_are_counted_beside_the_listed_ones() -> None:
    """One that is listed as well is no news."""
    own = [{"id": "a", "name": "Mine"}]
    made = walk("A", "B", where=workspace(own, include_drafts=True))

    made.run(seconds=60)

    assert made.names() == {"Mine", "B"}
    assert made.shown("discovered_campaigns") == 1


def test_too_many_are_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """With an advice, and by a gauge as long as it lasts."""
    made = walk("A", "B", include_drafts=True, max_campaigns=1)

    made.run(seconds=8000)

    assert made.names() == {"A"}
    assert made.shown("discovery_limited") == 1
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
def test_a_failing_list_keeps_what_was_known(
    kind: type[FetchError],
    reason: FailureReason,
    wait: float,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is told once, counted each time, waited out, and told when it is over."""
    caplog.set_level(logging.INFO)
    made = walk("A", include_drafts=True)
    made.run(seconds=3700)
    asked(made)
    assert made.braze
    failed = kind("no", reason=reason, status=500, allowance=RateLimitHeaders())
    made.braze.failures = [failed] * 2

    caplog.clear()

    made.now += made.step()
    assert 0 < made.step() <= wait * 1.01
    assert made.finder.failure is failed
    made.run(seconds=4000)

    assert made.names() == {"A"}
    assert made.shown("discovery_failures_total") == 2
    told = [one.message for one in caplog.records]
    assert told.count("discovery.failed") == 1
    assert told.count("discovery.recovered") == 1
    assert made.finder.failure is None


def test_details_that_say_the_same_are_no_news() -> None:
    """They are read again each day; who is found anew or no more is."""
    made = walk("A", "B", sent_within="30d")
    assert made.braze
    for id_, sent in (("a", "2025-06-15"), ("b", "2025-06-15")):
        made.braze.details[id_]["last_sent"] = sent
    made.run(seconds=3600)
    made.braze.details["a"]["last_sent"] = "2025-06-16"
    made.braze.details["b"]["last_sent"] = "2025-01-01"
    made.run(seconds=86400)

    questions = asked(made)
    assert made.names() == {"A"}
    assert [questions.count(each) for each in "ab"] == [2, 2]
    # Each list, two that came, and one that went.
    assert made.news == questions.count("page 0") + 3


def test_a_missing_permission_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """In the failure's own words; tried again in 1, 2, 4, ... at most 15 minutes."""
    made = walk("A")
    assert made.braze
    made.braze.failures = [failure(KeyRefused, FailureReason.FORBIDDEN, 403)] * 9

    waits = []
    for _ in range(6):
        waits.append(round(made.step()))
        made.now += waits[-1] + 1

    assert waits == [60, 120, 240, 480, 900, 900]
    (told,) = [one for one in caplog.records if one.message == "discovery.failed"]
    facts = vars(told)["facts"]
    assert (facts["reason"], facts["status"]) == ("forbidden", 403)
    assert facts["endpoint"].endswith("/campaigns/list")


def test_a_changed_key_is_tried_at_once() -> None:
    """Whoever waits for the former one waits no more."""
    made = walk("A")
    assert made.braze
    made.braze.failures = [failure(KeyRefused, FailureReason.UNAUTHORIZED, 401)]
    made.step()
    made.now += 1

    made.finder.retry_now()
    made.run(seconds=10)

    assert made.names() == {"A"}


def test_a_passing_failure_goes_on_at_the_same_page() -> None:
    """After five in a row, or a page that repeats, from the first one."""
    made = walk(*(f"N{n}" for n in range(FULL_PAGE + 1)), include_drafts=True)
    assert made.braze
    unavailable = failure(Unavailable, FailureReason.SERVER_ERROR, 503)
    made.braze.failures = [None, *[unavailable] * 5]

    made.run(seconds=3000)

    assert asked(made) == ["page 0", *["page 1"] * 5, "page 0", "page 1"]


def test_a_repeating_page_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It is a failure: what was known stays, and it begins again."""
    made = walk("A", include_drafts=True)
    made.run(seconds=60)
    assert made.braze
    made.braze.campaigns = [{"id": f"{n % FULL_PAGE}", "name": "Z"} for n in range(150)]

    made.run(seconds=3600)

    assert made.names() == {"A"}
    assert "discovery.failed" in [one.message for one in caplog.records]
    assert made.finder.failure is not None
    assert made.finder.failure.reason is FailureReason.MALFORMED


@pytest.mark.parametrize(
    "refusal",
    [
        failure(CampaignRefused, FailureReason.BAD_REQUEST, 400),
        failure(Unusable, FailureReason.TOO_LARGE, 200),
    ],
)
def test_one_campaign_without_details_costs_itself(
    refusal: FetchError, caplog: pytest.LogCaptureFixture
) -> None:
    """The others are found; it is asked for again a day later."""
    made = walk("A", "B")
    assert made.braze
    made.braze.failures = [None, refusal]

    made.run(seconds=60)

    assert made.names() == {"B"}
    assert made.finder.is_settled
    (told,) = [one for one in caplog.records if one.message == "discovery.passed_over"]
    assert vars(told)["facts"]["campaign"] == "A"
    made.run(seconds=86400)
    assert made.names() == {"A", "B"}


def test_odd_details_are_a_failure_of_one() -> None:
    """And a campaign that was known before stays as it was."""
    made = walk("A")
    made.run(seconds=60)
    assert made.braze
    made.braze.details["a"] = {"message": "no"}

    made.run(seconds=2 * 86400)

    assert made.names() == {"A"}
    assert made.shown("discovery_failures_total") == 2


def test_many_passed_over_are_not_all_told(caplog: pytest.LogCaptureFixture) -> None:
    """Ten a minute, and then how many were left out."""
    made = walk(*(f"N{n}" for n in range(99)), requests_per_minute=60)
    assert made.braze
    refusal = failure(CampaignRefused, FailureReason.NOT_FOUND, 404)
    made.braze.failures = [None, *[refusal] * 99]

    made.run(seconds=120)

    told = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert len(told) == 20
    assert "suppressed" in vars(told[10])["facts"]


def test_other_wishes_change_what_is_found_at_once() -> None:
    """What is known stays; archived ones are listed anew."""
    made = walk("A", "B", include_drafts=True)
    made.run(seconds=60)
    asked(made)

    changes: list[tuple[dict[str, Any], set[str], list[str]]] = [
        ({"names": {"include": ["B"]}}, {"B"}, []),
        ({"include_archived": True}, {"A", "B"}, ["page 0"]),
    ]
    for wishes, names, questions in changes:
        made.workspace = workspace(include_drafts=True, **wishes)
        made.finder.reconfigure(made.workspace)
        assert made.names() == names
        made.run(seconds=10)
        assert asked(made) == questions
        assert made.shown("discovered_campaigns") == len(names)


def test_nobody_is_asked_while_there_is_nobody() -> None:
    """It looks again in a second."""
    made = walk("A")
    made.braze = None

    assert made.step() == 1


def test_only_one_step_at_a_time() -> None:
    """Another thread's step is left to the one that is under way."""
    made = walk("A")
    steps: list[float | None] = []
    assert made.braze
    made.braze.during = lambda: steps.append(made.finder.step())

    made.step()

    assert steps == [None]


def test_what_is_broken_off_is_no_failure() -> None:
    """When the exporter stops, its requests end with an error."""
    made = walk("A")
    assert made.braze
    made.braze.failures = [failure(Unavailable, FailureReason.CONNECTION)]
    made.braze.during = made.finder.stop

    made.step()

    assert made.finder.failure is None
    assert made.shown("discovery_failures_total") == 0


def test_a_clock_that_was_set_shuts_no_bucket() -> None:
    """When a window ends was said by the former clock."""
    made = walk("A")
    assert made.braze
    made.braze.allowance = RateLimitHeaders(limit=10, remaining=0, reset_at=NOW + 3000)
    made.step()
    assert made.step() > 1000

    made.finder.discard_windows()

    assert made.step() < 2


def test_a_clock_that_was_set_ends_a_wait_that_braze_asked_for() -> None:
    """Its 429 told by the former clock how long; a minute at most is left of that."""
    made = walk("A")
    assert made.braze
    told = RateLimitHeaders(limit=10, remaining=0, reset_at=NOW + 3000)
    made.braze.failures = [
        Throttled("no", reason=FailureReason.RATE_LIMITED, allowance=told)
    ]
    assert made.step() > 1000

    made.finder.discard_windows()

    assert made.step() <= 60


def test_what_is_known_already_is_not_asked_again() -> None:
    """As after a restart."""
    made = walk("A")
    made.run(seconds=60)

    again = Walk(made.workspace, known=made.finder.catalogue)
    again.run(seconds=60)

    assert asked(again) == []
    assert again.names() == {"A"}
    assert again.shown("discovered_campaigns") == 1


def test_what_was_known_before_a_restart_is_shown_while_the_list_fails() -> None:
    """How many were found, that some are kept out, and when the list was last read."""
    made = walk("A", "B", "C", max_campaigns=2)
    made.run(seconds=60)

    again = Walk(made.workspace, known=made.finder.catalogue)

    assert again.shown("discovered_campaigns") == 2
    assert again.shown("discovery_limited") == 1
    success = "discovery_last_success_timestamp_seconds"
    assert again.shown(success) == made.finder.catalogue.listed_at
    assert again.news == 0


def test_how_it_stands_is_told_by_the_wall_clock() -> None:
    """What was found and when; after a failure why, and when it asks again."""
    made = walk("A", "B")
    begun = made.finder.view()
    made.run(seconds=60)
    found = made.finder.view()
    assert made.braze
    made.braze.failures = [failure(KeyRefused, FailureReason.FORBIDDEN, 403)] * 9
    made.now += 3600
    made.step()
    failing = made.finder.view()

    assert (begun.campaigns, begun.listed_at, begun.rate_limit) == (0, None, None)
    assert (found.campaigns, found.failure, found.next_at) == (2, None, None)
    assert found.listed_at is not None
    assert NOW <= found.listed_at < NOW + 60
    assert found.rate_limit is not None
    assert found.rate_limit.endpoint == "campaigns/list and campaigns/details"
    assert (failing.campaigns, failing.message) == (2, "no")
    assert failing.failure is FailureReason.FORBIDDEN
    assert failing.next_at == made.now + 60


def test_a_list_that_was_never_read_has_not_succeeded() -> None:
    """Whatever is known of details."""
    assert (
        Walk(workspace(), known=CampaignCatalogue()).shown("discovered_campaigns") == 0
    )
    success = "discovery_last_success_timestamp_seconds"
    assert Walk(workspace(), known=CampaignCatalogue()).shown(success) is None


def test_a_workspace_without_discovery_has_no_scout() -> None:
    """And is polled as it is listed."""
    plain = replace(workspace([{"id": "b", "name": "B"}]), discover=None)
    made = walk("A")
    made.run(seconds=60)

    with pytest.raises(ValueError, match="no discovery is configured in shop"):
        Walk(plain)
    assert made.finder.campaigns_of(plain) == plain.campaigns
