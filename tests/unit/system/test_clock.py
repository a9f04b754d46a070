"""The clock that all wait by, while the wall clock is set."""

import time

import pytest
from exporter.system import clock
from exporter.system.clock import Clock


class Clocks:
    """A wall clock and a steady one, both set by hand."""

    def __init__(self) -> None:
        self.wall = 1_700_000_000.0
        self.steady = 50.0
        self.clock = Clock(wall=lambda: self.wall, steady=lambda: self.steady)

    def pass_time(self, seconds: float) -> None:
        """Let both go on."""
        self.wall += seconds
        self.steady += seconds


def test_time_that_passes_is_no_jump() -> None:
    """Neither a second nor a night in which the machine slept."""
    clocks = Clocks()

    clocks.pass_time(8 * 3600)

    assert clocks.clock.now() == clocks.wall
    assert clocks.clock.jump() == 0


@pytest.mark.parametrize("seconds", [3600.0, -3600.0, 2.0, -2.5])
def test_a_clock_that_is_set_is_told_once(seconds: float) -> None:
    """By how much, forward or back; asked again it is the clock that counts."""
    clocks = Clocks()
    clocks.wall += seconds
    clocks.pass_time(1)

    assert clocks.clock.jump() == seconds
    assert clocks.clock.jump() == 0


@pytest.mark.parametrize("seconds", [3600.0, -3600.0])
def test_nobody_sets_now(seconds: float) -> None:
    """It goes on; what is due is told by the wall clock as it is at that moment."""
    clocks = Clocks()
    before = clocks.clock.now()
    clocks.wall += seconds
    clocks.pass_time(1)

    assert clocks.clock.now() == before + 1
    assert clocks.clock.on_wall(before + 11) == clocks.wall + 10
    assert clocks.clock.set_by() == 0
    clocks.clock.jump()
    assert clocks.clock.now() == before + 1
    assert clocks.clock.on_wall(before + 11) == clocks.wall + 10
    assert clocks.clock.set_by() == seconds


def test_small_corrections_are_followed_and_told_in_sum() -> None:
    """Time daemons make them all day; what they come to is told now and then."""
    clocks = Clocks()
    told = []
    for _ in range(10):
        clocks.wall += 0.5
        told.append(clocks.clock.jump())

    assert told == [0, 0, 0, 2.0] * 2 + [0, 0]
    assert clocks.clock.set_by() == 5.0


def test_the_steady_clock_goes_on_while_the_machine_sleeps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is the time since the machine started, or what else a system has."""
    assert clock.steady() == pytest.approx(time.clock_gettime(time.CLOCK_BOOTTIME), 1)

    monkeypatch.delattr(time, "CLOCK_BOOTTIME")

    assert clock.steady() == pytest.approx(time.monotonic(), 1)
