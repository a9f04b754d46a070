"""The command line: which command, with which flags, and how it ends.

Exit codes: 0 fine, 1 failed, 2 wrong usage or configuration. Problems go to standard
error without a traceback. What a command does is in its own module.
"""

from __future__ import annotations

import errno
import gc
import io
import os
import sys
from collections.abc import Sequence
from types import ModuleType

from exporter import __version__
from exporter.commands import COMMANDS, DAEMON, load
from exporter.model.errors import ConfigError, ListenError
from exporter.system import signals

_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
_ENDLESS = {DAEMON, "demo", "simulate"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given == ["--version"]:
        print(f"braze-exporter {__version__}")
        return 0
    name = given.pop(0) if given and given[0] in COMMANDS else DAEMON
    if name in _ENDLESS:
        # Until the command has its own way to stop. Nothing has begun by then, and an
        # exception would be lost in some places of an import.
        signals.catch(lambda: os._exit(0))
    _print_anything()
    try:
        code: int = _load(name).main(given, os.environ)
        sys.stdout.flush()
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except ListenError as error:
        print(f"braze-exporter: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1
    except OSError as error:
        return _failed_to_print(error)
    return code


def _failed_to_print(error: OSError) -> int:
    """Return the exit code if standard output took no more; else raise the error."""
    if not isinstance(error, BrokenPipeError):
        if error.errno not in _UNWRITABLE or error.filename is not None:
            raise error
        message = f"standard output cannot be written: {error.strerror}"
        print(f"braze-exporter: {message}", file=sys.stderr)
    # Python flushes once more when it ends, and would complain.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _load(name: str) -> ModuleType:
    """Import a command with what it needs: a health check runs every few seconds.

    What is loaded stays for good: the collector need not look at it, now or later.
    """
    gc.disable()
    command = load(name)
    gc.freeze()
    gc.enable()
    return command


def _print_anything() -> None:
    """Let a terminal that lacks a character show its escape instead of a traceback."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
