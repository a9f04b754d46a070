"""What fleets cost over some minutes, polled every five minutes of the simulator."""

from __future__ import annotations

import contextlib
import math
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from exporter.simulator import SimulatorSettings
from exporter.simulator.fleet import build_fleet

from benchmarks import documents, exporters
from benchmarks.exporters import Exporter
from benchmarks.outcome import Outcome, tell
from benchmarks.processes import module
from benchmarks.scraper import Scraper
from benchmarks.tables import Table, mebibytes, percentile, whole

TABLES = frozenset({"fleet"})
"""What a full run makes."""

_API_KEY = SimulatorSettings().api_key
_LAG = "braze_exporter_poll_lag_seconds"
_SUCCESS = "braze_campaign_last_success_timestamp_seconds"
_SCRAPE_EVERY_SECONDS = 15.0
_IDLE = 100
"""A fleet of so many campaigns leaves the exporter idle nearly all the time."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    campaigns: Sequence[int] = (100, 1_000, 10_000)
    interval_seconds: float = 300.0
    seconds: float = 180.0
    settling_seconds: float = 300.0
    """After the first round: by the end every campaign has its regular slot."""
    requests_per_minute: int = 6_000
    has_targets: bool = True


FULL = Plan()
QUICK = Plan(
    campaigns=(100,),
    interval_seconds=20,
    seconds=15,
    settling_seconds=10,
    has_targets=False,
)


@dataclass(frozen=True, slots=True)
class Look:
    """What a daemon shows at one moment."""

    at: float
    page: str
    cpu_before: float
    cpu_after: float
    """In seconds; between the two lies what the look itself costs."""

    @property
    def polls(self) -> float:
        """How many polls there were."""
        return exporters.stored_polls(self.page)

    def lag_buckets(self) -> list[tuple[float, float]]:
        """Return (upper bound in seconds, polls that were as late or less)."""
        pattern = rf'^{_LAG}_bucket{{.*le="([^"]+)".*}} (\S+)$'
        found = re.findall(pattern, self.page, re.MULTILINE)
        return [(float(bound), float(count)) for bound, count in found]

    def ages(self) -> list[float]:
        """Return how old the numbers of each campaign are."""
        found = re.findall(rf"^{_SUCCESS}{{.*}} (\S+)$", self.page, re.MULTILINE)
        return [self.at - float(instant) for instant in found]


@dataclass(frozen=True, slots=True)
class Run:
    """What a fleet did between two looks."""

    campaigns: int
    exporter: Exporter
    first: Look
    last: Look

    @property
    def cpu_percent(self) -> float:
        """The share of one core, in percent."""
        seconds = self.last.at - self.first.at
        return (self.last.cpu_before - self.first.cpu_after) / seconds * 100

    @property
    def lag_seconds(self) -> float:
        """How late the latest of a hundred polls began."""
        return _quantile(self.first.lag_buckets(), self.last.lag_buckets(), 0.99)

    def row(self) -> tuple[str, ...]:
        """Return all of it in words."""
        seconds = self.last.at - self.first.at
        ages = self.last.ages()
        return (
            whole(self.campaigns),
            whole(self.last.page.count("\nbraze_campaign_")),
            f"{(self.last.polls - self.first.polls) / seconds:.2f}",
            f"{self.cpu_percent:.2f} %",
            mebibytes(self.exporter.process.resident_bytes),
            mebibytes(self.exporter.process.peak_bytes),
            f"{self.lag_seconds:.2f} s",
            f"{percentile(ages, 50):.0f} s",
            f"{percentile(ages, 99):.0f} s",
        )

    def note_figures(self, outcome: Outcome) -> None:
        """Note what there is a target for."""
        resident = self.exporter.process.resident_bytes
        for name in (
            f"fleet.{self.campaigns}",
            "idle" if self.campaigns == _IDLE else "",
        ):
            outcome.figure(f"{name}.cpu", self.cpu_percent)
            outcome.figure(f"{name}.lag", self.lag_seconds)
            outcome.figure(f"{name}.rss", resident / 2**20)


def run(plan: Plan) -> Outcome:
    """Run all fleets at the same time, each with its own fake Braze."""
    outcome = Outcome()
    with contextlib.ExitStack() as stack:
        exporters_of = {}
        for campaigns in plan.campaigns:
            tell(f"fleet: the first round of {campaigns} campaigns")
            exporters_of[campaigns] = stack.enter_context(_polling(plan, campaigns))
        tell(f"fleet: {plan.settling_seconds + plan.seconds:.0f} s")
        time.sleep(plan.settling_seconds)
        first = {campaigns: _look(one) for campaigns, one in exporters_of.items()}
        _scrape_for(plan.seconds, exporters_of.values())
        last = {campaigns: _look(one) for campaigns, one in exporters_of.items()}
        rows = []
        for campaigns, exporter in exporters_of.items():
            one = Run(campaigns, exporter, first[campaigns], last[campaigns])
            rows.append(one.row())
            if plan.has_targets:
                one.note_figures(outcome)
    outcome.tables.append(
        Table(
            name="fleet",
            caption=(
                f"Fleets polled every {plan.interval_seconds:g} s, over "
                f"{plan.seconds:g} s, with a gzip scrape every "
                f"{_SCRAPE_EVERY_SECONDS:g} s; CPU is of one core."
            ),
            header=(
                *("Campaigns", "Series", "Polls a second", "CPU", "RSS", "Peak RSS"),
                *("Lag p99", "Age p50", "Age p99"),
            ),
            rows=rows,
        )
    )
    return outcome


@contextlib.contextmanager
def _polling(plan: Plan, campaigns: int) -> Iterator[Exporter]:
    """Run simulator and daemon until the first round is over, and go on."""
    fleet = build_fleet(seed=1, first_day=documents.today(), size=campaigns)
    with module(
        *("exporter", "simulate", "--listen-address=127.0.0.1:0"),
        f"--campaigns={campaigns}",
    ) as simulator:
        match = re.search(r"at (\S+),", simulator.read_line())
        endpoint = match[1] if match else ""
        document = exporters.configuration(
            endpoint,
            [campaign.id for campaign in fleet],
            interval=f"{plan.interval_seconds:g}s",
            requests_per_minute=plan.requests_per_minute,
        )
        with exporters.daemon(document, api_key=_API_KEY) as exporter:
            time.sleep(campaigns / plan.requests_per_minute * 60)
            exporters.wait_for_first_round(exporter, campaigns, in_silence=False)
            yield exporter


def _look(exporter: Exporter) -> Look:
    before = exporter.process.cpu_seconds
    at = time.time()
    page = exporter.page()
    after = exporter.process.cpu_seconds
    return Look(at=at, page=page, cpu_before=before, cpu_after=after)


def _scrape_for(seconds: float, daemons: Iterable[Exporter]) -> None:
    """Scrape all of them at a steady pace for so long."""
    scrapers = [Scraper(one.url, is_gzip=True, is_openmetrics=True) for one in daemons]
    began_at = time.monotonic()
    at = began_at
    while at < began_at + seconds:
        for scraper in scrapers:
            scraper.scrape()
        at += _SCRAPE_EVERY_SECONDS
        time.sleep(max(min(at, began_at + seconds) - time.monotonic(), 0))


def _quantile(
    before: Sequence[tuple[float, float]],
    after: Sequence[tuple[float, float]],
    part: float,
) -> float:
    """Return the quantile of what a histogram took in, as Prometheus works it out."""
    pairs = zip(before, after, strict=True)
    added = [(bound, count - former) for (_, former), (bound, count) in pairs]
    rank = part * added[-1][1]
    lower, fewer = 0.0, 0.0
    for bound, count in added:
        if count >= rank and count > fewer:
            if math.isinf(bound):
                break
            return lower + (bound - lower) * (rank - fewer) / (count - fewer)
        lower, fewer = bound, count
    return lower
