"""What a benchmark found: tables to read, and the figures that have a target."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from benchmarks.tables import Table
from benchmarks.targets import TARGETS

_KNOWN = frozenset(target.name for target in TARGETS)


@dataclass(slots=True)
class Outcome:
    """Grows while a benchmark goes on."""

    tables: list[Table] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    def figure(self, name: str, value: float) -> None:
        """Note a figure, if there is a target for it."""
        if name in _KNOWN:
            self.figures[name] = value

    def add(self, other: Outcome) -> None:
        """Take over what another benchmark found."""
        self.tables += other.tables
        self.figures |= other.figures


def tell(text: str) -> None:
    """Print on standard error what is being measured."""
    sys.stderr.write(f"{text} ...\n")
    sys.stderr.flush()
