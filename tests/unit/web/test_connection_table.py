"""Who is connected, and who is shown out first."""

from __future__ import annotations

import asyncio

from exporter.web.connection_table import ConnectionTable


class Somebody:
    """A guest who remembers having been shown out."""

    is_out = False

    def hurry(self, now: float) -> None:
        """Take no notice."""

    def retire(self) -> None:
        """Take no notice."""

    def abort(self) -> None:
        """Go."""
        self.is_out = True


def test_the_one_who_waits_longest_makes_room() -> None:
    """Room is made by the guest that was admitted first, and by one at a time."""
    roster, first, second = ConnectionTable(), Somebody(), Somebody()
    roster.admit(first)
    roster.admit(second)

    is_room = roster.make_room()

    assert is_room
    assert (first.is_out, second.is_out) == (True, False)
    assert roster.guests() == (second,)


def test_a_sign_of_life_puts_one_last() -> None:
    """A guest that said something is behind one that has been silent since."""
    roster, first, second = ConnectionTable(), Somebody(), Somebody()
    roster.admit(first)
    roster.admit(second)
    roster.mark_waiting(first)

    roster.make_room()

    assert second.is_out


def test_the_busy_stay() -> None:
    """Nobody makes room while all have an answer in progress."""
    roster, guest = ConnectionTable(), Somebody()
    roster.admit(guest)
    roster.mark_busy(guest)

    assert not roster.make_room()
    assert len(roster) == 1


def test_the_forgotten_do_not_come_back() -> None:
    """A guest that was shown out cannot wait again."""
    roster, guest = ConnectionTable(), Somebody()
    roster.admit(guest)
    roster.remove(guest)
    roster.mark_waiting(guest)

    assert not roster.make_room()
    assert len(roster) == 0


def test_work_is_waited_for_only_so_long() -> None:
    """A task that does not end keeps nobody longer than the time given."""

    async def wait_for_a_stubborn_task() -> bool:
        roster, end = ConnectionTable(), asyncio.Event()

        async def work() -> None:
            await end.wait()

        task = roster.run(work())
        await roster.settled(seconds=0.01)
        is_done = task.done()
        end.set()
        await roster.settled(seconds=10)
        return not is_done and task.done()

    assert asyncio.run(wait_for_a_stubborn_task())
