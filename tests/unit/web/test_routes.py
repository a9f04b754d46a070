"""What each path answers, over a real socket."""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from threading import Event
from zoneinfo import ZoneInfo

import pytest
from exporter.metrics import campaign_metrics
from exporter.metrics.exposition_page import ExpositionPages
from exporter.metrics.self_metrics import SelfMetrics, Served
from exporter.metrics.store import Entry, Store
from exporter.model.config import Selection
from exporter.series.parse import ParseOptions, parse
from exporter.simulator import Simulator
from exporter.status.page import StatusPage
from exporter.web.routes import Links, Site, StatusSource, Web, canonical
from exporter.web.server import HttpRequest
from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from tests.support.daemon_process import DaemonThread, configuration, get, parsed, until
from tests.support.server_in_thread import PATIENCE_SECONDS, Answer, Inn, opened

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
# What Prometheus 2 and 3 ask for, and others do.
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3"
)


def pages() -> ExpositionPages:
    """Return the pages of one campaign."""
    reading = ParseOptions(
        date(2025, 6, 22), ZoneInfo("UTC"), (7,), Selection(), Selection(), 5000
    )
    subject = campaign_metrics.ObjectLabels(
        "production", CAMPAIGN, "3bbc", {"team": "crm"}
    )
    status = campaign_metrics.PollStatus(
        is_up=True, failure=None, interval_seconds=300, last_success_at=1.5
    )
    entry = Entry(
        subject,
        status,
        campaign_metrics.render_status(subject, status),
        values=campaign_metrics.render_values(subject, parse(DOCUMENT, reading)),
    )
    store = Store()
    store.put(entry)
    telemetry = SelfMetrics(
        version="1.2.3", served=lambda: [Served("production", 1, 9, 0, 0, 0)]
    )
    return ExpositionPages(store.entries, telemetry, version=lambda: store.version)


def status(*, is_ready: bool = True) -> Callable[[], StatusSource]:
    """Return what makes the status page of no workspace."""
    page = StatusPage(
        entries=tuple,
        workspaces={},
        discoveries=dict,
        planned=dict,
        now=lambda: 1.5,
        wall_offset=lambda: 0.0,
        is_ready=lambda: is_ready,
        version="1.2.3<b>",
    )
    return lambda: page


@contextmanager
def serving(
    *,
    is_ready: bool = True,
    telemetry_path: str = "/metrics",
    prefix: str = "",
    link_prefix: str | None = None,
) -> Iterator[Inn]:
    """Serve one campaign."""
    site = Site(
        pages=pages(),
        is_ready=lambda: is_ready,
        configuration=lambda: "workspaces: []\n",
        status=status(is_ready=is_ready),
        telemetry_path=telemetry_path,
        prefix=prefix,
        link_prefix=prefix if link_prefix is None else link_prefix,
    )
    with opened(Web(site).respond) as inn:
        yield inn


def ask(inn: Inn, path: str, *, method: str = "GET", **headers: str) -> Answer:
    """Return the answer to one request; underscores in header names are dashes."""
    lines = [f"{method} {path} HTTP/1.1", "Host: here"]
    lines += [f"{name.replace('_', '-')}: {text}" for name, text in headers.items()]
    visitor = inn.connect()
    visitor.say("\r\n".join([*lines, "", ""]).encode())
    return visitor.answer(has_body=method != "HEAD")


def fetch(path: str, *, method: str = "GET", **headers: str) -> Answer:
    """Return the answer of a site without a prefix."""
    with serving() as inn:
        return ask(inn, path, method=method, **headers)


def campaigns_of(families: Iterable[Metric]) -> set[str]:
    """Return the label `campaign` of every sample; no family may come twice."""
    known = list(families)
    names = [family.name for family in known]
    assert len(names) == len(set(names))
    return {
        sample.labels["campaign"]
        for family in known
        for sample in family.samples
        if "campaign" in sample.labels
    }


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
def test_accept_chooses_the_format(accept: str, expected: str) -> None:
    """OpenMetrics for those who ask for it, the text format 0.0.4 for all others."""
    answer = fetch("/metrics", accept=accept)

    assert answer.status == 200
    assert answer.headers["content-type"] == expected
    assert answer.headers["vary"] == "Accept, Accept-Encoding"
    assert answer.body.count(b"# EOF") == (expected == OPENMETRICS)
    assert answer.body.endswith(b"# EOF\n") is (expected == OPENMETRICS)


