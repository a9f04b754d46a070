"""The simulator's mixed fleet, polled with and without an idle interval.

Workspaces, queue and poller run against the simulated API without sockets, by a clock
that jumps from poll to poll. docs/operations.md has figures of larger fleets.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from itertools import pairwise
from urllib.parse import urlencode

import pytest
from exporter.simulator.api import Api
from exporter.simulator.settings import ALL_PERMISSIONS, SimulatorSettings

from tests.support.fake_clock import NOW, FakeClock
from tests.support.polling_world import FakeBraze, PollingWorld, config, workspace

pytestmark = pytest.mark.slow

HOUR = 3600.0
SETTLED_AT = NOW + 2 * HOUR
"""The first round finds idle campaigns; slots are regular after the second."""
COUNT = 50


class SimulatedBraze(FakeBraze):
    """Responds as the simulator does, and records when each campaign was polled."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock
        self.api = Api(
            SimulatorSettings(campaigns=COUNT, active_fraction=0.0, clock=clock.now)
        )
        self.polls: dict[str, list[float]] = defaultdict(list)

    def respond(self, params: Mapping[str, str | int]) -> object:
        self.polls[str(params["campaign_id"])].append(self._clock.now())
        response = self.api.respond(
            method="GET",
            path="/campaigns/data_series",
            query=urlencode(params),
            permissions=ALL_PERMISSIONS,
        )
        assert response.status == 200
        return json.loads(response.body)


class Polls:
    """The polls of a fleet during some hours, after it has settled."""

    def __init__(self, *, ceiling: float, idle_interval: str, hours: float) -> None:
        world = PollingWorld()
        world.braze = braze = SimulatedBraze(world.clock)
        shop = workspace(
            requests_per_minute=ceiling,
            idle_interval=idle_interval,
            campaigns=[{"id": one.id, "name": one.name} for one in braze.api.campaigns],
        )
        world.apply(config(shop))
        world.run(until=SETTLED_AT)
        self.idle_ids = world.shop.idle.idle_ids
        braze.polls.clear()
        world.run(until=SETTLED_AT + hours * HOUR)
        self._polls = braze.polls
        self.a_day = sum(map(len, self._polls.values())) * 24 / hours

    def longest_gap(self, *, is_idle: bool) -> float:
        return max(
            later - earlier
            for id_, times in self._polls.items()
            if (id_ in self.idle_ids) is is_idle
            for earlier, later in pairwise(times)
        )


def test_idle_intervals_save_most_requests_of_an_idle_fleet() -> None:
    """Active campaigns are polled as often as without them, idle ones hourly."""
    with_idle = Polls(ceiling=120, idle_interval="1h", hours=2)
    without = Polls(ceiling=120, idle_interval="5m", hours=1)

    idle = len(with_idle.idle_ids)
    assert 25 < idle < COUNT
    assert without.a_day == COUNT * 288
    assert with_idle.a_day == (COUNT - idle) * 288 + idle * 24
    assert 299 < with_idle.longest_gap(is_idle=False) < 301
    assert 3599 < with_idle.longest_gap(is_idle=True) < 3601


def test_idle_intervals_keep_active_campaigns_from_being_stretched() -> None:
    """Under a ceiling that is too low for all campaigns."""
    with_idle = Polls(ceiling=6, idle_interval="1h", hours=1)
    without = Polls(ceiling=6, idle_interval="5m", hours=1)

    assert with_idle.longest_gap(is_idle=False) < 330
    assert without.longest_gap(is_idle=False) > 500
