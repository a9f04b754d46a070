"""Who is connected, and who of them waits for its client, the longest first.

A guest waits while its client has to say something or to read on; it is busy while we
have to do something.
Making room takes the same time however many are connected. It knows nothing of sockets
and deadlines.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine
from typing import Any, Protocol


class ConnectionHandle(Protocol):
    """What a listener may ask of a connection."""

    def hurry(self, now: float) -> None:
        """Act on a deadline that has passed."""

    def retire(self) -> None:
        """Close after the answer in progress, at once when there is none."""

    def abort(self) -> None:
        """Close at once."""


class ConnectionTable:
    """All guests, and the tasks that work for them."""

    def __init__(self) -> None:
        self._guests: set[ConnectionHandle] = set()
        self._waiting: OrderedDict[ConnectionHandle, None] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._guests)

    def guests(self) -> tuple[ConnectionHandle, ...]:
        """Return all guests as they are now."""
        return tuple(self._guests)

    def admit(self, guest: ConnectionHandle) -> None:
        """Take in a guest: it waits for its client."""
        self._guests.add(guest)
        self._empty.clear()
        self.mark_waiting(guest)

    def mark_waiting(self, guest: ConnectionHandle) -> None:
        """Put a guest last among those that wait, unless it was shown out."""
        if guest in self._guests:
            self._waiting[guest] = None
            self._waiting.move_to_end(guest)

    def mark_busy(self, guest: ConnectionHandle) -> None:
        """Take a guest off those that may be closed to make room."""
        self._waiting.pop(guest, None)

    def remove(self, guest: ConnectionHandle) -> None:
        """Forget a guest; one that is unknown already is no error."""
        self._guests.discard(guest)
        self._waiting.pop(guest, None)
        if not self._guests:
            self._empty.set()

    def make_room(self) -> bool:
        """Abort and forget the guest that waits longest; False when none waits."""
        guest = next(iter(self._waiting), None)
        if guest is None:
            return False
        self.remove(guest)
        guest.abort()
        return True

    def run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task that `settled` waits for."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def emptied(self) -> None:
        """Wait until no guest is left."""
        await self._empty.wait()

    async def settled(self, *, seconds: float) -> None:
        """Wait until the tasks have ended, but no longer than so many seconds."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
