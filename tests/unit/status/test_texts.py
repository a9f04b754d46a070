"""The texts of the status page."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from exporter.braze.rate_limit_view import RateLimitView
from exporter.discovery.view import DiscoveryView
from exporter.model.errors import FailureReason
from exporter.model.failure_texts import FAILURE_TEXTS
from exporter.polling.pause import Pause
from exporter.series.deliverability import Level, Rate
from exporter.status import texts
from exporter.status.view_model import NextPoll

from tests.support.views import NOW, campaign, workspace_view

RATE_LIMIT = RateLimitView(
    "x",
    limit=50_000,
    remaining=49_000,
    reset_at=NOW + 60,
    reserved=10_000,
    in_flight=0,
    shut_until=None,
)
DISCOVERY = DiscoveryView(
    campaigns=40,
    is_limited=False,
    listed_at=NOW - 300,
    failure=None,
    message="",
    next_at=None,
    rate_limit=None,
)


def test_times_are_relative_or_in_utc() -> None:
    assert texts.ago(NOW - 130, now=NOW) == "2 min ago"
    assert texts.ago(NOW + 130, now=NOW) == "now"
    assert texts.ahead(NOW + 30, now=NOW) == "in 30 s"
    assert texts.ahead(NOW - 30, now=NOW) == "now"
    assert texts.instant(NOW) == "2025-06-22 12:00:00 UTC"
    assert texts.machine_instant(NOW) == "2025-06-22T12:00:00Z"
    assert texts.day(date(2025, 9, 3)) == "3 Sep"


@pytest.mark.parametrize("at", [1e300, -1e300, float("inf"), float("nan")])
def test_time_out_of_range_is_the_epoch(at: float) -> None:
    assert texts.instant(at).startswith("1970-01-01")


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (1234567, "1,234,567"), (2.5, "2"), (1e300, "1e+300"), (-5, "-5")],
)
def test_counts_have_thousands_separators(number: float, text: str) -> None:
    assert texts.count(number) == text


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(0, "0.00 %"), (0.0008, "0.08 %"), (0.0312, "3.12 %"), (0.1289, "12.9 %")],
)
def test_percentages_are_as_precise_as_thresholds(ratio: float, text: str) -> None:
    """The threshold of spam complaints is 0.08 %."""
    assert texts.percent(ratio) == text


def test_rate_has_its_level_in_words() -> None:
    """Colours alone are not accessible."""
    assert texts.rate(Rate(0.06, Level.CRITICAL)) == "6.00 %, too high"
    assert texts.rate(Rate()) == "none"


def test_every_failure_reason_has_a_text() -> None:
    assert set(FAILURE_TEXTS) == set(FailureReason)
    for failure in FAILURE_TEXTS.values():
        assert failure.cause.endswith(".")
        assert failure.action.endswith(".")


@pytest.mark.parametrize(
    ("reason", "code"),
    [(FailureReason.UNAUTHORIZED, "401"), (FailureReason.FORBIDDEN, "403")],
)
def test_pause_names_cause_and_source_of_the_key(
    reason: FailureReason, code: str
) -> None:
    text = texts.pause(workspace_view(pause=Pause(reason, "a", NOW)))

    assert text.startswith(f"Paused: {FAILURE_TEXTS[reason].cause}")
    assert code in text
    assert "The key is read from environment variable BRAZE_API_KEY." in text
    assert "secret-key" not in text
    assert texts.pause(workspace_view()) == ""


def test_polling_has_rate_and_ceiling() -> None:
    assert texts.polling(workspace_view()) == (
        "2 campaigns every 5 min: 0.4 of at most 60 requests per minute."
    )
    assert texts.polling(replace(workspace_view(), idle=1)) == (
        "2 campaigns every 5 min (1 idle, every 60 min or longer): "
        "0.4 of at most 60 requests per minute."
    )
    stretched = texts.polling(workspace_view(requests_per_minute=1, interval="60s"))
    assert "Intervals are stretched by a factor of 2 to stay below" in stretched
    assert stretched.endswith("raise requests_per_minute or the intervals.")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {},
            "49,000 of 50,000 requests left, resets in 60 s; "
            "the last 10,000 are left to other clients.",
        ),
        (
            {"reset_at": NOW - 1, "reserved": 0},
            "49,000 of 50,000 requests left.",
        ),
        ({"limit": None, "reset_at": None, "reserved": 0}, "49,000 requests left."),
        (
            {"remaining": None, "reset_at": None, "reserved": 0},
            "50,000 requests allowed.",
        ),
        (
            {"limit": None, "remaining": None},
            "Braze has not sent rate limit headers yet.",
        ),
        (
            {"remaining": 0, "shut_until": NOW + 60},
            "The rate limit is used up (429): no requests until "
            "2025-06-22 12:01:00 UTC.",
        ),
    ],
)
def test_rate_limit(changes: dict[str, Any], text: str) -> None:
    assert texts.limit(replace(RATE_LIMIT, **changes), now=NOW) == text


@pytest.mark.parametrize(
    ("next_poll", "is_paused", "text"),
    [
        (NextPoll(NOW, is_running=True), False, "running"),
        (NextPoll(NOW + 5), False, "in 5 s"),
        (NextPoll(NOW + 5, place=0), False, "in 5 s"),
        (NextPoll(NOW + 5, place=1), False, "in 5 s, after 1 other"),
        (NextPoll(NOW + 5, place=3), False, "in 5 s, after 3 others"),
        (NextPoll(None), False, "soon"),
        (NextPoll(None), True, "after the pause"),
    ],
)
def test_next_poll(next_poll: NextPoll, is_paused: bool, text: str) -> None:
    view = campaign(next_poll=next_poll, is_paused=is_paused)

    assert texts.next_poll(view, now=NOW) == text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "Discovery found 40 campaigns; the list was read 5 min ago."),
        (
            {"campaigns": 1, "is_limited": True},
            "Discovery found 1 campaign; the list was read 5 min ago. "
            "max_campaigns excludes further campaigns.",
        ),
        (
            {"listed_at": None},
            "Discovery is reading the campaign list for the first time.",
        ),
        (
            {"failure": FailureReason.FORBIDDEN, "next_at": NOW + 40},
            "Discovery is failing; the campaigns found so far are still polled. "
            "Next try in 40 s.",
        ),
        (
            {"failure": FailureReason.TIMEOUT, "listed_at": None},
            "Discovery is failing and has not read the campaign list yet.",
        ),
    ],
)
def test_discovery(changes: dict[str, Any], text: str) -> None:
    assert texts.discovery(replace(DISCOVERY, **changes), now=NOW) == text
