"""Downloads within limits, at a time that only sleeping and requests advance."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest
from exporter.backfill import download
from exporter.backfill.download import GroupDownload, PageRequest, session_of
from exporter.backfill.page_cache import CacheKey, PageCache
from exporter.backfill.sampling import HistoryRequest
from exporter.model.errors import (
    FetchError,
    KeyRefused,
    ObjectRefused,
    Unavailable,
    Unusable,
)
from exporter.model.rate_limit_headers import RateLimitHeaders
from exporter.polling.kinds import CAMPAIGN, CANVAS, Kind

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
UNAUTHORIZED = failure(KeyRefused, "unauthorized", status=401)
FORBIDDEN = failure(KeyRefused, "forbidden", status=403)

Response = RateLimitHeaders | FetchError | dict[str, object]
"""The headers of a response without data, a failure, or a document."""


def object_id(params: Mapping[str, str | int]) -> str:
    return str(params.get("campaign_id") or params["canvas_id"])


Groups = tuple[GroupDownload, GroupDownload]
"""Campaigns and canvases."""


class DownloadWorld(FakeBraze):
    """A Braze with scripted responses, and a page cache.

    Each response takes a tenth of a second; the last one is repeated.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.wall_offset = 0.0
        """By how many seconds the wall clock is set, five seconds after the start."""
        self.script: dict[str, list[Response]] = {}
        """Responses by object; those of others are without data."""
        self.default: list[Response] = [GOOD]
        self.starts: list[float] = []
        self.waits: list[tuple[int, str]] = []
        """Seconds and workspaces of the reported waits."""
        self.finished: list[None] = []
        self.cache = PageCache(directory)
        self.cache.start(now=0.0)

    def respond(self, params: Mapping[str, str | int]) -> object:
        self.starts.append(self.clock.time)
        self.clock.advance(0.1)
        responses = self.script.get(object_id(params), self.default)
        response = responses.pop(0) if len(responses) > 1 else responses[0]
        self.headers = GOOD
        if isinstance(response, RateLimitHeaders):
            self.headers = response
            return EMPTY_DOCUMENT
        return response

    def workspace(
        self, ids: str, *, name: str = "shop", rate: float = 60
    ) -> GroupDownload:
        """Return a workspace with two pending pages for each campaign."""
        return self.groups(ids, name=name, requests_per_minute=rate)[0]

    def groups(self, ids: str, canvases: str = "", **options: object) -> Groups:
        """Return the campaigns and the canvases of one workspace."""
        listed = [{"id": one, "name": one} for one in canvases]
        document = polling_world.workspace(ids, canvases=listed, **options)
        (configured,) = config(document).workspaces
        session = session_of(
            configured, client=self, clock=self.clock, random=lambda: 0.5
        )

        def group(kind: Kind) -> GroupDownload:
            objects = kind.objects(configured)
            return GroupDownload(
                configured,
                kind,
                session=session,
                requests=[PageRequest(one, page) for one in objects for page in PAGES],
                cache=self.cache,
                on_page=lambda: self.finished.append(None),
            )

        return group(CAMPAIGN), group(CANVAS)

    def download(self, *downloads: GroupDownload) -> str:
        """Download everything; return the object of each request."""
        download.run(
            downloads,
            clock=self.clock,
            sleep=self._sleep,
            on_wait=lambda seconds, group: self.waits.append(
                (round(seconds), group.workspace.name)
            ),
        )
        return "".join(map(object_id, self.requests))

    def _sleep(self, seconds: float) -> None:
        assert 0 < seconds <= 10
        self.clock.advance(seconds)
        if self.clock.time >= NOW + 5:
            self.clock.set_by = self.wall_offset

    @property
    def intervals(self) -> list[float]:
        """Seconds between the starts of requests."""
        return [round(b - a, 1) for a, b in pairwise(self.starts)]


@pytest.fixture
def world(tmp_path: Path) -> DownloadWorld:
    return DownloadWorld(tmp_path)


def test_every_page_is_requested_once_and_cached(world: DownloadWorld) -> None:
    """Campaign by campaign, the newest page first, at the workspace's rate."""
    shop = world.workspace("ab")

    world.download(shop)

    assert world.requests == [
        {"campaign_id": one, "length": page.length, "ending_at": page.ending_at}
        for one in "ab"
        for page in PAGES
    ]
    assert world.intervals == [1.0, 1.0, 1.0]
    assert len(world.finished) == 4
    key = CacheKey("shop", shop.workspace.endpoint, "campaign", "b")
    assert all(world.cache.get(key, page) == EMPTY_DOCUMENT for page in PAGES)
    assert (shop.failures, shop.stopped_by) == ({}, "")


def test_each_workspace_has_its_own_budget(world: DownloadWorld) -> None:
    slow, fast = world.workspace("ab", rate=6), world.workspace("cd", name="other")

    assert world.download(slow, fast) == "accddabb"


@pytest.mark.parametrize(
    ("first", "seconds", "requests"),
    [
        (RateLimitHeaders(100, 20, NOW + 30), 31.0, "aa"),
        (throttled(RateLimitHeaders(100, 0, NOW + 40)), 42.5, "aaa"),
        (throttled(retry_after=7), 9.6, "aaa"),
        (throttled(), 3.6, "aaa"),
    ],
    ids=["reserve", "429 with reset", "429 with Retry-After", "429"],
)
def test_rate_limits_delay_the_download(
    world: DownloadWorld, first: Response, seconds: float, requests: str
) -> None:
    """Until the reset or for Retry-After, plus jitter; the page of a 429 is retried."""
    world.default = [first, GOOD]
    shop = world.workspace("a")

    assert world.download(shop) == requests

    assert world.intervals[0] == seconds
    assert (len(world.finished), shop.failures) == (2, {})


