"""One gzip member, joined of blocks."""

import gzip
import zlib

import pytest
from exporter.metrics import gzip_member
from hypothesis import given
from hypothesis import strategies as st

PLAIN = st.lists(st.binary(max_size=2000), max_size=8)


@given(plain=PLAIN)
def test_a_member_contains_its_blocks_in_order(plain: list[bytes]) -> None:
    chunks = gzip_member.member(*map(gzip_member.deflate, plain))

    assert gzip.decompress(b"".join(chunks)) == b"".join(plain)


@given(plain=PLAIN)
def test_the_blocks_are_one_member(plain: list[bytes]) -> None:
    """A reader that stops after the first member reads everything."""
    decompressor = zlib.decompressobj(zlib.MAX_WBITS | 16)

    whole = decompressor.decompress(
        b"".join(gzip_member.member(*map(gzip_member.deflate, plain)))
    )

    assert whole == b"".join(plain)
    assert decompressor.eof
    assert not decompressor.unused_data


@given(plain=PLAIN)
def test_blocks_can_be_joined(plain: list[bytes]) -> None:
    whole = gzip_member.join([gzip_member.deflate(one) for one in plain])

    chunks = gzip_member.member(gzip_member.deflate(b"before"), whole)

    assert gzip.decompress(b"".join(chunks)) == b"before" + b"".join(plain)
    assert whole[1:] == gzip_member.deflate(b"".join(plain))[1:]


@given(plain=st.binary(max_size=2000))
def test_a_block_can_be_inflated(plain: bytes) -> None:
    assert gzip_member.inflate(gzip_member.deflate(plain)) == plain


def test_similar_lines_are_compressed_well() -> None:
    lines = b"".join(b'braze_campaign_up{campaign="c%d"} 1\n' % n for n in range(500))

    assert len(gzip_member.deflate(lines).deflated) < len(lines) / 8


def test_blocks_are_not_copied() -> None:
    block = gzip_member.deflate(b"x" * 100)

    assert gzip_member.member(block)[1] is block.deflated


@pytest.mark.parametrize("length", [2**32 - 1, 2**32, 2**32 + 5])
def test_the_length_is_written_modulo_four_gib(length: int) -> None:
    block = gzip_member.DeflatedBlock(b"", 0, length)

    trailer = gzip_member.member(block)[-1]

    assert int.from_bytes(trailer[4:], "little") == length % 2**32
