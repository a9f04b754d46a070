"""The whole exposition: the lines of all campaigns, then the metrics of this process.

What has not changed since the last scrape is neither joined nor compressed again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import groupby
from threading import Lock
from typing import NamedTuple, TypeGuard

from exporter.metrics import campaign_metrics, gzip_member
from exporter.metrics.campaign_metrics import Block, FamilyBlocks, RenderedObject
from exporter.metrics.gzip_member import DeflatedBlock
from exporter.metrics.self_metrics import SelfMetrics
from exporter.metrics.store import Entry

_PLAIN_PAGE_SECONDS = 300
"""Series become stale in Prometheus after five minutes: scrapes are more frequent."""

_Families = dict[bytes, tuple[tuple[Block, ...], DeflatedBlock]]
"""Header of a family → its blocks, and all of them compressed."""


class _CompressedCampaigns(NamedTuple):
    """The campaigns' part of a page, compressed."""

    version: int
    """The version of the store."""
    families: _Families


class _PlainCampaigns(NamedTuple):
    """The campaigns' part of a page, plain."""

    version: int
    """The version of the store."""
    texts: Mapping[DeflatedBlock, bytes]
    """The texts of compressed blocks."""
    chunks: list[bytes]
    """All lines in their order."""


_NOTHING_COMPRESSED = _CompressedCampaigns(-1, {})
_NOTHING_PLAIN = _PlainCampaigns(-1, {}, [])


class ExpositionPages:
    """Builds pages of the `entries` that may be served at the time of the scrape.

    `version` changes with every change of the entries. All methods may be called from
    any thread.
    """

    def __init__(
        self,
        entries: Callable[[], tuple[Entry, ...]],
        telemetry: SelfMetrics,
        *,
        version: Callable[[], int],
    ) -> None:
        self._entries = entries
        self._version = version
        self._telemetry = telemetry
        self._compressed_lock = Lock()
        self._compressed = _NOTHING_COMPRESSED
        self._plain_lock = Lock()
        self._plain = _NOTHING_PLAIN
        self._ticks = 0
        """How often `tick` was called since the last plain page."""

    def render(self, *, is_gzip: bool, is_openmetrics: bool) -> tuple[bytes, ...]:
        """Return the chunks of a page, plain or as one gzip member."""
        render = self.compressed if is_gzip else self.plain
        return render(is_openmetrics=is_openmetrics)

    def plain(self, *, is_openmetrics: bool) -> tuple[bytes, ...]:
        """Return the chunks of a page; those of campaigns are shared, not copied."""
        self._entries()  # expires stale values, which changes the version
        with self._plain_lock:
            self._ticks = 0
            version = self._version()
            if self._plain.version != version:
                self._plain = _plain(version, self._entries(), self._plain.texts)
            chunks = self._plain.chunks
        return (*chunks, self._telemetry.render(is_openmetrics=is_openmetrics))

    def compressed(self, *, is_openmetrics: bool) -> tuple[bytes, ...]:
        """Return the chunks of a page as one gzip member.

        The campaigns' part is kept until an entry changes, and each family of it until
        one of its blocks changes; the metrics of the process are compressed each time.
        """
        self._entries()  # expires stale values, which changes the version
        process = self._telemetry.render(is_openmetrics=is_openmetrics)
        return gzip_member.member(
            *self._compressed_families(), gzip_member.deflate(process)
        )

    def tick(self) -> None:
        """Release the plain page after five minutes without a request for it.

        To be called once a second. Prometheus requests gzip; a single request without
        it must not keep a whole page in memory.
        """
        self._ticks += 1
        if self._ticks > _PLAIN_PAGE_SECONDS and self._plain_lock.acquire(
            blocking=False
        ):
            self._plain = _NOTHING_PLAIN
            self._plain_lock.release()

    def _compressed_families(self) -> list[DeflatedBlock]:
        with self._compressed_lock:
            version = self._version()
            if self._compressed.version != version:
                families = _families(self._entries(), self._compressed.families)
                self._compressed = _CompressedCampaigns(version, families)
            return [block for _, block in self._compressed.families.values()]


def _rendered(entries: tuple[Entry, ...]) -> list[RenderedObject]:
    rendered = [entry.status_blocks for entry in entries]
    rendered.extend(entry.values for entry in entries if entry.values is not None)
    return rendered


def _plain(
    version: int, entries: tuple[Entry, ...], cached: Mapping[DeflatedBlock, bytes]
) -> _PlainCampaigns:
    texts: dict[DeflatedBlock, bytes] = {}

    def text_of(block: Block) -> bytes:
        if not isinstance(block, DeflatedBlock):
            return block
        text = texts[block] = cached.get(block) or campaign_metrics.lines_of(block)
        return text

    chunks = campaign_metrics.page(_rendered(entries), text_of)
    return _PlainCampaigns(version, texts, chunks)


def _families(entries: tuple[Entry, ...], previous: _Families) -> _Families:
    families = {}
    for family in campaign_metrics.families_of(_rendered(entries)):
        cached = previous.get(family.header)
        if cached is None or cached[0] != family.blocks:
            cached = (family.blocks, _deflated(family))
        families[family.header] = cached
    return families


def _deflated(family: FamilyBlocks) -> DeflatedBlock:
    """Compress a family: runs of small blocks; large blocks are compressed already."""
    blocks: list[DeflatedBlock] = []
    runs = groupby((family.header, *family.blocks), key=_is_deflated)
    for are_deflated, run in runs:
        if are_deflated:
            blocks += filter(_is_deflated, run)
        else:
            text = b"".join(map(campaign_metrics.lines_of, run))
            blocks.append(gzip_member.deflate(text))
    return gzip_member.join(blocks)


def _is_deflated(block: Block) -> TypeGuard[DeflatedBlock]:
    return isinstance(block, DeflatedBlock)
