"""Which campaigns are polled slowly, and the intervals of all."""

from __future__ import annotations

import pytest
from exporter.model.config import ObjectConfig
from exporter.model.snapshot import Snapshot
from exporter.polling import plan
from exporter.polling.idle import IdleSchedule, is_idle
from hypothesis import given
from hypothesis import strategies as st

from tests.support.polling_world import config, workspace

QUIET = Snapshot((), None, None, (), is_quiet=True)
ACTIVE = QUIET._replace(is_quiet=False, is_active=True)
NEITHER = QUIET._replace(is_quiet=False)


def planned(
    *intervals: str, ceiling: float = 6000.0, idle_interval: str = "1h"
) -> plan.GroupPlan:
    """Plan campaigns c0, c1, ... with these intervals."""
    campaigns = [
        {"id": f"c{n}", "name": f"c{n}", "interval": one}
        for n, one in enumerate(intervals)
    ]
    shop = workspace(
        requests_per_minute=ceiling, idle_interval=idle_interval, campaigns=campaigns
    )
    return plan.plan(config(shop))[0]


@pytest.mark.parametrize(
    ("snapshot", "is_idle_if_active", "is_idle_if_dormant"),
    [
        (None, False, True),
        (NEITHER, False, True),
        (QUIET, True, True),
        (ACTIVE, False, False),
    ],
)
def test_a_quiet_or_dormant_campaign_is_idle(
    snapshot: Snapshot | None, is_idle_if_active: bool, is_idle_if_dormant: bool
) -> None:
    """Quiet for two weeks, archived or a draft; an active one never is."""
    active = ObjectConfig("c0", "c0", 300.0)
    dormant = active._replace(is_dormant=True)

    assert is_idle(active, snapshot) is is_idle_if_active
    assert is_idle(dormant, snapshot) is is_idle_if_dormant


def test_an_idle_campaign_is_polled_at_the_idle_interval() -> None:
    schedule = IdleSchedule(planned("5m", "1m"))

    moves = [
        schedule.move("c0", is_idle=True),
        schedule.move("c0", is_idle=True),
        schedule.move("gone", is_idle=True),
    ]
    idle_ids = schedule.idle_ids
    intervals = [schedule.interval_seconds(one) for one in ("c0", "c1")]
    moves.append(schedule.move("c0", is_idle=False))

    assert idle_ids == {"c0"}
    assert intervals == [3600.0, 60.0]
    assert moves == [True, False, False, True]
    assert schedule.interval_seconds("c0") == 300.0


def test_an_idle_campaign_is_not_polled_more_often_than_an_active_one() -> None:
    schedule = IdleSchedule(
        planned("2h", "5m", idle_interval="1m"), ["c0", "c1", "unknown"]
    )

    assert schedule.idle_ids == {"c0", "c1"}
    assert schedule.interval_seconds("c0") == 7200.0
    assert schedule.interval_seconds("c1") == 300.0


def test_idle_campaigns_reduce_the_stretch() -> None:
    ten = planned(*["1m"] * 10, ceiling=5.0)
    schedule = IdleSchedule(ten)
    assert schedule.plan.stretch == ten.stretch

    for n in range(8):
        schedule.move(f"c{n}", is_idle=True)

    assert schedule.plan.stretch == 1
    assert schedule.interval_seconds("c9") == 60.0
    assert schedule.plan.interval_seconds == 300.0
    assert schedule.plan.planned_per_minute == pytest.approx(2 + 8 / 60)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=40))
def test_figures_do_not_depend_on_earlier_moves(
    moves: list[tuple[int, bool]],
) -> None:
    plan_ = planned("1m", "7s", "5m", "5m", "90m", "1s", ceiling=20.0)
    schedule = IdleSchedule(plan_)

    for number, idle in moves:
        schedule.move(f"c{number}", is_idle=idle)

    last = dict(moves)
    idle_ids = {f"c{number}" for number, idle in last.items() if idle}
    fresh = IdleSchedule(plan_, idle_ids)
    assert schedule.idle_ids == fresh.idle_ids == idle_ids
    assert schedule.plan.stretch == pytest.approx(fresh.plan.stretch, rel=1e-12)
    total = sum(60 / schedule.interval_seconds(f"c{n}") for n in range(6))
    assert schedule.plan.planned_per_minute == pytest.approx(total)
    assert total <= plan_.startable_per_minute * (1 + 1e-9)
