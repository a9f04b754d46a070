"""The paths of the web server, over a socket."""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from threading import Event
from zoneinfo import ZoneInfo

import pytest
from exporter.metrics import campaign_metrics
from exporter.metrics.exposition_page import ExpositionPages
from exporter.metrics.self_metrics import SelfMetrics, Served
from exporter.metrics.store import Entry, Store
from exporter.model.config import Problem, Selection
from exporter.model.errors import ConfigError
from exporter.series.parse import ParseOptions, parse
from exporter.simulator import Simulator
from exporter.status.page import StatusPage
from exporter.web.routes import Links, Router, RouterContext, canonical
from exporter.web.server import HttpRequest
from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from tests.support.daemon_process import DaemonThread, configuration, get, parsed, until
from tests.support.server_in_thread import (
    PATIENCE_SECONDS,
    RawResponse,
    ServerInThread,
    request_bytes,
    serving,
)

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PLAIN = "text/plain; charset=utf-8"
CAMPAIGN = 'Spring "sale" 🌷\\\n50 % off'
DOCUMENT = {
    "message": "success",
    "data": [
        {
            "time": "2025-06-22",
            "messages": {"email": [{"variation_name": "é\n", "sent": 7}]},
            "conversions": 2,
        }
    ],
}
# The header of Prometheus 2 and 3.
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3"
)
PAGES = ["/metrics", "/", "/api/v1/status", "/config"]
HEALTH = ["/-/healthy", "/-/ready"]


def metrics_pages() -> ExpositionPages:
    """Return the metrics pages of one campaign."""
    options = ParseOptions(
        date(2025, 6, 22), ZoneInfo("UTC"), (7,), Selection(), Selection(), 5000
    )
    labels = campaign_metrics.ObjectLabels(
        "production", CAMPAIGN, "3bbc", {"team": "crm"}
    )
    status = campaign_metrics.PollStatus(
        is_up=True, failure=None, interval_seconds=300, last_success_at=1.5
    )
    entry = Entry(
        labels,
        status,
        campaign_metrics.render_status(labels, status),
        values=campaign_metrics.render_values(labels, parse(DOCUMENT, options)),
    )
    store = Store()
    store.put(entry)
    telemetry = SelfMetrics(
        version="1.2.3", served=lambda: [Served("production", 1, 9, 0, 0, 0)]
    )
    return ExpositionPages(store.entries, telemetry, version=lambda: store.version)


def status_page() -> StatusPage:
    """Return the status page without workspaces."""
    return StatusPage(
        entries=tuple,
        workspaces={},
        discoveries=dict,
        planned=dict,
        now=lambda: 1.5,
        wall_offset=lambda: 0.0,
        is_ready=lambda: True,
        version="1.2.3<b>",
    )


def router_context(*, is_ready: bool = True) -> RouterContext:
    """Return the context of one campaign."""
    return RouterContext(
        render_metrics=metrics_pages().render,
        is_ready=lambda: is_ready,
        configuration=lambda: "workspaces: []\n",
        status=status_page,
    )


@contextmanager
def routing(
    *,
    telemetry_path: str = "/metrics",
    prefix: str = "",
    link_prefix: str | None = None,
) -> Iterator[ServerInThread]:
    """Serve one campaign."""
    context = router_context()._replace(
        telemetry_path=telemetry_path,
        prefix=prefix,
        link_prefix=prefix if link_prefix is None else link_prefix,
    )
    with serving(Router(context).respond) as server:
        yield server


@pytest.fixture(name="server", scope="module")
def _server() -> Iterator[ServerInThread]:
    with routing() as server:
        yield server


def request(
    server: ServerInThread, path: str, *, method: str = "GET", **headers: str
) -> RawResponse:
    """Send a request; underscores in header names become dashes."""
    lines = [f"{name.replace('_', '-')}: {text}" for name, text in headers.items()]
    return server.connect().get(path, *lines, method=method)


def campaigns_of(families: Iterable[Metric]) -> set[str]:
    """Return the label `campaign` of all samples; each family has to be unique."""
    known = list(families)
    names = [family.name for family in known]
    assert len(names) == len(set(names))
    return {
        sample.labels["campaign"]
        for family in known
        for sample in family.samples
        if "campaign" in sample.labels
    }


