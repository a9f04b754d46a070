"""Concurrent callers share the runs of a function."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection

import pytest
from exporter.system.single_flight import BatchedCalls, SingleFlight

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
    """Ten concurrent calls cause one further run."""
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
    """No second run starts meanwhile."""
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
    """The next run is independent of it."""
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


def test_every_caller_gets_the_result_of_its_own_key() -> None:
    """Calls arrive before, between and during runs; equal keys share one result."""
    batches: list[tuple[int, ...]] = []

    def work(keys: Collection[int]) -> dict[int, str]:
        batches.append(tuple(keys))
        return {key: f"result of {key}" for key in keys}

    async def call_many() -> list[tuple[int, str]]:
        calls = BatchedCalls(work)

        async def call(key: int) -> tuple[int, str]:
            for _ in range(key % 7):
                await asyncio.sleep(0)
            return key, await calls.run(key % 50)

        return await asyncio.gather(*map(call, range(1000)))

    results = asyncio.run(call_many())

    assert results == [(key, f"result of {key % 50}") for key in range(1000)]
    assert all(len(set(batch)) == len(batch) for batch in batches)
    assert len(batches) > 1
