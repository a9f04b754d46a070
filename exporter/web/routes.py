"""The HTTP paths: metrics, health, the masked configuration, the status page.

No request causes a request to Braze, and a scrape renders no campaign's samples: it
joins rendered bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import NamedTuple, Protocol
from urllib.parse import quote, unquote

from exporter.model.errors import ConfigError
from exporter.system.single_flight import BatchedCalls, SingleFlight
from exporter.web.negotiation import accepts_gzip, wants_openmetrics
from exporter.web.server import HttpRequest, HttpResponse

TEXT = "text/plain; charset=utf-8"
TEXT_METRICS = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_HTML = "text/html; charset=utf-8"
_JSON = "application/json"
_GZIP_LEVEL = 1
_GZIP_BITS = 16 + zlib.MAX_WBITS

Handler = Callable[[HttpRequest], Awaitable[HttpResponse]]


class Links(NamedTuple):
    """The paths as a browser has to request them."""

    home: str
    metrics: str
    document: str
    config: str
    healthy: str
    ready: str


class StatusView(Protocol):
    """The state of all campaigns at one instant."""

    def page(self, query: str, links: Links) -> Iterable[str]:
        """Return the HTML page that the query describes."""

    def document(self, query: str) -> Iterable[str]:
        """Return the same as JSON."""


class StatusSource(Protocol):
    """Takes snapshots of the state of all campaigns; called by one thread at a time."""

    policy: str
    """The `Content-Security-Policy` of the page."""

    def snapshot(self) -> AbstractContextManager[StatusView]:
        """Take a snapshot, which is released at the end of the context."""


class MetricsRenderer(Protocol):
    """Renders the metrics page."""

    def __call__(self, *, is_gzip: bool, is_openmetrics: bool) -> tuple[bytes, ...]:
        """Return the chunks of the page; called by any thread."""


class RouterContext(NamedTuple):
    """What the paths serve, and below which prefix."""

    render_metrics: MetricsRenderer
    is_ready: Callable[[], bool]
    configuration: Callable[[], str]
    """Returns the configuration in force as YAML, without any secret."""
    status: Callable[[], StatusSource]
    """Returns the source of the status page; it may be created by the first call."""
    reload: Callable[[], Awaitable[ConfigError | None]] | None = None
    """Reloads the configuration; None disables the path."""
    telemetry_path: str = "/metrics"
    """Canonical, like both prefixes."""
    prefix: str = ""
    """Precedes every path: empty, or `/like/this`."""
    link_prefix: str = ""
    """The same as a browser sees it."""


def canonical(path: str) -> str:
    """Return a URL path with percent signs only where they are necessary."""
    return quote(unquote(path), safe="/:@!$&'()*+,;=~")


class _Route(NamedTuple):
    methods: tuple[str, ...]
    handler: Handler


class Router:
    """Responds to requests; pages are rendered in worker threads."""

    def __init__(self, context: RouterContext) -> None:
        self._context = context
        self._metrics_pages = {
            (is_gzip, is_openmetrics): SingleFlight(
                partial(
                    context.render_metrics,
                    is_gzip=is_gzip,
                    is_openmetrics=is_openmetrics,
                )
            )
            for is_gzip in (False, True)
            for is_openmetrics in (False, True)
        }
        self._descriptions = SingleFlight(context.configuration)
        self._renderings = BatchedCalls(self._render)
        self._links = _links(context)
        prefix = context.prefix
        self._health_paths = {f"{prefix}/-/healthy", f"{prefix}/-/ready"}
        handlers: dict[str, Handler] = {
            f"{prefix}{path}": handler
            for path, handler in (
                (context.telemetry_path, self._metrics),
                ("/-/healthy", self._healthy),
                ("/-/ready", self._ready),
                ("/config", self._config),
                ("/", partial(self._status, is_page=True)),
                ("/api/v1/status", partial(self._status, is_page=False)),
            )
        }
        if prefix:
            # A request for / bypassed the proxy, which would have added its prefix.
            handlers["/"] = _redirect(f"{prefix}/")
            handlers[prefix] = _redirect(f"{context.link_prefix}/")
        self.routes: Mapping[str, _Route] = {
            path: _Route(("GET", "HEAD"), handler) for path, handler in handlers.items()
        } | {f"{prefix}/-/reload": _Route(("POST", "PUT"), self._reload)}

    def needs_no_auth(self, request: HttpRequest) -> bool:
        """Return whether the request is a health check, which has no credentials."""
        return canonical(request.path) in self._health_paths

    async def respond(self, request: HttpRequest) -> HttpResponse:
        """Return the response to any request."""
        route = self.routes.get(canonical(request.path))
        if route is None:
            return _text(404, f"Not found. The metrics are at {self._links.metrics}.\n")
        if request.method not in route.methods:
            allowed = ", ".join(route.methods)
            return _text(
                405, f"Method not allowed. Use {allowed}.\n", ("Allow", allowed)
            )
        return await route.handler(request)

    async def _metrics(self, request: HttpRequest) -> HttpResponse:
        is_openmetrics = wants_openmetrics(request.headers.get("accept", ""))
        is_gzip = accepts_gzip(request.headers.get("accept-encoding", ""))
        body = await self._metrics_pages[is_gzip, is_openmetrics].run()
        headers = [
            ("Content-Type", OPENMETRICS if is_openmetrics else TEXT_METRICS),
            ("Vary", "Accept, Accept-Encoding"),
        ]
        if is_gzip:
            headers.append(("Content-Encoding", "gzip"))
        return HttpResponse(200, tuple(headers), body)

    async def _healthy(self, _: HttpRequest) -> HttpResponse:
        return _text(200, "Healthy.\n")

    async def _ready(self, _: HttpRequest) -> HttpResponse:
        if self._context.is_ready():
            return _text(200, "Ready.\n")
        return _text(503, "Not ready: some campaigns have not been polled yet.\n")

    async def _reload(self, _: HttpRequest) -> HttpResponse:
        if self._context.reload is None:
            return _text(
                403,
                "Reloading over HTTP is disabled; start the exporter with "
                "--web.enable-lifecycle.\n",
            )
        error = await self._context.reload()
        if error is None:
            return _text(200, "Reloaded.\n")
        return _text(
            500,
            "The new configuration is invalid; the previous one stays in force:\n"
            f"{error}\n",
        )

    async def _config(self, _: HttpRequest) -> HttpResponse:
        # Shared by concurrent requests: 10,000 campaigns take a second to describe.
        return _text(200, await self._descriptions.run())

    async def _status(self, request: HttpRequest, *, is_page: bool) -> HttpResponse:
        """Return the status page, or its JSON.

        One thread at most renders; concurrent requests share one snapshot, and equal
        ones share one rendering.
        """
        is_gzip = accepts_gzip(request.headers.get("accept-encoding", ""))
        rendering = await self._renderings.run(
            _RenderKey(request.query, is_page, is_gzip)
        )
        headers = [
            ("Content-Type", _HTML if is_page else _JSON),
            ("Cache-Control", "private, no-cache"),
            ("Vary", "Accept-Encoding"),
            *_COMMON_HEADERS,
        ]
        if is_page:
            headers.append(("Content-Security-Policy", rendering.policy))
            headers.append(("Referrer-Policy", "no-referrer"))
        if is_gzip:
            headers.append(("Content-Encoding", "gzip"))
        return HttpResponse(200, tuple(headers), rendering.body)

    def _render(self, keys: Collection[_RenderKey]) -> dict[_RenderKey, _Rendering]:
        status = self._context.status()
        renderings = {}
        with status.snapshot() as view:
            for key in keys:
                render = view.document
                if key.is_page:
                    render = partial(view.page, links=self._links)
                body = (one.encode("utf-8", "replace") for one in render(key.query))
                pieces = tuple(_compressed(body) if key.is_gzip else body)
                renderings[key] = _Rendering(pieces, status.policy)
        return renderings


class _RenderKey(NamedTuple):
    """What a rendering depends on beside the snapshot."""

    query: str
    is_page: bool
    is_gzip: bool


class _Rendering(NamedTuple):
    body: tuple[bytes, ...]
    policy: str


def _links(context: RouterContext) -> Links:
    prefix = context.link_prefix
    return Links(
        home=f"{prefix}/",
        metrics=f"{prefix}{context.telemetry_path}",
        document=f"{prefix}/api/v1/status",
        config=f"{prefix}/config",
        healthy=f"{prefix}/-/healthy",
        ready=f"{prefix}/-/ready",
    )


def _compressed(pieces: Iterable[bytes]) -> Iterable[bytes]:
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_BITS)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()


def _redirect(path: str) -> Handler:
    async def respond(_: HttpRequest) -> HttpResponse:
        return _text(302, "", ("Location", path))

    return respond


_COMMON_HEADERS = (("X-Content-Type-Options", "nosniff"),)


def _text(status: int, text: str, *headers: tuple[str, str]) -> HttpResponse:
    return HttpResponse(
        status, (("Content-Type", TEXT), *headers, *_COMMON_HEADERS), (text.encode(),)
    )
