"""Programs of this machine: run to their end, or as a server during a block."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.paths import ROOT
from tests.support.daemon_process import PATIENCE_SECONDS, clean_environment, get, until

SCRIPTS = Path(sys.executable).parent
"""The programs of the virtual environment."""
PROGRAM_SECONDS = 600.0
"""How long a program may run: far longer than it ever takes."""


def run_program(
    *command: str | Path,
    environment: Mapping[str, str] | None = None,
    directory: Path = ROOT,
) -> subprocess.CompletedProcess[str]:
    """Run a program, by default at the repository's root; any exit code is allowed."""
    return subprocess.run(
        command,
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=PROGRAM_SECONDS,
        check=False,
        env=environment,
    )


def checked(
    *command: str | Path,
    environment: Mapping[str, str] | None = None,
    directory: Path = ROOT,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; AssertionError with its output if it fails."""
    ended = run_program(*command, environment=environment, directory=directory)
    assert ended.returncode == 0, f"{command}: {ended.stdout}{ended.stderr}"
    return ended


@contextmanager
def serving(*command: str | Path, ready: str) -> Iterator[None]:
    """Run a server during the block, which begins once `ready` responds with 200."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=clean_environment(),
    )
    try:
        until(lambda: responds(ready), what=ready)
        yield
    finally:
        process.kill()
        process.wait(PATIENCE_SECONDS)


def responds(url: str) -> bool:
    """Whether a URL responds with 200."""
    try:
        return get(url)[0] == 200
    except OSError:
        return False
