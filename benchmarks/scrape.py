"""What a scrape costs, beside prometheus_client's own server with the same series."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from exporter.polling import slots

from benchmarks import documents, exporters, nginx, rivals
from benchmarks.outcome import Outcome, tell
from benchmarks.processes import Process, module
from benchmarks.scraper import Scrape, Scraper
from benchmarks.sockets import silent_clients
from benchmarks.tables import (
    Table,
    kibibytes,
    mebibytes,
    median,
    milliseconds,
    percentile,
    times,
    whole,
)

TABLES = frozenset(
    {
        "scrape",
        "scrape-memory",
        "scrape-shapes",
        "scrape-changing",
        "scrape-nginx",
        "scrape-silent",
    }
)
"""What a full run makes."""

OURS = "exporter"
_SHARE = 10
"""One campaign in so many is polled between two scrapes."""
_WINDOW = 0.02
"""The part of an interval in which all of such a share are polled."""
_MOST_SCRAPES = 200
_CROWD_PACE_SECONDS = 0.03
_CROWD_SECONDS = 12.0
"""Longer than the exporter's timeout of ten seconds for a silent client."""
_SETTLING_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    campaigns: Sequence[int] = (1, 10, 100, 1000)
    rounds: int = 3
    seconds: float = 0.5
    """For so long one server is scraped in one round, but at least once."""
    has_openmetrics: bool = True
    changing: Sequence[int] = (100, 1000)
    changing_scrapes: int = 5
    nginx: int | None = 1000
    silent_clients: int = 3000
    crowds: int = 3
    rivals: Sequence[str] = tuple(rivals.KINDS)
    shapes: Sequence[documents.Shape] = (documents.NARROW, documents.WIDE)


FULL = Plan()
QUICK = Plan(
    campaigns=(10, 100),
    rounds=2,
    seconds=0.1,
    has_openmetrics=False,
    changing=(100,),
    nginx=100,
    crowds=1,
    shapes=(),
)
SMALL = Plan(
    campaigns=(100,),
    rounds=2,
    seconds=0.1,
    has_openmetrics=False,
    changing=(100,),
    changing_scrapes=3,
    nginx=None,
    crowds=0,
    rivals=("gauges",),
    shapes=(),
)
"""What the test suite has time for."""


@dataclass(frozen=True, slots=True)
class Variant:
    """How a page is requested."""

    is_gzip: bool
    is_openmetrics: bool = False

    def __str__(self) -> str:
        form = "OpenMetrics" if self.is_openmetrics else "text"
        return f"{form}, {self.encoding}"

    @property
    def encoding(self) -> str:
        """The word for it in names and tables."""
        return "gzip" if self.is_gzip else "plain"


TEXT = (Variant(is_gzip=False), Variant(is_gzip=True))
ALL = (*TEXT, *(Variant(one.is_gzip, is_openmetrics=True) for one in TEXT))


@dataclass(frozen=True, slots=True)
class Server:
    """A process that can be scraped."""

    process: Process
    url: str


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


Costs = Mapping[tuple[str, Variant], Cost]


@dataclass(frozen=True, slots=True)
class Size:
    """One size of a page, and what was measured with it."""

    series: int
    costs: Costs
    peaks: Mapping[str, int]
    """Memory of a server that is scraped with gzip, as Prometheus does."""
    plain_peak: int
    """Memory of the exporter after repeated scrapes without compression."""

    def ratio(self, variant: Variant, rival: str = "gauges") -> float:
        """Return how many times less CPU ours takes."""
        return self.costs[rival, variant].cpu / self.costs[OURS, variant].cpu


