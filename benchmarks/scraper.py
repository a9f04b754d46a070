"""One scrape over a new connection: how long it took and what came."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from urllib.parse import urlsplit

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
    """Requests one URL repeatedly, as Prometheus does, gzip or plain."""

    def __init__(self, url: str, encoding: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        accepted = "gzip" if encoding == "gzip" else "identity"
        self._request = (
            f"GET {parts.path or '/metrics'} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            "Accept: text/plain;version=0.0.4\r\n"
            f"Accept-Encoding: {accepted}\r\nConnection: close\r\n\r\n"
        ).encode()
        self._space = bytearray(_PIECE_BYTES)

    def scrape(self) -> Scrape:
        """Scrape once; RuntimeError unless the response is 200 and complete."""
        count = 0
        began_at = time.perf_counter()
        with self._response() as response:
            while received := response.readinto(self._space):
                count += received
            seconds = time.perf_counter() - began_at
            if response.length or not count:
                message = f"the response ended after {count} bytes"
                raise RuntimeError(message)
        return Scrape(seconds=seconds, body_bytes=count)

    def page(self) -> bytes:
        """Return a whole body, as it came."""
        with self._response() as response:
            return response.read()

    @contextmanager
    def _response(self) -> Iterator[HTTPResponse]:
        with socket.create_connection(self._address, _TIMEOUT_SECONDS) as connection:
            connection.sendall(self._request)
            with HTTPResponse(connection) as response:
                response.begin()
                if response.status != 200:
                    message = f"the response has status {response.status}"
                    raise RuntimeError(message)
                yield response
