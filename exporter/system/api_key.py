"""API keys, read afresh whenever they are needed.

A key that was changed in its file is used by the next request. One that cannot be read
any more stays what it was: a moment without the file must not look like a wrong key. No
key is ever part of a message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from exporter.model.config import KeySource
from exporter.system.read_file import read_regular


class Secret:
    """A text that nothing prints: `reveal()` is the only way to it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "<secret>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> str:
        message = "a secret is not pickled"
        raise TypeError(message)

    def reveal(self) -> str:
        """Return the text itself: for the request header and nowhere else."""
        return self._text


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


class ApiKey:
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
