"""The running exporter: its parts wired together, started, watched and stopped.

The event loop of the calling thread serves scrapes and beats once a second, to see to
what no request and no poll brings about. It decides nothing about Braze: the poller and
the line do.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from exporter import __version__
from exporter.braze.proxies import ProxySettings
from exporter.config import schema
from exporter.metrics.exposition_page import ExpositionPages
from exporter.metrics.self_metrics import SelfMetrics, Served
from exporter.metrics.store import Entry, Store
from exporter.model.config import CampaignConfig, Config, KeySource, WorkspaceConfig
from exporter.model.errors import ConfigError
from exporter.polling.poller import Poller
from exporter.polling.request_queue import PendingPoll
from exporter.polling.scheduler import Scheduler
from exporter.polling.sharding import Shard
from exporter.polling.workspaces import Workspaces
from exporter.series.kept import KeptEntries
from exporter.system.clock import Clock
from exporter.system.log_rate_limit import LINES_PER_MINUTE, LogRateLimit
from exporter.system.logformat import Fact
from exporter.system.single_flight import SingleFlight
from exporter.web.open_security import OpenSecurity, Security
from exporter.web.routes import Site, Web
from exporter.web.server import Address, ClientLimits, Server, raise_descriptor_limit
from exporter.web.settings import WebSettings

if TYPE_CHECKING:  # imported where it is used: it would slow every start
    from exporter.discovery.service import DiscoveryService
    from exporter.status.page import StatusPage
    from exporter.storage.autosave import Autosave
    from exporter.storage.sqlite_state import SqliteState

_log = logging.getLogger(__name__)

_READY_AFTER_SECONDS = 30.0
_HEARTBEAT_SECONDS = 1.0
_SAVE_SECONDS = 5.0
_EARLY_SECONDS = 1.5
_GRACE_SECONDS = 1.0
"""How long answers to scrapes in progress may still take when we are told to stop."""

_CONNECTIONS = 4096


class ConfigSource(NamedTuple):
    """Where a new configuration comes from."""

    load: Callable[[], Config]
    """Read it again. ConfigError: it cannot be used."""
    has_changed: Callable[[], bool] = lambda: False
    """Tell, once, that it is another one than when this was last asked."""


class Daemon:
    """One run of the exporter, from `run` until its `stop` event is set."""

    def __init__(
        self,
        configuration: Config,
        settings: WebSettings,
        *,
        read_key: Callable[[KeySource], str | None],
        egress: ProxySettings,
        source: ConfigSource | None = None,
        state_path: str | None = None,
        entrance: Security | None = None,
        shard: Shard | None = None,
    ) -> None:
        """Wire the parts; with a `shard`, ceilings in `configuration` are divided."""
        self._config = configuration
        self._settings = settings
        self._source = source or ConfigSource(load=lambda: configuration)
        self._clock = Clock()
        self._now = self._clock.now
        self._started_at = self._now()
        self._was_ready = False
        self._has_told_ready = False
        self._stale_quota = LogRateLimit(LINES_PER_MINUTE)
        self._has_begun = asyncio.Event()
        self._looking: asyncio.Task[bool] | None = None
        self._reloads = SingleFlight(self._reload)
        self._description: tuple[Config, str] | None = None
        self._store = Store()
        self._telemetry = SelfMetrics(version=__version__, served=self._served)
        self._jobs = Scheduler(self._serve, on_wall=self._clock.on_wall)
        self._fleet = Workspaces(
            jobs=self._jobs,
            store=self._store,
            telemetry=self._telemetry,
            read_key=read_key,
            egress=egress,
            now=self._now,
            clock_set_by=self._clock.set_by,
        )
        self._shard = shard
        if shard is not None:
            self._telemetry.sharded(number=shard.number, total=shard.total)
        self._fleet.campaigns_of = self._campaigns_of
        self._poller = Poller(
            self._fleet.desks,
            store=self._store,
            telemetry=self._telemetry,
            now=self._now,
            draw=random.random,
            clock_set_by=self._clock.set_by,
        )
        self._state = _state(state_path)
        self._keeper = self._autosave()
        self._scouting: DiscoveryService | None = None
        self._pages = ExpositionPages(
            self._fresh_entries, self._telemetry, version=lambda: self._store.version
        )
        site = Site(
            pages=self._pages,
            is_ready=self._is_ready,
            configuration=self._describe,
            reload=self.reload if settings.has_lifecycle else None,
            status=cache(self._status_page),
            telemetry_path=settings.telemetry_path,
            prefix=settings.prefix,
            link_prefix=settings.link_prefix,
        )
        web = Web(site)
        self._entrance = entrance or OpenSecurity()
        self._listener = Server(
            self._entrance.guard(web.respond, is_open=web.is_open),
            ssl_context=self._entrance.ssl_context,
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
            path = f"{self._settings.prefix}{self._settings.telemetry_path}"
            facts = {"address": str(address), "path": path}
            _log.info("web.listening", extra={"facts": facts})
        saving = asyncio.create_task(self._save_now_and_then())
        try:
            await asyncio.to_thread(self._start_polling)
            self._has_begun.set()
            on_listening(bound)
            while not stop.is_set():
                await self._beat()
                self._tell_ready()
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), _HEARTBEAT_SECONDS)
        finally:
            saving.cancel()
            await self._stop()

    def _tell_ready(self) -> None:
        """Say once how the first round ended: all is well is news, too."""
        if self._has_told_ready or not self._is_ready():
            return
        self._has_told_ready = True
        ups = Counter(entry.status.is_up for entry in self._store.entries())
        facts = {"campaigns": ups.total(), "up": ups[True], "failing": ups[False]}
        _log.info("exporter.ready", extra={"facts": facts})

    async def reload(self) -> ConfigError | None:
        """Take over the configuration as it is now; a bad one changes nothing."""
        await self._has_begun.wait()
        return await self._reloads.outcome()

    def _reload(self) -> ConfigError | None:
        try:
            configuration = self._source.load()
        except ConfigError as error:
            self._telemetry.loaded(is_successful=False, now=self._shown_now())
            for problem in schema.shortened(error.problems):
                _log.error("config.problem", extra={"facts": {"problem": str(problem)}})
            _log.error("config.rejected", extra={"facts": {"kept": "the former one"}})
            return error
        self._take_over(configuration, {})
        self._config = configuration
        self._poller.forget_leavers()
        self._telemetry.loaded(is_successful=True, now=self._shown_now())
        campaigns = sum(len(one.campaigns) for one in configuration.workspaces)
        _log.info("config.reloaded", extra={"facts": {"campaigns": campaigns}})
        return None

    def _shown_now(self) -> float:
        return self._now() + self._clock.set_by()

    def _describe(self) -> str:
        """Return the configuration in force, as far as it may be seen."""
        known, configuration = self._description, self._config
        if known is None or known[0] is not configuration:
            known = (configuration, schema.describe(configuration))
            self._description = known
        return known[1]

    def _start_polling(self) -> None:
        self._jobs.start()
        kept = self._keeper.restore() if self._keeper else {}
        self._take_over(self._config, kept)
        self._telemetry.loaded(is_successful=True, now=self._started_at)

    def _take_over(self, configuration: Config, kept: KeptEntries) -> None:
        if self._scouting is None and any(
            workspace.discover for workspace in configuration.workspaces
        ):
            self._scouting = self._discovery()
        if self._scouting is None:
            self._fleet.apply(configuration, kept)
            return
        self._scouting.apply(configuration)
        self._fleet.apply(configuration, kept)
        self._scouting.begin()

    def _autosave(self) -> Autosave | None:
        if self._state is None:
            return None
        from exporter.storage.autosave import Autosave

        return Autosave(self._state, store=self._store, telemetry=self._telemetry)

    def _discovery(self) -> DiscoveryService:
        from exporter.discovery.catalogue_cache import CatalogueCache
        from exporter.discovery.service import DiscoveryService

        return DiscoveryService(
            self._fleet.desks,
            file=CatalogueCache(self._state) if self._state is not None else None,
            refresh=self._fleet.refresh,
            jobs=self._jobs,
            telemetry=self._telemetry,
            now=self._now,
            draw=random.random,
            clock_set_by=self._clock.set_by,
        )

    def _status_page(self) -> StatusPage:
        from exporter.status.page import StatusPage

        return StatusPage(
            entries=self._fresh_entries,
            desks=self._fleet.desks,
            discoveries=lambda: self._scouting.seen() if self._scouting else {},
            shard=self._shard,
            planned=self._jobs.all_planned,
            now=self._now,
            clock_set_by=self._clock.set_by,
            is_ready=self._is_ready,
            version=__version__,
        )

    def _campaigns_of(self, workspace: WorkspaceConfig) -> tuple[CampaignConfig, ...]:
        """Return what is polled of a workspace: this shard's part of all it has."""
        campaigns = workspace.campaigns
        if self._scouting is not None:
            campaigns = self._scouting.campaigns_of(workspace)
        return campaigns if self._shard is None else self._shard.own(campaigns)

    def _serve(self, turn: PendingPoll) -> None:
        if turn.at - self._now() > _EARLY_SECONDS:
            self._jobs.put(turn)  # the wall clock was just set forward
            return
        upcoming = self._poller.poll(turn)
        desk = self._fleet.desks.get(turn.workspace)
        if upcoming is not None and desk is not None:
            desk.line.book(upcoming)

    async def _beat(self) -> None:
        """See to what no request and no poll brings about."""
        if seconds := self._clock.jump():
            # In a thread: ten thousand jobs take a while.
            await asyncio.to_thread(self._fleet.follow_clock)
            _log.warning("clock.set", extra={"facts": {"by_seconds": seconds}})
            if self._scouting is not None:
                self._scouting.forget_windows()
        self._fresh_entries()
        self._pages.beat()
        # In a thread, and not waited for long: a file may lie on a disk that hangs.
        looking = self._looking or asyncio.create_task(
            asyncio.to_thread(self._look_at_files)
        )
        await asyncio.wait([looking], timeout=_HEARTBEAT_SECONDS)
        self._looking = None if looking.done() else looking
        if looking.done() and looking.result():
            await self.reload()

    def _look_at_files(self) -> bool:
        """Take over changed keys and protection; tell if the configuration changed."""
        for name in self._fleet.look_at_keys():
            if self._scouting is not None:
                self._scouting.look_again(name)
        self._entrance.refresh()
        return self._source.has_changed()

    async def _save_now_and_then(self) -> None:
        while self._keeper is not None:
            await asyncio.sleep(_SAVE_SECONDS)
            await asyncio.to_thread(self._keeper.save)

    def _fresh_entries(self) -> tuple[Entry, ...]:
        """Return what may be served now; what has just become too old is told."""
        now = self._now()
        for entry in self._store.expire(now=now):
            facts: dict[str, Fact] = {
                "workspace": entry.subject.workspace,
                "campaign": entry.subject.campaign,
                "last_success_at": entry.status.shown_success_at,
            }
            quota = self._stale_quota
            self._stale_quota = quota.counted(now=now)
            is_told = quota.admits(now=now)
            if is_told:
                facts |= quota.facts(now=now)
            level = logging.WARNING if is_told else logging.DEBUG
            _log.log(level, "campaign.stale", extra={"facts": facts})
        return self._store.entries()

    async def _stop(self) -> None:
        _log.info("exporter.stopping", extra={"facts": {}})
        self._poller.stop()
        if self._scouting is not None:
            await asyncio.to_thread(self._scouting.stop)
        self._jobs.stop()
        self._fleet.abort()
        await self._listener.stop(_GRACE_SECONDS)
        if self._keeper is not None:
            self._keeper.save()

    def _is_ready(self) -> bool:
        self._was_ready = (
            self._was_ready
            or self._now() - self._started_at >= _READY_AFTER_SECONDS
            or (
                self._has_begun.is_set()
                and all(self._was_tried(entry) for entry in self._store.entries())
            )
        )
        return self._was_ready

    def _was_tried(self, entry: Entry) -> bool:
        desk = self._fleet.desks.get(entry.subject.workspace)
        is_paused = desk is None or desk.line.pause is not None
        return is_paused or entry.status.is_up is not None

    def _idle_ids(self, workspace: str) -> frozenset[str]:
        desk = self._fleet.desks.get(workspace)
        return desk.lanes.idle_ids if desk else frozenset()

    def _served(self) -> Iterator[Served]:
        totals = {name: Counter[str]() for name in tuple(self._fleet.desks)}
        for entry in self._store.entries():
            total = totals.get(entry.subject.workspace)
            if total is None:
                continue
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
                idle_campaigns=len(self._idle_ids(name)),
            )


def _state(state_path: str | None) -> SqliteState | None:
    if state_path is None:
        return None
    from exporter.storage.sqlite_state import SqliteState

    return SqliteState(Path(state_path))
