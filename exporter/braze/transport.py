"""HTTP over connections that keep a deadline: one GET, one bounded body.

Nothing is followed, retried, remembered or read from the environment here: no redirect,
no cookie, no netrc. It knows nothing of Braze and of failures: what its libraries raise
is one of `FAULTS`.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException, LineTooLong
from http.client import HTTPResponse as PlainResponse
from pathlib import Path
from typing import Any, BinaryIO

from requests import PreparedRequest, RequestException, Response, Session
from requests.adapters import HTTPAdapter
from requests.cookies import RequestsCookieJar
from requests.exceptions import InvalidSchema
from requests.structures import CaseInsensitiveDict
from requests.utils import DEFAULT_CA_BUNDLE_PATH
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

__all__ = [
    "DEFAULT_CA_BUNDLE_PATH",
    "FAULTS",
    "Response",
    "Transport",
    "UnknownEncoding",
    "read_body",
]

# All that requests, urllib3, http.client, ssl and socket raise; ValueError is what they
# say to URLs and names they cannot use, and to nothing else: see `_reading`.
FAULTS = (RequestException, HTTPError, HTTPException, OSError, ValueError)
# Common servers and balancers close idle connections after 60 s or more, and firewalls
# forget them silently; a younger one is almost surely alive.
IDLE_LIMIT_SECONDS = 50.0
_CHUNK_BYTES = 64 * 1024
# Of all status lines and headers before a body. Servers and balancers send a few KiB;
# http.client alone would take a hundred lines of 64 KiB, and others make copies.
_HEAD_BYTES = 64 * 1024
_INTERIM_LIMIT = 20  # RFC 9110, 15.2, has no limit; one or two are what is seen
_ENCODINGS = frozenset({"", "identity", "gzip", "x-gzip"})


class UnknownEncoding(RequestException):
    """A body in a `Content-Encoding` that was not asked for."""


@contextmanager
def _reading() -> Iterator[None]:
    """Let no wrong answer look like a wrong URL: a negative chunk is a ValueError."""
    try:
        yield
    except ValueError as exc:
        raise HTTPException from exc


class _Head:
    """The part of a stream up to the body, within a limit of bytes."""

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
    """An answer that is not begun before its final status has come.

    http.client passes over 100 only: it would take 103 for the whole answer, and the
    next request on the connection would read the one meant for this request.
    """

    def begin(self) -> None:
        stream = self.fp
        self.fp = _Head(stream)  # type: ignore[assignment]  # readline is all it needs
        try:
            self._begin_final()
        finally:
            if self.fp is not None:  # as it is once closed, whatever its type says
                self.fp = stream

    def _begin_final(self) -> None:
        for _ in range(_INTERIM_LIMIT + 1):
            super().begin()
            if self.status >= 200:
                return self._check_length()
            if self.status == 101:  # what follows is another protocol
                break
            # As a new response has it: else begin() takes it for begun.
            self.headers = self.msg = None  # type: ignore[assignment]
        raise HTTPException

    def _check_length(self) -> None:
        """Urllib3 checks it as well, but leaves the socket open."""
        said = ",".join(self.headers.get_all("Content-Length", ()))
        if len({length.strip() for length in said.split(",")}) > 1:
            raise HTTPException


class _Connection(HTTPConnection):
    """A connection whose sockets keep the deadline and which does not grow old."""

    response_class = _FinalResponse
    _used_at = 0.0

    def _new_conn(self) -> deadline.TimedSocket:
        host = self._dns_host.strip("[]")
        return deadline.open_socket(host, self.port, self.socket_options or ())

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as urllib3 does
        if self.sock is None:
            # urllib3 passes over a reset while sending, and with it over one while
            # connecting: it would go on without a socket.
            raise ConnectionResetError(errno.ECONNRESET, "connection reset by peer")
        with _reading():
            response = super().getresponse()
        self._used_at = deadline.current.get().now()
        return response

    @property
    def is_connected(self) -> bool:
        """Asked by the pool before it hands out a connection again."""
        idle_seconds = deadline.current.get().now() - self._used_at
        return idle_seconds < IDLE_LIMIT_SECONDS and super().is_connected


class _TLSConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class _Adapter(HTTPAdapter):
    """Requests' way to urllib3, with our connections and one TLS context for all."""

    def __init__(self, *, connections: int, ca_path: str) -> None:
        self._tls = deadline.tls_context(ca_path, is_directory=Path(ca_path).is_dir())
        super().__init__(pool_connections=1, pool_maxsize=connections)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._tls, **kwargs)
        _use_our_pools(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> PoolManager:
        if proxy.lower().startswith("socks"):  # its sockets would keep no deadline
            raise InvalidSchema
        if proxy not in self.proxy_manager:
            tls = {"ssl_context": self._tls, "proxy_ssl_context": self._tls}
            _use_our_pools(super().proxy_manager_for(proxy, **tls, **kwargs))
        manager: PoolManager = self.proxy_manager[proxy]
        return manager

    def cert_verify(self, *_: object) -> None:
        """Nothing: the context verifies, and need not read the bundle each time."""

    def build_response(self, req: PreparedRequest, resp: BaseHTTPResponse) -> Response:
        """Wrap it without cookies and charset: nobody asks for them here."""
        response = Response()
        response.request = req
        response.url = req.url or ""
        response.status_code = resp.status
        response.headers = CaseInsensitiveDict(resp.headers)
        response.raw = resp
        return response


def _use_our_pools(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}


class _NoCookies(RequestsCookieJar):
    """A jar that stays empty.

    A policy that refuses them all would be asked after they were parsed, which takes
    hundreds of times the memory of a header made for it.
    """

    def extract_cookies(self, *_: object) -> None:
        """Nothing."""


class _Session(Session):
    """A session that remembers and follows nothing, and asks no environment."""

    def __init__(self, adapter: HTTPAdapter) -> None:
        super().__init__()
        # No netrc, which would replace our header, and a quarter of the cost less.
        self.trust_env = False
        self.cookies = _NoCookies()
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def get_redirect_target(self, resp: Response) -> None:
        """None: requests reads the whole body of what it takes for a redirect."""


class Transport:
    """Kept connections to one origin; raises `OSError` if the CA bundle is unusable."""

    def __init__(self, *, connections: int, ca_path: str, proxy: str | None) -> None:
        self._session = _Session(_Adapter(connections=connections, ca_path=ca_path))
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

        The response is to be closed; its connection is kept if the body was read.
        """
        request = PreparedRequest()
        request.prepare_method("GET")
        request.prepare_url(url, params)
        # Set as they are: requests' check would quote a header's value in its error.
        request.headers = CaseInsensitiveDict(headers)
        return self._session.send(
            request,
            stream=True,
            timeout=timeout_seconds,
            proxies=self._proxies,
            allow_redirects=False,
        )

    def close(self) -> None:
        """Close the idle connections."""
        self._session.close()


def read_body(response: Response, *, limit: int) -> bytes | None:
    """Read the whole body, decompressed, or None as soon as it passes `limit` bytes.

    Of a bomb, one chunk more than the limit is decompressed. Raises `UnknownEncoding`
    if it is not gzip (a chain of encodings is not either), and `FAULTS`.
    """
    if response.headers.get("Content-Encoding", "").strip().lower() not in _ENCODINGS:
        raise UnknownEncoding
    claimed = response.headers.get("Content-Length", "")
    if claimed.isdecimal() and (len(claimed) > 15 or int(claimed) > limit):
        return None
    body = bytearray()
    with _reading():
        for chunk in response.iter_content(_CHUNK_BYTES):
            body += chunk
            if len(body) > limit:
                return None
    return bytes(body)