def campaign_lines(page: bytes) -> list[bytes]:
    """Return the lines about campaigns; the others change with each request."""
    return [line for line in page.splitlines() if b"braze_" in line]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/plain", TEXT),
        (PROMETHEUS, OPENMETRICS),
        ("application/openmetrics-text", OPENMETRICS),
        ("application/openmetrics-text;version=1.0.0;q=0,*/*", TEXT),
        ("application/vnd.google.protobuf;proto=x;q=1,text/plain;q=0.1", TEXT),
        (";;,=,q=nan", TEXT),
    ],
)
def test_accept_selects_the_format(
    server: ServerInThread, accept: str, expected: str
) -> None:
    """OpenMetrics if it is preferred, else the text format 0.0.4."""
    response = request(server, "/metrics", accept=accept)

    assert response.status == 200
    assert response.headers["content-type"] == expected
    assert response.headers["vary"] == "Accept, Accept-Encoding"
    assert response.body.count(b"# EOF") == (expected == OPENMETRICS)
    assert response.body.endswith(b"# EOF\n") is (expected == OPENMETRICS)


def test_both_formats_are_valid(server: ServerInThread) -> None:
    """The official parsers accept them, and labels are unchanged."""
    text = request(server, "/metrics").body.decode()
    open_text = request(server, "/metrics", accept=PROMETHEUS).body.decode()

    assert campaigns_of(text_string_to_metric_families(text)) == {CAMPAIGN}
    families = openmetrics.text_string_to_metric_families(open_text)  # type: ignore[no-untyped-call]  # theirs
    assert campaigns_of(families) == {CAMPAIGN}


@pytest.mark.parametrize("accept", ["text/plain", PROMETHEUS])
@pytest.mark.parametrize(
    "encoding", ["gzip", "br, GZIP;q=0.5", "deflate, gzip, br, zstd", "*"]
)
def test_a_gzipped_page_is_one_member(
    server: ServerInThread, accept: str, encoding: str
) -> None:
    """Some decoders ignore further members."""
    plain = request(server, "/metrics", accept=accept)
    packed = request(server, "/metrics", accept=accept, accept_encoding=encoding)

    decoder = zlib.decompressobj(wbits=31)
    page = decoder.decompress(packed.body)
    assert packed.headers["content-encoding"] == "gzip"
    assert campaign_lines(page) == campaign_lines(plain.body)
    assert decoder.eof
    assert not decoder.unused_data
    assert page.endswith(plain.body[-6:])


@pytest.mark.parametrize("encoding", ["", "identity", "br", "gzip;q=0", "*;q=0"])
def test_a_page_is_not_compressed_without_consent(
    server: ServerInThread, encoding: str
) -> None:
    """The client does not accept gzip."""
    response = request(server, "/metrics", accept_encoding=encoding)

    assert "content-encoding" not in response.headers
    assert response.body.startswith(b"# HELP braze_campaign_")


class BlockingRenderer:
    """Renders a metrics page, or a status page, when `go_on` is set."""

    policy = "default-src 'none'"

    def __init__(self) -> None:
        self.snapshots = 0
        self.pages: list[str] = []
        self.go_on = Event()

    def metrics(self, *, is_gzip: bool, is_openmetrics: bool) -> tuple[bytes, ...]:
        """Return the number of this rendering."""
        del is_gzip, is_openmetrics
        self.pages.append("/metrics")
        number = len(self.pages)
        assert self.go_on.wait(PATIENCE_SECONDS)
        return (b"# %d\n" % number,)

    @contextmanager
    def snapshot(self) -> Iterator[BlockingRenderer]:
        """Count the snapshots."""
        self.snapshots += 1
        yield self

    def page(self, query: str, links: Links) -> Iterable[str]:
        """Return the query and the link to the page."""
        self.pages.append(query)
        assert self.go_on.wait(PATIENCE_SECONDS)
        return (query, links.home)

    def document(self, query: str) -> Iterable[str]:
        """Return nothing."""
        del query
        return ()

    def context(self) -> RouterContext:
        """Return a context that uses it."""
        return router_context()._replace(
            render_metrics=self.metrics, status=lambda: self
        )


