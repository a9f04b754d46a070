"""Numbers of objects in the output of commands."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from exporter.polling.kinds import CAMPAIGN, Kind

SERIES = "series of the workspace"
"""In place of `series`, where series of Prometheus are counted, too."""


def objects(numbers: Mapping[Kind, int]) -> list[str]:
    """Return the number of objects of each kind, of campaigns in any case."""
    totals: dict[tuple[str, str], int] = defaultdict(int)
    for kind, number in numbers.items():
        both = (SERIES, SERIES) if kind.is_series else (kind.label, kind.plural)
        totals[both] += number
    return [
        f"{number} {label if number == 1 else plural}"
        for (label, plural), number in totals.items()
        if number or label == CAMPAIGN.label
    ]


def joined(nouns: Iterable[str], conjunction: str) -> str:
    """Return nouns as in `campaigns, canvases and series`."""
    *first, last = nouns
    return f"{', '.join(first)} {conjunction} {last}" if first else last


def count(number: int, noun: str) -> str:
    """Return a number and its noun, whose plural has an s."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
