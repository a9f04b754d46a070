"""How the process ends: soon, with code 0, in any state; and what it logs."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from exporter.simulator import Delivery, Fault, Simulator

from tests.support.daemon_process import Process, configuration, get, until, written

SECONDS = 5.0
SIGNALS = [signal.SIGTERM, signal.SIGINT]


@contextmanager
def daemon(
    tmp_path: Path, braze: Simulator, *flags: str, **changes: object
) -> Iterator[Process]:
    """Run the daemon as a process."""
    file = written(tmp_path / "config.yaml", configuration(braze, **changes))
    environment = {"BRAZE_API_KEY": braze.api_key}
    where = "--web.listen-address=127.0.0.1:0"
    with Process(
        "--config.file", file, where, *flags, environment=environment
    ) as process:
        yield process


def end(process: Process, number: int) -> tuple[int, float]:
    """Return the exit code and how long the end took."""
    began_at = time.monotonic()
    code = process.end(number, seconds=2 * SECONDS)
    return code, time.monotonic() - began_at


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_an_idle_daemon_at_once(tmp_path: Path, number: int) -> None:
    """SIGTERM and SIGINT end it with 0, logged, and nothing listens any more."""
    with Simulator() as braze, daemon(tmp_path, braze, interval="1h") as process:
        url = process.url
        assert braze.wait_for_requests(len(braze.campaigns), timeout_seconds=20)

        code, seconds = end(process, number)

    assert code == 0
    assert seconds < 2
    assert "event=exporter.stopping" in process.lines[-1]
    with pytest.raises(ConnectionRefusedError):
        _connect(url)


def _connect(url: str) -> socket.socket:
    host, _, port = url.removeprefix("http://").rpartition(":")
    return socket.create_connection((host, int(port)))


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_breaks_hanging_polls_off(tmp_path: Path, number: int) -> None:
    """Requests that Braze leaves hanging do not delay the end."""
    with Simulator() as braze:
        braze.set_fault(Fault(delivery=Delivery.HANG))
        with daemon(tmp_path, braze, timeout="30s") as process:
            until(lambda: braze.in_flight() == 4)

            code, seconds = end(process, number)

        until(lambda: braze.in_flight() == 0)
    assert code == 0
    assert seconds < SECONDS


@pytest.mark.parametrize("delay_seconds", [0.0, 0.05, 0.1, 0.15, 0.2, 0.3])
def test_a_signal_during_the_start_ends_it(
    tmp_path: Path, delay_seconds: float
) -> None:
    """From its first line of code on it ends with 0; before, as Python does."""
    with Simulator() as braze, daemon(tmp_path, braze) as process:
        _wait_for_our_code(process.pid)
        time.sleep(delay_seconds)

        code, seconds = end(process, signal.SIGTERM)

    assert code == 0
    assert seconds < SECONDS
    assert not any("Traceback" in line for line in process.lines)


def _wait_for_our_code(pid: int) -> None:
    """Wait until the process catches SIGTERM, according to /proc."""

    def is_caught() -> bool:
        status = Path(f"/proc/{pid}/status").read_text()
        caught = int(status.partition("SigCgt:")[2].split()[0], 16)
        return bool(caught >> signal.SIGTERM - 1 & 1)

    until(is_caught)


def test_silent_and_slow_clients_do_not_delay_the_end(tmp_path: Path) -> None:
    """Connections without a request, or with an unread response, are closed."""
    with Simulator() as braze, daemon(tmp_path, braze) as process:
        url = process.url
        until(lambda: b"braze_campaign_daily{" in get(f"{url}/metrics")[2])
        silent, half, slow = (_connect(url) for _ in range(3))
        half.sendall(b"GET /metrics HTTP/1.1\r\n")
        slow.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 200)

        code, seconds = end(process, signal.SIGTERM)

        for client in (silent, half, slow):
            client.close()
    assert code == 0
    assert seconds < SECONDS


@pytest.mark.parametrize("number", [*SIGNALS, signal.SIGHUP])
def test_more_signals_change_nothing(tmp_path: Path, number: int) -> None:
    """A second and a third signal do not change the orderly end."""
    with Simulator() as braze:
        braze.set_fault(Fault(delivery=Delivery.HANG))
        with daemon(tmp_path, braze) as process:
            until(lambda: braze.in_flight() > 0)

            os.kill(process.pid, signal.SIGTERM)
            for _ in range(200):
                if not _kill(process, number):
                    break
                time.sleep(0.001)
            code = process.wait(SECONDS)

    assert code == 0
    assert not any("Traceback" in line for line in process.lines)


def _kill(process: Process, number: int) -> bool:
    if process.has_ended:
        return False
    os.kill(process.pid, number)
    return True


@pytest.mark.parametrize("number", SIGNALS)
def test_the_demo_ends_as_well(number: int) -> None:
    """It ends with 0 and its simulated Braze with it."""
    with Process("demo", "--web.listen-address=127.0.0.1:0") as process:
        braze = process.wait_for_line(r"a simulated Braze at (http://\S+),")[1]

        code, seconds = end(process, number)

    assert code == 0
    assert seconds < SECONDS
    with pytest.raises(ConnectionRefusedError):
        _connect(braze)


def test_the_end_of_the_first_round_is_logged(tmp_path: Path) -> None:
    """One line, with the outcome."""
    with Simulator() as braze:
        braze.set_fault(Fault(status=400), campaign_id=braze.campaigns[0].id)
        file = written(tmp_path / "config.yaml", configuration(braze))
        with Process(
            f"--config.file={file}",
            "--web.listen-address=127.0.0.1:0",
            environment={"BRAZE_API_KEY": braze.api_key},
        ) as process:
            process.wait_for_line(r"exporter\.ready campaigns=22 up=21 failing=1$")
            process.end(signal.SIGTERM, seconds=10)

        assert sum("exporter.ready" in line for line in process.lines) == 1


_WARNING = """
import logging
from exporter.daemon.process import start_logging

start_logging(level="debug", format_="logfmt")
for name in ("exporter.x", "urllib3.x", "asyncio", "another"):
    logging.getLogger(name).warning("from %s", name)
logging.getLogger("asyncio").error("broken")
"""


def test_what_clients_and_peers_can_have_libraries_warn_of_is_not_logged() -> None:
    """A page that a client of TLS leaves unread would be a thousand warnings."""
    done = subprocess.run(
        [sys.executable, "-c", _WARNING], capture_output=True, text=True, check=True
    )

    lines = done.stderr.splitlines()
    assert len(lines) == 3
    assert "from exporter.x" in lines[0]
    assert "from another" in lines[1]
    assert "broken" in lines[2]


def test_a_hangup_before_the_daemon_listens_reloads_later(tmp_path: Path) -> None:
    """From the first line of our code on; Python itself starts without a handler."""

    def has_handler() -> bool:
        status = Path(f"/proc/{process.pid}/status").read_text()
        (caught,) = re.findall(r"^SigCgt:\s(\w+)", status, re.MULTILINE)
        return bool(int(caught, 16) & 1 << signal.SIGHUP - 1)

    with Simulator() as braze, daemon(tmp_path, braze, interval="1h") as process:
        until(has_handler)
        process.send(signal.SIGHUP)

        process.wait_for_line("event=config.reloaded")
        assert not process.has_ended
