"""What the idle lane saves and costs in the simulator's mixed fleet, over a day.

The real fleet, line, poller and lanes run against the simulated Braze without sockets,
by a clock that jumps from poll to poll. `python -m tests.idle_fleet` prints the table
of docs/idle-lane.md; a test asks the same of a small fleet.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import urlencode

from exporter.braze.responses import BrazeResponse
from exporter.model.rate_limit_headers import RateLimitHeaders
from exporter.simulator import ALL_PERMISSIONS, Simulator, SimulatorSettings

from tests.support.daemon_process import parsed
from tests.unit.polling.test_workspaces import NOW, Room

HOUR = 3600.0
SETTLING_SECONDS = 2 * HOUR
"""The first round puts campaigns on their lanes; slots are regular after the second."""


class SimulatedRoom(Room):
    """A fleet that polls the simulator, and when it polled whom."""

    def __init__(self, *, campaigns: int, active: float) -> None:
        super().__init__()
        self.simulator = Simulator(
            SimulatorSettings(
                campaigns=campaigns, active_fraction=active, clock=lambda: self.now
            )
        )
        self.polls: dict[str, list[float]] = defaultdict(list)
        self.braze.fetch = self.fetch  # type: ignore[method-assign]  # a fake's fake

    def fetch(
        self,
        path: str,
        params: Mapping[str, str | int],
        read: Callable[[object], object] = lambda document: document,
        *_: object,
    ) -> BrazeResponse:
        """Answer as the simulator does."""
        self.polls[str(params["campaign_id"])].append(self.now)
        answer = self.simulator._api.respond(
            method="GET",
            path=path,
            query=urlencode(params),
            permissions=ALL_PERMISSIONS,
        )
        assert answer.status == 200
        return BrazeResponse(read(json.loads(answer.body)), 200, RateLimitHeaders())

    def open(self, *, idle_interval: str, requests_per_minute: float) -> None:
        """Begin to poll all campaigns."""
        workspace = {
            "name": "shop",
            "endpoint": "https://rest.iad-01.braze.com",
            "api_key_env": "KEY",
            "requests_per_minute": requests_per_minute,
            "idle_interval": idle_interval,
            "campaigns": [
                {"id": one.id, "name": one.name} for one in self.simulator.campaigns
            ],
        }
        self.apply(parsed({"workspaces": [workspace]}, key="key"))


@dataclass(frozen=True)
class Delay:
    """How long after something happened a poll sees it, in seconds."""

    mean: float
    most: float

    @classmethod
    def of(cls, polls: list[list[float]]) -> Delay | None:
        """Take any moment to be as likely as any other."""
        gaps = [b - a for times in polls for a, b in pairwise(times)]
        if not gaps:
            return None
        return cls(sum(gap * gap for gap in gaps) / (2 * sum(gaps)), max(gaps))


@dataclass(frozen=True)
class Measured:
    """What a fleet did."""

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
    """Run so many hours after the lanes have settled."""
    room = SimulatedRoom(campaigns=campaigns, active=active)
    room.open(idle_interval=idle_interval, requests_per_minute=requests_per_minute)
    begin = NOW + SETTLING_SECONDS
    room.run(until=begin)
    idle_ids = room.fleet.desks["shop"].lanes.idle_ids
    for times in room.polls.values():
        times.clear()
    room.run(until=begin + hours * HOUR)
    by_lane: dict[bool, list[list[float]]] = {True: [], False: []}
    for campaign_id, times in room.polls.items():
        by_lane[campaign_id in idle_ids].append(times)
    return Measured(
        idle_campaigns=len(idle_ids),
        requests_a_day=sum(map(len, room.polls.values())) * 24 / hours,
        active=Delay.of(by_lane[False]),
        idle=Delay.of(by_lane[True]),
    )


def main() -> None:
    """Print the table, a line as soon as it is known."""
    print(  # noqa: T201 - a script, too
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
            print(  # noqa: T201 - a script, too
                f"| {ceiling} | {interval} | {found.idle_campaigns} | "
                f"{found.requests_a_day:,.0f} | {' | '.join(cells)} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
