"""What each path answers: metrics, health, the masked configuration, a landing page.

Nothing here asks Braze for anything, and a scrape renders no sample of a campaign: it
joins bytes. It knows no socket: the `listener` does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from html import escape
from urllib.parse import quote, unquote

from exporter.errors import ConfigError
from exporter.joint_work import JointWork
from exporter.listener import Request, Response
from exporter.negotiation import accepts_gzip, wants_openmetrics
from exporter.page import Pages

TEXT = "text/plain; charset=utf-8"
TEXT_METRICS = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_HTML = "text/html; charset=utf-8"

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Site:
    """Everything that the paths need to know of the rest."""

    pages: Pages
    is_ready: Callable[[], bool]
    configuration: Callable[[], str]
    """The configuration in force as YAML, without any secret."""
    version: str
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


@dataclass(frozen=True, slots=True)
class _Route:
    methods: tuple[str, ...]
    answer: Handler


class Web:
    """Answers requests; `respond` never waits for anything but the processor."""

    def __init__(self, site: Site) -> None:
        self._site = site
        pages = site.pages
        self._builds = {
            (is_gzip, is_openmetrics): JointWork(
                partial(build, is_openmetrics=is_openmetrics)
            )
            for is_gzip, build in ((False, pages.plain), (True, pages.compressed))
            for is_openmetrics in (False, True)
        }
        self._descriptions = JointWork(site.configuration)
        self._open = {f"{site.prefix}{path}" for path in ("/-/healthy", "/-/ready")}
        reading = ("GET", "HEAD")
        answers: dict[str, Handler] = {
            f"{site.prefix}{path}": answer
            for path, answer in (
                (site.telemetry_path, self._metrics),
                ("/-/healthy", self._healthy),
                ("/-/ready", self._ready),
                ("/config", self._config),
                ("/", self._landing),
            )
        }
        if site.prefix:
            # Who asks for / sees our paths as we do, and not as behind a proxy.
            answers["/"] = _redirect(f"{site.prefix}/")
            answers[site.prefix] = _redirect(f"{site.link_prefix}/")
        self._routes: Mapping[str, _Route] = {
            path: _Route(reading, answer) for path, answer in answers.items()
        } | {f"{site.prefix}/-/reload": _Route(("POST", "PUT"), self._reload)}

    def is_open(self, request: Request) -> bool:
        """Tell whether it asks for our health: who does has no password."""
        return canonical(request.path) in self._open

    async def respond(self, request: Request) -> Response:
        """Return the answer to any request at all."""
        route = self._routes.get(canonical(request.path))
        if route is None:
            return _text(404, f"Not found. The metrics are at {self._metrics_path}.\n")
        if request.method not in route.methods:
            return _text(
                405, "Method not allowed.\n", ("Allow", ", ".join(route.methods))
            )
        return await route.answer(request)

    @property
    def _metrics_path(self) -> str:
        return f"{self._site.link_prefix}{self._site.telemetry_path}"

    async def _metrics(self, request: Request) -> Response:
        is_openmetrics = wants_openmetrics(request.headers.get("accept", ""))
        is_gzip = accepts_gzip(request.headers.get("accept-encoding", ""))
        body = await self._builds[is_gzip, is_openmetrics].outcome()
        headers = [
            ("Content-Type", OPENMETRICS if is_openmetrics else TEXT_METRICS),
            ("Vary", "Accept, Accept-Encoding"),
        ]
        if is_gzip:
            headers.append(("Content-Encoding", "gzip"))
        return Response(200, tuple(headers), body)

    async def _healthy(self, _: Request) -> Response:
        return _text(200, "Healthy.\n")

    async def _ready(self, _: Request) -> Response:
        if self._site.is_ready():
            return _text(200, "Ready.\n")
        return _text(503, "Not ready: the first round of polls goes on.\n")

    async def _reload(self, _: Request) -> Response:
        if self._site.reload is None:
            return _text(403, "Not allowed: start with --web.enable-lifecycle.\n")
        error = await self._site.reload()
        if error is None:
            return _text(200, "Reloaded.\n")
        return _text(500, f"Rejected, the former configuration stays:\n{error}\n")

    async def _config(self, _: Request) -> Response:
        # Joined too: ten thousand campaigns take a second to describe.
        return _text(200, await self._descriptions.outcome())

    async def _landing(self, _: Request) -> Response:
        site = self._site
        links = "".join(
            f'<li><a href="{escape(site.link_prefix + path)}">{escape(name)}</a></li>'
            for path, name in (
                (site.telemetry_path, "Metrics"),
                ("/config", "Configuration in force"),
                ("/-/healthy", "Health"),
                ("/-/ready", "Readiness"),
            )
        )
        page = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width">'
            "<title>Braze exporter</title></head><body><h1>Braze exporter</h1>"
            "<p>Daily figures of Braze campaigns as Prometheus metrics. "
            f"Version {escape(site.version)}.</p><ul>{links}</ul></body></html>\n"
        )
        policy = ("Content-Security-Policy", "default-src 'none'")
        return Response(
            200, (("Content-Type", _HTML), policy, *_ALWAYS), (page.encode(),)
        )


def _redirect(path: str) -> Handler:
    async def answer(_: Request) -> Response:
        return _text(302, "", ("Location", path))

    return answer


_ALWAYS = (("X-Content-Type-Options", "nosniff"),)


def _text(status: int, text: str, *headers: tuple[str, str]) -> Response:
    return Response(
        status, (("Content-Type", TEXT), *headers, *_ALWAYS), (text.encode(),)
    )
