"""Polls of canvases and discovery share one bucket of Braze, over simulated hours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from exporter.braze.responses import Body, BrazeResponse, rate_limit_of
from exporter.commands import check
from exporter.discovery.finder import ObjectFinder
from exporter.discovery.kinds import CAMPAIGN, CANVAS, ListedKind
from exporter.simulator.rate_limit import RateLimitWindow
from exporter.simulator.settings import RateLimit

from tests.support.bodies import body_of
from tests.support.daemon_process import written
from tests.support.fake_clock import NOW, FakeClock
from tests.support.polling_world import PollingWorld, config, workspace

HOUR = 3600.0
CANVASES = 500
PAGE = 100
LISTED = 300
"""Objects of each kind on the lists of Braze."""


class SharedBucket:
    """Braze with one window of an hour for everything but campaign analytics."""

    def __init__(self, clock: FakeClock, *, limit: int) -> None:
        self.clock = clock
        self.limit = limit
        self.window = RateLimitWindow(RateLimit(limit, 3600))
        self.spent_by_others = 0
        """Since the last response."""
        self.requests: list[tuple[float, str]] = []
        """(time, path) of all requests to the bucket."""
        self.left_to_others: list[int] = []
        """What each request left in the bucket, but for what others spent unseen."""
        self.campaign_polls = 0

    def spend_for_others(self) -> None:
        self.window.spend(self.clock.wall())
        self.spent_by_others += 1

    def fetch(
        self,
        path: str,
        params: Mapping[str, str | int],
        parse: Callable[[Body], object] = Body.document,
        cached: Callable[[int], object | None] = lambda _: None,
    ) -> BrazeResponse:
        del cached
        if path == "/campaigns/data_series":
            self.campaign_polls += 1
            return BrazeResponse(parse(body_of({"data": []})), 200, rate_limit_of({}))
        is_allowed, headers = self.window.spend(self.clock.wall())
        assert is_allowed
        self.requests.append((self.clock.time, path))
        remaining = int(headers["X-RateLimit-Remaining"])
        self.left_to_others.append(remaining + self.spent_by_others)
        self.spent_by_others = 0
        document = parse(body_of(self._document(path, params)))
        return BrazeResponse(document, 200, rate_limit_of(headers))

    def _document(self, path: str, params: Mapping[str, str | int]) -> object:
        if path == "/canvas/data_series":
            end = datetime.fromisoformat(str(params["ending_at"])).date()
            days = (end - timedelta(days=age) for age in range(14))
            rows = [{"time": str(day), "total_stats": {"entries": 3}} for day in days]
            return {"data": {"stats": rows}}
        if path.endswith("/list"):
            first = int(params["page"]) * PAGE
            page = range(first, min(first + PAGE, LISTED))
            kind = CANVAS if path == f"/{CANVAS.list_path}" else CAMPAIGN
            listed = [{"id": f"{n}", "name": f"N {n}", "tags": []} for n in page]
            return {kind.plural: listed}
        return {"channels": ["email"], "enabled": True, "draft": False}


class World(PollingWorld):
    """A workspace with many canvases, and the finders of both kinds."""

    def __init__(self, document: dict[str, Any], *, limit: int) -> None:
        super().__init__()
        self.bucket = SharedBucket(self.clock, limit=limit)
        self.random = Random(1)
        found = config(document, windows=["7d", "28d"])
        self.apply(found)
        (shop,) = found.workspaces
        self.finders = {kind: self._finder(shop, kind) for kind in (CAMPAIGN, CANVAS)}
        self.steps = dict.fromkeys(self.finders, NOW)

    def _finder(self, shop: Any, kind: ListedKind) -> ObjectFinder:
        return ObjectFinder(
            shop,
            kind,
            session=lambda: self.shop.session,
            on_change=lambda: None,
            metrics=self.metrics,
            clock=self.clock,
            random=lambda: 0.5,
        )

    def _replace_clients(self) -> None:
        for one in self.workspaces.groups.values():
            one.session.client = self.bucket

    def run_all(self, *, until: float, others_per_second: float = 0.0) -> None:
        """Run polls and steps of discovery in the order in which they are due."""
        while True:
            kind = min(self.steps, key=lambda one: self.steps[one])
            at = min(self.steps[kind], *(one.at for one in self._polls()))
            if at > until:
                break
            missing = self.random.random() * 2 * others_per_second
            for _ in range(round(missing * max(at - self.clock.time, 0))):
                self.bucket.spend_for_others()
            if self.steps[kind] <= at:
                self.clock.time = max(self.clock.time, at)
                self.steps[kind] = self.finders[kind].step() or until + 1
            else:
                self.run(until=at)
        self.clock.time = until

    def _polls(self) -> Iterator[Any]:
        return iter(tuple(self.scheduler.polls.values()))

    def requests(self, path: str, *, since: float, until: float) -> int:
        """Return how many requests began in an interval, of paths with this part."""
        times = [at for at, one in self.bucket.requests if path in one]
        return sum(since <= at < until for at in times)


def document(**changes: Any) -> dict[str, Any]:
    canvases = [{"id": f"c{n}", "name": f"Canvas {n}"} for n in range(CANVASES)]
    both = {"campaigns": {"max": LISTED}, "canvases": {"max": LISTED}}
    return workspace(
        "ab", canvases=canvases, discover={**both, "list_interval": "15m"}, **changes
    )


@pytest.mark.slow
def test_requests_per_hour_are_those_that_check_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """500 canvases every 15 minutes with a window of 28 days, beside discovery.

    After the first hour, in which all older days are read for the first time.
    """
    shop = document(shared_requests_per_minute=70)
    file = written(
        tmp_path / "c.yaml", {"workspaces": [shop], "windows": ["7d", "28d"]}
    )
    check.main([file], {})
    printed = capsys.readouterr().out
    shown = re.search(r"(\d+) for canvases, .*up to (\d+) for discovery", printed)
    assert shown
    world = World(shop, limit=250_000)

    world.run_all(until=NOW + 4 * HOUR)

    for hour in range(1, 4):
        about = {"since": NOW + hour * HOUR, "until": NOW + (hour + 1) * HOUR}
        polls = world.requests("/canvas/data_series", **about)
        assert polls == pytest.approx(int(shown[1]), rel=0.05)
        lists = world.requests("/list", **about) + world.requests("/details", **about)
        assert 0 < lists <= int(shown[2])
    starts = sorted(at for at, _ in world.bucket.requests)
    assert all(later - at > 60 / 71 for at, later in pairwise(starts))
    canvases = {
        key
        for key, entry in ((one.key, one) for one in world.store.entries())
        if entry.snapshot and [n for n, _ in entry.snapshot.trailing] == [7, 28]
    }
    assert len(canvases) == CANVASES


@pytest.mark.slow
@pytest.mark.parametrize("others_per_second", [0.0, 0.4])
def test_the_reserve_of_the_shared_bucket_is_left_to_others(
    others_per_second: float,
) -> None:
    """Braze's limit is too low for all polls, and others spend from it, too."""
    limit, reserve = 2000, 0.3
    world = World(document(shared_requests_per_minute=600, reserve="30%"), limit=limit)

    world.run_all(until=NOW + 2 * HOUR, others_per_second=others_per_second)

    least = min(world.bucket.left_to_others)
    assert reserve * limit <= least < reserve * limit + 5
    polls = world.requests("/canvas/data_series", since=NOW, until=NOW + 2 * HOUR)
    assert polls > CANVASES
    # Campaigns draw on another bucket.
    assert world.bucket.campaign_polls >= 2 * 2 * 12
