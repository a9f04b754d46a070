"""A real Prometheus scrapes the demo with OpenMetrics and gzip."""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.daemon_process import FREE_PORT, Process, get, until
from tests.support.prometheus import ask, configuration, prometheus

Program = Callable[[str], str]
EMOJI = "Spring sale 🌷"
GAUGE_OF_COUNTS = (
    "braze_event_count non-histogram and non-summary metrics should not have "
    '"_count" suffix'
)


@pytest.fixture(scope="module")
def demo() -> Iterator[str]:
    with Process("demo", FREE_PORT) as process:
        yield process.url


def test_a_prometheus_stores_all_that_the_demo_serves(
    program: Program, demo: str, tmp_path: Path
) -> None:
    """It is up, every sample arrives once, and the labels are those of Braze."""
    target = demo.removeprefix("http://")
    with prometheus(
        program("prometheus"), configuration(target), where=tmp_path
    ) as url:

        def count(query: str) -> float:
            return sum(value for _, value in ask(url, f"count({query})"))

        until(lambda: count("braze_campaign_up == 1") >= 22)
        until(lambda: count("braze_campaign_daily") >= 200)
        scraped = ask(url, "scrape_samples_scraped")
        lost = ask(
            url,
            "scrape_samples_scraped != scrape_samples_post_metric_relabeling "
            "or up != 1",
        )
        named = ask(url, f'braze_campaign_info{{campaign="{EMOJI}"}}')

    assert scraped[0][1] > 1000
    assert lost == []
    assert [value for _, value in named] == [1]
    assert named[0][0]["workspace"] == "demo"


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_promtool_reports_only_the_name_of_a_gauge_of_counts(
    program: Program, demo: str, encoding: str
) -> None:
    """The end `_count` of a gauge is on purpose: see docs/metrics.md."""
    checker = program("promtool")
    families = (b"braze_campaign_trailing{", b"braze_event_count{")

    def has_all() -> bool:
        page: bytes = get(f"{demo}/metrics")[2]
        return all(family in page for family in families)

    until(has_all)
    _, headers, body = get(f"{demo}/metrics", headers={"Accept-Encoding": encoding})
    page = gzip.decompress(body) if encoding == "gzip" else body

    ended = subprocess.run(
        [checker, "check", "metrics"], input=page, capture_output=True, check=False
    )

    assert headers["Content-Type"].startswith("text/plain; version=0.0.4;")
    assert (ended.stdout, ended.stderr.decode().strip()) == (b"", GAUGE_OF_COUNTS)
