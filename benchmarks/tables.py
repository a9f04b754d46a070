"""Tables of figures as Markdown, printed and written between marks in a document."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

_MARK = "<!-- {name}: made by `make bench` -->"
_END = "<!-- end of {name} -->"


@dataclass(frozen=True)
class Table:
    """One table; `name` is where a document wants it."""

    name: str
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """Return the caption and the table."""
        lines = [
            self.caption,
            "",
            _row(self.header),
            _row("---" if n == 0 else "---:" for n, _ in enumerate(self.header)),
            *(_row(row) for row in self.rows),
        ]
        return "\n".join(lines)


def write(file: Path, tables: Iterable[Table]) -> None:
    """Put each table between its marks; ValueError if the document has none."""
    text = file.read_text(encoding="utf-8")
    for table in tables:
        begin, end = _MARK.format(name=table.name), _END.format(name=table.name)
        before, found, rest = text.partition(begin)
        _, has_end, after = rest.partition(end)
        if not found or not has_end:
            message = f"{file} has no lines {begin} and {end}"
            raise ValueError(message)
        text = f"{before}{begin}\n\n{table.markdown()}\n\n{end}{after}"
    file.write_text(text, encoding="utf-8")


def median(values: Iterable[float]) -> float:
    """Return the middle of several runs."""
    return statistics.median(values)


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the smallest value that so many percent do not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(len(ordered) * percent / 100) - 1, 0)]


def milliseconds(seconds: float) -> str:
    """Return a duration with three digits that matter."""
    return f"{three_digits(seconds * 1000)} ms"


def mebibytes(count: float) -> str:
    """Return a size with three digits that matter."""
    return f"{three_digits(count / 2**20)} MiB"


def kibibytes(count: float) -> str:
    """Return a size with three digits that matter."""
    return f"{three_digits(count / 2**10)} KiB"


def times(ratio: float) -> str:
    """Return a ratio with three digits that matter."""
    return f"{three_digits(ratio)}×"


def whole(number: float) -> str:
    """Return a number with separators."""
    return f"{number:,.0f}"


def three_digits(value: float) -> str:
    """Return a number with the digits that matter."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
