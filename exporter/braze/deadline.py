"""Sockets with a deadline and a limit of received bytes for the whole request.

The timeout of a socket applies to a single call; a peer that sends a byte now and then
blocks the caller for ever. Here every wait, including TLS and proxy, gets the rest of
one `Deadline`, and `abort` interrupts the wait of another thread. Name look-ups cannot
be interrupted: getaddrinfo has the resolver's own timeouts.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any


class Deadline:
    """The remaining time and bytes of a request; other threads may abort it."""

    def __init__(
        self, *, seconds: float, received_bytes: int, clock: Callable[[], float]
    ) -> None:
        self.now = clock
        self._ends_at = clock() + seconds
        self._bytes_left = received_bytes
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self.is_aborted = False

    @property
    def is_over(self) -> bool:
        """Whether no time is left."""
        return self.now() >= self._ends_at

    @property
    def is_flooded(self) -> bool:
        """Whether more bytes were received than allowed."""
        return self._bytes_left < 0

    def guard(self, sock: socket.socket, *, share: int = 1) -> None:
        """Set the timeout of the next call on `sock` to the rest, divided by `share`.

        Raises `TimeoutError` if nothing is left, and `ConnectionAbortedError` after
        `abort`.
        """
        with self._lock:
            if self.is_aborted:
                raise ConnectionAbortedError
            self._socket = sock
        left = self._ends_at - self.now()
        if left <= 0:
            raise TimeoutError
        sock.settimeout(left / share)

    def count(self, received: int) -> None:
        """Count received bytes. ConnectionAbortedError: they exceed the limit."""
        self._bytes_left -= received
        if self.is_flooded:
            raise ConnectionAbortedError

    def abort(self) -> None:
        """Interrupt the wait on the current socket; all later waits raise."""
        with self._lock:
            self.is_aborted = True
            if self._socket is not None:
                # Not SSLSocket.shutdown: it drops the TLS state, which the other thread
                # uses.
                with suppress(OSError):
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


current: ContextVar[Deadline] = ContextVar("current")
"""The deadline of the request of this thread."""


class TimedSocket(socket.socket):
    """A socket whose waits are limited by the current deadline."""

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        """Receive like a socket, within the deadline; likewise the other methods."""
        deadline = current.get()
        deadline.guard(self)
        received = super().recv_into(*args, **kwargs)
        deadline.count(received)
        return received

    def recv(self, *args: Any, **kwargs: Any) -> bytes:  # noqa: D102 - as above
        deadline = current.get()
        deadline.guard(self)
        received = super().recv(*args, **kwargs)
        deadline.count(len(received))
        return received

    def send(self, *args: Any, **kwargs: Any) -> int:  # noqa: D102 - as above
        current.get().guard(self)
        return super().send(*args, **kwargs)

    def sendall(self, *args: Any, **kwargs: Any) -> None:  # noqa: D102 - as above
        current.get().guard(self)
        super().sendall(*args, **kwargs)


class TimedTLSSocket(TimedSocket, ssl.SSLSocket):
    """The same over TLS; the handshake is one wait."""

    def do_handshake(self, *args: Any, **kwargs: Any) -> None:  # noqa: D102 - as above
        current.get().guard(self)
        super().do_handshake(*args, **kwargs)


def open_socket(
    host: str, port: int, options: Iterable[tuple[int, int, int | bytes]]
) -> TimedSocket:
    """Connect to the first reachable address of `host`.

    Each address gets an equal share of the remaining time, so that an unreachable one
    leaves enough for the next. Raises the `OSError` of the last address.
    """
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    failure = OSError("the host name has no address")
    for index, (family, kind, protocol, _, address) in enumerate(addresses):
        try:
            sock = TimedSocket(family, kind, protocol)
        except OSError as exc:  # e.g. an IPv6 address without IPv6 support
            failure = exc
            continue
        try:
            _connect(sock, address, options, share=len(addresses) - index)
        except OSError as exc:
            failure = exc
            sock.close()
        else:
            return sock
    try:
        raise failure
    finally:
        del failure  # its traceback references this frame


def _connect(
    sock: TimedSocket,
    address: tuple[Any, ...],
    options: Iterable[tuple[int, int, int | bytes]],
    *,
    share: int,
) -> None:
    for option in options:
        sock.setsockopt(*option)
    current.get().guard(sock, share=share)
    sock.connect(address)
    # After an abort just before it, connect() returns without an error.
    current.get().guard(sock)
