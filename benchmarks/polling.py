"""The ways to poll as processes; each prints its CPU time per poll.

`python -m benchmarks.polling WAY ENDPOINT OBJECTS` polls every campaign or canvas once
for each line that it reads, and prints the CPU of one poll in seconds.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial

from exporter.braze.proxies import ProxySettings
from exporter.config import schema
from exporter.metrics.self_metrics import SelfMetrics
from exporter.metrics.store import Store
from exporter.polling.poller import Poller
from exporter.polling.request_queue import PendingPoll
from exporter.polling.scheduler import Scheduler
from exporter.polling.workspaces import Workspaces
from exporter.system.clock import Clock

from benchmarks import braze, canvas_documents, documents, exporters
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

    def __init__(self, document: dict[str, object], *, objects: int) -> None:
        self._objects = objects
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
        parsed = schema.parse(
            json.dumps(document),
            file="measured.yaml",
            read_key=lambda _: braze.API_KEY,
            is_file=lambda _: False,
        )
        workspaces.apply(parsed.config)
        self._poller = Poller(
            workspaces.groups,
            store=self._store,
            metrics=metrics,
            pauses=workspaces.pauses,
            clock=clock,
        )

    def _now(self) -> float:
        return time.time() + self._ahead

    def poll_all(self) -> None:
        """Poll each object once.

        A first poll of a canvas goes on with requests for older days.
        """
        polled = 0
        while polled < self._objects:
            self._ahead += _STEP_SECONDS
            now = self._now()
            poll = self._polls.take()._replace(due_at=now, at=now)
            upcoming = self._poller.poll(poll)
            if upcoming is not None:  # else it waits in the queue, behind first polls
                self._polls.put(upcoming)
                polled += upcoming.request == 0

    def check(self) -> None:
        """Raise RuntimeError unless every object is up."""
        if not all(one.status.is_up and one.values for one in self._store.entries()):
            message = "some polls failed"
            raise RuntimeError(message)


class LoopWay:
    """The plain loop."""

    def __init__(self, endpoint: str, campaigns: int) -> None:
        self._ids = _campaign_ids(campaigns)
        self._loop = PlainLoop(endpoint, braze.API_KEY, windows=WINDOWS)

    def poll_all(self) -> None:
        """Poll each campaign once; what goes wrong is raised."""
        for number, campaign_id in enumerate(self._ids):
            self._loop.poll(campaign_id, exporters.campaign_name(number))

    def check(self) -> None:
        """Nothing: failures were raised already."""


def _campaign_ids(count: int) -> list[str]:
    return [documents.campaign_id(number) for number in range(count)]


def _campaigns(endpoint: str, count: int) -> ExporterWay:
    document = exporters.configuration(endpoint, _campaign_ids(count), interval="7d")
    return ExporterWay(document, objects=count)


def _canvases(endpoint: str, count: int, *, has_steps: bool) -> ExporterWay:
    ids = [canvas_documents.canvas_id(number) for number in range(count)]
    document = exporters.configuration(
        endpoint,
        [],
        interval="7d",
        canvases=[{"id": id_, "name": f"Canvas {id_}"} for id_ in ids],
        canvas_interval="7d",
        canvas_steps=has_steps,
        shared_requests_per_minute=4000,
    )
    most = {"limits": {"series_per_campaign": 100_000}}
    return ExporterWay({**document, **most}, objects=count)


WAYS: Mapping[str, Callable[[str, int], ExporterWay | LoopWay]] = {
    "exporter": _campaigns,
    "loop": LoopWay,
}
CANVAS_WAYS: Mapping[str, Callable[[str, int], ExporterWay]] = {
    "canvases": partial(_canvases, has_steps=False),
    "canvases with steps": partial(_canvases, has_steps=True),
}


def main(way: str, endpoint: str, objects: int) -> None:
    """Poll a round for each line of standard input."""
    polling = {**WAYS, **CANVAS_WAYS}[way](endpoint, objects)
    gc.freeze()  # as the daemon does: what was imported is no garbage
    for _ in sys.stdin:
        before = time.process_time()
        polling.poll_all()
        used = time.process_time() - before
        polling.check()
        sys.stdout.write(f"{used / objects}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
