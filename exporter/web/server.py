"""The HTTP server: listens, accepts, enforces deadlines, evicts, stops.

A new connection is accepted however many idle or slow ones there are: at the limit the
connection that has waited longest for its client is closed.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
import resource
import socket
import ssl
import time
from asyncio import sslproto
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from exporter.model.errors import ListenError
from exporter.web import handshake
from exporter.web.connection import ClientLimits, Connection, ServerContext
from exporter.web.connection_table import ConnectionTable
from exporter.web.messages import Responder
from exporter.web.send_queue import SendQueue

_log = logging.getLogger(__name__)

_BACKLOG = 4096
# So that many new connections do not delay the open ones.
_ACCEPTS_AT_ONCE = 16
_CHECKS_AT_ONCE = 64
_ACCEPT_PAUSE_SECONDS = 0.05
_SWEEP_SECONDS = 0.5
_WARNING_INTERVAL_SECONDS = 60.0
_TLS_SHUTDOWN_SECONDS = 2.0
# Received at once: more than the request of a scrape, which has less than 8 KiB.
_INPUT_BYTES = 16 * 1024
# Of each TLS connection; asyncio's usual 256 KiB are sixteen records.
sslproto.SSLProtocol.max_size = 16 * 1024
# What the kernel buffers of a response before the client's window has room for it: few
# enough bytes that the progress of a slow client is visible, and that memory is small.
_UNSENT_BYTES = 128 * 1024
_PORT = re.compile(r"[0-9]{1,5}")
_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_NO_IPV6 = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})
_MOST_DESCRIPTORS = 65_536
_DESCRIPTORS_FOR_OTHERS = 256


class Address(NamedTuple):
    """An address to listen on: an empty host is all interfaces, port 0 a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_address(text: str) -> Address:
    """Parse `host:port`, `:port` or `[v6]:port`. ValueError names the expected form."""
    host, colon, port = text.rpartition(":")
    if not colon or set(host) & set("/@ "):
        raise ValueError(f"address {text!r}: expected host:port, :port or [v6]:port")
    if host.startswith("[") and host.endswith("]") and ":" in host:
        host = host[1:-1]
    if set(host) & set("[]") or (":" in host and not text.startswith("[")):
        raise ValueError(
            f"address {text!r}: expected an IPv6 address as in [::1]:10417"
        )
    if not _PORT.fullmatch(port) or int(port) > 65_535:
        raise ValueError(
            f"address {text!r}: expected a port from 0 to 65535 after the colon"
        )
    return Address(host, int(port))


