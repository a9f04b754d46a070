"""HTTP connections with a deadline: one GET, one bounded body.

No redirects, retries, cookies, netrc or environment variables. All exceptions are
`FAULTS`.
"""

from __future__ import annotations

import errno
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException, LineTooLong
from http.client import HTTPResponse as PlainResponse
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from requests import PreparedRequest, RequestException, Response
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidSchema, ProxyError
from requests.structures import CaseInsensitiveDict
from urllib3 import (
    BaseHTTPResponse,
    HTTPConnectionPool,
    HTTPResponse,
    HTTPSConnectionPool,
    PoolManager,
)
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from exporter.braze import deadline
from exporter.braze.authorities import Authorities

__all__ = [
    "FAULTS",
    "BodyTooLarge",
    "ProxyError",
    "Response",
    "Transport",
    "UnknownEncoding",
    "read_body",
]

# The exceptions of requests, urllib3, http.client, ssl and socket. ValueError means an
# invalid URL or host name only: see `_reading`.
FAULTS = (RequestException, HTTPError, HTTPException, OSError, ValueError)
# Common servers and load balancers close idle connections after 60 s or more, and
# firewalls drop them silently.
IDLE_LIMIT_SECONDS = 50.0
_CHUNK_BYTES = 64 * 1024
# For all status lines and headers before a body. Servers send a few KiB; http.client
# alone accepts a hundred lines of 64 KiB, which other libraries copy.
_HEAD_BYTES = 64 * 1024
_INTERIM_LIMIT = 20  # RFC 9110, 15.2, has no limit; servers send one or two
_ENCODINGS = frozenset({"", "identity", "gzip", "x-gzip"})


class SocksRefused(InvalidSchema):
    """The URL of the proxy begins with socks."""


class UnknownEncoding(RequestException):
    """A body with an unsupported `Content-Encoding`."""


class BodyTooLarge(RequestException):
    """A decompressed body that exceeds the limit."""


@contextmanager
def _reading() -> Iterator[None]:
    """Convert ValueError, which http.client raises for a negative chunk size."""
    try:
        yield
    except ValueError as exc:
        raise HTTPException from exc


