"""The process clock, while the wall clock is set."""

import time

import pytest
from exporter.system import clock

from tests.support.fake_clock import FakeClock


def test_time_that_passes_is_not_a_jump() -> None:
    clock = FakeClock()
    before = clock.now()

    clock.advance(8 * 3600)

    assert clock.now() == before + 8 * 3600
    assert clock.jump() == 0


@pytest.mark.parametrize("seconds", [3600.0, -3600.0, 2.0, -2.5])
def test_a_clock_that_was_set_is_reported_once(seconds: float) -> None:
    """`now` goes on; wall times follow at once, the offset after `jump`."""
    clock = FakeClock()
    before = clock.now()
    clock.set_by = seconds
    clock.time += 1

    assert clock.now() == before + 1
    assert clock.wall_exactly(before + 11) == before + 11 + seconds
    assert clock.offset() == 0
    assert clock.wall() == before + 1

    assert (clock.jump(), clock.jump()) == (seconds, 0)
    assert clock.now() == before + 1
    assert clock.offset() == seconds
    assert clock.wall() == before + 1 + seconds
    assert clock.wall(before) == before + seconds
    assert clock.wall_exactly(before) == before + seconds


def test_small_corrections_are_reported_once_they_add_up() -> None:
    clock = FakeClock()
    reported = []
    for _ in range(10):
        clock.set_by += 0.5
        reported.append(clock.jump())

    assert reported == [0, 0, 0, 2.0] * 2 + [0, 0]
    assert clock.offset() == 5.0


def test_the_steady_clock_includes_suspend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has such a clock; else it is the monotonic one."""
    assert clock.steady() == pytest.approx(time.clock_gettime(time.CLOCK_BOOTTIME), 1)

    monkeypatch.delattr(time, "CLOCK_BOOTTIME")

    assert clock.steady() == pytest.approx(time.monotonic(), 1)
