"""The cost of each part of a poll, measured in a separate process.

`python -m benchmarks.parts ENDPOINT VARIATIONS DAYS` prints a line for each part: its
name and the CPU of one run in seconds.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from zoneinfo import ZoneInfo

import requests
from exporter.metrics import object_metrics
from exporter.model.config import Selection
from exporter.series import parse
from exporter.series.campaign_rows import CampaignRowParser

from benchmarks import documents
from benchmarks.polling import WINDOWS

END = "end"
"""The last line."""
_RUNS = 60
_WARM_RUNS = 5


def parts(endpoint: str, shape: documents.Shape) -> Iterator[tuple[str, float]]:
    """Yield each part's name and cost."""
    url = f"{endpoint}/campaigns/data_series"
    params = {"campaign_id": documents.campaign_id(0)}
    session = requests.Session()
    session.trust_env = False
    body = documents.body(shape, documents.today())
    document = json.loads(body)
    reading = parse.ParseOptions(
        row_parser=CampaignRowParser,
        today=documents.today(),
        timezone=ZoneInfo("UTC"),
        windows=WINDOWS,
        channels=Selection(),
        metrics=Selection(),
        series_limit=5000,
    )
    snapshot = parse.parse(document, reading)
    subject = object_metrics.ObjectLabels(
        "production", "campaign", "Newsletter", "an-id", {}
    )
    blocks = object_metrics.render_values(subject, snapshot)
    yield (
        "`requests.get`, a connection each, body read",
        cpu(lambda: requests.get(url, params, timeout=30).content),
    )
    yield (
        "`requests.Session.get` without the environment, body read",
        cpu(lambda: session.get(url, params=params, timeout=30).content),
    )
    yield f"`json.loads` of {len(body):,} bytes", cpu(lambda: json.loads(body))
    for name, read in _other_decoders():
        yield f"`{name}` of the same", cpu(partial(read, body))
    yield "`parse.parse`", cpu(lambda: parse.parse(document, reading))
    yield (
        f"`object_metrics.render_values`, {blocks.series:,} lines",
        cpu(lambda: object_metrics.render_values(subject, snapshot)),
    )


def _other_decoders() -> Iterator[tuple[str, Callable[[bytes], object]]]:
    """Yield those that are installed; the exporter does not need them."""
    for name, function in (("orjson", "loads"), ("msgspec.json", "decode")):
        try:
            yield f"{name}.{function}", getattr(importlib.import_module(name), function)
        except ImportError:
            continue


def cpu(run: Callable[[], object]) -> float:
    """Return the mean CPU of a run once it is warm, in seconds."""
    for _ in range(_WARM_RUNS):
        run()
    before = time.process_time()
    for _ in range(_RUNS):
        run()
    return (time.process_time() - before) / _RUNS


if __name__ == "__main__":
    wanted = documents.Shape(variations=int(sys.argv[2]), days=int(sys.argv[3]))
    for part, seconds in parts(sys.argv[1], wanted):
        sys.stdout.write(f"{part}\t{seconds}\n")
    sys.stdout.write(f"{END}\n")