def raise_descriptor_limit(connections: int) -> int:
    """Raise the soft limit on open files to the hard one, at most to 65536.

    Return the number of connections, reduced to what the limit allows.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return connections
    is_unlimited = hard == resource.RLIM_INFINITY
    wanted = _MOST_DESCRIPTORS if is_unlimited else min(hard, _MOST_DESCRIPTORS)
    if soft < wanted:
        # Some kernels have a lower limit that cannot be queried.
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return min(connections, max(soft - _DESCRIPTORS_FOR_OTHERS, soft // 2))


class Server:
    """Passes every complete request to `respond`, in the running event loop.

    `ssl_context` is called for every new connection; None is plain HTTP.
    """

    def __init__(
        self,
        respond: Responder,
        *,
        limits: ClientLimits | None = None,
        ssl_context: Callable[[], ssl.SSLContext | None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._limits = limits or ClientLimits()
        self._ssl_context = ssl_context
        self._table = ConnectionTable()
        self._context = ServerContext(
            respond,
            self._limits,
            clock,
            self._table,
            SendQueue(),
            memoryview(bytearray(_INPUT_BYTES)),
        )
        self._sockets: list[socket.socket] = []
        self._timers: dict[socket.socket, asyncio.TimerHandle] = {}
        """When paused sockets accept again."""
        self._sweeps: list[asyncio.Task[None]] = []
        self._next_warning_at = 0.0

    async def start(self, addresses: Sequence[Address]) -> tuple[Address, ...]:
        """Listen on all addresses; return them with their actual ports.

        Clients wait until `accept` is called. ListenError: one of the addresses is
        unusable; the server then listens on none.
        """
        try:
            for address in addresses:
                self._sockets.append(_bind(address))
        except ListenError:
            self._close_sockets()
            raise
        return tuple(Address(*bound.getsockname()[:2]) for bound in self._sockets)

    def accept(self) -> None:
        """Accept clients from now on, also those that wait."""
        for listening in self._sockets:
            self._resume_accepting(listening)
        self._sweeps.append(self._table.start_task(self._check_deadlines()))

    async def stop(self, grace_seconds: float) -> None:
        """Stop accepting, and abort responses that do not end in the grace period."""
        self._close_sockets()
        for connection in self._table.connections():
            connection.close_after_response()
        try:
            async with asyncio.timeout(grace_seconds):
                await self._table.wait_until_empty()
        except TimeoutError:
            for connection in self._table.connections():
                connection.abort()
            await self._table.wait_until_empty()
        for sweep in self._sweeps:
            sweep.cancel()
        await self._table.wait_for_tasks(timeout_seconds=grace_seconds)

    def _close_sockets(self) -> None:
        for listening in self._sockets:
            asyncio.get_running_loop().remove_reader(listening)
            listening.close()
        self._sockets.clear()
        for timer in self._timers.values():
            timer.cancel()

    async def _check_deadlines(self) -> None:
        """Check all deadlines regularly, and serve other connections in between.

        A thousand connections that were opened together expire together, and closing
        them takes a while.
        """
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            for number, connection in enumerate(self._table.connections(), 1):
                try:
                    connection.check_deadline(loop.time())
                except Exception:  # noqa: BLE001 (the others have deadlines too)
                    _log.exception("web.failed")
                    connection.abort()
                if number % _CHECKS_AT_ONCE == 0:
                    await asyncio.sleep(0)

    def _resume_accepting(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._timers.pop(listening, None)
        loop.add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_ACCEPTS_AT_ONCE):
            try:
                accepted, _peer = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause_accepting(listening, error)
                return
            self._add(accepted)

    def _pause_accepting(self, listening: socket.socket, error: OSError) -> None:
        """Pause: the socket stays readable, and the loop would call back at once."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(listening)
        resume = partial(self._resume_accepting, listening)
        self._timers[listening] = loop.call_later(_ACCEPT_PAUSE_SECONDS, resume)
        if error.errno in _OUT_OF_RESOURCES:
            for _ in range(_ACCEPTS_AT_ONCE):
                self._table.evict_oldest()
        if loop.time() >= self._next_warning_at:
            self._next_warning_at = loop.time() + _WARNING_INTERVAL_SECONDS
            facts = {"error": _reason(error), "connections": len(self._table)}
            _log.warning("web.accept_failed", extra={"fields": facts})

    def _add(self, accepted: socket.socket) -> None:
        is_full = len(self._table) >= self._limits.connections
        if is_full and not self._table.evict_oldest():
            accepted.close()
            return
        accepted.setblocking(False)
        connection = Connection(self._context)
        task = self._table.start_task(self._open(connection, accepted))
        connection.set_opening_task(task)
        task.add_done_callback(partial(self._opened, connection, accepted))

    async def _open(self, connection: Connection, accepted: socket.socket) -> None:
        context = self._ssl_context()
        handshake.client.set(accepted.getpeername()[0])
        seconds = self._limits.first_request_seconds
        if context is not None:
            await wait_for_input(accepted)
            if not accepted.recv(1, socket.MSG_PEEK):
                return  # the client has left
            self._table.begin_handshake(connection)
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: connection,
            accepted,
            ssl=context,
            ssl_handshake_timeout=seconds if context else None,
            ssl_shutdown_timeout=_TLS_SHUTDOWN_SECONDS if context else None,
        )

    def _opened(
        self,
        connection: Connection,
        accepted: socket.socket,
        task: asyncio.Task[None],
    ) -> None:
        if not connection.transport:
            connection.set_opening_task(None)  # the task refers to the connection
            self._table.remove(connection)
            accepted.close()
        error = None if task.cancelled() else task.exception()
        # OSError: the client disconnected, or the TLS handshake failed.
        if error is not None and not isinstance(error, OSError):
            _log.error("web.failed", exc_info=error)
        if error is not None:
            # Its frames refer to it and to the TLS state.
            error.__traceback__ = None


async def wait_for_input(accepted: socket.socket) -> None:
    """Wait for the first byte: a silent client costs no TLS state."""
    loop = asyncio.get_running_loop()
    has_input = loop.create_future()

    def note() -> None:
        loop.remove_reader(accepted)
        if not has_input.done():  # cancelled since the loop saw the input
            has_input.set_result(None)

    loop.add_reader(accepted, note)
    try:
        await has_input
    finally:
        loop.remove_reader(accepted)


def _bind(address: Address) -> socket.socket:
    try:
        if address.host:
            return _listen(*_resolve(address))
        try:
            return _listen(socket.AF_INET6, ("::", address.port))
        except OSError as error:
            if error.errno not in _NO_IPV6:
                raise
        return _listen(socket.AF_INET, ("", address.port))
    except (OSError, UnicodeError) as error:
        message = f"cannot listen on {address}: {_reason(error)}"
        raise ListenError(message) from error


def _resolve(address: Address) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    """Return one address of the host, preferably IPv4."""
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    family, _, _, _, place = min(found, key=lambda info: info[0] != socket.AF_INET)
    return family, place


def _listen(family: socket.AddressFamily, place: tuple[Any, ...]) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setblocking(False)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:  # :: accepts IPv4 as well
            is_v6_only = place[0] != "::"
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, is_v6_only)
        # Accepted sockets inherit it. asyncio does not set it on sockets whose protocol
        # is 0; without it the end of a page may wait 40 ms for the client's ACK.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            listening.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES
            )
        listening.bind(place)
        listening.listen(_BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening


def _reason(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return str(error.strerror).lower()
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno).lower()
    return str(error)
