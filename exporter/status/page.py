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
from contextlib import contextmanager
from dataclasses import dataclass, replace

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from exporter.braze.rate_limit_view import RateLimitView, rate_limit_view
from exporter.discovery.view import DiscoveryView
from exporter.metrics.store import Entry, ObjectKey
from exporter.polling.object_group import GroupKey, ObjectGroup
from exporter.polling.request_queue import QueueState
from exporter.polling.sharding import Shard
from exporter.series.deliverability import Level
from exporter.status import query, sparkline, texts
from exporter.status.api import document_chunks
from exporter.status.view_model import (
    CampaignView,
    Overview,
    WorkspaceView,
    campaign_view,
    next_poll,
    today_in,
)
from exporter.web.settings import WebSettings


@dataclass(kw_only=True)
class StatusPage:
    """Takes snapshots of the daemon's state; called by one thread at a time."""

    entries: Callable[[], tuple[Entry, ...]]
    groups: Mapping[GroupKey, ObjectGroup]
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
            "PAGE_SIZES": query.PAGE_SIZES,
            "sparkline": sparkline,
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

        The garbage collector is off meanwhile: a snapshot of 10,000 campaigns has
        100,000 small objects without reference cycles, and repeated collections would
        block all other responses for half a second each.
        """
        is_gc_enabled = gc.isenabled()
        gc.disable()
        renderer = OverviewRenderer(
            self._overview(),
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
        workspaces: list[WorkspaceView] = []
        campaigns: list[CampaignView] = []
        for key, group in dict(self.groups).items():
            state = group.queue.state(now=now - wall_offset)
            queue = _on_wall_clock(state, wall_offset)
            discovery = discoveries.get(key)
            idle_ids = group.idle.idle_ids
            timezone = group.plan.workspace.timezone
            own_campaigns = [
                campaign_view(
                    entry,
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
            campaigns += own_campaigns
            workspaces.append(
                WorkspaceView(
                    plan=group.idle.plan,
                    pause=queue.pause,
                    rate_limits=tuple(_rate_limits(queue, discovery, now, wall_offset)),
                    states=Counter(one.state for one in own_campaigns),
                    waiting=len(queue.positions),
                    idle=len(idle_ids),
                    discovery=discovery,
                )
            )
        return Overview(now, tuple(workspaces), tuple(campaigns), self.shard)


@dataclass
class OverviewRenderer:
    """Renders one overview."""

    overview: Overview
    template: Template
    is_ready: bool
    version: str

    def page(self, query_string: str, settings: WebSettings) -> Iterable[str]:
        """Return the HTML page of the campaigns that a query string selects."""
        overview = self.overview
        page = query.page_of(overview.campaigns, query.parse_query(query_string))
        totals = {
            state: sum(query.is_in(one, state) for one in overview.campaigns)
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
        """Return the JSON of all campaigns that a query string selects."""
        return document_chunks(
            self.overview,
            query.select(self.overview.campaigns, query.parse_query(query_string)),
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
    queue: QueueState, discovery: DiscoveryView | None, now: float, wall_offset: float
) -> Iterator[RateLimitView]:
    budget = queue.budget
    if budget.bucket.is_used:
        yield rate_limit_view(budget, queue.endpoint, now=now, wall_offset=wall_offset)
    if discovery and discovery.rate_limit:
        yield discovery.rate_limit


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