def run(plan: Plan) -> Outcome:
    """Measure everything in the plan."""
    variants = ALL if plan.has_openmetrics else TEXT
    outcome = Outcome()
    sizes = {}
    for campaigns in plan.campaigns:
        tell(f"scrape: {campaigns} campaigns")
        sizes[campaigns] = measured(plan, campaigns, documents.USUAL, variants)
    outcome.tables += [
        _cost_table(plan, sizes.values()),
        _memory_table(plan, sizes.values()),
    ]
    for campaigns, size in sizes.items():
        name = _size_name(campaigns)
        for variant in TEXT:
            outcome.figure(f"scrape.{name}.{variant.encoding}", size.ratio(variant))
        outcome.figure(f"scrape.{name}.rss", size.peaks[OURS] / 2**20)
    if plan.shapes:
        outcome.tables.append(_shape_table(plan, sizes.get(100)))
    _add_changing(outcome, plan, sizes)
    if plan.nginx and nginx.is_installed():
        tell("scrape: nginx")
        _add_nginx(outcome, plan, plan.nginx)
    if plan.crowds:
        tell("scrape: silent connections")
        _add_crowd(outcome, plan)
    return outcome


def measured(
    plan: Plan, campaigns: int, shape: documents.Shape, variants: Sequence[Variant]
) -> Size:
    """Measure ours beside all rivals, in turn."""
    with exporters.filled(campaigns=campaigns, shape=shape) as exporter:
        page = exporter.page()
        peak = exporter.process.peak_bytes
        series = page.count("\nbraze_campaign_")
        with _rivals(page, plan.rivals) as others:
            del page
            ours = Server(exporter.process, exporter.url)
            servers = {OURS: ours, **others}
            costs = _costs(servers, variants, plan)
            peaks = {name: one.process.peak_bytes for name, one in servers.items()}
    return Size(
        series=series,
        costs=costs,
        peaks={**peaks, OURS: peak},
        plain_peak=peaks[OURS],
    )


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


def _costs(
    servers: Mapping[str, Server], variants: Sequence[Variant], plan: Plan
) -> Costs:
    costs = {each: Cost() for each in itertools.product(servers, variants)}
    for _ in range(plan.rounds):
        for (name, variant), cost in costs.items():
            server = servers[name]
            scraper = scraper_of(server.url, variant)
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


def scraper_of(url: str, variant: Variant) -> Scraper:
    """Return a scraper of this URL and variant."""
    return Scraper(url, is_gzip=variant.is_gzip, is_openmetrics=variant.is_openmetrics)


def _size_name(campaigns: int) -> str:
    return "1m" if campaigns == 1000 else f"{campaigns}k"


