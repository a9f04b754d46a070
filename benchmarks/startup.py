"""What a start costs, beside importing the packages that a plain exporter would use."""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import braze, documents, exporters
from benchmarks.outcome import Outcome, tell
from benchmarks.processes import running, until, written
from benchmarks.scraper import Scraper
from benchmarks.sockets import free_port
from benchmarks.tables import Table, median, milliseconds, times

TABLES = frozenset({"startup"})
"""What a full run makes."""

_IMPORT = "import requests, prometheus_client, yaml, apscheduler.schedulers.background"
_MANY = 10_000


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    rounds: int = 9


FULL = Plan()
QUICK = Plan(rounds=3)


@dataclass(slots=True)
class Start:
    """What starts of one kind took, one figure for each round."""

    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)

    def add(self, seconds: float, cpu_seconds: float) -> None:
        """Note one start."""
        self.seconds.append(seconds)
        self.cpu_seconds.append(cpu_seconds)


def run(plan: Plan) -> Outcome:
    """Start everything in turn, several times."""
    tell("startup")
    imports, version, one, many = Start(), Start(), Start(), Start()
    for _ in range(plan.rounds):
        _add_to_end(imports, sys.executable, "-c", _IMPORT)
        _add_to_end(version, sys.executable, "-m", "exporter", "--version")
        _add_to_health(one, campaigns=1)
        _add_to_health(many, campaigns=_MANY)
    base = median(imports.cpu_seconds)
    return Outcome(
        tables=[
            Table(
                name="startup",
                caption="From the start of the process; CPU beside the bare import.",
                header=("What", "Time", "CPU", "Ratio"),
                rows=[
                    (
                        name,
                        milliseconds(median(start.seconds)),
                        milliseconds(median(start.cpu_seconds)),
                        times(median(start.cpu_seconds) / base),
                    )
                    for name, start in (
                        (f"`python -c '{_IMPORT}'`", imports),
                        ("`braze-exporter --version`", version),
                        ("daemon, 1 campaign, until `/-/healthy`", one),
                        (f"daemon, {_MANY:,} campaigns, until `/-/healthy`", many),
                    )
                ],
            )
        ]
    )


def _add_to_end(start: Start, *command: str) -> None:
    began_at = time.perf_counter()
    with running(*command) as process:
        cpu_seconds = process.wait()
        start.add(time.perf_counter() - began_at, cpu_seconds)


def _add_to_health(start: Start, *, campaigns: int) -> None:
    """Start the daemon with a Braze that is not there."""
    ids = [documents.campaign_id(number) for number in range(campaigns)]
    endpoint = f"http://127.0.0.1:{free_port()}"
    document = exporters.configuration(endpoint, ids, interval="1h")
    port = free_port()
    scraper = Scraper(
        f"http://127.0.0.1:{port}/-/healthy", is_gzip=False, is_openmetrics=False
    )
    with tempfile.TemporaryDirectory() as folder:
        file = written(Path(folder) / "config.yaml", document)
        began_at = time.perf_counter()
        with running(
            *(sys.executable, "-m", "exporter", f"--config.file={file}"),
            f"--web.listen-address=127.0.0.1:{port}",
            environment={"BRAZE_API_KEY": braze.API_KEY},
        ) as process:
            until(lambda: _answers(scraper), what="the daemon", look_seconds=0.002)
            start.add(time.perf_counter() - began_at, process.cpu_seconds)


def _answers(scraper: Scraper) -> bool:
    try:
        scraper.scrape()
    except ConnectionRefusedError:
        return False
    return True
