"""Processes that are measured, and their figures in /proc. Linux only."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

PATIENCE_SECONDS = 600.0
"""A million gauges take their time; nothing here ever takes that long."""
_LOOK_SECONDS = 0.01
_CPU_CLOCK = 2
"""CPUCLOCK_SCHED of the kernel's posix-timers: the processor time of a process."""


class Process:
    """A process from its start to its end, known by its number."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**_clean_environment(), **environment},
        )
        self.pid = self._process.pid
        self._lines: SimpleQueue[str] = SimpleQueue()
        self._reader = Thread(target=self._read, name="lines", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        """Read all output: a full pipe would block the process."""
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put("")

    def read_line(self) -> str:
        """Wait for the next line that it prints; RuntimeError if it ended instead."""
        line = self._lines.get(timeout=PATIENCE_SECONDS)
        if not line:
            message = f"{self._process.args!r} printed no further line"
            raise RuntimeError(message)
        return line

    def write_line(self, line: str = "") -> None:
        """Let it read a line."""
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    @property
    def cpu_seconds(self) -> float:
        """What all of its threads, ended ones too, have used of a processor."""
        return time.clock_gettime((~self.pid << 3) | _CPU_CLOCK)

    @property
    def peak_bytes(self) -> int:
        """The most memory that was resident at any moment."""
        return self._status("VmHWM")

    @property
    def resident_bytes(self) -> int:
        """The memory that is resident now."""
        return self._status("VmRSS")

    def _status(self, name: str) -> int:
        text = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
        return int(found[1]) * 1024 if found else 0

    def wait_until_idle(self, *, for_seconds: float = 0.1) -> None:
        """Wait until it has used hardly any processor for so long."""
        while True:
            before = self.cpu_seconds
            time.sleep(for_seconds)
            if self.cpu_seconds - before < for_seconds / 20:
                return

    def wait(self) -> float:
        """Wait for its end and return the CPU that it has used, in seconds."""
        _, status, used = os.wait4(self.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        if self._process.returncode:
            message = f"{self._process.args!r} ended with {self._process.returncode}"
            raise RuntimeError(message)
        return used.ru_utime + used.ru_stime

    def end(self) -> None:
        """Terminate the process, kill it after a timeout, and wait for its end."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        if self._process.stdin:
            self._process.stdin.close()
        if self._process.stdout:
            self._process.stdout.close()


@contextlib.contextmanager
def running(
    *command: str, environment: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """Run a program inside the block."""
    process = Process(command, environment or {})
    try:
        yield process
    finally:
        process.end()


@contextlib.contextmanager
def module(
    name: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """Run a module with this interpreter inside the block."""
    command = (sys.executable, "-m", name, *arguments)
    with running(*command, environment=environment) as process:
        yield process


def until(
    probe: Callable[[], bool], *, what: str, look_seconds: float = _LOOK_SECONDS
) -> None:
    """Look again and again until it is so; RuntimeError after a very long time."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not probe():
        if time.monotonic() > give_up_at:
            message = f"waited in vain for {what}"
            raise RuntimeError(message)
        time.sleep(look_seconds)


def written(path: Path, document: Mapping[str, object]) -> Path:
    """Write a configuration (JSON is YAML) and return where it is."""
    path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    return path


def _clean_environment() -> dict[str, str]:
    """Return our environment without proxies and without the exporter's flags."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().endswith("_PROXY") and not name.startswith("BRAZE")
    }
    return {**kept, "PYTHONPATH": str(Path(__file__).parent.parent)}
