"""The eviction queue and the tasks of connections."""

from __future__ import annotations

import asyncio

from exporter.web.connection_table import ConnectionTable


class FakeConnection:
    """A connection that does nothing."""

    def check_deadline(self, now: float) -> None: ...

    def close_after_response(self) -> None: ...

    def abort(self) -> None: ...


def test_a_removed_connection_cannot_wait_again() -> None:
    table, connection = ConnectionTable(), FakeConnection()
    table.add(connection)
    table.remove(connection)
    table.mark_waiting(connection)

    assert not table.evict_oldest()
    assert len(table) == 0


def test_waiting_for_tasks_has_a_timeout() -> None:
    """A task that does not end delays nothing for longer."""

    async def wait_twice() -> tuple[bool, bool]:
        table = ConnectionTable()
        task = table.start_task(asyncio.sleep(3600))
        await table.wait_for_tasks(timeout_seconds=0.01)
        was_done = task.done()
        task.cancel()
        await table.wait_for_tasks(timeout_seconds=60)
        return was_done, task.done()

    assert asyncio.run(wait_twice()) == (False, True)
