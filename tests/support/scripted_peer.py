"""A scripted TCP peer: what it sends is said byte by byte, what it got is kept."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Script = Callable[["Turn"], None]
PATIENCE_SECONDS = 20.0
"""How long a peer waits for something before the test has failed anyway."""


class Turn:
    """One connection of a peer, in the hands of its script."""

    def __init__(self, sock: socket.socket, *, gone: threading.Event) -> None:
        self._socket = sock
        self._gone = gone

    def read_request(self) -> bytes:
        """Read up to the empty line; nothing if the client closed instead."""
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            piece = self._socket.recv(65536)
            if not piece:
                break
            request += piece
        return request

    def send(self, *pieces: bytes) -> None:
        """Send all, one packet per piece."""
        for piece in pieces:
            self._socket.sendall(piece)

    def drip(self, piece: bytes) -> None:
        """Send `piece` every 20 ms until the client goes or the test ends."""
        while not self._gone.wait(0.02):
            self._socket.sendall(piece)

    def hang(self) -> None:
        """Stay silent until the client closes or the test ends."""
        while not self._gone.is_set() and self._socket.recv(65536):
            pass

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        linger = struct.pack("ii", 1, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._socket.close()

    def secure(self, context: ssl.SSLContext) -> None:
        """Go on over TLS."""
        self._socket = context.wrap_socket(self._socket, server_side=True)

    def relay(self, port: int) -> None:
        """Pass bytes between the client and a local port until either side ends."""
        with socket.create_connection(("127.0.0.1", port)) as far:
            back = threading.Thread(target=_pump, args=(far, self._socket))
            back.start()
            _pump(self._socket, far)
            back.join(PATIENCE_SECONDS)

    def close(self) -> None:
        """End the connection."""
        self._socket.close()


class Peer:
    """A listening socket on loopback whose connections each follow the script."""

    def __init__(self, script: Script, *, host: str = "127.0.0.1") -> None:
        self._script = script
        self._listener = socket.create_server((host, 0))
        self.port: int = self._listener.getsockname()[1]
        self._gone = threading.Event()
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self.connections = 0
        self.requests: list[bytes] = []
        self.arrived = threading.Event()
        """Set when the first request has been read."""
        self.closed = threading.Event()
        """Set when the first connection has been closed by this side."""

    @property
    def url(self) -> str:
        """The endpoint a client is given."""
        return f"http://127.0.0.1:{self.port}"

    def expect(self, turn: Turn) -> bytes:
        """Read a request and keep it."""
        request = turn.read_request()
        if request:
            self.requests.append(request)
            self.arrived.set()
        return request

    def __enter__(self) -> Peer:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._gone.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        for sock in tuple(self._sockets):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        for thread in tuple(self._threads):
            thread.join(PATIENCE_SECONDS)
        self._listener.close()

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._gone.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._sockets.append(sock)
            self._start(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        turn = Turn(sock, gone=self._gone)
        try:
            self._script(turn)
        except OSError:
            pass  # the client went first, as many tests want it to
        finally:
            turn.close()
            self.closed.set()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while piece := source.recv(65536):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return


def answer(
    body: bytes = b"{}", *, status: str = "200 OK", headers: tuple[str, ...] = ()
) -> bytes:
    """Return a whole answer with the right Content-Length."""
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", "")
    return "\r\n".join(lines).encode() + body


@contextmanager
def serving(*pieces: bytes) -> Iterator[Peer]:
    """Yield a peer that answers each request with `pieces`, keeping the connection."""

    def script(turn: Turn) -> None:
        while peer.expect(turn):
            turn.send(*pieces)

    with Peer(script) as peer:
        yield peer


@contextmanager
def closing(*pieces: bytes) -> Iterator[Peer]:
    """Yield a peer that sends `pieces` for one request and closes."""

    def script(turn: Turn) -> None:
        peer.expect(turn)
        turn.send(*pieces)

    with Peer(script) as peer:
        yield peer


@contextmanager
def swallowing() -> Iterator[int]:
    """Yield a loopback port where connecting hangs: its queue of arrivals is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        try:
            yield listener.getsockname()[1]
        finally:
            for filler in fillers:
                filler.close()


def closed_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