def test_concurrent_scrapes_share_a_page_that_is_rendered_after_their_requests() -> (
    None
):
    """Requests during a rendering share the next one."""
    renderer = BlockingRenderer()
    scrape = request_bytes("/metrics")
    with serving(Router(renderer.context()).respond) as server:
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
    """Each gets the page of its query, and scrapes are not delayed."""
    renderer = BlockingRenderer()
    context = renderer.context()._replace(render_metrics=metrics_pages().render)
    queries = [f"q={number % 3}" for number in range(30)]
    with serving(Router(context).respond) as server:
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
    assert bodies == ["q=first/", *(f"{query}/" for query in queries)]
    assert len(renderer.pages) == 4
    assert renderer.snapshots == 2


@pytest.mark.parametrize("path", [*PAGES, *HEALTH, "/nowhere"])
def test_head_has_the_headers_of_get_and_no_body(
    server: ServerInThread, path: str
) -> None:
    """The connection stays open."""
    client = server.connect()
    head, response = client.get(path, method="HEAD"), client.get(path)

    assert (head.status, head.headers.keys()) == (
        response.status,
        response.headers.keys(),
    )
    assert head.headers["content-type"] == response.headers["content-type"]
    if path != "/metrics":  # the process's metrics have changed meanwhile
        assert head.headers["content-length"] == str(len(response.body))


@pytest.mark.parametrize("is_ready", [True, False])
def test_health_and_readiness(*, is_ready: bool) -> None:
    """The daemon is healthy before it is ready."""
    with serving(Router(router_context(is_ready=is_ready)).respond) as server:
        healthy, ready = (request(server, path) for path in HEALTH)

    assert (healthy.status, healthy.body) == (200, b"Healthy.\n")
    assert healthy.headers["content-type"] == ready.headers["content-type"] == PLAIN
    assert ready.status == (200 if is_ready else 503)
    assert ready.body.startswith(b"Ready.\n" if is_ready else b"Not ready: ")


def test_the_status_page_has_links_and_a_strict_policy(server: ServerInThread) -> None:
    """Only its own style and script are allowed, by their hashes."""
    response = request(server, "/")

    text = response.body.decode()
    policy = response.headers["content-security-policy"].split("; ")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert policy[0] == "default-src 'none'"
    assert not [part for part in policy if "unsafe" in part or "http" in part]
    for tag in ("style", "script"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "Version 1.2.3&lt;b&gt;" in text
    for path in ("/metrics", "/api/v1/status", "/config", *HEALTH):
        assert f'href="{path}"' in text


@pytest.mark.parametrize("path", ["/", "/api/v1/status"])
def test_the_status_is_not_stored_by_proxies(server: ServerInThread, path: str) -> None:
    """It is compressed on request, with the same content."""
    plain = request(server, path)
    packed = request(server, path, accept_encoding="gzip")

    assert plain.headers["cache-control"] == "private, no-cache"
    assert plain.headers["vary"] == "Accept-Encoding"
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body


def test_a_link_prefix_is_escaped() -> None:
    """It cannot add a script."""
    prefix = "/\"><script>alert('1')</script>&"
    with routing(link_prefix=prefix) as server:
        text = request(server, "/").body.decode()

    assert "alert('1')" not in text
    assert 'href="/&#34;&gt;&lt;script&gt;' in text


@pytest.mark.parametrize(
    "path",
    ["/nowhere", "/metrics/", "//metrics", "/METRICS", "/-/", "/../metrics", "/%00"],
)
def test_an_unknown_path_is_404(server: ServerInThread, path: str) -> None:
    """The response names the path of the metrics."""
    response = request(server, path)

    assert response.status == 404
    assert b"/metrics" in response.body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "get", "X"])
@pytest.mark.parametrize("path", ["/metrics", "/", "/-/healthy", "/config"])
def test_other_methods_are_405(server: ServerInThread, path: str, method: str) -> None:
    """Methods are case-sensitive."""
    response = request(server, path, method=method)

    assert response.status == 405
    assert response.headers["allow"] == "GET, HEAD"


def test_the_connection_stays_open_after_a_refused_body(server: ServerInThread) -> None:
    """The body is discarded."""
    client = server.connect()
    refused = request_bytes("/metrics", "Content-Length: 5", method="POST")
    client.send(refused + b"GET /" + request_bytes("/-/healthy"))

    assert [client.receive().status for _ in range(2)] == [405, 200]


