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


class EvictedConnection(FakeConnection):
    """A connection that notes its end."""

    is_aborted = False

    def abort(self) -> None:
        self.is_aborted = True


def test_the_oldest_handshakes_are_aborted_beyond_the_limit() -> None:
    """Those that have ended, and connections without TLS, are not counted."""
    table = ConnectionTable()
    plain, done, *handshakes = (EvictedConnection() for _ in range(302))
    table.add(plain)
    for one in (done, *handshakes):
        table.add(one)
        table.begin_handshake(one)
        if one is done:
            table.end_handshake(one)

    aborted = [one.is_aborted for one in handshakes]
    assert aborted == [True] * 44 + [False] * 256
    assert not plain.is_aborted
    assert not done.is_aborted
    assert len(table) == 258


def test_the_longest_waiting_tls_connections_are_aborted_beyond_the_limit() -> None:
    table = ConnectionTable()
    busy, *others = (EvictedConnection() for _ in range(1030))
    for one in (busy, *others):
        table.add(one)
        table.begin_handshake(one)
        table.end_handshake(one)
        table.mark_busy(busy)

    assert [one.is_aborted for one in others] == [True] * 6 + [False] * 1023
    assert not busy.is_aborted
