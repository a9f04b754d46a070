"""The whole exposition: the lines of all objects, then the metrics of this process.

What has not changed since the last scrape is neither joined nor compressed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from threading import Lock
from typing import NamedTuple, TypeGuard

from exporter.metrics import gzip_member, object_metrics
from exporter.metrics.gzip_member import DeflatedBlock
from exporter.metrics.object_metrics import Block, FamilyBlocks, RenderedObject
from exporter.metrics.self_metrics import SelfMetrics
from exporter.metrics.store import Entry

_PLAIN_PAGE_SECONDS = 300
"""Series become stale in Prometheus after five minutes: scrapes are more frequent."""

_LEAST_CHUNK_BYTES = 4096
_RUN_BYTES = 64 * 1024

_Families = dict[bytes, tuple[tuple[Block, ...], DeflatedBlock]]
"""Header of a family → its blocks, and all of them compressed."""


class _PlainCampaigns(NamedTuple):
    """The objects' part of a page, of one version of the store."""

    version: int = -1
    texts: Mapping[DeflatedBlock, bytes] = {}
    """The texts of compressed blocks."""
    chunks: Sequence[bytes] = ()


_NOTHING_PLAIN = _PlainCampaigns()


class ExpositionPages:
    """Builds pages of the `entries` that may be served, in any thread.

    `version` changes with every change of the entries.
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
        self._compressed: tuple[int, _Families] = (-1, {})
        """The version of the store, and the objects' part of a page."""
        self._plain_lock = Lock()
        self._plain = _NOTHING_PLAIN
        self._ticks = 0
        """How often `tick` was called since the last plain page."""

    def render(self, *, is_gzip: bool, is_openmetrics: bool) -> tuple[bytes, ...]:
        """Return the chunks of a page, plain or as one gzip member."""
        render = self.compressed if is_gzip else self.plain
        return render(is_openmetrics=is_openmetrics)

    def plain(self, *, is_openmetrics: bool) -> tuple[bytes, ...]:
        """Return the chunks of a page; those of objects are shared, not copied."""
        with self._plain_lock:
            self._ticks = 0
            version, entries, process = self._read(is_openmetrics=is_openmetrics)
            if self._plain.version != version:
                self._plain = _plain(version, entries, self._plain.texts)
            chunks = self._plain.chunks
        return (*chunks, process)

    def compressed(self, *, is_openmetrics: bool) -> tuple[bytes, ...]:
        """Return the chunks of a page as one gzip member.

        A family is compressed again when one of its blocks changes.
        """
        with self._compressed_lock:
            now, entries, process = self._read(is_openmetrics=is_openmetrics)
            version, families = self._compressed
            if version != now:
                families = _families(entries, families)
                self._compressed = (now, families)
        blocks = [block for _, block in families.values()]
        return gzip_member.member(*blocks, gzip_member.deflate(process))

    def _read(self, *, is_openmetrics: bool) -> tuple[int, tuple[Entry, ...], bytes]:
        """Return version and entries of the store, and the metrics of this process.

        Those of one configuration.
        """
        self._entries()  # expires stale values, which changes the version
        with self._telemetry.page_lock:
            version, entries = self._version(), self._entries()
            return (
                version,
                entries,
                self._telemetry.render(is_openmetrics=is_openmetrics),
            )

    def tick(self) -> None:
        """Release the plain page after 300 calls, one a second, without a request.

        Prometheus requests gzip: one other request must not keep a page in memory.
        """
        self._ticks += 1
        if self._ticks > _PLAIN_PAGE_SECONDS and self._plain_lock.acquire(
            blocking=False
        ):
            self._plain = _NOTHING_PLAIN
            self._plain_lock.release()


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
        text = texts[block] = cached.get(block) or object_metrics.lines_of(block)
        return text

    blocks = object_metrics.page(_rendered(entries), text_of)
    return _PlainCampaigns(version, texts, tuple(_joined(blocks)))


def _joined(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Join runs of small blocks: a client costs time and memory for each chunk.

    Versions of a page share the large ones, and a copy of them all would take longer
    than they take to send.
    """
    run: list[bytes] = []
    run_bytes = 0
    for block in blocks:
        is_small = len(block) < _LEAST_CHUNK_BYTES
        if is_small:
            run.append(block)
            run_bytes += len(block)
        if run and (not is_small or run_bytes >= _RUN_BYTES):
            yield b"".join(run)
            run, run_bytes = [], 0
        if not is_small:
            yield block
    if run:
        yield b"".join(run)


def _families(entries: tuple[Entry, ...], previous: _Families) -> _Families:
    families = {}
    for family in object_metrics.families_of(_rendered(entries)):
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
            text = b"".join(map(object_metrics.lines_of, run))
            blocks.append(gzip_member.deflate(text))
    return gzip_member.join(blocks)


def _is_deflated(block: Block) -> TypeGuard[DeflatedBlock]:
    return isinstance(block, DeflatedBlock)
