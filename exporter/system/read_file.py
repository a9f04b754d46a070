"""Reading of files that users may replace with anything, such as a pipe or a device.

Only regular files of bounded size are read: opening a pipe may block for ever.
"""

from __future__ import annotations

import errno
import os
import stat

MIB = 1024 * 1024


def read_regular(path: str, *, at_most: int) -> bytes:
    """Return the content. OSError: unreadable, not a regular file, or too long."""
    # Without O_NONBLOCK, opening a pipe blocks until it has a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(at_most + 1)
    finally:
        os.close(descriptor)
    if len(content) > at_most:
        raise OSError(errno.EFBIG, f"it is larger than {at_most} bytes")
    return content
