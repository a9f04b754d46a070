"""Who is polled slowly, and how often everybody is."""

from __future__ import annotations

import pytest
from exporter.model.config import CampaignConfig
from exporter.model.snapshot import Snapshot
from exporter.polling import plan
from exporter.polling.idle import IdleSchedule, is_idle
from hypothesis import given
from hypothesis import strategies as st

from tests.support.daemon_process import parsed

QUIET = Snapshot((), None, None, (), 0, 0, 0, 0, is_quiet=True)
ACTIVE = QUIET._replace(is_quiet=False, is_active=True)
NEITHER = QUIET._replace(is_quiet=False)


def planned(
    *intervals: str, ceiling: float = 6000.0, idle_interval: str = "1h"
) -> plan.WorkspacePlan:
    """Plan campaigns c0, c1, ... with these intervals."""
    workspace = {
        "name": "shop",
        "endpoint": "https://rest.iad-01.braze.com",
        "api_key_env": "KEY",
        "requests_per_minute": ceiling,
        "idle_interval": idle_interval,
        "campaigns": [
            {"id": f"c{n}", "name": f"c{n}", "interval": one}
            for n, one in enumerate(intervals)
        ],
    }
    return plan.plan(parsed({"workspaces": [workspace]}, key="k-1"))[0]


@pytest.mark.parametrize(
    ("is_dormant", "snapshot", "expected"),
    [
        (False, None, False),
        (False, NEITHER, False),
        (False, ACTIVE, False),
        (False, QUIET, True),
        (True, None, True),
        (True, NEITHER, True),
        (True, QUIET, True),
        (True, ACTIVE, False),
    ],
)
def test_a_campaign_is_idle_when_nothing_is_to_be_expected(
    is_dormant: bool, snapshot: Snapshot | None, expected: bool
) -> None:
    """Two quiet weeks, or archived or a draft; what is active never is."""
    campaign = CampaignConfig("c0", "c0", 300.0, is_dormant=is_dormant)

    assert is_idle(campaign, snapshot) is expected


def test_an_idle_campaign_is_polled_at_the_idle_interval() -> None:
    """And at its own again when it is moved back; it tells if that was a move."""
    lanes = IdleSchedule(planned("5m", "1m"))

    moves = [
        lanes.move("c0", is_idle=True),
        lanes.move("c0", is_idle=True),
        lanes.move("gone", is_idle=True),
    ]
    idle_ids = lanes.idle_ids
    intervals = [lanes.interval_seconds(one) for one in ("c0", "c1")]
    moves.append(lanes.move("c0", is_idle=False))

    assert idle_ids == {"c0"}
    assert intervals == [3600.0, 60.0]
    assert moves == [True, False, False, True]
    assert lanes.interval_seconds("c0") == 300.0


def test_an_idle_campaign_is_never_polled_faster_than_its_own_interval() -> None:
    """Nor does an idle interval that is short make it so."""
    lanes = IdleSchedule(
        planned("2h", "5m", idle_interval="1m"), ["c0", "c1", "unknown"]
    )

    assert lanes.idle_ids == {"c0", "c1"}
    assert lanes.interval_seconds("c0") == 7200.0
    assert lanes.interval_seconds("c1") == 300.0


def test_what_idle_campaigns_save_is_shared_by_all() -> None:
    """Intervals are stretched by what is wanted now, the workspace's own too."""
    ten = planned(*["1m"] * 10, ceiling=5.0)
    lanes = IdleSchedule(ten)
    before = (lanes.stretch, lanes.planned_per_minute)

    for n in range(8):
        lanes.move(f"c{n}", is_idle=True)

    assert before[0] == ten.stretch
    assert before[1] == pytest.approx(ten.planned_per_minute)
    assert lanes.stretch == 1
    assert lanes.interval_seconds("c9") == 60.0
    assert lanes.default_interval_seconds == 300.0
    assert lanes.planned_per_minute == pytest.approx(2 + 8 / 60)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=40))
def test_figures_are_those_of_the_lanes_at_the_end(
    moves: list[tuple[int, bool]],
) -> None:
    """Whatever the way there."""
    plan_ = planned("1m", "7s", "5m", "5m", "90m", "1s", ceiling=20.0)
    lanes = IdleSchedule(plan_)

    for number, idle in moves:
        lanes.move(f"c{number}", is_idle=idle)

    last = dict(moves)
    idle_ids = {f"c{number}" for number, idle in last.items() if idle}
    anew = IdleSchedule(plan_, idle_ids)
    assert lanes.idle_ids == anew.idle_ids == idle_ids
    assert lanes.stretch == pytest.approx(anew.stretch, rel=1e-12)
    total = sum(60 / lanes.interval_seconds(f"c{n}") for n in range(6))
    assert lanes.planned_per_minute == pytest.approx(total)
    assert total <= plan_.startable_per_minute * (1 + 1e-9)


def test_the_plan_in_force_says_what_is_asked_now() -> None:
    """What idle campaigns save is seen by whoever looks at the plan."""
    lanes = IdleSchedule(planned("1m", "1m", ceiling=1.0), ["c0"])

    assert 1 < lanes.plan.stretch == lanes.stretch < 2
    assert lanes.plan.planned_per_minute == lanes.planned_per_minute
    assert lanes.plan.interval_seconds == lanes.default_interval_seconds
