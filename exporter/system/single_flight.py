"""Concurrent callers of a slow function share its runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Runs a function in a thread, one run at a time.

    Concurrent callers share the next run; a result is always computed after the call.
    A cancelled caller does not cancel the run.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._current: asyncio.Task[T] | None = None
        self._next: asyncio.Task[T] | None = None

    async def run(self) -> T:
        """Return the result of the function, or raise its exception."""
        if self._next is None:
            self._next = asyncio.create_task(self._run_after(self._current))
        return await asyncio.shield(self._next)

    async def _run_after(self, previous: asyncio.Task[T] | None) -> T:
        if previous is not None:
            await asyncio.wait([previous])
        self._current, self._next = self._next, None
        try:
            return await asyncio.to_thread(self._work)
        finally:
            self._current = None
