"""One module for each command, with `main(arguments, environment) -> exit code`."""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib import import_module
from types import ModuleType

COMMANDS = {
    "check": "validate a configuration and print its polling plan",
    "doctor": "diagnose keys, hosts and permissions",
    "discover": "print the campaigns and canvases of a workspace as a configuration",
    "demo": "run the exporter on a simulated Braze; needs no API key",
    "simulate": "run the simulated Braze alone",
    "healthcheck": "exit 0 if the local daemon is healthy",
    "backfill": "write the days before the first scrape as a file for promtool",
}
DAEMON = "run"
"""The module that runs if no command is given."""


def load(name: str) -> ModuleType:
    """Import one command only: importing all of them slows every start."""
    return import_module(f"{__name__}.{name}")


def print_error(text: str) -> None:
    """Print a line on standard error, at once; without effect if that is full."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)
