"""The two ways to poll as processes; each prints its CPU time per poll.

`python -m benchmarks.polling WAY ENDPOINT CAMPAIGNS` polls every campaign once for each
line that it reads, and prints the CPU of one poll in seconds.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from exporter.braze.proxies import ProxySettings
from exporter.config import schema
from exporter.metrics.self_metrics import SelfMetrics
from exporter.metrics.store import Store
from exporter.polling.poller import Poller
from exporter.polling.request_queue import PendingPoll
from exporter.polling.scheduler import Scheduler
from exporter.polling.workspaces import Workspaces
from exporter.system.clock import Clock

from benchmarks import braze, documents, exporters
from benchmarks.plain_loop import PlainLoop

WINDOWS = (7, 28)
_STEP_SECONDS = 1.0
"""Between two polls, by the clock that the budget goes by."""


class _PendingPolls(Scheduler):
    """Keeps scheduled polls until they are taken, whenever they are due."""

    def __init__(self) -> None:
        super().__init__(lambda _: None)
        self._planned: dict[str, PendingPoll] = {}

    def put(self, poll: PendingPoll) -> None:
        self._planned[poll.object_id] = poll

    def take(self) -> PendingPoll:
        """Return the poll that is due first."""
        first = min(self._planned.values(), key=lambda poll: poll.at)
        return self._planned.pop(first.object_id)


class ExporterWay:
    """The exporter's own client, poller and store, without scheduler and server."""

    def __init__(self, endpoint: str, ids: Sequence[str]) -> None:
        self._ids = ids
        self._ahead = 0.0
        self._polls = _PendingPolls()
        self._store = Store()
        metrics = SelfMetrics(version="0", served=tuple)
        clock = Clock(wall=self._now, steady=self._now)
        workspaces = Workspaces(
            scheduler=self._polls,
            store=self._store,
            metrics=metrics,
            read_key=lambda _: braze.API_KEY,
            proxies=ProxySettings(),
            clock=clock,
            random=lambda: 0.5,
        )
        document = exporters.configuration(endpoint, ids, interval="7d")
        parsed = schema.parse(
            json.dumps(document),
            file="measured.yaml",
            read_key=lambda _: braze.API_KEY,
            is_file=lambda _: False,
        )
        workspaces.apply(parsed.config)
        self._poller = Poller(
            workspaces.groups, store=self._store, metrics=metrics, clock=clock
        )

    def _now(self) -> float:
        return time.time() + self._ahead

    def poll_all(self) -> None:
        """Poll each campaign once; RuntimeError unless its numbers are stored."""
        for _ in self._ids:
            self._ahead += _STEP_SECONDS
            now = self._now()
            poll = self._polls.take()._replace(due_at=now, at=now)
            upcoming = self._poller.poll(poll)
            if upcoming is None:
                message = "a poll did not end as it should"
                raise RuntimeError(message)
            self._polls.put(upcoming)

    def check(self) -> None:
        """Raise RuntimeError unless every campaign is up."""
        if not all(one.status.is_up and one.values for one in self._store.entries()):
            message = "some polls failed"
            raise RuntimeError(message)


class LoopWay:
    """The plain loop."""

    def __init__(self, endpoint: str, ids: Sequence[str]) -> None:
        self._ids = ids
        self._loop = PlainLoop(endpoint, braze.API_KEY, windows=WINDOWS)

    def poll_all(self) -> None:
        """Poll each campaign once; what goes wrong is raised."""
        for number, campaign_id in enumerate(self._ids):
            self._loop.poll(campaign_id, exporters.campaign_name(number))

    def check(self) -> None:
        """Nothing: failures were raised already."""


WAYS: Mapping[str, Callable[[str, Sequence[str]], ExporterWay | LoopWay]] = {
    "exporter": ExporterWay,
    "loop": LoopWay,
}


def main(way: str, endpoint: str, campaigns: int) -> None:
    """Poll a round for each line of standard input."""
    ids = [documents.campaign_id(number) for number in range(campaigns)]
    polling = WAYS[way](endpoint, ids)
    gc.freeze()  # as the daemon does: what was imported is no garbage
    for _ in sys.stdin:
        before = time.process_time()
        polling.poll_all()
        used = time.process_time() - before
        polling.check()
        sys.stdout.write(f"{used / campaigns}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
