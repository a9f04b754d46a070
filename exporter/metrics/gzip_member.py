"""One gzip member, joined of blocks that were compressed at other times.

Several members in a row are legal, but many readers stop after the first one. A block
is deflated alone and ends on a whole byte, so that it is valid anywhere in a stream;
the checksum of the member is computed from those of the blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from isal import isal_zlib

_LEVEL = 1
"""Of ISA-L: less than a fifth of the time of zlib's fastest level, and no larger."""

_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"
"""RFC 1952: deflate, no name, no time, fastest, unknown system."""

_END = b"\x03\x00"
"""RFC 1951: an empty block that is the last one."""


_RAW = -isal_zlib.MAX_WBITS
"""No header and no trailer: deflate alone."""


class DeflatedBlock(NamedTuple):
    """A compressed text, with its checksum and its length before compression."""

    deflated: bytes
    crc: int
    length: int


def deflate(plain: bytes) -> DeflatedBlock:
    """Compress a text so that it is valid anywhere in a deflate stream."""
    compressor = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _RAW)
    # A full flush ends on a byte, and later data has no reference to data before it.
    deflated = compressor.compress(plain) + compressor.flush(isal_zlib.Z_FULL_FLUSH)
    return DeflatedBlock(deflated, isal_zlib.crc32(plain), len(plain))


def inflate(block: DeflatedBlock) -> bytes:
    """Return the text of a block."""
    return bytes(isal_zlib.decompressobj(_RAW).decompress(block.deflated))


def join(blocks: Sequence[DeflatedBlock]) -> DeflatedBlock:
    """Return several blocks as one."""
    return DeflatedBlock(b"".join(one.deflated for one in blocks), *_sums(blocks))


def member(*blocks: DeflatedBlock) -> tuple[bytes, ...]:
    """Return the chunks of a whole member; those of the blocks are not copied."""
    crc, length = _sums(blocks)
    trailer = crc.to_bytes(4, "little") + (length % 2**32).to_bytes(4, "little")
    return (_HEADER, *(one.deflated for one in blocks), _END, trailer)


def _sums(blocks: Sequence[DeflatedBlock]) -> tuple[int, int]:
    """Return the checksum and the length of all blocks in their order."""
    crc = length = 0
    for one in blocks:
        crc = isal_zlib.crc32_combine(crc, one.crc, one.length)
        length += one.length
    return crc, length
