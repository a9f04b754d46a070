"""What a user would otherwise serve: the same series with prometheus_client's server.

`python -m benchmarks.rivals KIND PAGE` reads the series from a page in the text format,
holds them as labelled gauges or in a custom collector, and prints its URL.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Gauge, Metric, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

_SAMPLE = re.compile(r"(\w+)(?:\{(.*)\})? (\S+)\n")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_PREFIX = "braze_campaign_"


class Sample(NamedTuple):
    """One series of a campaign."""

    family: str
    labels: Mapping[str, str]
    value: float


def samples(page: Path) -> Iterator[Sample]:
    """Read the campaigns' series line by line: a page is not held in memory."""
    with page.open(encoding="utf-8") as lines:
        for line in lines:
            match = _SAMPLE.fullmatch(line) if line.startswith(_PREFIX) else None
            if match:
                labels = dict(_LABEL.findall(match[2] or ""))
                yield Sample(match[1], labels, float(match[3]))


def gauges(page: Path) -> CollectorRegistry:
    """Set one child of a labelled gauge for each series."""
    registry = CollectorRegistry()
    for family, group in groupby(samples(page), key=itemgetter(0)):
        gauge: Gauge | None = None
        for sample in group:
            if gauge is None:
                gauge = Gauge(family, "Polled.", list(sample.labels), registry=registry)
            gauge.labels(**sample.labels).set(sample.value)
    return registry


class Collected(Collector):
    """Makes the families anew for each scrape, from numbers that it keeps."""

    def __init__(self, page: Path) -> None:
        self._names: dict[str, list[str]] = {}
        self._samples: dict[str, list[tuple[list[str], float]]] = {}
        for sample in samples(page):
            self._names.setdefault(sample.family, list(sample.labels))
            kept = self._samples.setdefault(sample.family, [])
            kept.append((list(sample.labels.values()), sample.value))

    def collect(self) -> Iterator[Metric]:
        """Yield all families."""
        for family, names in self._names.items():
            metric = GaugeMetricFamily(family, "Polled.", labels=names)
            for labels, value in self._samples[family]:
                metric.add_metric(labels, value)
            yield metric


def collector(page: Path) -> CollectorRegistry:
    """Register a custom collector that knows each series."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collected(page))
    return registry


KINDS: Mapping[str, Callable[[Path], CollectorRegistry]] = {
    "gauges": gauges,
    "collector": collector,
}


def serve(kind: str, page: Path) -> None:
    """Serve until the process is ended."""
    registry = KINDS[kind](page)
    server, thread = start_http_server(0, "127.0.0.1", registry)
    sys.stdout.write(f"http://127.0.0.1:{server.server_port}/metrics\n")
    sys.stdout.flush()
    thread.join()


if __name__ == "__main__":
    serve(sys.argv[1], Path(sys.argv[2]))
