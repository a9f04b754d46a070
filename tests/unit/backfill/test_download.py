"""Asking for pages as politely as polling, with a clock that only waiting moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from exporter.backfill.download import Download, PageRequest, WorkspaceDownload
from exporter.backfill.page_cache import PageCache
from exporter.backfill.sampling import HistoryRequest
from exporter.braze.responses import BrazeResponse
from exporter.model.config import CampaignConfig
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

from tests.support.daemon_process import parsed

PAGES = (
    HistoryRequest("2026-09-01T12:00:00Z", 100),
    HistoryRequest("2026-05-26T12:00:00Z", 100),
)
DOCUMENT: dict[str, object] = {"data": []}
GOOD = BrazeResponse(DOCUMENT, 200, RateLimitHeaders(50_000, 40_000, None))


class World:
    """A clock, and a Braze whose answers were written down; the last one is repeated.

    An answer is given for each campaign on its own if there are some for it.
    """

    def __init__(self, *answers: BrazeResponse | FetchError, **own: Any) -> None:
        self.at = 1_000_000.0
        self.asked: list[tuple[float, str, str]] = []
        self._answers: dict[str, list[BrazeResponse | FetchError]]
        self._answers = {"": list(answers or (GOOD,)), **own}

    def now(self) -> float:
        """Tell the time."""
        return self.at

    def wait(self, seconds: float) -> None:
        """Let it go on, at most as far as any limit may ask."""
        assert 0 < seconds <= 3605
        self.at += seconds

    def fetch(self, path: str, params: Mapping[str, str | int]) -> BrazeResponse:
        """Answer after a tenth of a second."""
        assert path == "/campaigns/data_series"
        campaign_id = str(params["campaign_id"])
        self.asked.append((self.at, campaign_id, str(params["ending_at"])))
        assert params["length"] == 100
        self.at += 0.1
        answers = self._answers.get(campaign_id, self._answers[""])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, FetchError):
            raise answer
        return answer

    @property
    def apart(self) -> list[float]:
        """How far apart requests began, to a tenth of a second."""
        times = [at for at, _, _ in self.asked]
        return [round(b - a, 1) for a, b in pairwise(times)]


def account(
    world: World, *ids: str, rate: float = 60, name: str = "shop"
) -> WorkspaceDownload:
    """Return a workspace from which two pages of each campaign are wanted."""
    workspace = {
        "name": name,
        "endpoint": "https://rest.iad-01.braze.com",
        "api_key_env": "KEY",
        "requests_per_minute": rate,
        "campaigns": [{"id": one, "name": one} for one in ids],
    }
    config = parsed({"workspaces": [workspace]}, key="k-1")
    campaigns: Sequence[CampaignConfig] = config.workspaces[0].campaigns
    wanted = [PageRequest(one, page) for one in campaigns for page in PAGES]
    return WorkspaceDownload(config.workspaces[0], client=world, wanted=wanted)


def run(
    world: World, *accounts: WorkspaceDownload, where: Path
) -> tuple[PageCache, int]:
    """Ask for all; return the archive and how many pages are behind us."""
    archive = PageCache(where)
    archive.begin(now=0.0)
    done: list[None] = []
    Download(
        archive,
        now=world.now,
        wait=world.wait,
        draw=lambda: 0.5,
        advanced=lambda: done.append(None),
    ).run(accounts)
    return archive, len(done)


def failure(kind: type[FetchError], reason: str, **more: Any) -> FetchError:
    """Return a failure."""
    return kind(f"it is {reason}", reason=FailureReason(reason), **more)


DOWN = failure(Unavailable, "server_error", status=503, allowance=RateLimitHeaders())
REFUSED = failure(
    CampaignRefused, "bad_request", status=400, allowance=RateLimitHeaders()
)
UNAUTHORIZED = failure(KeyRefused, "unauthorized", status=401)
FORBIDDEN = failure(KeyRefused, "forbidden", status=403, allowance=RateLimitHeaders())


def test_every_page_is_asked_for_once_and_kept(tmp_path: Path) -> None:
    """Campaign by campaign, the newest page first, at the workspace's rate."""
    world = World()
    shop = account(world, "a", "b")

    archive, done = run(world, shop, where=tmp_path)

    assert [(one, end) for _, one, end in world.asked] == [
        (one, page.ending_at) for one in ("a", "b") for page in PAGES
    ]
    assert world.apart == [1.0, 1.0, 1.0]
    assert done == 4
    place = "shop https://rest.iad-01.braze.com"
    assert all(archive.get(place, "b", page) == DOCUMENT for page in PAGES)
    assert (shop.failures, shop.stopped_by) == ({}, "")


def test_workspaces_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """Each has its own budget."""
    world = World()

    run(
        world,
        account(world, "a", "b", rate=6),
        account(world, "c", "d", name="other", rate=60),
        where=tmp_path,
    )

    assert [one for _, one, _ in world.asked] == list("accddabb")


def test_the_reserve_is_left_to_others(tmp_path: Path) -> None:
    """With a fifth of the allowance left we wait for its reset."""
    world = World()
    low = BrazeResponse(DOCUMENT, 200, RateLimitHeaders(100, 20, world.at + 30))
    world._answers = {"": [low, GOOD]}

    run(world, account(world, "a"), where=tmp_path)

    assert world.apart == [31.0]


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ({"allowance": RateLimitHeaders(100, 0, 1_000_040.0)}, 42.5),
        ({"allowance": RateLimitHeaders(), "retry_after_seconds": 7.0}, 9.6),
        ({"allowance": RateLimitHeaders()}, 3.6),
    ],
)
def test_429_is_waited_out(
    tmp_path: Path, told: dict[str, Any], seconds: float
) -> None:
    """Until the reset or as long as was asked for, and some more; then on it goes."""
    throttled = failure(Throttled, "rate_limited", status=429, **told)
    world = World(throttled, GOOD)
    shop = account(world, "a")

    _, done = run(world, shop, where=tmp_path)

    assert world.apart[0] == seconds
    assert done == 2
    assert len(world.asked) == 3
    assert shop.failures == {}


