"""A soak: thousands of polls with faults mixed in, and nothing leaks or gets lost."""

from __future__ import annotations

import os
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from exporter.simulator import Delivery, Fault, Simulator, SimulatorSettings

from tests.support.daemon_process import (
    Running,
    Scrape,
    exporter,
    until,
)
from tests.support.process_figures import ProcessFigures, look

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

SECONDS = float(os.environ.get("BRAZE_EXPORTER_SOAK_SECONDS", "24"))
CAMPAIGNS = 60
# Braze's usual pace is a poll in five minutes; this is a poll a second.
WARM_UP_SHARE = 0.4
GROWTH = 1.05
FAULTS = (
    Fault(status=500),
    Fault.html(502),
    Fault.html(200),
    Fault(body=b""),
    Fault(status=404),
    Fault(delivery=Delivery.RESET),
    Fault(delivery=Delivery.RESET_IN_BODY),
    Fault(delivery=Delivery.SHORT_BODY),
    Fault(delivery=Delivery.GZIP_BOMB, bomb_bytes=1 << 23),
    Fault(body=b'{"data": null}'),
    Fault(body=b"[" * 10_000),
    Fault(latency_seconds=0.3),
    Fault(delivery=Delivery.HANG),
)


def total(scrape: Scrape, name: str, **labels: str) -> int:
    wanted = set(labels.items())
    samples = scrape.get(name, {})
    return int(sum(value for given, value in samples.items() if wanted <= given))


def disturb(braze: Simulator, rng: random.Random) -> str | None:
    """Add a fault to a few requests of a campaign.

    Returns its id if the exporter will close before the end of the response: the
    simulator notices later, and may receive the next request before.
    """
    fault, campaign = rng.choice(FAULTS), rng.choice(braze.campaigns)
    braze.set_fault(fault, campaign_id=campaign.id, count=rng.randint(1, 3))
    is_given_up = fault.delivery in {Delivery.HANG, Delivery.GZIP_BOMB}
    return campaign.id if is_given_up else None


def held_bytes(figures: list[ProcessFigures]) -> float:
    """Return the median: large responses need some more for a moment."""
    return statistics.median(each.resident_bytes for each in figures)


@pytest.mark.slow
def test_a_soak(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """Memory, threads and files stay; all counters add up; no campaign is lost."""
    rng = random.Random(7)
    with Simulator(SimulatorSettings(campaigns=CAMPAIGNS)) as braze:
        # Else glibc keeps what large responses needed once, and that for each thread.
        environment = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "65536"}
        with exporter(
            braze, tmp_path, environment=environment, concurrency=8, timeout="1s"
        ) as process:
            warm: list[ProcessFigures] = []
            late: list[ProcessFigures] = []
            given_up: set[str | None] = set()
            began_at = time.monotonic()
            while (age := time.monotonic() - began_at) < SECONDS:
                given_up.add(disturb(braze, rng))
                assert process.get("/metrics")[0] == 200
                if age > SECONDS * WARM_UP_SHARE:
                    is_late = age > SECONDS * (1 + WARM_UP_SHARE) / 2
                    (late if is_late else warm).append(look(process.pid))
                time.sleep(0.1)  # the pace of faults and scrapes
            braze.clear_faults()

            count = len(braze.requests)
            process.wait_until_up(CAMPAIGNS)
            all_ids = {one.id for one in braze.campaigns}
            until(
                lambda: all_ids == {one.campaign_id for one in braze.requests[count:]}
            )
            scrape = quiet_scrape(braze, process)
            requests = Counter(one.status for one in braze.requests)
            process.stop()

    begun = total(scrape, "braze_exporter_poll_lag_seconds_count")
    ended = {
        result: total(scrape, "braze_exporter_polls_total", result=result)
        for result in ("stored", "failed", "malformed", "deferred")
    }
    record_property("polls", begun)
    record_property("requests", sum(requests.values()))
    record_property("results", str(ended))
    held = {name: held_bytes(ones) for name, ones in (("warm", warm), ("late", late))}
    record_property("resident_bytes", str(held))
    threads = [max(each.threads for each in figures) for figures in (warm, late)]
    files = [max(each.files for each in figures) for figures in (warm, late)]
    record_property("threads", threads)
    record_property("files", files)

    assert begun == ended["stored"] + ended["failed"] + ended["malformed"]
    assert ended["failed"]
    assert ended["malformed"]
    counted = total(scrape, "braze_exporter_api_requests_total")
    assert counted == sum(requests.values())
    for status in (404, 502):
        code = total(scrape, "braze_exporter_api_requests_total", code=str(status))
        assert code == requests[status]
    assert counted == begun + total(scrape, "braze_exporter_api_retries_total")
    at_a_time = {one.id: braze.most_in_flight(one.id) for one in braze.campaigns}
    assert {id_ for id_, most in at_a_time.items() if most > 1} <= given_up
    assert not process.log("level=error")
    assert held["late"] < GROWTH * held["warm"]
    # Threads are started when they are needed, as many as `concurrency`.
    assert threads[1] <= threads[0] + 4
    assert files[1] <= files[0] + 2


def quiet_scrape(braze: Simulator, running: Running) -> Scrape:
    """Return a scrape at a moment in which no poll is in progress.

    A 429 makes the moment: nothing is sent before the bucket resets.
    """
    found: list[Scrape] = []
    braze.set_fault(Fault(status=429))

    def probe() -> bool:
        before = len(braze.requests)
        if braze.in_flight():
            return False
        found[:] = [running.scrape()]
        begun = total(found[0], "braze_exporter_poll_lag_seconds_count")
        ended = sum(
            total(found[0], "braze_exporter_polls_total", result=result)
            for result in ("stored", "failed", "malformed")
        )
        return begun <= ended and before == len(braze.requests)

    until(probe)
    return found[0]
