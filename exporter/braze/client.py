"""The HTTP client of one workspace: a GET returns a document or raises `FetchError`.

Time and size of a response are always bounded. The key is sent to the
configured endpoint only and is in no message. Nothing is retried or cached here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Protocol

from exporter import __version__
from exporter.braze import connection_errors, deadline, responses
from exporter.braze.authorities import (
    Authorities,
    AuthoritiesUnreadable,
    NamedPath,
)
from exporter.braze.deadline import Deadline
from exporter.braze.proxies import ProxySettings
from exporter.braze.proxy_password import ProxyPassword
from exporter.braze.responses import Body, BrazeResponse, RequestInfo
from exporter.braze.transport import (
    FAULTS,
    BodyTooLarge,
    Response,
    Transport,
    UnknownEncoding,
    read_body,
)
from exporter.model.config import WorkspaceConfig
from exporter.model.errors import (
    FailureReason,
    FetchError,
    KeyRefused,
    KeyReplaced,
    Unavailable,
    Unusable,
)
from exporter.system import garbage_collector
from exporter.system.api_key import Secret

_ERROR_BODY_BYTES = 64 * 1024
# For all but the body: headers, chunk sizes, a proxy's response, trailers.
_OVERHEAD_BYTES = 1024 * 1024


class Fetcher(Protocol):
    """The part of a client that sends requests."""

    def fetch(
        self,
        path: str,
        params: Mapping[str, str | int],
        parse: Callable[[Body], object] = ...,
        cached: Callable[[int], object | None] = ...,
        /,
    ) -> BrazeResponse:
        """GET a path, or raise `FetchError`."""


class Client:
    """The connections to one workspace; up to `concurrency` threads may fetch."""

    # One for all clients of the process: decoding makes several copies of a body, and
    # a hostile one of 4 MiB becomes 200 MiB of objects.
    _decoding = threading.Lock()

    def __init__(
        self,
        workspace: WorkspaceConfig,
        *,
        read_key: Callable[[], Secret],
        proxies: ProxySettings,
        response_bytes: int,
        now: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._workspace = workspace
        self._read_key = read_key
        self._response_bytes = response_bytes
        self._now = now
        self._monotonic = monotonic
        self._endpoint = workspace.endpoint.rstrip("/")
        self._authorities = proxies.authorities
        if workspace.ca_file:
            self._authorities = Authorities((NamedPath(workspace.ca_file, "ca_file"),))
        self._loaded_version: tuple[object, ...] = ()
        self._proxy = workspace.proxy or proxies.proxy_for(self._endpoint)
        self._proxy_password = ProxyPassword(self._proxy)
        self._route = self._endpoint
        if self._proxy is not None:  # without user and password
            host = self._proxy.rpartition("@")[2].split("://")[-1]
            self._route += f" through the proxy {host}"
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        """Held while certificates are loaded, from a disk that may hang."""
        self._transport: Transport | None = None
        self._deadlines: set[Deadline] = set()
        self._is_aborted = False

    def fetch(
        self,
        path: str,
        params: Mapping[str, str | int],
        parse: Callable[[Body], object] = Body.document,
        cached: Callable[[int], object | None] = lambda _: None,
    ) -> BrazeResponse:
        """GET `path` below the endpoint; raises `FetchError` and nothing else.

        The response contains the result of `parse`, which must neither block nor raise:
        the process decodes and parses one document at a time. If `cached` returns a
        value for the digest of the body, the response contains it instead.
        """
        request = RequestInfo(
            endpoint=self._endpoint,
            path=path.strip("/"),
            key_source=self._workspace.key_source,
            key=self._key(),
            proxy_password=self._proxy_password,
        )
        response: Response | None = None
        began_at: float | None = None
        with self._deadline() as limits:
            try:
                transport = self._open_transport()
                began_at = self._monotonic()
                with self._get(transport, request, params) as response:
                    request.drop_secrets(response.headers)
                    return self._result(request, response, parse, cached, began_at)
            except KeyRefused as refused:
                failure = self._checked_refusal(refused, request.key)
            except FAULTS as exc:
                ended_at = self._monotonic()
                failure = self._failure(exc, limits=limits, response=response)
                failure.seconds = None if began_at is None else ended_at - began_at
        # Raised here without `from`: the chained exceptions may quote what the peer
        # sent, and the peer knows the key.
        raise failure

    def _checked_refusal(self, refused: KeyRefused, sent: Secret) -> FetchError:
        """Return `KeyReplaced` instead if the key has changed meanwhile."""
        if self._read_key() == sent:
            return refused
        replaced = KeyReplaced(
            f"{refused}; the key was replaced meanwhile",
            reason=refused.reason,
            status=refused.status,
            rate_limit=refused.rate_limit,
        )
        replaced.seconds = refused.seconds
        return replaced

    def prepare(self) -> None:
        """Load the authorities, which takes time, before the first fetch.

        An unreadable file fails the fetch only: it may be mounted later.
        """
        with suppress(FetchError, *FAULTS):
            self._open_transport()

    def abort(self) -> None:
        """Abort the fetches in progress; all later ones fail."""
        with self._lock:
            self._is_aborted = True
            deadlines = tuple(self._deadlines)
        for limits in deadlines:
            limits.abort()

    def retire(self) -> None:
        """Close the idle connections; fetches in progress continue."""
        if (transport := self._transport) is not None:
            transport.close()

    def close(self) -> None:
        """Abort, and close the connections."""
        self.abort()
        self.retire()

    def _key(self) -> Secret:
        key = self._read_key()
        text = key.reveal()
        # Checked here: the error of http.client would quote the key.
        if text and all("!" <= char <= "~" for char in text):
            return key
        fault = "is missing or empty"
        if text:
            fault = "contains a character that is not allowed in an HTTP header"
        raise KeyRefused(
            f"the API key from {self._workspace.key_source} {fault}",
            reason=FailureReason.UNAUTHORIZED,
        )

    @contextmanager
    def _deadline(self) -> Iterator[Deadline]:
        limits = Deadline(
            seconds=self._workspace.timeout_seconds,
            received_bytes=self._response_bytes + _OVERHEAD_BYTES,
            clock=self._monotonic,
        )
        with self._lock:
            self._deadlines.add(limits)
            if self._is_aborted:
                limits.abort()
        token = deadline.current.set(limits)
        try:
            yield limits
        finally:
            deadline.current.reset(token)
            with self._lock:
                self._deadlines.discard(limits)

    def _get(
        self,
        transport: Transport,
        request: RequestInfo,
        params: Mapping[str, str | int],
    ) -> Response:
        return transport.get(
            f"{self._endpoint}/{request.path}",
            params=params,
            headers={
                "User-Agent": f"braze-exporter/{__version__}",
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
                "Authorization": f"Bearer {request.key.reveal()}",
            },
            timeout_seconds=self._workspace.timeout_seconds,
        )

    def _open_transport(self) -> Transport:
        """Return the transport; it is opened late, as a CA bundle may be mounted."""
        with self._opening:
            if self._is_aborted:
                raise ConnectionAbortedError
            if self._transport is None:
                version = self._authorities.version()
                try:
                    self._transport = Transport(
                        connections=self._workspace.concurrency,
                        authorities=self._authorities,
                        proxy=self._proxy,
                    )
                except AuthoritiesUnreadable as exc:
                    raise Unavailable(
                        str(exc), reason=FailureReason.CONNECTION
                    ) from exc
                self._loaded_version = version
            return self._transport

    def _discard_authorities(self) -> None:
        """Load the authorities again for the next fetch, if their files changed."""
        with self._opening:
            if self._transport and self._loaded_version != self._authorities.version():
                self._transport.close()
                self._transport = None

    def _result(
        self,
        request: RequestInfo,
        response: Response,
        parse: Callable[[Body], object],
        cached: Callable[[int], object | None],
        began_at: float,
    ) -> BrazeResponse:
        status, headers = response.status_code, response.headers
        if status != 200:
            body = b""
            with suppress(*FAULTS):
                body = read_body(response, limit=_ERROR_BODY_BYTES)
            seconds = self._monotonic() - began_at
            message = responses.message_of(body)
            refusal = responses.refusal(
                request,
                status=status,
                headers=headers,
                message=message,
                now=self._now(),
            )
            refusal.seconds = seconds
            raise refusal
        body = read_body(response, limit=self._response_bytes)
        seconds = self._monotonic() - began_at
        digest = hash(body)
        document = cached(digest)
        if document is None:
            with self._decoding, garbage_collector.paused():
                try:
                    # Without a variable: the document is freed within the lock.
                    document = parse(Body(request, headers, body))
                except FetchError as malformed:
                    malformed.seconds = seconds
                    raise
        return BrazeResponse(
            document,
            status,
            responses.rate_limit_of(headers),
            responses.answered_at_of(headers),
            digest,
            seconds,
            responses.next_cursor_of(headers),
        )

    def _failure(
        self, exc: Exception, *, limits: Deadline, response: Response | None
    ) -> FetchError:
        """Check the limits first: they end a wait by breaking the connection."""
        kind: type[FetchError] = Unavailable
        if self._is_aborted:
            reason, text = FailureReason.CONNECTION, "the exporter is stopping"
        elif limits.is_flooded or isinstance(exc, BodyTooLarge):
            kind, reason = Unusable, FailureReason.TOO_LARGE
            size = self._response_bytes
            text = f"the response is larger than {size} bytes (limits.response_bytes)"
        elif limits.is_over:
            seconds = self._workspace.timeout_seconds
            reason = FailureReason.TIMEOUT
            text = f"no complete response within {seconds:g} s (timeout)"
        elif isinstance(exc, UnknownEncoding):
            reason = FailureReason.MALFORMED
            text = "the Content-Encoding of the response is not gzip"
        else:
            reason, text = connection_errors.reason_and_text(
                exc, authorities=str(self._authorities)
            )
            if connection_errors.NOT_TRUSTED in text:
                self._discard_authorities()
        message = f"{self._route}: {text}"
        if response is None:
            return kind(message, reason=reason)
        return kind(
            message,
            reason=reason,
            status=response.status_code,
            rate_limit=responses.rate_limit_of(response.headers),
        )
