"""Work done once for all who wait for it."""

from __future__ import annotations

import asyncio
import threading

import pytest
from exporter.system.single_flight import SingleFlight

from tests.support.daemon_process import PATIENCE_SECONDS


class Slow:
    """Work that ends when it is let go; it counts its rounds."""

    def __init__(self) -> None:
        self.rounds = 0
        self.at_once = 0
        self.most_at_once = 0
        self.has_begun = threading.Event()
        self.may_end = threading.Event()

    def __call__(self) -> int:
        """Return the number of this round."""
        self.rounds += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.has_begun.set()
        assert self.may_end.wait(PATIENCE_SECONDS)
        self.at_once -= 1
        return self.rounds


def test_who_comes_during_a_round_waits_for_the_next() -> None:
    """Ten who come meanwhile share one further round, and see what came before."""
    slow = Slow()

    async def crowd() -> list[int]:
        work = SingleFlight(slow)
        first = asyncio.create_task(work.outcome())
        await asyncio.to_thread(slow.has_begun.wait)
        others = [asyncio.create_task(work.outcome()) for _ in range(10)]
        await asyncio.sleep(0)
        slow.may_end.set()
        return await asyncio.gather(first, *others)

    outcomes = asyncio.run(crowd())

    assert outcomes == [1, *[2] * 10]
    assert slow.most_at_once == 1


def test_who_leaves_ends_nothing() -> None:
    """A round goes on without its first guest, and no other begins beside it."""
    slow = Slow()

    async def leave() -> int:
        work = SingleFlight(slow)
        first = asyncio.create_task(work.outcome())
        await asyncio.to_thread(slow.has_begun.wait)
        first.cancel()
        second = asyncio.create_task(work.outcome())
        await asyncio.sleep(0)
        slow.may_end.set()
        return await second

    assert asyncio.run(leave()) == 2
    assert slow.most_at_once == 1


def test_what_goes_wrong_is_told_to_all() -> None:
    """An exception reaches whoever waited, and the next round begins afresh."""
    fates = iter([True, False])

    def work() -> str:
        if next(fates):
            message = "the first round"
            raise OSError(message)
        return "done"

    async def twice() -> str:
        joint = SingleFlight(work)
        with pytest.raises(OSError, match="the first round"):
            await joint.outcome()
        return await joint.outcome()

    assert asyncio.run(twice()) == "done"
