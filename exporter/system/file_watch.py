"""Detects changes of file contents.

Contents are compared, not names or times: Kubernetes swaps a symlink, editors write a
new file, and some tools touch a file without changing it. A change is reported when two
successive checks found the same content: the first may have read a half-written file.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

from exporter.system.read_file import MIB, read_regular

_LONGEST_BYTES = 64 * MIB

FileContents = Mapping[str, bytes | None]
"""Contents by path; None for a file that cannot be read."""


class FileWatch:
    """One or more files; each call of `has_changed` checks all of them once.

    With `reports_removal` a file that becomes unreadable is a change too. Without it no
    change is reported while a file is unreadable.
    """

    def __init__(
        self,
        *paths: str,
        contents: FileContents | None = None,
        longest_bytes: int = _LONGEST_BYTES,
        reports_removal: bool = False,
    ) -> None:
        # The first check compares with `contents`, if they were read before.
        self.paths = paths
        self._longest_bytes = longest_bytes
        self._reports_removal = reports_removal
        self._digests = self._read() if contents is None else _digests(contents)
        self._last_seen = self._digests

    def has_changed(self) -> bool:
        """Return True once for each new content that was found twice."""
        digests = self._read()
        is_steady, self._last_seen = digests == self._last_seen, digests
        if None in digests.values() and not self._reports_removal:
            return False
        if not is_steady or digests == self._digests:
            return False
        self._digests = digests
        return True

    def has_seen(self, contents: FileContents) -> bool:
        """Return whether these are the contents that the last change consists of."""
        return _digests(contents) == self._digests

    def _read(self) -> dict[str, bytes | None]:
        return _digests({path: self._content(path) for path in self.paths})

    def _content(self, path: str) -> bytes | None:
        try:
            return read_regular(path, at_most=self._longest_bytes)
        except OSError:
            return None


def _digests(contents: FileContents) -> dict[str, bytes | None]:
    return {
        path: None if content is None else blake2b(content).digest()
        for path, content in contents.items()
    }
