"""The wall clock of a polling daemon is set by an hour; that of Braze is not.

libfaketime changes the wall clock of the process; monotonic clocks are unaffected.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from exporter.simulator import Simulator, SimulatorSettings

from tests.support.daemon_process import (
    Process,
    exporter,
    listed,
    until,
    wait_for_a_round,
)

SUCCESS = "braze_campaign_last_success_timestamp_seconds"
CEILING = 20
"""Requests per second that the configuration allows."""
LATE = 300
"""Seconds by which a poll may be late on a busy machine: far less than an hour."""


class SetClock:
    """A daemon whose wall clock is a number of seconds off."""

    def __init__(self, directory: Path, faketime: str) -> None:
        library = Path(os.path.realpath(faketime)).parent.parent / "lib"
        (found,) = library.glob("*/faketime/libfaketimeMT.so.1")
        self._directory = directory
        self._file = directory / "offset"
        self.environment = {
            "LD_PRELOAD": str(found),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self._write(0)

    @contextmanager
    def start(self, braze: Simulator, **changes: Any) -> Iterator[Process]:
        options = {"requests_per_minute": CEILING * 60, "timeout": "60s", **changes}
        with exporter(
            braze, self._directory, environment=self.environment, **options
        ) as process:
            process.wait_for_samples(SUCCESS, len(braze.campaigns))
            yield process

    def set(self, process: Process, seconds: int) -> None:
        """Set the clock, and wait until the log has one more line about it."""
        count = len(process.log("event=clock.set "))
        self._write(seconds)
        until(lambda: len(process.log("event=clock.set ")) == count + 1)

    def _write(self, seconds: int) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.rename(self._file)


@pytest.fixture
def clock(tmp_path: Path, program: Callable[[str], str]) -> SetClock:
    return SetClock(tmp_path, program("faketime"))


def ages(process: Process, offset: int) -> list[float]:
    """Return the age of each campaign's values, by the daemon's clock."""
    now = time.time() + offset
    return [now - at for at in process.scrape()[SUCCESS].values()]


@pytest.mark.slow
@pytest.mark.parametrize("offset", [3600, -3600])
def test_polling_goes_on_at_its_pace(clock: SetClock, offset: int) -> None:
    """All campaigns are polled soon after each change, within the ceiling.

    Values stay, their age is right, and each change of the clock is logged once.
    """
    with (
        Simulator(SimulatorSettings(campaigns=8)) as braze,
        clock.start(braze) as process,
    ):
        figures = len(process.scrape()["braze_campaign_daily"])
        ids = {one.id for one in braze.campaigns}

        for wall in (offset, 0):
            start, set_at = len(braze.requests), time.monotonic()
            clock.set(process, wall)

            wait_for_a_round(braze, ids)
            wait_for_a_round(braze, ids)

            # Far below the hour that a lost job would wait, on any machine.
            assert time.monotonic() - set_at < LATE
            starts = [one.monotonic_seconds for one in braze.requests[start:]]
            busiest = max(sum(at <= one < at + 1 for one in starts) for at in starts)
            assert busiest <= CEILING + 1
            assert len(starts) < 8 * (time.monotonic() - set_at + 3)
            assert all(-1 < age < LATE for age in ages(process, wall))
            assert len(process.scrape()["braze_campaign_daily"]) == figures
            process.wait_until_up(8)

        lines = process.log("event=clock.set ")
    by = [float(line.partition("by_seconds=")[2].split()[0]) for line in lines]
    assert by == [pytest.approx(each, abs=0.1) for each in (offset, -offset)]


@pytest.mark.parametrize("offset", [7200, -7200])
def test_values_that_are_not_polled_soon_keep_their_age(
    clock: SetClock, offset: int
) -> None:
    """Two hours exceed stale_after, and yet no value becomes stale.

    One campaign is polled each second, so that APScheduler reads its clock before the
    daemon does: it must not consider the others late.
    """
    with Simulator(SimulatorSettings(campaigns=8)) as braze:
        campaigns = listed(braze.campaigns)
        campaigns[0]["interval"] = "1s"
        with clock.start(braze, interval="10m", campaigns=campaigns) as process:
            figures = len(process.scrape()["braze_campaign_daily"])

            clock.set(process, offset)

            assert all(-1 < age < LATE for age in ages(process, offset))
            assert len(process.scrape()["braze_campaign_daily"]) == figures
            assert not process.log("campaign.stale")
            requests = Counter(one.campaign_id for one in braze.requests)
    assert set(requests) == {one["id"] for one in campaigns}
    assert all(requests[one["id"]] <= 2 for one in campaigns[1:])
