"""One GET of a Braze workspace: a document, or a `FetchError` that says what is next.

A fetch ends within the workspace's timeout and keeps to a size, whatever the peer does.
The key goes to the configured endpoint only and stays out of every message. Nothing is
retried here and nothing is remembered but open connections; when to ask, and what the
answer means, is decided elsewhere.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from exporter import __version__
from exporter.braze import connection_errors, deadline, responses
from exporter.braze.deadline import Deadline
from exporter.braze.proxies import ProxySettings
from exporter.braze.responses import BrazeResponse, RequestInfo
from exporter.braze.transport import (
    DEFAULT_CA_BUNDLE_PATH,
    FAULTS,
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
from exporter.system.api_key import Secret

_ERROR_BODY_BYTES = 64 * 1024
# What may come besides the body: headers, chunk sizes, a proxy's answer, trailers.
_OVERHEAD_BYTES = 1024 * 1024


class Client:
    """The connections to one workspace; any thread may fetch, at most `concurrency`."""

    # One for all clients of the process: while a body is decoded and read, there are
    # several copies of it, and a hostile 4 MiB become 200 MiB of objects.
    _decoding = threading.Lock()

    def __init__(
        self,
        workspace: WorkspaceConfig,
        *,
        read_key: Callable[[], Secret],
        egress: ProxySettings,
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
        self._ca_path = workspace.ca_file or egress.ca_file or DEFAULT_CA_BUNDLE_PATH
        self._proxy = workspace.proxy or egress.proxy_for(self._endpoint)
        self._lock = threading.Lock()
        self._transport: Transport | None = None
        self._deadlines: set[Deadline] = set()
        self._is_aborted = False

    def fetch(
        self,
        path: str,
        params: Mapping[str, str | int],
        read: Callable[[object], object] = lambda document: document,
        recall: Callable[[int], object | None] = lambda _: None,
    ) -> BrazeResponse:
        """GET `path` below the endpoint; raises `FetchError` and nothing else.

        `read` makes of the document what the answer then holds. One document of the
        process at a time is decoded and read, so it must neither wait nor raise. What
        `recall` knows of a body with this digest is taken in place of that.
        """
        question = RequestInfo(
            endpoint=self._endpoint,
            path=path.strip("/"),
            key_source=self._workspace.key_source,
            key=self._key(),
        )
        response: Response | None = None
        with self._deadline() as limits:
            try:
                with self._get(question, params) as response:
                    return self._answer(question, response, read, recall)
            except KeyRefused as refused:
                failure = self._with_present_key(refused, question.key)
            except FAULTS as exc:
                failure = self._failure(exc, limits=limits, response=response)
        # Raised here, and without `from`: texts down the chain may quote what the peer
        # sent, and a peer knows the key.
        raise failure

    def _with_present_key(self, refused: KeyRefused, asked_with: Secret) -> FetchError:
        """Return the refusal, or that it is out of date: the key has changed since."""
        try:
            is_replaced = self._read_key() != asked_with
        except (OSError, ValueError):
            is_replaced = False
        if not is_replaced:
            return refused
        return KeyReplaced(
            f"{refused}; there is another key by now",
            reason=refused.reason,
            status=refused.status,
            allowance=refused.allowance,
        )

    def prepare(self) -> None:
        """Do before the first fetch what would make it late: read the CA bundle.

        That it cannot be read is told by the fetch: it may still be on its way.
        """
        with suppress(FetchError, *FAULTS):
            self._open_transport()

    def abort(self) -> None:
        """End every fetch in progress at once; all later ones fail."""
        with self._lock:
            self._is_aborted = True
            deadlines = tuple(self._deadlines)
        for limits in deadlines:
            limits.abort()

    def retire(self) -> None:
        """Close the idle connections; fetches in progress end as they would have."""
        with self._lock:
            if self._transport is not None:
                self._transport.close()

    def close(self) -> None:
        """Abort, and close the connections."""
        self.abort()
        self.retire()

    def _key(self) -> Secret:
        try:
            key = self._read_key()
        except (OSError, ValueError):
            fault = "cannot be read"
        else:
            text = key.reveal()
            # Checked here, since http.client's own complaint would quote the key.
            if text and all("!" <= char <= "~" for char in text):
                return key
            fault = "holds what no HTTP header can carry" if text else "is empty"
        message = f"the key from {self._workspace.key_source} {fault}"
        raise KeyRefused(message, reason=FailureReason.UNAUTHORIZED)

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

    def _get(self, question: RequestInfo, params: Mapping[str, str | int]) -> Response:
        return self._open_transport().get(
            f"{self._endpoint}/{question.path}",
            params=params,
            headers={
                "User-Agent": f"braze-exporter/{__version__}",
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
                "Authorization": f"Bearer {question.key.reveal()}",
            },
            timeout_seconds=self._workspace.timeout_seconds,
        )

    def _open_transport(self) -> Transport:
        """Open it with the first fetch, for a CA bundle may still be on its way."""
        with self._lock:
            if self._is_aborted:
                raise ConnectionAbortedError
            if self._transport is None:
                self._transport = self._new_transport()
            return self._transport

    def _new_transport(self) -> Transport:
        try:
            return Transport(
                connections=self._workspace.concurrency,
                ca_path=self._ca_path,
                proxy=self._proxy,
            )
        except OSError as exc:
            fault = connection_errors.reason_and_text(exc)[1]
            message = f"the CA bundle {self._ca_path} cannot be used: {fault}"
            raise Unavailable(message, reason=FailureReason.CONNECTION) from exc

    def _answer(
        self,
        question: RequestInfo,
        response: Response,
        read: Callable[[object], object],
        recall: Callable[[int], object | None],
    ) -> BrazeResponse:
        status, headers = response.status_code, response.headers
        if status != 200:
            raise responses.refusal(
                question,
                status=status,
                headers=headers,
                message=_message(response),
                now=self._now(),
            )
        body = read_body(response, limit=self._response_bytes)
        if body is None:
            raise responses.too_large(question, headers, limit=self._response_bytes)
        digest = hash(body)
        if (known := recall(digest)) is not None:
            return responses.recalled(known, headers, digest=digest)
        with self._decoding:
            found = _read(question, headers, body, read)
        return found._replace(digest=digest)

    def _failure(
        self, exc: Exception, *, limits: Deadline, response: Response | None
    ) -> FetchError:
        """Ask the limits first: a wait that they ended shows as a broken connection."""
        kind: type[FetchError] = Unavailable
        reason, text = connection_errors.reason_and_text(exc)
        if self._is_aborted:
            reason, text = FailureReason.CONNECTION, "the exporter is stopping"
        elif limits.is_flooded:
            kind, reason = Unusable, FailureReason.TOO_LARGE
            text = f"more than the limit of {self._response_bytes} bytes"
        elif limits.is_over:
            seconds = self._workspace.timeout_seconds
            reason, text = FailureReason.TIMEOUT, f"no whole answer in {seconds:g} s"
        elif isinstance(exc, UnknownEncoding):
            reason, text = FailureReason.MALFORMED, "its Content-Encoding is not gzip"
        return kind(
            f"{_route(self._endpoint, self._proxy)}: {text}",
            reason=reason,
            status=None if response is None else response.status_code,
            allowance=None
            if response is None
            else responses.allowance_of(response.headers),
        )


def _read(
    question: RequestInfo,
    headers: Mapping[str, str],
    body: bytes,
    read: Callable[[object], object],
) -> BrazeResponse:
    """Decode and read a body; of the document nothing is left when this returns."""
    decoded = responses.accepted(question, headers, body)
    return decoded._replace(document=read(decoded.document))


def _message(response: Response) -> str:
    """Read what a failure says of itself; that it cannot be read changes nothing."""
    try:
        return responses.message_of(read_body(response, limit=_ERROR_BODY_BYTES) or b"")
    except FAULTS:
        return ""


def _route(endpoint: str, proxy: str | None) -> str:
    """Name the way for messages, without the password that a proxy's URL may hold."""
    if proxy is None:
        return endpoint
    return f"{endpoint} through the proxy {proxy.rpartition('@')[2].split('://')[-1]}"
