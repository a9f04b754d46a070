"""The paths of the web server, over a socket."""

from __future__ import annotations

import gzip
import hashlib
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any

import pytest
from exporter.model.config import Problem
from exporter.model.errors import ConfigError
from exporter.web.routes import Router, RouterContext
from exporter.web.settings import WebSettings, canonical

from tests.support.daemon_process import until
from tests.support.server_in_thread import (
    PATIENCE_SECONDS,
    RawResponse,
    ServerInThread,
    request_bytes,
    serving,
)
from tests.support.views import status_page

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PLAIN = "text/plain; charset=utf-8"
PAGES = ["/metrics", "/", "/api/v1/status", "/config"]
HEALTH = ["/-/healthy", "/-/ready"]
LARGE = "x" * 3_000_000
SETTINGS = WebSettings((), "/metrics", "", "")


def render(*, is_gzip: bool, is_openmetrics: bool) -> tuple[bytes, ...]:
    return (f"{is_gzip=} {is_openmetrics=}".encode(), b"\n")


async def reload() -> None:
    """Accept any configuration."""


CONTEXT = RouterContext(
    render_metrics=render,
    is_ready=lambda: True,
    configuration=lambda: "workspaces: []\n",
    status=status_page,
    reload=reload,
)


@contextmanager
def routing(
    context: RouterContext = CONTEXT, settings: WebSettings = SETTINGS
) -> Iterator[ServerInThread]:
    with serving(Router(context, settings).respond) as server:
        yield server


@pytest.fixture(name="server", scope="module")
def _server() -> Iterator[ServerInThread]:
    with routing() as server:
        yield server


def request(
    server: ServerInThread, path: str, *headers: str, method: str = "GET"
) -> RawResponse:
    return server.connect().get(path, *headers, method=method)


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("*/*", TEXT),
        ("application/openmetrics-text;q=0.5,text/plain;q=0.3", OPENMETRICS),
    ],
)
@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_headers_select_the_format_and_the_compression(
    server: ServerInThread, accept: str, content_type: str, encoding: str
) -> None:
    response = request(
        server, "/metrics", f"Accept: {accept}", f"Accept-Encoding: {encoding}"
    )

    is_gzip = encoding == "gzip"
    page = render(is_gzip=is_gzip, is_openmetrics=content_type == OPENMETRICS)
    assert (response.status, response.body) == (200, b"".join(page))
    assert response.headers["content-type"] == content_type
    assert response.headers["vary"] == "Accept, Accept-Encoding"
    assert response.headers.get("content-encoding", "identity") == encoding


class BlockingRenderer:
    """Renders a metrics page, or a status page, when `go_on` is set."""

    policy = "default-src 'none'"

    def __init__(self) -> None:
        self.snapshots = 0
        self.pages: list[str] = []
        self.go_on = Event()

    def metrics(self, *, is_gzip: bool, is_openmetrics: bool) -> tuple[bytes, ...]:
        del is_gzip, is_openmetrics
        self.pages.append("/metrics")
        number = len(self.pages)
        assert self.go_on.wait(PATIENCE_SECONDS)
        return (b"# %d\n" % number,)

    @contextmanager
    def snapshot(self) -> Iterator[BlockingRenderer]:
        self.snapshots += 1
        yield self

    def page(self, query: str, settings: WebSettings) -> Iterable[str]:
        self.pages.append(query)
        assert self.go_on.wait(PATIENCE_SECONDS)
        return (query, settings.telemetry_path)

    def document(self, query: str) -> Iterable[str]:
        self.pages.append(query)
        assert self.go_on.wait(PATIENCE_SECONDS)
        return (LARGE,)


def test_concurrent_scrapes_share_a_page_that_is_rendered_after_their_requests() -> (
    None
):
    renderer = BlockingRenderer()
    scrape = request_bytes("/metrics")
    with routing(CONTEXT._replace(render_metrics=renderer.metrics)) as server:
        first = server.connect()
        first.send(scrape)
        until(lambda: renderer.pages)
        others = [server.connect() for _ in range(20)]
        leaving = server.connect()
        for client in (*others, leaving):
            client.send(scrape)
        leaving.close()
        request(server, "/-/healthy")  # the server has received all others by then

        renderer.go_on.set()

        pages = [client.receive().body for client in (first, *others)]

    assert pages == [b"# 1\n"] + [b"# 2\n"] * 20


