"""Panels with figures that the demo does not have, evaluated by promtool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.dashboards.cases import Check, Series
from tests.dashboards.dashboard_json import expression, load, panels

STATES = "Campaigns and canvases by state, last complete day"
BOUNCES = "Email bounce rates by day, worst 20 of today first"
TRIAL = "Do variations convert better than their control group? 28 days"
CAMPAIGN = {"workspace": "shop", "campaign": "Spring"}
PLAIN = {**CAMPAIGN, "campaign": "Plain"}
EMAIL = {**CAMPAIGN, "channel": "email"}
MONTH = "braze_campaign_trailing"
LAST = "braze_campaign_last_complete_day"
OVERALL = "braze_campaign_overall_last_complete_day"
EXPORTER = "braze-exporter"


def info(variation: str, *, control: str, **labels: str) -> Series:
    """Return the info series of a variation."""
    of = {**EMAIL, "variation": variation, "control": control, **labels}
    return Series("braze_campaign_variation_info", of, 1)


def figure(
    family: str, variation: str, metric: str, value: float | str, **labels: str
) -> Series:
    """Return the series of a variation's figure."""
    of = {**EMAIL, "variation": variation, "metric": metric, **labels}
    return Series(family, of, value)


def trial(k: int, n: int, kc: int, nc: int) -> list[Series]:
    """Return a variation's conversions and sends, and those of its control group."""
    return [
        Series(f"{LAST}_timestamp_seconds", CAMPAIGN, -86_400),
        info("A", control="false"),
        info("C", control="true"),
        figure(MONTH, "A", "conversions", k, window="28d"),
        figure(MONTH, "A", "sent", n, window="28d"),
        figure(MONTH, "C", "conversions", kc, window="28d"),
        figure(MONTH, "C", "enrolled", nc, window="28d"),
    ]


def verdict_of(value: float) -> str:
    """Return the text of a verdict's code."""
    [panel] = [one for one in panels("braze-campaign") if one["title"] == TRIAL]
    [mappings] = [
        setting["value"]
        for override in panel["fieldConfig"]["overrides"]
        if override["matcher"]["options"] == "Verdict"
        for setting in override["properties"]
        if setting["id"] == "mappings"
    ]
    for mapping in mappings:
        low, high = mapping["options"].get("from"), mapping["options"].get("to")
        if (low is None or value >= low) and (high is None or value <= high):
            return str(mapping["options"]["result"]["text"])
    return ""


@pytest.mark.parametrize(
    ("k", "n", "kc", "nc", "code", "words"),
    [
        (300, 10_000, 0, 10_000, 17.4519, "better than control"),
        (9, 10_000, 500, 10_000, -22.0455, "worse than control"),
        (0, 10_000, 500, 10_000, -22.6455, "worse than control"),
        (100, 10_000, 100, 10_000, 0, "no clear difference"),
        (5, 1_000, 5, 1_000, 0, "no clear difference"),
        (5, 1_000, 4, 1_000, 102, "too few conversions"),
        (60, 10_000, 0, 100, 102, "too few conversions"),
        (0, 10_000, 0, 10_000, 102, "too few conversions"),
        (11, 10, 0, 10_000, 103, "more than were sent"),
        (5, 0, 20, 10_000, 103, "more than were sent"),
        (20, 10_000, 101, 100, 104, "control is above 100 %"),
    ],
)
def test_a_verdict_is_given_where_it_is_clear(
    unexpected: Check, k: int, n: int, kc: int, nc: int, code: float, words: str
) -> None:
    """The verdict depends on the expected conversions, not on the actual ones."""
    asked = f"round({expression('braze-campaign', TRIAL, 'A')}, 0.0001)"
    of_variation = {**EMAIL, "variation": "A"}, code
    of_control = {**EMAIL, "variation": "C"}, 103 if kc > nc else 100

    assert unexpected(asked, trial(k, n, kc, nc), of_variation, of_control) == ""
    assert verdict_of(code) == words


@pytest.mark.parametrize(
    ("letter", "variation", "control"),
    [
        ("B", 10_000, 5_000),
        ("D", 0.03, 0.02),
        ("E", 0.0268, 0.0165),
        ("F", 0.0335, 0.0243),
        ("G", 0.5, None),
        ("H", 3.5836, None),
    ],
    ids=["number", "rate", "lowest rate", "highest rate", "lift", "z"],
)
def test_the_comparison_matches_the_textbook(
    unexpected: Check, letter: str, variation: float, control: float | None
) -> None:
    """The bounds are those of the 95 % Wilson interval, z is that of a pooled test."""
    asked = f"round({expression('braze-campaign', TRIAL, letter)}, 0.0001)"
    expected = [
        ({**EMAIL, "variation": name}, value)
        for name, value in (("A", variation), ("C", control))
        if value is not None
    ]

    assert unexpected(asked, trial(300, 10_000, 100, 5_000), *expected) == ""


@pytest.mark.parametrize(
    ("letter", "value"), [("G", 0.5), ("H", 3.5836), ("A", 3.5836)]
)
def test_a_variation_is_compared_with_a_control_group_that_is_not_chosen(
    unexpected: Check, letter: str, value: float
) -> None:
    """The comparison is that of the whole campaign; only chosen rows are shown."""
    asked = f"round({expression('braze-campaign', TRIAL, letter)}, 0.0001)"
    series = trial(300, 10_000, 100, 5_000)
    shown = {**EMAIL, "variation": "A"}, value

    assert unexpected(asked, series, shown, campaign="Spring", variation="A") == ""
    assert unexpected(asked, series, campaign="Summer") == ""


