"""What a scrape costs, beside prometheus_client's own server with the same series."""

from __future__ import annotations

import contextlib
import itertools
import resource
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from exporter.polling import slots

from benchmarks import documents, exporters, rivals
from benchmarks.exporters import Server
from benchmarks.outcome import Outcome, print_step
from benchmarks.processes import module
from benchmarks.scraper import Scrape, Scraper
from benchmarks.tables import (
    Table,
    kibibytes,
    mebibytes,
    milliseconds,
    percentile,
    times,
    whole,
)

TABLES = frozenset({"scrape", "scrape-memory", "scrape-changing", "scrape-silent"})
"""What a full run makes."""

OURS = "exporter"
_SHARE = 10
"""One campaign in so many is polled between two scrapes."""
_WINDOW = 0.02
"""The part of an interval in which all of such a share are polled."""
_MOST_SCRAPES = 200
_SILENT_PACE_SECONDS = 0.03
_SILENT_SECONDS = 12.0
"""Longer than the exporter's timeout of ten seconds for a silent client."""
_SETTLING_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    campaigns: Sequence[int] = (1, 10, 100, 1000)
    rounds: int = 3
    seconds: float = 0.5
    """For so long one server is scraped in one round, but at least once."""
    changing: Sequence[int] = (100, 1000)
    changing_scrapes: int = 5
    silent_clients: int = 3000
    silent_rounds: int = 3
    rivals: Sequence[str] = tuple(rivals.KINDS)


FULL = Plan()
QUICK = Plan(
    campaigns=(10, 100),
    rounds=2,
    seconds=0.1,
    changing=(100,),
    silent_rounds=1,
)
SMALL = Plan(
    campaigns=(100,),
    rounds=2,
    seconds=0.1,
    changing=(100,),
    changing_scrapes=3,
    silent_rounds=0,
    rivals=("gauges",),
)
"""What the test suite has time for."""


ENCODINGS = ("plain", "gzip")


@dataclass(slots=True)
class Cost:
    """What scrapes of one server and variant cost, one figure for each round."""

    cpu_seconds: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    body_bytes: int = 0

    @property
    def cpu(self) -> float:
        """The median of the server's CPU a scrape."""
        return median(self.cpu_seconds)

    @property
    def latency(self) -> float:
        """The median of the latency."""
        return median(self.seconds)


Costs = Mapping[tuple[str, str], Cost]


@dataclass(frozen=True, slots=True)
class Size:
    """One size of a page, and what was measured with it."""

    series: int
    costs: Costs
    peaks: Mapping[str, int]
    """Memory of a server that is scraped with gzip, as Prometheus does."""
    plain_peak: int
    """Memory of the exporter after repeated scrapes without compression."""

    def ratio(self, encoding: str, rival: str = "gauges") -> float:
        """Return how many times less CPU ours takes."""
        return self.costs[rival, encoding].cpu / self.costs[OURS, encoding].cpu


def run(plan: Plan) -> Outcome:
    """Measure everything in the plan."""
    outcome = Outcome()
    sizes = {}
    for campaigns in plan.campaigns:
        print_step(f"scrape: {campaigns} campaigns")
        sizes[campaigns] = measured(plan, campaigns)
    outcome.tables += [
        _cost_table(plan, sizes.values()),
        _memory_table(plan, sizes.values()),
    ]
    for campaigns, size in sizes.items():
        name = _size_name(campaigns)
        for encoding in ENCODINGS:
            outcome.figure(f"scrape.{name}.{encoding}", size.ratio(encoding))
        outcome.figure(f"scrape.{name}.rss", size.peaks[OURS] / 2**20)
    _add_changing(outcome, plan, sizes)
    if plan.silent_rounds:
        print_step("scrape: silent connections")
        _add_silent(outcome, plan)
    return outcome


def measured(plan: Plan, campaigns: int) -> Size:
    """Measure ours beside all rivals, in turn."""
    with exporters.filled(campaigns=campaigns, shape=documents.USUAL) as exporter:
        page = exporter.page()
        peak = exporter.process.peak_bytes
        series = page.count("\nbraze_campaign_")
        with _rivals(page, plan.rivals) as others:
            del page
            servers: dict[str, Server] = {OURS: exporter, **others}
            costs = _costs(servers, plan)
            peaks = {name: one.process.peak_bytes for name, one in servers.items()}
    plain_peak = peaks[OURS]
    peaks[OURS] = peak
    return Size(series=series, costs=costs, peaks=peaks, plain_peak=plain_peak)


