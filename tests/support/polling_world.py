"""Workspaces, their poller and a fake Braze, at a time that only the test moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from exporter.braze.proxies import ProxySettings
from exporter.braze.responses import Body, BrazeResponse
from exporter.metrics.self_metrics import SelfMetrics
from exporter.metrics.store import Entry, ObjectKey, Store
from exporter.model.config import Config, ObjectConfig
from exporter.model.errors import (
    FailureReason,
    FetchError,
    KeyRefused,
    ObjectRefused,
    Throttled,
    Unavailable,
)
from exporter.model.rate_limit_headers import RateLimitHeaders
from exporter.polling.kinds import CAMPAIGN, Kind
from exporter.polling.object_group import ObjectGroup
from exporter.polling.poller import Poller
from exporter.polling.request_queue import PendingPoll
from exporter.polling.scheduler import Scheduler
from exporter.polling.workspaces import Workspaces
from exporter.series.kept import Kept

from tests.support.bodies import body_of
from tests.support.daemon_process import parsed
from tests.support.fake_clock import NOW, FakeClock
from tests.support.object_keys import key

EMPTY_DOCUMENT: dict[str, object] = {"message": "success", "data": []}


def workspace(ids: str = "abc", **changes: object) -> dict[str, object]:
    """Return a workspace as a configuration has it; campaign ids are single letters."""
    configured: dict[str, object] = {
        "name": "shop",
        "endpoint": "https://rest.iad-01.braze.com",
        "api_key_env": "KEY",
        "interval": "5m",
        "campaigns": [{"id": one, "name": f"Campaign {one}"} for one in ids],
    }
    return configured | changes


def config(*workspaces: dict[str, object], **changes: object) -> Config:
    return parsed({"workspaces": list(workspaces), **changes}, key="key")


def with_canvases(config: Config, ids: str, **changes: object) -> Config:
    """Return a configuration whose workspaces have canvases with these letters."""
    canvases = tuple(ObjectConfig(one, f"Canvas {one}", 900.0) for one in ids)
    workspaces = tuple(
        replace(one, canvases=canvases, **changes)  # type: ignore[arg-type]  # of several types
        for one in config.workspaces
    )
    return config._replace(workspaces=workspaces)


def failure(
    kind: type[FetchError],
    reason: str,
    *,
    status: int | None,
    headers: RateLimitHeaders | None = None,
    retry_after: float | None = None,
) -> FetchError:
    """Return a failure as the client raises it; without a status: no response."""
    return kind(
        "the message of the client",
        reason=FailureReason(reason),
        status=status,
        rate_limit=headers or (None if status is None else RateLimitHeaders()),
        retry_after_seconds=retry_after,
    )


WRONG_KEY = failure(KeyRefused, "unauthorized", status=401)
NOT_FOUND = failure(ObjectRefused, "not_found", status=404)
THROTTLED = failure(Throttled, "rate_limited", status=429)
TIMED_OUT = failure(Unavailable, "timeout", status=None)


class FakeBraze:
    """Returns the responses of a kind one after the other; the last one is repeated."""

    def __init__(self) -> None:
        self.responses: list[object] = [EMPTY_DOCUMENT]
        """Documents, and errors to raise, in response to polls of campaigns."""
        self.canvas_responses: list[object] = [EMPTY_DOCUMENT]
        self.headers = RateLimitHeaders()
        self.requests: list[Mapping[str, str | int]] = []
        self.documents_parsed = 0
        """How many documents were not found by their digests."""
        self.during: Callable[[], object] = lambda: None
        """Called once, while the next request is in flight."""

    @property
    def polled_ids(self) -> list[str]:
        return [str(one["campaign_id"]) for one in self.requests if is_campaign(one)]

    @property
    def canvas_requests(self) -> list[Mapping[str, str | int]]:
        return [one for one in self.requests if not is_campaign(one)]

    def fetch(
        self,
        path: str,
        params: Mapping[str, str | int],
        parse: Callable[[Body], object] = Body.document,
        cached: Callable[[int], object | None] = lambda _: None,
    ) -> BrazeResponse:
        assert path in {"/campaigns/data_series", "/canvas/data_series"}
        self.requests.append(params)
        during, self.during = self.during, lambda: None
        response = self.respond(params)
        if isinstance(response, Exception):
            during()
            raise response
        digest = hash(repr(response))
        found = cached(digest)
        if found is None:
            found = parse(body_of(response))
            self.documents_parsed += 1
        during()
        return BrazeResponse(found, status=200, rate_limit=self.headers, digest=digest)

    def respond(self, params: Mapping[str, str | int]) -> object:
        """Return the next response to a request with these parameters."""
        responses = self.responses if is_campaign(params) else self.canvas_responses
        return responses.pop(0) if len(responses) > 1 else responses[0]


def is_campaign(params: Mapping[str, str | int]) -> bool:
    """Return whether a request is not for a canvas."""
    return "canvas_id" not in params


class FakeScheduler(Scheduler):
    """Records what is scheduled; nothing runs automatically."""

    def __init__(self) -> None:
        super().__init__(lambda _: None)
        self.polls: dict[ObjectKey, PendingPoll] = {}
        self.history: list[PendingPoll] = []
        """All polls that were ever scheduled, in order."""
        self.threads: dict[str, int] = {}
        self.opened = 0
        self.clock_changes = 0

    def open(self, workspace: str, *, concurrency: int) -> None:
        self.opened += 1
        self.threads[workspace] = concurrency

    def close(self, workspace: str) -> None:
        del self.threads[workspace]

    def put(self, poll: PendingPoll) -> None:
        self.polls[poll.key] = poll
        self.history.append(poll)

    def drop(self, key: ObjectKey, /) -> None:
        self.polls.pop(key, None)

    def planned(self, key: ObjectKey) -> PendingPoll | None:
        return self.polls.get(key)

    def active_keys(self) -> set[ObjectKey]:
        return set(self.polls)

    def after_clock_set(self) -> None:
        self.clock_changes += 1


class PollingWorld:
    """All workspaces, polled by hand with `poll`, or on schedule with `run`."""

    def __init__(
        self, scheduler: Scheduler | None = None, *, clock: FakeClock | None = None
    ) -> None:
        self.clock = clock or FakeClock()
        self.braze = FakeBraze()
        self.scheduler = FakeScheduler()
        self.store = Store()
        self.metrics = SelfMetrics(version="0", served=tuple)
        self.keys: dict[str, str | None] = {}
        self.workspaces = Workspaces(
            scheduler=scheduler or self.scheduler,
            store=self.store,
            metrics=self.metrics,
            read_key=lambda source: self.keys.get(source.env or "", "key"),
            proxies=ProxySettings(),
            clock=self.clock,
            random=lambda: 0.5,
        )
        self.poller = Poller(
            self.workspaces.groups,
            store=self.store,
            metrics=self.metrics,
            pauses=self.workspaces.pauses,
            clock=self.clock,
        )

    def apply(
        self, config: Config, kept: Mapping[ObjectKey, Kept] | None = None
    ) -> None:
        """Apply a configuration; the fake Braze replaces every client."""
        self.workspaces.apply(
            config, {(*key,): one for key, one in (kept or {}).items()}
        )
        self._replace_clients()

    def refresh(self, name: str) -> None:
        self.workspaces.refresh(name)
        self._replace_clients()

    def _replace_clients(self) -> None:
        for one in self.workspaces.groups.values():
            one.session.client = self.braze

    def skip_first_round(self) -> None:
        """Remove all polls from the queue and the schedule."""
        for group in self.workspaces.groups.values():
            for remaining in ((), tuple(group.objects)):
                group.queue.reconfigure(remaining, now=self.clock.now())
        self.scheduler.polls.clear()
        self.scheduler.history.clear()

    def poll(
        self, *responses: object, poll: PendingPoll | None = None
    ) -> PendingPoll | None:
        """Run a poll a second later, or when it is due; its requests end like this."""
        due = poll or PendingPoll(key("a"), due_at=self.clock.time)
        if responses and due.key.kind == CAMPAIGN.name:
            self.braze.responses = list(responses)
        elif responses:
            self.braze.canvas_responses = list(responses)
        self.clock.time = max(self.clock.time + 1, due.at)
        return self.poller.poll(due)

    def run(self, *, until: float) -> None:
        """Run each scheduled poll when it is due, as the daemon does."""
        while self.scheduler.polls:
            poll = min(self.scheduler.polls.values(), key=lambda one: one.at)
            if poll.at > until:
                break
            del self.scheduler.polls[poll.key]
            self.clock.time = max(self.clock.time, poll.at)
            upcoming = self.poller.poll(poll)
            current = self.workspaces.groups.get((poll.workspace, poll.key.kind))
            if upcoming is not None and current is not None:
                current.queue.reschedule(upcoming)
        self.clock.time = until

    @property
    def shop(self) -> ObjectGroup:
        """The campaigns of the workspace `shop`."""
        return self.group(CAMPAIGN)

    def group(self, kind: Kind) -> ObjectGroup:
        return self.workspaces.groups["shop", kind.name]

    def entry(self, object_id: str = "a", *, kind: Kind = CAMPAIGN) -> Entry:
        entry = self.store.get(key(object_id, kind=kind.name))
        assert entry is not None
        return entry

    def metric(self, name: str, **labels: str) -> float:
        """Return a sample of the exporter's own metrics; 0 if there is none."""
        value = self.metrics.registry.get_sample_value(
            f"braze_exporter_{name}", {"workspace": "shop", **labels}
        )
        return value or 0.0

    def page(self) -> str:
        blocks = [
            some.text
            for entry in self.store.entries()
            for some in (entry.status_blocks, entry.values)
            if some is not None
        ]
        own = self.metrics.render(is_openmetrics=False)
        return (b"".join(blocks) + own).decode()


def new_world(ids: str = "a", **changes: object) -> PollingWorld:
    """Return a world whose campaigns wait for nothing: the test polls them."""
    world = PollingWorld()
    world.apply(config(workspace(ids, **changes)))
    world.skip_first_round()
    return world


def polled_world(ids: str = "abc", **changes: object) -> PollingWorld:
    """Return a world whose campaigns were all polled once, a minute ago."""
    world = PollingWorld()
    world.apply(config(workspace(ids, **changes)))
    world.run(until=NOW + 60)
    assert set(world.braze.polled_ids) == set(ids)
    world.braze.requests.clear()
    return world
