"""Sockets that keep one request within its time and its bytes.

A timeout of a socket bounds one call on it; a peer that sends a byte now and then holds
the caller for ever. Here every wait, from the first connect to the last byte, TLS and a
proxy's answer included, gets what is left of one `Deadline`; `abort` ends the wait of
another thread at once. Only the look-up of a name cannot be interrupted: getaddrinfo
obeys the resolver's own timeouts. It knows nothing of HTTP.
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
    """What one request may still take; used by one thread, aborted by any."""

    def __init__(
        self, *, seconds: float, received_bytes: int, clock: Callable[[], float]
    ) -> None:
        self._clock = clock
        self._ends_at = clock() + seconds
        self._bytes_left = received_bytes
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self.is_aborted = False

    @property
    def is_over(self) -> bool:
        """Whether the time is used up."""
        return self._clock() >= self._ends_at

    @property
    def is_flooded(self) -> bool:
        """Whether more bytes came than were allowed, whatever they were."""
        return self._bytes_left < 0

    def now(self) -> float:
        """Return the monotonic instant this deadline is measured by."""
        return self._clock()

    def guard(self, sock: socket.socket, *, share: int = 1) -> None:
        """Let the next call on `sock` wait for what is left, divided by `share`.

        Raises `TimeoutError` if nothing is left, and `ConnectionAbortedError` after
        `abort`.
        """
        with self._lock:
            if self.is_aborted:
                raise ConnectionAbortedError
            self._socket = sock
        left = self._ends_at - self._clock()
        if left <= 0:
            raise TimeoutError
        sock.settimeout(left / share)

    def count(self, received: int) -> None:
        """Take `received` bytes off; when too many, raise `ConnectionAbortedError`."""
        self._bytes_left -= received
        if self.is_flooded:
            raise ConnectionAbortedError

    def abort(self) -> None:
        """Wake whoever waits on this deadline's socket, and refuse every later wait."""
        with self._lock:
            self.is_aborted = True
            if self._socket is not None:
                # Not SSLSocket's own shutdown: it drops the TLS state that the other
                # thread is reading with.
                with suppress(OSError):
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


current: ContextVar[Deadline] = ContextVar("current")
"""The deadline of the request that this thread is making."""


class TimedSocket(socket.socket):
    """A socket that asks the current deadline before it waits."""

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        """Receive as a socket does, within the deadline; likewise the others."""
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
    """The same over TLS: OpenSSL's handshake waits once, for all that is left."""

    def do_handshake(self, *args: Any, **kwargs: Any) -> None:  # noqa: D102 - as above
        current.get().guard(self)
        super().do_handshake(*args, **kwargs)


def open_socket(
    host: str, port: int, options: Iterable[tuple[int, int, int | bytes]]
) -> TimedSocket:
    """Connect to the first address of `host` that answers.

    Each address gets an equal share of the time left, so one that swallows packets
    leaves enough for the next. Raises the last address's `OSError`.
    """
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    failure = OSError("the name has no address")
    for index, (family, kind, protocol, _, address) in enumerate(addresses):
        try:
            sock = TimedSocket(family, kind, protocol)
        except OSError as exc:  # an IPv6 address where the kernel has no IPv6
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
        del failure  # it holds this frame through its traceback


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
    # An abort just before connect() makes it return as if it were connected.
    current.get().guard(sock)


def tls_context(ca_path: str | None, *, is_directory: bool) -> ssl.SSLContext:
    """Return a verifying context whose sockets keep the deadline.

    Raises `OSError` if the certificates cannot be read.
    """
    context = ssl.create_default_context(
        cafile=None if is_directory else ca_path,
        capath=ca_path if is_directory else None,
    )
    context.sslsocket_class = TimedTLSSocket
    return context
