"""What a start costs, beside importing the packages that a plain exporter would use."""

from __future__ import annotations

import socket
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks import braze, documents, exporters
from benchmarks.outcome import Outcome, print_step
from benchmarks.processes import running, until, written
from benchmarks.scraper import Scraper
from benchmarks.tables import Table, milliseconds, times

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


def run(plan: Plan) -> Outcome:
    """Start everything in turn, several times."""
    print_step("startup")
    starts = {
        f"`python -c '{_IMPORT}'`": partial(_until_end, "-c", _IMPORT),
        "`braze-exporter --version`": partial(
            _until_end, "-m", "exporter", "--version"
        ),
        "daemon, 1 campaign, until `/-/healthy`": partial(_until_healthy, 1),
        f"daemon, {_MANY:,} campaigns, until `/-/healthy`": partial(
            _until_healthy, _MANY
        ),
    }
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in starts}
    for _ in range(plan.rounds):
        for name, start in starts.items():
            taken[name].append(start())
    medians = {
        name: [median(values) for values in zip(*pairs, strict=True)]
        for name, pairs in taken.items()
    }
    _, base = next(iter(medians.values()))
    return Outcome(
        tables=[
            Table(
                name="startup",
                caption="From the start of the process; CPU beside the bare import.",
                header=("What", "Time", "CPU", "Ratio"),
                rows=[
                    (name, milliseconds(seconds), milliseconds(cpu), times(cpu / base))
                    for name, (seconds, cpu) in medians.items()
                ],
            )
        ]
    )


def _until_end(*arguments: str) -> tuple[float, float]:
    """Return the time that a program takes, and its CPU, in seconds."""
    began_at = time.perf_counter()
    with running(sys.executable, *arguments) as process:
        cpu_seconds = process.wait()
        return time.perf_counter() - began_at, cpu_seconds


def _until_healthy(campaigns: int) -> tuple[float, float]:
    """Return the same for the start of the daemon, with a Braze that is not there."""
    ids = [documents.campaign_id(number) for number in range(campaigns)]
    endpoint = f"http://127.0.0.1:{_free_port()}"
    document = exporters.configuration(endpoint, ids, interval="1h")
    port = _free_port()
    scraper = Scraper(f"http://127.0.0.1:{port}/-/healthy", "plain")
    with tempfile.TemporaryDirectory() as folder:
        file = written(Path(folder) / "config.yaml", document)
        began_at = time.perf_counter()
        with running(
            *(sys.executable, "-m", "exporter", f"--config.file={file}"),
            f"--web.listen-address=127.0.0.1:{port}",
            environment={"BRAZE_API_KEY": braze.API_KEY},
        ) as process:
            until(lambda: _answers(scraper), what="the daemon", look_seconds=0.002)
            return time.perf_counter() - began_at, process.cpu_seconds


def _answers(scraper: Scraper) -> bool:
    try:
        scraper.scrape()
    except ConnectionRefusedError:
        return False
    return True


def _free_port() -> int:
    """Return a free loopback port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
