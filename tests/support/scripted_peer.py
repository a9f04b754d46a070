"""A TCP server whose connections each follow a script, and which records requests."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Script = Callable[["PeerConnection"], None]
PATIENCE_SECONDS = 20.0
"""How long a test waits for anything before it fails."""


class PeerConnection:
    """One connection, controlled by the script."""

    def __init__(self, sock: socket.socket, *, is_ending: threading.Event) -> None:
        self._socket = sock
        self._is_ending = is_ending

    def read_request(self) -> bytes:
        """Read up to the empty line; return b"" if the client closed instead."""
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            piece = self.read_some()
            if not piece:
                break
            request += piece
        return request

    def read_some(self) -> bytes:
        """Wait for bytes and return them; return b"" if the client closed instead."""
        return self._socket.recv(65536)

    def send(self, *pieces: bytes) -> None:
        """Send all pieces, one packet for each."""
        for piece in pieces:
            self._socket.sendall(piece)

    def drip(self, piece: bytes) -> None:
        """Send `piece` every 20 ms until the client closes or the test ends."""
        while not self._is_ending.wait(0.02):
            self._socket.sendall(piece)

    def hang(self) -> None:
        """Send nothing until the client closes or the test ends."""
        while not self._is_ending.is_set() and self.read_some():
            pass

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        linger = struct.pack("ii", 1, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._socket.close()

    def secure(self, context: ssl.SSLContext) -> None:
        """Do a TLS handshake."""
        self._socket = context.wrap_socket(self._socket, server_side=True)

    def relay(self, port: int) -> None:
        """Copy bytes between the client and a local port until either side closes."""
        with socket.create_connection(("127.0.0.1", port)) as far:
            back = threading.Thread(target=_pump, args=(far, self._socket))
            back.start()
            _pump(self._socket, far)
            back.join(PATIENCE_SECONDS)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


class Peer:
    """A listening socket on loopback whose connections each follow the script."""

    def __init__(self, script: Script, *, host: str = "127.0.0.1") -> None:
        self._script = script
        self._listener = socket.create_server((host, 0))
        self.port: int = self._listener.getsockname()[1]
        self._is_ending = threading.Event()
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
        """The URL for clients."""
        return f"http://127.0.0.1:{self.port}"

    def expect(self, connection: PeerConnection) -> bytes:
        """Read a request and record it."""
        request = connection.read_request()
        if request:
            self.requests.append(request)
            self.arrived.set()
        return request

    def __enter__(self) -> Peer:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._is_ending.set()
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
        while not self._is_ending.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._sockets.append(sock)
            self._start(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = PeerConnection(sock, is_ending=self._is_ending)
        try:
            self._script(connection)
        except OSError:
            pass  # the client closed first, as in many tests
        finally:
            connection.close()
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
    """Return a complete response with its Content-Length."""
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", "")
    return "\r\n".join(lines).encode() + body


@contextmanager
def serving(*pieces: bytes) -> Iterator[Peer]:
    """Yield a peer that responds to each request with `pieces` on one connection."""

    def script(connection: PeerConnection) -> None:
        while peer.expect(connection):
            connection.send(*pieces)

    with Peer(script) as peer:
        yield peer


@contextmanager
def closing(*pieces: bytes) -> Iterator[Peer]:
    """Yield a peer that responds to one request with `pieces` and closes."""

    def script(connection: PeerConnection) -> None:
        peer.expect(connection)
        connection.send(*pieces)

    with Peer(script) as peer:
        yield peer


@contextmanager
def swallowing() -> Iterator[int]:
    """Yield a loopback port where connecting hangs: its accept queue is full."""
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
    """Return a loopback port without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
