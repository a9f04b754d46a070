"""Requests and responses as values."""

from __future__ import annotations

from itertools import cycle

import h11
import pytest
from exporter.web import messages
from exporter.web.messages import OutgoingResponse
from hypothesis import given
from hypothesis import strategies as st


def converted(target: str, *headers: tuple[str, str]) -> messages.HttpRequest:
    event = h11.Request(
        method="GET", target=target, headers=[("Host", "server"), *headers]
    )
    return messages.request(event)


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/metrics", "/metrics", ""),
        ("/metrics?a=1&b=?", "/metrics", "a=1&b=?"),
        ("/a%20b", "/a%20b", ""),
        ("//host/metrics", "//host/metrics", ""),
        ("/?next=http://server/", "/", "next=http://server/"),
        ("http://server:10417/metrics?a", "/metrics", "a"),
        ("http://server", "/", ""),
        ("*", "*", ""),
    ],
)
def test_a_target_is_a_path_and_a_query(target: str, path: str, query: str) -> None:
    request = converted(target)

    assert (request.path, request.query) == (path, query)


def test_header_names_are_in_lower_case_and_repeated_headers_are_joined() -> None:
    assert converted("/", ("ACCEPT", "a"), ("accept", "b")).headers["accept"] == "a, b"


def taken(outgoing: OutgoingResponse, *, size: int) -> list[bytes | memoryview]:
    pieces = []
    while outgoing:
        pieces.append(outgoing.take(size))
    return pieces


def test_small_chunks_are_joined_and_large_ones_are_cut_without_a_copy() -> None:
    large = b"0123456789"

    pieces = taken(OutgoingResponse(b"a", [b"", b"b", large, b"z"]), size=4)

    assert [bytes(piece) for piece in pieces] == [b"ab01", b"2345", b"6789", b"z"]
    views = [piece for piece in pieces if isinstance(piece, memoryview)]
    assert all(view.obj is large for view in views)
    assert len(views) == 2


@given(
    head=st.binary(min_size=1, max_size=5),
    body=st.lists(st.binary(max_size=5), max_size=8),
    sizes=st.lists(st.integers(1, 12), min_size=1),
)
def test_every_byte_is_sent_once(
    head: bytes, body: list[bytes], sizes: list[int]
) -> None:
    outgoing = OutgoingResponse(head, tuple(body))
    sent = b""
    for size in cycle(sizes):
        if not outgoing:
            break
        chunks = outgoing.next_chunks(size)
        assert 0 < sum(map(len, chunks)) <= size
        sent_bytes = min(size, len(chunks[0]))
        sent += b"".join(chunks)[:sent_bytes]
        outgoing.skip(sent_bytes)

    assert sent == head + b"".join(body)
