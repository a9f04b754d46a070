"""Concurrent callers share the runs of a function."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection

import pytest
from exporter.system.single_flight import BatchedCalls, SingleFlight, TooManyKeysError

from tests.support.daemon_process import PATIENCE_SECONDS


class Slow:
    """A function that blocks until `may_end` is set, and counts its runs."""

    def __init__(self) -> None:
        self.runs = 0
        self.is_running = threading.Lock()
        self.has_started = threading.Event()
        self.may_end = threading.Event()

    def __call__(self) -> int:
        """Return the number of this run."""
        assert self.is_running.acquire(blocking=False)
        self.runs += 1
        self.has_started.set()
        assert self.may_end.wait(PATIENCE_SECONDS)
        self.is_running.release()
        return self.runs


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_calls_during_a_run_share_the_next_one(*, is_cancelled: bool) -> None:
    slow = Slow()

    async def call_eleven_times() -> list[int | BaseException]:
        flight = SingleFlight(slow)
        first = asyncio.create_task(flight.run())
        await asyncio.to_thread(slow.has_started.wait)
        if is_cancelled:
            first.cancel()
        others = [asyncio.create_task(flight.run()) for _ in range(10)]
        await asyncio.sleep(0)
        slow.may_end.set()
        return await asyncio.gather(first, *others, return_exceptions=True)

    first, *others = asyncio.run(call_eleven_times())

    assert isinstance(first, asyncio.CancelledError) if is_cancelled else first == 1
    assert others == [2] * 10


def test_an_exception_is_raised_to_the_callers() -> None:
    ends = iter([OSError("the first run"), "done"])

    def work() -> object:
        end = next(ends)
        if isinstance(end, OSError):
            raise end
        return end

    async def twice() -> object:
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
        calls = BatchedCalls(work, most_keys=50)

        async def call(key: int) -> tuple[int, str]:
            for _ in range(key % 7):
                await asyncio.sleep(0)
            return key, await calls.run(key % 50)

        return await asyncio.gather(*map(call, range(1000)))

    results = asyncio.run(call_many())

    assert results == [(key, f"result of {key % 50}") for key in range(1000)]
    assert all(len(set(batch)) == len(batch) for batch in batches)
    assert len(batches) > 1


def test_keys_have_a_limit_and_leave_with_their_callers() -> None:
    """A key without a caller is not passed to the function."""
    may_end = threading.Event()
    batches: list[tuple[int, ...]] = []

    def work(keys: Collection[int]) -> dict[int, int]:
        batches.append(tuple(keys))
        assert may_end.wait(PATIENCE_SECONDS)
        return dict.fromkeys(keys, 0)

    async def call() -> None:
        calls = BatchedCalls(work, most_keys=2)
        first = asyncio.create_task(calls.run(0))
        while not batches:
            await asyncio.sleep(0)
        waiting = [asyncio.create_task(calls.run(key)) for key in (1, 2)]
        await asyncio.sleep(0)
        with pytest.raises(TooManyKeysError):
            await calls.run(3)
        waiting[0].cancel()
        await asyncio.sleep(0)
        waiting.append(asyncio.create_task(calls.run(3)))
        await asyncio.sleep(0)
        may_end.set()
        await asyncio.gather(first, *waiting[1:])

    asyncio.run(call())

    assert batches == [(0,), (2, 3)]
