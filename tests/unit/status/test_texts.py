"""What things are called where people read them."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from exporter.model.errors import FailureReason
from exporter.series.deliverability import Level, Rate
from exporter.status import texts
from exporter.status.query import SORTS, STATES
from exporter.status.view_model import (
    DiscoveryView,
    NextPoll,
    PauseView,
    RateLimitView,
    WorkspaceView,
    workspace_seen,
)

from tests.support.views import NOW, campaign, line, workspace_plan

HEADERS = RateLimitView(
    "campaigns/data_series", 50_000, 49_000, NOW + 60, 10_000, 0, None
)


def seen(pause: FailureReason | None = None, **changes: str | int) -> WorkspaceView:
    """Return a workspace."""
    pause_seen = PauseView(pause, "a", NOW + 60) if pause else None
    return workspace_seen(
        workspace_plan("shop", **changes),
        line(pause=pause_seen),
        campaigns=[],
        now=NOW,
        clock_set_by=0.0,
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0.9, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (172_800, "2 d"),
    ],
)
def test_durations_have_one_unit(seconds: float, text: str) -> None:
    """The largest of which there are two."""
    assert texts.duration(seconds) == text


def test_instants_are_near_or_exact() -> None:
    """People read how long ago, and the date in UTC when they want to know."""
    assert texts.ago(NOW - 130, now=NOW) == "2 min ago"
    assert texts.ago(NOW + 130, now=NOW) == "now"
    assert texts.ahead(NOW + 30, now=NOW) == "in 30 s"
    assert texts.ahead(NOW - 30, now=NOW) == "now"
    assert texts.instant(NOW) == "2025-06-22 12:00:00 UTC"
    assert texts.machine_instant(NOW) == "2025-06-22T12:00:00Z"
    assert texts.day(date(2025, 9, 3)) == "3 Sep"


@pytest.mark.parametrize("at", [1e300, -1e300, float("inf"), float("nan")])
def test_an_instant_out_of_all_bounds_breaks_nothing(at: float) -> None:
    """Whatever Braze says of its reset."""
    assert texts.instant(at).startswith("1970-01-01")


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (1234567, "1,234,567"), (2.5, "2"), (1e300, "1e+300"), (-5, "-5")],
)
def test_counts_are_readable(number: float, text: str) -> None:
    """Thousands apart, whatever Braze counts."""
    assert texts.count(number) == text


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(0, "0.00 %"), (0.0008, "0.08 %"), (0.0312, "3.12 %"), (0.1289, "12.9 %")],
)
def test_percents_show_what_thresholds_need(ratio: float, text: str) -> None:
    """A complaint rate is judged by hundredths."""
    assert texts.percent(ratio) == text


def test_a_rate_is_said_with_what_is_thought_of_it() -> None:
    """Not by colour alone."""
    assert texts.rate(Rate(0.06, Level.CRITICAL)) == "6.00 %, too high"
    assert texts.rate(Rate()) == "none"


def test_everything_has_a_name() -> None:
    """Each state, order, level and reason, and each reason is a sentence."""
    assert set(texts.STATES) == set(STATES)
    assert set(texts.SORTS) == set(SORTS)
    assert set(texts.LEVELS) == set(Level)
    assert set(texts.REASONS) == set(FailureReason)
    assert all(text.endswith(".") for text in texts.REASONS.values())


def test_a_pause_says_why_and_what_to_do() -> None:
    """It names where the key is from, and never the key."""
    text = texts.reason(seen(FailureReason.UNAUTHORIZED))

    assert text.startswith("Paused: Braze does not accept the key from environment")
    assert "BRAZE_API_KEY" in text
    assert "secret-key" not in text
    assert "403" in texts.reason(seen(FailureReason.FORBIDDEN))
    assert texts.reason(seen(FailureReason.TIMEOUT)) == "Paused: timeout."
    assert texts.reason(seen()) == ""


def test_a_workspaces_rhythm_is_a_sentence() -> None:
    """With what the ceiling does to it."""
    assert texts.rhythm(seen()) == (
        "2 campaigns every 5 min: 0.4 of at most 60 requests a minute."
    )
    assert texts.rhythm(replace(seen(), idle=1)) == (
        "2 campaigns every 5 min (1 idle, every 60 min or slower): "
        "0.4 of at most 60 requests a minute."
    )
    stretched = texts.rhythm(seen(requests_per_minute=1, interval="60s"))
    assert "Intervals are stretched 2 times to keep to that" in stretched
    assert stretched.endswith("raise requests_per_minute or the intervals.")


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        (
            HEADERS,
            "49,000 of 50,000 requests left, reset in 60 s; "
            "the last 10,000 stay for others.",
        ),
        (
            RateLimitView("x", 5, 5, NOW - 1, 0, 0, None),
            "5 of 5 requests left.",
        ),
        (RateLimitView("x", None, 5, None, 0, 0, None), "5 requests left."),
        (RateLimitView("x", 5, None, None, 0, 0, None), "5 requests allowed."),
        (
            RateLimitView("x", None, None, None, 0, 0, None),
            "Braze has told no rate limit ",
        ),
        (
            RateLimitView("x", 5, 0, NOW, 0, 0, NOW + 60),
            "The rate limit is used up (429): nothing is asked until "
            "2025-06-22 12:01:00 UTC.",
        ),
    ],
)
def test_limit_headers_are_sentences(limit: RateLimitView, text: str) -> None:
    """What was said, and what follows from it."""
    assert texts.limit(limit, now=NOW).startswith(text)


@pytest.mark.parametrize(
    ("next_poll", "is_paused", "text"),
    [
        (NextPoll(NOW, is_running=True), False, "running"),
        (NextPoll(NOW + 5), False, "in 5 s"),
        (NextPoll(NOW + 5, place=0), False, "in 5 s"),
        (NextPoll(NOW + 5, place=3), False, "in 5 s, 3 before it"),
        (NextPoll(None), False, "soon"),
        (NextPoll(None), True, "after the pause"),
        (NextPoll(None, is_of_others=True), False, "by another exporter"),
    ],
)
def test_the_next_poll_in_words(
    next_poll: NextPoll, is_paused: bool, text: str
) -> None:
    """When, or after what."""
    one = campaign(next_poll=next_poll, is_paused=is_paused)

    assert texts.next_poll(one, now=NOW) == text


FOUND = DiscoveryView(40, False, NOW - 300, None, "", None, None)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "Discovery has found 40 campaigns; it read the list 5 min ago."),
        (
            {"campaigns": 1, "is_limited": True},
            "Discovery has found 1 campaign; it read the list 5 min ago. "
            "max_campaigns keeps others out.",
        ),
        (
            {"listed_at": None},
            "Discovery reads the list of campaigns for the first time.",
        ),
        (
            {"failure": FailureReason.FORBIDDEN, "next_at": NOW + 40},
            "Discovery fails; what it has found before is polled on. It asks again in "
            "40 s.",
        ),
        (
            {"failure": FailureReason.TIMEOUT, "listed_at": None},
            "Discovery fails and has not read the list of campaigns yet.",
        ),
    ],
)
def test_discovery_is_told(changes: dict[str, Any], text: str) -> None:
    """What it has found, or that it fails and what becomes of that."""
    assert texts.discovery(replace(FOUND, **changes), now=NOW) == text
