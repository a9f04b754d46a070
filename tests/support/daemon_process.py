"""The real daemon beside a simulated Braze, in this process or in a separate one."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from email.message import Message
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from exporter.braze.proxies import ProxySettings
from exporter.config import schema
from exporter.daemon.daemon import Daemon
from exporter.model.config import Config, KeySource
from exporter.simulator import Campaign, Canvas, Simulator
from exporter.web.server import Address
from exporter.web.settings import WebSettings
from prometheus_client.parser import text_string_to_metric_families

from tests.paths import ROOT

PATIENCE_SECONDS = 300.0
"""How long a test waits for an event: far longer than it ever takes."""
FREE_PORT = "--web.listen-address=127.0.0.1:0"

T = TypeVar("T")
Labels = frozenset[tuple[str, str]]
Scrape = Mapping[str, Mapping[Labels, float]]


def until(
    probe: Callable[[], T | None], *, seconds: float = PATIENCE_SECONDS, what: str = ""
) -> T:
    """Return the probe's first true result; AssertionError after the timeout."""
    deadline = time.monotonic() + seconds
    while not (result := probe()):
        assert time.monotonic() < deadline, f"timeout while waiting for {what or probe}"
        time.sleep(0.02)
    return result


def get(
    url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None
) -> tuple[int, Message, bytes]:
    """Return status, headers and body of one request, of any status."""
    request = urllib.request.Request(url, method=method, headers=dict(headers or {}))  # noqa: S310 - our own URL
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:  # noqa: S310 - our own URL
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def parse(text: str) -> Scrape:
    """Return samples by name and labels, none for an absent name; no duplicates."""
    samples: dict[str, dict[Labels, float]] = defaultdict(dict)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            by_labels = samples[sample.name]
            labels = frozenset(sample.labels.items())
            assert labels not in by_labels, f"{sample.name} {sample.labels} twice"
            by_labels[labels] = sample.value
    return samples


class Running:
    """A daemon that serves at `url`."""

    def __init__(self, url: str) -> None:
        self._url = url

    @property
    def url(self) -> str:
        return self._url

    def get(self, path: str, *, method: str = "GET") -> tuple[int, str]:
        """Return status and text of a path."""
        status, _, body = get(f"{self.url}{path}", method=method)
        return status, body.decode()

    def scrape(self) -> Scrape:
        status, text = self.get("/metrics")
        assert status == 200
        return parse(text)

    def value(self, name: str, **labels: str) -> float | None:
        """Return the one sample with at least these labels, or None."""
        wanted = set(labels.items())
        found = [
            value
            for given, value in self.scrape().get(name, {}).items()
            if wanted <= given
        ]
        assert len(found) <= 1, f"{name} {labels}: {len(found)} samples"
        return found[0] if found else None

    def wait_for(self, name: str, expected: float, **labels: str) -> None:
        """Wait until a sample has a value."""
        until(
            lambda: self.value(name, **labels) == expected,
            what=f"{name} {labels} = {expected}",
        )

    def scrape_until(
        self, is_met: Callable[[Scrape], bool], *, what: str = ""
    ) -> Scrape:
        """Scrape until a condition is met; return that scrape."""
        return until(
            lambda: scrape if is_met(scrape := self.scrape()) else None, what=what
        )

    def wait_for_samples(self, name: str, count: int) -> Scrape:
        """Wait until a family has so many samples."""
        return self.scrape_until(
            lambda scrape: len(scrape[name]) == count, what=f"{count} of {name}"
        )

    def wait_until_up(self, count: int) -> Scrape:
        """Wait until so many campaigns are up."""
        return self.scrape_until(
            lambda scrape: sum(scrape["braze_campaign_up"].values()) == count,
            what=f"{count} campaigns that are up",
        )

    def is_ready(self) -> bool:
        return self.get("/-/ready")[0] == 200


def listed(
    objects: Iterable[Campaign | Canvas], **changes: object
) -> list[dict[str, Any]]:
    """Return campaigns or canvases as a configuration lists them."""
    return [{"id": one.id, "name": one.name, **changes} for one in objects]


def workspace(braze: Simulator, **changes: object) -> dict[str, Any]:
    """Return a workspace that polls the simulator's campaigns every second."""
    return {
        "name": "production",
        "endpoint": braze.url,
        "api_key_env": "BRAZE_API_KEY",
        "interval": "1s",
        "idle_interval": "1s",  # some simulated campaigns are idle
        "requests_per_minute": 6000,
        "timeout": "2s",
        "campaigns": listed(braze.campaigns),
        **changes,
    }


def configuration(braze: Simulator, **changes: object) -> dict[str, object]:
    """Return a configuration of one workspace."""
    return {"workspaces": [workspace(braze, **changes)]}


def wait_for_requests(braze: Simulator, count: int) -> None:
    """Wait until the simulator has received so many requests."""
    assert braze.wait_for_requests(count, timeout_seconds=PATIENCE_SECONDS)


