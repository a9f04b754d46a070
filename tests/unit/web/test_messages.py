"""Requests and answers as values."""

from __future__ import annotations

import operator

import h11
import pytest
from exporter.web import messages
from exporter.web.messages import HttpResponse, OutgoingResponse


def asked(target: str, *headers: tuple[str, str]) -> messages.HttpRequest:
    """Return what becomes of a request for `target`."""
    event = h11.Request(
        method="GET", target=target, headers=[("Host", "inn"), *headers]
    )
    return messages.request(event, peer="192.0.2.7")


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/metrics", "/metrics", ""),
        ("/metrics?a=1&b=?", "/metrics", "a=1&b=?"),
        ("/a%20b", "/a%20b", ""),
        ("//host/metrics", "//host/metrics", ""),
        ("/?next=http://inn/", "/", "next=http://inn/"),
        ("http://inn:10417/metrics?a", "/metrics", "a"),
        ("http://inn", "/", ""),
        ("*", "*", ""),
    ],
)
def test_a_target_is_a_path_and_a_query(target: str, path: str, query: str) -> None:
    """Path and query are as sent, and a proxy's form of the target means the same."""
    request = asked(target)

    assert (request.path, request.query) == (path, query)


def test_header_names_have_no_case() -> None:
    """A header is found in any case; the absent one is empty."""
    request = asked("/", ("ACCEPT", "text/plain"))

    assert request.header("aCCept") == "text/plain"
    assert request.header("Authorization") == ""


def test_repeated_headers_are_joined() -> None:
    """What a client says twice reads as a list."""
    request = asked("/", ("Accept", "a"), ("accept", "b"))

    assert request.header("Accept") == "a, b"


def test_the_head_has_date_and_length() -> None:
    """Date is the instant given, the length that of all chunks."""
    head = messages.head(HttpResponse(200, (), (b"ab", b"c")), now=0.0, is_last=False)

    assert dict(head.headers) == {
        b"date": b"Thu, 01 Jan 1970 00:00:00 GMT",
        b"content-length": b"3",
    }
    assert head.reason == b"OK"


def test_the_last_answer_says_so() -> None:
    """The client is told that the connection closes."""
    head = messages.head(HttpResponse(299), now=0.0, is_last=True)

    assert (b"connection", b"close") in list(head.headers)
    assert head.reason == b""


def test_no_content_has_no_length() -> None:
    """An answer 204 has neither a body nor the length of one."""
    response = HttpResponse(204, (), (b"lost",))

    head = messages.head(response, now=0.0, is_last=False)

    assert b"content-length" not in dict(head.headers)
    assert messages.body(response, method=b"GET") == ()


def test_a_header_of_two_lines_is_refused() -> None:
    """No text of ours can smuggle a header in."""
    response = HttpResponse(200, (("Location", "/\r\nSet-Cookie: a=b"),))

    with pytest.raises(h11.LocalProtocolError):
        messages.head(response, now=0.0, is_last=False)


def taken(outgoing: OutgoingResponse, *, size: int) -> list[bytes | memoryview]:
    """Take everything, piece by piece."""
    pieces = []
    while outgoing:
        pieces.append(outgoing.take(size))
    return pieces


def test_small_chunks_are_gathered() -> None:
    """Chunks go out together as long as they fit."""
    outgoing = OutgoingResponse([b"ab", b"", b"cd", b"e"])

    assert taken(outgoing, size=4) == [b"abcd", b"e"]


def test_large_chunks_are_cut_without_a_copy() -> None:
    """A large chunk gives views of itself, in its place among the small ones."""
    large = b"0123456789"

    pieces = taken(OutgoingResponse([b"a", large, b"z"]), size=4)

    assert [bytes(piece) for piece in pieces] == [b"a", b"0123", b"4567", b"89z"]
    views = [piece for piece in pieces if isinstance(piece, memoryview)]
    assert all(view.obj is large for view in views)
    assert len(views) == 2


@pytest.mark.parametrize("sent", range(11))
def test_what_was_sent_is_skipped(sent: int) -> None:
    """Wherever in a chunk the kernel stopped, the rest follows from there."""
    outgoing = OutgoingResponse([b"ab", b"cdefg", b"", b"hij"])

    outgoing.skip(sent)

    assert b"".join(outgoing.next_chunks(9)) == b"abcdefghij"[sent:]
    assert bool(outgoing) is (sent < 10)


def test_the_next_chunks_are_lent() -> None:
    """They are the very chunks, as many as asked for, and stay until skipped."""
    chunks = [b"abc", b"def", b"ghi"]
    outgoing = OutgoingResponse(chunks)

    assert all(map(operator.is_, outgoing.next_chunks(2), chunks))
    assert outgoing.next_chunks(9) == chunks
