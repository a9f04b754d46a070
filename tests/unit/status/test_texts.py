"""The texts of the status page."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from exporter.discovery.kinds import CANVAS
from exporter.model.errors import FailureReason
from exporter.model.failure_texts import FAILURE_TEXTS
from exporter.polling.pause import Pause
from exporter.series.deliverability import Level, Rate
from exporter.status import texts
from exporter.status.view_model import NextPoll

from tests.support.views import DISCOVERY, NOW, RATE_LIMIT, campaign, workspace_view


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (texts.ago(NOW - 130, now=NOW), "2 min ago"),
        (texts.ago(NOW + 130, now=NOW), "now"),
        (texts.ahead(NOW + 30, now=NOW), "in 30 s"),
        (texts.ahead(NOW - 30, now=NOW), "now"),
        (texts.instant(NOW), "2025-06-22 12:00:00 UTC"),
        # Braze's reset header may have any value.
        (texts.instant(1e300), "1970-01-01 00:00:00 UTC"),
        (texts.instant(-1e300), "1970-01-01 00:00:00 UTC"),
        (texts.instant(float("inf")), "1970-01-01 00:00:00 UTC"),
        (texts.instant(float("nan")), "1970-01-01 00:00:00 UTC"),
        (texts.machine_instant(NOW), "2025-06-22T12:00:00Z"),
        (texts.day(date(2025, 9, 3)), "3 Sep"),
        (texts.count(0), "0"),
        (texts.count(1234567), "1,234,567"),
        (texts.count(2.5), "2"),
        (texts.count(1e300), "1e+300"),
        (texts.count(-5), "-5"),
        (texts.percent(0), "0.00 %"),
        # The threshold of spam complaints.
        (texts.percent(0.0008), "0.08 %"),
        (texts.percent(0.0312), "3.12 %"),
        (texts.percent(0.1289), "12.9 %"),
        # Colours alone are not accessible.
        (texts.rate(Rate(0.06, Level.CRITICAL)), "6.00 %, too high"),
        (texts.rate(Rate()), "none"),
    ],
)
def test_times_and_numbers_have_texts(text: str, expected: str) -> None:
    assert text == expected


def test_pause_names_cause_and_source_of_the_key() -> None:
    pause = Pause(FailureReason.FORBIDDEN, "a", NOW)
    text = texts.pause(workspace_view(pause=pause))

    assert text.startswith(f"Paused: {FAILURE_TEXTS[pause.reason].cause}")
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
            {"reserved": 10_000, "reset_at": NOW + 60},
            "49,000 of 50,000 requests left, resets in 60 s; "
            "the last 10,000 are left to other clients.",
        ),
        ({"reset_at": NOW - 1}, "49,000 of 50,000 requests left."),
        ({"limit": None}, "49,000 requests left."),
        ({"remaining": None}, "50,000 requests allowed."),
        ({"limit": None, "remaining": None}, "Braze has not sent rate limit headers"),
        (
            {"shut_until": NOW + 60},
            "The rate limit is used up (429): no requests until",
        ),
    ],
)
def test_rate_limit(changes: dict[str, Any], text: str) -> None:
    limit = replace(RATE_LIMIT, **({"reset_at": None, "reserved": 0} | changes))

    assert texts.limit(limit, now=NOW).startswith(text)


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
            {"is_limited": True},
            "ago. discover.campaigns.max excludes further campaigns.",
        ),
        ({"kind": CANVAS}, "Discovery found 40 canvases; the list was read 5 min ago."),
        ({"listed_at": None}, "Discovery is reading the campaign list for the first"),
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
    assert text in texts.discovery(replace(DISCOVERY, **changes), now=NOW)
