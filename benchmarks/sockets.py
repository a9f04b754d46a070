"""Sockets for the benchmarks: a free port, and idle connections."""

from __future__ import annotations

import contextlib
import resource
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

_PACE_SECONDS = 0.0005
"""Python's own servers let five wait at the door: a sixth would try for a second."""


def free_port() -> int:
    """Return a free loopback port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def silent_clients(url: str, count: int) -> Iterator[None]:
    """Keep this many idle connections open."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    parts = urlsplit(url)
    address = (parts.hostname or "", parts.port or 80)
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(socket.create_connection(address, 60))
            time.sleep(_PACE_SECONDS)
        yield
