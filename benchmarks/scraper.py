"""One scrape over a new connection: how long it took and what came."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

TEXT = "text/plain;version=0.0.4"
OPENMETRICS = "application/openmetrics-text;version=1.0.0"
_PIECE_BYTES = 1 << 20
_TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Scrape:
    """What a scrape was like."""

    seconds: float
    """From connecting to the last byte."""
    body_bytes: int
    """As they came, compressed or not."""


class Scraper:
    """Requests one URL repeatedly, as Prometheus does, and discards the responses."""

    def __init__(self, url: str, *, is_gzip: bool, is_openmetrics: bool) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        accept = OPENMETRICS if is_openmetrics else TEXT
        encoding = "gzip" if is_gzip else "identity"
        self._request = (
            f"GET {parts.path or '/metrics'} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            f"Accept: {accept}\r\nAccept-Encoding: {encoding}\r\n"
            "Connection: close\r\n\r\n"
        ).encode()
        self._space = bytearray(_PIECE_BYTES)

    def scrape(self) -> Scrape:
        """Scrape once; RuntimeError unless the answer is 200 and whole."""
        began_at = time.perf_counter()
        with socket.create_connection(self._address, _TIMEOUT_SECONDS) as connection:
            connection.sendall(self._request)
            head, count = self._read_head(connection)
            length = _content_length(head)
            while length is None or count < length:
                received = connection.recv_into(self._space)
                if not received:
                    break
                count += received
        seconds = time.perf_counter() - began_at
        if head.split(b" ", 2)[1:2] != [b"200"] or count < (length or 1):
            message = f"no whole answer: {head[:100]!r}, {count} bytes"
            raise RuntimeError(message)
        return Scrape(seconds=seconds, body_bytes=count)

    def page(self) -> bytes:
        """Return a whole body, as it came."""
        with socket.create_connection(self._address, _TIMEOUT_SECONDS) as connection:
            connection.sendall(self._request)
            pieces = []
            while piece := connection.recv(_PIECE_BYTES):
                pieces.append(piece)
        return b"".join(pieces).partition(b"\r\n\r\n")[2]

    def _read_head(self, connection: socket.socket) -> tuple[bytes, int]:
        """Return the head of the answer, and how much of the body came with it."""
        head = b""
        while b"\r\n\r\n" not in head:
            piece = connection.recv(65536)
            if not piece:
                break
            head += piece
        head, _, rest = head.partition(b"\r\n\r\n")
        return head, len(rest)


def _content_length(head: bytes) -> int | None:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return None
