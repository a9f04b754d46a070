"""The simulator's mixed fleet, polled with and without an idle interval."""

from __future__ import annotations

from tests.support.idle_fleet import measure


def test_idle_intervals_save_most_requests_of_an_idle_fleet() -> None:
    """Active campaigns are polled as often as without them, idle ones hourly."""
    with_idle, without = (
        measure(
            campaigns=50,
            active=0.0,
            requests_per_minute=120.0,
            idle_interval=interval,
            hours=hours,
        )
        for interval, hours in (("1h", 2), ("5m", 1))
    )

    idle = with_idle.idle_campaigns
    assert without.requests_a_day == 50 * 288
    assert with_idle.requests_a_day == (50 - idle) * 288 + idle * 24
    assert 25 < idle < 50
    assert with_idle.active is not None
    assert with_idle.idle is not None
    assert 299 < with_idle.active.most < 301
    assert 3599 < with_idle.idle.most < 3601


def test_idle_intervals_keep_active_campaigns_from_being_stretched() -> None:
    """Under a ceiling that is too low for all campaigns."""
    with_idle, without = (
        measure(
            campaigns=50,
            active=0.0,
            requests_per_minute=6.0,
            idle_interval=interval,
            hours=1,
        ).active
        for interval in ("1h", "5m")
    )

    assert with_idle is not None
    assert without is not None
    assert with_idle.most < 330
    assert without.most > 500
