"""The HTTP paths: metrics, health, the masked configuration, the status page.

No request causes a request to Braze, and a scrape renders no object's samples: it
joins rendered bytes.
"""

from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import AbstractContextManager
from functools import partial
from typing import NamedTuple, Protocol

from exporter.model.errors import ConfigError
from exporter.system.single_flight import BatchedCalls, SingleFlight, TooManyKeysError
from exporter.web.held_pages import HeldPage, HeldPages
from exporter.web.messages import (
    NO_SNIFFING,
    HttpRequest,
    HttpResponse,
    Responder,
    text_response,
)
from exporter.web.negotiation import accepts_gzip, wants_openmetrics
from exporter.web.settings import WebSettings, canonical

TEXT_METRICS = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_HTML = "text/html; charset=utf-8"
_JSON = "application/json"
_GZIP_LEVEL = 1
_LONGEST_PATH = 1024
"""Longer ones are no path of the server, and are not decoded: that takes time."""
_MOST_RENDERINGS = 32
"""Different status pages that one run renders, which bounds its time."""
_MOST_RENDERED_BYTES = 8 * 1024 * 1024
"""No further page is rendered in a run that has so much, which bounds its memory."""

_CONFIG = "configuration"

_READING = ("GET", "HEAD")
_CHANGING = ("POST", "PUT")


class StatusView(Protocol):
    """The state of all campaigns, canvases and series at one instant."""

    def page(self, query: str, settings: WebSettings) -> Iterable[str]:
        """Return the HTML page that the query describes."""

    def document(self, query: str) -> Iterable[str]:
        """Return the same as JSON."""


class StatusSource(Protocol):
    """Takes snapshots of that state; called by one thread at a time."""

    policy: str
    """The `Content-Security-Policy` of the page."""

    def snapshot(self) -> AbstractContextManager[StatusView]:
        """Take a snapshot, which is released at the end of the context."""


class MetricsRenderer(Protocol):
    """Renders the metrics page."""

    def __call__(self, *, is_gzip: bool, is_openmetrics: bool) -> tuple[bytes, ...]:
        """Return the chunks of the page; called by any thread."""


class RouterContext(NamedTuple):
    """What the paths serve."""

    render_metrics: MetricsRenderer
    is_ready: Callable[[], bool]
    configuration: Callable[[], str]
    """Returns the configuration in force as YAML, without any secret."""
    status: Callable[[], StatusSource]
    """Returns the source of the status page; it may be created by the first call."""
    reload: Callable[[], Awaitable[ConfigError | None]]
    """Reloads the configuration; returns the problems of an invalid one."""