def test_both_formats_parse_and_keep_the_labels() -> None:
    """The official parsers read both pages, with each family once."""
    with serving() as inn:
        text = ask(inn, "/metrics").body.decode()
        open_text = ask(inn, "/metrics", accept=PROMETHEUS).body.decode()

    assert campaigns_of(text_string_to_metric_families(text)) == {CAMPAIGN}
    again = openmetrics.text_string_to_metric_families(open_text)  # type: ignore[no-untyped-call]  # theirs
    assert campaigns_of(again) == {CAMPAIGN}


@pytest.mark.parametrize("accept", ["text/plain", PROMETHEUS])
def test_gzip_is_one_member(accept: str) -> None:
    """Whoever accepts gzip gets one member, which any decoder reads to its end."""
    with serving() as inn:
        plain = ask(inn, "/metrics", accept=accept)
        answers = [
            ask(inn, "/metrics", accept=accept, accept_encoding=encoding)
            for encoding in ("gzip", "br, GZIP;q=0.5", "deflate, gzip, br, zstd", "*")
        ]

    assert "content-encoding" not in plain.headers
    for answer in answers:
        decoder = zlib.decompressobj(wbits=31)
        assert answer.headers["content-encoding"] == "gzip"
        assert _steady(decoder.decompress(answer.body)) == _steady(plain.body)
        assert decoder.eof
        assert not decoder.unused_data
        assert gzip.decompress(answer.body).endswith(plain.body[-6:])


class SlowTelemetry(SelfMetrics):
    """Telemetry that is rendered when it is let go on."""

    def __init__(self) -> None:
        super().__init__(version="1", served=list)
        self.renders = 0
        self.go_on = Event()

    def render(self, *, is_openmetrics: bool) -> bytes:
        """Return how often this was asked for."""
        self.renders += 1
        assert self.go_on.wait(PATIENCE_SECONDS)
        return b"# EOF\n" if is_openmetrics else b"# %d\n" % self.renders


def test_a_crowd_shares_a_page_that_is_not_older_than_its_requests() -> None:
    """Who comes while a page is being built gets the next one, with all the others."""
    telemetry = SlowTelemetry()
    site = Site(
        pages=ExpositionPages(lambda: (), telemetry, version=lambda: 0),
        is_ready=lambda: True,
        configuration=lambda: "",
        status=status(),
    )
    question = b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n"
    with opened(Web(site).respond) as inn:
        first = inn.connect()
        first.say(question)
        until(lambda: telemetry.renders)
        crowd = [inn.connect() for _ in range(20)]
        for visitor in crowd:
            visitor.say(question)
        leaver = inn.connect()
        leaver.say(question)
        leaver.leave()
        ask(inn, "/-/healthy")  # answered after all of them were heard

        telemetry.go_on.set()

        pages = [visitor.answer().body for visitor in (first, *crowd)]

    assert pages == [b"# 1\n"] + [b"# 2\n"] * 20


def _steady(page: bytes) -> list[bytes]:
    """Return the lines that do not tell of this process, whose figures change."""
    return [line for line in page.splitlines() if b"braze_" in line]


@pytest.mark.parametrize("encoding", ["", "identity", "br", "gzip;q=0", "*;q=0"])
def test_nobody_gets_gzip_unasked(encoding: str) -> None:
    """A client that does not accept gzip gets text."""
    answer = fetch("/metrics", accept_encoding=encoding)

    assert "content-encoding" not in answer.headers
    assert answer.body.startswith(b"# HELP braze_campaign_")


@pytest.mark.parametrize(
    "path",
    [
        "/metrics",
        "/",
        "/api/v1/status",
        "/-/healthy",
        "/-/ready",
        "/config",
        "/nowhere",
    ],
)
def test_head_says_the_length_and_sends_nothing(path: str) -> None:
    """HEAD has GET's headers and no body, and the connection goes on."""
    request = f"{{}} {path} HTTP/1.1\r\nHost: here\r\n\r\n"
    with serving() as inn:
        visitor = inn.connect()
        visitor.say(request.format("HEAD").encode())
        head = visitor.answer(has_body=False)
        visitor.say(request.format("GET").encode())
        answer = visitor.answer()

    assert (head.status, head.headers.keys()) == (answer.status, answer.headers.keys())
    assert head.headers["content-type"] == answer.headers["content-type"]
    if path != "/metrics":  # the process's own figures have changed meanwhile
        assert head.headers["content-length"] == str(len(answer.body))


