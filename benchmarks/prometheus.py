"""A Prometheus with our rules and a history, that scrapes an exporter."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from benchmarks.processes import Process, running, until, written
from benchmarks.sockets import free_port

_RULES = Path(__file__).parent.parent / "grafana" / "rules"
_SCRAPE_SECONDS = 15
_TIMEOUT_SECONDS = 600.0
JOB = "braze-exporter"
"""Of the scraped series and, by default, of a history of `backfill`."""
Sample = tuple[dict[str, str], float]


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A Prometheus that serves at `url`."""

    process: Process
    url: str

    def ask(self, query: str) -> list[Sample]:
        """Return the labels and the value of each sample of an instant query."""
        answer = json.loads(self.answer("query", query=query))
        return [
            (sample["metric"], float(sample["value"][1]))
            for sample in answer["data"]["result"]
        ]

    def answer(self, path: str, **parameters: object) -> bytes:
        """Return the body of a response to a POST, Grafana's method for queries."""
        request = urllib.request.Request(  # noqa: S310 - loopback
            f"{self.url}/api/v1/{path}",
            data=urlencode(parameters).encode(),
        )
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310 - loopback
            body: bytes = response.read()
        return body


def is_installed() -> bool:
    """Return whether Prometheus and its tool are installed."""
    return all(shutil.which(name) for name in ("prometheus", "promtool"))


def load(history: Path, folder: Path) -> None:
    """Create blocks from a file of OpenMetrics."""
    command = (
        *(_program("promtool"), "tsdb", "create-blocks-from", "openmetrics"),
        *("--quiet", "--max-block-duration=1458h", str(history), str(folder / "data")),
    )
    with running(*command) as process:
        process.wait()


@contextlib.contextmanager
def scraping(target: str, *, folder: Path, lookback: str) -> Iterator[Prometheus]:
    """Run a Prometheus that has scraped the target and evaluated the rules.

    In the block rules are not evaluated again, so that queries alone take CPU.
    """
    file = folder / "prometheus.json"
    written(file, _configuration(target, evaluated_every=f"{_SCRAPE_SECONDS}s"))
    address = f"127.0.0.1:{free_port()}"
    with running(
        _program("prometheus"),
        *(f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}"),
        *("--storage.tsdb.retention.time=1y", f"--web.listen-address={address}"),
        f"--query.lookback-delta={lookback}",
        environment={"PATH": os.environ["PATH"]},
    ) as process:
        one = Prometheus(process, f"http://{address}")
        until(lambda: _is_full(one), what="Prometheus and its rules", look_seconds=1)
        # Rules that read other groups are complete after a second evaluation.
        time.sleep(2 * _SCRAPE_SECONDS)
        written(file, _configuration(target, evaluated_every="1h"))
        os.kill(process.pid, signal.SIGHUP)
        process.wait_until_idle(for_seconds=1)
        yield one


def _configuration(target: str, *, evaluated_every: str) -> dict[str, object]:
    return {
        "global": {
            "scrape_interval": f"{_SCRAPE_SECONDS}s",
            "evaluation_interval": evaluated_every,
        },
        "rule_files": [str(_RULES / "*.yaml")],
        "scrape_configs": [
            {"job_name": JOB, "static_configs": [{"targets": [target]}]}
        ],
    }


def _is_full(one: Prometheus) -> bool:
    try:
        return bool(one.ask("count(campaign_channel_variation:braze_stat:max)"))
    except OSError:
        return False


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        message = f"{name} is not installed"
        raise RuntimeError(message)
    return found
