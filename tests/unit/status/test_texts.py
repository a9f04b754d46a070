"""The texts of the status page."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from exporter.discovery import kinds as discovery_kinds
from exporter.model.errors import FailureReason
from exporter.polling.kinds import CAMPAIGN, CANVAS, MESSAGING, SERIES
from exporter.polling.pause import Pause
from exporter.series.deliverability import Level, Rate
from exporter.status import texts
from exporter.status.view_model import NextPoll, Overview

from tests.support.views import (
    CANVASES,
    DISCOVERY,
    NOW,
    RATE_LIMIT,
    campaign,
    canvas,
    series,
    workspace_view,
)

REFUSED = Pause(FailureReason.UNAUTHORIZED, "", NOW)
PROBING = REFUSED._replace(probe_id="a")
FORBIDDEN = Pause(FailureReason.FORBIDDEN, "a", NOW)


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


def test_a_pause_names_the_source_of_the_key_and_the_permission() -> None:
    """A missing permission pauses one kind, and a refused key all of them."""
    view = workspace_view(
        pause=REFUSED, canvas_pause=FORBIDDEN, canvases=CANVASES, campaigns=[]
    )
    key, permission = (texts.pause(one) for one in view.all_groups)

    assert key.startswith("Paused: Braze rejects the API key (401). The key is read")
    assert permission.startswith("Canvases are paused: The API key lacks a permission")
    assert "permission canvas.data_series and" in permission
    for text in (key, permission):
        assert "The key is read from environment variable BRAZE_API_KEY." in text
        assert "secret-key" not in text
    assert texts.pause(workspace_view().groups[0]) == ""


@pytest.mark.parametrize(
    ("pause", "canvas_pause", "probes"),
    [
        (None, None, []),
        (PROBING, REFUSED, ["One campaign is polled as a probe"]),
        (REFUSED, PROBING, ["One canvas is polled as a probe"]),
        (REFUSED, REFUSED, ["One campaign is polled as a probe"]),
        (None, FORBIDDEN, ["One canvas is polled as a probe"]),
        (
            FORBIDDEN,
            FORBIDDEN,
            ["One campaign is polled as a probe", "One canvas is polled as a probe"],
        ),
    ],
)
def test_a_refused_key_is_one_pause(
    pause: Pause | None, canvas_pause: Pause | None, probes: list[str]
) -> None:
    """Missing permissions are one for each kind."""
    view = workspace_view(pause=pause, canvas_pause=canvas_pause, canvases=CANVASES)

    assert [texts.probe(one) for one in view.pauses] == probes


def test_polling_has_rate_and_ceiling() -> None:
    (group,) = workspace_view().groups
    assert texts.polling(group) == (
        "2 campaigns every 5 min: 0.4 of at most 60 requests per minute."
    )
    assert texts.polling(replace(group, idle=1)) == (
        "2 campaigns every 5 min (1 idle, every 60 min or longer): "
        "0.4 of at most 60 requests per minute."
    )
    (group,) = workspace_view(requests_per_minute=1, interval="60s").groups
    stretched = texts.polling(group)
    assert "Intervals are stretched by a factor of 2 to stay below" in stretched
    assert stretched.endswith("raise requests_per_minute or the intervals.")


def test_summary_has_each_kind_that_is_polled() -> None:
    """One sentence for campaigns, one for canvases; those without objects are left out.

    The windows of 28 days take two further requests, four times a day.
    """
    both = workspace_view(canvases=CANVASES, canvas_pause=FORBIDDEN)
    only = workspace_view(canvases=CANVASES, campaigns=[])
    nothing = workspace_view(campaigns=[], discover={})

    assert texts.summary(both).startswith("2 campaigns every 5 min: 0.4 of at most 60")
    assert "Canvases are paused: The API key lacks a permission" in texts.summary(both)
    assert texts.summary(only) == (
        "1 canvas every 15 min: 0.1 of at most 60 requests per minute."
    )
    assert texts.summary(nothing) == "No campaigns to poll."
    slow = workspace_view(
        canvases=CANVASES, shared_requests_per_minute=1, canvas_interval="10s"
    )
    assert texts.summary(slow).endswith(
        "raise shared_requests_per_minute or the intervals."
    )


def test_what_to_do_depends_on_the_kind() -> None:
    bad, limited = FailureReason.BAD_REQUEST, FailureReason.RATE_LIMITED

    assert texts.failure(bad, CANVAS).endswith(
        "Check that the id is the canvas's API identifier, and that the clock of this "
        "machine is not ahead."
    )
    assert texts.failure(bad, CAMPAIGN).endswith("is the campaign's API identifier.")
    assert texts.failure(limited, CANVAS).endswith("shared_requests_per_minute.")
    assert texts.failure(limited, CAMPAIGN).endswith("lower requests_per_minute.")


KINDS = {one.name: one for one in SERIES}
SOME = {"kpi": ["dau", "mau"], "purchases": ["revenue"], "broadcasts": True}


def test_what_to_do_about_series() -> None:
    """Not all of them have their own ceiling, or an id."""
    bad, limited = FailureReason.BAD_REQUEST, FailureReason.RATE_LIMITED
    about = {
        "segment": "Turn on analytics tracking of the segment in Braze, and check that "
        "the id is the segment's API identifier.",
        "event": "Check that the event is spelled as in Braze.",
        "mau": "Please report the error message.",
    }

    for kind, text in about.items():
        assert texts.failure(bad, KINDS[kind]).endswith(text)
    assert texts.failure(limited, KINDS["purchases"]).endswith("raise series.interval.")
    permission = texts.failure(FailureReason.FORBIDDEN, KINDS["broadcasts"])
    assert "the permission messages.schedule_broadcasts and" in permission


def test_series_of_one_limit_are_one_sentence() -> None:
    """A pause of one kind is one more."""
    view = workspace_view(campaigns=[], series=SOME, series_pauses={"mau": FORBIDDEN})
    summary = texts.summary(view)

    assert summary.startswith("Series (mau) are paused: The API key lacks a permission")
    assert "permission kpi.mau.data_series and" in summary
    assert summary.endswith(
        "2 series every 15 min: 0.1 of at most 40 requests per minute. "
        "1 series every 30 min: 0.03 of at most 4 requests per minute."
    )
    shared, _ = view.polled_together
    assert texts.queued(*shared) == ""
    waiting = (replace(one, waiting=number) for number, one in enumerate(shared))
    assert texts.queued(*waiting) == "3 series are queued."
    stretched = workspace_view(campaigns=[], series={**SOME, "interval": "1s"})
    assert "raise shared_requests_per_minute or" in texts.summary(stretched)
    assert texts.probe(view.pauses[0]) == "One series is polled as a probe"


def test_three_kinds() -> None:
    kinds = [CAMPAIGN, CANVAS, KINDS["dau"]]

    assert texts.names(kinds) == "campaigns, canvases and series"
    assert texts.objects(1, kinds) == "1 campaign, canvas or series"


def test_the_labels_of_a_series_are_in_its_name() -> None:
    one = series("segment", name="segment VIP", labels={"segment": "VIP"})
    both = Overview(NOW, (workspace_view(series=SOME),), ())

    assert texts.about(one, both) == ["Series"]


def test_objects_of_one_kind_or_of_both() -> None:
    assert texts.objects(1, [CANVAS]) == "1 canvas"
    assert texts.objects(2, [CANVAS]) == "2 canvases"
    assert texts.objects(1, MESSAGING) == "1 campaign or canvas"
    assert texts.objects(1200, MESSAGING) == "1,200 campaigns and canvases"


def test_the_kind_of_an_object_is_shown_if_there_are_two() -> None:
    one = campaign(labels={"team": "crm"})
    both = Overview(NOW, (workspace_view(canvases=CANVASES),), ())

    assert texts.about(one, Overview(NOW, (workspace_view(),), ())) == ["team=crm"]
    assert texts.about(one, both) == ["Campaign", "team=crm"]
    assert texts.about(canvas(), both) == ["Canvas"]
    assert texts.about(canvas(), replace(both, workspaces=both.workspaces * 2)) == [
        "Canvas",
        "shop",
    ]


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
        (
            {"kind": discovery_kinds.CANVAS},
            "Discovery found 40 canvases; the list was read 5 min ago.",
        ),
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
