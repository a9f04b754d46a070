"""The real daemon beside a simulated Braze, in this process or in a separate one."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from email.message import Message
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from exporter.braze.proxies import ProxySettings
from exporter.config import schema
from exporter.daemon.daemon import Daemon
from exporter.model.config import Config, KeySource
from exporter.simulator import Simulator
from exporter.web.server import Address
from exporter.web.settings import WebSettings
from prometheus_client.parser import text_string_to_metric_families

from tests.paths import ROOT

PATIENCE_SECONDS = 120.0
"""How long a test waits for an event: far longer than it ever takes."""

T = TypeVar("T")
Labels = frozenset[tuple[str, str]]
Scrape = Mapping[str, Mapping[Labels, float]]


def until(
    probe: Callable[[], T], *, seconds: float = PATIENCE_SECONDS, what: str = ""
) -> T:
    """Return the probe's first true answer; AssertionError when the time is over."""
    give_up_at = time.monotonic() + seconds
    while not (answer := probe()):
        assert time.monotonic() < give_up_at, f"waited in vain for {what or probe}"
        time.sleep(0.02)
    return answer


def get(
    url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None
) -> tuple[int, Message, bytes]:
    """Return status, headers and body of one request, of any status."""
    request = urllib.request.Request(url, method=method, headers=dict(headers or {}))  # noqa: S310 - our own URL
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310 - our own URL
            return answer.status, answer.headers, answer.read()
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
        self.url = url

    def get(self, path: str, *, method: str = "GET") -> tuple[int, str]:
        """Return status and text of a path."""
        status, _, body = get(f"{self.url}{path}", method=method)
        return status, body.decode()

    def scrape(self) -> Scrape:
        """Scrape, and return the samples."""
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

    def wait_for(
        self,
        name: str,
        expected: float,
        *,
        seconds: float = PATIENCE_SECONDS,
        **labels: str,
    ) -> None:
        """Wait until a sample has a value."""
        until(
            lambda: self.value(name, **labels) == expected,
            seconds=seconds,
            what=f"{name} {labels} = {expected}",
        )


def configuration(braze: Simulator, **changes: object) -> dict[str, object]:
    """Return a configuration that polls the simulator's campaigns every second."""
    workspace: dict[str, object] = {
        "name": "production",
        "endpoint": braze.url,
        "api_key_env": "BRAZE_API_KEY",
        "interval": "1s",
        "idle_interval": "1s",  # some simulated campaigns rest
        "requests_per_minute": 6000,
        "timeout": "2s",
        "campaigns": [{"id": one.id, "name": one.name} for one in braze.campaigns],
    }
    return {"workspaces": [workspace | changes]}


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


class Process:
    """`braze-exporter` as a process; its log is read as it is written."""

    def __init__(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] = ("-m", "exporter"),
    ) -> None:
        """`command` are the arguments of Python that start the exporter."""
        self.lines: list[str] = []
        self._news = threading.Condition()
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
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()

    def wait_for_line(self, pattern: str) -> re.Match[str]:
        """Wait until a line of the log matches."""
        found: list[re.Match[str]] = []

        def search() -> bool:
            found[:] = filter(None, (re.search(pattern, line) for line in self.lines))
            return bool(found) or self._process.poll() is not None

        with self._news:
            self._news.wait_for(search, PATIENCE_SECONDS)
        assert found, f"no line like {pattern} in {self.lines}"
        return found[0]

    @property
    def url(self) -> str:
        """The URL, once the log contains it."""
        match = self.wait_for_line(r'event=web\.listening address="?([^"\s]+)')
        return f"http://{match[1]}"

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def send(self, signal_number: int) -> None:
        """Send a signal."""
        self._process.send_signal(signal_number)

    def end(self, signal_number: int, *, seconds: float) -> int:
        """Send a signal and return the exit code."""
        self._process.send_signal(signal_number)
        return self.wait(seconds)

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Return the exit code."""
        return self._process.wait(seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)
        if self._process.stdout:
            self._process.stdout.close()


def run(
    *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command of the exporter to its end."""
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
