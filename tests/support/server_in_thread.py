"""A server with its event loop in a thread, and clients that send and receive bytes."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from exporter.web.connection import ClientLimits
from exporter.web.messages import HttpRequest, HttpResponse, Responder
from exporter.web.server import Address, Server

PATIENCE_SECONDS = 60.0
"""How long a test waits for anything before it fails."""
T = TypeVar("T")


def request_bytes(
    path: str = "/", *headers: str, method: str = "GET", version: str = "1.1"
) -> bytes:
    """Return a request without a body."""
    lines = [f"{method} {path} HTTP/{version}", "Host: server", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


GET = request_bytes()


async def hello(_: HttpRequest) -> HttpResponse:
    """Respond to any request with one line."""
    return HttpResponse(200, (("Content-Type", "text/plain"),), (b"hello\n",))


class BlockingResponder:
    """Responds with the path; to /blocked not before `unblock` is called."""

    def __init__(self) -> None:
        self._requests = threading.Semaphore(0)
        self._may_respond = asyncio.Event()
        self.is_cancelled = threading.Event()

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        """Respond to a request."""
        if request.path == "/blocked":
            self._requests.release()
            try:
                await self._may_respond.wait()
            except asyncio.CancelledError:
                self.is_cancelled.set()
                raise
        return HttpResponse(200, (), (request.path.encode(),))

    def block(self, client: RawClient) -> None:
        """Send a request that blocks, and wait until it is received."""
        client.send(request_bytes("/blocked"))
        assert self._requests.acquire(timeout=PATIENCE_SECONDS)

    async def unblock(self) -> None:
        """Respond to all blocked requests; call it in the server's loop."""
        self._may_respond.set()


@dataclass(frozen=True)
class RawResponse:
    """A response, with header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class RawClient:
    """One client connection."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(PATIENCE_SECONDS)
        self.socket = sock
        self._unread = b""

    def send(self, data: bytes) -> None:
        """Send all bytes."""
        self.socket.sendall(data)

    def receive(self, *, has_body: bool = True) -> RawResponse:
        """Read one response, and no byte of the next one."""
        while b"\r\n\r\n" not in self._unread:
            self._read_more()
        head, _, self._unread = self._unread.partition(b"\r\n\r\n")
        first, *lines = head.decode("ascii").split("\r\n")
        pairs = (line.split(": ", 1) for line in lines)
        headers = {name.lower(): value for name, value in pairs}
        length = int(headers.get("content-length", "0")) if has_body else 0
        while len(self._unread) < length:
            self._read_more()
        body, self._unread = self._unread[:length], self._unread[length:]
        return RawResponse(int(first.split()[1]), headers, body)

    def get(self, path: str = "/", *headers: str, method: str = "GET") -> RawResponse:
        """Send a request and read the response."""
        self.send(request_bytes(path, *headers, method=method))
        return self.receive(has_body=method != "HEAD")

    def read_to_end(self) -> int:
        """Read until the server closes or resets; return the number of bytes."""
        count = len(self._unread)
        try:
            while data := self.socket.recv(1 << 20):
                count += len(data)
        except (ConnectionError, ssl.SSLError):
            pass
        return count

    def is_closed(self) -> bool:
        """Wait until the server closes; False if it sends something instead."""
        try:
            return not self._unread and not self.socket.recv(1)
        except ConnectionError:
            return True

    def close(self) -> None:
        """Close."""
        self.socket.close()

    def _read_more(self) -> None:
        data = self.socket.recv(1 << 20)
        if not data:
            message = f"closed after {self._unread[:200]!r}"
            raise ConnectionError(message)
        self._unread += data


class ServerInThread:
    """A running server."""

    def __init__(self, loop: asyncio.AbstractEventLoop, server: Server) -> None:
        self._loop = loop
        self._server = server
        self._clients: list[RawClient] = []
        self.bound: tuple[Address, ...] = ()

    @property
    def port(self) -> int:
        """The port of the first address."""
        return self.bound[0].port

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the server's loop."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(PATIENCE_SECONDS)

    def start(self, *addresses: Address) -> None:
        """Listen."""
        self.bound = self.run(self._server.start(addresses))
        self._loop.call_soon_threadsafe(self._server.accept)

    def stop(self, grace_seconds: float) -> None:
        """Stop; more than one call is allowed."""
        self.run(self._server.stop(grace_seconds))

    def connect(self, host: str = "127.0.0.1", *, window: int = 0) -> RawClient:
        """Connect, with a receive buffer of `window` bytes if given."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family)
        self._clients.append(RawClient(sock))
        if window:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        sock.connect((host, self.port))
        return self._clients[-1]

    def connect_tls(self, context: ssl.SSLContext) -> RawClient:
        """Connect with TLS; the certificate has to be valid for 127.0.0.1."""
        plain = self.connect()
        sock = context.wrap_socket(plain.socket, server_hostname="127.0.0.1")
        self._clients.append(RawClient(sock))
        return self._clients[-1]

    def close(self) -> None:
        """Close all clients and stop."""
        for client in self._clients:
            client.close()
        self.stop(1.0)


@contextmanager
def serving(
    respond: Responder = hello,
    *addresses: Address,
    limits: ClientLimits | None = None,
    ssl_context: Callable[[], ssl.SSLContext | None] = lambda: None,
    clock: Callable[[], float] = lambda: 1e9,
) -> Iterator[ServerInThread]:
    """Run a server, by default on a free port of 127.0.0.1; no task outlasts it."""
    with _loop_in_thread() as loop:
        server = Server(respond, limits=limits, ssl_context=ssl_context, clock=clock)
        running = ServerInThread(loop, server)
        try:
            running.start(*(addresses or (Address("127.0.0.1", 0),)))
            yield running
        finally:
            running.close()
            left = running.run(_other_tasks())
        assert not left


@contextmanager
def _loop_in_thread() -> Iterator[asyncio.AbstractEventLoop]:
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