def test_concurrent_readers_of_the_status_page_share_snapshots_and_renderings() -> None:
    renderer = BlockingRenderer()
    queries = [f"q={number % 3}" for number in range(30)]
    with routing(CONTEXT._replace(status=lambda: renderer)) as server:
        first = server.connect()
        first.send(request_bytes("/?q=first"))
        until(lambda: renderer.pages)
        clients = [server.connect() for _ in queries]
        for client, query in zip(clients, queries, strict=True):
            client.send(request_bytes(f"/?{query}"))

        scrape = request(server, "/metrics")

        renderer.go_on.set()
        bodies = [client.receive().body.decode() for client in (first, *clients)]

    assert scrape.status == 200
    assert bodies == [f"{query}/metrics" for query in ("q=first", *queries)]
    assert len(renderer.pages) == 4
    assert renderer.snapshots == 2


def test_one_run_renders_large_documents_up_to_a_limit() -> None:
    """Else the memory of a round would be that of all documents that are requested."""
    renderer = BlockingRenderer()
    with routing(CONTEXT._replace(status=lambda: renderer)) as server:
        first = server.connect()
        first.send(request_bytes("/api/v1/status"))
        until(lambda: renderer.pages)
        clients = [server.connect() for _ in range(20)]
        for number, client in enumerate(clients):
            client.send(request_bytes(f"/api/v1/status?q={number}"))
        request(server, "/-/healthy")  # the server has received all others by then
        renderer.go_on.set()

        responses = [client.receive() for client in (first, *clients)]

    found = [response for response in responses if response.status == 200]
    assert len(found) == len(renderer.pages) < 10
    assert {len(response.body) for response in found} == {len(LARGE)}
    refused = [response for response in responses if response.status == 503]
    assert len(found) + len(refused) == 21
    assert {response.headers["retry-after"] for response in refused} == {"1"}


@pytest.mark.parametrize("path", [*PAGES, *HEALTH, "/nowhere"])
def test_head_has_the_headers_of_get_and_no_body(
    server: ServerInThread, path: str
) -> None:
    client = server.connect()
    head, response = client.get(path, method="HEAD"), client.get(path)

    assert (head.status, head.headers) == (response.status, response.headers)
    assert head.headers["content-length"] == str(len(response.body)) != "0"


@pytest.mark.parametrize("is_ready", [True, False])
def test_the_daemon_is_healthy_before_it_is_ready(*, is_ready: bool) -> None:
    with routing(CONTEXT._replace(is_ready=lambda: is_ready)) as server:
        healthy, ready = (request(server, path) for path in HEALTH)

    assert (healthy.status, healthy.body) == (200, b"Healthy.\n")
    assert healthy.headers["content-type"] == ready.headers["content-type"] == PLAIN
    assert ready.status == (200 if is_ready else 503)
    assert ready.body.startswith(b"Ready.\n" if is_ready else b"Not ready: ")


def test_the_configuration_is_plain_text(server: ServerInThread) -> None:
    response = request(server, "/config")

    assert response.headers["content-type"] == PLAIN
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.body == b"workspaces: []\n"


def test_the_status_page_allows_only_its_own_style_and_script(
    server: ServerInThread,
) -> None:
    response = request(server, "/")

    policy = response.headers["content-security-policy"].split("; ")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert policy[0] == "default-src 'none'"
    assert not [part for part in policy if "unsafe" in part or "http" in part]
    for tag in ("style", "script"):
        (content,) = re.findall(
            f"<{tag}>(.*?)</{tag}>", response.body.decode(), re.DOTALL
        )
        digest = b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


@pytest.mark.parametrize("path", ["/", "/api/v1/status"])
def test_the_status_is_compressed_on_request_and_not_stored_by_proxies(
    server: ServerInThread, path: str
) -> None:
    plain = request(server, path)
    packed = request(server, path, "Accept-Encoding: gzip")

    assert plain.headers["cache-control"] == "private, no-cache"
    assert plain.headers["vary"] == "Accept-Encoding"
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body


