"""A fake Braze API of negligible cost: it serves prepared documents from memory.

`python -m benchmarks.braze SHAPE` prints its URL. The simulator makes each answer anew,
and beside it on two cores an exporter would be measured waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from urllib.parse import parse_qs
from zlib import crc32

from benchmarks import canvas_documents, documents
from benchmarks.processes import module

API_KEY = "a-key-that-nobody-checks"
CHANGING = "changing"
_HEADERS = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n"
    b"X-RateLimit-Limit: 1000000\r\nX-RateLimit-Remaining: 990000\r\n"
    b"X-RateLimit-Reset: 4102444800\r\nContent-Encoding: gzip\r\nContent-Length: "
)


class _Answering(asyncio.Protocol):
    """One connection; a request is answered when its empty line has come."""

    def __init__(self, desk: _Desk) -> None:
        self._desk = desk
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        *requests, self._received = (self._received + data).split(b"\r\n\r\n")
        for request in requests:
            self._transport.write(self._desk.answer(request))


class _Desk:
    def __init__(self, shape: documents.Shape, *, is_changing: bool) -> None:
        self._shape = shape
        self._is_changing = is_changing
        self._day = documents.today()
        self._asked: Counter[str] = Counter()
        for kind in range(documents.KINDS):
            self._body(kind, 0)

    def answer(self, request: bytes) -> bytes:
        """Return the document of the object whose id is in the request line."""
        target = request.split(b" ", 2)[1].decode()
        query = {name: one for name, (one,) in parse_qs(target.split("?")[1]).items()}
        if "canvas_id" in query:
            return self._of_canvas(query)
        campaign_id = query["campaign_id"]
        kind = crc32(campaign_id.encode()) % documents.KINDS
        return self._body(kind, self._version(campaign_id))

    def _version(self, object_id: str) -> int:
        version = self._asked[object_id] if self._is_changing else 0
        self._asked[object_id] += 1
        return version % documents.VERSIONS

    def _body(self, kind: int, version: int) -> bytes:
        return _response(
            documents.compressed_body(
                self._shape, self._day, kind=kind, version=version
            )
        )

    def _of_canvas(self, query: Mapping[str, str]) -> bytes:
        last_day = datetime.fromisoformat(query["ending_at"]).date()
        is_newest = last_day == self._day
        version = self._version(query["canvas_id"]) if is_newest else 0
        return _response(
            canvas_documents.compressed_body(last_day, self._day, version=version)
        )


def _response(body: bytes) -> bytes:
    return b"%b%d\r\n\r\n%b" % (_HEADERS, len(body), body)


async def serve(shape: documents.Shape, *, is_changing: bool) -> None:
    """Serve until the process is ended."""
    desk = _Desk(shape, is_changing=is_changing)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Answering(desk), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    sys.stdout.write(f"http://{host}:{port}\n")
    sys.stdout.flush()
    await server.serve_forever()


@contextlib.contextmanager
def running(shape: documents.Shape, *, is_changing: bool) -> Iterator[str]:
    """Run it as a process inside the block; yield its URL."""
    arguments = [str(shape.variations), str(shape.days)]
    if is_changing:
        arguments.append(CHANGING)
    with module("benchmarks.braze", *arguments) as process:
        yield process.read_line()


if __name__ == "__main__":
    asyncio.run(
        serve(
            documents.Shape(variations=int(sys.argv[1]), days=int(sys.argv[2])),
            is_changing=sys.argv[3:] == [CHANGING],
        )
    )
