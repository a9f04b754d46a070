"""Who else is there, and what each of them is to poll.

Decided from what the shared state said last; every exporter decides the same. It knows
neither Redis nor a clock of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from exporter.polling.sharding import PARTITIONS, owner

LEASE_SECONDS = 5.0
"""So long a lease holds, and somebody who says nothing counts as there."""

FORGET_SECONDS = 900.0
"""So long the part of one that vanished without a word is left to it.

It may only be cut off from the shared state, and go on asking Braze.
"""

SETTLING_BEATS = 3
"""So many beats a newcomer waits with its claims: others may be coming back, too."""


class Wish(StrEnum):
    """What somebody wants of a partition's lease, as one letter."""

    NOTHING = "-"
    CLAIM = "w"
    """Have it, or keep it."""
    HOLD = "h"
    """Keep it until polls on their way are done, but not take it."""
    RELEASE = "r"


_NEGLIGIBLE = Fraction(5, 1000)
"""So small a part of a ceiling is left unused."""


@dataclass(frozen=True, slots=True)
class Roll:
    """What one beat told: who is there, and which leases are mine."""

    live: tuple[str, ...] = ()
    """Sorted; with oneself."""
    alone: int = 0
    """How many of them still keep to a part of their own, having just come back."""
    vanished: int = 0
    """How many say nothing more and may be cut off from us, and not dead."""
    leased: frozenset[int] = frozenset()
    sequence: int = 0
    """How many records were ever published."""

    def share(self) -> Fraction:
        """Return which part of every budget those have together who share it."""
        present = max(1, len(self.live))
        together = max(1, present - self.alone)
        return Fraction(together, present + self.vanished)


def wanted(member: str, live: tuple[str, ...]) -> frozenset[int]:
    """Return the partitions that a member is to poll when these are there."""
    if member not in live:
        return frozenset()
    return frozenset(
        number for number in range(PARTITIONS) if owner(str(number), live) == member
    )


def wishes(
    *,
    wanted: frozenset[int],
    leased: frozenset[int],
    busy: frozenset[int],
    is_settled: bool,
) -> str:
    """Return a letter for each partition; `busy` are those with a poll on its way."""

    def wish(number: int) -> Wish:
        if number in wanted:
            return Wish.CLAIM if is_settled else Wish.HOLD
        if number not in leased:
            return Wish.NOTHING
        return Wish.HOLD if number in busy else Wish.RELEASE

    return "".join(map(wish, range(PARTITIONS)))


def windows(requests_per_minute: float, share: Fraction) -> tuple[tuple[int, int], ...]:
    """Return a ceiling as so many requests in so many whole seconds, added up.

    Never more than the share, and hardly less. None holds more than a second's worth,
    so that starts are even: 90 a minute are one each second, and one in two.
    """
    rate = left = Fraction(requests_per_minute) * share / 60
    found: list[tuple[int, int]] = []
    while not found or left > rate * _NEGLIGIBLE:
        seconds = math.ceil(1 / min(left, Fraction(1)))
        amount = int(left * seconds)
        found.append((amount, seconds))
        left -= Fraction(amount, seconds)
    return tuple(found)
