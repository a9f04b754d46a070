"""The history of campaigns as one file: kept pages of Braze become OpenMetrics.

Family by family, and in it campaign by campaign: of all that is kept one campaign's
history at a time is in memory. It does not know how the pages came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

from exporter.backfill import openmetrics, sampling
from exporter.backfill.download import source
from exporter.backfill.page_cache import PageCache
from exporter.metrics.campaign_metrics import ObjectLabels
from exporter.model.config import CampaignConfig, Config, WorkspaceConfig
from exporter.model.snapshot import CampaignHistory
from exporter.series import parse


class Item(NamedTuple):
    """One campaign whose history is asked for."""

    workspace: WorkspaceConfig
    campaign: CampaignConfig


class Span(NamedTuple):
    """So many complete days, as they were when the asking began."""

    days: int
    begun_at: float


class HistoryFile:
    """What an archive holds of a span, shown as a configuration wants it."""

    def __init__(self, archive: PageCache, config: Config, span: Span) -> None:
        self._archive = archive
        self._config = config
        self._span = span
        self._pages = sampling.pages(span.days, now=span.begun_at)

    def history(self, item: Item) -> CampaignHistory:
        """Return one campaign's days.

        ValueError, OSError, MalformedSeries: a kept page cannot be read.
        """
        days, begun_at = self._span
        zone = item.workspace.timezone
        place = source(item.workspace)
        reading = parse.ParseOptions(
            today=sampling.today(now=begun_at, timezone=zone),
            timezone=zone,
            windows=(),
            channels=self._config.channels,
            metrics=self._config.metrics,
            series_limit=self._config.limits.series_per_campaign,
        )
        return parse.parse_history(
            (self._archive.get(place, item.campaign.id, page) for page in self._pages),
            reading,
            first=sampling.first_day(days, now=begun_at, timezone=zone),
        )

    def forget(self, item: Item) -> None:
        """Let go of a campaign's pages: they are to be asked for once more."""
        self._archive.forget(source(item.workspace), item.campaign.id, self._pages)

    def write(
        self,
        output: Path,
        items: Sequence[Item],
        *,
        labels: Mapping[str, str],
        step_seconds: float,
        advanced: Callable[[], None],
    ) -> int:
        """Write the file, whole or not at all; return how many samples are in it.

        `advanced` is called after each campaign of each family. OSError: it cannot be
        written; or as `history` has it.
        """
        unfinished = output.with_name(f"{output.name}.unfinished")
        samples = 0
        try:
            with unfinished.open("w", encoding="utf-8", newline="\n") as file:
                for text in self._texts(items, labels, step_seconds, advanced):
                    file.write(text)
                    samples += text.count("\n") if not text.startswith("#") else 0
            unfinished.replace(output)
        finally:
            with suppress(FileNotFoundError):
                unfinished.unlink()
        return samples

    def _texts(
        self,
        items: Sequence[Item],
        labels: Mapping[str, str],
        step_seconds: float,
        advanced: Callable[[], None],
    ) -> Iterator[str]:
        tails = self._tails(items, step_seconds)
        for family in openmetrics.FAMILIES:
            has_header = False
            for item in items:
                workspace, campaign = item
                subject = ObjectLabels(
                    workspace.name, campaign.name, campaign.id, campaign.labels
                )
                for text in openmetrics.render(
                    family,
                    subject,
                    self.history(item),
                    labels=labels,
                    tails=partial(tails, workspace.timezone.key),
                ):
                    if not has_header:
                        has_header = True
                        yield openmetrics.header(family)
                    yield text
                advanced()
        yield openmetrics.END

    def _tails(
        self, items: Sequence[Item], step_seconds: float
    ) -> Callable[[str, date], tuple[str, ...]]:
        """Return what gives the ends of a day's lines, made once for each zone."""
        zones = {one.workspace.timezone.key: one.workspace.timezone for one in items}
        until = self._span.begun_at - sampling.HEAD_SECONDS

        @cache
        def tails(zone: str, day: date) -> tuple[str, ...]:
            instants = sampling.instants(
                day, timezone=zones[zone], step_seconds=step_seconds, until=until
            )
            return openmetrics.tails(tuple(instants))

        return tails
