"""The status page: builds an overview and renders it as HTML or JSON.

This module is imported on the first request for the page, since Jinja2 is slow to
import. The template engine escapes all values.
"""

from __future__ import annotations

import gc
import hashlib
from base64 import b64encode
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from exporter.braze.rate_limit_view import RateLimitView, rate_limit_view
from exporter.braze.session import SHARED
from exporter.discovery.view import DiscoveryView
from exporter.metrics.store import Entry, ObjectKey
from exporter.polling.kinds import KINDS
from exporter.polling.object_group import GroupKey, ObjectGroup
from exporter.polling.request_queue import QueueState
from exporter.polling.sharding import Shard
from exporter.series.deliverability import Level
from exporter.status import query, series_text, sparkline, texts
from exporter.status.api import document_chunks
from exporter.status.view_model import (
    GroupView,
    ObjectView,
    Overview,
    WorkspaceView,
    next_poll,
    object_view,
    today_in,
)
from exporter.web.settings import WebSettings


@dataclass(kw_only=True)
class StatusPage:
    """Takes snapshots of the daemon's state; called by one thread at a time."""

    entries: Callable[[], tuple[Entry, ...]]
    groups: Mapping[GroupKey, ObjectGroup]
    unchanged: Callable[[], AbstractContextManager[None]]
    """Returns a context in which no other configuration is applied."""
    discoveries: Callable[[], Mapping[GroupKey, DiscoveryView]]
    shard: Shard | None = None
    planned: Callable[[], Mapping[ObjectKey, float]]
    now: Callable[[], float]
    wall_offset: Callable[[], float]
    """Returns how many seconds the wall clock is ahead of `now`."""
    is_ready: Callable[[], bool]
    version: str

    def __post_init__(self) -> None:
        loader = PackageLoader("exporter.status")
        environment = Environment(
            loader=loader,
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.globals |= {
            "texts": texts,
            "STATES": query.STATES,
            "SORTS": query.SORTS,
            "KINDS": query.KINDS,
            "PAGE_SIZES": query.PAGE_SIZES,
            "sparkline": sparkline,
            "series_value": series_text.value,
            "Level": Level,
            "replace": replace,
        }
        style, script = (
            loader.get_source(environment, name)[0]
            for name in ("status.css", "status.js")
        )
        # Files of this package; the policy allows them by their hashes.
        environment.globals |= {"style": Markup(style), "script": Markup(script)}  # noqa: S704
        self.policy = _policy(style=style, script=script)
        self._template = environment.get_template("status.html")

    @contextmanager
    def snapshot(self) -> Iterator[OverviewRenderer]:
        """Take a snapshot, which is released at the end of the context.

        The garbage collector is off meanwhile: a snapshot of 10,000 objects has
        100,000 small objects without reference cycles, and repeated collections would
        block all other responses for half a second each.
        """
        is_gc_enabled = gc.isenabled()
        gc.disable()
        with self.unchanged():  # no page shows two configurations
            overview = self._overview()
        renderer = OverviewRenderer(
            overview,
            self._template,
            is_ready=self.is_ready(),
            version=self.version,
        )
        try:
            yield renderer
        finally:
            renderer.overview = Overview(renderer.overview.at, (), ())
            if is_gc_enabled:
                gc.enable()

    def _overview(self) -> Overview:
        wall_offset = self.wall_offset()
        now = self.now() + wall_offset
        planned = {key: at + wall_offset for key, at in self.planned().items()}
        discoveries = self.discoveries()
        entries: dict[GroupKey, list[Entry]] = defaultdict(list)
        for entry in self.entries():
            entries[entry.key.workspace, entry.key.kind].append(entry)
        by_workspace: dict[str, list[tuple[GroupView, QueueState]]] = defaultdict(list)
        objects: list[ObjectView] = []
        for key, group in dict(self.groups).items():
            state = group.queue.state(now=now - wall_offset)
            queue = _on_wall_clock(state, wall_offset)
            idle_ids = group.idle.idle_ids
            timezone = group.plan.workspace.timezone
            own_objects = [
                object_view(
                    entry,
                    kind=group.kind,
                    next_poll=next_poll(
                        queue,
                        entry.labels.id,
                        planned_at=planned.get(entry.key),
                        now=now,
                    ),
                    is_paused=queue.pause is not None,
                    is_overdue=entry.is_overdue(now=now - wall_offset),
                    is_idle=entry.labels.id in idle_ids,
                    today=today_in(timezone, now=now),
                )
                for entry in entries[key]
            ]
            objects += own_objects
            view = GroupView(
                plan=group.idle.plan,
                pause=queue.pause,
                states=Counter(one.state for one in own_objects),
                waiting=len(queue.positions),
                idle=len(idle_ids),
            )
            by_workspace[group.name].append((view, queue))
        workspaces = []
        for name, pairs in by_workspace.items():
            pairs.sort(key=lambda pair: KINDS.index(pair[0].kind))
            found = [discoveries.get((name, kind.name)) for kind in KINDS]
            own = tuple(one for one in found if one is not None)
            limits = _rate_limits(pairs, own, now=now, wall_offset=wall_offset)
            workspaces.append(
                WorkspaceView(
                    config=pairs[0][0].plan.workspace,
                    all_groups=tuple(group for group, _ in pairs),
                    rate_limits=tuple(limits),
                    discoveries=own,
                )
            )
        return Overview(now, tuple(workspaces), tuple(objects), self.shard)


@dataclass
class OverviewRenderer:
    """Renders one overview."""

    overview: Overview
    template: Template
    is_ready: bool
    version: str

    def page(self, query_string: str, settings: WebSettings) -> Iterable[str]:
        """Return the HTML page of the objects that a query string selects."""
        overview = self.overview
        page = query.page_of(overview.objects, query.parse_query(query_string))
        totals = {
            state: sum(query.is_in(one, state) for one in overview.objects)
            for state in query.STATES
        }
        return self.template.generate(
            overview=overview,
            now=overview.at,
            query=page.query,
            page=page,
            totals=totals,
            settings=settings,
            is_ready=self.is_ready,
            version=self.version,
        )

    def document(self, query_string: str) -> Iterable[str]:
        """Return the JSON of all objects that a query string selects."""
        return document_chunks(
            self.overview,
            query.select(self.overview.objects, query.parse_query(query_string)),
            version=self.version,
            is_ready=self.is_ready,
        )


def _on_wall_clock(queue: QueueState, wall_offset: float) -> QueueState:
    pause = queue.pause
    return queue._replace(
        pause=pause and pause._replace(probe_at=pause.probe_at + wall_offset),
        earliest=queue.earliest + wall_offset,
    )


def _rate_limits(
    groups: Iterable[tuple[GroupView, QueueState]],
    discoveries: Iterable[DiscoveryView],
    *,
    now: float,
    wall_offset: float,
) -> Iterator[RateLimitView]:
    """Yield the limit of each bucket with the paths that share it."""
    # All kinds are discovered within one bucket.
    limits = [one.rate_limit for one in discoveries if one.rate_limit]
    of_discovery = None
    if limits:
        paths = ", ".join(one.endpoint for one in limits)
        of_discovery = replace(limits[0], endpoint=paths)
    by_bucket: dict[str, list[QueueState]] = defaultdict(list)
    for group, queue in groups:
        by_bucket[group.kind.bucket].append(queue)
    for bucket, queues in by_bucket.items():
        budget = queues[0].budget
        if not budget.bucket.is_used:
            continue
        endpoints = [one.endpoint for one in queues]
        if of_discovery and bucket == SHARED:
            endpoints.append(of_discovery.endpoint)
            of_discovery = None
        endpoint = ", ".join(endpoints)
        yield rate_limit_view(budget, endpoint, now=now, wall_offset=wall_offset)
    if of_discovery:
        yield of_discovery


def _policy(*, style: str, script: str) -> str:
    """Return the policy: the page's own style and script, and no other resource."""
    return (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        "connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{b64encode(digest).decode()}'"
