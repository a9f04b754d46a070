"""Sockets and HTTP/1.1, one thread per connection; the answers come from elsewhere.

Stopping ends every connection, also those that hang on purpose.
"""

from __future__ import annotations

import socket
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Protocol

from exporter.simulator.delivery import ResponseWriter, deliver
from exporter.simulator.faults import Fault, FaultyResponse

STOP_SECONDS = 0.8


class Service(Protocol):
    """Who answers the requests that arrive."""

    def serve(
        self,
        connection: ResponseWriter,
        *,
        method: str,
        target: str,
        authorization: str | None,
        accept_encoding: str,
    ) -> bool:
        """Answer a request of the API; return whether the connection goes on."""

    def control(self, *, method: str, path: str, body: bytes) -> FaultyResponse:
        """Return the answer to a request of the control paths."""


_Peer = socket.socket | tuple[bytes, socket.socket]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: HttpServer

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        connection = ResponseWriter(self.connection)
        if self.path.startswith("/-/"):
            answer = self.server.service.control(
                method=self.command, path=self.path.partition("?")[0], body=body
            )
            deliver(connection, answer, Fault(), finish=lambda: None)
            return
        goes_on = self.server.service.serve(
            connection,
            method=self.command,
            target=self.path,
            authorization=self.headers.get("Authorization"),
            accept_encoding=self.headers.get("Accept-Encoding", ""),
        )
        if not goes_on:
            self.close_connection = True

    # The base class finds these by name.
    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: the journal has it."""


class HttpServer(ThreadingMixIn, TCPServer):
    """Listens from its making; raises OSError if the address is taken."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024

    def __init__(self, *, host: str, port: int, service: Service) -> None:
        self.service = service
        self._changed = threading.Condition()
        self._connections: set[socket.socket] = set()
        super().__init__((host, port), _Handler)

    def process_request(self, request: _Peer, client_address: object) -> None:
        """Start the peer's thread, and remember the peer until it ends."""
        if isinstance(request, socket.socket):
            with self._changed:
                self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: _Peer) -> None:
        """End a connection whose thread is done."""
        super().shutdown_request(request)
        with self._changed:
            self._connections -= {request}
            self._changed.notify_all()

    def handle_error(self, request: _Peer, client_address: object) -> None:
        """Print what is ours; that a peer has left is no news."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def shutdown(self) -> None:
        """Stop accepting; wakes the accepting thread instead of awaiting its poll."""
        with suppress(OSError):  # not every system shuts a listening socket down
            self.socket.shutdown(socket.SHUT_RDWR)
        super().shutdown()

    def close_connections(self) -> None:
        """End every connection and wait, not for long, until their threads left."""
        with self._changed:
            for peer in self._connections:
                with suppress(OSError):  # it may just have gone by itself
                    peer.shutdown(socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._connections, STOP_SECONDS)
