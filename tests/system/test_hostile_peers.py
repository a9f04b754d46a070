"""Many slow clients, and documents of extreme size: effects on the daemon's process."""

from __future__ import annotations

import json
import socket
import ssl
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from http.client import HTTPSConnection
from pathlib import Path
from threading import Event, Thread
from urllib.parse import urlsplit

import pytest
from benchmarks import documents, exporters
from benchmarks.scraper import Scraper
from exporter.simulator import Delivery, Fault, Simulator, SimulatorSettings

from tests.support.certificates import Certificates
from tests.support.daemon_process import (
    PATIENCE_SECONDS,
    Process,
    exporter,
    until,
    wait_for_requests,
    written,
)
from tests.support.process_figures import forget_peak, look, peak_bytes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="needs /proc"),
]

CLIENTS = 500
SCRAPES = 30
MAX_LATENCY_SECONDS = 1.0
GET = b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n"
# 300 KiB per client: far less than a page for each of them.
CLIENTS_BYTES = CLIENTS * 300 * 1024


@contextmanager
def polled(braze: Simulator, path: Path) -> Iterator[Process]:
    with exporter(braze, path, timeout="60s") as process:
        process.wait_until_up(len(braze.campaigns))
        yield process
        process.stop()


class SlowClients:
    """Clients that all do the same, once a second."""

    def __init__(
        self, port: int, first_bytes: bytes, act: Callable[[socket.socket, int], None]
    ) -> None:
        self._is_ending = Event()
        self._act = act
        self._clients = [self._client(port, first_bytes) for _ in range(CLIENTS)]
        self._thread = Thread(target=self._run, name="slow clients")

    def _client(self, port: int, first_bytes: bytes) -> socket.socket:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(PATIENCE_SECONDS)
        client.connect(("127.0.0.1", port))
        client.sendall(first_bytes)
        client.setblocking(False)
        return client

    def _run(self) -> None:
        second = 0
        while not self._is_ending.wait(1.0):
            for client in self._clients:
                with suppress(OSError):  # it would block, or the daemon closed it
                    self._act(client, second)
            second += 1

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._is_ending.set()
        self._thread.join(PATIENCE_SECONDS)
        for client in self._clients:
            client.close()


def stay_idle(client: socket.socket, second: int) -> None:
    pass


def send_slowly(client: socket.socket, second: int) -> None:
    client.send(b"GET /metrics"[second : second + 1] or b"s")  # a line without end


def read_slowly(client: socket.socket, second: int) -> None:
    del second
    client.recv(1)


def scrape_latencies(process: Process) -> list[float]:
    """Scrape at regular intervals, each time on a new connection."""
    latencies = []
    for _ in range(SCRAPES):
        began_at = time.monotonic()
        assert process.get("/metrics")[0] == 200
        latencies.append(time.monotonic() - began_at)
        time.sleep(0.15)  # the interval between scrapes
    return latencies


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """Yield a daemon with a page of about a megabyte."""
    path = tmp_path_factory.mktemp("clients")
    with (
        Simulator(SimulatorSettings(campaigns=150)) as braze,
        polled(braze, path) as process,
    ):
        yield process


@pytest.mark.parametrize(
    ("first_bytes", "act"),
    [(b"", stay_idle), (b"", send_slowly), (GET, read_slowly)],
    ids=["idle", "sending one byte a second", "reading one byte a second"],
)
def test_slow_clients_delay_no_scrape(
    served: Process,
    first_bytes: bytes,
    act: Callable[[socket.socket, int], None],
    record_property: Callable[[str, object], None],
) -> None:
    """A scrape beside 500 of them is fast; their files and threads are released."""
    usual = scrape_latencies(served)  # starts the threads before the first look
    before = look(served.pid)
    port = int(served.url.rpartition(":")[2])

    with SlowClients(port, first_bytes, act):
        until(lambda: look(served.pid).files >= before.files + CLIENTS)
        latencies = scrape_latencies(served)
        during = look(served.pid)

    until(lambda: look(served.pid).files <= before.files + 2)
    until(lambda: look(served.pid).threads <= before.threads + 2)
    record_property("p50", statistics.median(latencies))
    record_property("max", max(latencies))
    record_property("MiB more", (during.resident_bytes - before.resident_bytes) >> 20)
    assert max(latencies) < MAX_LATENCY_SECONDS + 10 * max(usual)
    assert during.resident_bytes - before.resident_bytes < CLIENTS_BYTES
    assert during.threads <= before.threads + 8


def read_a_megabyte(client: socket.socket, second: int) -> None:
    del second
    client.recv(1 << 20)


@pytest.fixture(scope="module")
def large() -> Iterator[exporters.Exporter]:
    """Yield a daemon with a page of 160,000 series: 26 MiB, and one of them as gzip."""
    with exporters.filled(campaigns=190, shape=documents.USUAL) as filled:
        yield filled


