"""`braze-exporter backfill`: earlier days as a file."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial

from exporter.backfill import download, sampling
from exporter.backfill.download import GroupDownload, PageRequest
from exporter.backfill.page_cache import PageCache
from exporter.backfill.writer import (
    HistoryFile,
    HistoryObject,
    HistorySpan,
    parts_of,
)
from exporter.commands import backfill_options, nouns, print_error, target
from exporter.commands.backfill_options import BLOCK_HOURS, BackfillOptions
from exporter.commands.flags import NO_CONFIG_FILE, Parser
from exporter.config import units
from exporter.config.load import load
from exporter.discovery.catalogue_cache import CatalogueCache
from exporter.discovery.one_shot import DiscoveryRun
from exporter.model.config import Config, WorkspaceConfig
from exporter.model.durations import duration
from exporter.model.errors import FetchError, MalformedSeries, StateError
from exporter.model.labels import clean
from exporter.polling.kinds import MESSAGING, Kind
from exporter.storage.sqlite_state import SqliteState
from exporter.system.clock import Clock
from exporter.system.progress import Progress

_MIN_REPORTED_WAIT_SECONDS = 5.0
_STOPPED = "stopped: run the command again to resume"


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Download the history and write it."""
    description = backfill_options.DESCRIPTION
    parser = Parser(backfill_options.FLAGS, "braze-exporter backfill", description)
    given = parser.parse(arguments, environment)
    if not given.config_file:
        parser.error(NO_CONFIG_FILE)
    with parser.usage_errors():
        options = backfill_options.parse(given)
    parsed = load(given.config_file, environment)
    for warning in parsed.warnings:
        print_error(str(warning))
    try:
        return _Backfill(parsed.config, options, environment).run()
    except backfill_options.NothingSelected as error:
        parser.error(str(error))
    except OSError as error:
        reason = error.strerror or str(error)
        print_error(f"braze-exporter: {error.filename or options.output}: {reason}")
    except StateError as error:
        print_error(f"braze-exporter: {error}")
    except KeyboardInterrupt:
        print_error("\ninterrupted: run the command again to resume")
    return 1


