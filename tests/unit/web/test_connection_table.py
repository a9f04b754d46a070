"""The eviction queue and the tasks of connections."""

from __future__ import annotations

import asyncio

from exporter.web.connection_table import ConnectionTable


class FakeConnection:
    """Records that it was aborted."""

    is_aborted = False

    def check_deadline(self, now: float) -> None:
        """Do nothing."""

    def close_after_response(self) -> None:
        """Do nothing."""

    def abort(self) -> None:
        """Record it."""
        self.is_aborted = True


def table_of(*connections: FakeConnection) -> ConnectionTable:
    """Return a table with these connections, all waiting."""
    table = ConnectionTable()
    for connection in connections:
        table.add(connection)
    return table


def test_the_longest_waiting_connection_is_evicted() -> None:
    """One at a time."""
    first, second = FakeConnection(), FakeConnection()
    table = table_of(first, second)

    assert table.evict_oldest()
    assert (first.is_aborted, second.is_aborted) == (True, False)
    assert table.connections() == (second,)


def test_activity_moves_a_connection_to_the_end_of_the_queue() -> None:
    """A connection that has been idle since is evicted before it."""
    first, second = FakeConnection(), FakeConnection()
    table = table_of(first, second)
    table.mark_waiting(first)

    table.evict_oldest()

    assert second.is_aborted


def test_busy_connections_are_not_evicted() -> None:
    """They are responding."""
    connection = FakeConnection()
    table = table_of(connection)
    table.mark_busy(connection)

    assert not table.evict_oldest()
    assert len(table) == 1


def test_a_removed_connection_cannot_wait_again() -> None:
    """It is not added to the queue."""
    connection = FakeConnection()
    table = table_of(connection)
    table.remove(connection)
    table.mark_waiting(connection)

    assert not table.evict_oldest()
    assert len(table) == 0


def test_waiting_for_tasks_has_a_timeout() -> None:
    """A task that does not end delays nothing for longer."""

    async def wait_twice() -> tuple[bool, bool]:
        table, end = ConnectionTable(), asyncio.Event()

        async def work() -> None:
            await end.wait()

        task = table.start_task(work())
        await table.wait_for_tasks(timeout_seconds=0.01)
        was_done = task.done()
        end.set()
        await table.wait_for_tasks(timeout_seconds=60)
        return was_done, task.done()

    assert asyncio.run(wait_twice()) == (False, True)