def _cost_table(plan: Plan, sizes: Iterable[Size]) -> Table:
    names = (OURS, *plan.rivals)
    return Table(
        name="scrape",
        caption=f"Server CPU, latency and body of one scrape: {' / '.join(names)}.",
        header=(
            "Series",
            "Format",
            "CPU",
            *(f"Less than {rival}" for rival in plan.rivals),
            "Latency",
            "Body",
        ),
        rows=[
            (
                whole(size.series),
                str(variant),
                _each(size.costs[name, variant].cpu for name in names),
                *(times(size.ratio(variant, rival)) for rival in plan.rivals),
                _each(size.costs[name, variant].latency for name in names),
                " / ".join(
                    kibibytes(size.costs[name, variant].body_bytes) for name in names
                ),
            )
            for size in sizes
            for name, variant in size.costs
            if name == OURS
        ],
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


def _shape_table(plan: Plan, usual: Size | None) -> Table:
    """Measure as many series in campaigns of other widths."""
    sizes = {} if usual is None else {documents.USUAL: usual}
    counts = {documents.NARROW: 123, documents.WIDE: 20}
    for shape in plan.shapes:
        sizes[shape] = measured(plan, counts[shape], shape, TEXT)
    return Table(
        name="scrape-shapes",
        caption="About 100,000 series in campaigns of different widths.",
        header=("Document", "Series", "Format", "CPU", "Less than gauges"),
        rows=[
            (
                str(shape),
                whole(size.series),
                str(variant),
                milliseconds(size.costs[OURS, variant].cpu),
                times(size.ratio(variant)),
            )
            for shape, size in sizes.items()
            for variant in TEXT
        ],
    )


def _add_changing(outcome: Outcome, plan: Plan, sizes: Mapping[int, Size]) -> None:
    rows = []
    for campaigns in plan.changing:
        tell(f"scrape: {campaigns} campaigns, a tenth polled between scrapes")
        costs = changing(campaigns, scrapes=plan.changing_scrapes)
        size = sizes[campaigns]
        for variant, cost in costs.items():
            rival = size.costs["gauges", variant].cpu
            name = f"scrape.{_size_name(campaigns)}.{variant.encoding}.changing"
            outcome.figure(name, rival / cost.cpu)
            rows.append(
                (
                    whole(size.series),
                    str(variant),
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


def changing(campaigns: int, *, scrapes: int) -> dict[Variant, Cost]:
    """Scrape each time after a tenth of the campaigns has been polled.

    The ids are such that their slots come in ten heaps, with silence between them.
    """
    interval = 10.0 if campaigns <= 100 else 60.0
    costs = {variant: Cost() for variant in TEXT}
    with exporters.filled(
        campaigns=campaigns,
        shape=documents.USUAL,
        interval=f"{interval:g}s",
        is_changing=True,
        ids=list(itertools.islice(_heaped_ids(), campaigns)),
    ) as exporter:
        server = Server(exporter.process, exporter.url)
        _sleep_past_heaps(server, interval, heaps=_SHARE)
        for variant in TEXT:
            scraper = scraper_of(server.url, variant)
            scraper.scrape()
            for _ in range(scrapes):
                _sleep_past_heaps(server, interval, heaps=1)
                add_round(costs[variant], server, scraper, seconds=0)
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


def _add_nginx(outcome: Outcome, plan: Plan, campaigns: int) -> None:
    """Compare latencies of the same bytes; ours are kept between these scrapes."""
    variant = Variant(is_gzip=True)
    with exporters.filled(campaigns=campaigns, shape=documents.USUAL) as exporter:
        body = scraper_of(exporter.url, variant).page()
        with nginx.serving(body, is_gzip=True) as (process, url):
            servers = {
                OURS: Server(exporter.process, exporter.url),
                "nginx": Server(process, url),
            }
            # Many short turns: what disturbs one of them disturbs the other.
            costs = _costs(servers, (variant,), replace(plan, rounds=25, seconds=0.05))
    ours, theirs = (costs[name, variant].latency for name in servers)
    outcome.figure(f"scrape.{_size_name(campaigns)}.nginx", ours / theirs)
    outcome.tables.append(
        Table(
            name="scrape-nginx",
            caption="Latency of a gzip page beside nginx serving its bytes from tmpfs.",
            header=("Campaigns", "Body", "Ours", "nginx", "Ratio"),
            rows=[
                (
                    whole(campaigns),
                    kibibytes(len(body)),
                    milliseconds(ours),
                    milliseconds(theirs),
                    times(ours / theirs),
                )
            ],
        )
    )


def _add_crowd(outcome: Outcome, plan: Plan) -> None:
    """Scrape beside idle connections, and one server without them."""
    alone = f"{OURS}, without them"
    rounds: dict[str, list[list[float]]] = {OURS: [], alone: [], "gauges": []}
    with contextlib.ExitStack() as stack:
        exporter, quiet = (
            stack.enter_context(exporters.filled(campaigns=10, shape=documents.USUAL))
            for _ in range(2)
        )
        others = stack.enter_context(_rivals(exporter.page(), ("gauges",)))
        servers = {
            OURS: Server(exporter.process, exporter.url),
            alone: Server(quiet.process, quiet.url),
            **others,
        }
        for _ in range(plan.crowds):
            for names in ((OURS, alone), ("gauges",)):
                with silent_clients(servers[names[0]].url, plan.silent_clients):
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
    gzip = Variant(is_gzip=True)
    scrapers = {name: scraper_of(one.url, gzip) for name, one in servers.items()}
    found: dict[str, list[float]] = {name: [] for name in servers}
    give_up_at = time.perf_counter() + _CROWD_SECONDS
    while time.perf_counter() < give_up_at:
        for name, scraper in scrapers.items():
            found[name].append(scraper.scrape().seconds)
        time.sleep(_CROWD_PACE_SECONDS)
    return found
