"""The whole exposition: campaigns' blocks joined, then the metrics about this process.

What did not change since the last scrape is neither joined nor compressed again. It
renders no sample of a campaign and knows nothing of HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import groupby
from threading import Lock
from typing import NamedTuple, TypeGuard

from exporter.metrics import campaign_metrics, gzip_member
from exporter.metrics.campaign_metrics import Block, FamilyBlocks
from exporter.metrics.gzip_member import DeflatedBlock
from exporter.metrics.self_metrics import SelfMetrics
from exporter.metrics.store import Entry

_BEATS = 300
"""Prometheus takes for gone what it has not scraped for five minutes: whoever scrapes
does so more often."""

_Families = dict[bytes, tuple[tuple[Block, ...], DeflatedBlock]]
"""By header: the blocks of a family, and all of them compressed."""


class _Packed(NamedTuple):
    """The campaigns' part of a page, compressed."""

    version: int
    """Of the store: what it was made of."""
    families: _Families
    """In their order."""


class _Spread(NamedTuple):
    """The campaigns' part of a page, plain."""

    version: int
    """Of the store: what it was made of."""
    texts: Mapping[DeflatedBlock, bytes]
    """Of what is kept compressed."""
    chunks: list[bytes]
    """All lines in their order."""


_NOTHING_PACKED = _Packed(-1, {})
_NOTHING_SPREAD = _Spread(-1, {}, [])


class ExpositionPages:
    """Puts pages together from the `entries` that may be served at that time.

    `version` is another one when any of them is. All methods may be called from any
    thread.
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
        self._lock = Lock()
        self._packed = _NOTHING_PACKED
        self._plain_lock = Lock()
        self._spread = _NOTHING_SPREAD
        """The last one, as long as plain pages are asked for."""
        self._beats = 0
        """How often `beat` was called since the last plain page."""

    def render(self, *, is_gzip: bool, is_openmetrics: bool) -> tuple[bytes, ...]:
        """Return the chunks of a page, as one gzip member if wanted."""
        render = self.compressed if is_gzip else self.plain
        return render(is_openmetrics=is_openmetrics)

    def plain(self, *, is_openmetrics: bool) -> tuple[bytes, ...]:
        """Return the chunks of a page; those of campaigns are shared, not copied."""
        self._entries()  # what is too old by now leaves, which makes another version
        with self._plain_lock:
            self._beats = 0
            version = self._version()
            if self._spread.version != version:
                self._spread = _spread(version, self._entries(), self._spread.texts)
            chunks = self._spread.chunks
        return (*chunks, self._telemetry.render(is_openmetrics=is_openmetrics))

    def compressed(self, *, is_openmetrics: bool) -> tuple[bytes, ...]:
        """Return the chunks of a page as one gzip member.

        The campaigns' part is kept until an entry changes, and each family of it until
        one of its blocks does; the process's part is compressed anew.
        """
        self._entries()  # what is too old by now leaves, which makes another version
        process = self._telemetry.render(is_openmetrics=is_openmetrics)
        return gzip_member.member(*self._pack(), gzip_member.part(process))

    def beat(self) -> None:
        """Let go of what only plain pages need, if none is asked for any more.

        To be called once a second. Prometheus asks for gzip; who looks with curl is not
        to cost the room of a whole page for ever.
        """
        self._beats += 1
        if self._beats > _BEATS and self._plain_lock.acquire(blocking=False):
            self._spread = _NOTHING_SPREAD
            self._plain_lock.release()

    def _pack(self) -> list[DeflatedBlock]:
        with self._lock:
            version = self._version()
            if self._packed.version != version:
                families = _families(self._entries(), self._packed.families)
                self._packed = _Packed(version, families)
            return [part for _, part in self._packed.families.values()]


def _blocks(entries: tuple[Entry, ...]) -> list[campaign_metrics.RenderedObject]:
    blocks = [entry.status_blocks for entry in entries]
    blocks.extend(entry.values for entry in entries if entry.values is not None)
    return blocks


def _spread(
    version: int, entries: tuple[Entry, ...], known: Mapping[DeflatedBlock, bytes]
) -> _Spread:
    texts: dict[DeflatedBlock, bytes] = {}

    def text_of(block: Block) -> bytes:
        if not isinstance(block, DeflatedBlock):
            return block
        text = texts[block] = known.get(block) or campaign_metrics.lines_of(block)
        return text

    return _Spread(version, texts, campaign_metrics.page(_blocks(entries), text_of))


def _families(entries: tuple[Entry, ...], former: _Families) -> _Families:
    families = {}
    for column in campaign_metrics.columns(_blocks(entries)):
        known = former.get(column.header)
        if known is None or known[0] != column.blocks:
            known = (column.blocks, _part(column))
        families[column.header] = known
    return families


def _part(column: FamilyBlocks) -> DeflatedBlock:
    """Compress a family: large blocks already are, small ones go along together."""
    parts: list[DeflatedBlock] = []
    runs = groupby((column.header, *column.blocks), key=_is_part)
    for are_parts, run in runs:
        if are_parts:
            parts += filter(_is_part, run)
        else:
            parts.append(
                gzip_member.part(b"".join(map(campaign_metrics.lines_of, run)))
            )
    return gzip_member.joined(parts)


def _is_part(block: Block) -> TypeGuard[DeflatedBlock]:
    return isinstance(block, DeflatedBlock)
