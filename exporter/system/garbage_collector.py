"""A pause of the garbage collector, which frees reference cycles and nothing else."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused() -> Iterator[None]:
    """Pause it where many objects without cycles are created.

    Their creation would start it again and again, and each time it blocks all threads.
    It runs again as soon as one of several pauses ends.
    """
    is_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_enabled:
            gc.enable()
