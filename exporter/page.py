"""The whole exposition: campaigns' blocks joined, then the metrics about this process.

What did not change since the last scrape is neither joined nor compressed again. It
renders no sample of a campaign and knows nothing of HTTP.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import NamedTuple

from exporter import exposition, gzip_member
from exporter.exposition import Column
from exporter.gzip_member import Part
from exporter.store import Entry
from exporter.telemetry import Telemetry

_Mark = tuple[bytes, ...]
"""What tells the blocks of a family from others: of the large ones what they deflate
to, for the blocks themselves are not to be held longer than the store holds them."""

_Families = dict[bytes, tuple[_Mark, Part]]
"""By header."""


class _Packed(NamedTuple):
    """The campaigns' part of a page, compressed."""

    version: int
    """Of the store: what it was made of."""
    families: _Families
    """In their order."""


class Pages:
    """Puts pages together from the `entries` that may be served at that time.

    `version` is another one when any of them is. Both methods may be called from any
    thread.
    """

    def __init__(
        self,
        entries: Callable[[], tuple[Entry, ...]],
        telemetry: Telemetry,
        *,
        version: Callable[[], int],
    ) -> None:
        self._entries = entries
        self._version = version
        self._telemetry = telemetry
        self._lock = Lock()
        self._packed = _Packed(-1, {})

    def plain(self, *, is_openmetrics: bool) -> tuple[bytes, ...]:
        """Return the chunks of a page; those of campaigns are shared, not copied."""
        campaigns = exposition.page(_blocks(self._entries()))
        return (*campaigns, self._telemetry.render(is_openmetrics=is_openmetrics))

    def compressed(self, *, is_openmetrics: bool) -> tuple[bytes, ...]:
        """Return the chunks of a page as one gzip member.

        The campaigns' part is kept until an entry changes, and each family of it until
        one of its blocks does; the process's part is compressed anew.
        """
        self._entries()  # what is too old by now leaves, which makes another version
        process = self._telemetry.render(is_openmetrics=is_openmetrics)
        return gzip_member.member(*self._pack(), gzip_member.part(process))

    def _pack(self) -> list[Part]:
        with self._lock:
            version = self._version()
            if self._packed.version != version:
                families = _families(self._entries(), self._packed.families)
                self._packed = _Packed(version, families)
            return [part for _, part in self._packed.families.values()]


def _blocks(entries: tuple[Entry, ...]) -> list[exposition.Blocks]:
    blocks = [entry.status_blocks for entry in entries]
    blocks.extend(entry.values for entry in entries if entry.values is not None)
    return blocks


def _families(entries: tuple[Entry, ...], former: _Families) -> _Families:
    families = {}
    for column in exposition.columns(_blocks(entries)):
        mark = tuple(map(_mark, column.blocks, column.deflated))
        known = former.get(column.header)
        if known is None or known[0] != mark:
            known = (mark, _part(column))
        families[column.header] = known
    return families


def _mark(block: bytes, deflated: bytes) -> bytes:
    return deflated or block


def _part(column: Column) -> Part:
    """Compress a family: large blocks already are, small ones go along together."""
    pieces: list[bytes] = []
    small = [column.header]
    crc = gzip_member.crc32(column.header)
    length = len(column.header)
    for block, deflated in zip(column.blocks, column.deflated, strict=True):
        crc = gzip_member.crc32(block, crc)
        length += len(block)
        if not deflated:
            small.append(block)
            continue
        if small:
            pieces.append(gzip_member.deflate(b"".join(small)))
            small.clear()
        pieces.append(deflated)
    if small:
        pieces.append(gzip_member.deflate(b"".join(small)))
    return Part(b"".join(pieces), crc, length)
