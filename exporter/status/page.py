"""The status page: builds an overview and renders it as HTML or JSON.

This module is imported on the first request for the page, since Jinja2 is slow to
import. The template engine escapes all values.
"""

from __future__ import annotations

import gc
import hashlib
from base64 import b64encode
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from exporter.braze.rate_limit_view import rate_limit_view
from exporter.discovery.view import DiscoveryView
from exporter.metrics.store import Entry, ObjectKey
from exporter.polling.request_queue import RequestQueue
from exporter.polling.sharding import Shard
from exporter.polling.workspace import Workspace
from exporter.series.deliverability import Level
from exporter.status import query, sparkline, texts
from exporter.status.api import document_chunks
from exporter.status.view_model import (
    CampaignView,
    Overview,
    PauseView,
    QueueView,
    campaign_view,
    today_in,
    workspace_view,
)
from exporter.web.routes import Links


class StatusPage:
    """Takes snapshots of the daemon's state; called by one thread at a time."""

    def __init__(  # noqa: PLR0913 - the sources of all that the page shows
        self,
        *,
        entries: Callable[[], tuple[Entry, ...]],
        workspaces: Mapping[str, Workspace],
        discoveries: Callable[[], Mapping[str, DiscoveryView]],
        shard: Shard | None = None,
        planned: Callable[[], Mapping[ObjectKey, float]],
        now: Callable[[], float],
        wall_offset: Callable[[], float],
        is_ready: Callable[[], bool],
        version: str,
    ) -> None:
        """`wall_offset` returns how many seconds the wall clock is ahead of `now`."""
        self._entries = entries
        self._workspaces = workspaces
        self._discoveries = discoveries
        self._shard = shard
        self._planned = planned
        self._now = now
        self._wall_offset = wall_offset
        self._is_ready = is_ready
        self._version = version
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
            is_ready=self._is_ready(),
            version=self._version,
        )
        try:
            yield renderer
        finally:
            renderer.release()
            if is_gc_enabled:
                gc.enable()

    def _overview(self) -> Overview:
        now, wall_offset = self._now(), self._wall_offset()
        planned = self._planned()
        workspaces = dict(self._workspaces)
        queues = {
            name: queue_view(workspace.queue, now=now, wall_offset=wall_offset)
            for name, workspace in workspaces.items()
        }
        days = {
            name: today_in(workspace.plan.workspace.timezone, now=now + wall_offset)
            for name, workspace in workspaces.items()
        }
        idle_ids = {
            name: workspace.idle.idle_ids for name, workspace in workspaces.items()
        }
        campaigns: dict[str, list[CampaignView]] = defaultdict(list)
        for entry in self._entries():
            name, campaign_id = entry.key
            queue = queues.get(name)
            if queue is None:
                continue  # the workspace is being added or removed
            at = planned.get(entry.key)
            next_poll = queue.next_poll(
                campaign_id,
                planned_at=None if at is None else at + wall_offset,
                now=now + wall_offset,
            )
            campaigns[name].append(
                campaign_view(
                    entry.labels,
                    entry.status,
                    entry.snapshot,
                    next_poll=next_poll,
                    is_paused=queue.pause is not None,
                    is_idle=campaign_id in idle_ids[name],
                    today=days[name],
                    series=entry.series,
                )
            )
        discoveries = self._discoveries()
        return Overview(
            at=now + wall_offset,
            workspaces=tuple(
                workspace_view(
                    workspace.idle.plan,
                    queues[name],
                    idle=len(idle_ids[name]),
                    discovery=discoveries.get(name),
                    campaigns=campaigns[name],
                )
                for name, workspace in workspaces.items()
            ),
            campaigns=tuple(one for name in workspaces for one in campaigns[name]),
            shard=self._shard,
        )


class OverviewRenderer:
    """Renders one overview."""

    def __init__(
        self, overview: Overview, template: Template, *, is_ready: bool, version: str
    ) -> None:
        self._overview = overview
        self._template = template
        self._is_ready = is_ready
        self._version = version

    def page(self, query_string: str, links: Links) -> Iterable[str]:
        """Return the HTML page of the campaigns that a query string selects."""
        overview = self._overview
        page = query.page_of(overview.campaigns, query.parse_query(query_string))
        totals = {
            state: sum(query.is_in(one, state) for one in overview.campaigns)
            for state in query.STATES
        }
        return self._template.generate(
            overview=overview,
            now=overview.at,
            query=page.query,
            page=page,
            totals=totals,
            links=links,
            is_ready=self._is_ready,
            version=self._version,
        )

    def document(self, query_string: str) -> Iterable[str]:
        """Return the JSON of all campaigns that a query string selects."""
        return document_chunks(
            self._overview,
            query.select(self._overview.campaigns, query.parse_query(query_string)),
            version=self._version,
            is_ready=self._is_ready,
        )

    def release(self) -> None:
        """Release the overview, so that its objects can be freed."""
        self._overview = Overview(self._overview.at, (), ())


def queue_view(queue: RequestQueue, *, now: float, wall_offset: float) -> QueueView:
    """Return the state of a request queue, with wall-clock times."""
    state = queue.state(now=now)
    pause, budget = state.pause, state.budget
    rate_limit = rate_limit_view(
        budget, state.endpoint, now=now + wall_offset, wall_offset=wall_offset
    )
    return QueueView(
        pause=PauseView(pause.reason, pause.probe_id, pause.probe_at + wall_offset)
        if pause
        else None,
        rate_limits=(rate_limit,) if budget.bucket.is_used else (),
        spacing_seconds=budget.spacing_seconds,
        in_flight=state.in_flight,
        places=state.positions,
        earliest=state.earliest + wall_offset,
    )


def _policy(*, style: str, script: str) -> str:
    """Return the policy: the page's own style and script, and no other resource."""
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src {_hash(style)}",
            f"script-src {_hash(script)}",
            "connect-src 'self'",
            "img-src data:",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{b64encode(digest).decode()}'"