def whole_day() -> list[Series]:
    """Return a day of a multivariate campaign, and of one without variations.

    The campaign-wide figures of the first include its control group.
    """
    series = [
        info("A", control="false"),
        info("C", control="true"),
        info("default", control="false", **PLAIN),
        figure(LAST, "default", "sent", 100, **PLAIN),
    ]
    for metric, sent, control, whole in (
        ("conversions", 30, 7, 37),
        ("conversions1", 3, 1, 4),
        ("conversions2", 2, 1, 3),
        ("conversions3", 1, 1, 2),
        ("revenue", 300, 70, 370),
        ("sent", 1_000, 0, 0),
        ("unique_recipients", 1_000, 100, 1_000),
    ):
        series += [
            figure(LAST, "A", metric, sent),
            figure(LAST, "C", metric, control),
            Series(OVERALL, {**CAMPAIGN, "metric": metric}, whole),
            Series(OVERALL, {**PLAIN, "metric": metric}, 10),
        ]
    return series


REVENUE = "Revenue per recipient, last complete day"
"""Of both variations, the control group included, and of both campaigns."""


@pytest.mark.parametrize(
    ("name", "panel", "letter", "expected"),
    [
        ("braze-overview", "Conversions", "A", 40),
        ("braze-campaign", "Converted", "A", 40 / 1_010),
        ("braze-campaign", "Revenue per 1,000", "A", 1_000 * 310 / 1_010),
        ("braze-campaign", "Revenue by day", "A", 310),
        ("braze-campaign", "Conversion events, by day", "A", 40),
        ("braze-campaign", "Conversion events, by day", "B", 13),
        ("braze-campaign", "Conversion events, by day", "C", 12),
        ("braze-campaign", "Conversion events, by day", "D", 11),
        ("braze-campaign", "Funnel by channel, share of sent", "D", 40 / 1_100),
        ("braze-campaign", REVENUE, "A", 0.3 + 0.7 + 0.3 + 1),
        ("braze-overview", STATES, "I", 0.03 + 1),
    ],
)
def test_a_control_group_is_in_no_sum_and_rate_of_conversions(
    unexpected: Check, name: str, panel: str, letter: str, expected: float
) -> None:
    """Conversions by variation are used if there are any, else campaign-wide ones."""
    asked = f"sum({expression(name, panel, letter)})"

    assert unexpected(asked, whole_day(), ({}, expected)) == ""


@pytest.mark.parametrize(
    ("name", "panel", "expected"),
    [
        ("braze-overview", "Email bounces today", 1 / 200),
        ("braze-overview", BOUNCES, 1 / 200),
        ("braze-campaign", "Today against yesterday and last week", 200),
        ("braze-email-deliverability", "Bounce rate, other days", 1 / 200),
    ],
)
def test_yesterday_is_not_shown_as_today(
    unexpected: Check, name: str, panel: str, expected: float
) -> None:
    """Larger figures of a replica with the previous day are not used."""
    series = [info("default", control="false")]
    for instance, day, sent, bounces in (("a", 0, 2_000, 900), ("b", 86_400, 200, 1)):
        dated = {**CAMPAIGN, "instance": instance}
        series += [
            Series("braze_campaign_daily_timestamp_seconds", dated, day),
            figure("braze_campaign_daily", "default", "sent", sent, **dated),
            figure("braze_campaign_daily", "default", "bounces", bounces, **dated),
        ]
    asked = f"sum({expression(name, panel)})"

    assert unexpected(asked, series, ({}, expected)) == ""


DAY = "braze_campaign_daily"
NOON = 43_200


def channel_days(*, today: int, last: int) -> list[Series]:
    """Return the messages of a campaign today, the tenth day, and on the ninth."""
    return [
        info("default", control="false"),
        Series(f"{DAY}_timestamp_seconds", CAMPAIGN, 10 * 86_400),
        Series(f"{LAST}_timestamp_seconds", CAMPAIGN, 9 * 86_400),
        Series("braze_campaign_info", {**CAMPAIGN, "campaign_id": "c1"}, 1),
        figure(DAY, "default", "sent", today),
        figure(DAY, "default", "bounces", 6),
        figure(LAST, "default", "sent", last),
    ]


@pytest.mark.parametrize(
    ("today", "last", "day"), [(200, 50, 10), (0, 50, 9), (0, 0, None)]
)
def test_the_last_day_with_messages_is_a_date(
    unexpected: Check, today: int, last: int, day: int | None
) -> None:
    asked = expression("braze-campaign", "Channels")
    series = channel_days(today=today, last=last)
    expected = [] if day is None else [(EMAIL, 1_000 * (day * 86_400 + NOON))]

    assert unexpected(asked, series, *expected) == ""


@pytest.mark.parametrize(("today", "rate"), [(200, 0.03), (99, None)])
def test_the_bounces_of_a_few_messages_of_today_are_no_rate(
    unexpected: Check, today: int, rate: float | None
) -> None:
    asked = expression("braze-campaign", "Channels", "C")
    expected = [] if rate is None else [(EMAIL, rate)]

    assert unexpected(asked, channel_days(today=today, last=50), *expected) == ""


def test_a_channel_has_the_id_of_its_campaign(unexpected: Check) -> None:
    asked = expression("braze-campaign", "Channels", "B")
    row = {**EMAIL, "campaign_id": "c1"}

    assert unexpected(asked, channel_days(today=0, last=50), (row, 50)) == ""


@pytest.mark.parametrize(
    ("letter", "expected"),
    [("A", 200), ("B", 70), ("C", 30)],
    ids=["today", "yesterday", "a week ago"],
)
def test_today_is_compared_with_the_same_time(
    unexpected: Check, letter: str, expected: int
) -> None:
    """A week is 168 hours."""
    asked = expression(
        "braze-campaign", "Today against yesterday and last week", letter
    )
    series = [
        Series(f"{DAY}_timestamp_seconds", CAMPAIGN, "0x168"),
        figure(DAY, "default", "sent", "30x100 70x50 200x20"),
    ]

    assert unexpected(asked, series, ({}, expected), at="7d", step="1h") == ""


