"""One module for each command; each has `main(arguments, environment) -> exit code`."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

COMMANDS = {
    "check": "every problem of a configuration, and the plan it makes",
    "doctor": "says what is wrong with keys, hosts and permissions, and what to do",
    "discover": "campaigns of a workspace as YAML to paste",
    "demo": "a simulated Braze and the exporter polling it: no key needed",
    "simulate": "the simulated Braze alone",
    "healthcheck": "exit 0 if the local daemon is healthy",
    "backfill": "the history of campaigns, for promtool to load",
}
DAEMON = "run"
"""The module of what runs without a command."""


def load(name: str) -> ModuleType:
    """Import a command with what it needs: the others' parts would slow every start."""
    return import_module(f"{__name__}.{name}")
