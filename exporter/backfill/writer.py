"""The history file: cached pages of Braze become one OpenMetrics file.

The order is family by family, and in each campaign by campaign. One campaign's history
is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from exporter.backfill import openmetrics, sampling
from exporter.backfill.download import source
from exporter.backfill.page_cache import PageCache
from exporter.metrics import families
from exporter.metrics.object_metrics import ObjectLabels
from exporter.model.config import Config, ObjectConfig, WorkspaceConfig
from exporter.model.snapshot import ObjectHistory
from exporter.series import parse
from exporter.series.campaign_rows import CampaignRowParser


class HistoryCampaign(NamedTuple):
    """A campaign of the history, with its workspace."""

    workspace: WorkspaceConfig
    campaign: ObjectConfig


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
        self._pages = sampling.pages(span.days, now=span.started_at)

    def history(self, item: HistoryCampaign) -> ObjectHistory:
        """Return one campaign's days.

        ValueError, OSError, MalformedSeries: a cached page cannot be read.
        """
        days, started_at = self._span
        zone = item.workspace.timezone
        today = sampling.today(now=started_at, timezone=zone)
        key = source(item.workspace)
        options = parse.ParseOptions(
            row_parser=CampaignRowParser,
            today=today,
            timezone=zone,
            windows=(),
            channels=self._config.channels,
            metrics=self._config.metrics,
            series_limit=self._config.limits.series_per_campaign,
        )
        return parse.parse_history(
            (self._cache.get(key, item.campaign.id, page) for page in self._pages),
            options,
            first=today - timedelta(days=days),
        )

    def delete_pages(self, item: HistoryCampaign) -> None:
        """Delete a campaign's cached pages, so that the next run downloads them."""
        self._cache.delete(source(item.workspace), item.campaign.id, self._pages)

    def write(
        self,
        output: Path,
        items: Sequence[HistoryCampaign],
        *,
        scrape_labels: Mapping[str, str],
        step_seconds: float,
        on_part: Callable[[], None],
    ) -> int:
        """Write the file atomically; return the number of samples.

        `on_part` is called after each campaign of each family. OSError: the file cannot
        be written. Raises what `history` raises.
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
        items: Sequence[HistoryCampaign],
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

        for family in openmetrics.families_of(families.CAMPAIGN):
            has_header = False
            for item in items:
                workspace, campaign = item
                labels = ObjectLabels(
                    workspace.name,
                    families.CAMPAIGN.kind,
                    campaign.name,
                    campaign.id,
                    campaign.labels,
                )
                for text in openmetrics.render(
                    family,
                    labels,
                    self.history(item),
                    scrape_labels=scrape_labels,
                    line_endings=partial(line_endings, workspace.timezone),
                ):
                    if not has_header:
                        has_header = True
                        yield openmetrics.header(family)
                    yield text
                on_part()
        yield openmetrics.END
