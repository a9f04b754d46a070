"""Concurrent callers share the runs of a function."""

from __future__ import annotations

import asyncio
import threading

import pytest
from exporter.system.single_flight import SingleFlight

from tests.support.daemon_process import PATIENCE_SECONDS


class Slow:
    """A function that blocks until `may_end` is set, and counts its runs."""

    def __init__(self) -> None:
        self.runs = 0
        self.concurrent = 0
        self.max_concurrent = 0
        self.has_started = threading.Event()
        self.may_end = threading.Event()

    def __call__(self) -> int:
        """Return the number of this run."""
        self.runs += 1
        self.concurrent += 1
        self.max_concurrent = max(self.max_concurrent, self.concurrent)
        self.has_started.set()
        assert self.may_end.wait(PATIENCE_SECONDS)
        self.concurrent -= 1
        return self.runs


def test_calls_during_a_run_share_the_next_one() -> None:
    slow = Slow()

    async def call_eleven_times() -> list[int]:
        flight = SingleFlight(slow)
        first = asyncio.create_task(flight.run())
        await asyncio.to_thread(slow.has_started.wait)
        others = [asyncio.create_task(flight.run()) for _ in range(10)]
        await asyncio.sleep(0)
        slow.may_end.set()
        return await asyncio.gather(first, *others)

    results = asyncio.run(call_eleven_times())

    assert results == [1, *[2] * 10]
    assert slow.max_concurrent == 1


def test_a_cancelled_caller_does_not_cancel_the_run() -> None:
    slow = Slow()

    async def cancel_the_first() -> int:
        flight = SingleFlight(slow)
        first = asyncio.create_task(flight.run())
        await asyncio.to_thread(slow.has_started.wait)
        first.cancel()
        second = asyncio.create_task(flight.run())
        await asyncio.sleep(0)
        slow.may_end.set()
        return await second

    assert asyncio.run(cancel_the_first()) == 2
    assert slow.max_concurrent == 1


def test_an_exception_is_raised_to_the_callers() -> None:
    is_failing = iter([True, False])

    def work() -> str:
        if next(is_failing):
            message = "the first run"
            raise OSError(message)
        return "done"

    async def twice() -> str:
        flight = SingleFlight(work)
        with pytest.raises(OSError, match="the first run"):
            await flight.run()
        return await flight.run()

    assert asyncio.run(twice()) == "done"
