"""HTTP requests and responses as values, and their conversion from and to h11 events.

Every request that h11 accepts can be converted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from email.utils import formatdate
from http import HTTPStatus
from itertools import islice
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


class HttpResponse(NamedTuple):
    """A response; Date and Content-Length are added when it is sent."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: tuple[bytes, ...] = ()
    """Chunks, referenced until they are sent."""


NO_SNIFFING = ("X-Content-Type-Options", "nosniff")
Responder = Callable[[HttpRequest], Awaitable[HttpResponse]]


def request(event: h11.Request) -> HttpRequest:
    """Convert a request of h11."""
    target = event.target.decode("ascii")
    if "://" in target and not target.startswith("/"):
        # The form for proxies, which servers have to accept (RFC 9112, section 3.2.2).
        target = f"/{target.partition('://')[2].partition('/')[2]}"
    path, _, query = target.partition("?")
    headers: dict[str, str] = {}
    for raw_name, raw_value in event.headers:
        name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return HttpRequest(event.method.decode("ascii"), path, query, headers)


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
        ("Content-Length", str(sum(map(len, response.body)))),
    ]
    if closes:
        headers.append(("Connection", "close"))
    status = HTTPStatus(response.status)
    return h11.Response(status_code=status, headers=headers, reason=status.phrase)


class OutgoingResponse:
    """The chunks of a response that are not sent yet; true while there are any."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks: deque[bytes | memoryview] = deque(filter(None, chunks))

    def __bool__(self) -> bool:
        return bool(self._chunks)

    def next_chunks(self, most: int) -> list[bytes | memoryview]:
        """Return the next chunks, uncopied."""
        return list(islice(self._chunks, most))

    def skip(self, sent_bytes: int) -> None:
        """Remove bytes that were sent, at most as many as there are."""
        while sent_bytes:
            chunk = self._chunks.popleft()
            if len(chunk) > sent_bytes:
                self._chunks.appendleft(memoryview(chunk)[sent_bytes:])
                return
            sent_bytes -= len(chunk)

    def take(self, size: int) -> bytes | memoryview:
        """Remove and return the next bytes, at most `size`.

        Small chunks are joined; of a large one a view is returned.
        """
        gathered: list[bytes | memoryview] = []
        while self._chunks and len(self._chunks[0]) <= size:
            gathered.append(self._chunks.popleft())
            size -= len(gathered[-1])
        if gathered:
            return b"".join(gathered)
        piece = memoryview(self._chunks[0])[:size]
        self.skip(size)
        return piece
