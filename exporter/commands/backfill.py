"""`braze-exporter backfill`: the history of campaigns, for Prometheus to load."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace

from exporter.backfill import openmetrics, sampling
from exporter.backfill.download import Download, PageRequest, WorkspaceDownload, source
from exporter.backfill.page_cache import PageCache
from exporter.backfill.writer import HistoryCampaign, HistoryFile, HistorySpan
from exporter.braze.client import Client
from exporter.commands import target
from exporter.commands.backfill_options import (
    BLOCK_HOURS,
    DESCRIPTION,
    FLAGS,
    BackfillOptions,
    NoCampaignSelected,
    backfill_options,
    select,
)
from exporter.commands.flags import CONFIG_FILE, Parser
from exporter.config import units
from exporter.config.load import load
from exporter.discovery.catalogue_cache import CatalogueCache
from exporter.discovery.one_shot import DiscoveryRun
from exporter.model.config import Config, WorkspaceConfig
from exporter.model.durations import duration
from exporter.model.errors import FetchError, MalformedSeries, StateError
from exporter.model.labels import clean
from exporter.storage.sqlite_state import SqliteState
from exporter.system.clock import Clock
from exporter.system.progress import Progress

_MIN_REPORTED_WAIT_SECONDS = 5.0
_STOPPED = "stopped: run the command again to resume"


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Download the history and write it."""
    parser = Parser(FLAGS, program="braze-exporter backfill", description=DESCRIPTION)
    given = parser.parse(arguments, environment)
    if not given.config_file:
        parser.error(
            f"no configuration: give --config.file FILE or set {CONFIG_FILE.variable}"
        )
    try:
        options = backfill_options(given)
    except ValueError as error:
        parser.error(str(error))
    parsed = load(given.config_file, environment)
    for warning in parsed.warnings:
        _print(str(warning))
    try:
        return _Backfill(parsed.config, options, environment=environment).run()
    except NoCampaignSelected as error:
        parser.error(str(error))
    except OSError as error:
        reason = error.strerror or str(error)
        _print(f"braze-exporter: {error.filename or options.output}: {reason}")
        return 1
    except StateError as error:
        _print(f"braze-exporter: {error}")
        return 1
    except KeyboardInterrupt:
        _print("\ninterrupted: run the command again to resume")
        return 1


