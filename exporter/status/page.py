"""The status page and its JSON, as text: looks around, takes a view, fills a template.

Loaded when somebody first asks for it. Everything is escaped by the template engine. It
knows no request and asks Braze for nothing.
"""

from __future__ import annotations

import gc
import hashlib
from base64 import b64encode
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import date

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from exporter.metrics.store import Entry, ObjectKey
from exporter.polling.poller import Workspace
from exporter.polling.request_queue import RequestQueue
from exporter.polling.sharding import Shard
from exporter.series.deliverability import Level
from exporter.status import api, query, sparkline, texts, view_model
from exporter.status.view_model import (
    CampaignView,
    DiscoveryView,
    Overview,
    PauseView,
    QueueView,
)
from exporter.web.routes import Links


class StatusPage:
    """Shows what it is given to look at; called by one thread at a time."""

    def __init__(  # noqa: PLR0913 - all that there is to look at
        self,
        *,
        entries: Callable[[], tuple[Entry, ...]],
        desks: Mapping[str, Workspace],
        discoveries: Callable[[], Mapping[str, DiscoveryView]],
        shard: Shard | None = None,
        planned: Callable[[], Mapping[ObjectKey, float]],
        now: Callable[[], float],
        clock_set_by: Callable[[], float],
        is_ready: Callable[[], bool],
        version: str,
    ) -> None:
        self._entries = entries
        self._desks = desks
        self._discoveries = discoveries
        self._shard = shard
        self._planned = planned
        self._now = now
        self._clock_set_by = clock_set_by
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
            "words": texts,
            "listing": query,
            "sparkline": sparkline,
            "Level": Level,
            "replace": replace,
        }
        style, script = (
            loader.get_source(environment, name)[0]
            for name in ("status.css", "status.js")
        )
        # Written by us, and allowed by their hashes alone.
        environment.globals |= {"style": Markup(style), "script": Markup(script)}  # noqa: S704
        self.policy = _policy(style=style, script=script)
        self._template = environment.get_template("status.html")

    @contextmanager
    def snapshot(self) -> Iterator[View]:
        """Look around; what was seen is forgotten at the end.

        Of ten thousand campaigns a hundred thousand small objects are made, none of
        them in a circle. Were they looked through for circles again and again, with
        all that is served, each time nobody would be answered for half a second.
        """
        is_collecting = gc.isenabled()
        gc.disable()
        sight = View(
            self._overview(),
            self._template,
            is_ready=self._is_ready(),
            version=self._version,
        )
        try:
            yield sight
        finally:
            sight.forget()
            if is_collecting:
                gc.enable()

    def _overview(self) -> Overview:
        now, clock_set_by = self._now(), self._clock_set_by()
        wall = now + clock_set_by
        planned = self._planned()
        desks = dict(self._desks)
        lines = {
            name: line_seen(desk.line, now=now, clock_set_by=clock_set_by)
            for name, desk in desks.items()
        }
        days = {
            name: view_model.today_in(desk.plan.workspace.timezone, now=wall)
            for name, desk in desks.items()
        }
        discoveries = self._discoveries()
        idle_ids = {name: desk.lanes.idle_ids for name, desk in desks.items()}
        campaigns: dict[str, list[CampaignView]] = defaultdict(list)
        for entry in self._entries():
            workspace, campaign_id = entry.key
            line = lines.get(workspace)
            if line is None:
                continue  # it is just being added or removed
            at = planned.get(entry.key)
            next_poll = line.next_poll(
                campaign_id,
                planned_at=None if at is None else at + clock_set_by,
                now=wall,
            )
            campaigns[workspace].append(
                _campaign(
                    entry,
                    line,
                    today=days[workspace],
                    next_poll=next_poll,
                    is_idle=campaign_id in idle_ids[workspace],
                )
            )
        return Overview(
            at=wall,
            workspaces=tuple(
                view_model.workspace_seen(
                    desk.lanes.plan,
                    lines[name],
                    idle=len(idle_ids[name]),
                    discovery=discoveries.get(name),
                    campaigns=campaigns[name],
                    now=wall,
                    clock_set_by=clock_set_by,
                )
                for name, desk in desks.items()
            ),
            campaigns=tuple(one for name in desks for one in campaigns[name]),
            shard=self._shard,
        )


class View:
    """The state of all campaigns at one instant, to be shown in several ways."""

    def __init__(
        self, seen: Overview, template: Template, *, is_ready: bool, version: str
    ) -> None:
        self._seen = seen
        self._template = template
        self._is_ready = is_ready
        self._version = version

    def page(self, query_string: str, links: Links) -> Iterable[str]:
        """Return the page of the view that a query asks for."""
        seen = self._seen
        shown = query.listing(seen.campaigns, query.view_of(query_string))
        totals = {
            state: sum(query.is_in(one, state) for one in seen.campaigns)
            for state in query.STATES
        }
        return self._template.generate(
            seen=seen,
            now=seen.at,
            view=shown.view,
            shown=shown,
            totals=totals,
            links=links,
            is_ready=self._is_ready,
            version=self._version,
        )

    def document(self, query_string: str) -> Iterable[str]:
        """Return the same as JSON: all campaigns, or those that a query asks for."""
        return api.pieces(
            self._seen,
            query.chosen(self._seen.campaigns, query.view_of(query_string)),
            version=self._version,
            is_ready=self._is_ready,
        )

    def forget(self) -> None:
        """Let go of everything."""
        self._seen = Overview(self._seen.at, (), ())


def line_seen(line: RequestQueue, *, now: float, clock_set_by: float) -> QueueView:
    """Return how a line stands, its instants by the wall clock."""
    outlook = line.outlook(now=now)
    pause = outlook.pause
    return QueueView(
        pause=PauseView(pause.reason, pause.probe_id, pause.probe_at + clock_set_by)
        if pause
        else None,
        budget=outlook.budget,
        in_flight=outlook.in_flight,
        places=outlook.places,
        members=outlook.members,
        earliest=outlook.earliest + clock_set_by,
    )


def _campaign(
    entry: Entry,
    line: QueueView,
    *,
    today: date,
    next_poll: view_model.NextPoll,
    is_idle: bool,
) -> CampaignView:
    values = entry.values
    return view_model.campaign_seen(
        entry.subject,
        entry.status,
        entry.snapshot,
        next_poll=next_poll,
        is_paused=line.pause is not None,
        is_idle=is_idle,
        today=today,
        series=entry.status_blocks.series + (values.series if values else 0),
    )


def _policy(*, style: str, script: str) -> str:
    """Return what a browser may do with the page: run our script, load nothing."""
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
