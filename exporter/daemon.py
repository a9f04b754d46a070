"""The running exporter: its parts wired together, started, driven and stopped.

APScheduler runs one one-shot job per campaign; what a job's outcome says next becomes
its next job. The event loop of the calling thread serves scrapes. It decides nothing
about Braze: the poller and the line do.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.date import DateTrigger

from exporter import __version__, config, plan
from exporter.budget import Budget
from exporter.client import Client
from exporter.egress import Egress
from exporter.keys import Key
from exporter.line import ENDPOINT, Line, Turn
from exporter.listener import (
    Address,
    ClientLimits,
    Listener,
    raise_descriptor_limit,
)
from exporter.model import Config, KeySource, Secret
from exporter.page import Pages
from exporter.poller import Desk, Poller
from exporter.store import Entry, Store
from exporter.telemetry import Served, Telemetry
from exporter.web import Site, Web
from exporter.web_settings import Settings

_log = logging.getLogger("exporter.daemon")

_READY_AFTER_SECONDS = 30.0
_HEARTBEAT_SECONDS = 1.0
_GRACE_SECONDS = 1.0
"""How long answers to scrapes in progress may still take when we are told to stop."""

_CONNECTIONS = 4096

_INSTANCES = 100
"""More than ever run: the line sees to it that no campaign is in flight twice, and
APScheduler drops a job that it counts as one too many."""


class Daemon:
    """One run of the exporter, from `run` until its `stop` event is set."""

    def __init__(
        self,
        configuration: Config,
        settings: Settings,
        *,
        read_key: Callable[[KeySource], str | None],
        egress: Egress,
    ) -> None:
        self._config = configuration
        self._settings = settings
        self._started_at = time.time()
        self._was_ready = False
        self._store = Store()
        self._telemetry = Telemetry(version=__version__, served=self._served)
        self._scheduler = BackgroundScheduler(timezone=UTC)
        self._clients: dict[str, Client] = {}
        self._keys: dict[str, Key] = {}
        self._seen_keys: dict[str, Secret] = {}
        self._desks: dict[str, Desk] = {}
        for workspace_plan in plan.plan(configuration):
            self._open(workspace_plan, read_key, egress)
        self._poller = Poller(
            configuration,
            self._desks,
            store=self._store,
            telemetry=self._telemetry,
            now=time.time,
            draw=random.random,
        )
        self._telemetry.loaded(is_successful=True, now=self._started_at)
        pages = Pages(self._fresh_entries, self._telemetry)
        text = config.describe(configuration)
        site = Site(
            pages=pages,
            is_ready=self._is_ready,
            configuration=lambda: text,
            version=__version__,
            telemetry_path=settings.telemetry_path,
            prefix=settings.prefix,
            link_prefix=settings.link_prefix,
        )
        self._listener = Listener(
            Web(site).respond,
            limits=ClientLimits(connections=raise_descriptor_limit(_CONNECTIONS)),
        )

    async def run(
        self,
        stop: asyncio.Event,
        *,
        on_listening: Callable[[tuple[Address, ...]], None] = lambda _: None,
    ) -> None:
        """Serve until `stop` is set. ListenError: an address cannot be listened on."""
        bound = await self._listener.start(self._settings.addresses)
        for address in bound:
            facts = {"address": str(address), "path": self._settings.telemetry_path}
            _log.info("web.listening", extra={"facts": facts})
        try:
            self._start_polling()
            on_listening(bound)
            while not stop.is_set():
                self._beat()
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), _HEARTBEAT_SECONDS)
        finally:
            await self._stop()

    def _open(
        self,
        workspace_plan: plan.WorkspacePlan,
        read_key: Callable[[KeySource], str | None],
        egress: Egress,
    ) -> None:
        workspace = workspace_plan.workspace
        name = workspace.name
        key = Key(workspace.key_source, read_key)
        client = Client(
            workspace,
            read_key=key,
            egress=egress,
            now=time.time,
            response_bytes=self._config.limits.response_bytes,
        )
        spacing = 60 / workspace.requests_per_minute
        line = Line(
            Budget(spacing, workspace.reserve, workspace.concurrency),
            workspace=name,
            campaign_ids=tuple(campaign.id for campaign in workspace.campaigns),
            call=self._schedule,
        )
        self._keys[name] = key
        self._seen_keys[name] = key()
        self._clients[name] = client
        self._desks[name] = Desk(
            plan=workspace_plan,
            client=client,
            line=line,
            campaigns={campaign.id: campaign for campaign in workspace.campaigns},
        )
        self._scheduler.add_executor(ThreadPoolExecutor(workspace.concurrency), name)
        self._telemetry.expect(name, ENDPOINT)
        self._telemetry.planned(
            name,
            requests_per_minute=workspace_plan.planned_per_minute,
            interval_seconds=workspace_plan.interval_seconds,
        )

    def _start_polling(self) -> None:
        self._scheduler.start()
        for name, desk in self._desks.items():
            _log_plan(desk.plan)
            self._clients[name].prepare()
            campaigns = desk.plan.workspace.campaigns
            for campaign in campaigns:
                self._poller.admit(name, campaign)
            spacing = 60 / desk.plan.workspace.requests_per_minute
            now = time.time()
            round_ = plan.first_round(campaigns, now=now, spacing_seconds=spacing)
            turns = (Turn(name, campaign_id, due_at) for campaign_id, due_at in round_)
            desk.line.join(tuple(turns), now=now)

    def _schedule(self, turn: Turn) -> None:
        self._scheduler.add_job(
            self._serve,
            DateTrigger(datetime.fromtimestamp(turn.at, UTC), UTC),
            (turn,),
            id=f"{turn.workspace}/{turn.campaign_id}",
            executor=turn.workspace,
            replace_existing=True,
            misfire_grace_time=None,
            max_instances=_INSTANCES,
        )

    def _serve(self, turn: Turn) -> None:
        upcoming = self._poller.poll(turn)
        if upcoming is not None:
            self._desks[turn.workspace].line.book(upcoming)

    def _beat(self) -> None:
        """See to what no request and no poll brings about."""
        now = time.time()
        self._fresh_entries()
        for name, desk in self._desks.items():
            key = self._keys[name]()
            if self._seen_keys.get(name) != key:
                self._seen_keys[name] = key
                _log.info("key.changed", extra={"facts": {"workspace": name}})
                desk.line.probe_now(now=now)

    def _fresh_entries(self) -> tuple[Entry, ...]:
        """Return what may be served now; what has just become too old is told."""
        for entry in self._store.expire(now=time.time()):
            facts = {
                "workspace": entry.subject.workspace,
                "campaign": entry.subject.campaign,
                "last_success_at": entry.status.last_success_at,
            }
            _log.warning("campaign.stale", extra={"facts": facts})
        return self._store.entries()

    async def _stop(self) -> None:
        _log.info("exporter.stopping", extra={"facts": {}})
        self._poller.stop()
        self._scheduler.shutdown(wait=False)
        for client in self._clients.values():
            client.abort()
        await self._listener.stop(_GRACE_SECONDS)

    def _is_ready(self) -> bool:
        self._was_ready = (
            self._was_ready
            or time.time() - self._started_at >= _READY_AFTER_SECONDS
            or all(
                entry.status.is_up is not None
                or self._desks[entry.subject.workspace].line.pause is not None
                for entry in self._store.entries()
            )
        )
        return self._was_ready

    def _served(self) -> Iterator[Served]:
        totals = {name: Counter[str]() for name in self._desks}
        for entry in self._store.entries():
            total = totals[entry.subject.workspace]
            total["campaigns"] += 1
            total["series"] += entry.status_blocks.series
            if entry.values is not None and entry.snapshot is not None:
                total["series"] += entry.values.series
                total["series_dropped"] += entry.snapshot.dropped_series
                total["ignored_values"] += entry.snapshot.ignored_values
                total["skipped_rows"] += entry.snapshot.skipped_rows
        for name, total in totals.items():
            yield Served(
                workspace=name,
                campaigns=total["campaigns"],
                series=total["series"],
                series_dropped=total["series_dropped"],
                ignored_values=total["ignored_values"],
                skipped_rows=total["skipped_rows"],
            )


def _log_plan(workspace_plan: plan.WorkspacePlan) -> None:
    facts = {
        "workspace": workspace_plan.workspace.name,
        "endpoint": workspace_plan.workspace.endpoint,
        "campaigns": len(workspace_plan.workspace.campaigns),
        "wanted_per_minute": workspace_plan.wanted_per_minute,
        "planned_per_minute": workspace_plan.planned_per_minute,
        "interval_seconds": workspace_plan.interval_seconds,
    }
    _log.info("workspace.planned", extra={"facts": facts})
    if workspace_plan.stretch > 1:
        facts |= {
            "stretch": workspace_plan.stretch,
            "ceiling_per_minute": workspace_plan.ceiling_per_minute,
            "advice": "raise requests_per_minute or the intervals",
        }
        _log.warning("workspace.stretched", extra={"facts": facts})
