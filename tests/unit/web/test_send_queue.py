"""The order in which responses write their slices."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from exporter.web.send_queue import SendQueue

LARGE = 100 * 1024 * 1024
PATIENCE_SECONDS = 60.0


class Sending:
    """Responses of so many slices; `done` lists those that are complete."""

    def __init__(self) -> None:
        self.queue = SendQueue()
        self.done: list[str] = []
        self.slices = 0
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def begin(self, name: str, *, slices: int, size: int = LARGE) -> None:
        """Begin a response, and let it wait for its first turn."""
        self._tasks[name] = asyncio.create_task(self._send(name, slices, size))
        await asyncio.sleep(0)

    async def end(self, *names: str) -> None:
        await asyncio.wait([self._tasks[name] for name in names])

    def cancel(self, name: str) -> None:
        self._tasks[name].cancel()

    async def _send(self, name: str, slices: int, size: int) -> None:
        turns = self.queue.turns(size)
        for _ in range(slices):
            async with turns:
                self.slices += 1
        self.done.append(name)


def run(test: Callable[[Sending], Awaitable[None]]) -> None:
    async def run_all() -> None:
        await test(Sending())

    asyncio.run(asyncio.wait_for(run_all(), PATIENCE_SECONDS))


@pytest.mark.parametrize("size", [1000, LARGE])
def test_a_new_response_overtakes_those_that_wait(size: int) -> None:
    """It writes at least each fourth slice, however many are larger or older."""

    async def test(sending: Sending) -> None:
        for number in range(500):
            await sending.begin(f"old {number}", slices=100)
        before = sending.slices

        await sending.begin("new", slices=10, size=size)
        await sending.end("new")

        assert sending.slices - before <= 44
        for number in range(500):
            sending.cancel(f"old {number}")

    run(test)


def test_the_oldest_response_ends_although_others_are_requested_all_the_time() -> None:
    async def test(sending: Sending) -> None:
        await sending.begin("oldest", slices=20)
        number = 0
        while "oldest" not in sending.done:
            await sending.begin(f"small {number}", slices=1, size=10)
            await sending.begin(f"large {number}", slices=1)
            number += 1

        assert number < 200

    run(test)


def test_a_cancelled_response_blocks_no_other() -> None:
    """Whether it waits for a turn or has just got one."""

    async def test(sending: Sending) -> None:
        for number in range(10):
            await sending.begin(f"{number}", slices=3)
        for number in range(5):
            sending.cancel(f"{number}")
            await asyncio.sleep(0)
        await sending.end(*map(str, range(10)))
        await sending.begin("next", slices=1)
        await sending.end("next")

        assert {*map(str, range(5, 10)), "next"} <= set(sending.done)

    run(test)
