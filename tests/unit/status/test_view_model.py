"""What there is to see, from plans, entries and lines."""

from dataclasses import replace
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import pytest
from exporter.braze.rate_limit import Bucket, Budget
from exporter.model.errors import FailureReason
from exporter.series.deliverability import Level, of_parts
from exporter.status.view_model import (
    CampaignState,
    CampaignView,
    DayOf,
    Failure,
    NextPoll,
    PauseView,
    day_of,
    today_in,
    workspace_seen,
)

from tests.support.views import (
    NOW,
    TODAY,
    campaign,
    line,
    row,
    snapshot,
    workspace_plan,
)

DAYS = snapshot(row(sent=5))
PAUSE = PauseView(FailureReason.UNAUTHORIZED, probe_id="a", probe_at=NOW + 60)


@pytest.mark.parametrize(
    ("seen", "state"),
    [
        (campaign(days=DAYS), CampaignState.OK),
        (campaign(days=snapshot()), CampaignState.OK),
        (campaign(is_up=None, age=None), CampaignState.WAITING),
        (campaign(failure=FailureReason.TIMEOUT, age=None), CampaignState.FAILING),
        (campaign(failure=FailureReason.TIMEOUT, days=DAYS), CampaignState.FAILING),
        (campaign(failure=FailureReason.TIMEOUT, age=9999), CampaignState.STALE),
        (campaign(age=9999), CampaignState.STALE),
        (campaign(days=DAYS, is_paused=True), CampaignState.PAUSED),
        (campaign(is_up=None, age=None, is_paused=True), CampaignState.PAUSED),
    ],
)
def test_a_campaign_has_one_state(seen: CampaignView, state: CampaignState) -> None:
    """The most urgent that holds: paused, stale, failing, not polled, up to date."""
    assert seen.state is state


def test_a_campaign_shows_its_days_and_channels() -> None:
    """The newest and the last complete one; what they ask for is the newest's."""
    days = snapshot(
        row(0, sent=1000, bounces=60),
        row(1, channel="sms", sent=7),
        row(2, channel="sms", sent=8),
    )

    seen = campaign(days=days, labels={"team": "crm"})

    assert seen.channels == ("email", "sms")
    assert seen.latest
    assert seen.last_complete
    assert (seen.latest.date, seen.latest.tally.sent) == (TODAY, 1000)
    assert day_of(seen.last_complete) == DayOf(
        TODAY - timedelta(days=1), NOW - 129_600, of_parts([("sms", {"sent": 7})])
    )
    assert seen.level is Level.CRITICAL
    assert seen.is_of_today


def test_a_campaign_without_values_asks_for_nothing() -> None:
    """There is no day, and none is made up."""
    seen = campaign(age=9999)

    assert (seen.latest, seen.last_complete, seen.history) == (None, None, None)
    assert seen.level is Level.UNJUDGED
    assert not seen.is_of_today


def test_yesterdays_figures_are_not_todays() -> None:
    """Where Braze has no row of today the page says so."""
    assert not campaign(days=snapshot(row(1, sent=1))).is_of_today


def test_a_failure_says_why_and_when() -> None:
    """After a restart only the reason is known."""
    fresh = campaign(failure=FailureReason.TIMEOUT, error="no answer within 30 s")
    kept = campaign(failure=FailureReason.TIMEOUT)

    assert fresh.failure == Failure(
        FailureReason.TIMEOUT, "no answer within 30 s", NOW - 5
    )
    assert kept.failure == Failure(FailureReason.TIMEOUT, "", None)


@pytest.mark.parametrize(
    ("campaign_id", "planned_at", "expected"),
    [
        ("a", None, NextPoll(NOW, is_running=True)),
        ("b", None, NextPoll(NOW + 5, place=0)),
        ("c", NOW + 1, NextPoll(NOW + 7, place=1)),
        ("d", NOW + 99, NextPoll(NOW + 99)),
        ("e", NOW - 99, NextPoll(NOW)),
        ("f", None, NextPoll(None)),
    ],
)
def test_the_next_poll_is_known_from_the_line_or_the_plan(
    campaign_id: str, planned_at: float | None, expected: NextPoll
) -> None:
    """Who waits is asked for in order, a spacing apart."""
    seen = line(in_flight="a", waiting="bc", earliest=NOW + 5)

    assert seen.next_poll(campaign_id, planned_at=planned_at, now=NOW) == expected


def test_in_a_pause_only_the_probe_is_planned() -> None:
    """Nobody knows when the others are asked for."""
    seen = line(pause=PAUSE, waiting="b")

    polls = [seen.next_poll(one, planned_at=NOW + 9, now=NOW) for one in "abc"]

    assert polls == [NextPoll(NOW + 60), NextPoll(None, place=0), NextPoll(None)]


def test_what_another_exporter_asks_for_is_told() -> None:
    """Its next poll is not ours to know, also in a pause."""
    seen = replace(line(), members=frozenset("a"))

    polls = [seen.next_poll(one, planned_at=NOW + 9, now=NOW) for one in "ab"]

    assert polls == [NextPoll(NOW + 9), NextPoll(None, is_of_others=True)]


def test_a_full_line_waits_for_an_answer() -> None:
    """When there will be room is not known."""
    seen = line(waiting="b", earliest=float("inf"))

    assert seen.next_poll("b", planned_at=None, now=NOW) == NextPoll(None, place=0)


def test_a_workspace_shows_its_limits_by_the_wall_clock() -> None:
    """What Braze's headers said, what is left to others, and until when it is shut."""
    bucket = Bucket(1, True, limit=100, remaining=40, reset_at=NOW, shut_until=NOW + 50)
    buckets = {"b": Bucket(), "a": bucket}
    budget = Budget(2.0, reserve=0.2, concurrency=4, buckets=buckets)

    seen = workspace_seen(
        workspace_plan(),
        line(budget=budget, waiting="ab"),
        campaigns=[campaign(days=DAYS), campaign(is_up=None, age=None)],
        now=NOW,
        clock_set_by=10.0,
    )

    first, second = seen.rate_limits
    assert (first.endpoint, first.limit, first.remaining) == ("a", 100, 40)
    assert (first.reset_at, first.shut_until) == (NOW + 10, NOW + 60)
    assert (first.reserved, first.in_flight) == (20, 1)
    assert (second.limit, second.reset_at, second.shut_until) == (None, None, None)
    assert seen.states == {CampaignState.OK: 1, CampaignState.WAITING: 1}
    assert (seen.name, seen.waiting, seen.pause) == ("shop", 2, None)


def test_a_bucket_that_is_open_again_is_not_shown_shut() -> None:
    """The end of a wait is of no interest after it."""
    budget = Budget(2.0, 0.2, 4, buckets={"a": Bucket(shut_until=NOW - 1)})

    seen = workspace_seen(
        workspace_plan(), line(budget=budget), campaigns=[], now=NOW, clock_set_by=0.0
    )

    assert seen.rate_limits[0].shut_until is None


def test_today_is_the_workspaces() -> None:
    """At noon in London it is already tomorrow in Kiritimati."""
    assert today_in(ZoneInfo("Europe/London"), now=NOW) == TODAY
    assert today_in(ZoneInfo("Pacific/Kiritimati"), now=NOW) == date(2025, 6, 23)
