"""How the process ends: soon, with code 0, in any state; and what it logs."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from exporter.simulator import Delivery, Fault, Simulator

from tests.support.daemon_process import (
    FREE_PORT,
    Process,
    Running,
    clean_environment,
    configuration,
    exporter,
    until,
    wait_for_requests,
    written,
)

SECONDS = 60.0
"""How long an end may take on a slow machine: far less than the waits it interrupts."""
SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


def connect(url: str) -> socket.socket:
    host, _, port = url.removeprefix("http://").rpartition(":")
    return socket.create_connection((host, int(port)))


@SIGNALS
def test_a_signal_ends_an_idle_daemon(tmp_path: Path, number: int) -> None:
    with Simulator() as braze, exporter(braze, tmp_path, interval="1h") as process:
        url = process.url
        wait_for_requests(braze, len(braze.campaigns))

        assert process.end(number, seconds=SECONDS) == 0

    assert "event=exporter.stopping" in process.lines[-1]
    with pytest.raises(ConnectionRefusedError):
        connect(url)


@SIGNALS
def test_a_signal_aborts_hanging_polls(tmp_path: Path, number: int) -> None:
    with Simulator() as braze:
        braze.set_fault(Fault(delivery=Delivery.HANG))
        with exporter(braze, tmp_path, timeout="10m") as process:
            until(lambda: braze.in_flight() == 4)

            assert process.end(number, seconds=SECONDS) == 0

        until(lambda: braze.in_flight() == 0)


def test_a_signal_ends_a_daemon_whose_log_nothing_reads(tmp_path: Path) -> None:
    """Python flushes standard error at exit, unless it has no buffer."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    with Simulator() as braze, closing_all(reader, writer):
        file = written(tmp_path / "config.yaml", configuration(braze))
        process = subprocess.Popen(
            [sys.executable, "-m", "exporter", f"--config.file={file}", FREE_PORT],
            stderr=writer,
            env={
                **clean_environment(),
                "BRAZE_API_KEY": braze.api_key,
                "PYTHONUNBUFFERED": "",
            },
        )
        try:
            wait_for_requests(braze, len(braze.campaigns))
            process.terminate()

            assert process.wait(SECONDS) == 0
        finally:
            process.kill()


@contextmanager
def closing_all(*descriptors: int) -> Iterator[None]:
    try:
        yield
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


@pytest.mark.parametrize("delay_seconds", [0.0, 0.1, 0.2, 0.3])
def test_a_signal_during_the_start_ends_it(
    tmp_path: Path, delay_seconds: float
) -> None:
    """From its first line of code on it ends with 0; before, as Python does."""
    with Simulator() as braze, exporter(braze, tmp_path) as process:
        until(lambda: catches(process.pid, signal.SIGTERM))
        time.sleep(delay_seconds)  # anywhere in the start

        assert process.end(signal.SIGTERM, seconds=SECONDS) == 0

    assert not process.log("Traceback")


def catches(pid: int, number: int) -> bool:
    """Return whether a process handles a signal, according to /proc."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> number - 1 & 1)


def test_silent_and_slow_clients_do_not_delay_the_end(tmp_path: Path) -> None:
    """Connections without a request, or with an unread response, are closed."""
    with Simulator() as braze, exporter(braze, tmp_path) as process:
        url = process.url
        process.scrape_until(lambda scrape: "braze_campaign_daily" in scrape)
        silent, half, slow = (connect(url) for _ in range(3))
        with silent, half, slow:
            half.sendall(b"GET /metrics HTTP/1.1\r\n")
            slow.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 200)

            assert process.end(signal.SIGTERM, seconds=SECONDS) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_more_signals_change_nothing(tmp_path: Path, number: int) -> None:
    with Simulator() as braze:
        braze.set_fault(Fault(delivery=Delivery.HANG))
        with exporter(braze, tmp_path) as process:
            until(braze.in_flight)

            process.send(signal.SIGTERM)
            for _ in range(200):
                process.send(number)
                time.sleep(0.001)  # spread over the end
            assert process.wait(SECONDS) == 0

    assert not process.log("Traceback")


@SIGNALS
def test_a_signal_ends_the_demo_and_its_simulated_braze(number: int) -> None:
    with Process("demo", FREE_PORT) as process:
        braze = process.wait_for_line(r"a simulated Braze at (http://\S+),")[1]

        assert process.end(number, seconds=SECONDS) == 0

    with pytest.raises(ConnectionRefusedError):
        connect(braze)


def test_the_end_of_the_first_round_is_logged_once(tmp_path: Path) -> None:
    with Simulator() as braze:
        braze.set_fault(Fault(status=400), campaign_id=braze.campaigns[0].id)
        with exporter(braze, tmp_path) as process:
            process.wait_for_line(
                r"exporter\.ready campaigns=22 canvases=0 series=0 up=21 failing=1$"
            )
            process.stop()

    assert len(process.log("exporter.ready")) == 1


def test_campaigns_of_a_paused_workspace_are_logged_as_failing(tmp_path: Path) -> None:
    """Braze rejects the key of one request; `braze_campaign_up` is 0 for all."""
    with Simulator() as braze:
        braze.set_fault(Fault(status=401))
        with exporter(braze, tmp_path) as process:
            process.wait_for_line(
                r"exporter\.ready campaigns=22 canvases=0 series=0 up=0 failing=22$"
            )


def test_a_log_that_nothing_reads_stops_nothing(tmp_path: Path) -> None:
    """The pipe of standard error is full: polls continue, SIGTERM ends the process."""
    with Simulator() as braze:
        file = written(tmp_path / "config.yaml", configuration(braze, interval="1s"))
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "exporter", f"--config.file={file}"),
                *(FREE_PORT, "--log.level=debug"),
            ],
            stderr=subprocess.PIPE,
            env=clean_environment() | {"BRAZE_API_KEY": braze.api_key},
        )
        with process:
            assert process.stderr is not None
            fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, 4096)
            line = ""
            while "web.listening" not in line:
                line = process.stderr.readline().decode()
            found = re.search(r"address=(\S+)", line)
            assert found is not None
            running = Running(f"http://{found[1]}")
            wait_for_requests(braze, 200)
            running.wait_until_up(22)
            assert running.get("/-/ready")[0] == 200

            process.send_signal(signal.SIGTERM)
            assert process.wait(SECONDS) == 0


WARNINGS = """
import logging
from exporter.daemon.process import start_logging

start_logging(level="debug", format_="logfmt")
for name in ("exporter.x", "urllib3.x", "asyncio", "another"):
    logging.getLogger(name).warning("from %s", name)
logging.getLogger("asyncio").error("broken")
"""


def test_warnings_of_libraries_about_peers_are_not_logged() -> None:
    """A TLS client that leaves a page unread would cause a thousand of them."""
    done = subprocess.run(
        [sys.executable, "-c", WARNINGS], capture_output=True, text=True, check=True
    )

    lines = done.stderr.splitlines()
    assert len(lines) == 3
    assert "from exporter.x" in lines[0]
    assert "from another" in lines[1]
    assert "broken" in lines[2]


def test_a_hangup_before_the_daemon_listens_reloads_later(tmp_path: Path) -> None:
    """From the first line of our code on; Python itself starts without a handler."""
    with Simulator() as braze, exporter(braze, tmp_path, interval="1h") as process:
        until(lambda: catches(process.pid, signal.SIGHUP))
        process.send(signal.SIGHUP)

        process.wait_for_line("event=config.reloaded")
        assert not process.has_ended
