"""The history file: cached pages of Braze become one OpenMetrics file.

The order is kind by kind, in each family by family, and in each object by object. One
object's history is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import cache, partial
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
from exporter.model.snapshot import ObjectHistory
from exporter.polling.kinds import Kind
from exporter.series import parse


class HistoryObject(NamedTuple):
    """A campaign or canvas of the history, with its workspace."""

    workspace: WorkspaceConfig
    kind: Kind
    config: ObjectConfig

    @property
    def key(self) -> CacheKey:
        """The key of its pages."""
        return key_of(self.workspace, self.kind, self.config)


class HistorySpan(NamedTuple):
    """The last `days` complete days at `started_at`."""

    days: int
    started_at: float


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

    def _history(self, item: HistoryObject) -> ObjectHistory:
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
        )
        return parse.parse_history(
            (self._cache.get(item.key, page) for page in self._pages(item)),
            options,
            first=today - timedelta(days=days),
            last=sampling.sure_until(zone, now=started_at, kind=item.kind),
        )

    def _pages(self, item: HistoryObject) -> tuple[HistoryRequest, ...]:
        return sampling.pages(
            self._span.days, now=self._span.started_at, kind=item.kind
        )

    def delete_pages(self, item: HistoryObject) -> None:
        """Delete an object's cached pages, so that the next run downloads them."""
        self._cache.delete(item.key, self._pages(item))

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
        samples = 0
        try:
            with unfinished.open("w", encoding="utf-8", newline="\n") as file:
                for text in self._texts(items, scrape_labels, step_seconds, on_part):
                    file.write(text)
                    samples += text.count("\n") if not text.startswith("#") else 0
            unfinished.replace(output)
        finally:
            unfinished.unlink(missing_ok=True)
        return samples

    def _texts(
        self,
        items: Sequence[HistoryObject],
        scrape_labels: Mapping[str, str],
        step_seconds: float,
        on_part: Callable[[], None],
    ) -> Iterator[str]:
        until = self._span.started_at - sampling.HEAD_SECONDS

        @cache
        def line_endings(zone: ZoneInfo, day: date) -> tuple[str, ...]:
            times = sampling.sample_times(
                day, timezone=zone, step_seconds=step_seconds, until=until
            )
            return tuple(f" {at}\n" for at in times)

        for family, objects in parts_of(items):
            has_header = False
            for item in objects:
                for text in self._lines(family, item, scrape_labels, line_endings):
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
        line_endings: Callable[[ZoneInfo, date], Sequence[str]],
    ) -> Iterator[str]:
        workspace, kind, one = item
        if family not in self._families[item.key]:
            return iter(())
        return openmetrics.render(
            family,
            ObjectLabels(workspace.name, kind.name, one.name, one.id, one.labels),
            self._history(item),
            scrape_labels=scrape_labels,
            line_endings=partial(line_endings, workspace.timezone),
        )


def parts_of(
    items: Sequence[HistoryObject],
) -> Iterator[tuple[Family, Sequence[HistoryObject]]]:
    """Yield each family with the objects of its kind, in the order of the file."""
    for kind, families in BY_KIND.items():
        objects = [one for one in items if one.kind.name == kind]
        for family in openmetrics.families_of(families):
            yield family, objects
