"""The polling plan of a configuration: rates, intervals and expected series."""

from itertools import pairwise
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from exporter.braze.rate_limit import spacing
from exporter.model.config import (
    CampaignConfig,
    Config,
    DiscoverConfig,
    KeySource,
    Limits,
    Selection,
    TagSelection,
    WorkspaceConfig,
)
from exporter.polling import plan, slots


def campaigns(*intervals: float) -> tuple[CampaignConfig, ...]:
    """Return campaigns with these intervals."""
    return tuple(
        CampaignConfig(str(UUID(int=number)), f"Campaign {number}", interval)
        for number, interval in enumerate(intervals)
    )


def workspace(*intervals: float, ceiling: float = 120.0) -> WorkspaceConfig:
    """Return a workspace whose campaigns have these intervals."""
    return WorkspaceConfig(
        name="shop",
        endpoint="https://rest.iad-01.braze.com",
        key_source=KeySource(env="BRAZE_API_KEY"),
        timezone=ZoneInfo("UTC"),
        interval_seconds=300.0,
        requests_per_minute=ceiling,
        reserve=0.2,
        concurrency=4,
        timeout_seconds=30.0,
        proxy=None,
        ca_file=None,
        allow_http=False,
        campaigns=campaigns(*intervals),
    )


def config(
    *workspaces: WorkspaceConfig,
    windows: tuple[int, ...] = (7, 28),
    series_per_campaign: int = 5000,
) -> Config:
    """Return a configuration of these workspaces."""
    return Config(
        workspaces=workspaces,
        windows=windows,
        channels=Selection(),
        stale_after_seconds=3600.0,
        metrics=Selection(),
        limits=Limits(series_per_campaign, 4 * 2**20),
    )


def test_a_rate_below_the_ceiling_is_planned_as_configured() -> None:
    """Each campaign has its interval, and their rates add up."""
    found = plan.plan(config(workspace(60.0, 300.0, 300.0)))[0]

    assert found.wanted_per_minute == pytest.approx(1.4)
    assert found.planned_per_minute == pytest.approx(1.4)
    assert found.stretch == 1
    assert found.interval_seconds == 300.0


def test_a_rate_above_the_ceiling_is_stretched() -> None:
    """All intervals by one factor, the workspace's own included."""
    found = plan.plan(config(workspace(60.0, 30.0, ceiling=1.5)))[0]

    assert found.stretch == pytest.approx(2, rel=0.001)
    assert found.interval_seconds == 300.0 * found.stretch
    assert found.ceiling_per_minute == 1.5
    assert found.planned_per_minute == pytest.approx(60 / spacing(1.5))


@pytest.mark.parametrize("ceiling", [0.5, 59.0, 61.0, 600.0, 50_000.0])
def test_a_planned_rate_can_be_started(ceiling: float) -> None:
    """Starts are spaced a little more than the ceiling: a full queue must empty."""
    found = plan.plan(config(workspace(*[1.0] * 1000, ceiling=ceiling)))[0]

    most = 60 / spacing(ceiling)
    assert found.planned_per_minute <= most * (1 + 1e-9)
    assert found.planned_per_minute <= ceiling
    enough = plan.plan(
        config(workspace(*[1.0] * 1000, ceiling=found.needed_per_minute))
    )[0]
    assert enough.stretch == 1
    assert found.needed_per_minute <= 1.021 * found.wanted_per_minute


def test_a_workspace_without_campaigns_has_a_plan() -> None:
    """Without requests."""
    found = plan.plan(config(workspace()))[0]

    assert (found.planned_per_minute, found.stretch, found.typical_series) == (0, 1, 0)


def test_every_workspace_has_its_plan() -> None:
    """In the configuration's order, each with its own ceiling."""
    found = plan.plan(config(workspace(60.0), workspace(60.0, ceiling=0.5)))

    assert [round(one.stretch, 2) for one in found] == [1, 2]


@pytest.mark.parametrize(("windows", "days"), [((), 2), ((7, 28), 30), ((98,), 100)])
def test_one_request_covers_the_longest_window(
    windows: tuple[int, ...], days: int
) -> None:
    """With today, and a day more for zones that are ahead; idleness takes two weeks."""
    found = plan.plan(config(workspace(60.0), windows=windows))[0]

    assert found.days_per_request == days
    assert found.can_detect_idle is (days >= 16)


@pytest.mark.parametrize(("revisions", "of_days"), [(False, 2 * 19), (True, 3 * 19)])
def test_expected_series_grow_with_windows_and_campaigns(
    *, revisions: bool, of_days: int
) -> None:
    """19 stats of each day and revision, one less in a sum, and seven of the status."""
    found = [
        plan.plan(
            config(workspace(60.0, 60.0), windows=windows)._replace(revisions=revisions)
        )[0].typical_series
        for windows in ((), (7,), (7, 28))
    ]

    assert found == [2 * (of_days + sums + 7) for sums in (0, 18, 36)]


@pytest.mark.parametrize(
    ("metrics", "channels", "series"),
    [
        (Selection(include=("sent", "bounces")), Selection(), 2 * 2 + 7),
        (Selection(exclude=("conversions*",)), Selection(), 11 * 2 + 7),
        (Selection(), Selection(exclude=("email",)), 10 * 2 + 7),
    ],
)
def test_only_selected_series_are_expected(
    metrics: Selection, channels: Selection, series: int
) -> None:
    """Excluded metrics and channels are not counted."""
    without = config(workspace(60.0), windows=())._replace(
        metrics=metrics, channels=channels
    )

    assert plan.plan(without)[0].typical_series == series


def test_expected_series_are_limited() -> None:
    """To the configured limit of each campaign."""
    found = plan.plan(config(workspace(60.0, 60.0), series_per_campaign=10))[0]

    assert found.typical_series == 20


def test_the_first_round_is_ordered_by_phase() -> None:
    """It begins at once, with all campaigns, a spacing apart."""
    wanted = campaigns(*[300.0] * 20)

    round_ = plan.first_round(wanted, now=1000.0, spacing_seconds=0.5)

    phases = [slots.phase(campaign_id) for campaign_id, _ in round_]
    assert [due_at for _, due_at in round_] == [1000 + 0.5 * n for n in range(20)]
    assert all(sooner < later for sooner, later in pairwise(phases))
    assert {campaign_id for campaign_id, _ in round_} == {one.id for one in wanted}


def test_discovery_requests_the_list_hourly_and_details_daily() -> None:
    """A request per page, and one per campaign if details are needed."""
    discover = DiscoverConfig(
        names=Selection(),
        tags=TagSelection(),
        channels=Selection(),
        sent_within_seconds=None,
        include_drafts=False,
        include_archived=False,
        max_campaigns=500,
        list_interval_seconds=3600.0,
        grace_seconds=0.0,
        requests_per_minute=120.0,
    )

    assert plan.discovery_per_day(discover, campaigns=99) == (24, 99)
    assert plan.discovery_per_day(discover, campaigns=500) == (144, 500)
    by_list = discover._replace(include_drafts=True)
    assert plan.discovery_per_day(by_list, campaigns=500) == (144, 0)
