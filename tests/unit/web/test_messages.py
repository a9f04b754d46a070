"""Requests and responses as values."""

from __future__ import annotations

import h11
import pytest
from exporter.web import messages
from exporter.web.messages import OutgoingResponse


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

    pieces = taken(OutgoingResponse([b"a", b"", b"b", large, b"z"]), size=4)

    assert [bytes(piece) for piece in pieces] == [b"ab", b"0123", b"4567", b"89z"]
    views = [piece for piece in pieces if isinstance(piece, memoryview)]
    assert all(view.obj is large for view in views)
    assert len(views) == 2


@pytest.mark.parametrize("sent", range(11))
def test_sent_bytes_are_skipped(sent: int) -> None:
    outgoing = OutgoingResponse([b"ab", b"cdefg", b"", b"hij"])

    outgoing.skip(sent)

    assert b"".join(outgoing.next_chunks(9)) == b"abcdefghij"[sent:]
    assert bool(outgoing) is (sent < 10)