def test_healthy_and_ready_say_so() -> None:
    """Both answer 200 with a line of text."""
    for path, text in (("/-/healthy", b"Healthy.\n"), ("/-/ready", b"Ready.\n")):
        answer = fetch(path)

        assert (answer.status, answer.body) == (200, text)
        assert answer.headers["content-type"] == PLAIN


def test_not_ready_is_503_and_healthy_still() -> None:
    """During the first round the daemon is alive and not ready."""
    with serving(is_ready=False) as inn:
        ready, healthy = ask(inn, "/-/ready"), ask(inn, "/-/healthy")

    assert (ready.status, healthy.status) == (503, 200)


def test_the_status_page_links_to_the_rest() -> None:
    """It tells the version and links to every page, and nothing else may be loaded."""
    answer = fetch("/")

    text = answer.body.decode()
    policy = answer.headers["content-security-policy"].split("; ")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert policy[0] == "default-src 'none'"
    assert not [part for part in policy if "unsafe" in part or "http" in part]
    assert "Version 1.2.3&lt;b&gt;" in text
    for path in ("/metrics", "/api/v1/status", "/config", "/-/healthy", "/-/ready"):
        assert f'href="{path}"' in text


def test_the_policy_allows_just_our_style_and_script() -> None:
    """By their hashes, as they stand in the page."""
    answer = fetch("/")

    policy = answer.headers["content-security-policy"]
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", answer.body.decode(), re.DOTALL)
        digest = b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"; {directive} 'sha256-{digest}';" in policy


@pytest.mark.parametrize("path", ["/", "/api/v1/status"])
def test_the_status_is_neither_stored_nor_shared(path: str) -> None:
    """Whoever goes back asks again; gzip for those who accept it, both alike."""
    with serving() as inn:
        plain = ask(inn, path)
        packed = ask(inn, path, accept_encoding="gzip")

    assert plain.headers["cache-control"] == "private, no-cache"
    assert plain.headers["vary"] == "Accept-Encoding"
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body


class SlowStatus:
    """A status page that is written when it is let go on."""

    policy = "default-src 'none'"

    def __init__(self) -> None:
        self.looks = 0
        self.queries: list[str] = []
        self.go_on = Event()

    @contextmanager
    def snapshot(self) -> Iterator[SlowStatus]:
        """Count how often this was asked for."""
        self.looks += 1
        yield self

    def page(self, query: str, links: Links) -> Iterable[str]:
        """Return the query and where the page is."""
        self.queries.append(query)
        assert self.go_on.wait(PATIENCE_SECONDS)
        return (query, links.home)

    def document(self, query: str) -> Iterable[str]:
        """Return the same."""
        return self.page(query, _NO_LINKS)


_NO_LINKS = Links("", "", "", "", "", "")


def test_a_crowd_of_readers_keeps_one_thread_busy_and_delays_no_scrape() -> None:
    """All look once, who wants the same page shares it, each gets what he wanted."""
    slow = SlowStatus()
    site = Site(
        pages=pages(),
        is_ready=lambda: True,
        configuration=lambda: "",
        status=lambda: slow,
    )
    with opened(Web(site).respond) as inn:
        first = inn.connect()
        first.say(b"GET /?q=first HTTP/1.1\r\nHost: here\r\n\r\n")
        until(lambda: slow.queries)
        crowd = [(inn.connect(), f"q={number % 3}") for number in range(30)]
        for visitor, query in crowd:
            visitor.say(f"GET /?{query} HTTP/1.1\r\nHost: here\r\n\r\n".encode())

        scrape = ask(inn, "/metrics")

        slow.go_on.set()
        bodies = [first.answer().body] + [one.answer().body for one, _ in crowd]

    assert scrape.status == 200
    assert bodies[0] == b"q=first/"
    for (_, query), body in zip(crowd, bodies[1:], strict=True):
        assert body == f"{query}/".encode()
    assert len(slow.queries) == 4
    assert slow.looks == 2


def test_a_hostile_prefix_is_escaped() -> None:
    """A prefix stays inside its attribute."""
    prefix = "/\"><script>alert('1')</script>&"
    with serving(link_prefix=prefix) as inn:
        text = ask(inn, "/").body.decode()

    assert "alert('1')" not in text
    assert 'href="/&#34;&gt;&lt;script&gt;' in text


