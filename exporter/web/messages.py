"""One HTTP exchange as values: what a client asked, what it is to get, cut for sending.

Requests come out of h11 events and answers go into them; whatever h11 lets through
gives a request. It knows no socket and no clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from email.utils import formatdate
from http import HTTPStatus
from itertools import islice
from typing import NamedTuple

import h11

_BODILESS = frozenset({204, 304})


class HttpRequest(NamedTuple):
    """A complete request; what it had for a body was read and thrown away."""

    method: str
    path: str
    """As sent: percent signs are not decoded."""
    query: str
    headers: Mapping[str, str]
    """Names in lower case; what came more than once is joined by commas."""
    peer: str
    """The client's IP address; empty when it left at once."""

    def header(self, name: str) -> str:
        """Return a header by its name in any case; empty when it was not sent."""
        return self.headers.get(name.lower(), "")


class HttpResponse(NamedTuple):
    """What a client is to get; Date and Content-Length are added on the way out."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: tuple[bytes, ...] = ()
    """Held by reference until the client has read it."""


Responder = Callable[[HttpRequest], Awaitable[HttpResponse]]


def request(event: h11.Request, *, peer: str) -> HttpRequest:
    """Return the request that h11 has read."""
    target = event.target.decode("ascii")
    if "://" in target and not target.startswith("/"):
        # As clients ask a proxy, and servers have to understand (RFC 9112, 3.2.2).
        target = f"/{target.partition('://')[2].partition('/')[2]}"
    path, _, query = target.partition("?")
    headers: dict[str, str] = {}
    for raw_name, raw_value in event.headers:
        name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return HttpRequest(event.method.decode("ascii"), path, query, headers, peer)


def announced_bytes(event: h11.Request) -> int:
    """Return the size of the body the client announces; 0 when it says none."""
    return int(dict(event.headers).get(b"content-length", b"0"))


def is_ambiguous(event: h11.Request) -> bool:
    """Tell whether the request says twice, in two ways, where its body ends."""
    return {b"content-length", b"transfer-encoding"} <= dict(event.headers).keys()


def refusal(status: HTTPStatus) -> HttpResponse:
    """Return a status as a line of plain text."""
    text = f"{status.phrase.lower()}\n"
    content_type = ("Content-Type", "text/plain; charset=utf-8")
    return HttpResponse(status, (content_type,), (text.encode(),))


def head(response: HttpResponse, *, now: float, is_last: bool) -> h11.Response:
    """Return what goes before the body; `is_last` tells the client to close.

    LocalProtocolError and ValueError: a status or a header that cannot be sent.
    """
    headers = [*response.headers, ("Date", formatdate(now, usegmt=True))]
    if response.status not in _BODILESS:
        headers.append(("Content-Length", str(sum(map(len, response.body)))))
    if is_last:
        headers.append(("Connection", "close"))
    return h11.Response(
        status_code=response.status, headers=headers, reason=_phrase(response.status)
    )


def body(response: HttpResponse, *, method: bytes) -> tuple[bytes, ...]:
    """Return the body that really goes out: none to HEAD."""
    is_sent = method != b"HEAD" and response.status not in _BODILESS
    return response.body if is_sent else ()


class OutgoingResponse:
    """What of an answer is still to be sent, in its order; true while there is any."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks: deque[bytes | memoryview] = deque(filter(None, chunks))

    def __bool__(self) -> bool:
        return bool(self._chunks)

    def next_chunks(self, most: int) -> list[bytes | memoryview]:
        """Return what comes next, uncopied."""
        return list(islice(self._chunks, most))

    def skip(self, sent_bytes: int) -> None:
        """Forget what was sent; it is no more than there was."""
        while sent_bytes:
            chunk = self._chunks.popleft()
            if len(chunk) > sent_bytes:
                self._chunks.appendleft(memoryview(chunk)[sent_bytes:])
                return
            sent_bytes -= len(chunk)

    def take(self, size: int) -> bytes | memoryview:
        """Return the next bytes, at most `size`, and forget them.

        Small chunks are gathered; a large one gives a view of itself.
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


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
