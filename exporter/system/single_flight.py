"""Concurrent callers of a slow function share its runs.

A run begins after all calls that it answers, so a result is never older than its call.
A cancelled caller does not cancel the run.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from threading import Lock
from typing import Generic, ParamSpec, TypeVar

K = TypeVar("K")
P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function in a thread, or here while no thread can be created."""
    turn = Lock()
    result: Future[T] = Future()

    def run_once() -> None:
        # The executor keeps a call that it has failed to start.
        if turn.acquire(blocking=False) and result.set_running_or_notify_cancel():
            try:
                result.set_result(function(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - raised to the caller
                result.set_exception(error)

    try:
        asyncio.get_running_loop().run_in_executor(None, run_once)
    except RuntimeError:
        run_once()
    return await asyncio.wrap_future(result)


class TooManyKeysError(Exception):
    """More distinct keys wait for the next run than are allowed, or than it managed."""


class BatchedCalls(Generic[K, T]):
    """Runs a function in a thread, one run at a time, with the keys of all callers."""

    def __init__(
        self, work: Callable[[Collection[K]], Mapping[K, T]], *, most_keys: int = 1
    ) -> None:
        """`work` gets so many distinct keys, and may return results of only some."""
        self._work = work
        self._most_keys = most_keys
        self._callers: Counter[K] = Counter()
        """How many callers wait for each key of the next run."""
        self._current: asyncio.Task[Mapping[K, T]] | None = None
        self._next: asyncio.Task[Mapping[K, T]] | None = None

    async def run(self, key: K) -> T:
        """Return the result of the next run for this key, or raise its exception.

        TooManyKeysError: as many other keys wait as one run may have, or the run had no
        result for this one.
        """
        callers = self._callers
        if key not in callers and len(+callers) >= self._most_keys:
            raise TooManyKeysError
        callers[key] += 1
        if self._next is None:
            self._next = asyncio.create_task(self._run_after(self._current))
        try:
            results = await asyncio.shield(self._next)
        finally:
            callers[key] -= 1
        if key not in results:
            raise TooManyKeysError
        return results[key]

    async def _run_after(
        self, previous: asyncio.Task[Mapping[K, T]] | None
    ) -> Mapping[K, T]:
        if previous is not None:
            await asyncio.wait([previous])
        self._current, self._next = self._next, None
        keys, self._callers = tuple(+self._callers), Counter()
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
