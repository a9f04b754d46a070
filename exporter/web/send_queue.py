"""The order in which connections write their responses: one slice at a time.

Thousands of large responses must not delay a small one, nor one that was requested
after them. Slices alternate between small and large responses, and between the newest
and the oldest of them: no response waits forever, however many are requested later.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from itertools import count
from types import TracebackType

_SMALL_BYTES = 8 * 1024 * 1024
"""Compressed pages, also of a million series, are smaller."""

_Waiting = list[tuple[int, asyncio.Future[None]]]
"""The numbers of responses, which increase, and what they wait for."""


class SendQueue:
    """Responses that wait to write their next slice."""

    def __init__(self) -> None:
        self._numbers = count()
        self._small: _Waiting = []
        self._large: _Waiting = []
        self._is_busy = False
        self._slices = 0

    def turns(self, size: int) -> Turns:
        """Return the turns of a new response with so many bytes."""
        waiting = self._small if size <= _SMALL_BYTES else self._large
        return Turns(self, waiting, next(self._numbers))

    async def wait(self, waiting: _Waiting, number: int) -> None:
        """Wait until no other slice is written and it is the turn of this response."""
        if not self._is_busy:
            self._is_busy = True
            return
        turn = asyncio.get_running_loop().create_future()
        insort(waiting, (number, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.release()
            raise

    def release(self) -> None:
        """Let the next response write, after the loop has handled other events."""
        asyncio.get_running_loop().call_soon(self._release)

    def _release(self) -> None:
        while self._small or self._large:
            self._slices += 1
            first, second = self._small, self._large
            waiting = (first or second) if self._slices & 1 else (second or first)
            _, turn = waiting.pop(0 if self._slices & 2 else -1)
            if not turn.cancelled():
                turn.set_result(None)
                return
        self._is_busy = False


class Turns:
    """The turns of one response; in the context of each it writes a slice."""

    def __init__(self, queue: SendQueue, waiting: _Waiting, number: int) -> None:
        self._queue = queue
        self._waiting = waiting
        self._number = number

    async def __aenter__(self) -> None:
        await self._queue.wait(self._waiting, self._number)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._queue.release()
