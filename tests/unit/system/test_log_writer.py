"""Log lines reach a stream in order, and no caller waits for the stream."""

from __future__ import annotations

import io
import logging
import os
import sys
from threading import Event

import pytest
from exporter.system.log_writer import LogWriter, lost_lines
from exporter.system.logformat import Logfmt

from tests.support.daemon_process import until


def record(message: str) -> logging.LogRecord:
    """Return a record of the level info."""
    return logging.LogRecord("exporter", logging.INFO, "", 0, message, None, None)


def test_lines_are_written_in_order() -> None:
    """`close` waits for the last one."""
    stream = io.StringIO()
    writer = LogWriter(stream)

    for number in range(1000):
        writer.emit(record(f"event-{number}"))
    writer.close()

    assert stream.getvalue() == "".join(f"event-{number}\n" for number in range(1000))
    assert writer.lost_lines == 0


def test_no_caller_waits_for_a_pipe_that_nothing_reads() -> None:
    """Lines beyond the limit are lost, and counted in a line once the pipe is read."""
    reader, writer_end = os.pipe()
    before = lost_lines()  # of handlers that other tests left
    with os.fdopen(writer_end, "w", encoding="utf-8") as stream:
        writer = LogWriter(stream, waiting_lines=10)
        writer.setFormatter(Logfmt())
        logging.getLogger().addHandler(writer)
        try:
            while writer.lost_lines < 5:
                writer.emit(record("x" * 10_000))
            lost = writer.lost_lines
            assert lost_lines() - before == lost

            read = bytearray()
            with os.fdopen(reader, "rb", buffering=0) as pipe:
                os.set_blocking(reader, False)

                def has_reported() -> bool:
                    read.extend(pipe.read(1 << 20) or b"")
                    return b"event=log.lines_lost" in read

                until(has_reported)
                assert f"event=log.lines_lost lines={lost}".encode() in read
                writer.close()
        finally:
            logging.getLogger().removeHandler(writer)


def test_a_full_pipe_that_does_not_block_loses_no_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Standard error is non-blocking if a process that shares it made it so."""
    reader, writer_end = os.pipe()
    os.set_blocking(writer_end, False)
    lines = [f"{number} ".ljust(10_000, "x") for number in range(50)]
    with os.fdopen(writer_end, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        writer = LogWriter()
        for line in lines:
            writer.emit(record(line))

        with os.fdopen(reader, encoding="utf-8") as pipe:
            read = [next(pipe).rstrip("\n") for _ in lines]
        writer.close()

    assert read == lines
    assert writer.lost_lines == 0


def test_losses_are_told_although_the_queue_is_never_empty() -> None:
    """The stream is slower than the log: a line comes with each that is written."""
    may_write, writes = Event(), []

    class SlowStream(io.StringIO):
        def write(self, text: str, /) -> int:
            assert may_write.wait(60)
            writes.append(text)
            if len(writes) < 50:
                for _ in range(20):
                    writer.emit(record("more"))
            return len(text)

    writer = LogWriter(SlowStream(), waiting_lines=5)
    writer.setFormatter(Logfmt())
    for _ in range(10):
        writer.emit(record("first"))
    may_write.set()
    until(lambda: len(writes) >= 50)
    writer.close()

    told = [number for number, text in enumerate(writes[:50]) if "lines_lost" in text]
    assert told


def test_a_stream_that_fails_loses_its_lines_only() -> None:
    """A full disk, for example; each line is tried."""
    stream = io.StringIO()
    writer = LogWriter(stream)
    stream.close()

    writer.emit(record("lost"))
    until(lambda: writer.lost_lines)
    writer.close()

    assert writer.lost_lines == 1
