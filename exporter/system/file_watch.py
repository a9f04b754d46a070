"""Notices that a file's content is another one than before.

What counts is the content behind the name: Kubernetes swaps a symlink, editors write a
new file, and some tools touch one without changing it. A change counts once two looks
in a row saw it: the first may have met a file that was half written.
"""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

from exporter.system.read_file import MIB, read_regular

_LONGEST_BYTES = 64 * MIB


class FileWatch:
    """One file, looked at whenever `has_changed` is asked."""

    def __init__(self, file: str) -> None:
        self._path = Path(file)
        self._signature = self._look()
        self._digest = self._read()
        self._seen = self._digest
        """What the last look saw."""

    def has_changed(self) -> bool:
        """Tell, once, that there is another content. A file that is away has none."""
        signature = self._look()
        if signature is None or signature == self._signature:
            return False
        digest = self._read()
        is_steady, self._seen = digest == self._seen, digest
        if digest is None or not (is_steady or digest == self._digest):
            return False
        self._signature = signature
        is_other, self._digest = digest != self._digest, digest
        return is_other

    def _look(self) -> tuple[int, ...] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return (
            status.st_dev,
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
        )

    def _read(self) -> bytes | None:
        try:
            content = read_regular(str(self._path), at_most=_LONGEST_BYTES)
        except OSError:
            return None
        return blake2b(content).digest()
