"""What each path answers: metrics, health, the masked configuration, the status page.

Nothing here asks Braze for anything, and a scrape renders no sample of a campaign: it
joins bytes. It knows no socket: the `listener` does.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import NamedTuple, Protocol
from urllib.parse import quote, unquote

from exporter.metrics.exposition_page import ExpositionPages
from exporter.model.errors import ConfigError
from exporter.system.single_flight import SingleFlight
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
    """Where a browser finds our paths."""

    home: str
    metrics: str
    document: str
    config: str
    healthy: str
    ready: str


class StatusView(Protocol):
    """The state of all campaigns at one instant, to be shown in several ways."""

    def page(self, query: str, links: Links) -> Iterable[str]:
        """Return the page as HTML, as the query wants it."""

    def document(self, query: str) -> Iterable[str]:
        """Return the same as JSON."""


class StatusSource(Protocol):
    """What shows the state of all campaigns; called by one thread at a time."""

    policy: str
    """The `Content-Security-Policy` of the page."""

    def snapshot(self) -> AbstractContextManager[StatusView]:
        """Take a snapshot, which is released at the end of the context."""


class Site(NamedTuple):
    """Everything that the paths need to know of the rest."""

    pages: ExpositionPages
    is_ready: Callable[[], bool]
    configuration: Callable[[], str]
    """The configuration in force as YAML, without any secret."""
    status: Callable[[], StatusSource]
    """Made when it is first asked for: what shows the state of all campaigns."""
    reload: Callable[[], Awaitable[ConfigError | None]] | None = None
    """Take over the configuration as it is now; None: nobody may ask for that."""
    telemetry_path: str = "/metrics"
    """Canonical, as both prefixes are."""
    prefix: str = ""
    """What stands before every path: empty, or `/like/this`."""
    link_prefix: str = ""
    """The same as a browser sees it."""


def canonical(path: str) -> str:
    """Write a path as URLs do, with percent signs only where they have to be."""
    return quote(unquote(path), safe="/:@!$&'()*+,;=~")


class _Route(NamedTuple):
    methods: tuple[str, ...]
    answer: Handler


class Web:
    """Answers requests; `respond` never waits for anything but the processor."""

    def __init__(self, site: Site) -> None:
        self._site = site
        pages = site.pages
        self._builds = {
            (is_gzip, is_openmetrics): SingleFlight(
                partial(build, is_openmetrics=is_openmetrics)
            )
            for is_gzip, build in ((False, pages.plain), (True, pages.compressed))
            for is_openmetrics in (False, True)
        }
        self._descriptions = SingleFlight(site.configuration)
        self._wishes: dict[_Wished, _Wish] = {}
        self._fulfilment = SingleFlight(self._fulfil)
        self._links = _links(site)
        self._open = {f"{site.prefix}{path}" for path in ("/-/healthy", "/-/ready")}
        reading = ("GET", "HEAD")
        answers: dict[str, Handler] = {
            f"{site.prefix}{path}": answer
            for path, answer in (
                (site.telemetry_path, self._metrics),
                ("/-/healthy", self._healthy),
                ("/-/ready", self._ready),
                ("/config", self._config),
                ("/", self._status_page),
                ("/api/v1/status", self._status_document),
            )
        }
        if site.prefix:
            # Who asks for / sees our paths as we do, and not as behind a proxy.
            answers["/"] = _redirect(f"{site.prefix}/")
            answers[site.prefix] = _redirect(f"{site.link_prefix}/")
        self._routes: Mapping[str, _Route] = {
            path: _Route(reading, answer) for path, answer in answers.items()
        } | {f"{site.prefix}/-/reload": _Route(("POST", "PUT"), self._reload)}

    def is_open(self, request: HttpRequest) -> bool:
        """Tell whether it asks for our health: who does has no password."""
        return canonical(request.path) in self._open

    async def respond(self, request: HttpRequest) -> HttpResponse:
        """Return the answer to any request at all."""
        route = self._routes.get(canonical(request.path))
        if route is None:
            return _text(404, f"Not found. The metrics are at {self._links.metrics}.\n")
        if request.method not in route.methods:
            return _text(
                405, "Method not allowed.\n", ("Allow", ", ".join(route.methods))
            )
        return await route.answer(request)

    async def _metrics(self, request: HttpRequest) -> HttpResponse:
        is_openmetrics = wants_openmetrics(request.headers.get("accept", ""))
        is_gzip = accepts_gzip(request.headers.get("accept-encoding", ""))
        body = await self._builds[is_gzip, is_openmetrics].outcome()
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
        if self._site.is_ready():
            return _text(200, "Ready.\n")
        return _text(503, "Not ready: the first round of polls goes on.\n")

    async def _reload(self, _: HttpRequest) -> HttpResponse:
        if self._site.reload is None:
            return _text(403, "Not allowed: start with --web.enable-lifecycle.\n")
        error = await self._site.reload()
        if error is None:
            return _text(200, "Reloaded.\n")
        return _text(500, f"Rejected, the former configuration stays:\n{error}\n")

    async def _config(self, _: HttpRequest) -> HttpResponse:
        # Joined too: ten thousand campaigns take a second to describe.
        return _text(200, await self._descriptions.outcome())

    async def _status_page(self, request: HttpRequest) -> HttpResponse:
        return await self._status(request, is_page=True)

    async def _status_document(self, request: HttpRequest) -> HttpResponse:
        return await self._status(request, is_page=False)

    async def _status(self, request: HttpRequest, *, is_page: bool) -> HttpResponse:
        """Wish for a page and wait for the round of work that fulfils all wishes.

        One thread at most is at work for however many readers, and all who wait for
        a round share what it sees. A wish that comes during a round may be fulfilled by
        it already.
        """
        is_gzip = accepts_gzip(request.headers.get("accept-encoding", ""))
        wished = _Wished(request.query, is_page, is_gzip)
        wish = self._wishes.setdefault(wished, _Wish())
        await self._fulfilment.outcome()
        headers = [
            ("Content-Type", _HTML if is_page else _JSON),
            ("Cache-Control", "private, no-cache"),
            ("Vary", "Accept-Encoding"),
            *_ALWAYS,
        ]
        if is_page:
            headers.append(("Content-Security-Policy", wish.policy))
            headers.append(("Referrer-Policy", "no-referrer"))
        if is_gzip:
            headers.append(("Content-Encoding", "gzip"))
        return HttpResponse(200, tuple(headers), wish.body)

    def _fulfil(self) -> None:
        status = self._site.status()
        with status.snapshot() as sight:
            # Not those that come meanwhile: the next round is theirs.
            for _ in range(len(self._wishes)):
                wished, wish = self._wishes.popitem()
                if wished.is_page:
                    pieces = sight.page(wished.query, self._links)
                else:
                    pieces = sight.document(wished.query)
                body = (piece.encode("utf-8", "replace") for piece in pieces)
                wish.body = tuple(_compressed(body) if wished.is_gzip else body)
                wish.policy = status.policy


class _Wished(NamedTuple):
    """Which page: who wants the same gets the same."""

    query: str
    is_page: bool
    is_gzip: bool


class _Wish:
    """What is to become of it, filled in by the thread at work."""

    __slots__ = ("body", "policy")

    def __init__(self) -> None:
        self.body: tuple[bytes, ...] = ()
        self.policy = ""


def _links(site: Site) -> Links:
    prefix = site.link_prefix
    return Links(
        home=f"{prefix}/",
        metrics=f"{prefix}{site.telemetry_path}",
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
    async def answer(_: HttpRequest) -> HttpResponse:
        return _text(302, "", ("Location", path))

    return answer


_ALWAYS = (("X-Content-Type-Options", "nosniff"),)


def _text(status: int, text: str, *headers: tuple[str, str]) -> HttpResponse:
    return HttpResponse(
        status, (("Content-Type", TEXT), *headers, *_ALWAYS), (text.encode(),)
    )
