"""Messages of the month: which days are requested, and what is kept of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from exporter.polling import plan
from exporter.polling.kinds import CAMPAIGN, CANVAS
from exporter.series.kept import Kept

from tests.support.fake_clock import NOW, FakeClock
from tests.support.object_keys import key
from tests.support.polling_world import (
    PollingWorld,
    config,
    new_world,
    with_canvases,
    workspace,
)

TODAY = datetime.fromtimestamp(NOW, UTC).date()
JULY = datetime(2025, 7, 1, tzinfo=UTC).timestamp()
CONTRACT = {"email": 1000}
MONTH = "braze_campaign_month_to_date_messages"


def document(sent: int = 5, *, today: int = 5) -> dict[str, Any]:
    """Return the last 40 days, each with so many messages."""
    rows = [
        {
            "time": str(TODAY - timedelta(days=age)),
            "messages": {"email": [{"sent": sent if age else today}]},
        }
        for age in range(40)
    ]
    return {"message": "success", "data": rows}


def messages(world: PollingWorld) -> list[float]:
    """Return the messages of the month on a page."""
    world.store.end_months(now=world.clock.wall())
    lines = world.page().splitlines()
    return [float(line.split()[-1]) for line in lines if line.startswith(MONTH)]


def restarted(
    world: PollingWorld, *, at: float, timezone: str = "UTC", **changes: Any
) -> PollingWorld:
    """Return a world that starts with what this one read."""
    entry = world.entry()
    assert entry.last_read
    kept = Kept(at - 60, None, entry.last_read)
    found = PollingWorld(clock=FakeClock(at))
    configured = workspace("a", timezone=timezone, **changes)
    found.apply(config(configured), {key("a"): kept})
    return found


def polled() -> PollingWorld:
    world = new_world(contract=CONTRACT)
    world.poll(document())
    assert messages(world) == [5 * TODAY.day]
    return world


def test_new_numbers_of_today_change_the_messages() -> None:
    """And no other block than that and those of the newest day."""
    world = polled()
    before = world.entry().values

    world.poll(document(today=7))

    assert messages(world) == [5 * TODAY.day + 2]
    now = world.entry().values
    assert before
    assert now
    assert now.series == before.series
    rows = zip(now.families.all, now.by_family, before.by_family, strict=True)
    changed = {family.name for family, new, old in rows if new is not old}
    assert changed == {"braze_campaign_daily", MONTH}


def test_messages_of_a_month_that_ended_are_removed() -> None:
    """By the wall clock, while polls fail; other values stay."""
    world = polled()
    before = world.entry().values
    assert before
    world.clock.set_wall(seconds=JULY - world.clock.time - 1)
    assert len(messages(world)) == 1

    world.clock.set_wall(seconds=JULY - world.clock.time)

    assert messages(world) == []
    now = world.entry().values
    assert now
    assert now.series == before.series - 1
    assert now.text == b"".join(
        line for line in before.text.splitlines(True) if MONTH.encode() not in line
    )


@pytest.mark.parametrize(
    ("at", "changes", "expected"),
    [
        (JULY - 1, {"contract": CONTRACT}, [5 * TODAY.day]),
        (JULY, {"contract": CONTRACT}, []),
        (JULY - 1, {}, []),
    ],
)
def test_kept_messages_are_served_in_their_month_only(
    at: float, changes: dict[str, Any], expected: list[float]
) -> None:
    """After a restart, and only while there is a contract."""
    assert messages(restarted(polled(), at=at, **changes)) == expected


def test_a_changed_time_zone_is_in_force_with_the_next_poll() -> None:
    """An hour before the month begins in UTC it has begun in Tokyo."""
    world = restarted(
        polled(), at=JULY - 3600, timezone="Asia/Tokyo", contract=CONTRACT
    )
    assert len(messages(world)) == 1

    world.poll(document())

    assert messages(world) == []


def test_a_contract_comes_and_goes_with_the_next_poll() -> None:
    world = new_world()
    for contract, days in (({}, 30), (CONTRACT, 32), ({}, 30)):
        world.apply(config(workspace("a", contract=contract)))

        world.poll(document())

        assert world.braze.requests[-1]["length"] == days
        assert len(messages(world)) == len(contract)


@pytest.mark.parametrize(("windows", "older"), [([], 2), (["7d"], 2), (["98d"], 7)])
def test_all_days_of_a_month_are_requested(windows: list[str], older: int) -> None:
    """Of campaigns and canvases, whose plan includes it; of no other kind."""
    series = {"kpi": ["dau"]}
    parsed = config(workspace("a", contract=CONTRACT, series=series), windows=windows)
    campaigns, canvases, dau = plan.plan(with_canvases(parsed, "c"))

    assert campaigns.kind is CAMPAIGN
    assert campaigns.kind.days_per_request(campaigns.windows) == max(
        32, 100 if windows == ["98d"] else 0
    )
    assert campaigns.can_detect_idle
    assert canvases.kind is CANVAS
    assert canvases.older_requests == older
    assert canvases.older_per_minute == pytest.approx(older * 4 / 1440)
    assert dau.windows == parsed.windows


def test_the_limit_of_series_counts_the_messages_of_the_month() -> None:
    """With five of the status and two of days there is room for one."""
    world = PollingWorld()
    limits = {"series_per_campaign": 8}
    world.apply(config(workspace("a", contract=CONTRACT), limits=limits))
    world.skip_first_round()

    world.poll(document())

    assert messages(world) == [5 * TODAY.day]
    snapshot = world.entry().snapshot
    assert snapshot
    assert snapshot.parts == ()
    assert snapshot.dropped_series == 5