class _Backfill:
    """One run of the command."""

    def __init__(
        self,
        config: Config,
        options: BackfillOptions,
        *,
        environment: Mapping[str, str],
    ) -> None:
        self._config = config
        self._options = options
        self._environment = environment
        self._items: Sequence[HistoryCampaign] = ()
        self._clock = Clock()
        self._now = self._clock.now
        self._sleep = threading.Event().wait
        directory = options.output.with_name(f"{options.output.name}.pages")
        self._cache = PageCache(directory)
        self._discovery = DiscoveryRun(
            CatalogueCache(SqliteState(directory)),
            clock=self._clock,
            sleep=self._sleep,
            random=random.random,
            print_line=_print,
        )
        self._span = HistorySpan(options.days, 0.0)
        self._failures: dict[int, str] = {}
        """Index of an item → why it has no history."""

    def run(self) -> int:
        """Return the exit code. OSError: a file cannot be written."""
        has_discovery = any(one.discover for one in self._config.workspaces)
        if not has_discovery:  # a wrong --campaign fails before anything is written
            self._select(self._config.workspaces)
        with self._cache.locked():
            return self._run(has_discovery=has_discovery)

    def _run(self, *, has_discovery: bool) -> int:
        self._start()
        if has_discovery:
            try:
                self._select(tuple(map(self._discover, self._config.workspaces)))
            except FetchError as failure:
                _print(f"{failure}\n{_STOPPED}")
                return 1
        if not self._download():
            _print(_STOPPED)
            return 1
        history = HistoryFile(self._cache, self._config, self._span)
        series = self._count_series(history)
        if self._failures:
            self._cache.mark_incomplete(now=self._now())
        if not series:
            _print("nothing to write: no campaign has a history")
            return 1
        self._write(history, series)
        if self._failures:
            _print(
                f"{len(self._failures)} of {len(self._items)} campaigns are missing: "
                "run the command again within 12 h to retry only these"
            )
            return 1
        self._cache.remove()
        return 0

    def _start(self) -> None:
        now = self._now()
        started_at = self._cache.start(now=now)
        self._span = self._span._replace(started_at=started_at)
        if started_at < now:
            _print(
                f"resuming the run that started {duration(now - started_at)} ago; "
                "its days are counted from then"
            )

    def _select(self, workspaces: Sequence[WorkspaceConfig]) -> None:
        self._items = select(workspaces, self._options.campaigns)

    def _discover(self, workspace: WorkspaceConfig) -> WorkspaceConfig:
        """Return the workspace with discovered campaigns. FetchError: Braze fails."""
        client = self._client(workspace)
        try:
            found = self._discovery.campaigns_of(workspace, client=client)
        finally:
            client.close()
        return replace(workspace, campaigns=found)

    def _download(self) -> bool:
        """Download the pages that are not cached; False: a workspace stopped."""
        pages = sampling.pages(self._span.days, now=self._span.started_at)
        requests: dict[str, list[PageRequest]] = {}
        for workspace, campaign in self._items:
            requests.setdefault(workspace.name, []).extend(
                PageRequest(campaign, page)
                for page in pages
                if not self._cache.has(source(workspace), campaign.id, page)
            )
        total = len(pages) * len(self._items)
        progress = Progress(
            "pages downloaded",
            total=total,
            done=total - sum(map(len, requests.values())),
            print_line=_print,
        )
        workspaces = {one.workspace.name: one.workspace for one in self._items}
        clients = {name: self._client(one) for name, one in workspaces.items()}
        downloads = [
            WorkspaceDownload(
                one,
                client=clients[name],
                requests=requests[name],
                clock=self._clock,
                random=random.random,
            )
            for name, one in workspaces.items()
        ]
        try:
            Download(
                self._cache,
                clock=self._clock,
                sleep=self._sleep,
                on_page=progress.advance,
                on_wait=_report_wait,
            ).run(downloads)
        finally:
            for client in clients.values():
                client.close()
        return self._report_failures(downloads)

    def _client(self, workspace: WorkspaceConfig) -> Client:
        return target.client(
            workspace,
            self._environment,
            response_bytes=self._config.limits.response_bytes,
            clock=self._clock,
        )

    def _report_failures(self, downloads: Sequence[WorkspaceDownload]) -> bool:
        """Return whether no workspace stopped."""
        failures = {one.workspace.name: one.failures for one in downloads}
        for index, (workspace, campaign) in enumerate(self._items):
            reason = failures[workspace.name].get(campaign.id)
            if reason is not None:
                self._fail(index, reason)
        stopped = [one for one in downloads if one.stopped_by]
        for one in stopped:
            _print(f"workspace {one.workspace.name}: {one.stopped_by}")
        return not stopped

    def _fail(self, index: int, reason: str) -> None:
        workspace, campaign = self._items[index]
        self._failures[index] = reason
        _print(
            f"workspace {workspace.name}, campaign {clean(campaign.name)} "
            f"({campaign.id}): {reason}"
        )

    def _count_series(self, history: HistoryFile) -> int:
        """Return how many series the file will have; 0: no campaign has a history."""
        series = 0
        for index, item in enumerate(self._items):
            if index in self._failures:
                continue
            try:
                series += history.history(item).series
            except (ValueError, OSError, MalformedSeries) as error:
                self._fail(index, f"a cached page cannot be read: {error}")
                history.delete_pages(item)
        return series

    def _write(self, history: HistoryFile, series: int) -> None:
        options = self._options
        step = options.step_seconds or sampling.step_for(
            series=series, days=options.days
        )
        items = [
            item
            for index, item in enumerate(self._items)
            if index not in self._failures
        ]
        progress = Progress(
            "parts written",
            total=len(items) * len(openmetrics.FAMILIES),
            print_line=_print,
        )
        samples = history.write(
            options.output,
            items,
            scrape_labels=options.labels,
            step_seconds=step,
            on_part=progress.advance,
        )
        _print(
            f"{options.output}: {samples} samples of {series} series, one every "
            f"{units.duration_text(step)}; load it with\n"
            "  promtool tsdb create-blocks-from openmetrics "
            f"--max-block-duration={BLOCK_HOURS}h {options.output} DIRECTORY"
        )
        if not options.step_seconds and step > sampling.HOUR_SECONDS:
            size = options.output.stat().st_size
            _print(step_advice(size, step_seconds=step))


def step_advice(size: int, *, step_seconds: float) -> str:
    """Return what --step 1h would show and cost, for a coarser file of `size` bytes."""
    hour = sampling.HOUR_SECONDS
    factor = sampling.samples_per_day(hour) / sampling.samples_per_day(step_seconds)
    return (
        "panels that show less than some months show few of these samples: --step 1h "
        f"shows more, in a file of about {size * factor / 1e9:.1f} GB"
    )


def _report_wait(seconds: float, workspace: str) -> None:
    if seconds >= _MIN_REPORTED_WAIT_SECONDS:
        _print(
            f"workspace {workspace}: waiting {duration(seconds)} for Braze's rate "
            "limit, requests_per_minute or reserve"
        )


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
