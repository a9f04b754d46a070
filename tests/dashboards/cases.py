"""Series and results of cases that promtool evaluates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Check = Callable[..., str]
"""Returns promtool's output for an unexpected result, else an empty text."""
Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Series:
    """A series, usually with one sample."""

    family: str
    labels: Labels
    value: float | str
    """A text: samples of several minutes, as promtool writes them."""

    def __str__(self) -> str:
        scraped = {"job": "braze", "instance": "a", **self.labels}
        return f"{self.family}{braces(scraped)}"


def braces(labels: Labels) -> str:
    """Return labels as Prometheus writes them."""
    pairs = (f'{name}="{value}"' for name, value in labels.items())
    return f"{{{','.join(pairs)}}}"