@pytest.mark.parametrize(
    "path",
    ["/nowhere", "/metrics/", "//metrics", "/METRICS", "/-/", "/../metrics", "/%00"],
)
def test_what_is_not_there_is_404(path: str) -> None:
    """A path that is not exactly one of ours; the answer says where metrics are."""
    answer = fetch(path)

    assert answer.status == 404
    assert b"/metrics" in answer.body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "get", "X"])
@pytest.mark.parametrize("path", ["/metrics", "/", "/-/healthy", "/config"])
def test_other_methods_are_405(path: str, method: str) -> None:
    """Every page is only read; methods are told apart by case, as HTTP does."""
    answer = fetch(path, method=method)

    assert answer.status == 405
    assert answer.headers["allow"] == "GET, HEAD"


def test_a_post_with_a_body_keeps_the_connection() -> None:
    """A refused body is read away: the next request is understood."""
    with serving() as inn:
        visitor = inn.connect()
        visitor.say(
            b"POST /metrics HTTP/1.1\r\nHost: here\r\nContent-Length: 5\r\n\r\nGET /"
            b"GET /-/healthy HTTP/1.1\r\nHost: here\r\n\r\n"
        )

        assert visitor.answer().status == 405
        assert visitor.answer().status == 200


@pytest.mark.parametrize(
    "path",
    ["/metrics?", "/metrics?name[]=up&x=/-/ready", "/%6Detrics", "http://else/metrics"],
)
def test_paths_are_compared_as_urls_are(path: str) -> None:
    """Queries are ignored, escapes that need not be are read, a full URL is a path."""
    answer = fetch(path)

    assert answer.status == 200
    assert answer.headers["content-type"] == TEXT


def test_a_prefix_stands_before_every_path() -> None:
    """With a route prefix all paths move, and the bare ones are gone."""
    with serving(prefix="/braze") as inn:
        statuses = {
            path: ask(inn, path).status
            for path in ("/braze/", "/braze/metrics", "/braze/-/healthy", "/metrics")
        }
        page = ask(inn, "/braze/").body

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
def test_a_missing_slash_is_redirected(
    path: str, link_prefix: str, location: str
) -> None:
    """/ leads to the prefix, and the prefix to itself as a browser sees it."""
    with serving(prefix="/braze", link_prefix=link_prefix) as inn:
        answer = ask(inn, path)
        posted = ask(inn, path, method="POST")

    assert (answer.status, answer.headers["location"]) == (302, location)
    assert posted.status == 405


def test_links_go_where_the_browser_is() -> None:
    """Behind a proxy that takes a path away, links have it and routes do not."""
    with serving(link_prefix="/monitoring") as inn:
        page = ask(inn, "/").body
        scrape = ask(inn, "/metrics")
        lost = ask(inn, "/monitoring/metrics")

    assert b'href="/monitoring/metrics"' in page
    assert (scrape.status, lost.status) == (200, 404)


def test_the_metrics_path_can_be_another() -> None:
    """With another telemetry path /metrics is free."""
    with serving(telemetry_path=canonical("/métriques")) as inn:
        found = ask(inn, "/m%c3%a9triques")
        lost = ask(inn, "/metrics")

    assert (found.status, lost.status) == (200, 404)
    assert lost.body == b"Not found. The metrics are at /m%C3%A9triques.\n"


def test_no_page_shows_the_key_or_a_password() -> None:
    """The configuration is shown with every default, and nothing secret anywhere."""
    with Simulator() as braze:
        document = configuration(braze, proxy="http://me:hunter2@127.0.0.1:9")
        running = DaemonThread(
            parsed(document, key=braze.api_key), read_key=lambda _: braze.api_key
        )
        with running as daemon:
            pages = {
                path: get(f"{daemon.url}{path}")
                for path in (
                    "/",
                    "/api/v1/status",
                    "/metrics",
                    "/config",
                    "/-/healthy",
                    "/nowhere",
                )
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


@pytest.mark.parametrize("path", ["/", "/api/v1/status", "/metrics", "/config"])
def test_whoever_shows_figures_stands_behind_the_password(path: str) -> None:
    """Only health may be asked for without one."""
    site = Site(
        pages=pages(), is_ready=lambda: True, configuration=str, status=status()
    )

    assert not Web(site).is_open(HttpRequest("GET", path, "", {}, ""))
    assert Web(site).is_open(HttpRequest("GET", "/-/healthy", "", {}, ""))