@pytest.mark.parametrize(
    "path",
    ["/nowhere", "/metrics/", "//metrics", "/METRICS", "/-/", "/../metrics", "/%00"],
)
def test_an_unknown_path_is_404(server: ServerInThread, path: str) -> None:
    response = request(server, path)

    assert response.status == 404
    assert response.body == b"Not found. The metrics are at /metrics.\n"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        *(("POST", path, "GET, HEAD") for path in (*PAGES, *HEALTH)),
        *((method, "/", "GET, HEAD") for method in ("PUT", "OPTIONS", "get", "X")),
        ("GET", "/-/reload", "POST, PUT"),
    ],
)
def test_other_methods_are_405(
    server: ServerInThread, method: str, path: str, allowed: str
) -> None:
    response = request(server, path, method=method)

    assert (response.status, response.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize(
    "path",
    ["/metrics?", "/metrics?name[]=up&x=/-/ready", "/%6Detrics", "http://else/metrics"],
)
def test_paths_are_normalised(server: ServerInThread, path: str) -> None:
    """Queries are ignored, unnecessary escapes are decoded, a full URL is accepted."""
    response = request(server, path)

    assert (response.status, response.headers["content-type"]) == (200, TEXT)


@pytest.mark.parametrize(
    ("changes", "found", "missing", "link"),
    [
        ({}, "/metrics", "/x", "/metrics"),
        ({"prefix": "/b", "link_prefix": "/b"}, "/b/metrics", "/metrics", "/b/metrics"),
        # Behind a proxy that removes the prefix.
        ({"link_prefix": "/b"}, "/metrics", "/b/metrics", "/b/metrics"),
        ({"telemetry_path": canonical("/mé")}, "/m%c3%a9", "/metrics", "/m%C3%A9"),
        # It cannot add an element to the page.
        ({"link_prefix": '/"><i>'}, "/metrics", "/x", "/&#34;&gt;&lt;i&gt;/metrics"),
    ],
)
def test_prefixes_and_the_path_of_the_metrics_are_configurable(
    changes: dict[str, Any], found: str, missing: str, link: str
) -> None:
    settings = SETTINGS._replace(**changes)
    with routing(settings=settings) as server:
        statuses = [request(server, path).status for path in (found, missing)]
        page = request(server, f"{settings.prefix}/").body.decode()

    links = re.findall(r'(?:href|action)="([^"]*)"', page)
    prefix = link.rpartition("/")[0]
    assert statuses == [200, 404]
    assert link in links
    assert {f"{prefix}{path}" for path in ("/", *PAGES[2:], *HEALTH)} <= set(links)
    assert all(one.startswith((f"{prefix}/", "#", "data:")) for one in links)


@pytest.mark.parametrize(
    ("path", "link_prefix", "location"),
    [
        ("/", "/braze", "/braze/"),
        ("/braze", "/braze", "/braze/"),
        ("/", "", "/braze/"),
        ("/braze", "", "/"),
        ("/braze", "/seen/as", "/seen/as/"),
    ],
)
def test_an_incomplete_prefix_is_redirected(
    path: str, link_prefix: str, location: str
) -> None:
    """/ to the prefix, and the prefix to its path in the browser."""
    settings = SETTINGS._replace(prefix="/braze", link_prefix=link_prefix)
    with routing(settings=settings) as server:
        response = request(server, path)
        posted = request(server, path, method="POST")

    assert (response.status, response.headers["location"]) == (302, location)
    assert posted.status == 405


@pytest.mark.parametrize(
    ("error", "is_enabled", "status", "text"),
    [
        (None, True, 200, "Reloaded."),
        (
            ConfigError((Problem("a.yaml", 3, "x", "bad"),)),
            True,
            500,
            "a.yaml:3: x: bad",
        ),
        (None, False, 403, "--web.enable-lifecycle"),
    ],
)
def test_a_reload_returns_its_problems(
    error: ConfigError | None, *, is_enabled: bool, status: int, text: str
) -> None:
    async def reload() -> ConfigError | None:
        assert is_enabled
        return error

    settings = SETTINGS._replace(has_lifecycle=is_enabled)
    with routing(CONTEXT._replace(reload=reload), settings) as server:
        response = request(server, "/-/reload", method="POST")

    assert response.status == status
    assert text in response.body.decode()
