"""The running exporter: polling and web server, started, watched and stopped.

The event loop of the calling thread serves scrapes. Once a second it checks the clock,
the files and the age of values.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from exporter import __version__
from exporter.braze.proxies import ProxySettings
from exporter.config import schema
from exporter.config.describe import describe
from exporter.daemon.polling_service import PollingService
from exporter.metrics.exposition_page import ExpositionPages
from exporter.metrics.self_metrics import SelfMetrics, Served
from exporter.metrics.store import Store
from exporter.model.config import Config, KeySource
from exporter.model.errors import ConfigError
from exporter.polling.kinds import CAMPAIGN, CANVAS, SERIES
from exporter.polling.sharding import Shard
from exporter.system.clock import Clock
from exporter.system.log_writer import lost_lines
from exporter.system.single_flight import SingleFlight, in_thread
from exporter.web.connection import ClientLimits
from exporter.web.routes import Router, RouterContext
from exporter.web.security import Security
from exporter.web.server import Address, Server, raise_descriptor_limit
from exporter.web.settings import WebSettings

if TYPE_CHECKING:  # imported where it is used: it would slow every start
    from exporter.status.page import StatusPage

_log = logging.getLogger(__name__)

_READY_AFTER_SECONDS = 30.0
_CHECK_SECONDS = 1.0
_SAVE_SECONDS = 5.0
_RECOVER_SECONDS = 15.0
_GRACE_SECONDS = 1.0
"""How long responses in progress may still take after SIGTERM."""

_CONNECTIONS = 4096


class ConfigSource(NamedTuple):
    """Where a reload reads the configuration."""

    load: Callable[[], Config]
    """ConfigError: the configuration is invalid."""
    has_changed: Callable[[], bool] = lambda: False
    """Return True once after each change."""


class Daemon:
    """One run of the exporter, from `run` until its `stop` event is set."""

    def __init__(
        self,
        config: Config,
        settings: WebSettings,
        *,
        read_key: Callable[[KeySource], str | None],
        proxies: ProxySettings,
        source: ConfigSource | None = None,
        state_path: str | None = None,
        security: Security | None = None,
        shard: Shard | None = None,
    ) -> None:
        """Build all parts; with a `shard`, the ceilings in `config` are divided."""
        self._config = config
        self._settings = settings
        self._source = source or ConfigSource(load=lambda: config)
        self._shard = shard
        self._clock = Clock()
        self._started_at = self._clock.now()
        self._recover_at = self._started_at + _RECOVER_SECONDS
        self._was_ready = False
        self._has_logged_ready = False
        self._is_polling = asyncio.Event()
        self._file_check: asyncio.Task[bool] | None = None
        self._reloads = SingleFlight(self._reload)
        self._description: tuple[Config, str] | None = None
        self._store = Store()
        self._metrics = SelfMetrics(
            version=__version__, served=self._served, lost_log_lines=lost_lines
        )
        if shard is not None:
            self._metrics.sharded(number=shard.number, total=shard.total)
        self._polling = PollingService(
            store=self._store,
            metrics=self._metrics,
            clock=self._clock,
            read_key=read_key,
            proxies=proxies,
            state_path=state_path,
            shard=shard,
        )
        self._pages = ExpositionPages(
            self._polling.entries, self._metrics, version=lambda: self._store.version
        )
        self._security = security or Security()
        self._server = self._new_server()

    def _served(self) -> Iterable[Served]:
        return self._polling.served()

    def _new_server(self) -> Server:
        settings = self._settings
        router = Router(
            RouterContext(
                render_metrics=self._pages.render,
                is_ready=self._is_ready,
                configuration=self._describe,
                reload=self.reload,
                status=cache(self._status_page),
            ),
            settings,
        )
        return Server(
            self._security.wrap(router.respond, needs_no_auth=router.needs_no_auth),
            ssl_context=self._security.ssl_context,
            limits=ClientLimits(connections=raise_descriptor_limit(_CONNECTIONS)),
        )

    def _status_page(self) -> StatusPage:
        from exporter.status.page import StatusPage

        return StatusPage(
            entries=self._polling.entries,
            groups=self._polling.workspaces.groups,
            unchanged=self._polling.workspaces.unchanged,
            discoveries=self._polling.discovery_views,
            shard=self._shard,
            planned=self._polling.scheduler.all_planned,
            now=self._clock.now,
            wall_offset=self._clock.offset,
            is_ready=self._is_ready,
            version=__version__,
        )

    async def run(
        self,
        stop: asyncio.Event,
        *,
        on_listening: Callable[[tuple[Address, ...]], None] = lambda _: None,
    ) -> None:
        """Serve until `stop` is set. ListenError: an address is not available."""
        bound = await self._server.start(self._settings.addresses)
        for address in bound:
            path = f"{self._settings.prefix}{self._settings.telemetry_path}"
            fields = {"address": str(address), "path": path}
            _log.info("web.listening", extra={"fields": fields})
        saving: asyncio.Task[None] | None = None
        try:
            await in_thread(self._polling.start, self._config)
            # Not earlier: a page without the kept values would end their series.
            self._server.accept()
            saving = asyncio.create_task(self._save_regularly())
            self._metrics.loaded(is_successful=True, now=self._started_at)
            self._is_polling.set()
            on_listening(bound)
            while not stop.is_set():
                await self._check()
                self._log_ready()
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), _CHECK_SECONDS)
        finally:
            if saving is not None:
                saving.cancel()
            await self._stop()

    async def reload(self) -> ConfigError | None:
        """Apply the configuration as it is now; an invalid one changes nothing."""
        await self._is_polling.wait()
        return await self._reloads.run()

    def _reload(self) -> ConfigError | None:
        try:
            config = self._source.load()
        except ConfigError as error:
            self._metrics.loaded(is_successful=False, now=self._clock.wall())
            for problem in schema.shortened(error.problems):
                _log.error(
                    "config.problem", extra={"fields": {"problem": str(problem)}}
                )
            fields = {"kept": "the previous configuration"}
            _log.error("config.rejected", extra={"fields": fields})
            return error
        self._polling.apply(config)
        self._config = config
        self._metrics.loaded(is_successful=True, now=self._clock.wall())
        numbers = {
            "campaigns": sum(len(one.campaigns) for one in config.workspaces),
            "canvases": sum(len(one.canvases) for one in config.workspaces),
            "series": sum(
                len(kind.objects(one)) for one in config.workspaces for kind in SERIES
            ),
        }
        _log.info("config.reloaded", extra={"fields": numbers})
        return None

    def _describe(self) -> str:
        """Return the configuration in force, masked."""
        known, config = self._description, self._config
        if known is None or known[0] is not config:
            known = (config, describe(config))
            self._description = known
        return known[1]

    async def _check(self) -> None:
        """Handle what no request and no poll causes: clock, age of values, files."""
        if seconds := self._clock.jump():
            # In a thread: ten thousand jobs take a while.
            await in_thread(self._polling.after_clock_set)
            _log.warning("clock.set", extra={"fields": {"by_seconds": seconds}})
        if self._clock.now() >= self._recover_at:
            self._recover_at = self._clock.now() + _RECOVER_SECONDS
            await in_thread(self._polling.recover)
        self._polling.scheduler.start_again()
        self._polling.entries()  # drops stale ones
        self._pages.tick()
        # In a thread, with a limit: a file may be on a disk that hangs.
        checking = self._file_check or asyncio.create_task(in_thread(self._check_files))
        await asyncio.wait([checking], timeout=_CHECK_SECONDS)
        self._file_check = None if checking.done() else checking
        if checking.done() and checking.result():
            await self.reload()

    def _check_files(self) -> bool:
        """Use changed keys and certificates; return if the configuration changed."""
        self._polling.check_keys()
        self._security.refresh()
        return self._source.has_changed()

    async def _save_regularly(self) -> None:
        while self._polling.has_state:
            await asyncio.sleep(_SAVE_SECONDS)
            await in_thread(self._polling.save)

    async def _stop(self) -> None:
        _log.info("exporter.stopping", extra={"fields": {}})
        await in_thread(self._polling.stop)
        await self._server.stop(_GRACE_SECONDS)
        self._polling.save()

    def _is_ready(self) -> bool:
        age = self._clock.now() - self._started_at
        self._was_ready = self._was_ready or self._polling.is_ready(
            is_late=age >= _READY_AFTER_SECONDS
        )
        return self._was_ready

    def _log_ready(self) -> None:
        """Log the end of the first round once, successful or not."""
        if self._has_logged_ready or not self._is_ready():
            return
        self._has_logged_ready = True
        now = self._clock.now()
        paused = {
            key
            for key, group in tuple(self._polling.workspaces.groups.items())
            if group.queue.pause is not None
        }
        entries = self._store.entries()
        kinds = Counter(entry.key.kind for entry in entries)
        ups = Counter(
            False
            if (entry.key.workspace, entry.key.kind) in paused
            or entry.is_overdue(now=now)
            else entry.status.is_up
            for entry in entries
        )
        fields = {
            "campaigns": kinds[CAMPAIGN.name],
            "canvases": kinds[CANVAS.name],
            "series": sum(kinds[kind.name] for kind in SERIES),
            "up": ups[True],
            "failing": ups[False],
        }
        _log.info("exporter.ready", extra={"fields": fields})
