"""Downloads within limits, at a time that only sleeping and requests advance."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from exporter.backfill import download
from exporter.backfill.download import PageRequest, WorkspaceDownload, source
from exporter.backfill.page_cache import PageCache
from exporter.backfill.sampling import HistoryRequest
from exporter.model.errors import (
    CampaignRefused,
    FetchError,
    KeyRefused,
    Unavailable,
    Unusable,
)
from exporter.model.rate_limit_headers import RateLimitHeaders

from tests.support import polling_world
from tests.support.fake_clock import NOW, FakeClock
from tests.support.polling_world import EMPTY_DOCUMENT, FakeBraze, config, failure
from tests.support.queue_world import throttled

PAGES = (
    HistoryRequest("2026-09-01T12:00:00Z", 100),
    HistoryRequest("2026-05-26T12:00:00Z", 100),
)
GOOD = RateLimitHeaders(50_000, 40_000, None)
DOWN = failure(Unavailable, "server_error", status=503)
REFUSED = failure(CampaignRefused, "bad_request", status=400)
TOO_LARGE = failure(Unusable, "too_large", status=200)
UNAUTHORIZED = failure(KeyRefused, "unauthorized", status=401)
FORBIDDEN = failure(KeyRefused, "forbidden", status=403)

Response = RateLimitHeaders | FetchError | dict[str, object]
"""The headers of a response without data, a failure, or a document."""


class ScriptedBraze(FakeBraze):
    """Returns each response after a tenth of a second; the last one is repeated.

    `by_campaign` has the responses to single campaigns.
    """

    def __init__(self, *responses: Response, **by_campaign: list[Response]) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.wall_offset = 0.0
        """By how many seconds the wall clock is set, five seconds after the start."""
        self.starts: list[float] = []
        self._responses = by_campaign | {"": list(responses or [GOOD])}
        self.waits: list[tuple[int, str]] = []
        """Seconds and workspaces of the reported waits."""

    def respond(self, params: Mapping[str, str | int]) -> object:
        """Return the next response to a request with these parameters."""
        self.starts.append(self.clock.time)
        self.clock.advance(0.1)
        default = self._responses[""]
        responses = self._responses.get(str(params["campaign_id"]), default)
        response = responses.pop(0) if len(responses) > 1 else responses[0]
        self.headers = GOOD
        if isinstance(response, RateLimitHeaders):
            self.headers = response
            return EMPTY_DOCUMENT
        return response

    def sleep(self, seconds: float) -> None:
        """Advance the clock."""
        assert 0 < seconds <= 10
        self.clock.advance(seconds)
        if self.clock.time >= NOW + 5:
            self.clock.set_by = self.wall_offset

    @property
    def campaigns(self) -> str:
        """The campaign id, one letter, of each request."""
        return "".join(self.polled_ids)

    @property
    def intervals(self) -> list[float]:
        """Seconds between the starts of requests."""
        return [round(b - a, 1) for a, b in pairwise(self.starts)]


class Run:
    """A page cache, and downloads that fill it."""

    def __init__(self, directory: Path) -> None:
        self.cache = PageCache(directory)
        self.cache.start(now=0.0)
        self.finished = 0

    def _count_page(self) -> None:
        self.finished += 1

    def workspace(
        self, braze: ScriptedBraze, ids: str, *, name: str = "shop", rate: float = 60
    ) -> WorkspaceDownload:
        """Return a workspace with two pending pages for each campaign."""
        document = polling_world.workspace(ids, name=name, requests_per_minute=rate)
        configured = config(document).workspaces[0]
        return WorkspaceDownload(
            configured,
            client=braze,
            requests=[
                PageRequest(one, page) for one in configured.campaigns for page in PAGES
            ],
            cache=self.cache,
            clock=braze.clock,
            random=lambda: 0.5,
            on_page=self._count_page,
        )

    def download(self, braze: ScriptedBraze, *downloads: WorkspaceDownload) -> None:
        """Download everything."""
        download.run(
            downloads,
            clock=braze.clock,
            sleep=braze.sleep,
            on_wait=lambda seconds, name: braze.waits.append((round(seconds), name)),
        )

    def shop(self, braze: ScriptedBraze, ids: str, **options: Any) -> WorkspaceDownload:
        """Download one workspace."""
        shop = self.workspace(braze, ids, **options)
        self.download(braze, shop)
        return shop


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a run with an empty cache."""
    return Run(tmp_path)


def test_every_page_is_requested_once_and_cached(run: Run) -> None:
    """Campaign by campaign, the newest page first, at the workspace's rate."""
    braze = ScriptedBraze()

    shop = run.shop(braze, "ab")

    assert braze.requests == [
        {"campaign_id": one, "length": page.length, "ending_at": page.ending_at}
        for one in "ab"
        for page in PAGES
    ]
    assert braze.intervals == [1.0, 1.0, 1.0]
    assert run.finished == 4
    key = source(shop.workspace)
    assert all(run.cache.get(key, "b", page) == EMPTY_DOCUMENT for page in PAGES)
    assert (shop.failures, shop.stopped_by) == ({}, "")


