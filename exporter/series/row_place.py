"""Where a body has the row of its newest day: the bytes around it are compared.

To decode and compare the other rows would cost most of a poll.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import NamedTuple, Protocol

from exporter.series.rows import Row

_DECODER = json.JSONDecoder()

_ESCAPED_DATE = re.compile(rb"\\u00(?:2[dD]|3[0-9])")
"""A hyphen or a digit."""


class ResponseBody(Protocol):
    """A response of Braze."""

    @property
    def content(self) -> bytes:
        """JSON."""

    def document(self) -> object:
        """Decode it, or raise `FetchError`."""

    def decode(self, content: bytes) -> object:
        """Decode a part of it in the same way, or raise ValueError."""


class RowPlace(NamedTuple):
    """Where a body has a row."""

    start: int
    bytes_after: int
    digest: int
    """64 bits of the bytes around it, under a secret of this process."""


def find(content: bytes, row: Row) -> RowPlace | None:
    """Return the place of a row that begins with its date; None: no such row.

    The date has to be the only one in the body, in any spelling, so that the place is
    the row's: an equal object may be elsewhere.
    """
    if _ESCAPED_DATE.search(content):
        return None
    time = json.dumps(row.get("time")).encode()
    at, last = content.find(time), content.rfind(time)
    start = content.rfind(b"{", 0, at) if at == last > 0 else -1
    with suppress(ValueError, RecursionError):
        text = content[start:].decode() if start >= 0 else ""
        found, length = _DECODER.raw_decode(text)
        if found == row:
            end = start + len(text[:length].encode())
            return RowPlace(start, len(content) - end, _digest(content, start, end))
    return None


def row_at(place: RowPlace, body: ResponseBody) -> Row | None:
    """Return the row at the same place; None: another byte has changed, too."""
    content = body.content
    start, end = place.start, len(content) - place.bytes_after
    # An object in the place of an object leaves the document around it as it was.
    if content[start : start + 1] != b"{" or start >= end:
        return None
    if _digest(content, start, end) != place.digest:
        return None
    with suppress(ValueError):
        row = body.decode(content[start:end])
        return row if isinstance(row, dict) else None
    return None


def _digest(content: bytes, start: int, end: int) -> int:
    return hash((content[:start], content[end:]))
