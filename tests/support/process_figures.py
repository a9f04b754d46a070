"""The kernel's figures of a process: memory, threads, open files, in /proc."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ProcessFigures:
    """One look at a process."""

    resident_bytes: int
    threads: int
    files: int


def look(pid: int) -> ProcessFigures:
    """Return the figures of now."""
    process = Path("/proc") / str(pid)
    status = (process / "status").read_text()
    return ProcessFigures(
        resident_bytes=_number(status, "VmRSS") * 1024,
        threads=_number(status, "Threads"),
        files=len(list((process / "fd").iterdir())),
    )


def forget_peak(pid: int) -> None:
    """Let the peak of memory begin anew, from what is resident now."""
    (Path("/proc") / str(pid) / "clear_refs").write_text("5")


def peak_bytes(pid: int) -> int:
    """Return the most memory that was resident at any moment."""
    status = (Path("/proc") / str(pid) / "status").read_text()
    return _number(status, "VmHWM") * 1024


def _number(status: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+)", status, re.MULTILINE)
    assert found, f"no {name}"
    return int(found[1])