def test_429_without_an_end_ends(tmp_path: Path) -> None:
    """After ten in a row."""
    throttled = failure(
        Throttled, "rate_limited", status=429, allowance=RateLimitHeaders()
    )
    world = World(throttled)
    shop = account(world, "a", "b")

    run(world, shop, where=tmp_path)

    assert len(world.asked) == 10
    assert shop.stopped_by == "it is rate_limited"


def test_what_fails_for_now_is_tried_again(tmp_path: Path) -> None:
    """With backoff; meanwhile another page has its turn."""
    world = World(a=[DOWN, DOWN, GOOD])
    shop = account(world, "a", "b", rate=600)

    _, done = run(world, shop, where=tmp_path)

    assert done == 4
    assert len(world.asked) == 6
    assert {at for at, one, _ in world.asked if one == "b"}
    assert shop.failures == {}


def test_after_five_tries_a_campaign_is_left_out(tmp_path: Path) -> None:
    """All others are read, and its second page is not asked for."""
    world = World(a=[DOWN])
    shop = account(world, "a", "b")

    _, done = run(world, shop, where=tmp_path)

    assert shop.failures == {"a": "it is server_error"}
    assert shop.stopped_by == ""
    assert done == 4
    assert len({end for _, one, end in world.asked if one == "b"}) == 2


def test_a_braze_that_is_down_is_not_asked_for_a_thousand_campaigns(
    tmp_path: Path,
) -> None:
    """Three in a row are enough."""
    world = World(DOWN)
    shop = account(world, *map(str, range(100)), rate=600)

    run(world, shop, where=tmp_path)

    assert shop.stopped_by == "it is server_error"
    assert len(world.asked) < 200


@pytest.mark.parametrize(
    "answer",
    [
        REFUSED,
        failure(Unusable, "too_large", status=200, allowance=RateLimitHeaders()),
        BrazeResponse({"message": "no"}, 200, RateLimitHeaders()),
    ],
)
def test_what_no_try_would_change_is_asked_once(tmp_path: Path, answer: Any) -> None:
    """That campaign is left out, the others go on."""
    world = World(a=[answer])
    shop = account(world, "a", "b")

    _, done = run(world, shop, where=tmp_path)

    assert [one for _, one, _ in world.asked] == ["a", "b", "b"]
    assert list(shop.failures) == ["a"]
    assert done == 4


@pytest.mark.parametrize("refusal", [UNAUTHORIZED, FORBIDDEN])
def test_a_refused_key_stops_its_workspace(tmp_path: Path, refusal: FetchError) -> None:
    """One request is enough to know; other workspaces go on."""
    refused, good = World(refusal), World()
    shop = account(refused, "a", "b")
    other = account(good, "c", name="other")

    run(good, shop, other, where=tmp_path)

    assert shop.stopped_by == str(refusal)
    assert len(refused.asked) == 1
    assert len(good.asked) == 2


def test_a_campaign_that_is_forbidden_itself_is_left_out(tmp_path: Path) -> None:
    """Where the key was good for another one, 403 is about the campaign."""
    world = World(b=[FORBIDDEN])
    shop = account(world, "a", "b", "c")

    run(world, shop, where=tmp_path)

    assert shop.failures == {"b": "it is forbidden"}
    assert [one for _, one, _ in world.asked] == ["a", "a", "b", "c", "c"]


def test_a_key_that_is_withdrawn_stops_its_workspace(tmp_path: Path) -> None:
    """401 is about the key, always."""
    world = World(b=[UNAUTHORIZED])
    shop = account(world, "a", "b", "c")

    run(world, shop, where=tmp_path)

    assert shop.stopped_by == "it is unauthorized"
    assert [one for _, one, _ in world.asked] == ["a", "a", "b"]


def test_a_long_wait_is_told(tmp_path: Path) -> None:
    """With the workspace that waits."""
    world = World()
    archive = PageCache(tmp_path)
    archive.begin(now=0.0)
    told: list[tuple[int, str]] = []

    Download(
        archive,
        now=world.now,
        wait=world.wait,
        draw=lambda: 0.5,
        waits=lambda seconds, name: told.append((round(seconds), name)),
    ).run([account(world, "a", rate=2)])

    assert told == [(30, "shop")]


@pytest.mark.parametrize("hours", [1, -1])
def test_a_wall_clock_that_was_set_stops_nothing(tmp_path: Path, hours: int) -> None:
    """Braze tells by its own clock when a window ends; ours was wrong by an hour."""
    world = World()
    off = hours * 3600.0
    low = BrazeResponse(DOCUMENT, 200, RateLimitHeaders(100, 20, world.at + off + 30))
    world._answers = {"": [low, low, GOOD]}
    jumps = [0.0] * 5 + [off]
    archive = PageCache(tmp_path)
    archive.begin(now=0.0)
    done: list[None] = []

    Download(
        archive,
        now=world.now,
        wait=world.wait,
        draw=lambda: 0.5,
        advanced=lambda: done.append(None),
        jump=lambda: jumps.pop(0) if jumps else 0.0,
        clock_set_by=lambda: 0.0 if jumps else off,
    ).run([account(world, "a", "b")])

    assert len(done) == 4
    assert world.at - 1_000_000.0 < 180