def test_each_workspace_has_its_own_budget(run: Run) -> None:
    braze = ScriptedBraze()
    slow = run.workspace(braze, "ab", rate=6)
    fast = run.workspace(braze, "cd", name="other")

    run.download(braze, slow, fast)

    assert braze.campaigns == "accddabb"


def test_the_reserve_is_not_used(run: Run) -> None:
    """With a fifth of the limit left, the download waits for the reset."""
    braze = ScriptedBraze(RateLimitHeaders(100, 20, NOW + 30), GOOD)

    run.shop(braze, "a")

    assert braze.intervals == [31.0]


@pytest.mark.parametrize(
    ("refusal", "seconds"),
    [
        (throttled(RateLimitHeaders(100, 0, NOW + 40)), 42.5),
        (throttled(retry_after=7), 9.6),
        (throttled(), 3.6),
    ],
    ids=["reset", "Retry-After", "neither"],
)
def test_a_429_delays_the_download(run: Run, refusal: FetchError, seconds: int) -> None:
    """Until the reset or for Retry-After, plus jitter; then the page is requested."""
    braze = ScriptedBraze(refusal, GOOD)

    shop = run.shop(braze, "a")

    assert braze.intervals[0] == seconds
    assert (run.finished, braze.campaigns, shop.failures) == (2, "aaa", {})


def test_ten_429_in_a_row_stop_the_workspace(run: Run) -> None:
    refusal = throttled()
    braze = ScriptedBraze(refusal)

    shop = run.shop(braze, "ab")

    assert len(braze.requests) == 10
    assert shop.stopped_by == str(refusal)


def test_transient_failures_are_retried(run: Run) -> None:
    """With backoff; other pages are requested meanwhile."""
    braze = ScriptedBraze(a=[DOWN, DOWN, GOOD])

    shop = run.shop(braze, "ab", rate=600)

    assert (run.finished, len(braze.requests), shop.failures) == (4, 6, {})
    assert braze.campaigns != "aaaabb"


@pytest.mark.parametrize(
    ("response", "reason", "is_retried"),
    [
        (DOWN, str(DOWN), True),
        (REFUSED, str(REFUSED), False),
        (TOO_LARGE, str(TOO_LARGE), False),
        ({"message": "no"}, "message", False),
    ],
)
def test_a_failed_campaign_is_skipped(
    run: Run, response: Response, reason: str, is_retried: bool
) -> None:
    """After all retries, or at once; the other campaigns are downloaded."""
    braze = ScriptedBraze(a=[response])

    shop = run.shop(braze, "ab")

    assert list(shop.failures) == ["a"]
    assert reason in shop.failures["a"]
    assert (braze.campaigns.count("a") > 1) is is_retried
    assert braze.campaigns.count("b") == 2
    assert (run.finished, shop.stopped_by) == (4, "")


def test_an_outage_stops_the_workspace(run: Run) -> None:
    """After three campaigns in a row, not after all."""
    braze = ScriptedBraze(DOWN)

    shop = run.shop(braze, "abcdefghijklmnopqrstuvwxyz", rate=600)

    assert shop.stopped_by == str(DOWN)
    assert len(shop.failures) == 3


@pytest.mark.parametrize("refusal", [UNAUTHORIZED, FORBIDDEN])
def test_a_refused_key_stops_its_workspace_only(run: Run, refusal: FetchError) -> None:
    """After one request."""
    refused, good = ScriptedBraze(refusal), ScriptedBraze()
    shop = run.workspace(refused, "ab")

    run.download(good, shop, run.workspace(good, "c", name="other"))

    assert shop.stopped_by == str(refusal)
    assert (refused.campaigns, good.campaigns) == ("a", "cc")


@pytest.mark.parametrize(
    ("refusal", "requests", "failures", "stopped_by"),
    [
        (FORBIDDEN, "aabcc", {"b": str(FORBIDDEN)}, ""),
        (UNAUTHORIZED, "aab", {}, str(UNAUTHORIZED)),
    ],
)
def test_after_a_good_response_only_401_stops_the_workspace(
    run: Run,
    refusal: FetchError,
    requests: str,
    failures: dict[str, str],
    stopped_by: str,
) -> None:
    """A 403 then concerns the campaign, a 401 always the key."""
    braze = ScriptedBraze(b=[refusal])

    shop = run.shop(braze, "abc")

    assert braze.campaigns == requests
    assert (shop.failures, shop.stopped_by) == (failures, stopped_by)


def test_a_wait_is_reported_once_with_its_workspace(run: Run) -> None:
    """Although the download sleeps in shorter pieces."""
    braze = ScriptedBraze()

    run.shop(braze, "a", rate=2)

    assert braze.waits == [(30, "shop")]


@pytest.mark.parametrize("hours", [1, -1])
def test_setting_the_wall_clock_does_not_stall_the_download(
    run: Run, hours: int
) -> None:
    """Reset times are Braze's wall time; the local clock was wrong by an hour."""
    offset = hours * 3600.0
    low = RateLimitHeaders(100, 20, NOW + offset + 30)
    braze = ScriptedBraze(low, low, GOOD)
    braze.wall_offset = offset

    run.shop(braze, "ab")

    assert run.finished == 4
    assert braze.clock.time - NOW < 180
