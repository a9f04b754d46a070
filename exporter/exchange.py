"""One HTTP exchange as values: what a client asked, what it is to get, cut for sending.

Requests come out of h11 events and answers go into them; whatever h11 lets through
gives a request. It knows no socket and no clock.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import NamedTuple

import h11

_BODILESS = frozenset({204, 304})


class Request(NamedTuple):
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


class Response(NamedTuple):
    """What a client is to get; Date and Content-Length are added on the way out."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: tuple[bytes, ...] = ()
    """Held by reference until the client has read it."""


Responder = Callable[[Request], Awaitable[Response]]


def request(event: h11.Request, *, peer: str) -> Request:
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
    return Request(event.method.decode("ascii"), path, query, headers, peer)


def announced_bytes(event: h11.Request) -> int:
    """Return the size of the body the client announces; 0 when it says none."""
    return int(dict(event.headers).get(b"content-length", b"0"))


def is_ambiguous(event: h11.Request) -> bool:
    """Tell whether the request says twice, in two ways, where its body ends."""
    return {b"content-length", b"transfer-encoding"} <= dict(event.headers).keys()


def refusal(status: HTTPStatus) -> Response:
    """Return a status as a line of plain text."""
    text = f"{status.phrase.lower()}\n"
    content_type = ("Content-Type", "text/plain; charset=utf-8")
    return Response(status, (content_type,), (text.encode(),))


def head(response: Response, *, now: float, is_last: bool) -> h11.Response:
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


def body(response: Response, *, method: bytes) -> tuple[bytes, ...]:
    """Return the body that really goes out: none to HEAD."""
    is_sent = method != b"HEAD" and response.status not in _BODILESS
    return response.body if is_sent else ()


def pieces(chunks: Iterable[bytes], *, size: int) -> Iterator[bytes | memoryview]:
    """Gather small chunks and cut large ones, uncopied, to at most `size` bytes."""
    gathered: list[bytes] = []
    room = size
    for chunk in chunks:
        if gathered and len(chunk) > room:
            yield b"".join(gathered)
            gathered, room = [], size
        if len(chunk) > size:
            view = memoryview(chunk)
            yield from (view[at : at + size] for at in range(0, len(view), size))
        elif chunk:
            gathered.append(chunk)
            room -= len(chunk)
    if gathered:
        yield b"".join(gathered)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