class _Head:
    """The part of a stream before the body, limited in bytes."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._bytes_left = _HEAD_BYTES

    def readline(self, limit: int = -1) -> bytes:
        line = self._stream.readline(limit)
        self._bytes_left -= len(line)
        if self._bytes_left < 0:
            raise LineTooLong("head")
        return line

    def close(self) -> None:
        self._stream.close()


class _FinalResponse(PlainResponse):
    """A response that skips all interim (1xx) responses.

    http.client skips 100 only. It would return 103 as the response, and the next
    request on the connection would read the response to this one.
    """

    def begin(self) -> None:
        stream = self.fp
        self.fp = _Head(stream)  # type: ignore[assignment]  # begin() uses readline only
        try:
            self._begin_final()
        finally:
            if self.fp is not None:  # None after close, despite its type
                self.fp = stream

    def _begin_final(self) -> None:
        for _ in range(_INTERIM_LIMIT + 1):
            super().begin()
            if self.status >= 200:
                return self._check_length()
            if self.status == 101:  # another protocol follows
                break
            # Reset: begin() returns at once if headers are set.
            self.headers = self.msg = None  # type: ignore[assignment]
        raise HTTPException

    def _check_length(self) -> None:
        """Urllib3 checks it too, but leaves the socket open."""
        lengths = ",".join(self.headers.get_all("Content-Length", ()))
        if len({length.strip() for length in lengths.split(",")}) > 1:
            raise HTTPException


class _Connection(HTTPConnection):
    """A connection with a deadline, which is not reused after a long idle time."""

    response_class = _FinalResponse
    _used_at = 0.0

    def _new_conn(self) -> deadline.TimedSocket:
        host = self._dns_host.strip("[]")
        return deadline.open_socket(host, self.port, self.socket_options or ())

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as urllib3 does
        if self.sock is None:
            # urllib3 ignores a reset while sending, and also one while connecting:
            # there is no socket then.
            raise ConnectionResetError(errno.ECONNRESET, "connection reset by peer")
        with _reading():
            response = super().getresponse()
        self._used_at = deadline.current.get().now()
        return response

    @property
    def is_connected(self) -> bool:
        """Called by the pool before it reuses a connection."""
        idle_seconds = deadline.current.get().now() - self._used_at
        return idle_seconds < IDLE_LIMIT_SECONDS and super().is_connected


class _TLSConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class _Adapter(HTTPAdapter):
    """The adapter from requests to urllib3, with one TLS context.

    It is used without a session of requests, which has cookies, redirects, netrc and
    environment variables, and takes a quarter more CPU.
    """

    def __init__(self, *, connections: int, authorities: Authorities) -> None:
        self._tls = authorities.tls_context()
        self._tls.sslsocket_class = deadline.TimedTLSSocket
        super().__init__(pool_connections=1, pool_maxsize=connections)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._tls, **kwargs)
        _use_our_pools(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> PoolManager:
        if proxy.lower().startswith("socks"):  # its sockets have no deadline
            raise SocksRefused
        tls = {"ssl_context": self._tls, "proxy_ssl_context": self._tls}
        manager: PoolManager = super().proxy_manager_for(proxy, **tls, **kwargs)
        _use_our_pools(manager)
        return manager

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        """Return the password as curl sends it, in UTF-8; requests uses Latin-1."""
        userinfo = urlsplit(proxy).netloc.rpartition("@")[0]
        if not userinfo:
            return {}
        user, _, password = map(unquote, userinfo.partition(":"))
        credentials = b64encode(f"{user}:{password}".encode()).decode()
        return {"Proxy-Authorization": f"Basic {credentials}"}

    def cert_verify(self, *_: object) -> None:
        """Do nothing: the context verifies, and has the authorities already."""

    def build_response(self, req: PreparedRequest, resp: BaseHTTPResponse) -> Response:
        """Return the response without charset and cookies.

        Parsing a malicious cookie takes hundreds of times its size.
        """
        response = Response()
        response.request = req
        response.status_code = resp.status
        response.headers = CaseInsensitiveDict(resp.headers)
        response.raw = resp
        return response


def _use_our_pools(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}


class Transport:
    """Connections to one origin. `AuthoritiesUnreadable`: there is no TLS context."""

    def __init__(
        self, *, connections: int, authorities: Authorities, proxy: str | None
    ) -> None:
        self._adapter = _Adapter(connections=connections, authorities=authorities)
        self._proxies = {"all": proxy} if proxy else {}

    def get(
        self,
        url: str,
        *,
        params: Mapping[str, str | int],
        headers: Mapping[str, str],
        timeout_seconds: float,
    ) -> Response:
        """Send the request and read the headers, within `deadline.current`.

        The caller closes the response; the connection is reused if the body was read.
        """
        request = PreparedRequest()
        request.prepare_method("GET")
        request.prepare_url(url, params)
        # Set directly: the errors of requests' own check quote the value of a header.
        request.headers = CaseInsensitiveDict(headers)
        return self._adapter.send(
            request, stream=True, timeout=timeout_seconds, proxies=self._proxies
        )

    def close(self) -> None:
        """Close the idle connections."""
        self._adapter.close()


def read_body(response: Response, *, limit: int) -> bytes:
    """Return the decompressed body of at most `limit` bytes.

    At most one chunk beyond the limit is decompressed. Raises `BodyTooLarge`,
    `UnknownEncoding` for all encodings but a single gzip, and other `FAULTS`.
    """
    if response.headers.get("Content-Encoding", "").strip().lower() not in _ENCODINGS:
        raise UnknownEncoding
    claimed = response.headers.get("Content-Length", "")
    if claimed.isdecimal() and (len(claimed) > 15 or int(claimed) > limit):
        raise BodyTooLarge
    body = bytearray()
    with _reading():
        for chunk in response.iter_content(_CHUNK_BYTES):
            body += chunk
            if len(body) > limit:
                raise BodyTooLarge
    return bytes(body)
