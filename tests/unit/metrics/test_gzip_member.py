"""One gzip member, joined of blocks."""

import gzip
import zlib

import pytest
from exporter.metrics.gzip_member import DeflatedBlock, deflate, inflate, join, member
from hypothesis import given
from hypothesis import strategies as st


@given(plain=st.lists(st.binary(max_size=2000), max_size=8))
def test_blocks_are_one_member(plain: list[bytes]) -> None:
    """A reader that stops after the first member reads everything."""
    blocks, whole = [deflate(one) for one in plain], b"".join(plain)
    decompressor = zlib.decompressobj(zlib.MAX_WBITS | 16)

    found = decompressor.decompress(b"".join(member(*blocks)))

    assert found == whole
    assert decompressor.eof
    assert not decompressor.unused_data
    assert join(blocks)[1:] == deflate(whole)[1:]
    chunks = member(deflate(b"before"), join(blocks))
    assert gzip.decompress(b"".join(chunks)) == b"before" + whole
    assert [inflate(block) for block in blocks] == plain


def test_blocks_are_compressed_well_and_not_copied() -> None:
    """All clients share the memory of a page of many megabytes."""
    lines = b"".join(b'braze_campaign_up{campaign="c%d"} 1\n' % n for n in range(500))

    block = deflate(lines)

    assert len(block.deflated) < len(lines) / 8
    assert member(block)[1] is block.deflated


@pytest.mark.parametrize("length", [2**32 - 1, 2**32, 2**32 + 5])
def test_the_length_is_written_modulo_four_gib(length: int) -> None:
    trailer = member(DeflatedBlock(b"", 0, length))[-1]

    assert int.from_bytes(trailer[4:], "little") == length % 2**32
