"""One gzip member, put together of parts that were compressed at other times.

Several members in a row are legal, but many readers stop after the first one. A part is
deflated by itself and ends on a whole byte, so that it may stand anywhere in a stream;
the checksum of the whole is computed from theirs. It knows nothing of what is packed.
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
    """Something deflated, with the checksum and the length of what it was."""

    deflated: bytes
    crc: int
    length: int


def part(plain: bytes) -> DeflatedBlock:
    """Compress something so that it may stand anywhere in a deflate stream."""
    packer = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _RAW)
    # A full flush ends on a byte, and what follows refers to nothing before it.
    deflated = packer.compress(plain) + packer.flush(isal_zlib.Z_FULL_FLUSH)
    return DeflatedBlock(deflated, isal_zlib.crc32(plain), len(plain))


def inflated(one: DeflatedBlock) -> bytes:
    """Return what a part was made of."""
    return bytes(isal_zlib.decompressobj(_RAW).decompress(one.deflated))


def joined(parts: Sequence[DeflatedBlock]) -> DeflatedBlock:
    """Return several parts as one."""
    return DeflatedBlock(b"".join(one.deflated for one in parts), *_sums(parts))


def member(*parts: DeflatedBlock) -> tuple[bytes, ...]:
    """Return the chunks of a whole member; those of the parts are not copied."""
    crc, length = _sums(parts)
    trailer = crc.to_bytes(4, "little") + (length % 2**32).to_bytes(4, "little")
    return (_HEADER, *(one.deflated for one in parts), _END, trailer)


def _sums(parts: Sequence[DeflatedBlock]) -> tuple[int, int]:
    """Return the checksum and the length of all parts in their order."""
    crc = length = 0
    for one in parts:
        crc = isal_zlib.crc32_combine(crc, one.crc, one.length)
        length += one.length
    return crc, length