@pytest.mark.parametrize("act", [stay_idle, read_slowly, read_a_megabyte])
def test_clients_of_large_pages_delay_no_scrape(
    large: exporters.Exporter,
    act: Callable[[socket.socket, int], None],
    record_property: Callable[[str, object], None],
) -> None:
    """Scrapes beside 500 clients of a plain page take turns with them."""
    scraper = Scraper(large.url, is_gzip=True, is_openmetrics=False)
    plain = Scraper(large.url, is_gzip=False, is_openmetrics=False)
    usual = [plain.scrape().seconds for _ in range(5)]
    before = large.process.resident_bytes
    port = urlsplit(large.url).port
    assert port is not None

    with SlowClients(port, GET, act):
        latencies = [scraper.scrape().seconds for _ in range(SCRAPES)]
        plain_latencies = [plain.scrape().seconds for _ in range(SCRAPES)]
        during = large.process.resident_bytes

    record_property("p50", statistics.median(latencies))
    record_property("max", max(latencies))
    record_property("plain p50", statistics.median(plain_latencies))
    record_property("plain max", max(plain_latencies))
    record_property("MiB more", (during - before) >> 20)
    assert statistics.median(latencies) < MAX_LATENCY_SECONDS + 10 * max(usual)
    assert statistics.median(plain_latencies) < MAX_LATENCY_SECONDS + 10 * max(usual)
    assert during - before < 64 << 20


def send_nothing(_: bytes) -> bytes:
    return b""


def send_half(hello: bytes) -> bytes:
    return hello[: len(hello) // 2]


def send_all(hello: bytes) -> bytes:
    return hello


@pytest.mark.parametrize("has_client_certificates", [False, True])
@pytest.mark.parametrize("part", [send_nothing, send_half, send_all])
def test_unfinished_tls_handshakes_use_little_memory(
    tmp_path: Path,
    part: Callable[[bytes], bytes],
    record_property: Callable[[str, object], None],
    *,
    has_client_certificates: bool,
) -> None:
    """Each of 1,000 used 290 KiB, which stayed; a scrape beside them succeeds."""
    certificates = Certificates(tmp_path)
    tls = {"cert_file": "cert.pem", "key_file": "key.pem"}
    names = ["client"] if has_client_certificates else []
    if has_client_certificates:
        tls["client_auth_type"] = "RequireAndVerifyClientCert"
        tls["client_ca_file"] = "ca.pem"
    file = written(tmp_path / "web.yml", {"tls_server_config": tls})
    context = certificates.client_context(*names)
    with (
        Simulator(SimulatorSettings(campaigns=3)) as braze,
        exporter(braze, tmp_path, f"--web.config.file={file}") as process,
    ):
        port = int(process.url.rpartition(":")[2])

        def scrape() -> int:
            client = HTTPSConnection(
                "127.0.0.1", port, timeout=PATIENCE_SECONDS, context=context
            )
            with closing(client):
                client.request("GET", "/metrics")
                return client.getresponse().status

        assert scrape() == 200
        before = look(process.pid).resident_bytes
        with ExitStack() as stack:
            for _ in range(1000):
                client = stack.enter_context(socket.create_connection(address(port)))
                with suppress(OSError):  # it was closed meanwhile
                    client.sendall(part(client_hello(context)))
            statuses = [scrape() for _ in range(5)]
            during = look(process.pid).resident_bytes
        process.stop()

    record_property("MiB more", (during - before) >> 20)
    assert statuses == [200] * 5
    assert during - before < 64 << 20


def address(port: int) -> tuple[str, int]:
    return ("127.0.0.1", port)


def client_hello(context: ssl.SSLContext) -> bytes:
    """Return the first bytes of a handshake."""
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="127.0.0.1")
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def wide_document() -> bytes:
    """Return a document of four MB: many channels with one number each."""
    channels = {f"c{number}": [{"s": 1}] for number in range(190_000)}
    row = {"time": time.strftime("%Y-%m-%d", time.gmtime()), "messages": channels}
    body = json.dumps({"data": [row]}, separators=(",", ":")).encode()
    assert len(body) < 4 * 1024 * 1024
    return body


@pytest.mark.parametrize(
    ("fault", "failing", "reason", "most_mib"),
    [
        # A gigabyte of spaces in a megabyte of gzip.
        (Fault(delivery=Delivery.GZIP_BOMB, bomb_bytes=1 << 30), 1, "too_large", 30),
        # One document as objects; parsing six of them at once took 1.6 GiB.
        (Fault(body=wide_document()), 6, "malformed", 200),
    ],
    ids=["decompression bomb", "wide documents"],
)
def test_large_documents_use_little_memory(
    tmp_path: Path,
    fault: Fault,
    failing: int,
    reason: str,
    most_mib: int,
    record_property: Callable[[str, object], None],
) -> None:
    """Reading stops at the limit, and one document is parsed at a time."""
    with (
        Simulator(SimulatorSettings(campaigns=failing + 3)) as braze,
        polled(braze, tmp_path) as process,
    ):
        before = look(process.pid).resident_bytes
        forget_peak(process.pid)
        count = len(braze.requests)

        for one in braze.campaigns[:failing]:
            braze.set_fault(fault, campaign_id=one.id)
        scrape = process.wait_for_samples("braze_campaign_failure_info", failing)
        wait_for_requests(braze, count + 2 * len(braze.campaigns))

        growth = (peak_bytes(process.pid) - before) / (1 << 20)

    failures = scrape["braze_campaign_failure_info"]
    record_property("MiB more", growth)
    assert {dict(labels)["reason"] for labels in failures} == {reason}
    assert growth <= most_mib
