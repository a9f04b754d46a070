"""Sending a response over one connection, intact or broken by a fault.

Waits end as soon as the peer closes the connection, or the simulator stops.
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

from exporter.simulator.faults import Delivery, Fault, SimulatedResponse

_GZIP_FROM_BYTES = 1024
_BOMB_BLOCK = b" " * (1 << 20)


class ResponseWriter:
    """Writes to one peer's socket."""

    def __init__(self, peer: socket.socket) -> None:
        self._peer = peer

    def send(self, data: bytes) -> None:
        """Send all data. OSError: the peer closed the connection."""
        self._peer.sendall(data)

    def wait(self, seconds: float | None) -> bool:
        """Wait, None: for ever; return False if the peer closes the connection."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._peer, selectors.EVENT_READ)
            return not selector.select(seconds)

    def reset(self) -> None:
        """Close the connection with a TCP reset."""
        no_linger = struct.pack("ii", 1, 0)
        self._peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
        # The handler's files keep the socket open: only this closes it at once.
        os.close(self._peer.detach())


def compressed(response: SimulatedResponse, accept_encoding: str) -> SimulatedResponse:
    """Return the response, compressed if it is large and the client accepts gzip."""
    if len(response.body) <= _GZIP_FROM_BYTES or "gzip" not in accept_encoding.lower():
        return response
    if response.header("Content-Encoding") is not None:
        return response
    body = gzip.compress(response.body, compresslevel=1, mtime=0)
    return SimulatedResponse(response.status, body, response.headers).with_headers(
        {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    )


def deliver(
    connection: ResponseWriter,
    response: SimulatedResponse,
    fault: Fault,
    *,
    finish: Callable[[], None],
) -> bool:
    """Send the response; return whether the connection stays open.

    `finish` is called before the last byte is sent, so that the request is counted as
    closed before the client has the whole response.
    """
    if fault.latency_seconds and not connection.wait(fault.latency_seconds):
        return False
    head, body = _head(response), response.body
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
        _send_bomb(connection, response, fault.bomb_bytes, finish=finish)
        return True
    if fault.delivery is Delivery.HANG:
        connection.wait(None)
    else:
        _send_part(
            connection, head + body[: len(body) // 2], fault.delivery, finish=finish
        )
    return False


def _send_part(
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


def _send_bomb(
    connection: ResponseWriter,
    response: SimulatedResponse,
    size: int,
    *,
    finish: Callable[[], None],
) -> None:
    """Send a valid document of `size` spaces, compressed."""
    encoded = {"Content-Encoding": "gzip", "Transfer-Encoding": "chunked"}
    connection.send(_head(response.with_headers(encoded)))
    deflate = zlib.compressobj(level=1, wbits=31)
    connection.send(_chunk(deflate.compress(b'{"message": "success", "data": [')))
    for _ in range(0, size, len(_BOMB_BLOCK)):
        connection.send(_chunk(deflate.compress(_BOMB_BLOCK)))
    finish()
    connection.send(_chunk(deflate.compress(b"]}") + deflate.flush()) + b"0\r\n\r\n")


def _chunk(data: bytes) -> bytes:
    # An empty chunk would end the body.
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def _head(response: SimulatedResponse) -> bytes:
    try:
        phrase = HTTPStatus(response.status).phrase
    except ValueError:
        phrase = ""
    lines = [f"HTTP/1.1 {response.status} {phrase}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    if not (response.header("Content-Length") or response.header("Transfer-Encoding")):
        lines.append(f"Content-Length: {len(response.body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