class _Backfill:
    """One run of the command."""

    def __init__(
        self,
        config: Config,
        options: BackfillOptions,
        environment: Mapping[str, str],
    ) -> None:
        self._config = config
        self._options = options
        self._clock = Clock()
        self._sleep = threading.Event().wait
        self._client = partial(
            target.client,
            environment=environment,
            response_bytes=config.limits.response_bytes,
            clock=self._clock,
        )
        directory = options.output.with_name(f"{options.output.name}.pages")
        self._cache = PageCache(directory)
        self._catalogues = CatalogueCache(SqliteState(directory))

    def run(self) -> int:
        """Return the exit code. OSError: a file cannot be written."""
        workspaces, patterns = self._config.workspaces, self._options.patterns
        has_discovery = any(one.discover for one in workspaces)
        if not has_discovery:  # a wrong pattern fails before anything is written
            backfill_options.select(workspaces, patterns)
        with self._cache.locked():
            span = self._start()
            try:
                if has_discovery:
                    workspaces = tuple(map(self._discover, workspaces))
            except FetchError as failure:
                print_error(f"{failure}\n{_STOPPED}")
                return 1
            items = backfill_options.select(workspaces, patterns)
            downloaded = self._download(items, span)
            if downloaded is None:
                print_error(_STOPPED)
                return 1
            return self._write_history(downloaded, span, wanted=items)

    def _start(self) -> HistorySpan:
        now = self._clock.now()
        started_at = self._cache.start(now=now)
        if started_at < now:
            print_error(
                f"resuming the run that started {duration(now - started_at)} ago; "
                "its days are counted from then"
            )
        return HistorySpan(self._options.days, started_at)

    def _discover(self, workspace: WorkspaceConfig) -> WorkspaceConfig:
        """Return the workspace with what is discovered. FetchError: Braze fails."""
        if workspace.discover is None:
            return workspace

        def print_line(text: str) -> None:
            print_error(f"workspace {workspace.name}: {text}")

        print_line("reading the lists of Braze")
        with self._client(workspace) as client:
            found = DiscoveryRun(
                workspace,
                requests_per_minute=workspace.shared_requests_per_minute,
                client=client,
                clock=self._clock,
                sleep=self._sleep,
                random=random.random,
                print_line=print_line,
                file=self._catalogues,
            ).run()
        counts = (
            f"{len(one.objects(found))} {one.plural}"
            for one in MESSAGING
            if one.discovered(workspace) or one.objects(found)
        )
        print_line(", ".join(counts))
        return found

    def _download(
        self, items: Sequence[HistoryObject], span: HistorySpan
    ) -> Sequence[HistoryObject] | None:
        """Download the pages that are not cached.

        Return the objects without a failure; None: a workspace stopped.
        """
        requests: dict[tuple[str, Kind], list[PageRequest]] = {}
        total = 0
        for item in items:
            pages = item.pages(span)
            total += len(pages)
            requests.setdefault((item.workspace.name, item.kind), []).extend(
                PageRequest(item.config, page)
                for page in pages
                if not self._cache.has(item.key, page)
            )
        progress = Progress(
            "pages downloaded",
            total=total,
            done=total - sum(map(len, requests.values())),
            print_line=print_error,
        )
        workspaces = {one.workspace.name: one.workspace for one in items}
        with ExitStack() as stack:
            sessions = {
                name: download.session_of(
                    workspace,
                    client=stack.enter_context(self._client(workspace)),
                    clock=self._clock,
                    random=random.random,
                )
                for name, workspace in workspaces.items()
            }
            downloads = {
                (name, kind): GroupDownload(
                    workspaces[name],
                    kind,
                    session=sessions[name],
                    requests=pending,
                    cache=self._cache,
                    on_page=progress.advance,
                )
                for (name, kind), pending in requests.items()
            }
            download.run(
                tuple(downloads.values()),
                clock=self._clock,
                sleep=self._sleep,
                on_wait=_report_wait,
            )
        complete = []
        for item in items:
            of_kind = downloads[item.workspace.name, item.kind]
            if item.config.id in of_kind.failures:
                _report_failure(item, of_kind.failures[item.config.id])
            elif not of_kind.stopped_by:
                complete.append(item)
        stopped = [one for one in downloads.values() if one.stopped_by]
        reasons = (
            f"workspace {one.workspace.name}: {one.stopped_by}" for one in stopped
        )
        for reason in dict.fromkeys(reasons):
            print_error(reason)
        # A missing permission leaves out its kind alone.
        served = {
            one.workspace.name for one in downloads.values() if not one.stopped_by
        }
        is_stopped = any(
            not one.is_forbidden or one.workspace.name not in served for one in stopped
        )
        return None if is_stopped else complete

    def _write_history(
        self,
        items: Sequence[HistoryObject],
        span: HistorySpan,
        *,
        wanted: Sequence[HistoryObject],
    ) -> int:
        history = HistoryFile(self._cache, self._config, span)
        complete, series = [], 0
        for item in items:
            try:
                series += history.read(item)
                complete.append(item)
            except (ValueError, OSError, MalformedSeries) as error:
                _report_failure(item, f"a cached page cannot be read: {error}")
                history.delete_pages(item)
        missing = len(wanted) - len(complete)
        if missing:
            self._cache.mark_incomplete(now=self._clock.now())
        if not series:
            print_error("nothing to write: there is no complete history")
            return 1
        self._write(history, complete, series)
        if missing:
            plurals = dict.fromkeys(one.kind.plural for one in wanted)
            kinds = nouns.joined(plurals, "and")
            print_error(
                f"{missing} of {len(wanted)} {kinds} are missing: run the "
                "command again within 12 h to retry only these"
            )
            return 1
        self._cache.remove()
        return 0

    def _write(
        self, history: HistoryFile, items: Sequence[HistoryObject], series: int
    ) -> None:
        options = self._options
        step = options.step_seconds or sampling.step_for(
            series=series, days=options.days
        )
        progress = Progress(
            "parts written",
            total=sum(len(objects) for _, objects in parts_of(items)),
            print_line=print_error,
        )
        samples = history.write(
            options.output,
            items,
            scrape_labels=options.labels,
            step_seconds=step,
            on_part=progress.advance,
        )
        print_error(
            f"{options.output}: {samples} samples of {series} series, one every "
            f"{units.duration_text(step)}; load it with\n"
            "  promtool tsdb create-blocks-from openmetrics "
            f"--max-block-duration={BLOCK_HOURS}h {options.output} DIRECTORY"
        )
        if not options.step_seconds and step > sampling.HOUR_SECONDS:
            size = options.output.stat().st_size
            print_error(step_advice(size, step_seconds=step))


def step_advice(size: int, *, step_seconds: float) -> str:
    """Return what --step 1h would show and cost, for a coarser file of `size` bytes."""
    hour = sampling.HOUR_SECONDS
    factor = sampling.samples_per_day(hour) / sampling.samples_per_day(step_seconds)
    return (
        "panels that show less than some months show few of these samples: --step 1h "
        f"shows more, in a file of about {size * factor / 1e9:.1f} GB"
    )


def _report_wait(seconds: float, waiting: GroupDownload) -> None:
    if seconds >= _MIN_REPORTED_WAIT_SECONDS:
        option = waiting.kind.ceiling_option or "the ceiling for purchases"
        print_error(
            f"workspace {waiting.workspace.name}: waiting {duration(seconds)} for "
            f"Braze's rate limit, {option} or reserve"
        )


def _report_failure(item: HistoryObject, reason: str) -> None:
    name = f"{item.kind.label} {clean(item.title)}"
    if item.config.id != item.title:
        name += f" ({item.config.id})"
    print_error(f"workspace {item.workspace.name}, {name}: {reason}")
