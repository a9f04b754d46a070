"""The texts of labels: what a text becomes, and what a variation is known by.

Every label Braze or a user can fill passes `clean`, so that no text breaks a scrape.
`give_labels` gives each variation of a channel one label, and no two the same one. It
knows nothing of documents, days or numbers.
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

_UNSAFE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


class Identity(NamedTuple):
    """By what a variation is recognised in its channel; texts are verbatim.

    The id, else the name, else neither; then which use of it in one row this is.
    """

    id: str
    name: str
    use: int


class Claim(NamedTuple):
    """One entry of a channel on one day, and the name it goes by then, if any."""

    identity: Identity
    name: str


def clean(text: str) -> str:
    """Return at most 256 characters; what no line may hold becomes U+FFFD.

    That is every control character but the newline, and every lone surrogate. A text
    that is not empty never becomes empty.
    """
    return _UNSAFE.sub("\ufffd", text[:LONGEST])


def claim(entries: Iterable[tuple[str, str]]) -> list[Claim]:
    """Recognise the (id, name) pairs of one channel on one day, in their order.

    The id counts, else the name, else the place among those that have neither. What
    is used twice is two identities, so that nothing is lost and nothing added up.
    """
    uses: dict[tuple[str, str], int] = {}
    claims = []
    for id_, name in entries:
        known_by = (id_, "" if id_ else name)
        use = uses[known_by] = uses.get(known_by, 0) + 1
        claims.append(Claim(Identity(*known_by, use), name))
    return claims


def give_labels(rows: Iterable[Sequence[Claim]]) -> dict[Identity, str]:
    """Give every identity of one channel its own label; `rows` come newest first.

    The newest row that has an identity decides, so that a variation renamed in Braze
    shows its present name over all its days.
    """
    given: dict[Identity, str] = {}
    taken = _TakenLabels()
    for row in rows:
        new = [one for one in row if one.identity not in given]
        if not new:
            continue
        is_alone = sum(not one.name for one in row) == 1
        texts = [_text(one, is_alone=is_alone) for one in new]
        uses = Counter(texts)
        for one, text in zip(new, texts, strict=True):
            id_ = one.identity.id
            suffix = f" ({clean(id_)[:8]})" if id_ else ""
            suffixes = (suffix,) if uses[text] > 1 else ("", suffix)
            given[one.identity] = taken.take(text, suffixes)
    return given


def _text(one: Claim, *, is_alone: bool) -> str:
    if one.name:
        return clean(one.name)
    return DEFAULT if is_alone else clean(one.identity.id) or DEFAULT


def _fit(text: str, suffix: str, *, spare: int = 0) -> str:
    return text[: LONGEST - len(suffix) - spare] + suffix


class _TakenLabels:
    """The labels of one channel that are in use."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._next: dict[tuple[str, int], int] = {}

    def take(self, text: str, suffixes: Sequence[str]) -> str:
        """Take the first free label of the text with a suffix, then the numbered."""
        labels = (_fit(text, suffix) for suffix in suffixes)
        label = next((one for one in labels if one not in self._taken), "")
        label = label or self._numbered(text, suffixes[-1])
        self._taken.add(label)
        return label

    def _numbered(self, text: str, suffix: str) -> str:
        # Where the search for a stem ended is remembered, by how many digits it has
        # to leave room for: thousands of equal names must not take the square of that.
        for digits in count(1):
            stem = _fit(text, suffix, spare=len(" #") + digits)
            first = self._next.get((stem, digits), max(2, 10 ** (digits - 1)))
            for number in range(first, 10**digits):
                label = f"{stem} #{number}"
                if label not in self._taken:
                    self._next[stem, digits] = number + 1
                    return label
            self._next[stem, digits] = 10**digits
        raise AssertionError  # pragma: no cover - count() does not end