@pytest.mark.parametrize(("variations", "rows"), [(("default",), 0), (("A", "B"), 2)])
def test_only_a_multivariate_campaign_has_rates_by_variation(
    unexpected: Check, variations: tuple[str, ...], rows: int
) -> None:
    asked = expression("braze-campaign", "Rates by variation, 7 days")
    series = [
        one
        for name in variations
        for one in (
            info(name, control="false"),
            figure(MONTH, name, "sent", 10, window="7d"),
        )
    ]
    expected = [({**EMAIL, "variation": name}, 10) for name in variations][:rows]

    assert unexpected(asked, series, *expected) == ""


@pytest.mark.parametrize("name", ["braze-campaign", "braze-canvas"])
@pytest.mark.parametrize(
    ("up", "code"), [(1, 1), (0, 0), (None, -1)], ids=["succeed", "fail", "not polled"]
)
def test_the_state_of_polls_is_known(
    unexpected: Check, name: str, up: int | None, code: int
) -> None:
    """If nothing is scraped there is none: the tile before it states that."""
    kind = name.removeprefix("braze-")
    series = [Series("braze_exporter_build_info", {}, 1)]
    if up is not None:
        series.append(Series(f"{name.replace('-', '_')}_up", {kind: "Spring"}, up))
    asked = expression(name, "Polls")

    assert unexpected(asked, series, ({}, code)) == ""
    assert unexpected(asked, []) == ""


@pytest.mark.parametrize("kind", ["campaign", "canvas"])
def test_an_edit_is_an_event_of_the_chosen_object(unexpected: Check, kind: str) -> None:
    """Its time is its value, in milliseconds."""
    [asked] = [
        event["expr"]
        for event in load(f"braze-{kind}")["annotations"]["list"]
        if event["name"] == "Changes"
    ]
    edited = f"braze_{kind}_last_edited_timestamp_seconds"
    chosen, other = ({"workspace": "shop", kind: name} for name in ("Spring", "Fall"))
    series = [Series(edited, chosen, 60), Series(edited, other, 120)]

    found = {**chosen, "change": "Edited in Braze"}, 60_000
    assert unexpected(asked, series, found, **{kind: "Spring"}) == ""


@pytest.mark.parametrize(
    ("kind", "other"), [("campaign", "canvas"), ("canvas", "campaign")]
)
def test_alerts_as_events_are_those_of_the_choice(
    unexpected: Check, kind: str, other: str
) -> None:
    """Of other objects, also of the other kind, there are none."""
    [asked] = [
        event["expr"]
        for event in load(f"braze-{kind}")["annotations"]["list"]
        if event["name"] == "Alerts"
    ]
    name = {"alertname": "BrazeTest"}
    spring, *others = (
        {**name, "workspace": "shop", each: value}
        for each, value in ((kind, "Spring"), (kind, "Fall"), (other, "Spring"))
    )
    firing = [
        Series("ALERTS", {**labels, "alertstate": "firing"}, 1)
        for labels in (spring, *others, name)
    ]

    expected = (spring, 1), (name, 1)
    assert unexpected(asked, firing, *expected, **{kind: "Spring"}) == ""


def word_of(code: float) -> tuple[str, str]:
    """Return the text and the colour of a state's code."""
    [panel] = [one for one in panels("braze-overview") if one["title"] == STATES]
    [mappings] = [
        setting["value"]
        for override in panel["fieldConfig"]["overrides"]
        for setting in override["properties"]
        if override["matcher"]["options"] == "State" and setting["id"] == "mappings"
    ]
    ranges = [one["options"] for one in mappings if one["type"] == "range"]
    [result, *_] = [one["result"] for one in ranges if one["from"] <= code <= one["to"]]
    return result["text"], result["color"]


def polled(**labels: str) -> list[Series]:
    """Return a campaign that is polled every five minutes, with one of email."""
    of = {**CAMPAIGN, **labels}
    return [
        info("default", control="false", **labels),
        Series("braze_campaign_up", of, 1),
        Series("braze_campaign_last_success_timestamp_seconds", of, 0),
        Series("braze_campaign_interval_seconds", of, 300),
        Series("braze_campaign_daily_timestamp_seconds", of, 0),
    ]


def mail(
    family: str, sent: int, bounces: int, spam: int, **labels: str
) -> list[Series]:
    """Return a day of email."""
    return [
        figure(family, "default", metric, value, **labels)
        for metric, value in (
            ("sent", sent),
            ("bounces", bounces),
            ("delivered", sent - bounces),
            ("reported_spam", spam),
        )
    ]


DAILY = "braze_campaign_daily"
BOUNCING = ("bounces", "#D55E00")
ROW = {"workspace": "shop", "kind": "campaign", "name": "Spring"}
"""The labels of a campaign in a table of both kinds."""


@pytest.mark.parametrize(
    ("series", "code", "word", "colour"),
    [
        ([*mail(LAST, 999, 1, 0)], 7.001, "OK", "text"),
        ([], 8, "OK", "text"),
        (
            [*mail(LAST, 999, 0, 0), *mail(DAILY, 200, 11, 0)],
            0.001,
            "bounces",
            "#D55E00",
        ),
        (
            [*mail(LAST, 999, 50, 0), *mail(DAILY, 200, 1, 0)],
            0.001,
            "bounces",
            "#D55E00",
        ),
        ([*mail(LAST, 999, 40, 0)], 4.001, "bounces", "#E69F00"),
        ([*mail(LAST, 99, 90, 9)], 7.01, "OK", "text"),
        ([*mail(LAST, 999, 0, 3)], 1.001, "spam", "#D55E00"),
        ([*mail(LAST, 999, 0, 1)], 5.001, "spam", "#E69F00"),
    ],
    ids=[
        *("fine", "nothing sent", "bounces today", "bounces yesterday"),
        *("some bounces", "few emails", "spam", "some spam"),
    ],
)
def test_the_state_of_a_campaign_is_a_word(
    unexpected: Check, series: list[Series], code: float, word: str, colour: str
) -> None:
    """Its code is less by a share of the volume, so that equal states are in order."""
    asked = f"round({expression('braze-overview', STATES)}, 0.001)"

    assert unexpected(asked, [*polled(), *series], (ROW, code)) == ""
    assert word_of(code) == (word, colour)


