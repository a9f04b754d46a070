"""`braze-exporter backfill`: the history of campaigns, for Prometheus to load."""

from __future__ import annotations

import random
import re
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, TextIO

from exporter.backfill import download, openmetrics, sampling
from exporter.backfill.download import Download, PageRequest, source
from exporter.backfill.page_cache import PageCache
from exporter.backfill.writer import HistoryFile, Item, Span
from exporter.braze.client import Client
from exporter.braze.proxies import ProxySettings
from exporter.commands.flags import CONFIG_FILE, Flag, Parser
from exporter.config import units
from exporter.config.load import load
from exporter.discovery.catalogue_cache import CatalogueCache
from exporter.discovery.one_shot import DiscoveryRun
from exporter.model.config import Config, Selection, WorkspaceConfig
from exporter.model.errors import FetchError, MalformedSeries, StateError
from exporter.model.labels import clean
from exporter.model.patterns import matcher
from exporter.storage.sqlite_state import SqliteState
from exporter.system.api_key import ApiKey, read_key
from exporter.system.clock import Clock
from exporter.system.progress import Progress, duration

JOB = "braze-exporter"
_AUTO = "auto"
_FLAGS = (
    CONFIG_FILE,
    Flag("days", "How many complete days, up to yesterday.", "N", default="365"),
    Flag("output", "The file to write.", "FILE", default="history.om"),
    Flag(
        "campaign",
        "Only the campaigns of this id or name, which may hold * and ?. May be "
        "repeated.",
        "NAME",
        is_list=True,
    ),
    Flag(
        "label",
        "A label that Prometheus adds when it scrapes, so that history and present "
        "stand together. May be repeated.",
        "NAME=VALUE",
        default=f"job={JOB}",
        is_list=True,
    ),
    Flag(
        "step",
        "From one sample of a day to its next, 1m to 1d. auto: as fine as a file of "
        "4 GB holds, 5m at best.",
        "DURATION",
        default=_AUTO,
    ),
)
_DESCRIPTION = """\
Ask Braze for the days that are over, a hundred in a request, and write them as
OpenMetrics. Load them into Prometheus with

  promtool tsdb create-blocks-from openmetrics --max-block-duration=1458h \\
    history.om DIRECTORY

The campaigns are those the daemon polls: the listed ones, and those that discovery
finds. The budget of the configuration holds. What was read is kept beside the output
until that is whole: if it was interrupted, run it again, and it goes on."""

_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_OWN_LABELS = {
    *("workspace", "campaign", "campaign_id", "channel", "variation", "metric"),
    *("variation_id", "control"),
}
_LONG_WAIT_SECONDS = 5.0
_STOPPED = "stopped: run it again, and it goes on where it stopped"
_BLOCK_HOURS = 1458
"""The longest block below three months that promtool knows: it then reads the file a
few times, and not once for every two hours of it."""


class _Order(NamedTuple):
    """What the flags ask for."""

    days: int
    output: Path
    campaigns: tuple[str, ...]
    labels: Mapping[str, str]
    step_seconds: float | None


