"""Unavoidable costs of a scrape: compressing, checking, joining and sending a page."""

from __future__ import annotations

import importlib
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from benchmarks import documents, exporters, nginx
from benchmarks.outcome import Outcome, tell
from benchmarks.scrape import Cost, Server, Variant, add_round, scraper_of
from benchmarks.tables import Table, kibibytes, median, milliseconds

TABLES = frozenset({"limits"})
"""What a full run makes."""

_PIECES = 1_000


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    campaigns: int = 100
    rounds: int = 5


FULL = Plan()
QUICK = Plan(rounds=2)


def run(plan: Plan) -> Outcome:
    """Measure what a page of that many campaigns costs at least."""
    tell("limits")
    with exporters.filled(campaigns=plan.campaigns, shape=documents.USUAL) as exporter:
        page = exporter.page().encode()
        packed = scraper_of(exporter.url, Variant(is_gzip=True)).page()
    rows = [
        (name, kibibytes(length), milliseconds(median(seconds)))
        for name, length, seconds in _costs(plan, page, packed)
    ]
    lines = page.count(b"\n")
    return Outcome(
        tables=[
            Table(
                name="limits",
                caption=f"CPU of what there is to do with a page of {lines:,} lines.",
                header=("What", "Bytes", "CPU"),
                rows=rows,
            )
        ]
    )


def _costs(
    plan: Plan, page: bytes, packed: bytes
) -> Iterator[tuple[str, int, list[float]]]:
    """Yield what is done, to how many bytes, and what each round cost."""
    size = -(-len(page) // _PIECES)
    pieces = [page[start : start + size] for start in range(0, len(page), size)]
    for name, work in (
        ("join it of a thousand pieces", lambda: b"".join(pieces)),
        ("its CRC-32 (`zlib`)", lambda: zlib.crc32(page)),
        ("gzip it, level 1 (`zlib`)", lambda: zlib.compress(page, 1)),
        ("gzip it, level 9 (`zlib`)", lambda: zlib.compress(page, 9)),
        *_other_packers(page),
    ):
        yield name, len(page), [_cpu(work) for _ in range(plan.rounds)]
    if nginx.is_installed():
        for name, body in (("plain", page), ("gzip", packed)):
            is_gzip = name == "gzip"
            with nginx.serving(body, is_gzip=is_gzip) as (process, url):
                cost = Cost()
                scraper = scraper_of(url, Variant(is_gzip=is_gzip))
                server = Server(process, url)
                for _ in range(plan.rounds):
                    add_round(cost, server, scraper, seconds=0.2)
            yield f"send it (nginx), {name}", len(body), cost.cpu_seconds


def _other_packers(page: bytes) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield those that are installed."""
    for name in ("isal.isal_zlib", "zlib_ng.zlib_ng"):
        try:
            compress = importlib.import_module(name).compress
        except ImportError:
            continue
        yield f"gzip it, level 1 (`{name}`)", partial(compress, page, 1)


def _cpu(work: Callable[[], object]) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before
