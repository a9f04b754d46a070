"""How an answer goes out over one connection: whole, or broken as a fault wants it.

Nobody sleeps: whoever waits, waits for the peer to leave, and the simulator's end looks
the same as that.
"""

from __future__ import annotations

import gzip
import os
import selectors
import socket
import struct
import zlib
from collections.abc import Callable
from http import HTTPStatus

from exporter.simulator.faults import Delivery, Fault, FaultyResponse

_GZIP_FROM_BYTES = 1024
_BOMB_BLOCK = b" " * (1 << 20)


class ResponseWriter:
    """One peer's socket."""

    def __init__(self, peer: socket.socket) -> None:
        self._peer = peer

    def send(self, data: bytes) -> None:
        """Send everything; raises OSError when the peer is gone."""
        self._peer.sendall(data)

    def wait(self, seconds: float | None) -> bool:
        """Wait so long, None for ever; False as soon as the peer has gone."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._peer, selectors.EVENT_READ)
            return not selector.select(seconds)

    def reset(self) -> None:
        """Throw the connection away: the peer sees a reset, not an end."""
        now = struct.pack("ii", 1, 0)
        self._peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
        # The request's files still hold the socket: only this closes it at once.
        os.close(self._peer.detach())


def compressed(answer: FaultyResponse, accept_encoding: str) -> FaultyResponse:
    """Return the answer as a client takes it that accepts these encodings."""
    if len(answer.body) <= _GZIP_FROM_BYTES or "gzip" not in accept_encoding.lower():
        return answer
    if answer.header("Content-Encoding") is not None:
        return answer
    body = gzip.compress(answer.body, compresslevel=1, mtime=0)
    return FaultyResponse(answer.status, body, answer.headers).with_headers(
        {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    )


def deliver(
    connection: ResponseWriter,
    answer: FaultyResponse,
    fault: Fault,
    *,
    finish: Callable[[], None],
) -> bool:
    """Send the answer; return whether the connection can serve another request.

    `finish` is called before the last byte leaves, so that no client can know of the
    end of its request before we do.
    """
    if fault.latency_seconds and not connection.wait(fault.latency_seconds):
        return False
    head, body = _head(answer), answer.body
    if fault.delivery is Delivery.WHOLE:
        finish()
        connection.send(head + body)
        return True
    if fault.delivery is Delivery.DRIP_HEADERS:
        return _drip(connection, head, body, fault=fault, finish=finish)
    if fault.delivery is Delivery.DRIP_BODY:
        connection.send(head)
        return _drip(connection, body, b"", fault=fault, finish=finish)
    if fault.delivery is Delivery.GZIP_BOMB:
        _explode(connection, answer, fault.bomb_bytes, finish=finish)
        return True
    if fault.delivery is Delivery.HANG:
        connection.wait(None)
    else:
        _break(connection, head + body[: len(body) // 2], fault.delivery, finish=finish)
    return False


def _break(
    connection: ResponseWriter,
    part: bytes,
    delivery: Delivery,
    *,
    finish: Callable[[], None],
) -> None:
    if delivery is not Delivery.RESET:
        connection.send(part)
    finish()
    if delivery is not Delivery.SHORT_BODY:
        connection.reset()


def _drip(
    connection: ResponseWriter,
    slow: bytes,
    after: bytes,
    *,
    fault: Fault,
    finish: Callable[[], None],
) -> bool:
    for position in range(len(slow)):
        if position and not connection.wait(fault.drip_seconds):
            return False
        if position == len(slow) - 1:
            finish()
        connection.send(slow[position : position + 1])
    connection.send(after)
    return True


def _explode(
    connection: ResponseWriter,
    answer: FaultyResponse,
    size: int,
    *,
    finish: Callable[[], None],
) -> None:
    """Send a document that is mostly spaces, compressed while it is sent."""
    encoded = {"Content-Encoding": "gzip", "Transfer-Encoding": "chunked"}
    connection.send(_head(answer.with_headers(encoded)))
    deflate = zlib.compressobj(level=1, wbits=31)
    connection.send(_chunk(deflate.compress(b'{"message": "success", "data": [')))
    for _ in range(0, size, len(_BOMB_BLOCK)):
        connection.send(_chunk(deflate.compress(_BOMB_BLOCK)))
    finish()
    connection.send(_chunk(deflate.compress(b"]}") + deflate.flush()) + b"0\r\n\r\n")


def _chunk(data: bytes) -> bytes:
    # An empty chunk would end the body.
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def _head(answer: FaultyResponse) -> bytes:
    try:
        phrase = HTTPStatus(answer.status).phrase
    except ValueError:
        phrase = ""
    lines = [f"HTTP/1.1 {answer.status} {phrase}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    if not (answer.header("Content-Length") or answer.header("Transfer-Encoding")):
        lines.append(f"Content-Length: {len(answer.body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
