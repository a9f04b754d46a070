"""The simulator's mixed fleet, polled with and without a slow lane."""

from __future__ import annotations

from tests.support.idle_fleet import measure


def test_the_idle_lane_saves_most_requests_of_a_fleet_that_rests() -> None:
    """The active ones are polled as often as without it, the idle ones hourly."""
    fleet = {"campaigns": 50, "active": 0.0, "requests_per_minute": 120.0}

    with_lane = measure(**fleet, idle_interval="1h", hours=2)  # type: ignore[arg-type]  # ours
    without = measure(**fleet, idle_interval="5m", hours=1)  # type: ignore[arg-type]  # ours

    idle = with_lane.idle_campaigns
    assert without.requests_a_day == 50 * 288
    assert with_lane.requests_a_day == (50 - idle) * 288 + idle * 24
    assert 25 < idle < 50
    assert with_lane.active is not None
    assert with_lane.idle is not None
    assert 299 < with_lane.active.most < 301
    assert 3599 < with_lane.idle.most < 3601


def test_what_it_saves_stretches_nobody() -> None:
    """Under a ceiling that is too low for all, the active ones are polled in time."""
    fleet = {"campaigns": 50, "active": 0.0, "requests_per_minute": 6.0}

    with_lane = measure(**fleet, idle_interval="1h", hours=1)  # type: ignore[arg-type]  # ours
    without = measure(**fleet, idle_interval="5m", hours=1)  # type: ignore[arg-type]  # ours

    assert with_lane.active is not None
    assert without.active is not None
    assert with_lane.active.most < 330
    assert without.active.most > 500
