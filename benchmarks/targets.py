"""Targets of the exporter, and the looser ones of a small run.

Ratios are of processor time in one run on one machine; nothing else is ever asserted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from benchmarks.tables import Table, three_digits


@dataclass(frozen=True, slots=True)
class Target:
    """A figure and where it has to be: at least or at most `bound`."""

    name: str
    what: str
    bound: float
    unit: str
    is_least: bool = False
    floor: float | None = None
    """What the small run of the test suite must reach; None: it does not measure it."""

    def is_met(self, figure: float) -> bool:
        """Return whether a figure is good enough."""
        return figure >= self.bound if self.is_least else figure <= self.bound

    def is_above_floor(self, figure: float) -> bool:
        """Return whether a figure of the small run is good enough."""
        if self.floor is None:
            return True
        return figure >= self.floor if self.is_least else figure <= self.floor


def _less(name: str, page: str, ratio: float, *, floor: float | None = None) -> Target:
    page = page.format(changing="a tenth of the campaigns polled since the last scrape")
    what = f"{page}: server CPU, times less than labelled gauges"
    return Target(name, what, ratio, "×", is_least=True, floor=floor)


TABLE = "targets"
"""The name of the table of verdicts."""

TARGETS = (
    _less("scrape.100k.gzip", "100,000 series, gzip", 500, floor=250),
    _less("scrape.100k.plain", "100,000 series, plain", 100, floor=50),
    _less(
        "scrape.100k.gzip.changing", "100,000 series, gzip, {changing}", 250, floor=125
    ),
    _less(
        "scrape.100k.plain.changing", "100,000 series, plain, {changing}", 100, floor=50
    ),
    _less("scrape.1m.gzip", "1,000,000 series, gzip", 1000),
    _less("scrape.1m.plain", "1,000,000 series, plain", 150),
    _less("scrape.1m.gzip.changing", "1,000,000 series, gzip, {changing}", 500),
    _less("scrape.1m.plain.changing", "1,000,000 series, plain, {changing}", 150),
    Target(
        "scrape.1m.nginx",
        "1,000,000 series, gzip: latency beside nginx with the same bytes",
        5,
        "×",
    ),
    Target(
        "scrape.1m.rss", "1,000,000 series: peak RSS, scraped with gzip", 200, " MiB"
    ),
    Target("scrape.silent", "3,000 silent connections: p99 of a scrape", 10, " ms"),
    Target("poll.changed", "a poll, CPU", 4, " ms"),
    Target("poll.ratio", "a poll, CPU beside the plain loop", 0.5, "×", floor=0.8),
    Target("poll.unchanged", "a poll of an unchanged document, CPU", 1.5, " ms"),
    Target(
        "poll.canvas", "a poll of a canvas of 200 steps in 3 channels, CPU", 30, " ms"
    ),
    Target(
        "poll.canvas.ratio",
        "the same beside a poll of a campaign, CPU",
        15,
        "×",
        floor=25,
    ),
    Target("fleet.10000.cpu", "10,000 campaigns every 5 minutes: CPU", 25, " %"),
    Target("fleet.10000.lag", "10,000 campaigns: p99 of the start lag", 5, " s"),
    Target("fleet.10000.rss", "10,000 campaigns: RSS", 300, " MiB"),
    Target("idle.cpu", "100 campaigns every 5 minutes: CPU", 0.5, " %"),
    Target("idle.rss", "100 campaigns every 5 minutes: RSS", 60, " MiB"),
    Target(
        "dashboards.seconds",
        "200 campaigns: all panels of a dashboard, one after the other",
        5,
        " s",
    ),
)
_BY_NAME = {target.name: target for target in TARGETS}

Figures = Mapping[str, float]
"""Target's name → what was measured."""


def verdicts(figures: Figures) -> Table:
    """Return how each target fares that was measured."""
    return Table(
        name=TABLE,
        caption="Each target, and what this run measured.",
        header=("Target", "Wanted", "Measured", "Met"),
        rows=[
            (
                target.what,
                f"{'≥' if target.is_least else '≤'} {target.bound:g}{target.unit}",
                f"{three_digits(figures[target.name])}{target.unit}",
                "met" if target.is_met(figures[target.name]) else "**missed**",
            )
            for target in TARGETS
            if target.name in figures
        ],
    )


def below_floor(figures: Figures) -> Iterable[str]:
    """Name what of a small run is not good enough, with its figure."""
    for name, figure in figures.items():
        target = _BY_NAME[name]
        if not target.is_above_floor(figure):
            yield f"{target.what}: {figure:.3g}{target.unit}, floor {target.floor}"