@pytest.mark.parametrize(
    "path",
    ["/metrics?", "/metrics?name[]=up&x=/-/ready", "/%6Detrics", "http://else/metrics"],
)
def test_paths_are_normalised(server: ServerInThread, path: str) -> None:
    """Queries are ignored, unnecessary escapes are decoded, a full URL is accepted."""
    response = request(server, path)

    assert response.status == 200
    assert response.headers["content-type"] == TEXT


def test_a_route_prefix_precedes_every_path() -> None:
    """Paths without it are unknown."""
    with routing(prefix="/braze") as server:
        statuses = {
            path: request(server, path).status
            for path in ("/braze/", "/braze/metrics", "/braze/-/healthy", "/metrics")
        }
        page = request(server, "/braze/").body

    assert statuses == {
        "/braze/": 200,
        "/braze/metrics": 200,
        "/braze/-/healthy": 200,
        "/metrics": 404,
    }
    assert b'href="/braze/metrics"' in page


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
    with routing(prefix="/braze", link_prefix=link_prefix) as server:
        response = request(server, path)
        posted = request(server, path, method="POST")

    assert (response.status, response.headers["location"]) == (302, location)
    assert posted.status == 405


def test_links_have_the_link_prefix() -> None:
    """Behind a proxy that removes it, routes do not have it."""
    with routing(link_prefix="/monitoring") as server:
        page = request(server, "/").body
        statuses = [
            request(server, path).status for path in ("/metrics", "/monitoring/metrics")
        ]

    assert b'href="/monitoring/metrics"' in page
    assert statuses == [200, 404]


def test_the_path_of_the_metrics_is_configurable() -> None:
    """/metrics is unknown then."""
    with routing(telemetry_path=canonical("/métriques")) as server:
        found = request(server, "/m%c3%a9triques")
        unknown = request(server, "/metrics")

    assert (found.status, unknown.status) == (200, 404)
    assert unknown.body == b"Not found. The metrics are at /m%C3%A9triques.\n"


@pytest.mark.parametrize(
    ("result", "status", "text"),
    [
        (None, 200, "Reloaded."),
        (ConfigError((Problem("a.yaml", 3, "x", "bad"),)), 500, "a.yaml:3: x: bad"),
    ],
)
def test_a_reload_returns_its_problems(
    result: ConfigError | None, status: int, text: str
) -> None:
    """Only POST and PUT reload."""

    async def reload() -> ConfigError | None:
        return result

    context = router_context()._replace(reload=reload)
    with serving(Router(context).respond) as server:
        response = request(server, "/-/reload", method="POST")

        assert request(server, "/-/reload").status == 405
    assert response.status == status
    assert text in response.body.decode()


def test_a_disabled_reload_is_403(server: ServerInThread) -> None:
    """The response names the flag that enables it."""
    response = request(server, "/-/reload", method="PUT")

    assert response.status == 403
    assert b"--web.enable-lifecycle" in response.body


def test_no_page_contains_a_secret() -> None:
    """/config contains every option with its value."""
    with Simulator() as braze:
        document = configuration(braze, proxy="http://me:hunter2@127.0.0.1:9")
        running = DaemonThread(
            parsed(document, key=braze.api_key), read_key=lambda _: braze.api_key
        )
        with running as daemon:
            pages = {
                path: get(f"{daemon.url}{path}")
                for path in (*PAGES, *HEALTH, "/nowhere")
            }

    _, headers, config = pages["/config"]
    assert headers["Content-Type"] == PLAIN
    assert b"api_key_env: BRAZE_API_KEY" in config
    assert b"reserve: 20%" in config
    assert b"127.0.0.1:9" in config
    for _, head, body in pages.values():
        assert braze.api_key.encode() not in body
        assert b"hunter2" not in body
        assert braze.api_key not in str(head)


@pytest.mark.parametrize("path", [*PAGES, "/nowhere", "/-/reload", *HEALTH])
def test_only_health_checks_need_no_authentication(path: str) -> None:
    """All other paths do, also unknown ones."""
    needs_no_auth = Router(router_context()).needs_no_auth

    assert needs_no_auth(HttpRequest("GET", path, "", {})) is (path in HEALTH)