@contextlib.contextmanager
def _rivals(page: str, kinds: Iterable[str]) -> Iterator[dict[str, Server]]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        file = folder / "page"
        file.write_text(page, encoding="utf-8")
        processes = {
            kind: stack.enter_context(module("benchmarks.rivals", kind, str(file)))
            for kind in kinds
        }
        yield {
            kind: Server(process, process.read_line())
            for kind, process in processes.items()
        }


def _costs(servers: Mapping[str, Server], plan: Plan) -> Costs:
    costs = {each: Cost() for each in itertools.product(servers, ENCODINGS)}
    for _ in range(plan.rounds):
        for (name, encoding), cost in costs.items():
            server = servers[name]
            scraper = Scraper(server.url, encoding)
            if not cost.seconds and name == OURS:
                scraper.scrape()  # the first one may have to make what is then kept
            add_round(cost, server, scraper, seconds=plan.seconds)
    return costs


def add_round(cost: Cost, server: Server, scraper: Scraper, *, seconds: float) -> None:
    """Scrape for a while, and note what one scrape cost."""
    scrapes: list[Scrape] = []
    give_up_at = time.perf_counter() + seconds
    before = server.process.cpu_seconds
    while not scrapes or (
        time.perf_counter() < give_up_at and len(scrapes) < _MOST_SCRAPES
    ):
        scrapes.append(scraper.scrape())
    time.sleep(_SETTLING_SECONDS)  # it closes the last connection
    used = server.process.cpu_seconds - before
    cost.cpu_seconds.append(used / len(scrapes))
    cost.seconds.append(median(one.seconds for one in scrapes))
    cost.body_bytes = scrapes[-1].body_bytes


def _size_name(campaigns: int) -> str:
    return "1m" if campaigns == 1000 else f"{campaigns}k"


def _cost_table(plan: Plan, sizes: Iterable[Size]) -> Table:
    names = (OURS, *plan.rivals)
    rows = []
    for size in sizes:
        for encoding in ENCODINGS:
            costs = [size.costs[name, encoding] for name in names]
            rows.append(
                (
                    whole(size.series),
                    encoding,
                    _each(one.cpu for one in costs),
                    *(times(size.ratio(encoding, rival)) for rival in plan.rivals),
                    _each(one.latency for one in costs),
                    " / ".join(kibibytes(one.body_bytes) for one in costs),
                )
            )
    less = [f"Less than {rival}" for rival in plan.rivals]
    return Table(
        name="scrape",
        caption=f"Server CPU, latency and body of one scrape: {' / '.join(names)}.",
        header=("Series", "Format", "CPU", *less, "Latency", "Body"),
        rows=rows,
    )


def _each(seconds: Iterable[float]) -> str:
    return " / ".join(map(milliseconds, seconds))


def _memory_table(plan: Plan, sizes: Iterable[Size]) -> Table:
    names = (OURS, *plan.rivals)
    return Table(
        name="scrape-memory",
        caption=(
            "Peak RSS of the server's process in MiB, filling included. For the "
            "exporter after gzip pages and after plain pages, of which the text is "
            "cached for 5 minutes."
        ),
        header=("Series", *names, f"{OURS}, plain"),
        rows=[
            (
                whole(size.series),
                *(whole(size.peaks[one] / 2**20) for one in names),
                whole(size.plain_peak / 2**20),
            )
            for size in sizes
        ],
    )


def _add_changing(outcome: Outcome, plan: Plan, sizes: Mapping[int, Size]) -> None:
    rows = []
    for campaigns in plan.changing:
        print_step(f"scrape: {campaigns} campaigns, a tenth polled between scrapes")
        costs = changing(campaigns, scrapes=plan.changing_scrapes)
        size = sizes[campaigns]
        for encoding, cost in costs.items():
            rival = size.costs["gauges", encoding].cpu
            name = f"scrape.{_size_name(campaigns)}.{encoding}.changing"
            outcome.figure(name, rival / cost.cpu)
            rows.append(
                (
                    whole(size.series),
                    encoding,
                    milliseconds(cost.cpu),
                    milliseconds(rival),
                    times(rival / cost.cpu),
                    milliseconds(cost.latency),
                )
            )
    table = Table(
        name="scrape-changing",
        caption=(
            "A tenth of the campaigns was polled since the last scrape; the polls' own "
            "cost is not in it. For gauges it makes no difference."
        ),
        header=("Series", "Format", "CPU", "Gauges' CPU", "Less", "Latency"),
        rows=rows,
    )
    if rows:
        outcome.tables.append(table)


