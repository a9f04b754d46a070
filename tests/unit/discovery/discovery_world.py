"""A finder with a fake Braze, at a time that only the test moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from exporter.braze.responses import Body, BrazeResponse
from exporter.braze.session import Session
from exporter.discovery.catalogue import ObjectCatalogue
from exporter.discovery.documents import FULL_PAGE
from exporter.discovery.finder import ObjectFinder
from exporter.discovery.kinds import CAMPAIGN, ListedKind
from exporter.metrics.self_metrics import SelfMetrics
from exporter.model.config import WorkspaceConfig
from exporter.model.errors import FetchError, KeyRefused, Unavailable
from exporter.model.rate_limit_headers import RateLimitHeaders

from tests.support import polling_world
from tests.support.bodies import body_of
from tests.support.fake_clock import NOW, FakeClock
from tests.support.polling_world import FakeBraze, config, failure
from tests.support.queue_world import session_of

DOWN = failure(Unavailable, "server_error", status=503)
OF_BOTH = ("list_interval", "grace")
FORBIDDEN = failure(KeyRefused, "forbidden", status=403)


def workspace(
    listed: Sequence[object] = (), *, kind: ListedKind = CAMPAIGN, **options: object
) -> WorkspaceConfig:
    """Return a workspace that discovers one kind, with these options."""
    both = {name: options.pop(name) for name in OF_BOTH if name in options}
    rate = options.pop("requests_per_minute", 120)
    document = polling_world.workspace("", shared_requests_per_minute=rate)
    document |= {kind.plural: listed, "discover": {kind.plural: options, **both}}
    return config(document).workspaces[0]


class FakeListApi(FakeBraze):
    """Objects with these names, and their names in lower case as ids."""

    def __init__(self, *names: str, kind: ListedKind = CAMPAIGN) -> None:
        super().__init__()
        self.kind = kind
        self.objects: list[dict[str, object]] = [
            {"id": name.lower(), "name": name, "last_edited": "then"} for name in names
        ]
        self.details: dict[str, dict[str, object]] = {
            name.lower(): {"channels": ["email"]} for name in names
        }
        self.requested: list[str] = []
        """`page N` or a campaign id, of each request."""
        self.failures: list[FetchError | None] = []
        """How the next requests end; None: well."""
        self.headers = RateLimitHeaders(limit=1000, remaining=900, reset_at=NOW + 60)

    def fetch(
        self,
        path: str,
        params: Mapping[str, str | int],
        parse: Callable[[Body], object] = Body.document,
        cached: Callable[[int], object | None] = lambda _: None,
    ) -> BrazeResponse:
        del cached
        self.requests.append(params)
        kind = self.kind
        is_list = path == f"/{kind.list_path}"
        assert is_list or path == f"/{kind.details_path}"
        name = f"page {params['page']}" if is_list else str(params[kind.id_parameter])
        self.requested.append(name)
        self.during()
        failed = self.failures.pop(0) if self.failures else None
        if failed is not None:
            raise failed
        document: object = self.details.get(name)
        if is_list:
            start = int(params["page"]) * FULL_PAGE
            document = {kind.plural: self.objects[start : start + FULL_PAGE]}
        return BrazeResponse(parse(body_of(document)), 200, self.headers)

    def new_requests(self) -> list[str]:
        """Return what was requested since the previous call."""
        requested, self.requested = self.requested, []
        return requested


class DiscoveryWorld:
    """The finder of one workspace, its session and its metrics."""

    def __init__(
        self,
        *names: str,
        kind: ListedKind = CAMPAIGN,
        where: WorkspaceConfig | None = None,
        known: ObjectCatalogue | None = None,
        previous: DiscoveryWorld | None = None,
        **discover: Any,
    ) -> None:
        """Create a world, or with `previous` that of a daemon that was restarted."""
        self.clock: FakeClock = previous.clock if previous else FakeClock()
        self.api: FakeListApi = (
            previous.api if previous else FakeListApi(*names, kind=kind)
        )
        if previous:
            known = previous.finder.catalogue
        self.workspace = where or workspace(kind=kind, **discover)
        rate = self.workspace.shared_requests_per_minute
        self.session: Session | None = session_of(
            self.clock, self.api, spacing_seconds=60 / rate, concurrency=1
        )
        self.changes = 0
        """How often `on_change` was called."""
        self.metrics = SelfMetrics(version="0", served=tuple)
        self.finder: ObjectFinder = ObjectFinder(
            self.workspace,
            kind,
            session=lambda: self.session,
            on_change=self._count_change,
            metrics=self.metrics,
            clock=self.clock,
            random=lambda: 0.5,
            catalogue=known,
        )

    def _count_change(self) -> None:
        self.changes += 1

    def step(self) -> float:
        """Run a step; return in how many seconds the next one is due."""
        at = self.finder.step()
        assert at is not None
        return at - self.clock.time

    def run(self, *, seconds: float) -> None:
        """Step whenever a step is due."""
        end = self.clock.time + seconds
        while (wait := self.step()) <= end - self.clock.time:
            self.clock.advance(max(0.0, wait))
        self.clock.time = end

    def names(self) -> set[str]:
        return {one.name for one in self.finder.objects_of(self.workspace)}

    def metric(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(
            f"braze_exporter_{name}", {"workspace": "shop", **labels}
        )
