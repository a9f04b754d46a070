"""Work that is done once for all who wait for it, however large the crowd."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Does its work in a thread, one round at a time.

    An outcome is never older than the wish for it: who comes during a round waits for
    the next one. Who leaves takes nothing from the others, and ends nothing.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._now: asyncio.Task[T] | None = None
        self._next: asyncio.Task[T] | None = None

    async def outcome(self) -> T:
        """Return what the work returns, or raise what it raises."""
        if self._next is None:
            self._next = asyncio.create_task(self._follow(self._now))
        return await asyncio.shield(self._next)

    async def _follow(self, before: asyncio.Task[T] | None) -> T:
        if before is not None:
            await asyncio.wait([before])
        self._now, self._next = self._next, None
        try:
            return await asyncio.to_thread(self._work)
        finally:
            self._now = None