def changing(campaigns: int, *, scrapes: int) -> dict[str, Cost]:
    """Scrape each time after a tenth of the campaigns has been polled.

    The ids are such that their slots come in ten heaps, with silence between them.
    """
    interval = 10.0 if campaigns <= 100 else 60.0
    costs = {encoding: Cost() for encoding in ENCODINGS}
    with exporters.filled(
        campaigns=campaigns,
        shape=documents.USUAL,
        interval=f"{interval:g}s",
        is_changing=True,
        ids=list(itertools.islice(_heaped_ids(), campaigns)),
    ) as exporter:
        _sleep_past_heaps(exporter, interval, heaps=_SHARE)
        for encoding in ENCODINGS:
            scraper = Scraper(exporter.url, encoding)
            scraper.scrape()
            for _ in range(scrapes):
                _sleep_past_heaps(exporter, interval, heaps=1)
                add_round(costs[encoding], exporter, scraper, seconds=0)
    return costs


def _heaped_ids() -> Iterator[str]:
    """Yield ids of which a tenth each is polled at about the same time."""
    heaps: list[list[str]] = [[] for _ in range(_SHARE)]
    for number in itertools.count():
        id_ = documents.campaign_id(number)
        heap, place = divmod(slots.phase(id_) * _SHARE, 1)
        if place < _WINDOW * _SHARE:
            heaps[int(heap)].append(id_)
        if all(heaps):
            yield from (heap.pop() for heap in heaps)


def _sleep_past_heaps(server: Server, interval: float, *, heaps: int) -> None:
    """Sleep until so many heaps of polls are over."""
    apart = interval / _SHARE
    at = (time.time() // apart + heaps) * apart
    time.sleep(at + _WINDOW * interval - time.time())
    server.process.wait_until_idle()


def _add_silent(outcome: Outcome, plan: Plan) -> None:
    """Scrape beside idle connections, and one server without them."""
    alone = f"{OURS}, without them"
    rounds: dict[str, list[list[float]]] = {OURS: [], alone: [], "gauges": []}
    with contextlib.ExitStack() as stack:
        exporter, quiet = (
            stack.enter_context(exporters.filled(campaigns=10, shape=documents.USUAL))
            for _ in range(2)
        )
        others = stack.enter_context(_rivals(exporter.page(), ("gauges",)))
        servers: dict[str, Server] = {OURS: exporter, alone: quiet, **others}
        for _ in range(plan.silent_rounds):
            for names in ((OURS, alone), ("gauges",)):
                with _silent_clients(servers[names[0]].url, plan.silent_clients):
                    found = _latencies({name: servers[name] for name in names})
                for name in names:
                    rounds[name].append(found[name])
        peaks = {name: one.process.peak_bytes for name, one in servers.items()}
    latencies = {
        name: [
            median(percentile(one, percent) for one in found) for percent in (50, 99)
        ]
        for name, found in rounds.items()
    }
    outcome.figure("scrape.silent", latencies[OURS][1] * 1000)
    outcome.tables.append(
        Table(
            name="scrape-silent",
            caption=(
                f"Latency of a gzip page of 10,000 series beside "
                f"{plan.silent_clients:,} silent connections, until after the exporter "
                "has closed them."
            ),
            header=("Server", "p50", "p99", "Peak RSS"),
            rows=[
                (name, *map(milliseconds, latencies[name]), mebibytes(peaks[name]))
                for name in servers
            ],
        )
    )


def _latencies(servers: Mapping[str, Server]) -> dict[str, list[float]]:
    """Scrape servers in turn at a steady pace; return how long each scrape took."""
    scrapers = {name: Scraper(one.url, "gzip") for name, one in servers.items()}
    found: dict[str, list[float]] = {name: [] for name in servers}
    give_up_at = time.perf_counter() + _SILENT_SECONDS
    while time.perf_counter() < give_up_at:
        for name, scraper in scrapers.items():
            found[name].append(scraper.scrape().seconds)
        time.sleep(_SILENT_PACE_SECONDS)
    return found


@contextlib.contextmanager
def _silent_clients(url: str, count: int) -> Iterator[None]:
    """Keep this many idle connections open."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    parts = urlsplit(url)
    address = (parts.hostname or "", parts.port or 80)
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(socket.create_connection(address, 60))
            # Python's own servers have a backlog of five: a sixth would wait a second.
            time.sleep(0.0005)
        yield
