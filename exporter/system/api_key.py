"""API keys, which are read again for every request.

A key that changes in its file is used by the next request. While the file cannot be
read, the previous key is used. No message contains a key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from exporter.model.config import KeySource
from exporter.system.read_file import decoded, read_regular


class Secret:
    """A string that `repr` and `str` do not show; `reveal()` returns it."""

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
        raise TypeError("a secret cannot be pickled")

    def reveal(self) -> str:
        """Return the string, for the request header only."""
        return self._text


_LONGEST_BYTES = 64 * 1024


def read_key(source: KeySource, environment: Mapping[str, str]) -> str | None:
    """Return the key without surrounding whitespace and quotes; None: unreadable.

    Docker's `--env-file` passes quotes on; no key of Braze contains any.
    """
    if source.env is not None:
        text = environment.get(source.env)
        return None if text is None else without_quotes(text)
    try:
        return without_quotes(decoded(_content(source.file or "")))
    except (OSError, ValueError):
        return None


def unreadable_reason(source: KeySource) -> str:
    """Return why a key cannot be read, to follow the name of its source."""
    if source.env is not None:
        return "is not set"
    try:
        decoded(_content(source.file or ""))
    except OSError as error:
        return f"cannot be read: {error.strerror or type(error).__name__}"
    except ValueError as error:
        return str(error)
    return "cannot be read"


def without_quotes(text: str) -> str:
    """Return a text without surrounding whitespace and one pair of quotes."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1].strip()
    return text


def _content(path: str) -> bytes:
    return read_regular(path, at_most=_LONGEST_BYTES)


class ApiKey:
    """The current key of a workspace."""

    def __init__(
        self, source: KeySource, read: Callable[[KeySource], str | None]
    ) -> None:
        self._source = source
        self._read = read
        self._current = Secret("")
        self.seen = Secret("")
        """The key as of the last `has_changed`."""

    def __call__(self) -> Secret:
        """Read and return the key; the previous one if it cannot be read."""
        text = self._read(self._source)
        if text:
            self._current = Secret(text)
        return self._current

    def has_changed(self) -> bool:
        """Read the key; return whether it is another one than at the last call.

        One thread at a time may call it.
        """
        before, self.seen = self.seen, self()
        return before != self.seen
