"""The exporter as it is run: the whole daemon as a process, polling a local Braze."""

from __future__ import annotations

import contextlib
import gzip
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import braze, documents
from benchmarks.processes import Process, module, until, written
from benchmarks.scraper import Scraper

WORKSPACE = "production"
_STORED = re.compile(
    r'^braze_exporter_polls_total\{.*result="stored".*\} (\S+)$', re.MULTILINE
)
_LOOK_SECONDS = 0.5
"""Between two looks at the metrics, which cost the daemon something too."""


@dataclass(frozen=True, slots=True)
class Exporter:
    """A daemon that serves at `url`."""

    process: Process
    url: str

    def stored_polls(self) -> float:
        """Return how many polls ended with numbers that are served."""
        return stored_polls(self.page())

    def page(self) -> str:
        """Return the metrics as text."""
        # As Prometheus requests it: a plain page would stay in memory for a while.
        scraper = Scraper(self.url, is_gzip=True, is_openmetrics=False)
        return gzip.decompress(scraper.page()).decode()


def stored_polls(page: str) -> float:
    """Return how many polls ended with numbers that are served, by a page."""
    return sum(map(float, _STORED.findall(page)))


@contextlib.contextmanager
def filled(
    *,
    campaigns: int,
    shape: documents.Shape,
    interval: str = "7d",
    is_changing: bool = False,
    ids: Sequence[str] = (),
    waits_for_silence: bool = True,
) -> Iterator[Exporter]:
    """Run a daemon that has polled all its campaigns of the cheap Braze once."""
    ids = ids or [documents.campaign_id(number) for number in range(campaigns)]
    with (
        braze.running(shape, is_changing=is_changing) as endpoint,
        daemon(configuration(endpoint, ids, interval=interval)) as exporter,
    ):
        wait_for_first_round(exporter, campaigns, in_silence=waits_for_silence)
        yield exporter


def wait_for_first_round(
    exporter: Exporter, campaigns: int, *, in_silence: bool = True
) -> None:
    """Wait until every campaign was polled, if wanted until all is silent."""

    def is_over() -> bool:
        if in_silence:
            exporter.process.wait_until_idle(for_seconds=0.5)
        return exporter.stored_polls() >= campaigns

    until(is_over, what="the first round", look_seconds=_LOOK_SECONDS)


def configuration(
    endpoint: str, ids: Sequence[str], *, interval: str, **workspace: object
) -> dict[str, object]:
    """Return the configuration of one workspace without an effective ceiling."""
    return {
        "workspaces": [
            {
                "name": WORKSPACE,
                "endpoint": endpoint,
                "api_key_env": "BRAZE_API_KEY",
                "interval": interval,
                "idle_interval": interval,
                "requests_per_minute": 1_000_000,
                "reserve": "0%",
                "campaigns": [
                    {"id": id_, "name": campaign_name(number)}
                    for number, id_ in enumerate(ids)
                ],
                **workspace,
            }
        ]
    }


def campaign_name(number: int) -> str:
    """Return what a campaign is called in the configuration."""
    return f"Newsletter {number:05}, new customers"


@contextlib.contextmanager
def daemon(
    document: dict[str, object], *, api_key: str = braze.API_KEY
) -> Iterator[Exporter]:
    """Run the daemon with a configuration inside the block."""
    with tempfile.TemporaryDirectory() as folder:
        file = written(Path(folder) / "config.yaml", document)
        with module(
            "exporter",
            f"--config.file={file}",
            "--web.listen-address=127.0.0.1:0",
            environment={"BRAZE_API_KEY": api_key},
        ) as process:
            yield Exporter(process=process, url=_url(process))


def _url(process: Process) -> str:
    """Wait for the log line that contains the address."""
    while True:
        line = process.read_line()
        if match := re.search(r'event=web\.listening address="?([^"\s]+)', line):
            return f"http://{match[1]}/metrics"
