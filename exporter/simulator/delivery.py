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
from dataclasses import replace

from exporter.simulator.faults import Delivery, Fault, SimulatedResponse, phrase_of

_GZIP_FROM_BYTES = 1024
_BOMB_BLOCK = b" " * (1 << 20)


class ResponseWriter:
    """Writes to one peer's socket.

    `finish` is called before the last byte is sent, so that the request is counted as
    closed before the client has the whole response.
    """

    def __init__(
        self, peer: socket.socket, finish: Callable[[], None] = lambda: None
    ) -> None:
        self._peer = peer
        self.finish = finish

    def send(self, data: bytes) -> None:
        """Send all data. OSError: the peer closed the connection."""
        self._peer.sendall(data)

    def send_last(self, data: bytes) -> None:
        """Send the end of the response."""
        self.finish()
        self.send(data)

    def pause(self, seconds: float | None) -> None:
        """Wait, None: for ever. ConnectionError: the peer closed the connection."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._peer, selectors.EVENT_READ)
            if selector.select(seconds):
                raise ConnectionAbortedError

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
    headers = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    return replace(response, body=body).with_headers(headers)


def deliver(
    connection: ResponseWriter, response: SimulatedResponse, fault: Fault
) -> bool:
    """Send the response; return whether the connection stays open.

    OSError: the peer closed the connection.
    """
    if fault.latency_seconds:
        connection.pause(fault.latency_seconds)
    head, body = _head(response), response.body
    match fault.delivery:
        case Delivery.WHOLE:
            connection.send_last(head + body)
        case Delivery.DRIP_HEADERS:
            _drip(connection, head, body, seconds=fault.drip_seconds)
        case Delivery.DRIP_BODY:
            connection.send(head)
            _drip(connection, body, b"", seconds=fault.drip_seconds)
        case Delivery.GZIP_BOMB:
            _send_bomb(connection, response, fault.bomb_bytes)
        case Delivery.HANG:
            connection.pause(None)
        case broken:
            if broken is not Delivery.RESET:
                connection.send(head + body[: len(body) // 2])
            connection.finish()
            if broken is not Delivery.SHORT_BODY:
                connection.reset()
            return False
    return True


def _drip(
    connection: ResponseWriter, slow: bytes, after: bytes, *, seconds: float
) -> None:
    for position in range(len(slow) - 1):
        connection.send(slow[position : position + 1])
        connection.pause(seconds)
    connection.send_last(slow[-1:] + after)


def _send_bomb(
    connection: ResponseWriter, response: SimulatedResponse, size: int
) -> None:
    """Send a valid document of `size` spaces, compressed."""
    encoded = {"Content-Encoding": "gzip", "Transfer-Encoding": "chunked"}
    connection.send(_head(response.with_headers(encoded)))
    deflate = zlib.compressobj(level=1, wbits=31)
    connection.send(_chunk(deflate.compress(b'{"message": "success", "data": [')))
    for _ in range(0, size, len(_BOMB_BLOCK)):
        connection.send(_chunk(deflate.compress(_BOMB_BLOCK)))
    end = _chunk(deflate.compress(b"]}") + deflate.flush())
    connection.send_last(end + b"0\r\n\r\n")


def _chunk(data: bytes) -> bytes:
    # An empty chunk would end the body.
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def _head(response: SimulatedResponse) -> bytes:
    lines = [f"HTTP/1.1 {response.status} {phrase_of(response.status)}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    if not (response.header("Content-Length") or response.header("Transfer-Encoding")):
        lines.append(f"Content-Length: {len(response.body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
