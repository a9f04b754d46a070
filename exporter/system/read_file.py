"""Reading a file that somebody else may have exchanged for anything at all.

Only a regular file of bounded length is read: to open a pipe could take for ever, and
a device need not end. It knows nothing of what files are for.
"""

from __future__ import annotations

import errno
import os
import stat

MIB = 1024 * 1024


def read_regular(path: str, *, at_most: int) -> bytes:
    """Return the content. OSError: it cannot be read, is no file, or is too long."""
    # Without waiting: a pipe opens only once somebody writes to it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(at_most + 1)
    finally:
        os.close(descriptor)
    if len(content) > at_most:
        raise OSError(errno.EFBIG, f"it is longer than {at_most} bytes")
    return content