def wait_for_a_round(braze: Simulator, campaign_ids: set[str]) -> None:
    """Wait until each of these campaigns, and no other, is requested once more."""
    start = len(braze.requests)
    until(lambda: {one.campaign_id for one in braze.requests[start:]} == campaign_ids)


def parsed(document: Mapping[str, object], *, key: str) -> Config:
    """Return the configuration a document (JSON is YAML) describes."""
    return schema.parse(
        json.dumps(document, ensure_ascii=False),
        file="test.yaml",
        read_key=lambda _: key,
        is_file=lambda _: False,
    ).config


class DaemonThread:
    """The daemon in a thread of this process, on a free port of loopback."""

    def __init__(
        self,
        configuration: Config,
        *,
        read_key: Callable[[KeySource], str | None],
        prefix: str = "",
        state_path: str | None = None,
    ) -> None:
        self._daemon = Daemon(
            configuration,
            WebSettings(
                addresses=(Address("127.0.0.1", 0),),
                telemetry_path="/metrics",
                prefix=prefix,
                link_prefix=prefix,
            ),
            read_key=read_key,
            proxies=ProxySettings(),
            state_path=state_path,
        )
        self._bound: tuple[Address, ...] = ()
        self._is_listening = threading.Event()
        self._thread = threading.Thread(target=self._run, name="daemon")

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        await self._daemon.run(self._stop, on_listening=self._note)

    def _note(self, bound: tuple[Address, ...]) -> None:
        self._bound = bound
        self._is_listening.set()

    def __enter__(self) -> Running:
        self._thread.start()
        assert self._is_listening.wait(PATIENCE_SECONDS)
        return Running(f"http://{self._bound[0]}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive()


def daemon(
    braze: Simulator,
    *,
    key: str | None = None,
    state_path: str | None = None,
    **changes: object,
) -> DaemonThread:
    """Return a daemon that polls the simulator."""
    used = braze.api_key if key is None else key
    document = configuration(braze, **changes)
    return DaemonThread(
        parsed(document, key=used), read_key=lambda _: used, state_path=state_path
    )


class Process(Running):
    """`braze-exporter` as a process; its log is read while it is written."""

    def __init__(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] = ("-m", "exporter"),
    ) -> None:
        """`command` are the arguments of Python that start the exporter."""
        self.lines: list[str] = []
        self._is_written = threading.Condition()
        self._process = subprocess.Popen(
            [sys.executable, *command, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**clean_environment(), **(environment or {})},
        )
        self._reader = threading.Thread(target=self._read, name="log reader")
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._is_written:
                self.lines.append(line.rstrip("\n"))
                self._is_written.notify_all()

    def wait_for_line(self, pattern: str) -> re.Match[str]:
        """Wait until a line of the log matches."""
        found: list[re.Match[str]] = []

        def search() -> bool:
            found[:] = filter(None, (re.search(pattern, line) for line in self.lines))
            return bool(found) or self._process.poll() is not None

        with self._is_written:
            self._is_written.wait_for(search, PATIENCE_SECONDS)
        assert found, f"no line like {pattern} in {self.lines}"
        return found[0]

    @property
    def url(self) -> str:
        address = r'event"?[=:] ?"?web\.listening"?,? "?address"?[=:] ?"?([^"\s]+)'
        return f"http://{self.wait_for_line(address)[1]}"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def log(self, pattern: str = "") -> list[str]:
        """Return the lines of the log that match."""
        return [line for line in self.lines if re.search(pattern, line)]

    def send(self, signal_number: int) -> None:
        self._process.send_signal(signal_number)

    def end(self, signal_number: int, *, seconds: float = PATIENCE_SECONDS) -> int:
        self.send(signal_number)
        return self.wait(seconds)

    def stop(self) -> None:
        """End the process with SIGTERM; its exit code must be 0."""
        code = self.end(signal.SIGTERM)
        assert code == 0, f"exit code {code} after {self.lines[-20:]}"

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        code = self._process.wait(seconds)
        self._reader.join(PATIENCE_SECONDS)
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self.has_ended:
            self._process.kill()
        self.wait()
        if self._process.stdout:
            self._process.stdout.close()


def exporter(
    braze: Simulator,
    directory: Path,
    *flags: str,
    document: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
    **changes: object,
) -> Process:
    """Start the daemon as a process that polls the simulator.

    Its configuration is `config.yaml` in the directory.
    """
    file = directory / "config.yaml"
    written(file, document or configuration(braze, **changes))
    return Process(
        f"--config.file={file}",
        FREE_PORT,
        *flags,
        environment={"BRAZE_API_KEY": braze.api_key, **(environment or {})},
    )


def run(
    *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "exporter", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
        env={**clean_environment(), **(environment or {})},
    )


def clean_environment() -> dict[str, str]:
    """Return this process's environment without what a machine may have set."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().endswith("_PROXY") and not name.startswith("BRAZE")
    }
    return {**kept, "PYTHONPATH": str(ROOT)}


def written(path: Path, document: Mapping[str, object]) -> str:
    """Write a configuration (JSON is YAML) and return where it is."""
    path.write_text(json.dumps(document, ensure_ascii=False))
    return str(path)
