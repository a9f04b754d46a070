"""A real Redis on a socket of its own, and ways to it that can be cut."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from redis import Redis
from redis.exceptions import RedisError

from tests.support.daemon_process import PATIENCE_SECONDS, until


class RedisServer:
    """One server; it listens at a Unix socket alone, and keeps nothing."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self.path = folder / "redis.sock"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"unix://{self.path}"

    def client(self) -> Redis:
        """Return a client of its own."""
        return Redis(unix_socket_path=str(self.path), socket_timeout=PATIENCE_SECONDS)

    def start(self) -> None:
        """Start it, empty."""
        self._process = subprocess.Popen(
            [
                self._program,
                *("--port", "0", "--unixsocket", str(self.path)),
                *("--save", "", "--appendonly", "no", "--dir", str(self.path.parent)),
            ],
            stdout=subprocess.DEVNULL,
        )
        with self.client() as client:
            until(lambda: _answers(client))

    def stop(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE_SECONDS)
            self._process = None
            self.path.unlink(missing_ok=True)

    def hang(self) -> None:
        """Let it take connections, and answer nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it answer again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _answers(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except (RedisError, OSError):
        return False


class Way:
    """A TCP port that leads to a server; while it is cut, nothing passes either way."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._is_open = threading.Event()
        self._is_open.set()
        self.lag_seconds = 0.0
        """How much later each answer comes."""
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    @property
    def url(self) -> str:
        """Where it begins."""
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"

    def cut(self) -> None:
        """Let nothing pass: peers hear nothing, not even that it is cut."""
        self._is_open.clear()

    def mend(self) -> None:
        """Let pass what waits, and all that comes."""
        self._is_open.set()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                self._sockets += [peer, server]
                try:
                    server.connect(str(self._server.path))
                except OSError:  # it is stopped
                    peer.shutdown(socket.SHUT_RDWR)
                    continue
                for ends in ((peer, server), (server, peer)):
                    thread = threading.Thread(
                        target=self._pass, args=(*ends, server), daemon=True
                    )
                    self._threads.append(thread)
                    thread.start()

    def _pass(
        self, one: socket.socket, other: socket.socket, server: socket.socket
    ) -> None:
        with suppress(OSError):
            while content := one.recv(65536):
                self._is_open.wait()
                if one is server:
                    time.sleep(self.lag_seconds)
                other.sendall(content)
        self._is_open.wait()
        with suppress(OSError):
            other.shutdown(socket.SHUT_WR)

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_open.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)
        for each in self._sockets:
            each.close()
