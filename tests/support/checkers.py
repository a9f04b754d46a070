"""Checkers that pip brings, run as a developer would."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.paths import ROOT

SCRIPTS = Path(sys.executable).parent
PATIENCE_SECONDS = 300.0
"""How long any of them may take: far longer than it ever does."""


def run_tool(
    name: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program of the virtual environment at the root of the repository."""
    return subprocess.run(
        [str(SCRIPTS / name), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
        env={**os.environ, **(environment or {})},
    )


def complaints(name: str, *arguments: str) -> str:
    """Return the output of a checker that fails; empty if it succeeds."""
    ended = run_tool(name, *arguments)
    return f"{ended.stdout}{ended.stderr}" if ended.returncode else ""
