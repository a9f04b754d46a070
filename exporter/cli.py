"""The command line: which command, with which flags, and how it ends.

Exit codes: 0 fine, 1 failed, 2 wrong usage or configuration. Problems go to standard
error without a traceback. What a command does is in its own module.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from exporter import __version__
from exporter.errors import ConfigError, ListenError

COMMANDS = {
    "check": "every problem of a configuration, and the plan it makes",
    "demo": "a simulated Braze and the exporter polling it: no key needed",
    "simulate": "the simulated Braze alone",
    "healthcheck": "exit 0 if the local daemon is healthy",
}
_DAEMON = "run"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given == ["--version"]:
        print(f"braze-exporter {__version__}")
        return 0
    name = given.pop(0) if given and given[0] in COMMANDS else _DAEMON
    # Only what the command needs is loaded: a health check runs every few seconds.
    command = import_module(f"exporter.commands.{name}")
    try:
        code: int = command.main(given, os.environ)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except ListenError as error:
        print(f"braze-exporter: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, BrokenPipeError):
        return 1
    return code
