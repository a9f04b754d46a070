"""Downloads within limits, with a clock that only sleeping and requests advance."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from exporter.backfill.download import Download, PageRequest, WorkspaceDownload, source
from exporter.backfill.page_cache import PageCache
from exporter.backfill.sampling import HistoryRequest
from exporter.braze.responses import BrazeResponse
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

from tests.support.daemon_process import parsed

NOW = 1_000_000.0
PAGES = (
    HistoryRequest("2026-09-01T12:00:00Z", 100),
    HistoryRequest("2026-05-26T12:00:00Z", 100),
)
DOCUMENT: dict[str, object] = {"data": []}
GOOD = BrazeResponse(DOCUMENT, 200, RateLimitHeaders(50_000, 40_000, None))


class ScriptedBraze:
    """A client with a clock. Responses are consumed in order; the last one repeats.

    `by_campaign` has the responses to single campaigns.
    """

    def __init__(
        self, *responses: BrazeResponse | FetchError, **by_campaign: Any
    ) -> None:
        self.at = NOW
        self.requests: list[tuple[float, str, str]] = []
        self.responses: dict[str, list[BrazeResponse | FetchError]]
        self.responses = {"": list(responses or (GOOD,)), **by_campaign}
        self.offset = 0.0
        """By how many seconds the wall clock is set, five seconds after the start."""
        self.clock = Clock(wall=self.wall, steady=lambda: self.at)

    def wall(self) -> float:
        """Return the time by the wall clock."""
        return self.at + (self.offset if self.at >= NOW + 5 else 0.0)

    def sleep(self, seconds: float) -> None:
        """Advance the clock; no limit requires more than an hour."""
        assert 0 < seconds <= 3605
        self.at += seconds

    def fetch(
        self, path: str, params: Mapping[str, str | int], *_: object
    ) -> BrazeResponse:
        """Respond after a tenth of a second."""
        assert path == "/campaigns/data_series"
        assert params["length"] == 100
        campaign_id = str(params["campaign_id"])
        self.requests.append((self.at, campaign_id, str(params["ending_at"])))
        self.at += 0.1
        responses = self.responses.get(campaign_id, self.responses[""])
        response = responses.pop(0) if len(responses) > 1 else responses[0]
        if isinstance(response, FetchError):
            raise response
        return response

    @property
    def campaigns(self) -> str:
        """The campaign id, one letter, of each request."""
        return "".join(one for _, one, _ in self.requests)

    @property
    def intervals(self) -> list[float]:
        """Seconds between the starts of requests."""
        return [round(b - a, 1) for (a, *_), (b, *_) in pairwise(self.requests)]


def workspace(
    braze: ScriptedBraze, *ids: str, rate: float = 60, name: str = "shop"
) -> WorkspaceDownload:
    """Return a workspace with two pending pages for each campaign."""
    document = {
        "name": name,
        "endpoint": "https://rest.iad-01.braze.com",
        "api_key_env": "KEY",
        "requests_per_minute": rate,
        "campaigns": [{"id": one, "name": one} for one in ids],
    }
    (configured,) = parsed({"workspaces": [document]}, key="k-1").workspaces
    requests = [
        PageRequest(one, page) for one in configured.campaigns for page in PAGES
    ]
    return WorkspaceDownload(
        configured,
        client=braze,
        requests=requests,
        clock=braze.clock,
        random=lambda: 0.5,
    )


def run(
    braze: ScriptedBraze, *downloads: WorkspaceDownload, directory: Path, **more: Any
) -> tuple[PageCache, int]:
    """Download everything; return the cache and the number of finished pages."""
    cache = PageCache(directory)
    cache.start(now=0.0)
    pages: list[None] = []
    Download(
        cache,
        clock=braze.clock,
        sleep=braze.sleep,
        on_page=lambda: pages.append(None),
        **more,
    ).run(downloads)
    return cache, len(pages)


def failure(kind: type[FetchError], reason: str, **more: Any) -> FetchError:
    """Return a failure with its reason as message, and empty rate-limit headers."""
    more = {"rate_limit": RateLimitHeaders(), **more}
    return kind(reason, reason=FailureReason(reason), **more)


DOWN = failure(Unavailable, "server_error", status=503)
REFUSED = failure(CampaignRefused, "bad_request", status=400)
TOO_LARGE = failure(Unusable, "too_large", status=200)
UNAUTHORIZED = failure(KeyRefused, "unauthorized", status=401, rate_limit=None)
FORBIDDEN = failure(KeyRefused, "forbidden", status=403)
THROTTLED = failure(Throttled, "rate_limited", status=429)


def test_every_page_is_requested_once_and_cached(tmp_path: Path) -> None:
    """Campaign by campaign, the newest page first, at the workspace's rate."""
    braze = ScriptedBraze()
    shop = workspace(braze, "a", "b")

    cache, finished = run(braze, shop, directory=tmp_path)

    assert [(one, end) for _, one, end in braze.requests] == [
        (one, page.ending_at) for one in "ab" for page in PAGES
    ]
    assert braze.intervals == [1.0, 1.0, 1.0]
    assert finished == 4
    key = source(shop.workspace)
    assert all(cache.get(key, "b", page) == DOCUMENT for page in PAGES)
    assert (shop.failures, shop.stopped_by) == ({}, "")


def test_each_workspace_has_its_own_budget(tmp_path: Path) -> None:
    """A fast workspace does not wait for a slow one."""
    braze = ScriptedBraze()
    slow = workspace(braze, "a", "b", rate=6)
    fast = workspace(braze, "c", "d", name="other", rate=60)

    run(braze, slow, fast, directory=tmp_path)

    assert braze.campaigns == "accddabb"


