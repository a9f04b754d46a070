"""The wall clock of a polling daemon is set by an hour; that of Braze is not.

libfaketime changes the wall clock of the process; monotonic clocks are unaffected.
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from exporter.simulator import Simulator, SimulatorSettings

from tests.support.daemon_process import Process, Running, configuration, until, written

SUCCESS = "braze_campaign_last_success_timestamp_seconds"
CEILING = 20
"""Requests per second that the configuration allows."""
LATE = 300
"""Seconds by which a poll may be late on a busy machine: far less than an hour."""


@contextmanager
def exporter(
    braze: Simulator, directory: Path, faketime: str, **changes: object
) -> Iterator[tuple[Process, Running, Callable[[int], None]]]:
    """Run a daemon; what sets its clock so many seconds off comes with it."""
    library = Path(os.path.realpath(faketime)).parent.parent / "lib"
    (found,) = library.glob("*/faketime/libfaketimeMT.so.1")
    offset = directory / "offset"

    def set_clock(seconds: int) -> None:
        new = offset.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.rename(offset)

    set_clock(0)
    defaults = {"requests_per_minute": CEILING * 60, "timeout": "60s"}
    document = configuration(braze, **defaults | changes)
    with Process(
        f"--config.file={written(directory / 'config.yaml', document)}",
        "--web.listen-address=127.0.0.1:0",
        environment={
            "BRAZE_API_KEY": braze.api_key,
            "LD_PRELOAD": str(found),
            "FAKETIME_TIMESTAMP_FILE": str(offset),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        },
    ) as process:
        yield process, Running(process.url), set_clock


def ages(running: Running, offset: int) -> list[float]:
    """Return how old each campaign's values are, by the daemon's clock."""
    now = time.time() + offset
    return [now - at for at in running.scrape()[SUCCESS].values()]


@pytest.mark.slow
@pytest.mark.parametrize("offset", [3600, -3600])
def test_polling_goes_on_at_its_pace(
    tmp_path: Path, program: Callable[[str], str], offset: int
) -> None:
    """Set forward or back and right again: within seconds all are polled, at no storm.

    Values stay, their age is right, and each change of the clock is logged once.
    """
    faketime = program("faketime")
    with (
        Simulator(SimulatorSettings(campaigns=8)) as braze,
        exporter(braze, tmp_path, faketime) as (process, running, set_clock),
    ):
        until(lambda: len(running.scrape().get(SUCCESS, {})) == 8)
        figures = len(running.scrape()["braze_campaign_daily"])
        ids = {one.id for one in braze.campaigns}

        for number, wall in enumerate((offset, 0), start=1):
            start, set_at = len(braze.requests), time.monotonic()
            set_clock(wall)
            wait_for_clock_lines(process, number)

            wait_for_a_round(braze, ids)
            wait_for_a_round(braze, ids)

            # Far below the hour that a lost job would wait, on any machine.
            assert time.monotonic() - set_at < LATE
            starts = [one.monotonic_seconds for one in braze.requests[start:]]
            busiest = max(sum(at <= one < at + 1 for one in starts) for at in starts)
            assert busiest <= CEILING + 1
            assert len(starts) < 8 * (time.monotonic() - set_at + 3)
            assert all(-1 < age < LATE for age in ages(running, wall))
            assert len(running.scrape()["braze_campaign_daily"]) == figures
            assert set(running.scrape()["braze_campaign_up"].values()) == {1.0}

        by = [
            float(found[1])
            for line in process.lines
            if (found := re.search(r"event=clock\.set by_seconds=(\S+)", line))
        ]
        assert by == [
            pytest.approx(offset, abs=0.1),
            pytest.approx(-offset, abs=0.1),
        ]


@pytest.mark.parametrize("offset", [7200, -7200])
def test_values_that_are_not_polled_soon_keep_their_age(
    tmp_path: Path, program: Callable[[str], str], offset: int
) -> None:
    """Two hours are more than stale_after, and yet nothing grows stale by them.

    One campaign is polled each second, so that APScheduler looks at its clock before
    the daemon does: it must not take the others for late.
    """
    faketime = program("faketime")
    with Simulator(SimulatorSettings(campaigns=8)) as braze, ExitStack() as stack:
        campaigns = [{"id": one.id, "name": one.name} for one in braze.campaigns]
        campaigns[0]["interval"] = "1s"
        process, running, set_clock = stack.enter_context(
            exporter(braze, tmp_path, faketime, interval="10m", campaigns=campaigns)
        )
        until(lambda: len(running.scrape().get(SUCCESS, {})) == 8)
        figures = len(running.scrape()["braze_campaign_daily"])

        set_clock(offset)
        wait_for_clock_lines(process, 1)

        assert all(-1 < age < LATE for age in ages(running, offset))
        assert len(running.scrape()["braze_campaign_daily"]) == figures
        assert not any("campaign.stale" in line for line in process.lines)
        requests = Counter(one.campaign_id for one in braze.requests)
        assert set(requests) == {one["id"] for one in campaigns}
        assert all(requests[one["id"]] <= 2 for one in campaigns[1:])


def wait_for_clock_lines(process: Process, count: int) -> None:
    """Wait until the log has this many lines about a set clock."""

    def is_logged() -> bool:
        return sum("event=clock.set " in line for line in process.lines) == count

    until(is_logged)


def wait_for_a_round(braze: Simulator, campaign_ids: set[str]) -> None:
    """Wait until each campaign is requested once more."""
    start = len(braze.requests)

    def is_over() -> bool:
        return {one.campaign_id for one in braze.requests[start:]} == campaign_ids

    until(is_over)
