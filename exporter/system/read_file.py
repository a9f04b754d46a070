"""Reading of files that users may replace with anything, such as a pipe or a device."""

from __future__ import annotations

import codecs
import errno
import os
import stat
from select import select

MIB = 1024 * 1024
_WRITER_SECONDS = 5.0


def read_regular(path: str, *, at_most: int) -> bytes:
    """Return the content. OSError: unreadable, not a regular file, or too long.

    Never blocks.
    """
    return _read(path, at_most, may_be_stream=False)


def read_stream(path: str, *, at_most: int) -> bytes:
    """Return the content of a file, or of a pipe until its writers close it.

    Waits some seconds for the first writer of a named pipe; it is empty without any.
    OSError: unreadable, or too long.
    """
    return _read(path, at_most, may_be_stream=True)


def decoded(content: bytes) -> str:
    """Return UTF-8 text without a byte order mark. ValueError: names the encoding.

    Editors and shells of Windows write UTF-16; ASCII text has null bytes in it.
    """
    begin = content[:2]
    if begin in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE} or b"\0" in begin:
        message = "is encoded in UTF-16, not in UTF-8"
        raise ValueError(message)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        message = "is not UTF-8"
    raise ValueError(message)  # without the exception, which holds the content


def _read(path: str, at_most: int, *, may_be_stream: bool) -> bytes:
    # Without O_NONBLOCK, opening a pipe blocks until it has a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode) or not (may_be_stream or stat.S_ISREG(mode)):
            raise OSError(errno.EINVAL, "it is not a regular file")
        if stat.S_ISFIFO(mode):
            select([descriptor], [], [], _WRITER_SECONDS)
        os.set_blocking(descriptor, True)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(at_most + 1)
    finally:
        os.close(descriptor)
    if len(content) > at_most:
        raise OSError(errno.EFBIG, f"it is larger than {at_most} bytes")
    return content
