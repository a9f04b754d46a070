"""The polling plan of a configuration: rates, intervals and expected series."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from exporter.braze.rate_limit import spacing
from exporter.model.config import Limits, MetricsConfig, ObjectConfig, Selection
from exporter.polling import plan, slots
from exporter.polling.idle import IdleSchedule
from exporter.polling.kinds import CAMPAIGN

from tests.support.fake_clock import NOW
from tests.support.polling_world import config, with_canvases, workspace


def campaigns(*intervals: float) -> tuple[ObjectConfig, ...]:
    return tuple(
        ObjectConfig(str(UUID(int=number)), f"Campaign {number}", interval)
        for number, interval in enumerate(intervals)
    )


def planned(
    *intervals: float,
    ceiling: float = 120.0,
    contract: dict[str, int] | None = None,
    **changes: object,
) -> plan.GroupPlan:
    """Plan campaigns with these intervals, in a configuration with these changes."""
    parsed = config(workspace(requests_per_minute=ceiling))
    shop = replace(
        parsed.workspaces[0], campaigns=campaigns(*intervals), contract=contract or {}
    )
    (found,) = plan.plan(parsed._replace(workspaces=(shop,), **changes))  # type: ignore[arg-type]  # of several types
    return found


@pytest.mark.parametrize(
    ("intervals", "ceiling", "rate", "stretch"),
    [
        ([60, 300, 300], 120, 1.4, 1),
        ([60, 30], 1.5, 60 / spacing(1.5), 2),
        ([], 120, 0, 1),
    ],
)
def test_all_intervals_are_stretched_by_one_factor_above_the_ceiling(
    intervals: list[float], ceiling: float, rate: float, stretch: float
) -> None:
    found = planned(*intervals, ceiling=ceiling)

    assert found.wanted_per_minute == pytest.approx(sum(60 / one for one in intervals))
    assert found.planned_per_minute == pytest.approx(rate)
    assert found.stretch == pytest.approx(stretch, rel=0.001)
    assert found.interval_seconds == 300 * found.stretch
    assert found.ceiling_per_minute == ceiling


@pytest.mark.parametrize("ceiling", [0.5, 59.0, 61.0, 600.0, 50_000.0])
def test_a_planned_rate_can_be_started(ceiling: float) -> None:
    """Starts are spaced a little more than the ceiling: a full queue must empty."""
    found = planned(*[1.0] * 1000, ceiling=ceiling)

    most = 60 / spacing(ceiling)
    assert found.planned_per_minute <= most * (1 + 1e-9)
    assert found.planned_per_minute <= ceiling
    assert planned(*[1.0] * 1000, ceiling=found.needed_per_minute).stretch == 1
    assert found.needed_per_minute <= 1.021 * found.wanted_per_minute


def test_every_workspace_has_its_plan_with_its_ceiling() -> None:
    shop = workspace("a", interval="1m")
    other = shop | {"name": "other", "requests_per_minute": 0.5}

    found = plan.plan(config(shop, other))

    assert [round(one.stretch, 2) for one in found] == [1, 2]


@pytest.mark.parametrize(
    ("windows", "days"),
    [((), 2), ((12,), 14), ((13,), 15), ((7, 28), 30), ((98,), 100)],
)
def test_one_request_covers_the_longest_window(
    windows: tuple[int, ...], days: int
) -> None:
    """With today, and a day more for zones that are ahead; idleness takes 14 days."""
    found = planned(60.0, windows=windows)

    query = found.kind.query("a", windows=windows, request=0, now=NOW)
    assert query == {"campaign_id": "a", "length": days}
    assert found.kind.older_requests(windows) == 0
    assert found.can_detect_idle is (days >= 15)


@pytest.mark.parametrize(
    ("windows", "older"), [((), 0), ((13,), 0), ((14,), 1), ((7, 28), 2), ((98,), 7)]
)
def test_the_rate_of_canvases_includes_their_requests_for_older_days(
    windows: tuple[int, ...], older: int
) -> None:
    """Four times a day at any interval; idle canvases need them too."""
    parsed = config(workspace("a"))._replace(windows=windows)
    campaigns, canvases = plan.plan(with_canvases(parsed, "abc"))
    idle = IdleSchedule(canvases, "abc").plan

    assert campaigns.wanted_per_minute == pytest.approx(1 / 5)
    assert canvases.older_per_minute == pytest.approx(3 * older * 4 / 1440)
    newest_per_day = canvases.wanted_per_minute * 1440 - 3 * older * 4
    assert newest_per_day == pytest.approx(3 * 96)
    idle_newest_per_day = idle.wanted_per_minute * 1440 - 3 * older * 4
    assert idle_newest_per_day == pytest.approx(3 * 24)


def test_canvases_are_stretched_under_their_own_ceiling() -> None:
    """To half of what they want, with the campaigns as configured."""
    parsed = config(workspace("a"), windows=["7d", "28d"])
    found = with_canvases(parsed, "abc", shared_requests_per_minute=0.1)
    campaigns, canvases = plan.plan(found)

    assert campaigns.stretch == 1
    assert canvases.stretch == pytest.approx(
        canvases.wanted_per_minute * spacing(0.1) / 60
    )
    assert canvases.interval_seconds == 900 * canvases.stretch > 1800


@pytest.mark.parametrize(
    ("changes", "series"),
    [
        # 19 stats of each day and revision, one less in a sum, 7 of the status
        ({}, 2 * 19 + 7),
        ({"windows": (7,)}, 2 * 19 + 18 + 7),
        ({"windows": (7, 28)}, 2 * 19 + 2 * 18 + 7),
        ({"windows": (7, 28), "revisions": True}, 3 * 19 + 2 * 18 + 7),
        ({"metrics": MetricsConfig(include=("sent", "bounces"))}, 2 * 2 + 7),
        ({"metrics": MetricsConfig(exclude=("conversions*",))}, 11 * 2 + 7),
        ({"metrics": MetricsConfig(skip_unused=True)}, 13 * 2 + 7),
        ({"channels": Selection(exclude=("email",))}, 10 * 2 + 7),
        ({"limits": Limits(10, 1)}, 10),
    ],
)
@pytest.mark.parametrize("contract", [{}, {"email": 10}, {"sms": 10}])
def test_only_selected_series_are_expected(
    changes: dict[str, Any], series: int, contract: dict[str, int]
) -> None:
    """With a contract one more for the messages of the month."""
    found = planned(60.0, 60.0, contract=contract, **{"windows": (), **changes})

    is_counted = "email" in contract and not {"channels", "limits"} & changes.keys()
    assert found.typical_series == 2 * (series + is_counted)


def test_the_first_round_is_ordered_by_phase() -> None:
    wanted = campaigns(*[300.0] * 20)

    round_ = plan.first_round(wanted, now=1000.0, spacing_seconds=0.5)

    phases = [slots.phase(campaign_id) for campaign_id, _ in round_]
    assert [due_at for _, due_at in round_] == [1000 + 0.5 * n for n in range(20)]
    assert all(sooner < later for sooner, later in pairwise(phases))
    assert {campaign_id for campaign_id, _ in round_} == {one.id for one in wanted}


@pytest.mark.parametrize(
    ("campaigns", "changes", "requests"),
    [
        (99, {}, (24, 99)),
        (500, {}, (144, 500)),
        (500, {"include_drafts": True}, (144, 0)),
    ],
)
def test_discovery_requests_the_list_hourly_and_details_daily(
    campaigns: int, changes: dict[str, object], requests: tuple[int, int]
) -> None:
    """A request per page, and one per campaign if details are needed."""
    (shop,) = config(workspace(discover={"campaigns": changes})).workspaces
    discover = CAMPAIGN.discovered(shop)
    assert discover is not None

    assert plan.discovery_per_day(discover, objects=campaigns) == requests