def test_transient_failures_are_retried(world: DownloadWorld) -> None:
    """With backoff; other pages are requested meanwhile."""
    world.script["a"] = [DOWN, DOWN, GOOD]
    shop = world.workspace("ab", rate=600)

    requests = world.download(shop)

    assert sorted(requests) == list("aaaabb")
    assert requests != "aaaabb"
    assert (len(world.finished), shop.failures) == (4, {})


def test_a_page_is_retried_after_a_long_retry_after(world: DownloadWorld) -> None:
    """Of a 503, for example; in the daemon the next poll comes instead."""
    patience = failure(Unavailable, "server_error", status=503, retry_after=600.0)
    world.script["a"] = [patience, GOOD]
    shop = world.workspace("a")

    assert world.download(shop) == "aaa"

    assert world.starts[2] - world.starts[0] == pytest.approx(600, abs=1)
    assert (len(world.finished), shop.failures) == (2, {})


@pytest.mark.parametrize(
    ("response", "reason", "is_retried"),
    [
        (DOWN, str(DOWN), True),
        (failure(ObjectRefused, "bad_request", status=400), "the message", False),
        (failure(Unusable, "too_large", status=200), "the message", False),
        ({"message": "no"}, "message", False),
    ],
)
def test_a_failed_campaign_is_skipped(
    world: DownloadWorld, response: Response, reason: str, is_retried: bool
) -> None:
    """After all retries, or at once; the other campaigns are downloaded."""
    world.script["a"] = [response]
    shop = world.workspace("ab")

    requests = world.download(shop)

    assert list(shop.failures) == ["a"]
    assert reason in shop.failures["a"]
    assert (requests.count("a") > 1) is is_retried
    assert requests.count("b") == 2
    assert (len(world.finished), shop.stopped_by) == (4, "")


@pytest.mark.parametrize(
    ("response", "failures"), [(DOWN, 3), (throttled(), 0)], ids=["503", "429"]
)
def test_an_outage_stops_the_workspace(
    world: DownloadWorld, response: FetchError, failures: int
) -> None:
    """After three campaigns without a response in a row, or ten 429."""
    world.default = [response]
    shop = world.workspace("abcdefghijklmnopqrstuvwxyz", rate=600)

    requests = world.download(shop)

    assert shop.stopped_by == str(response)
    assert len(shop.failures) == failures
    assert failures or len(requests) == 10


@pytest.mark.parametrize(
    ("ids", "refusal", "requests", "failures", "is_stopped"),
    [
        ("bc", FORBIDDEN, "bdd", {}, True),
        ("bc", UNAUTHORIZED, "bdd", {}, True),
        ("abc", FORBIDDEN, "addabcc", {"b": str(FORBIDDEN)}, False),
        ("abc", UNAUTHORIZED, "addab", {}, True),
    ],
)
def test_a_refused_key_stops_its_workspace_only(
    world: DownloadWorld,
    ids: str,
    refusal: FetchError,
    requests: str,
    failures: dict[str, str],
    is_stopped: bool,
) -> None:
    """After a good response, a 403 concerns the campaign."""
    world.script["b"] = [refusal]
    shop = world.workspace(ids, rate=6)

    assert world.download(shop, world.workspace("d", name="other")) == requests

    assert shop.failures == failures
    assert shop.stopped_by == (str(refusal) if is_stopped else "")


def test_a_wait_of_many_sleeps_is_reported_once(world: DownloadWorld) -> None:
    world.download(world.workspace("a", rate=2))

    assert world.waits == [(30, "shop")]


@pytest.mark.parametrize("hours", [1, -1])
def test_setting_the_wall_clock_does_not_stall_the_download(
    world: DownloadWorld, hours: int
) -> None:
    """Reset times are Braze's wall time; the local clock was wrong by an hour."""
    world.wall_offset = hours * 3600.0
    low = RateLimitHeaders(100, 20, NOW + world.wall_offset + 30)
    world.default = [low, low, GOOD]

    assert world.download(world.workspace("ab")) == "aabb"

    assert world.clock.time - NOW < 180


def test_canvases_have_their_own_ceiling_and_parameters(world: DownloadWorld) -> None:
    """They are downloaded beside campaigns, in the one session of the workspace."""
    groups = world.groups(
        "a", "x", requests_per_minute=60, shared_requests_per_minute=30
    )

    assert world.download(*groups) == "axax"

    assert world.intervals == [0.1, 0.9, 1.1]
    assert world.requests[1] == {
        "canvas_id": "x",
        "length": 100,
        "ending_at": PAGES[0].ending_at,
        "include_variant_breakdown": "true",
        "include_step_breakdown": "true",
        "include_deleted_step_data": "true",
    }
    key = CacheKey("shop", groups[1].workspace.endpoint, "canvas", "x")
    assert all(world.cache.has(key, page) for page in PAGES)


@pytest.mark.parametrize(
    ("refusal", "is_forbidden"), [(FORBIDDEN, True), (UNAUTHORIZED, False)]
)
def test_a_refusal_stops_its_kind_only(
    world: DownloadWorld, refusal: FetchError, *, is_forbidden: bool
) -> None:
    world.script |= {"x": [refusal], "y": [refusal]}
    campaigns, canvases = world.groups("ab", "xy")

    downloaded = world.download(campaigns, canvases)

    assert downloaded.count("x") == 1
    assert "y" not in downloaded
    assert downloaded.count("a") == downloaded.count("b") == 2
    assert (campaigns.stopped_by, campaigns.failures) == ("", {})
    assert (canvases.stopped_by, canvases.is_forbidden) == (str(refusal), is_forbidden)
