"""API keys, read afresh whenever they are needed.

A key that was changed in its file is used by the next request. One that cannot be read
any more stays what it was: a moment without the file must not look like a wrong key. No
key is ever part of a message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from exporter.model.config import KeySource, Secret
from exporter.system.read_file import read_regular

_LONGEST_BYTES = 64 * 1024


def read_key(source: KeySource, environment: Mapping[str, str]) -> str | None:
    """Return the key without the space around it; None: it is not there to be read."""
    if source.env is not None:
        text = environment.get(source.env)
        return None if text is None else text.strip()
    try:
        content = read_regular(source.file or "", at_most=_LONGEST_BYTES)
        return content.decode("utf-8-sig").strip()
    except (OSError, ValueError):
        return None


class Key:
    """One workspace's key, as it is now."""

    def __init__(
        self, source: KeySource, read: Callable[[KeySource], str | None]
    ) -> None:
        self._source = source
        self._read = read
        self._last = Secret("")

    def __call__(self) -> Secret:
        """Return the key, read again; the last one if there is none to read."""
        text = self._read(self._source)
        if text:
            self._last = Secret(text)
        return self._last