def test_a_failing_campaign_without_any_figures_has_a_state(unexpected: Check) -> None:
    up = Series("braze_campaign_up", CAMPAIGN, 0)
    asked = expression("braze-overview", STATES)

    assert unexpected(asked, [up], (ROW, 3)) == ""
    assert word_of(3) == ("failing", "#D55E00")


def test_a_late_campaign_has_a_state(unexpected: Check) -> None:
    asked = expression("braze-overview", STATES)
    series = [Series(one.family, one.labels, f"{one.value}x20") for one in polled()]

    assert unexpected(asked, series, (ROW, 8), at="14m") == ""
    assert unexpected(asked, series, (ROW, 7), at="15m") == ""
    assert word_of(7) == ("late", "#E69F00")


WEEK_AGO = 7 * 24 * 60


@pytest.mark.parametrize(
    ("days", "week", "month", "is_silent"),
    [
        (f"500x5 _x{WEEK_AGO - 6} 0x9", 3_000, 13_500, True),
        (f"500x5 _x{WEEK_AGO - 6} 1x9", 3_000, 13_500, False),
        (f"500x5 _x{WEEK_AGO - 6} 0x9", 500, 500, False),
        (f"0x5 _x{WEEK_AGO - 6} 0x9", 3_000, 13_500, False),
        (f"50x5 _x{WEEK_AGO - 6} 0x9", 300, 1_350, False),
        (f"_x{WEEK_AGO} 0x9", 3_000, 13_500, False),
        (f"_x{WEEK_AGO} 0x9", 3_000, 14_000, True),
        (f"_x{WEEK_AGO} 0x9", 500, 2_000, False),
        (f"_x{WEEK_AGO} 0x9", 500, 13_500, False),
    ],
    ids=[
        *("it usually sends", "it sends", "one mailing", "not on this weekday"),
        *("few messages", "no history, as usual", "no history, a day is missing"),
        *("no history, weekly", "no history, stopped before"),
    ],
)
def test_a_campaign_is_silent_on_a_day_on_which_it_usually_sends(
    unexpected: Check, days: str, week: int, month: int, is_silent: bool
) -> None:
    """The alert BrazeSendsStopped judges the same."""
    rest = f"_x{WEEK_AGO} {{}}x9"
    series = [
        replace(info("default", control="false"), value=rest.format(1)),
        figure(LAST, "default", "sent", days),
        figure(MONTH, "default", "sent", rest.format(week), window="7d"),
        figure(MONTH, "default", "sent", rest.format(month), window="28d"),
    ]
    asked = f"floor({expression('braze-overview', STATES)}) < bool 5"

    found = (ROW, int(is_silent))
    assert unexpected(asked, series, found, at=f"{WEEK_AGO + 1}m") == ""
    assert word_of(4) == ("silent", "#E69F00")


def test_states_are_in_order_of_volume(unexpected: Check) -> None:
    """The worst state first, and in it the most messages."""
    series = [
        *(one for name in "ABC" for one in polled(campaign=name)),
        *mail(LAST, 500, 0, 0, campaign="A"),
        *mail(LAST, 9_999, 0, 0, campaign="B"),
        *mail(LAST, 199, 20, 0, campaign="C"),
    ]
    asked = f"round({expression('braze-overview', STATES)}, 0.0001)"
    codes = {"A": 7.002, "B": 7.0001, "C": 0.005}
    expected = [({**ROW, "name": name}, code) for name, code in codes.items()]

    assert unexpected(asked, series, *expected) == ""
    assert unexpected(asked, series, expected[0], campaign="A") == ""


def test_today_is_the_last_cell_of_a_history(unexpected: Check) -> None:
    """A cell begins with its day; of a day that is over it is the complete one."""
    hours = 60
    series = []
    for metric, first, second in (("sent", 1_000, 400), ("bounces", 10, 40)):
        now = f"{first // 2}x{24 * hours} {second}x{9 * hours}"
        over = f"_x{24 * hours + 1} {first}x{9 * hours}"
        series += [figure(DAILY, "default", metric, now)]
        series += [figure(LAST, "default", metric, over)]
    day = f"0x{24 * hours} 86400x{9 * hours}"
    series += [Series("braze_campaign_daily_timestamp_seconds", CAMPAIGN, day)]
    # The range of Grafana ends at the last midnight.
    asked = expression("braze-overview", BOUNCES).replace("@ end()", "@ 86400")
    found = {"workspace": "shop", "kind": "campaign", "name": "Spring", "good": "0.9"}

    for at, rate in ((0, 0.01), (86_400, 0.1)):
        cell = f"last_over_time(({asked})[1m:1m] @ {at})"
        assert unexpected(cell, series, (found, rate), at="1900m") == ""


@pytest.mark.parametrize(
    ("before", "direction", "value"), [(80, "▲", 25), (125, "▼", 20)]
)
def test_the_difference_from_a_week_before_has_a_direction(
    unexpected: Check, before: int, direction: str, value: float
) -> None:
    asked = f"round({expression('braze-overview', 'Sent', 'B')}, 0.001)"
    days = f"{before}x5 _x{WEEK_AGO - 6} 100x9"
    series = [figure(LAST, "default", "sent", days)]
    found = {"direction": direction}, value

    assert unexpected(asked, series, found, at=f"{WEEK_AGO + 1}m") == ""


