"""The views that the status page shows."""

from datetime import date, timedelta
from zoneinfo import ZoneInfo

import pytest
from exporter.model.errors import FailureReason
from exporter.polling.pause import Pause
from exporter.series.deliverability import Level, of_parts
from exporter.status.view_model import (
    DayView,
    NextPoll,
    ObjectState,
    ObjectView,
    day_view,
    next_poll,
    today_in,
)

from tests.support.views import NOW, TODAY, campaign, queue, row, snapshot

DAYS = snapshot(row(sent=5))
PAUSE = Pause(FailureReason.UNAUTHORIZED, probe_id="a", probe_at=NOW + 60)


@pytest.mark.parametrize(
    ("view", "state"),
    [
        (campaign(days=DAYS), ObjectState.OK),
        (campaign(days=snapshot()), ObjectState.OK),
        (campaign(is_up=None, age=None), ObjectState.WAITING),
        (campaign(is_up=None, age=None, is_overdue=True), ObjectState.FAILING),
        (campaign(failure=FailureReason.TIMEOUT, age=None), ObjectState.FAILING),
        (campaign(failure=FailureReason.TIMEOUT, days=DAYS), ObjectState.FAILING),
        (campaign(failure=FailureReason.TIMEOUT, age=9999), ObjectState.STALE),
        (campaign(age=9999), ObjectState.STALE),
        (campaign(days=DAYS, is_paused=True), ObjectState.PAUSED),
        (
            campaign(is_up=None, age=None, is_paused=True, is_overdue=True),
            ObjectState.PAUSED,
        ),
    ],
)
def test_campaign_has_its_most_urgent_state(
    view: ObjectView, state: ObjectState
) -> None:
    assert view.state is state


def test_campaign_with_values() -> None:
    days = snapshot(
        row(0, sent=1000, bounces=60),
        row(1, channel="sms", sent=7),
        row(2, channel="sms", sent=8),
    )

    view = campaign(days=days, labels={"team": "crm"})

    assert view.channels == ("email", "sms")
    assert view.latest
    assert view.snapshot
    assert (view.latest.date, view.latest.tally.sent) == (TODAY, 1000)
    assert day_view(view.snapshot.last_complete) == DayView(
        TODAY - timedelta(days=1), NOW - 129_600, of_parts([("sms", {"sent": 7})])
    )
    assert view.level is Level.CRITICAL
    assert view.is_of_today
    assert not campaign(days=snapshot(row(1, sent=1))).is_of_today


def test_campaign_without_values() -> None:
    view = campaign(age=9999)

    assert (view.latest, view.history, view.channels) == (None, None, ())
    assert view.level is Level.UNJUDGED
    assert not view.is_of_today


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
def test_next_poll_follows_from_the_queue_or_the_schedule(
    campaign_id: str, planned_at: float | None, expected: NextPoll
) -> None:
    view = queue(in_flight="a", waiting="bc", earliest=NOW + 5)

    assert next_poll(view, campaign_id, planned_at=planned_at, now=NOW) == expected


def test_only_the_probe_of_a_pause_has_a_next_poll() -> None:
    view = queue(pause=PAUSE, waiting="b")

    polls = [next_poll(view, one, planned_at=NOW + 9, now=NOW) for one in "abc"]

    assert polls == [NextPoll(NOW + 60), NextPoll(None, place=0), NextPoll(None)]


def test_next_poll_is_unknown_while_a_response_is_awaited() -> None:
    view = queue(waiting="b", earliest=float("inf"))

    assert next_poll(view, "b", planned_at=None, now=NOW) == NextPoll(None, place=0)


def test_today_depends_on_the_time_zone() -> None:
    assert today_in(ZoneInfo("Europe/London"), now=NOW) == TODAY
    assert today_in(ZoneInfo("Pacific/Kiritimati"), now=NOW) == date(2025, 6, 23)
