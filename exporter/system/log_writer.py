"""A log handler that never blocks its callers.

One thread writes the lines. While it is blocked, for example by a pipe that nothing
reads, lines wait in memory; beyond a limit they are lost and counted.
"""

from __future__ import annotations

import io
import logging
import os
import select
import sys
from collections.abc import Mapping
from queue import Full, Queue
from threading import Lock, Thread
from typing import Any, TextIO

from exporter.system.logformat import Fact

_log = logging.getLogger(__name__)

_WAITING_LINES = 10_000
_CLOSE_SECONDS = 1.0
"""How long the end of the process waits for the last lines."""


def lost_lines() -> int:
    """Return how many lines of the log this process has lost."""
    handlers = logging.getLogger().handlers
    return sum(one.lost_lines for one in handlers if isinstance(one, LogWriter))


class LogWriter(logging.Handler):
    """Writes lines to a stream in a thread, in their order."""

    def __init__(
        self, stream: TextIO | None = None, *, waiting_lines: int = _WAITING_LINES
    ) -> None:
        """`waiting_lines` is the most that wait in memory; None: standard error."""
        super().__init__()
        self.lost_lines = 0
        """Lines that were not written."""
        self._stream = _standard_error() if stream is None else stream
        self._lines: Queue[str | None] = Queue(waiting_lines)
        self._logged_as_lost = 0
        self._start_lock = Lock()
        self._thread: Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a line."""
        try:
            self._lines.put_nowait(self.format(record))
        except Exception:  # noqa: BLE001 - a full queue, or a line without a form
            self.lost_lines += 1
        self._start()

    def close(self) -> None:
        """Write the lines that wait, for a second at most."""
        if self._thread is not None:
            try:
                self._lines.put(None, timeout=_CLOSE_SECONDS)
                self._thread.join(_CLOSE_SECONDS)
            except Full:
                pass  # the stream is blocked
        super().close()

    def _start(self) -> None:
        """Start the thread; while none can be created, lines wait."""
        if self._thread is not None:
            return
        with self._start_lock:
            thread = Thread(target=self._write_all, name="log", daemon=True)
            try:
                if self._thread is None:
                    thread.start()
                    self._thread = thread
            except RuntimeError:
                pass

    def _write_all(self) -> None:
        while (line := self._lines.get()) is not None:
            is_written = self._write(line)
            lost = self.lost_lines - self._logged_as_lost
            # A stream that is always slower than the log never empties the queue.
            is_due = self._lines.empty() or lost >= self._lines.maxsize
            if is_written and lost and is_due:
                self._logged_as_lost += lost
                self.write(logging.WARNING, "log.lines_lost", {"lines": lost})

    def write(self, level: int, event: str, fields: Mapping[str, Fact]) -> None:
        """Write an event before the lines that wait; for the writing thread only.

        In a full queue it would be lost, too.
        """
        extra = {"fields": fields}
        record = _log.makeRecord(_log.name, level, "", 0, event, (), None, extra=extra)
        self._write(self.format(record))

    def _write(self, line: str) -> bool:
        try:
            self._stream.write(f"{line}\n")
            self._stream.flush()
        except (OSError, ValueError):  # a full disk, or a stream that was closed
            self.lost_lines += 1
            return False
        return True


class _Descriptor(io.FileIO):
    """Writes all bytes, also to a pipe that another process made non-blocking."""

    def write(self, content: Any, /) -> int:
        """Write everything, or raise OSError."""
        left = memoryview(content)
        size = left.nbytes
        while left.nbytes:
            try:
                left = left[os.write(self.fileno(), left) :]
            except BlockingIOError:
                select.select((), (self,), ())
        return size


def _standard_error() -> TextIO:
    """Return standard error without a buffer.

    A blocked write holds the lock of a buffer, and Python, which flushes standard error
    at exit, would wait for it.
    """
    try:
        raw = _Descriptor(sys.stderr.fileno(), "wb", closefd=False)
    except OSError:
        return sys.stderr  # replaced by a stream without a file
    return io.TextIOWrapper(
        raw, sys.stderr.encoding, sys.stderr.errors, write_through=True
    )
