"""A soak: thousands of polls with faults mixed in, and nothing leaks or gets lost."""

from __future__ import annotations

import os
import random
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from exporter.simulator import Delivery, Fault, Simulator, SimulatorSettings

from tests.support.daemon_process import (
    PATIENCE_SECONDS,
    Process,
    Running,
    Scrape,
    configuration,
    until,
    written,
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
    """Return the sum over all samples that have these labels."""
    wanted = set(labels.items())
    samples = scrape.get(name, {})
    return int(sum(value for given, value in samples.items() if wanted <= given))


def disturb(braze: Simulator, rng: random.Random) -> str | None:
    """Let something befall a few requests of some campaign.

    Returns its id if the exporter will close before the answer's end: the simulator
    notices a little later, and may see the next request before.
    """
    fault, campaign = rng.choice(FAULTS), rng.choice(braze.campaigns)
    braze.set_fault(fault, campaign_id=campaign.id, count=rng.randint(1, 3))
    is_given_up = fault.delivery in {Delivery.HANG, Delivery.GZIP_BOMB}
    return campaign.id if is_given_up else None


def highest(figures: list[ProcessFigures], name: str) -> int:
    """Return the highest of one figure."""
    return max(int(getattr(each, name)) for each in figures)


def held_bytes(figures: list[ProcessFigures]) -> float:
    """Return the memory at most moments: large answers need some more for a moment."""
    return statistics.median(each.resident_bytes for each in figures)


@pytest.mark.slow
def test_a_soak(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """Memory, threads and files stay; all counters add up; no campaign is lost."""
    rng = random.Random(7)
    with Simulator(SimulatorSettings(campaigns=CAMPAIGNS)) as braze:
        document = configuration(braze, concurrency=8, timeout="1s")
        file = written(tmp_path / "config.yaml", document)
        with Process(
            f"--config.file={file}",
            "--web.listen-address=127.0.0.1:0",
            # Else glibc keeps what large answers needed once, and that for each thread.
            environment={
                "BRAZE_API_KEY": braze.api_key,
                "MALLOC_ARENA_MAX": "2",
                "MALLOC_MMAP_THRESHOLD_": "65536",
            },
        ) as process:
            running = Running(process.url)
            warm: list[ProcessFigures] = []
            late: list[ProcessFigures] = []
            given_up: set[str | None] = set()
            began_at = time.monotonic()
            while (age := time.monotonic() - began_at) < SECONDS:
                given_up.add(disturb(braze, rng))
                assert running.get("/metrics")[0] == 200
                if age > SECONDS * WARM_UP_SHARE:
                    is_late = age > SECONDS * (1 + WARM_UP_SHARE) / 2
                    (late if is_late else warm).append(look(process.pid))
                time.sleep(0.1)  # the pace of faults and scrapes
            braze.clear_faults()

            count = len(braze.requests)
            until(lambda: sum(running.scrape()["braze_campaign_up"].values()) == 60)
            assert braze.wait_for_requests(count + 2 * CAMPAIGNS, timeout_seconds=20)
            scrape = quiet_scrape(braze, running)
            requests = Counter(one.status for one in braze.requests)
            polled = Counter(one.campaign_id for one in braze.requests[count:])
            assert process.end(signal.SIGTERM, seconds=PATIENCE_SECONDS) == 0

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
    for name in ("threads", "files"):
        record_property(name, f"{highest(warm, name)} -> {highest(late, name)}")

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
    assert set(polled) == {one.id for one in braze.campaigns}
    assert not [line for line in process.lines if "level=error" in line]
    assert held["late"] < GROWTH * held["warm"]
    # Threads are started when they are needed, as many as `concurrency`.
    assert highest(late, "threads") <= highest(warm, "threads") + 4
    assert highest(late, "files") <= highest(warm, "files") + 2


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
