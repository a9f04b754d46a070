"""A listener in a thread of its own, and visitors that speak to it in bytes."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from exporter.web.server import (
    Address,
    ClientLimits,
    HttpRequest,
    HttpResponse,
    Responder,
    Server,
)

PATIENCE_SECONDS = 20.0
"""How long anything is waited for before the test has failed anyway."""
GET = b"GET / HTTP/1.1\r\nHost: inn\r\n\r\n"
T = TypeVar("T")


async def greet(_: HttpRequest) -> HttpResponse:
    """Answer anything with one line."""
    return HttpResponse(200, (("Content-Type", "text/plain"),), (b"welcome\n",))


@dataclass(frozen=True)
class Answer:
    """What came back, header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Visitor:
    """One client connection."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(PATIENCE_SECONDS)
        self.socket = sock
        self._unread = b""

    def say(self, data: bytes) -> None:
        """Send all of it."""
        self.socket.sendall(data)

    def answer(self, *, has_body: bool = True) -> Answer:
        """Read one answer, and no byte more of it than belongs to it."""
        while b"\r\n\r\n" not in self._unread:
            self._hear()
        head, _, self._unread = self._unread.partition(b"\r\n\r\n")
        first, *lines = head.decode("ascii").split("\r\n")
        pairs = (line.split(": ", 1) for line in lines)
        headers = {name.lower(): value for name, value in pairs}
        length = int(headers.get("content-length", "0")) if has_body else 0
        while len(self._unread) < length:
            self._hear()
        body, self._unread = self._unread[:length], self._unread[length:]
        return Answer(int(first.split()[1]), headers, body)

    def get(self) -> Answer:
        """Ask for the root."""
        self.say(GET)
        return self.answer()

    def leave(self) -> None:
        """Close."""
        self.socket.close()

    def is_shown_out(self) -> bool:
        """Wait until the other side closes; False if it says something instead."""
        try:
            return not self._unread and not self.socket.recv(1)
        except ConnectionError:
            return True

    def _hear(self) -> None:
        data = self.socket.recv(1 << 20)
        if not data:
            message = f"closed after {self._unread[:200]!r}"
            raise ConnectionError(message)
        self._unread += data


class Inn:
    """A running listener."""

    def __init__(self, loop: asyncio.AbstractEventLoop, listener: Server) -> None:
        self._loop = loop
        self._listener = listener
        self._visitors: list[Visitor] = []
        self.bound: tuple[Address, ...] = ()

    @property
    def port(self) -> int:
        """The port of the first address."""
        return self.bound[0].port

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run in the listener's loop."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(PATIENCE_SECONDS)

    def start(self, *addresses: Address) -> None:
        """Listen."""
        self.bound = self.run(self._listener.start(addresses))

    def stop(self, grace_seconds: float) -> None:
        """Stop listening; as often as wanted."""
        self.run(self._listener.stop(grace_seconds))

    def connect(self, host: str = "127.0.0.1", *, window: int = 0) -> Visitor:
        """Let a visitor in, with a receive buffer of so many bytes if given."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family)
        self._visitors.append(Visitor(sock))
        if window:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        sock.connect((host, self.port))
        return self._visitors[-1]

    def connect_tls(self, context: ssl.SSLContext) -> Visitor:
        """Let a visitor in who insists on a certificate for 127.0.0.1."""
        plain = self.connect()
        sock = context.wrap_socket(plain.socket, server_hostname="127.0.0.1")
        self._visitors.append(Visitor(sock))
        return self._visitors[-1]

    def close(self) -> None:
        """Send the visitors home and stop."""
        for visitor in self._visitors:
            visitor.leave()
        self.stop(1.0)


@contextmanager
def opened(
    respond: Responder = greet,
    *addresses: Address,
    limits: ClientLimits | None = None,
    ssl_context: Callable[[], ssl.SSLContext | None] = lambda: None,
) -> Iterator[Inn]:
    """Run a listener, on a free port of 127.0.0.1 unless told; nothing outlasts it."""
    with _loop() as loop:
        listener = Server(
            respond, limits=limits, ssl_context=ssl_context, clock=lambda: 1e9
        )
        inn = Inn(loop, listener)
        try:
            inn.start(*(addresses or (Address("127.0.0.1", 0),)))
            yield inn
        finally:
            inn.close()
            left = inn.run(_other_tasks())
        assert not left


@contextmanager
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE_SECONDS)
        loop.close()


async def _other_tasks() -> set[asyncio.Task[Any]]:
    current = asyncio.current_task()
    return {task for task in asyncio.all_tasks() if task is not current}
