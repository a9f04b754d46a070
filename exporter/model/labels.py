"""Label texts: cleaning, and one unique label for each variation of a channel.

Every label that Braze or a user can fill passes `clean`, so that no text breaks a
scrape.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import count
from typing import NamedTuple

LONGEST = 256
"""Characters of a label's text."""

DEFAULT = "default"
"""The label of the only message in a channel that has no name."""

_ADDRESS = re.compile(r"[\w.+%'-]{1,256}@[\w.-]{1,256}")
_UNSAFE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


class NameKey(NamedTuple):
    """The id of a variation in its channel, or without one its name, verbatim.

    `use` counts the entries of one row that have the same id or name, from 1.
    """

    id: str
    name: str
    use: int


class NamedEntry(NamedTuple):
    """One entry of a channel on one day, and its name on that day, if any."""

    key: NameKey
    name: str


def clean(text: str) -> str:
    """Return at most 256 characters, with U+FFFD in the place of unsafe ones.

    Unsafe are control characters except the newline, and lone surrogates.
    """
    return _UNSAFE.sub("\ufffd", text[:LONGEST])


def without_addresses(text: str) -> str:
    """Return the first 4096 characters of a text without email addresses."""
    return _ADDRESS.sub("<address>", text[:4096])


def identify(entries: Iterable[tuple[str, str]]) -> list[NamedEntry]:
    """Return the (id, name) pairs of one channel on one day with their keys, in order.

    An id or name that is used twice makes two keys: no entry is lost or added up.
    """
    uses: dict[tuple[str, str], int] = {}
    found = []
    for id_, name in entries:
        known_by = (id_, "" if id_ else name)
        use = uses[known_by] = uses.get(known_by, 0) + 1
        found.append(NamedEntry(NameKey(*known_by, use), name))
    return found


def assign_labels(rows: Iterable[Sequence[NamedEntry]]) -> dict[NameKey, str]:
    """Return a unique label for every key of one channel; `rows` come newest first.

    The newest row with a key decides, so that a variation that was renamed in Braze
    has its present name on all days.
    """
    assigned: dict[NameKey, str] = {}
    labels = _UniqueLabels()
    for row in rows:
        new = [one for one in row if one.key not in assigned]
        if not new:
            continue
        is_alone = sum(not one.name for one in row) == 1
        texts = [_text(one, is_alone=is_alone) for one in new]
        uses = Counter(texts)
        for one, text in zip(new, texts, strict=True):
            id_ = one.key.id
            suffix = f" ({clean(id_)[:8]})" if id_ else ""
            suffixes = (suffix,) if uses[text] > 1 else ("", suffix)
            assigned[one.key] = labels.add(text, suffixes)
    return assigned


def _text(one: NamedEntry, *, is_alone: bool) -> str:
    if one.name:
        return clean(one.name)
    return DEFAULT if is_alone else clean(one.key.id) or DEFAULT


def _fit(text: str, suffix: str, *, spare: int = 0) -> str:
    return text[: LONGEST - len(suffix) - spare] + suffix


class _UniqueLabels:
    """The labels in use in one channel."""

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._next: dict[tuple[str, int], int] = {}

    def add(self, text: str, suffixes: Sequence[str]) -> str:
        """Add and return the first unused label: text and suffix, then numbered."""
        labels = (_fit(text, suffix) for suffix in suffixes)
        label = next((one for one in labels if one not in self._used), "")
        label = label or self._numbered(text, suffixes[-1])
        self._used.add(label)
        return label

    def _numbered(self, text: str, suffix: str) -> str:
        # The next number is remembered for each stem and number of digits, so that
        # thousands of equal names do not take quadratic time.
        for digits in count(1):
            stem = _fit(text, suffix, spare=len(" #") + digits)
            first = self._next.get((stem, digits), max(2, 10 ** (digits - 1)))
            for number in range(first, 10**digits):
                label = f"{stem} #{number}"
                if label not in self._used:
                    self._next[stem, digits] = number + 1
                    return label
            self._next[stem, digits] = 10**digits
        raise AssertionError  # pragma: no cover - count() does not end