class _NoCampaign(Exception):
    """What --campaign names, or all there is, is not a single one."""


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Ask, then write."""
    parser = Parser(_FLAGS, program="braze-exporter backfill", description=_DESCRIPTION)
    options = parser.parse(arguments, environment)
    if not options.config_file:
        parser.error(
            f"no configuration: give --config.file FILE or set {CONFIG_FILE.variable}"
        )
    try:
        order = _Order(
            days=_days(options.days),
            output=_output(options.output),
            campaigns=tuple(options.campaign or ()),
            labels=_labels(options.label or ()),
            step_seconds=_step(options.step),
        )
    except ValueError as error:
        parser.error(str(error))
    parsed = load(options.config_file, environment)
    for warning in parsed.warnings:
        print(warning, file=sys.stderr)
    run = _Run(parsed.config, order, environment=environment, told=sys.stderr)
    try:
        return run.run()
    except _NoCampaign as error:
        parser.error(str(error))
    except OSError as error:
        reason = error.strerror or str(error)
        place = error.filename or order.output
        print(f"braze-exporter: {place}: {reason}", file=sys.stderr)
        return 1
    except StateError as error:
        print(f"braze-exporter: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted: run it again, and it goes on", file=sys.stderr)
        return 1


class _Run:
    """One run of the command."""

    def __init__(
        self,
        config: Config,
        order: _Order,
        *,
        environment: Mapping[str, str],
        told: TextIO,
    ) -> None:
        self._config = config
        self._order = order
        self._items: Sequence[Item] = ()
        self._environment = environment
        self._told = told
        self._clock = Clock()
        self._now = self._clock.now
        place = order.output.with_name(f"{order.output.name}.pages")
        self._archive = PageCache(place)
        self._exploration = DiscoveryRun(
            CatalogueCache(SqliteState(place)),
            clock=self._clock,
            wait=_wait,
            draw=random.random,
            say=self._say,
        )
        self._span = Span(order.days, 0.0)
        self._failures: dict[int, str] = {}
        """Number of an item → why it has no history."""

    def run(self) -> int:
        """Return the exit code. OSError: a file cannot be written."""
        is_listed = not any(one.discover for one in self._config.workspaces)
        if is_listed:  # what is wrong with --campaign is told before anything begins
            self._choose(self._config.workspaces)
        with self._archive.held():
            return self._run(is_listed=is_listed)

    def _run(self, *, is_listed: bool) -> int:
        self._begin()
        if not is_listed:
            try:
                self._choose(tuple(map(self._found, self._config.workspaces)))
            except FetchError as failure:
                self._say(f"{failure}\n{_STOPPED}")
                return 1
        if not self._ask():
            self._say(_STOPPED)
            return 1
        history = HistoryFile(self._archive, self._config, self._span)
        series = self._count(history)
        if self._failures:
            self._archive.note_asked(now=self._now())
        if not series:
            self._say("there is no history to write")
            return 1
        step = self._order.step_seconds or sampling.step_for(
            series=series, days=self._order.days
        )
        samples = self._write(history, step)
        self._say(
            f"{self._order.output}: {samples} samples of {series} series, every "
            f"{units.duration_text(step)} of each day; load it with\n  "
            "promtool tsdb create-blocks-from openmetrics "
            f"--max-block-duration={_BLOCK_HOURS}h {self._order.output} DIRECTORY"
        )
        if not self._order.step_seconds and step > sampling.HOUR_SECONDS:
            size = self._order.output.stat().st_size
            self._say(advice(size, step_seconds=step))
        if self._failures:
            self._say(
                f"{len(self._failures)} of {len(self._items)} campaigns are missing; "
                "run it again within 12 h to ask for these once more"
            )
            return 1
        self._archive.remove()
        return 0

    def _begin(self) -> None:
        now = self._now()
        begun_at = self._archive.begin(now=now)
        self._span = self._span._replace(begun_at=begun_at)
        if begun_at < now:
            self._say(
                "going on with what was begun "
                f"{duration(now - begun_at)} ago; days are counted from then"
            )

    def _choose(self, workspaces: Sequence[WorkspaceConfig]) -> None:
        self._items = _items(workspaces, self._order.campaigns)

    def _found(self, workspace: WorkspaceConfig) -> WorkspaceConfig:
        """Return the workspace with what discovery finds. FetchError: it does not."""
        client = self._client(workspace)
        try:
            found = self._exploration.campaigns_of(workspace, client=client)
        finally:
            client.close()
        return replace(workspace, campaigns=found)

    def _ask(self) -> bool:
        """Ask Braze for the pages that are not kept; False: a workspace stopped."""
        pages = sampling.pages(self._span.days, now=self._span.begun_at)
        wanted: dict[str, list[PageRequest]] = {}
        for item in self._items:
            wanted.setdefault(item.workspace.name, []).extend(
                PageRequest(item.campaign, page)
                for page in pages
                if not self._archive.has(source(item.workspace), item.campaign.id, page)
            )
        total = len(pages) * len(self._items)
        missing = sum(map(len, wanted.values()))
        progress = Progress(
            "pages of Braze",
            total=total,
            done=total - missing,
            stream=self._told,
            now=self._now,
        )
        workspaces = {one.workspace.name: one.workspace for one in self._items}
        clients = {name: self._client(one) for name, one in workspaces.items()}
        accounts = [
            download.WorkspaceDownload(one, client=clients[name], wanted=wanted[name])
            for name, one in workspaces.items()
        ]
        try:
            self._retrieval(progress).run(accounts)
        finally:
            progress.close()
            for client in clients.values():
                client.close()
        return self._take_failures(accounts)

    def _client(self, workspace: WorkspaceConfig) -> Client:
        return Client(
            workspace,
            read_key=ApiKey(
                workspace.key_source, partial(read_key, environment=self._environment)
            ),
            egress=ProxySettings.from_environment(self._environment),
            response_bytes=self._config.limits.response_bytes,
            now=self._now,
        )

    def _retrieval(self, progress: Progress) -> Download:
        def waits(seconds: float, workspace: str) -> None:
            if seconds >= _LONG_WAIT_SECONDS:
                progress.say(
                    f"workspace {workspace}: waiting {duration(seconds)}, as Braze's "
                    "limits or the budget ask"
                )

        return Download(
            self._archive,
            now=self._now,
            wait=_wait,
            draw=random.random,
            advanced=progress.advance,
            waits=waits,
            jump=self._clock.jump,
            clock_set_by=self._clock.set_by,
        )

    def _take_failures(self, accounts: Sequence[download.WorkspaceDownload]) -> bool:
        is_whole = True
        by_workspace = {one.workspace.name: one for one in accounts}
        for number, item in enumerate(self._items):
            account = by_workspace[item.workspace.name]
            reason = account.failures.get(item.campaign.id)
            if reason is not None:
                self._fail(number, reason)
        for account in accounts:
            if account.stopped_by:
                is_whole = False
                self._say(f"workspace {account.workspace.name}: {account.stopped_by}")
        return is_whole

    def _fail(self, number: int, reason: str) -> None:
        item = self._items[number]
        self._failures[number] = reason
        self._say(
            f"workspace {item.workspace.name}, campaign {clean(item.campaign.name)} "
            f"({item.campaign.id}): {reason}"
        )

    def _count(self, history: HistoryFile) -> int:
        """Return how many series there will be; 0: not one campaign has a history."""
        series = 0
        for number, item in enumerate(self._items):
            if number in self._failures:
                continue
            try:
                series += history.history(item).series
            except (ValueError, OSError, MalformedSeries) as error:
                self._fail(number, f"a kept page cannot be read: {error}")
                history.forget(item)
        return series

    def _write(self, history: HistoryFile, step_seconds: float) -> int:
        """Write the file; return how many samples are in it."""
        items = [
            item
            for number, item in enumerate(self._items)
            if number not in self._failures
        ]
        progress = Progress(
            "parts of the file",
            total=len(items) * len(openmetrics.FAMILIES),
            stream=self._told,
            now=self._now,
        )
        try:
            return history.write(
                self._order.output,
                items,
                labels=self._order.labels,
                step_seconds=step_seconds,
                advanced=progress.advance,
            )
        finally:
            progress.close()

    def _say(self, text: str) -> None:
        print(text, file=self._told, flush=True)


def advice(size: int, *, step_seconds: float) -> str:
    """Say what an hourly history shows that this one of so many bytes does not."""
    hour = sampling.HOUR_SECONDS
    times = sampling.lines_a_day(hour) / sampling.lines_a_day(step_seconds)
    return (
        "panels of less than some months show little of it: --step 1h shows more, in a "
        f"file of about {size * times / 1e9:.1f} GB"
    )


def _wait(seconds: float) -> None:
    threading.Event().wait(seconds)


def _items(
    workspaces: Sequence[WorkspaceConfig], wanted: Sequence[str]
) -> tuple[Item, ...]:
    """Return the campaigns that are wanted. _NoCampaign: there is none, or no such."""
    items = [
        Item(workspace, campaign)
        for workspace in workspaces
        for campaign in workspace.campaigns
    ]
    if not items:
        message = "no campaign is listed, and discovery selects none"
        raise _NoCampaign(message)
    if not wanted:
        return tuple(items)
    found: set[int] = set()
    for wish in wanted:
        is_like = matcher(Selection((wish,)))
        matches = {
            number
            for number, item in enumerate(items)
            if wish in {item.campaign.id, item.campaign.name}
        } or {
            number for number, item in enumerate(items) if is_like(item.campaign.name)
        }
        if not matches:
            message = f"--campaign {wish!r}: no campaign of the configuration is that"
            raise _NoCampaign(message)
        found |= matches
    return tuple(item for number, item in enumerate(items) if number in found)


def _days(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 6) or not (
        1 <= int(text) <= sampling.MOST_DAYS
    ):
        message = (
            f"--days is {text!r}, expected a number from 1 to {sampling.MOST_DAYS}"
        )
        raise ValueError(message)
    return int(text)


def _output(text: str) -> Path:
    path = Path(text)
    if not path.name or path.is_dir() or not path.parent.is_dir():
        message = f"--output is {text!r}, expected a file in a directory that exists"
        raise ValueError(message)
    return path


def _step(text: str) -> float | None:
    if text == _AUTO:
        return None
    try:
        seconds = units.duration_seconds(text)
    except ValueError:
        seconds = 0.0
    if not 60 <= seconds <= 86400:
        message = f"--step is {text!r}, expected auto or a duration from 1m to 1d"
        raise ValueError(message)
    return seconds


def _labels(texts: Sequence[str]) -> dict[str, str]:
    labels = {"job": JOB}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not _LABEL_NAME.fullmatch(name) or name.startswith("__"):
            message = f"--label is {text!r}, expected NAME=VALUE such as job={JOB}"
            raise ValueError(message)
        if name in _OWN_LABELS:
            message = f"--label {name}: the samples have a label of that name"
            raise ValueError(message)
        labels[name] = value
    return labels
