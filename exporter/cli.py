"""The entry point of the command line: selects a command and returns its exit code.

Exit codes: 0 success, 1 failure, 2 invalid usage or configuration. Errors are printed
to standard error without a traceback.
"""

from __future__ import annotations

import errno
import gc
import io
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import TextIO

from exporter import __version__
from exporter.commands import COMMANDS, DAEMON, load, print_error
from exporter.model.errors import ConfigError, ListenError
from exporter.system import signals

_WRITE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
_LONG_RUNNING = {DAEMON, "demo", "simulate"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    _replace_closed_streams()
    code = _exit_code(list(sys.argv[1:] if arguments is None else arguments))
    try:
        sys.stderr.flush()
    except OSError:
        _discard(sys.stderr)
    return code


def _exit_code(words: list[str]) -> int:
    try:
        code = _run(words)
        sys.stdout.flush()
    except ConfigError as error:
        print_error(str(error))
        return 2
    except ListenError as error:
        print_error(f"braze-exporter: {error}")
        return 1
    except KeyboardInterrupt:
        return 1
    except OSError as error:
        return _print_failure(error)
    return code


def _run(words: list[str]) -> int:
    if words == ["--version"]:
        print(f"braze-exporter {__version__}")
        return 0
    name = DAEMON
    if words and words[0] in COMMANDS:
        name = words.pop(0)
    if name in _LONG_RUNNING:
        # Until the command installs its own handler. The default one raises, and some
        # imports swallow the exception.
        signals.catch(lambda: os._exit(0))
    if name == DAEMON:
        signals.hold_hangup()
    _escape_unprintable()
    try:
        code: int = _load(name).main(words, os.environ)
    except SystemExit as end:  # of argparse, after --help or a usage error
        return int(end.code or 0)
    return code


def _replace_closed_streams() -> None:
    """Replace standard streams that the parent process closed by the null device.

    Otherwise the next file or socket that is opened would get a standard stream's
    number, and Python's own stream is None.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def _print_failure(error: OSError) -> int:
    """Return the exit code of an error without a fault of the program; else raise."""
    if error.errno == errno.EAGAIN:
        print_error(f"braze-exporter: {error.strerror}")
        return 1
    if not isinstance(error, BrokenPipeError):
        if error.errno not in _WRITE_ERRORS or error.filename is not None:
            raise error
        message = f"standard output cannot be written: {error.strerror}"
        print_error(f"braze-exporter: {message}")
    _discard(sys.stdout)
    return 1


def _discard(stream: TextIO) -> None:
    """Drop what cannot be written: Python flushes again at exit, and would fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _load(name: str) -> ModuleType:
    """Import the module of a command only: a health check runs every few seconds.

    The garbage collector ignores the imported objects, which are never freed.
    """
    gc.disable()
    command = load(name)
    gc.freeze()
    gc.enable()
    return command


def _escape_unprintable() -> None:
    """Escape characters that the encoding of standard output does not have."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
