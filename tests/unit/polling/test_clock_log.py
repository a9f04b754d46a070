"""Log lines about a clock that differs from Braze's."""

from __future__ import annotations

import logging

import pytest
from exporter.polling.clock_log import ClockLog

from tests.support.fake_clock import FakeClock


@pytest.mark.parametrize(
    ("ahead", "seconds", "logged"),
    [
        (0.0, 0.1, None),
        (60.0, 0.1, None),
        (-60.0, 0.1, None),
        (61.0, 0.1, 61),
        (-61.0, 0.1, -61),
        (90.0, 40.0, None),  # the response took that long
        (-90.0, 40.0, -90),
        (86400.0, 0.1, 86400),
    ],
)
def test_a_difference_of_more_than_a_minute_is_logged(
    caplog: pytest.LogCaptureFixture, ahead: float, seconds: float, logged: int | None
) -> None:
    caplog.set_level(logging.INFO)
    clock = FakeClock()

    ClockLog(clock).compare("shop", clock.wall() - ahead, seconds=seconds)

    found = [vars(one)["fields"]["ahead_seconds"] for one in caplog.records]
    assert found == ([] if logged is None else [logged])


def test_a_difference_is_logged_once_an_hour(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = FakeClock()
    log = ClockLog(clock)

    for _ in range(121):
        log.compare("shop", clock.wall() - 300, seconds=0.1)
        clock.time += 60

    assert [one.message for one in caplog.records] == ["clock.differs"] * 3
