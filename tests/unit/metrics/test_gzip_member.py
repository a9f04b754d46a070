"""One gzip member, put together of parts."""

import gzip
import zlib

import pytest
from exporter.metrics import gzip_member
from hypothesis import given
from hypothesis import strategies as st

PLAIN = st.lists(st.binary(max_size=2000), max_size=8)


@given(plain=PLAIN)
def test_a_member_holds_its_parts_in_their_order(plain: list[bytes]) -> None:
    """Whatever they are, and however many."""
    chunks = gzip_member.member(*map(gzip_member.part, plain))

    assert gzip.decompress(b"".join(chunks)) == b"".join(plain)


@given(plain=PLAIN)
def test_it_is_one_member(plain: list[bytes]) -> None:
    """A reader that stops after the first one misses nothing."""
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)

    whole = unpacker.decompress(
        b"".join(gzip_member.member(*map(gzip_member.part, plain)))
    )

    assert whole == b"".join(plain)
    assert unpacker.eof
    assert not unpacker.unused_data


@given(plain=PLAIN)
def test_parts_can_be_joined(plain: list[bytes]) -> None:
    """What is joined is a part like any other, and stands anywhere."""
    whole = gzip_member.joined([gzip_member.part(one) for one in plain])

    chunks = gzip_member.member(gzip_member.part(b"before"), whole)

    assert gzip.decompress(b"".join(chunks)) == b"before" + b"".join(plain)
    assert whole[1:] == gzip_member.part(b"".join(plain))[1:]


@given(plain=st.binary(max_size=2000))
def test_a_part_is_unpacked_again(plain: bytes) -> None:
    """By itself, without header and trailer."""
    assert gzip_member.inflated(gzip_member.part(plain)) == plain


def test_what_repeats_itself_takes_little_room() -> None:
    """Lines of an exposition differ in few characters."""
    lines = b"".join(b'braze_campaign_up{campaign="c%d"} 1\n' % n for n in range(500))

    assert len(gzip_member.part(lines).deflated) < len(lines) / 8


def test_parts_are_not_copied() -> None:
    """A page of many megabytes is there once, however many clients hold it."""
    part = gzip_member.part(b"x" * 100)

    assert gzip_member.member(part)[1] is part.deflated


@pytest.mark.parametrize("length", [2**32 - 1, 2**32, 2**32 + 5])
def test_a_length_is_told_modulo_four_gib(length: int) -> None:
    """As RFC 1952 wants it."""
    part = gzip_member.DeflatedBlock(b"", 0, length)

    trailer = gzip_member.member(part)[-1]

    assert int.from_bytes(trailer[4:], "little") == length % 2**32
