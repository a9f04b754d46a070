"""HTTP/1.1 server with one thread per connection.

Stopping closes every connection, including those that a fault keeps open.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import NamedTuple

STOP_SECONDS = 0.8


class ReceivedRequest(NamedTuple):
    """One request; `authorization` is None without the header."""

    method: str
    target: str
    authorization: str | None
    accept_encoding: str
    body: bytes


Respond = Callable[[socket.socket, ReceivedRequest], bool]
"""Sends the response; returns whether the connection stays open."""

_Peer = socket.socket | tuple[bytes, socket.socket]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: HttpServer

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = ReceivedRequest(
            self.command,
            self.path,
            self.headers.get("Authorization"),
            self.headers.get("Accept-Encoding", ""),
            body,
        )
        if not self.server.respond(self.connection, request):
            self.close_connection = True

    # http.server calls these by name.
    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing: requests are in the request log."""


class HttpServer(ThreadingMixIn, TCPServer):
    """Listens as soon as it is created. OSError: the address is in use."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024

    def __init__(self, *, host: str, port: int, respond: Respond) -> None:
        self.respond = respond
        self._changed = threading.Condition()
        self._connections: set[socket.socket] = set()
        super().__init__((host, port), _Handler)

    def process_request(self, request: _Peer, client_address: object) -> None:
        """Start the connection's thread, and track the connection until it ends."""
        if isinstance(request, socket.socket):
            with self._changed:
                self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: _Peer) -> None:
        """Close a connection whose thread has ended."""
        super().shutdown_request(request)
        with self._changed:
            self._connections -= {request}
            self._changed.notify_all()

    def handle_error(self, request: _Peer, client_address: object) -> None:
        """Print errors of the simulator, but not closed connections."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def shutdown(self) -> None:
        """Stop accepting, without waiting for the accepting thread's poll interval."""
        with suppress(OSError):  # not supported on every system
            self.socket.shutdown(socket.SHUT_RDWR)
        super().shutdown()

    def close_connections(self) -> None:
        """Close every connection and wait up to STOP_SECONDS for their threads."""
        with self._changed:
            for peer in self._connections:
                with suppress(OSError):  # already closed
                    peer.shutdown(socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._connections, STOP_SECONDS)