class Router:
    """Responds to requests; pages are rendered in worker threads."""

    def __init__(self, context: RouterContext, settings: WebSettings) -> None:
        self._context = context
        self._settings = settings
        self._metrics_pages = {
            _MetricsFormat(is_gzip, is_openmetrics): SingleFlight(
                partial(self._render_metrics, _MetricsFormat(is_gzip, is_openmetrics))
            )
            for is_gzip in (False, True)
            for is_openmetrics in (False, True)
        }
        self._plain_held, self._gzip_held, self._others_held = (
            HeldPages() for _ in range(3)
        )
        self._descriptions = SingleFlight(self._describe)
        self._renderings = BatchedCalls(self._render, most_keys=_MOST_RENDERINGS)
        prefix, link_prefix = settings.prefix, settings.link_prefix
        self._health_paths = {f"{prefix}/-/healthy", f"{prefix}/-/ready"}
        self._handlers: dict[str, Responder] = {
            f"{prefix}{settings.telemetry_path}": self._metrics,
            f"{prefix}/-/healthy": self._healthy,
            f"{prefix}/-/ready": self._ready,
            f"{prefix}/-/reload": self._reload,
            f"{prefix}/config": self._config,
            f"{prefix}/": partial(self._status, is_page=True),
            f"{prefix}/api/v1/status": partial(self._status, is_page=False),
        }
        if prefix:
            # A request for / bypassed the proxy, which would have added its prefix.
            self._handlers["/"] = _redirect(f"{prefix}/")
            self._handlers[prefix] = _redirect(f"{link_prefix}/")

    def needs_no_auth(self, request: HttpRequest) -> bool:
        """Return whether the request is a health check, which has no credentials."""
        return _path(request) in self._health_paths

    async def respond(self, request: HttpRequest) -> HttpResponse:
        """Return the response to any request."""
        handler = self._handlers.get(_path(request))
        if handler is None:
            metrics = f"{self._settings.link_prefix}{self._settings.telemetry_path}"
            return text_response(404, f"Not found. The metrics are at {metrics}.\n")
        methods = _CHANGING if handler == self._reload else _READING
        if request.method not in methods:
            allowed = ", ".join(methods)
            return text_response(
                405, f"Method not allowed. Use {allowed}.\n", ("Allow", allowed)
            )
        return await handler(request)

    async def _metrics(self, request: HttpRequest) -> HttpResponse:
        is_openmetrics = wants_openmetrics(request.headers.get("accept", ""))
        is_gzip = accepts_gzip(request.headers.get("accept-encoding", ""))
        kind = _MetricsFormat(is_gzip, is_openmetrics)
        page = self._held(kind).newest_if_full(kind)
        if page is None:
            page = await self._metrics_pages[kind].run()
        headers = [
            ("Content-Type", OPENMETRICS if is_openmetrics else TEXT_METRICS),
            ("Vary", "Accept, Accept-Encoding"),
        ]
        if is_gzip:
            headers.append(("Content-Encoding", "gzip"))
        return _page_response(page, *headers)

    def _render_metrics(self, kind: _MetricsFormat) -> HeldPage:
        chunks = self._context.render_metrics(**kind._asdict())
        return self._held(kind).add(kind, chunks)

    def _held(self, kind: _MetricsFormat) -> HeldPages:
        return self._gzip_held if kind.is_gzip else self._plain_held

    async def _healthy(self, _: HttpRequest) -> HttpResponse:
        return text_response(200, "Healthy.\n")

    async def _ready(self, _: HttpRequest) -> HttpResponse:
        if self._context.is_ready():
            return text_response(200, "Ready.\n")
        return text_response(
            503,
            "Not ready: some campaigns, canvases or series have not been polled, or "
            "discovery has not read their list yet.\n",
        )

    async def _reload(self, _: HttpRequest) -> HttpResponse:
        if not self._settings.has_lifecycle:
            return text_response(
                403,
                "Reloading over HTTP is disabled; start the exporter with "
                "--web.enable-lifecycle.\n",
            )
        error = await self._context.reload()
        if error is None:
            return text_response(200, "Reloaded.\n")
        return text_response(
            500,
            "The new configuration is invalid; the previous one stays in force:\n"
            f"{error}\n",
        )

    async def _config(self, _: HttpRequest) -> HttpResponse:
        # Shared by concurrent requests: 10,000 campaigns take a second to describe.
        page = self._others_held.newest_if_full(_CONFIG)
        if page is None:
            page = await self._descriptions.run()
        return _page_response(page, *text_response(200, "").headers)

    def _describe(self) -> HeldPage:
        text = self._context.configuration().encode()
        return self._others_held.add(_CONFIG, (text,))

    async def _status(self, request: HttpRequest, *, is_page: bool) -> HttpResponse:
        """Return the status page, or its JSON.

        One thread at most renders; concurrent requests share one snapshot, and equal
        ones share one rendering.
        """
        is_gzip = accepts_gzip(request.headers.get("accept-encoding", ""))
        key = _RenderKey(request.query, is_page, is_gzip)
        try:
            page = self._others_held.newest_if_full(key)
            if page is None:
                page = await self._renderings.run(key)
        except TooManyKeysError:
            text = "Too many different status pages are requested; try again soon.\n"
            return text_response(503, text, ("Retry-After", "1"))
        headers = [
            ("Content-Type", _HTML if is_page else _JSON),
            ("Cache-Control", "private, no-cache"),
            ("Vary", "Accept-Encoding"),
            NO_SNIFFING,
        ]
        if is_page:
            policy = self._context.status().policy
            headers.append(("Content-Security-Policy", policy))
            headers.append(("Referrer-Policy", "no-referrer"))
        if is_gzip:
            headers.append(("Content-Encoding", "gzip"))
        return _page_response(page, *headers)

    def _render(self, keys: Collection[_RenderKey]) -> dict[_RenderKey, HeldPage]:
        pages: dict[_RenderKey, HeldPage] = {}
        rendered_bytes = 0
        with self._context.status().snapshot() as view:
            for key in keys:
                if rendered_bytes >= _MOST_RENDERED_BYTES:
                    break
                page = self._others_held.add(key, self._chunks(view, key))
                pages[key] = page
                rendered_bytes += page.size
        return pages

    def _chunks(self, view: StatusView, key: _RenderKey) -> tuple[bytes, ...]:
        if key.is_page:
            pieces = view.page(key.query, self._settings)
        else:
            pieces = view.document(key.query)
        body = (piece.encode("utf-8", "replace") for piece in pieces)
        if key.is_gzip:
            return (gzip.compress(b"".join(body), _GZIP_LEVEL),)
        return tuple(body)


class _MetricsFormat(NamedTuple):
    """The format of a metrics page."""

    is_gzip: bool
    is_openmetrics: bool


class _RenderKey(NamedTuple):
    """What a rendering depends on beside the snapshot."""

    query: str
    is_page: bool
    is_gzip: bool


def _path(request: HttpRequest) -> str:
    return canonical(request.path) if len(request.path) <= _LONGEST_PATH else ""


def _page_response(page: HeldPage, *headers: tuple[str, str]) -> HttpResponse:
    return HttpResponse(200, headers, page.chunks, page.size, page.is_withdrawn)


def _redirect(path: str) -> Responder:
    async def respond(_: HttpRequest) -> HttpResponse:
        return text_response(302, "", ("Location", path))

    return respond
