"""The history file: cached pages of Braze become one OpenMetrics file.

The order is kind by kind, in each family by family, and in each object by object;
families that kinds share are written once. One object's history is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from exporter.backfill import openmetrics, sampling
from exporter.backfill.download import key_of
from exporter.backfill.page_cache import CacheKey, PageCache
from exporter.backfill.sampling import HistoryRequest
from exporter.metrics.families import BY_KIND
from exporter.metrics.family import Family
from exporter.metrics.object_metrics import ObjectLabels
from exporter.model.config import Config, ObjectConfig, WorkspaceConfig
from exporter.model.snapshot import ObjectHistory, SampleHistory, Span
from exporter.polling.kinds import History, Kind
from exporter.series import parse, samples

_MOST_CACHED = 4096
"""Spans of days whose line endings are kept: eleven years."""


class HistorySpan(NamedTuple):
    """The last `days` complete days at `started_at`."""

    days: int
    started_at: float


class HistoryObject(NamedTuple):
    """An object of the history, with its workspace."""

    workspace: WorkspaceConfig
    kind: Kind
    config: ObjectConfig
    history: History

    @property
    def title(self) -> str:
        """Its name, unique among the objects with the same label."""
        return self.kind.title(self.config)

    def pages(self, span: HistorySpan) -> tuple[HistoryRequest, ...]:
        """Return the requests for its days, newest first."""
        return sampling.pages(span.days, now=span.started_at, history=self.history)

    @property
    def key(self) -> CacheKey:
        """The key of its pages."""
        return key_of(self.workspace, self.kind, self.config)


class HistoryFile:
    """The history of a span, read from a page cache and filtered as configured."""

    def __init__(self, cache: PageCache, config: Config, span: HistorySpan) -> None:
        self._cache = cache
        self._config = config
        self._span = span
        self._families: dict[CacheKey, frozenset[Family]] = {}
        """Of each object, so that its pages are read for these only."""

    def read(self, item: HistoryObject) -> int:
        """Read one object's days, and return how many series they make.

        ValueError, OSError, MalformedSeries: a cached page cannot be read.
        """
        history = self._history(item)
        families = BY_KIND[item.kind.name]
        self._families[item.key] = openmetrics.families_with_samples(families, history)
        return history.series

    def _history(self, item: HistoryObject) -> ObjectHistory | SampleHistory:
        days, started_at = self._span
        zone = item.workspace.timezone
        today = sampling.today(now=started_at, timezone=zone)
        options = parse.ParseOptions(
            row_parser=item.kind.row_parser(item.config),
            today=today,
            timezone=zone,
            windows=self._config.windows,
            channels=self._config.channels,
            metrics=self._config.metrics.selection,
            skip_unused=self._config.metrics.skip_unused,
            series_limit=self._config.limits.series_per_campaign,
            now=started_at if item.history.parser else 0.0,
        )
        first = today - timedelta(days=days)
        last = sampling.sure_until(zone, now=started_at, history=item.history)
        pages = item.pages(self._span)
        if item.history.parser is None:
            documents = (self._cache.get(item.key, page) for page in pages)
            return parse.parse_history(documents, options, first=first, last=last)
        rows = [
            row
            for page in reversed(pages)
            for row in item.kind.rows(item.config, self._cache.get(item.key, page))
        ]
        past = tuple(item.history.parser(rows, options, first=first, last=last))
        is_within = len(past) + samples.STATUS_SERIES <= options.series_limit
        return SampleHistory(past if is_within else ())

    def delete_pages(self, item: HistoryObject) -> None:
        """Delete an object's cached pages, so that the next run downloads them."""
        self._cache.delete(item.key, item.pages(self._span))

    def write(
        self,
        output: Path,
        items: Sequence[HistoryObject],
        *,
        scrape_labels: Mapping[str, str],
        step_seconds: float,
        on_part: Callable[[], None],
    ) -> int:
        """Write the file of objects that were read; return the number of samples.

        It replaces an earlier one at the end. `on_part` is called after each object of
        each family. OSError: the file cannot be written. Raises what `read` raises.
        """
        unfinished = output.with_name(f"{output.name}.unfinished")
        written = 0
        try:
            with unfinished.open("w", encoding="utf-8", newline="\n") as file:
                for text in self._texts(items, scrape_labels, step_seconds, on_part):
                    file.write(text)
                    written += text.count("\n") if not text.startswith("#") else 0
            unfinished.replace(output)
        finally:
            unfinished.unlink(missing_ok=True)
        return written

    def _texts(
        self,
        items: Sequence[HistoryObject],
        scrape_labels: Mapping[str, str],
        step_seconds: float,
        on_part: Callable[[], None],
    ) -> Iterator[str]:
        until = self._span.started_at - sampling.HEAD_SECONDS

        @lru_cache(maxsize=_MOST_CACHED)
        def line_endings(zone: ZoneInfo, span: Span) -> tuple[str, ...]:
            times = sampling.sample_times(
                span, timezone=zone, step_seconds=step_seconds, until=until
            )
            return tuple(f" {at}\n" for at in times)

        @lru_cache(maxsize=_MOST_CACHED)
        def endings_of_day(zone: ZoneInfo, day: date) -> tuple[str, ...]:
            return line_endings(zone, sampling.shown_over(day, zone))

        for family, objects in parts_of(items):
            has_header = False
            for item in objects:
                for text in self._lines(
                    family,
                    item,
                    scrape_labels,
                    partial(endings_of_day, item.workspace.timezone),
                    partial(line_endings, item.workspace.timezone),
                ):
                    if not has_header:
                        has_header = True
                        yield openmetrics.header(family)
                    yield text
                on_part()
        yield openmetrics.END

    def _lines(
        self,
        family: Family,
        item: HistoryObject,
        scrape_labels: Mapping[str, str],
        endings_of_day: openmetrics.LineEndings,
        line_endings: openmetrics.SpanEndings,
    ) -> Iterator[str]:
        if family not in self._families[item.key]:
            return iter(())
        workspace, kind, one, _ = item
        subject = ObjectLabels(workspace.name, kind.name, one.name, one.id, one.labels)
        history = self._history(item)
        if isinstance(history, SampleHistory):
            return openmetrics.render_samples(
                family,
                subject,
                history,
                scrape_labels=scrape_labels,
                line_endings=line_endings,
            )
        return openmetrics.render(
            family,
            subject,
            history,
            scrape_labels=scrape_labels,
            line_endings=endings_of_day,
        )


def parts_of(
    items: Sequence[HistoryObject],
) -> Iterator[tuple[Family, Sequence[HistoryObject]]]:
    """Yield each family with the objects of its kinds, in the order of the file."""
    of_kind = {
        kind: openmetrics.families_of(families) for kind, families in BY_KIND.items()
    }
    for family in dict.fromkeys(chain.from_iterable(of_kind.values())):
        yield family, [one for one in items if family in of_kind[one.kind.name]]
