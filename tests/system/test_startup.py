"""What starting costs, beside what importing the prescribed packages costs."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.daemon_process import (
    FREE_PORT,
    Process,
    clean_environment,
    until,
    written,
)
from tests.support.scripted_peer import closed_port

PACKAGES = "prometheus_client, requests, yaml, apscheduler.schedulers.background"
ROUNDS = 9
MOST_ROUNDS = 40
BOUND = 1.4
INFO = "\nbraze_campaign_info{"

INSTALLED = ("-c", "import sys; from exporter.cli import main; sys.exit(main())")
"""What the installed command `braze-exporter` runs."""


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def import_packages() -> float:
    """Return the CPU of importing what we have to use, in seconds."""
    before = cpu_seconds()
    subprocess.run(
        [sys.executable, "-c", f"import {PACKAGES}"],
        check=True,
        env=clean_environment(),
    )
    return cpu_seconds() - before


def start(file: str, *, campaigns: int) -> float:
    """Return the CPU of a run up to a scrape that shows so many, in seconds."""
    before = cpu_seconds()
    with Process(
        f"--config.file={file}",
        FREE_PORT,
        environment={"BRAZE_API_KEY": "a-key"},
        command=INSTALLED,
    ) as daemon:
        until(lambda: daemon.get("/metrics")[1].count(INFO) == campaigns)
        daemon.stop()
    return cpu_seconds() - before


def config_file(tmp_path: Path, *, campaigns: int) -> str:
    workspace = {
        "name": "production",
        "endpoint": f"http://127.0.0.1:{closed_port()}",
        "api_key_env": "BRAZE_API_KEY",
        "interval": "1h",
        "campaigns": [
            {"id": f"3bbc4555-8fa0-4c9b-a5c0-{n:012x}", "name": f"Campaign {n}"}
            for n in range(campaigns)
        ],
    }
    return written(tmp_path / "config.yaml", {"workspaces": [workspace]})


@pytest.mark.slow
def test_a_start_costs_little_more_than_its_packages(tmp_path: Path) -> None:
    """At most 1.4 times their import, from exec over a scrape to the end by SIGTERM."""
    file = config_file(tmp_path, campaigns=3)

    # Alternating, and the cheapest of each: noise only ever adds. Where there is much
    # of it, more rounds find a quiet moment of both.
    pairs: list[tuple[float, float]] = []
    while len(pairs) < MOST_ROUNDS:
        pairs.append((start(file, campaigns=3), import_packages()))
        ours, theirs = (min(each) for each in zip(*pairs, strict=True))
        if len(pairs) >= ROUNDS and ours / theirs < BOUND:
            break

    assert ours / theirs < BOUND, f"{ours:.3f} s beside {theirs:.3f} s"


def test_ten_thousand_campaigns_start_quickly(tmp_path: Path) -> None:
    """All are loaded, scheduled and scraped, for less than 2 s beside the imports.

    Both are CPU on this machine: what it costs more than the packages' import is
    compared with that import, which takes a quarter of a second.
    """
    file = config_file(tmp_path, campaigns=10_000)

    seconds = start(file, campaigns=10_000)

    theirs = min(import_packages() for _ in range(3))
    assert (seconds - theirs) / theirs < 8, f"{seconds:.3f} s beside {theirs:.3f} s"
