"""The whole exposition: campaigns' blocks joined, then the metrics about this process.

What did not change since the last scrape is neither joined nor compressed again. It
renders no sample of a campaign and knows nothing of HTTP.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from threading import Lock
from typing import NamedTuple

from exporter import exposition
from exporter.store import Entry
from exporter.telemetry import Telemetry

_LEVEL = 1
"""Of gzip. Level 9 costs ten times as much on every scrape and saves a tenth."""

_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"
"""RFC 1952: deflate, no name, no time, fastest, unknown system."""


class _Deflated(NamedTuple):
    """A part of a gzip member: a flushed piece of a deflate stream."""

    entries: tuple[Entry, ...]
    """What it was made of."""
    data: bytes
    crc: int
    length: int


class Pages:
    """Puts pages together from the `entries` that may be served at that time.

    Both methods may be called from any thread.
    """

    def __init__(
        self, entries: Callable[[], tuple[Entry, ...]], telemetry: Telemetry
    ) -> None:
        self._entries = entries
        self._telemetry = telemetry
        self._lock = Lock()
        self._deflated = _Deflated((), b"", 0, 0)

    def plain(self, *, is_openmetrics: bool) -> tuple[bytes, ...]:
        """Return the chunks of a page; those of campaigns are shared, not copied."""
        campaigns = exposition.page(_blocks(self._entries()))
        return (*campaigns, self._telemetry.render(is_openmetrics=is_openmetrics))

    def compressed(self, *, is_openmetrics: bool) -> tuple[bytes, ...]:
        """Return the chunks of a page as one gzip member.

        The campaigns' part is kept until an entry changes; the process's part is
        compressed anew and the checksum goes on from where the kept one ended.
        """
        campaigns = self._deflate(self._entries())
        process = self._telemetry.render(is_openmetrics=is_openmetrics)
        packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        tail = packer.compress(process) + packer.flush()
        crc = zlib.crc32(process, campaigns.crc)
        length = (campaigns.length + len(process)) % 2**32
        trailer = crc.to_bytes(4, "little") + length.to_bytes(4, "little")
        return (_GZIP_HEADER, campaigns.data, tail, trailer)

    def _deflate(self, entries: tuple[Entry, ...]) -> _Deflated:
        with self._lock:
            if self._deflated.entries is not entries:
                self._deflated = _deflate(entries)
            return self._deflated


def _blocks(entries: tuple[Entry, ...]) -> list[exposition.Blocks]:
    blocks = [entry.status_blocks for entry in entries]
    blocks.extend(entry.values for entry in entries if entry.values is not None)
    return blocks


def _deflate(entries: tuple[Entry, ...]) -> _Deflated:
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    pieces = []
    crc = length = 0
    for family in exposition.families(_blocks(entries)):
        chunk = b"".join(family)  # zlib is slow on many small pieces
        pieces.append(packer.compress(chunk))
        crc = zlib.crc32(chunk, crc)
        length += len(chunk)
    # A full flush ends on a byte and lets the next piece stand on its own.
    pieces.append(packer.flush(zlib.Z_FULL_FLUSH))
    return _Deflated(entries, b"".join(pieces), crc, length)
