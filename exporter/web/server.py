"""Listens for HTTP clients: accepts them, hurries them, makes room, stops.

However many clients are silent or slow, the next one is accepted: at the cap whoever
has let us wait longest is closed. It knows nothing of routes, metrics or Braze.
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
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from exporter.model.errors import ListenError
from exporter.web.connection import ClientLimits, Connection, ServerContext
from exporter.web.connection_table import ConnectionHandle, ConnectionTable
from exporter.web.messages import HttpRequest, HttpResponse, Responder

__all__ = [
    "Address",
    "ClientLimits",
    "HttpRequest",
    "HttpResponse",
    "Responder",
    "Server",
    "parse_address",
    "raise_descriptor_limit",
]

_log = logging.getLogger(__name__)

_BACKLOG = 1024
# So that a crowd at the door leaves the loop a turn for those inside.
_ACCEPTS_AT_ONCE = 16
_HURRIED_AT_ONCE = 64
_REST_SECONDS = 0.05
_QUIET_SECONDS = 60.0
_TLS_SHUTDOWN_SECONDS = 2.0
# What the kernel takes of an answer before the client's window asks for it: little
# enough for a slow reader's progress to show, and to cost no memory.
_UNSENT_BYTES = 128 * 1024
_PORT = re.compile(r"[0-9]{1,5}")
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_NO_IPV6 = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})
_MOST_DESCRIPTORS = 65_536
_DESCRIPTORS_FOR_OTHERS = 256


class Address(NamedTuple):
    """Where to listen: an empty host is all interfaces, port 0 any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_address(text: str) -> Address:
    """Read `host:port`, `:port` or `[v6]:port`; ValueError says what was expected."""
    host, colon, port = text.rpartition(":")
    if not colon or set(host) & set("/@ "):
        message = f"address {text!r}: expected host:port, :port or [v6]:port"
        raise ValueError(message)
    if host.startswith("[") and host.endswith("]") and ":" in host:
        host = host[1:-1]
    if set(host) & set("[]") or (":" in host and not text.startswith("[")):
        message = f"address {text!r}: expected an IPv6 address as in [::1]:10417"
        raise ValueError(message)
    if not _PORT.fullmatch(port) or int(port) > 65_535:
        message = f"address {text!r}: expected a port from 0 to 65535 after the colon"
        raise ValueError(message)
    return Address(host, int(port))


def raise_descriptor_limit(connections: int) -> int:
    """Let this process open as many files as it may, at most 65536.

    Returns how many of the wanted connections that allows beside everything else.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else hard
    wanted = min(wanted, _MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # Some kernels have yet another limit that nothing tells.
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    if soft == resource.RLIM_INFINITY:
        return connections
    return min(connections, max(soft - _DESCRIPTORS_FOR_OTHERS, soft // 2))


class Server:
    """A server that gives every complete request to `respond`, in the running loop.

    `ssl_context` is asked for every new connection; None is plain HTTP.
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
        self._roster = ConnectionTable()
        self._house = ServerContext(respond, self._limits, clock, self._roster)
        self._sockets: list[socket.socket] = []
        self._timers: dict[socket.socket | None, asyncio.TimerHandle] = {}
        self._is_quiet_until = 0.0

    async def start(self, addresses: Sequence[Address]) -> tuple[Address, ...]:
        """Listen on all of the addresses; return them with their ports.

        ListenError: one of them cannot be listened on, and then none is.
        """
        try:
            for address in addresses:
                self._sockets.append(_bind(address))
        except ListenError:
            self._close_sockets()
            raise
        for listening in self._sockets:
            self._accept_from(listening)
        self._sweep()
        return tuple(Address(*bound.getsockname()[:2]) for bound in self._sockets)

    async def stop(self, grace_seconds: float) -> None:
        """Accept no more, and let answers in progress finish within the grace."""
        self._close_sockets()
        for guest in self._roster.guests():
            guest.retire()
        try:
            async with asyncio.timeout(grace_seconds):
                await self._roster.emptied()
        except TimeoutError:
            for guest in self._roster.guests():
                guest.abort()
            await self._roster.emptied()
        await self._roster.settled(seconds=grace_seconds)
        for timer in self._timers.values():
            timer.cancel()

    def _close_sockets(self) -> None:
        for listening in self._sockets:
            timer = self._timers.pop(listening, None)
            if timer is not None:
                timer.cancel()
            asyncio.get_running_loop().remove_reader(listening)
            listening.close()
        self._sockets.clear()

    def _sweep(self) -> None:
        self._hurry(iter(self._roster.guests()))

    def _hurry(self, guests: Iterator[ConnectionHandle]) -> None:
        """Hurry some of them now, and the rest once others have had their turn.

        A thousand that came together are shown out together, which takes a while.
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        some = tuple(islice(guests, _HURRIED_AT_ONCE))
        for guest in some:
            guest.hurry(now)
        if some:
            self._timers[None] = loop.call_later(0, self._hurry, guests)
        else:
            seconds = self._limits.sweep_seconds
            self._timers[None] = loop.call_later(seconds, self._sweep)

    def _accept_from(self, listening: socket.socket) -> None:
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
                self._rest(listening, error)
                return
            self._admit(accepted)

    def _rest(self, listening: socket.socket, error: OSError) -> None:
        """Accept nothing for a moment: the socket stays readable, we would spin."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(listening)
        resume = partial(self._accept_from, listening)
        self._timers[listening] = loop.call_later(_REST_SECONDS, resume)
        if error.errno in _NO_ROOM:
            for _ in range(_ACCEPTS_AT_ONCE):
                self._roster.make_room()
        if loop.time() >= self._is_quiet_until:
            self._is_quiet_until = loop.time() + _QUIET_SECONDS
            facts = {"error": _reason(error), "connections": len(self._roster)}
            _log.warning("web.accept_failed", extra={"facts": facts})

    def _admit(self, accepted: socket.socket) -> None:
        is_full = len(self._roster) >= self._limits.connections
        if is_full and not self._roster.make_room():
            accepted.close()
            return
        accepted.setblocking(False)
        connection = Connection(self._house)
        task = self._roster.run(self._open(connection, accepted))
        connection.opened_by(task)
        task.add_done_callback(partial(self._opened, connection, accepted))

    async def _open(self, connection: Connection, accepted: socket.socket) -> None:
        context = self._ssl_context()
        seconds = self._limits.first_request_seconds
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
        if not connection.is_made:
            self._roster.remove(connection)
            accepted.close()
        error = None if task.cancelled() else task.exception()
        # OSError: the client left, or did not speak TLS.
        if error is not None and not isinstance(error, OSError):
            _log.error("web.failed", exc_info=error)


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
    """Return one address of the host, IPv4 if it has such."""
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    family, _, _, _, place = min(found, key=lambda info: info[0] != socket.AF_INET)
    return family, place


def _listen(family: socket.AddressFamily, place: tuple[Any, ...]) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setblocking(False)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:  # all of IPv6 is to mean IPv4 as well
            is_narrow = place[0] != "::"
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, is_narrow)
        # Accepted sockets inherit it. asyncio sets it only where a socket's protocol is
        # spelled out; without, the end of a page may wait 40 ms for the client's ACK.
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