@pytest.mark.parametrize("name", ["braze-overview", EXPORTER])
def test_failing_polls_are_beside_all(unexpected: Check, name: str) -> None:
    failing, polled = (expression(name, "Failing polls", one) for one in "AB")
    series = [
        Series("braze_campaign_up", {**CAMPAIGN, "campaign": name}, up)
        for name, up in (("A", 1), ("B", 0), ("C", 1))
    ]

    assert unexpected(failing, series, ({}, 1)) == ""
    assert unexpected(polled, series, ({}, 3)) == ""
    assert unexpected(failing, series[:1], ({}, 0)) == ""


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ({}, {"Spring", "Summer", "Welcome", ""}),
        ({"campaign": "Spring"}, {"Spring", ""}),
        ({"workspace": "other"}, {""}),
    ],
    ids=["all", "a campaign", "another workspace"],
)
def test_alerts_are_those_of_the_choice(
    unexpected: Check, choice: dict[str, str], names: set[str]
) -> None:
    """Those about no campaign or canvas, such as of an exporter, are always shown."""
    objects: list[dict[str, str]] = [
        {"workspace": "shop", "campaign": "Spring"},
        {"workspace": "shop", "campaign": "Summer"},
        {"workspace": "shop", "canvas": "Welcome"},
        {},
    ]
    series = [
        Series(
            "ALERTS", {"alertname": "BrazeTest", "alertstate": "firing", **labels}, 1
        )
        for labels in objects
    ]
    series += [
        Series("ALERTS_FOR_STATE", {"alertname": "BrazeTest", **labels}, 0)
        for labels in objects
    ]
    asked = expression("braze-overview", "Firing and pending alerts")
    number = expression("braze-overview", "Firing alerts")
    expected = [({"name": name} if name else {}, 60) for name in sorted(names)]

    series = [Series(one.family, one.labels, f"{one.value}x5") for one in series]
    by_name = f"max by (name) ({asked})"
    assert unexpected(by_name, series, *expected, at="1m", **choice) == ""
    assert unexpected(number, series, ({}, len(names)), at="1m", **choice) == ""


def test_nothing_that_fires_is_a_row(unexpected: Check) -> None:
    asked = expression("braze-overview", "Firing and pending alerts")
    row = {"alertname": "../alerts", "kind": "exporter"}

    assert unexpected(asked, [], (row, -1)) == ""


CANVAS = {"workspace": "shop", "canvas": "Welcome"}
SMS = "SMS and RCS by campaign and canvas, last complete day"
VARIANTS = "Do variants convert better than the one compared with? 28 days"


def of_canvas(
    part: str, metric: str, value: float | str, *, window: str = "", **labels: str
) -> Series:
    """Return a figure of a canvas, or of a part of it, of a day or a window."""
    suffix = "trailing" if window else "last_complete_day"
    family = f"braze_canvas_{part}{suffix}"
    of = {**CANVAS, "metric": metric, **labels}
    return Series(family, of | ({"window": window} if window else {}), value)


def split(k: int, n: int, kc: int, nc: int) -> list[Series]:
    """Return conversions and entries of a variant, and those of a control."""
    return [
        of_canvas("variant_", metric, value, window="28d", variant=variant)
        for variant, metric, value in (
            ("A", "conversions", k),
            ("A", "entries", n),
            ("Nothing", "conversions", kc),
            ("Nothing", "entries", nc),
        )
    ]


@pytest.mark.parametrize(
    ("letter", "variant", "control"),
    [
        ("A", 3.5836, 100),
        ("B", 10_000, 5_000),
        ("C", 0.6667, 0.3333),
        ("F", 0.03, 0.02),
        ("G", 0.0268, 0.0165),
        ("H", 0.0335, 0.0243),
        ("I", 0.5, 0),
        ("J", 3.5836, 0),
    ],
    ids=["verdict", "entries", "share", "rate", "from", "to", "lift", "z"],
)
def test_variants_are_compared_with_the_chosen_one(
    unexpected: Check, letter: str, variant: float, control: float
) -> None:
    """The figures are those of the comparison of a campaign's variations."""
    asked = f"round({expression('braze-canvas', VARIANTS, letter)}, 0.0001)"
    expected = [
        ({**CANVAS, "variant": name}, value)
        for name, value in (("A", variant), ("Nothing", control))
    ]
    series = split(300, 10_000, 100, 5_000)

    assert unexpected(asked, series, *expected, baseline="Nothing") == ""


@pytest.mark.parametrize(
    ("k", "n", "kc", "nc", "code"),
    [
        (4, 1_000, 4, 1_000, 102),
        (1_001, 1_000, 50, 1_000, 103),
        (50, 1_000, 1_001, 1_000, 104),
        (50, 1_000, 50, 1_000, 0),
    ],
    ids=["too few", "too many", "control has too many", "equal"],
)
def test_a_variant_gets_a_verdict_where_it_is_clear(
    unexpected: Check, k: int, n: int, kc: int, nc: int, code: float
) -> None:
    asked = f"{expression('braze-canvas', VARIANTS)} and on (variant) " + (
        'label_replace(vector(1), "variant", "A", "", "")'
    )
    expected = {**CANVAS, "variant": "A"}, code

    assert unexpected(asked, split(k, n, kc, nc), expected, baseline="Nothing") == ""


