"""What idle intervals save and cost in the simulator's mixed fleet, over a day.

Workspaces, queue and poller run against the simulated API without sockets, by a clock
that jumps from poll to poll. `python -m tests.support.idle_fleet` prints the table of
docs/idle-lane.md; a test runs a small fleet.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import urlencode

from exporter.simulator.api import Api
from exporter.simulator.settings import ALL_PERMISSIONS, SimulatorSettings

from tests.support.fake_clock import NOW, FakeClock
from tests.support.polling_world import FakeBraze, PollingWorld, config, workspace

HOUR = 3600.0
SETTLING_SECONDS = 2 * HOUR
"""The first round finds idle campaigns; slots are regular after the second."""


class SimulatedBraze(FakeBraze):
    """Responds as the simulator does, and records when each campaign was polled."""

    def __init__(self, clock: FakeClock, *, campaigns: int, active: float) -> None:
        super().__init__()
        self._clock = clock
        self.api = Api(
            SimulatorSettings(
                campaigns=campaigns, active_fraction=active, clock=clock.now
            )
        )
        self.polls: dict[str, list[float]] = defaultdict(list)

    def respond(self, params: Mapping[str, str | int]) -> object:
        """Return the document of a campaign."""
        self.polls[str(params["campaign_id"])].append(self._clock.now())
        response = self.api.respond(
            method="GET",
            path="/campaigns/data_series",
            query=urlencode(params),
            permissions=ALL_PERMISSIONS,
        )
        assert response.status == 200
        return json.loads(response.body)


@dataclass(frozen=True)
class Delay:
    """How long an event is not seen by a poll, in seconds."""

    mean: float
    most: float

    @classmethod
    def of(cls, polls: list[list[float]]) -> Delay | None:
        """Return the delay of events that are spread evenly; None: too few polls."""
        gaps = [b - a for times in polls for a, b in pairwise(times)]
        if not gaps:
            return None
        return cls(sum(gap * gap for gap in gaps) / (2 * sum(gaps)), max(gaps))


@dataclass(frozen=True)
class Measured:
    """The polls of a fleet."""

    idle_campaigns: int
    requests_a_day: float
    active: Delay | None
    idle: Delay | None


def measure(
    *,
    campaigns: int,
    active: float,
    idle_interval: str,
    requests_per_minute: float,
    hours: float,
) -> Measured:
    """Poll a fleet for so many hours, after it has settled."""
    world = PollingWorld()
    world.braze = braze = SimulatedBraze(
        world.clock, campaigns=campaigns, active=active
    )
    shop = workspace(
        requests_per_minute=requests_per_minute,
        idle_interval=idle_interval,
        campaigns=[{"id": one.id, "name": one.name} for one in braze.api.campaigns],
    )
    world.apply(config(shop))
    begin = NOW + SETTLING_SECONDS
    world.run(until=begin)
    idle_ids = world.shop.idle.idle_ids
    braze.polls.clear()
    world.run(until=begin + hours * HOUR)
    idle = [times for id_, times in braze.polls.items() if id_ in idle_ids]
    active_ = [times for id_, times in braze.polls.items() if id_ not in idle_ids]
    return Measured(
        idle_campaigns=len(idle_ids),
        requests_a_day=sum(map(len, braze.polls.values())) * 24 / hours,
        active=Delay.of(active_),
        idle=Delay.of(idle),
    )


def main() -> None:
    """Print the table, each line as soon as it is measured."""
    print(  # noqa: T201 - a script
        "| ceiling | idle_interval | idle | requests a day | active | idle |"
    )
    for ceiling in (240, 120):
        for interval, hours in (("1h", 6.0), ("15m", 2.0), ("5m", 1.0)):
            found = measure(
                campaigns=1000,
                active=0.1,
                idle_interval=interval,
                requests_per_minute=ceiling,
                hours=hours,
            )
            cells = [
                f"{delay.mean / 60:.1f} / {delay.most / 60:.1f} min" if delay else "-"
                for delay in (found.active, found.idle)
            ]
            print(  # noqa: T201 - a script
                f"| {ceiling} | {interval} | {found.idle_campaigns} | "
                f"{found.requests_a_day:,.0f} | {' | '.join(cells)} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