def test_the_reserve_is_not_used(tmp_path: Path) -> None:
    """With a fifth of the limit left, the download waits for the reset."""
    low = BrazeResponse(DOCUMENT, 200, RateLimitHeaders(100, 20, NOW + 30))
    braze = ScriptedBraze(low, GOOD)

    run(braze, workspace(braze, "a"), directory=tmp_path)

    assert braze.intervals == [31.0]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"rate_limit": RateLimitHeaders(100, 0, NOW + 40)}, 42.5),
        ({"retry_after_seconds": 7.0}, 9.6),
        ({}, 3.6),
    ],
)
def test_a_429_delays_the_download(
    tmp_path: Path, headers: dict[str, Any], seconds: float
) -> None:
    """Until the reset or for Retry-After, plus jitter; then the page is requested."""
    throttled = failure(Throttled, "rate_limited", status=429, **headers)
    braze = ScriptedBraze(throttled, GOOD)
    shop = workspace(braze, "a")

    _, finished = run(braze, shop, directory=tmp_path)

    assert braze.intervals[0] == seconds
    assert (finished, braze.campaigns, shop.failures) == (2, "aaa", {})


def test_ten_429_in_a_row_stop_the_workspace(tmp_path: Path) -> None:
    """Each of them is waited out first."""
    braze = ScriptedBraze(THROTTLED)
    shop = workspace(braze, "a", "b")

    run(braze, shop, directory=tmp_path)

    assert len(braze.requests) == 10
    assert shop.stopped_by == "rate_limited"


def test_transient_failures_are_retried(tmp_path: Path) -> None:
    """With backoff; other pages are requested meanwhile."""
    braze = ScriptedBraze(a=[DOWN, DOWN, GOOD])
    shop = workspace(braze, "a", "b", rate=600)

    _, finished = run(braze, shop, directory=tmp_path)

    assert (finished, len(braze.requests), shop.failures) == (4, 6, {})


@pytest.mark.parametrize(
    ("response", "reason", "is_retried"),
    [
        (DOWN, "server_error", True),
        (REFUSED, "bad_request", False),
        (TOO_LARGE, "too_large", False),
        (BrazeResponse({"message": "no"}, 200, RateLimitHeaders()), "message", False),
    ],
)
def test_a_failed_campaign_is_skipped(
    tmp_path: Path, response: Any, reason: str, is_retried: bool
) -> None:
    """After all retries, or at once; the other campaigns are downloaded."""
    braze = ScriptedBraze(a=[response])
    shop = workspace(braze, "a", "b")

    _, finished = run(braze, shop, directory=tmp_path)

    assert list(shop.failures) == ["a"]
    assert reason in shop.failures["a"]
    assert (braze.campaigns.count("a") > 1) is is_retried
    assert braze.campaigns.count("b") == 2
    assert (finished, shop.stopped_by) == (4, "")


def test_an_outage_stops_the_workspace(tmp_path: Path) -> None:
    """After three campaigns in a row, not after all hundred."""
    braze = ScriptedBraze(DOWN)
    shop = workspace(braze, *map(str, range(100)), rate=600)

    run(braze, shop, directory=tmp_path)

    assert shop.stopped_by == "server_error"
    assert len(braze.requests) < 200


@pytest.mark.parametrize("refusal", [UNAUTHORIZED, FORBIDDEN])
def test_a_refused_key_stops_its_workspace_only(
    tmp_path: Path, refusal: FetchError
) -> None:
    """After one request."""
    refused, good = ScriptedBraze(refusal), ScriptedBraze()
    shop = workspace(refused, "a", "b")

    run(good, shop, workspace(good, "c", name="other"), directory=tmp_path)

    assert shop.stopped_by == str(refusal)
    assert (refused.campaigns, good.campaigns) == ("a", "cc")


@pytest.mark.parametrize(
    ("refusal", "requests", "failures", "stopped_by"),
    [
        (FORBIDDEN, "aabcc", {"b": "forbidden"}, ""),
        (UNAUTHORIZED, "aab", {}, "unauthorized"),
    ],
)
def test_after_a_good_response_only_401_stops_the_workspace(
    tmp_path: Path,
    refusal: FetchError,
    requests: str,
    failures: dict[str, str],
    stopped_by: str,
) -> None:
    """A 403 then concerns the campaign, a 401 always the key."""
    braze = ScriptedBraze(b=[refusal])
    shop = workspace(braze, "a", "b", "c")

    run(braze, shop, directory=tmp_path)

    assert braze.campaigns == requests
    assert (shop.failures, shop.stopped_by) == (failures, stopped_by)


def test_a_wait_is_reported_once_with_its_workspace(tmp_path: Path) -> None:
    """Although the download sleeps in shorter pieces."""
    braze = ScriptedBraze()
    waits: list[tuple[int, str]] = []

    run(
        braze,
        workspace(braze, "a", rate=2),
        directory=tmp_path,
        on_wait=lambda seconds, name: waits.append((round(seconds), name)),
    )

    assert waits == [(30, "shop")]


@pytest.mark.parametrize("hours", [1, -1])
def test_setting_the_wall_clock_does_not_stall_the_download(
    tmp_path: Path, hours: int
) -> None:
    """Reset times are Braze's wall time; the local clock was wrong by an hour."""
    offset = hours * 3600.0
    low = BrazeResponse(DOCUMENT, 200, RateLimitHeaders(100, 20, NOW + offset + 30))
    braze = ScriptedBraze(low, low, GOOD)
    braze.offset = offset

    _, finished = run(braze, workspace(braze, "a", "b"), directory=tmp_path)

    assert finished == 4
    assert braze.at - NOW < 180
