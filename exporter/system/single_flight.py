"""Concurrent callers of a slow function share its runs.

A run begins after all calls that it answers, so a result is never older than its call.
A cancelled caller does not cancel the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from threading import Lock
from typing import Generic, ParamSpec, TypeVar, cast

K = TypeVar("K")
P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function in a thread, or here while the system has no thread to give."""
    turn = Lock()

    def run_once() -> T | None:
        # The executor keeps a call that it has failed to start.
        return function(*args, **kwargs) if turn.acquire(blocking=False) else None

    try:
        result = asyncio.get_running_loop().run_in_executor(None, run_once)
    except RuntimeError:
        result = asyncio.get_running_loop().create_future()
        result.set_result(run_once())
    return cast("T", await result)


class BatchedCalls(Generic[K, T]):
    """Runs a function in a thread, one run at a time, with the keys of all callers."""

    def __init__(self, work: Callable[[Collection[K]], Mapping[K, T]]) -> None:
        """`work` returns a result for each distinct key."""
        self._work = work
        self._keys: dict[K, None] = {}
        """The keys of the next run, in the order of the calls."""
        self._current: asyncio.Task[Mapping[K, T]] | None = None
        self._next: asyncio.Task[Mapping[K, T]] | None = None

    async def run(self, key: K) -> T:
        """Return the result of the next run for this key, or raise its exception."""
        self._keys[key] = None
        if self._next is None:
            self._next = asyncio.create_task(self._run_after(self._current))
        return (await asyncio.shield(self._next))[key]

    async def _run_after(
        self, previous: asyncio.Task[Mapping[K, T]] | None
    ) -> Mapping[K, T]:
        if previous is not None:
            await asyncio.wait([previous])
        self._current, self._next = self._next, None
        keys, self._keys = tuple(self._keys), {}
        try:
            return await in_thread(self._work, keys)
        finally:
            self._current = None


class SingleFlight(Generic[T]):
    """Runs a function without arguments in a thread, one run at a time."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._calls: BatchedCalls[None, T] = BatchedCalls(lambda _: {None: work()})

    async def run(self) -> T:
        """Return the result of the next run, or raise its exception."""
        return await self._calls.run(None)
