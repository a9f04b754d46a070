"""All open connections, and the order in which idle ones are evicted.

A connection is waiting while the client has to send or to read; it is busy while the
server has to respond. Only waiting connections are evicted, the longest waiting first.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine
from typing import Any, Protocol

_MOST_HANDSHAKES = 256
"""TLS handshakes in progress; each occupies some 60 KiB."""
_MOST_ENCRYPTED = 1024
"""TLS connections, handshakes included; each occupies as much."""


class ConnectionHandle(Protocol):
    """What the server calls on a connection."""

    def check_deadline(self, now: float) -> None:
        """Send 408 or abort if the deadline has passed."""

    def close_after_response(self) -> None:
        """Close after the response in progress, at once when there is none."""

    def abort(self) -> None:
        """Close at once."""


class ConnectionTable:
    """Open connections, and the tasks that serve them."""

    def __init__(self) -> None:
        self._connections: set[ConnectionHandle] = set()
        self._waiting: OrderedDict[ConnectionHandle, None] = OrderedDict()
        """The eviction queue."""
        self._handshakes: OrderedDict[ConnectionHandle, None] = OrderedDict()
        """Those in progress, the oldest first."""
        self._encrypted: set[ConnectionHandle] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    def __len__(self) -> int:
        return len(self._connections)

    def connections(self) -> tuple[ConnectionHandle, ...]:
        """Return all open connections."""
        return tuple(self._connections)

    def add(self, connection: ConnectionHandle) -> None:
        """Add a connection as waiting."""
        self._connections.add(connection)
        self._is_empty.clear()
        self.mark_waiting(connection)

    def mark_waiting(self, connection: ConnectionHandle) -> None:
        """Move the connection to the end of the eviction queue; ignore removed ones."""
        if connection in self._connections:
            self._waiting[connection] = None
            self._waiting.move_to_end(connection)

    def mark_busy(self, connection: ConnectionHandle) -> None:
        """Remove the connection from the eviction queue."""
        self._waiting.pop(connection, None)

    def begin_handshake(self, connection: ConnectionHandle) -> None:
        """Count a TLS connection.

        Beyond the limits the oldest handshake, or the longest waiting TLS connection,
        is aborted first.
        """
        if len(self._handshakes) >= _MOST_HANDSHAKES:
            self._abort(next(iter(self._handshakes)))
        if len(self._encrypted) >= _MOST_ENCRYPTED:
            oldest = next(filter(self._encrypted.__contains__, self._waiting), None)
            self._abort(oldest or connection)
        if connection in self._connections:
            self._encrypted.add(connection)
            self._handshakes[connection] = None

    def end_handshake(self, connection: ConnectionHandle) -> None:
        """Count the connection as a handshake no longer, if it was one."""
        self._handshakes.pop(connection, None)

    def remove(self, connection: ConnectionHandle) -> None:
        """Remove a connection; ignore one that is removed already."""
        self._connections.discard(connection)
        self._waiting.pop(connection, None)
        self._handshakes.pop(connection, None)
        self._encrypted.discard(connection)
        if not self._connections:
            self._is_empty.set()

    def evict_oldest(self) -> bool:
        """Abort and remove the longest waiting connection; False if none waits."""
        connection = next(iter(self._waiting), None)
        if connection is None:
            return False
        self._abort(connection)
        return True

    def start_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task that `wait_for_tasks` waits for."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _abort(self, connection: ConnectionHandle) -> None:
        self.remove(connection)
        connection.abort()

    async def wait_until_empty(self) -> None:
        """Wait until every connection is removed."""
        await self._is_empty.wait()

    async def wait_for_tasks(self, *, timeout_seconds: float) -> None:
        """Wait until all tasks have ended or the time is over."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_seconds)
