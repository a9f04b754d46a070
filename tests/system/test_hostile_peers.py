"""Many slow clients, and documents of extreme size: effects on the daemon's process."""

from __future__ import annotations

import json
import signal
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
from exporter.simulator import Delivery, Fault, Simulator, SimulatorSettings

from tests.support.daemon_process import (
    PATIENCE_SECONDS,
    Labels,
    Process,
    Running,
    configuration,
    until,
    written,
)
from tests.support.process_figures import forget_peak, look, peak_bytes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

CLIENTS = 500
SCRAPES = 30
SCRAPE_INTERVAL_SECONDS = 0.15
MAX_LATENCY_SECONDS = 1.0
GET = b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n"
# 300 KiB per client: far less than a page for each of them.
CLIENTS_BYTES = CLIENTS * 300 * 1024
BOMB_BYTES = 30 * 1024 * 1024
# One such document as objects; parsing six of them at once took 1.6 GiB.
WIDE_BYTES = 200 * 1024 * 1024


@contextmanager
def serving(braze: Simulator, path: Path) -> Iterator[tuple[Process, Running]]:
    """Run the daemon as a process until all campaigns are up."""
    file = written(path / "config.yaml", configuration(braze))
    with Process(
        f"--config.file={file}",
        "--web.listen-address=127.0.0.1:0",
        environment={"BRAZE_API_KEY": braze.api_key},
    ) as process:
        running = Running(process.url)
        count = len(braze.campaigns)
        until(lambda: sum(running.scrape()["braze_campaign_up"].values()) == count)
        yield process, running
        assert process.end(signal.SIGTERM, seconds=PATIENCE_SECONDS) == 0


class SlowClients:
    """Clients that all do the same, once a second."""

    def __init__(
        self,
        port: int,
        *,
        first_bytes: bytes,
        act: Callable[[socket.socket, int], None],
    ) -> None:
        self._gone = Event()
        self._act = act
        self.clients = [self._client(port, first_bytes) for _ in range(CLIENTS)]
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
        while not self._gone.wait(1.0):
            for client in self.clients:
                try:
                    self._act(client, second)
                except BlockingIOError:
                    continue
                except OSError:
                    continue  # the daemon closed it
            second += 1

    def __enter__(self) -> SlowClients:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._gone.set()
        self._thread.join(PATIENCE_SECONDS)
        for client in self.clients:
            client.close()


def stay_idle(client: socket.socket, second: int) -> None:
    """Do nothing."""


def send_slowly(client: socket.socket, second: int) -> None:
    """Send one byte of a request line that never ends."""
    client.send(b"GET /metrics"[second : second + 1] or b"s")


def read_slowly(client: socket.socket, second: int) -> None:
    """Read one byte of the response."""
    del second
    client.recv(1)


BEHAVIOURS: dict[str, tuple[bytes, Callable[[socket.socket, int], None]]] = {
    "idle": (b"", stay_idle),
    "sending one byte a second": (b"", send_slowly),
    "reading one byte a second": (GET, read_slowly),
}


def scrape_latencies(running: Running) -> list[float]:
    """Scrape at regular intervals, each time on a new connection."""
    latencies = []
    for _ in range(SCRAPES):
        began_at = time.monotonic()
        assert running.get("/metrics")[0] == 200
        latencies.append(time.monotonic() - began_at)
        time.sleep(SCRAPE_INTERVAL_SECONDS)  # the interval between scrapes
    return latencies


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Process, Running]]:
    """Yield a daemon with a page of about a megabyte."""
    path = tmp_path_factory.mktemp("clients")
    with ExitStack() as stack:
        braze = stack.enter_context(Simulator(SimulatorSettings(campaigns=150)))
        yield stack.enter_context(serving(braze, path))


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_slow_clients_delay_no_scrape(
    served: tuple[Process, Running],
    behaviour: str,
    record_property: Callable[[str, object], None],
) -> None:
    """A scrape beside 500 of them is fast; their files and threads are released."""
    process, running = served
    first_bytes, act = BEHAVIOURS[behaviour]
    usual = scrape_latencies(running)  # its threads are started before `look`, too
    before = look(process.pid)
    port = int(running.url.rpartition(":")[2])

    with SlowClients(port, first_bytes=first_bytes, act=act):
        until(lambda: look(process.pid).files >= before.files + CLIENTS)
        latencies = scrape_latencies(running)
        during = look(process.pid)

    until(lambda: look(process.pid).files <= before.files + 2)
    record_property("p50", statistics.median(latencies))
    record_property("max", max(latencies))
    record_property("MiB more", (during.resident_bytes - before.resident_bytes) >> 20)
    assert max(latencies) < MAX_LATENCY_SECONDS + 10 * max(usual)
    assert during.resident_bytes - before.resident_bytes < CLIENTS_BYTES
    assert during.threads <= before.threads + 8
    assert look(process.pid).threads <= before.threads + 2


def test_a_decompression_bomb_uses_little_memory(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """A gigabyte of spaces in a megabyte of gzip: reading stops at the limit."""
    with Simulator(SimulatorSettings(campaigns=2)) as braze:
        failing = braze.campaigns[0]
        with serving(braze, tmp_path) as (process, running):
            before = look(process.pid).resident_bytes
            forget_peak(process.pid)

            bomb = Fault(delivery=Delivery.GZIP_BOMB, bomb_bytes=1 << 30)
            braze.set_fault(bomb, campaign_id=failing.id)
            running.wait_for("braze_campaign_failure_info", 1, reason="too_large")
            count = len(braze.requests)
            assert braze.wait_for_requests(count + 6, timeout_seconds=PATIENCE_SECONDS)

            peak = peak_bytes(process.pid)

    record_property("MiB more", (peak - before) / (1 << 20))
    assert peak - before <= BOMB_BYTES


def test_wide_documents_are_parsed_one_at_a_time(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Six campaigns receive four MB of channels with one number each."""
    channels = {f"c{number}": [{"s": 1}] for number in range(190_000)}
    row = {"time": time.strftime("%Y-%m-%d", time.gmtime()), "messages": channels}
    body = json.dumps({"data": [row]}, separators=(",", ":")).encode()
    assert len(body) < 4 * 1024 * 1024
    with Simulator(SimulatorSettings(campaigns=9)) as braze:
        failing = braze.campaigns[3:]
        with serving(braze, tmp_path) as (process, running):
            before = look(process.pid).resident_bytes
            forget_peak(process.pid)

            for one in failing:
                braze.set_fault(Fault(body=body), campaign_id=one.id)
            until(lambda: len(running.scrape()["braze_campaign_failure_info"]) == 6)

            peak = peak_bytes(process.pid)
            reasons = {dict(labels)["reason"] for labels in failures(running)}

    record_property("MiB more", (peak - before) / (1 << 20))
    assert reasons == {"malformed"}
    assert peak - before <= WIDE_BYTES


def failures(running: Running) -> set[Labels]:
    """Return the labels of all current failures."""
    return set(running.scrape()["braze_campaign_failure_info"])
