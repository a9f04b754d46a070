"""HTTP requests and responses as values, and their conversion from and to h11 events.

Every request that h11 accepts can be converted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from email.utils import formatdate
from http import HTTPStatus
from typing import NamedTuple

import h11


class HttpRequest(NamedTuple):
    """A complete request; its body was read and discarded."""

    method: str
    path: str
    """As sent: escapes are not decoded."""
    query: str
    headers: Mapping[str, str]
    """Names in lower case; values of repeated headers are joined by commas."""
    client: str = ""
    """The address of the client; empty if it has disconnected."""


class HttpResponse(NamedTuple):
    """A response; Date and Content-Length are added when it is sent."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: Sequence[bytes] = ()
    """Chunks, referenced until they are sent; responses may share them."""
    known_size: int | None = None
    """The number of bytes of the body, if it is known."""
    is_withdrawn: Callable[[], bool] = lambda: False
    """Whether to abort the response, because its body occupies too much memory."""

    @property
    def size(self) -> int:
        """The number of bytes of the body."""
        known = self.known_size
        return sum(map(len, self.body)) if known is None else known


NO_SNIFFING = ("X-Content-Type-Options", "nosniff")
_MOST_CHUNKS = 1024
"""Of one call of the kernel."""
Responder = Callable[[HttpRequest], Awaitable[HttpResponse]]


def request(event: h11.Request, client: str = "") -> HttpRequest:
    """Convert a request of h11 from an address."""
    target = event.target.decode("ascii")
    if "://" in target and not target.startswith("/"):
        # The form for proxies, which servers have to accept (RFC 9112, section 3.2.2).
        target = f"/{target.partition('://')[2].partition('/')[2]}"
    path, _, query = target.partition("?")
    headers: dict[str, str] = {}
    for raw_name, raw_value in event.headers:
        name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return HttpRequest(event.method.decode("ascii"), path, query, headers, client)


def text_response(status: int, text: str, *headers: tuple[str, str]) -> HttpResponse:
    """Return a response with plain text."""
    content_type = ("Content-Type", "text/plain; charset=utf-8")
    return HttpResponse(status, (content_type, *headers, NO_SNIFFING), (text.encode(),))


def head(response: HttpResponse, *, now: float, closes: bool) -> h11.Response:
    """Return status and headers; `closes` adds `Connection: close`.

    LocalProtocolError and ValueError: a status or a header is invalid.
    """
    headers = [
        *response.headers,
        ("Date", formatdate(now, usegmt=True)),
        ("Content-Length", str(response.size)),
    ]
    if closes:
        headers.append(("Connection", "close"))
    status = HTTPStatus(response.status)
    return h11.Response(status_code=status, headers=headers, reason=status.phrase)


class OutgoingResponse:
    """The chunks of a response that are not sent yet; true while there are any.

    A position in the shared body, so that a slow client costs no copy of it.
    """

    def __init__(self, head: bytes, body: Sequence[bytes] = ()) -> None:
        self._body = body
        self._rest: bytes | memoryview = head
        """The unsent bytes of one chunk; empty at the end only."""
        self._next = 0
        """The index in the body of the chunk that follows."""
        self.skip(0)

    def __bool__(self) -> bool:
        return bool(self._rest)

    def next_chunks(self, size: int) -> list[bytes | memoryview]:
        """Return the next chunks, uncopied, with at most `size` bytes."""
        chunks: list[bytes | memoryview] = []
        chunk, following = self._rest, self._next
        while size and len(chunks) < _MOST_CHUNKS:
            if chunk:
                chunks.append(chunk if len(chunk) <= size else memoryview(chunk)[:size])
                size -= len(chunks[-1])
            if following == len(self._body):
                break
            chunk = self._body[following]
            following += 1
        return chunks

    def skip(self, sent_bytes: int) -> None:
        """Remove bytes that were sent, at most as many as there are."""
        while sent_bytes >= len(self._rest):
            sent_bytes -= len(self._rest)
            if self._next == len(self._body):
                self._rest = b""
                return
            self._rest = self._body[self._next]
            self._next += 1
        if sent_bytes:
            self._rest = memoryview(self._rest)[sent_bytes:]

    def take(self, size: int) -> bytes | memoryview:
        """Remove and return the next bytes, at most `size`; only several are joined."""
        chunks = self.next_chunks(size)
        piece = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self.skip(len(piece))
        return piece