def step(name: str, *, month: int, last: int | None) -> list[Series]:
    """Return the email of a step in 28 days, and on the last complete day."""
    of = {"step": name, "channel": "email"}
    series = [of_canvas("step_", "sent", month, window="28d", **of)]
    series += [of_canvas("step_", "sent", month // 4, window="7d", **of)]
    return series + ([] if last is None else [of_canvas("step_", "sent", last, **of)])


@pytest.mark.parametrize(
    ("series", "entries", "expected"),
    [
        (step("Nudge", month=280, last=0), 20, {"step": "Nudge"}),
        (step("Nudge", month=280, last=None), 20, {"step": "Nudge"}),
        (step("Nudge", month=280, last=1), 20, None),
        (step("Nudge", month=27, last=0), 20, None),
        (step("Nudge", month=280, last=0), 0, None),
    ],
    ids=["zero", "absent", "it sends", "rarely sends", "no entries"],
)
def test_a_step_is_silent_if_users_enter_and_it_sends_nothing(
    unexpected: Check,
    series: list[Series],
    entries: int,
    expected: Mapping[str, str] | None,
) -> None:
    asked = expression("braze-canvas", "Silent steps")
    entered = of_canvas("overall_", "entries", entries)
    row = ({**CANVAS, **expected}, 280) if expected else (CANVAS, -1)

    assert unexpected(asked, [*series, entered], row) == ""


def test_steps_are_a_funnel_of_messages(unexpected: Check) -> None:
    """A delay has no messages, and no row."""
    asked = expression("braze-canvas", "Steps by messages, 28 days", "B")
    series = [
        *step("First", month=90, last=3),
        *step("Second", month=45, last=1),
        *step("Delay", month=0, last=0),
        of_canvas("overall_", "entries", 100, window="28d"),
    ]
    expected = [
        ({**CANVAS, "step": name}, share)
        for name, share in (("First", 0.9), ("Second", 0.45))
    ]

    assert unexpected(asked, series, *expected) == ""


def test_the_point_of_a_day_is_at_its_end(unexpected: Check) -> None:
    """At midnight Braze's last complete day is still the day before."""
    asked = expression("braze-canvas", "Entries by day")
    series = [of_canvas("overall_", "entries", "7x100 9x800")]
    at_midnight = f"last_over_time(({asked})[1m:1m] @ 0)"

    assert unexpected(at_midnight, series, ({}, 9), at="900m") == ""
    assert unexpected(at_midnight, series, ({}, 7), at="60m") == ""


def test_yesterday_is_not_the_day_before_in_the_first_hour(unexpected: Check) -> None:
    """The sample of midnight, at the begin of a range, is of the day before."""
    asked = expression("braze-canvas", "Entries by day")
    series = [of_canvas("overall_", "entries", "7 9x800")]
    at_midnight = f"last_over_time(({asked})[1m:1m] @ 0)"

    assert unexpected(at_midnight, series, ({}, 9), at="30m") == ""


@pytest.mark.parametrize(
    ("name", "panel", "letter", "expected"),
    [
        ("braze-overview", "Sent", "A", 110),
        ("braze-overview", "Conversions", "A", 18),
        ("braze-overview", STATES, "I", 0.1 + 0.2),
        ("braze-messaging", SMS, "G", 10),
    ],
)
def test_canvases_are_in_the_sums_of_both_kinds(
    unexpected: Check, name: str, panel: str, letter: str, expected: float
) -> None:
    """Their conversions are those of the canvas, per entry."""
    asked = f"sum({expression(name, panel, letter)})"
    series = [
        info("default", control="false", **PLAIN),
        figure(LAST, "default", "sent", 100, **PLAIN),
        Series(OVERALL, {**PLAIN, "metric": "conversions"}, 10),
        Series(OVERALL, {**PLAIN, "metric": "unique_recipients"}, 100),
        of_canvas("", "sent", 10, channel="sms"),
        of_canvas("overall_", "conversions", 8),
        of_canvas("overall_", "entries", 40),
        of_canvas("variant_", "conversions", 8, variant="A"),
        of_canvas("step_overall_", "conversions", 5, step="Nudge"),
    ]

    assert unexpected(asked, series, ({}, expected)) == ""


def of_email(family: str, campaign: str, **figures: float) -> list[Series]:
    """Return figures of the email of a campaign without variations."""
    of = {**CAMPAIGN, "campaign": campaign}
    if family.endswith("trailing"):
        of["window"] = "7d"
    return [
        figure(family, "default", metric, value, **of)
        for metric, value in figures.items()
    ]


def risky() -> list[Series]:
    """Return the email of campaigns whose newest rates are of different days."""
    today, week = "braze_campaign_daily", "braze_campaign_trailing"
    of_day = {"bounces": 10, "reported_spam": 0, "unsubscribes": 1}
    quiet = {"sent": 1_000, "delivered": 1_000, **of_day}
    return [
        *of_email(LAST, "Burning", **quiet),
        *of_email(today, "Burning", **{**quiet, "bounces": 110}),
        *of_email(LAST, "Spammy", **{**quiet, "reported_spam": 6}),
        *of_email(today, "Spammy", **{**quiet, "sent": 50, "delivered": 40}),
        *of_email(week, "Rare", **{**quiet, "unsubscribes": 5}),
        *of_email(LAST, "Silent", sent=0, delivered=0, bounces=0),
        *(
            Series(f"{today}_timestamp_seconds", {**CAMPAIGN, "campaign": name}, 1)
            for name in ("Burning", "Spammy")
        ),
        Series("braze_exporter_build_info", {}, 1),
    ]


FAILURES = "Failures and opt-outs by campaign, canvas and channel"
RANKING = "Bounces, spam complaints and unsubscribes by campaign and canvas"


@pytest.mark.parametrize(
    ("panel", "letter", "expected"),
    [
        (RANKING, "A", {"Burning": 2.2, "Spammy": 2, "Rare": 0.5}),
        (RANKING, "B", {"Burning": 0.11, "Spammy": 0.01, "Rare": 0.01}),
        (RANKING, "D", {"Burning": 0, "Spammy": 0.006, "Rare": 0}),
        (RANKING, "G", {"Rare": 0.005}),
    ],
    ids=["of limit", "bounces", "spam", "unsubscribed in 7 days"],
)
def test_email_is_ranked_by_its_newest_rates_against_their_limits(
    unexpected: Check, panel: str, letter: str, expected: Mapping[str, float]
) -> None:
    """Today has too little mail of one campaign, and none of another."""
    asked = f"round({expression('braze-email-deliverability', panel, letter)}, 1e-4)"
    rows = [
        ({"workspace": "shop", "kind": "campaign", "name": name}, value)
        for name, value in expected.items()
    ]

    assert unexpected(asked, risky(), *rows) == ""


def test_messages_fail_by_the_newest_day_with_enough_of_them(
    unexpected: Check,
) -> None:
    """SMS has two numbers of failed messages, other channels one."""
    of = {"workspace": "shop", "variation": "A"}
    sms = {**of, "campaign": "Code", "channel": "sms"}
    hook = {**of, "campaign": "Sync", "channel": "webhook"}
    push = {**of, "campaign": "Sale", "channel": "ios_push"}
    today, week = "braze_campaign_daily", "braze_campaign_trailing"
    asked = expression("braze-messaging", FAILURES, "A")
    series = [
        Series(family, {**labels, "metric": metric, **window}, value)
        for family, labels, window, figures in (
            (LAST, sms, {}, {"sent": 100, "rejected": 3, "delivery_failed": 4}),
            (today, sms, {}, {"sent": 99, "rejected": 99}),
            (LAST, hook, {}, {"sent": 100, "errors": 1}),
            (today, hook, {}, {"sent": 100, "errors": 50}),
            (week, push, {"window": "7d"}, {"sent": 100, "bounces": 2}),
        )
        for metric, value in figures.items()
    ]
    series += [
        Series(f"{today}_timestamp_seconds", {**CAMPAIGN, "campaign": name}, 1)
        for name in ("Code", "Sync")
    ]
    expected = [
        (
            {"workspace": "shop", "kind": "campaign", "name": name, "channel": channel},
            it,
        )
        for name, channel, it in (
            ("Code", "sms", 0.07),
            ("Sync", "webhook", 0.5),
            ("Sale", "ios_push", 0.02),
        )
    ]

    assert unexpected(asked, series, *expected) == ""


def test_buttons_and_slides_have_the_text_that_users_see(unexpected: Check) -> None:
    asked = expression("braze-messaging", "Clicks on buttons and slides of push")
    push = {**CAMPAIGN, "channel": "ios_push", "variation": "A"}
    series = [
        Series(LAST, {**push, "metric": f"{name}_click"}, 7)
        for name in ("carousel_slide_1_Été 2 € _click", "notif_button_2_Shop now")
    ]
    expected = [
        (
            {
                "workspace": "shop",
                "kind": "campaign",
                "name": "Spring",
                "channel": "ios_push",
                "part": part,
                "text": text,
            },
            7,
        )
        for part, text in (("slide 1", "Été 2 € _click"), ("button 2", "Shop now"))
    ]

    assert unexpected(asked, series, *expected) == ""


def test_campaigns_above_a_limit_are_counted(unexpected: Check) -> None:
    asked = expression("braze-email-deliverability", "Above a limit")
    calm = [one for one in risky() if one.labels.get("campaign") in {"Rare", None}]

    assert unexpected(asked, risky(), ({}, 2)) == ""
    assert unexpected(asked, calm, ({}, 0)) == ""


SERVED = "Series and values by workspace"


@pytest.mark.parametrize(
    ("panel", "letter", "family"),
    [
        ("Campaigns, canvases", "A", "braze_exporter_campaigns"),
        ("Campaigns, canvases", "B", "braze_exporter_canvases"),
        ("Series", "A", "braze_exporter_series"),
        ("Series", "B", "braze_exporter_series_dropped"),
        (SERVED, "A", "braze_exporter_series"),
        (SERVED, "B", "braze_exporter_series_dropped"),
        (SERVED, "C", "braze_exporter_ignored_values"),
        (SERVED, "D", "braze_exporter_skipped_rows"),
    ],
)
@pytest.mark.parametrize(
    ("exporters", "expected"),
    [
        ([("a", None, 10), ("b", None, 9)], 10),
        ([("a", "0", 10), ("b", "1", 7), ("c", "2", 3)], 20),
        ([("a", "0", 10), ("b", "0", 9), ("c", "1", 7)], 17),
    ],
    ids=["replicas", "shards", "replicas of shards"],
)
def test_shards_add_up_and_replicas_do_not(
    unexpected: Check,
    panel: str,
    letter: str,
    family: str,
    exporters: list[tuple[str, str | None, int]],
    expected: int,
) -> None:
    series = []
    for instance, shard, value in exporters:
        of = {"instance": instance, "pod": f"pod-{instance}"}
        series.append(Series(family, {**of, "workspace": "shop"}, value))
        if shard is not None:
            of |= {"shard": shard, "total_shards": "3"}
            series.append(Series("braze_exporter_shard_info", of, 1))
    asked = f"sum({expression('braze-exporter', panel, letter)})"

    assert unexpected(asked, series, ({}, expected)) == ""


NODE = {"job": "node", "instance": "n"}
BUILD = {"version": "1.0", "python": "3.13"}
ALL_WELL, NEVER, FORBIDDEN, REJECTED = -1, 10**9, 2 * 10**9, 3 * 10**9
ALL_UP, ALL_DOWN = 0, -1


@pytest.mark.parametrize(
    ("panel", "letter", "family"),
    [
        ("Memory", "A", "process_resident_memory_bytes"),
        ("Processes", "A", "up"),
    ],
)
def test_only_exporters_are_processes(
    unexpected: Check, panel: str, letter: str, family: str
) -> None:
    """With All, the processes of other jobs are not among them."""
    series = [
        Series("braze_exporter_build_info", BUILD, 1),
        Series(family, {}, 1),
        Series(family, NODE, 5),
    ]
    asked = expression(EXPORTER, panel, letter)

    assert unexpected(f"sum({asked})", series, ({}, 1)) == ""


@pytest.mark.parametrize(
    ("ups", "scraped", "code"),
    [
        ({"a": "1x20", "b": "1x20"}, {"a": "1x20", "b": "1x20"}, ALL_UP),
        ({"a": "1x20", "b": "1x9 0x10"}, {"a": "1x20", "b": "1x9 stale"}, 1),
        ({"a": "1x9 0x10"}, {"a": "1x9 stale"}, ALL_DOWN),
        ({}, {"a": "1x9 stale"}, ALL_DOWN),
        ({}, {}, ALL_DOWN),
    ],
    ids=["two", "one is down", "all are down", "no target any more", "never scraped"],
)
def test_whether_the_exporter_is_up(
    unexpected: Check, ups: dict[str, str], scraped: dict[str, str], code: int
) -> None:
    """The codes have words; other targets of Prometheus are not counted."""
    series = [
        Series("braze_exporter_build_info", {**BUILD, "instance": one}, values)
        for one, values in scraped.items()
    ]
    series += [Series("up", {"instance": one}, values) for one, values in ups.items()]
    series += [Series("up", NODE, "0x20")]
    asked = expression(EXPORTER, "Exporter")

    assert unexpected(asked, series, ({}, code), at="15m") == ""


def test_a_rejected_key_is_the_first_row_of_failing_polls(unexpected: Check) -> None:
    """Then a campaign without success, by age the others; good workspaces are last."""
    of = {"workspace": "shop"}
    reason = {"reason": "unauthorized"}
    series = [
        Series("braze_exporter_workspace_paused", {**of, **reason}, 1),
        Series("braze_exporter_canvases_paused", {**of, "reason": "forbidden"}, 0),
        Series("braze_campaign_up", {**of, "campaign": "New"}, 0),
        Series("braze_campaign_up", {**of, "campaign": "Old"}, 0),
        Series("braze_canvas_up", {"workspace": "good", "canvas": "Tour"}, 1),
        *(
            Series("braze_campaign_failure_info", {**of, "campaign": one, **reason}, 1)
            for one in ("New", "Old")
        ),
        Series(
            "braze_campaign_last_success_timestamp_seconds",
            {**of, "campaign": "Old"},
            0,
        ),
    ]
    shown = {**of, **reason}
    campaign = {**shown, "kind": "campaign"}

    assert (
        unexpected(
            expression(EXPORTER, "Failing, with the reason"),
            series,
            ({**shown, "kind": "exporter"}, REJECTED),
            ({**campaign, "name": "New"}, NEVER),
            ({**campaign, "name": "Old"}, 60),
            ({"workspace": "good", "kind": "exporter"}, ALL_WELL),
            at="1m",
        )
        == ""
    )


def test_a_missing_permission_is_no_rejected_key(unexpected: Check) -> None:
    """It has its own words, and is before the canvases that fail because of it."""
    shown = {"workspace": "shop", "reason": "forbidden"}
    canvas = {"workspace": "shop", "canvas": "Tour"}
    success = "braze_canvas_last_success_timestamp_seconds"
    series = [
        Series("braze_exporter_canvases_paused", shown, 1),
        Series("braze_canvas_up", canvas, 0),
        Series("braze_canvas_failure_info", {**canvas, "reason": "forbidden"}, 1),
        Series(success, canvas, 0),
        Series("braze_campaign_up", {"workspace": "shop", "campaign": "Sale"}, 1),
    ]

    assert (
        unexpected(
            expression(EXPORTER, "Failing, with the reason"),
            series,
            ({**shown, "kind": "exporter"}, FORBIDDEN),
            ({**shown, "kind": "canvas", "name": "Tour"}, 60),
            at="1m",
        )
        == ""
    )


def test_the_words_of_refused_polls_name_the_key_or_the_permission() -> None:
    [table] = (
        one for one in panels(EXPORTER) if one["title"] == "Failing, with the reason"
    )
    [words] = (
        value["value"][0]["options"]
        for override in table["fieldConfig"]["overrides"]
        for value in override["properties"]
        if override["matcher"]["options"] == "Last success"
        and value["id"] == "mappings"
    )

    assert {int(code): word["text"] for code, word in words.items()} == {
        ALL_WELL: "no poll fails",
        NEVER: "never",
        FORBIDDEN: "not permitted",
        REJECTED: "key rejected",
    }


def test_planned_requests_are_those_of_both_kinds(unexpected: Check) -> None:
    of = {"workspace": "shop"}
    planned = "planned_requests_per_minute"
    series = [
        Series(f"braze_exporter_{planned}", of, 40),
        Series(f"braze_exporter_canvas_{planned}", of, 2),
        Series(f"braze_exporter_{planned}", {**of, "instance": "b"}, 40),
    ]
    asked = expression(EXPORTER, "Requests per minute, planned and sent")

    assert unexpected(asked, series, ({}, 82)) == ""


def test_every_request_has_one_class(unexpected: Check) -> None:
    of = {"workspace": "shop", "endpoint": "campaigns/data_series"}
    codes = ("200", "302", "404", "429", "503", "error")
    family = "braze_exporter_api_requests_total"
    series = [
        Series(family, {**of, "code": code}, f"0+{10**at}x5")
        for at, code in enumerate(codes)
    ]
    found = ["1", "110", "1000", "10000", "100000"]
    panel = "Requests per minute by status"

    for letter, expected in zip("ABCDE", found, strict=True):
        asked = expression(EXPORTER, panel, letter).replace("$__rate_interval", "3m")
        rounded = f"round({asked})"
        assert unexpected(rounded, series, ({}, float(expected)), at="5m") == ""


@pytest.mark.parametrize(
    ("sent", "other", "opened", "delivered"),
    [(0, None, None, None), (1_000, None, 0, None), (1_000, 900, 0, 0)],
)
def test_unused_fields_are_0_in_rates(
    unexpected: Check,
    sent: int,
    other: int | None,
    opened: float | None,
    delivered: float | None,
) -> None:
    """Deliveries only if another campaign has some: Braze may not report them."""
    series = [
        Series(f"{LAST}_timestamp_seconds", CAMPAIGN, -86_400),
        figure(LAST, "default", "sent", sent, channel="ios_push"),
        figure(LAST, "default", "sent", sent),
    ]
    if other is not None:
        series.append(figure(LAST, "default", "delivered", other, **PLAIN))

    for title, rate in (("Opened", opened), ("Delivered", delivered)):
        asked = expression("braze-campaign", title, "A")
        asked = asked.replace("${campaign:regex}", "Spring")
        found: list[tuple[dict[str, str], float]] = []
        if rate is not None:
            found.append(({}, rate))
        assert unexpected(asked, series, *found) == "", title
