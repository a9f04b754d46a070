"""Snapshots of documents, malformed ones among them."""

import math
from datetime import date, timedelta
from typing import Any

import pytest
from exporter.metrics import families
from exporter.metrics.object_metrics import ObjectLabels, render_values
from exporter.model.config import Selection
from exporter.model.errors import MalformedSeries
from exporter.model.snapshot import (
    NO_FIGURES,
    VARIATION,
    WHOLE,
    Part,
    Snapshot,
    Stats,
)
from exporter.series.campaign_rows import (
    SHORTEST_QUIET_WINDOW,
    CampaignRowParser,
    can_be_quiet,
    days_needed,
)
from exporter.series.parse import ParseOptions, parse, parse_history
from exporter.series.recent_days import unpack_days
from hypothesis import given
from hypothesis import strategies as st

from tests import golden

TODAY = golden.OPTIONS.today
YESTERDAY = "2025-06-21"
STATUS_SERIES = CampaignRowParser.status_series


def parse_options(**changes: Any) -> ParseOptions:
    return golden.OPTIONS._replace(**{"windows": (7,), **changes})


def snapshot(*rows: Any, **changes: Any) -> Snapshot:
    return parse({"message": "success", "data": list(rows)}, parse_options(**changes))


def series(found: Snapshot) -> int:
    return render_values(
        ObjectLabels("shop", "campaign", "Welcome", "c-1", {}), found
    ).series


def row(day: str = YESTERDAY, /, **fields: Any) -> dict[str, Any]:
    return {"time": day, **fields}


def email(*entries: Any, day: str = YESTERDAY) -> dict[str, Any]:
    return {"time": day, "messages": {"email": list(entries)}}


def latest(found: Snapshot) -> dict[tuple[str, str], Stats]:
    assert found.latest
    return {
        (part.channel, part.name): stats
        for part, stats in found.latest.figures
        if part.group == VARIATION
    }


def variations(parts: tuple[Part, ...]) -> list[Part]:
    return [part for part in parts if part.group == VARIATION]


def overall(found: Snapshot) -> Stats:
    assert found.latest
    return dict(found.latest.figures).get(WHOLE, {})


@pytest.mark.parametrize(
    ("windows", "days"), [((), 2), ((7,), 9), ((7, 28), 30), ((98,), 100), ((99,), 100)]
)
def test_days_needed_cover_the_longest_window(
    windows: tuple[int, ...], days: int
) -> None:
    assert days_needed(windows) == days


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (None, "the body is null, expected an object"),
        ([], "the body is a list, expected an object"),
        (True, "the body is a bool, expected an object"),
        (1.5, "the body is a number, expected an object"),
        ({}, "data is missing, expected a list of days"),
        ({"data": None}, "data is null, expected a list of days"),
        ({"data": {}}, "data is an object, expected a list of days"),
        ({"data": "x"}, "data is a text, expected a list of days"),
        (
            {"message": "no\n\0 way ", "data": []},
            'message is "no \ufffd way", expected success',
        ),
        ({"message": "", "data": []}, 'message is "", expected success'),
        (
            {"message": "mail a.b@mail.example", "data": []},
            'message is "mail <address>", expected success',
        ),
        ({"message": ["success"], "data": []}, "message is a list, expected success"),
        ({"message": "x" * 999}, f'message is "{"x" * 200}", expected success'),
    ],
)
def test_a_document_that_is_not_a_data_series_is_malformed(
    document: object, message: str
) -> None:
    for parser in (lambda one: parse(one, parse_options()), CampaignRowParser.days):
        with pytest.raises(MalformedSeries) as error:
            parser(document)

        assert str(error.value) == message


@pytest.mark.parametrize(
    "document",
    [
        {"data": []},
        {"message": None, "data": []},
        {"message": "success", "data": [], "errors": ["partial"], "more": 1},
    ],
)
def test_a_document_without_days_is_valid(document: object) -> None:
    assert parse(document, parse_options()) == Snapshot((), None, None, ())


def test_days_are_chosen_by_their_time() -> None:
    found = snapshot(
        row("2025-06-23", sent=3), row("2025-06-20", sent=1), row("2025-06-21", sent=2)
    )

    assert found.latest
    assert found.last_complete
    assert (found.latest.date, overall(found)) == (date(2025, 6, 23), {"sent": 3})
    assert found.last_complete.date == date(2025, 6, 21)
    assert found.last_complete.starts_at == 1750478400.0
    assert dict(found.trailing[0][1]) == {WHOLE: {"sent": 3}}


@pytest.mark.parametrize(
    "odd", [None, [], "2025-06-21", 5, {}, {"time": 5}, row("2025-06-24"), row("x")]
)
def test_a_row_without_a_usable_time_is_skipped_and_counted(odd: object) -> None:
    found = snapshot(odd, row(sent=1))

    assert overall(found) == {"sent": 1}
    assert found.skipped_rows == 1
    assert snapshot(odd).latest is None


@pytest.mark.parametrize(
    "value", ["1", "", True, False, {}, [], math.nan, math.inf, -math.inf, 10**400]
)
def test_a_value_that_is_not_a_number_is_ignored_and_counted(value: object) -> None:
    found = snapshot(
        row(x=value, y=1),
        email({"x": value, "y": 2}, day="2025-01-01"),
        row("bad", x=""),
    )

    assert overall(found) == {"y": 1}
    assert found.ignored_values == 2


def test_null_and_names_are_not_counted_as_ignored() -> None:
    """Braze writes null where a field does not apply; an empty label is missing."""
    names = {"variation_name": 5, "variation_api_id": [], "": "x", "a": None}
    messages = {"": [{"a": "x"}], "email": [names], "sms": [{"": "x", "b": 2}]}
    found = snapshot({"time": YESTERDAY, "messages": messages, **names})

    assert (overall(found), latest(found)) == ({}, {("sms", "default"): {"b": 2}})
    assert found.ignored_values == 0


@pytest.mark.parametrize(
    ("messages", "ignored"),
    [
        (None, 0),
        ({}, 0),
        ({"email": None, "sms": []}, 0),
        ({"": "x"}, 0),
        ([], 1),
        ("", 1),
        (0, 1),
        ({"email": "x", "sms": {}, "rcs": 0}, 3),
        ({"email": [None, [], 5, {"sent": 1}]}, 3),
    ],
)
def test_odd_messages_are_ignored_and_counted(messages: object, ignored: int) -> None:
    found = snapshot({"time": YESTERDAY, "messages": messages, "sent": 1})

    assert overall(found) == {"sent": 1}
    assert found.ignored_values == ignored


def test_selections_match_the_names_of_braze_verbatim() -> None:
    found = snapshot(
        {
            "time": YESTERDAY,
            "messages": {"sms": "x", "email": [{"a\0": 1, "b": "x", "c": 2}]},
            "b": "x",
            "c": 3,
        },
        channels=Selection(include=("e*", "s*"), exclude=("sms",)),
        metrics=Selection(include=("a\0", "c"), exclude=("b",)),
    )

    assert latest(found) == {("email", "default"): {"a\ufffd": 1, "c": 2}}
    assert overall(found) == {"c": 3}
    assert found.ignored_values == 0


def test_enrolled_in_any_row_marks_a_control_group() -> None:
    found = snapshot(
        email({"variation_api_id": "i", "enrolled": 5}, {"variation_api_id": "j"}),
        email(
            {"variation_api_id": "i", "enrolled": None, "revenue": 1},
            {"variation_api_id": "j", "enrolled": "5", "revenue": 1},
            day="2025-06-22",
        ),
        metrics=Selection(exclude=("enrolled",)),
    )

    assert [(one.id, one.is_control) for one in variations(found.parts)] == [
        ("i", True),
        ("j", False),
    ]


def test_variations_are_ordered_by_channel_and_label() -> None:
    sms = [{"variation_name": name, "a": 1} for name in "BA"]
    found = snapshot({"time": YESTERDAY, "messages": {"sms": sms, "email": [{"a": 1}]}})

    order = [("email", "default"), ("sms", "A"), ("sms", "B")]
    assert [(one.channel, one.name) for one in variations(found.parts)] == order
    assert list(latest(found)) == order


def limited(limit: int) -> Snapshot:
    """Parse variations of 3, 4 and 3 series, 2 overall ones and a timestamp."""
    two = {"a": 1, "b": 1}
    messages = {"email": [two], "push": [{**two, "c": 1}], "sms": [two]}
    document = {"time": "2025-06-22", "messages": messages, **two}
    return snapshot(document, series_limit=limit)


@pytest.mark.parametrize(
    ("limit", "channels", "overall_stats", "count"),
    [
        (18, ["email", "push", "sms"], 2, 13),
        (17, ["email", "push"], 2, 10),
        (15, ["email", "push"], 2, 10),
        (14, ["email"], 2, 6),
        (11, ["email"], 2, 6),
        (8, [], 2, 3),
        (7, [], 0, 1),
    ],
)
def test_whole_variations_are_dropped_at_the_limit(
    limit: int, channels: list[str], overall_stats: int, count: int
) -> None:
    found = limited(limit)

    assert [one.channel for one in variations(found.parts)] == channels
    assert [channel for channel, _ in latest(found)] == channels
    assert len(overall(found)) == overall_stats
    assert (series(found), found.dropped_series) == (count, 13 - count)


@pytest.mark.parametrize("limit", [0, 5])
def test_a_limit_below_the_status_drops_every_series(limit: int) -> None:
    """Whether the campaign is active is still known."""
    # The last edit is counted apart, since few objects have it.
    assert len(families.CAMPAIGN.status()) == STATUS_SERIES + 1
    empty = Snapshot((), None, None, (), dropped_series=13, is_active=True)
    assert limited(limit) == empty


def test_overall_figures_that_do_not_fit_are_dropped_whole() -> None:
    many = {str(n): 1 for n in range(20)}
    found = snapshot(row(**many), email({"a": 1}, day="2025-06-22"), series_limit=15)

    assert [one.channel for one in variations(found.parts)] == ["email"]
    assert found.trailing == ()
    assert (series(found), found.dropped_series) == (4, 40)


def with_unused() -> Snapshot:
    """Return days with a field that is 0, one with a 0, and an idle variation."""
    quiet = {"variation_name": "B", "sent": 0, "bounces": 0}
    return snapshot(
        row("2025-06-19", conversions=7, conversions1=0),
        row(conversions=0, conversions1=0.0, messages={"email": [quiet]}),
        email({"variation_name": "A", "sent": 3, "bounces": 0}, quiet, day=str(TODAY)),
        skip_unused=True,
        series_limit=5 + 10,
    )


def test_a_field_that_is_0_on_all_days_and_in_all_variations_is_left_out() -> None:
    """Another that is 0 in one variation, or was not 0 before, is not."""
    found = with_unused()

    assert latest(found) == {("email", "A"): {"sent": 3}, ("email", "B"): {"sent": 0}}
    assert found.last_complete
    assert [stats for _, stats in found.last_complete.figures] == [
        {"conversions": 0},
        {"sent": 0},
    ]
    assert found.trailing == (
        (7, ((WHOLE, {"conversions": 7}), (found.parts[2], {"sent": 0}))),
    )


def test_a_field_that_is_left_out_needs_no_room() -> None:
    assert with_unused().dropped_series == 0
    assert series(with_unused()) == 10


def test_a_part_without_a_field_in_use_has_no_series() -> None:
    found = snapshot(email({"sent": 0}), row(str(TODAY), x=1), skip_unused=True)

    assert found.parts == (WHOLE,)
    assert series(found) == 3


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=20,
)
ROW = st.fixed_dictionaries(
    {
        "time": st.sampled_from(["2025-06-20", "2025-06-21", "2025-06-22"]),
        "messages": st.dictionaries(st.text(), st.lists(JSON) | JSON) | JSON,
    }
)


@given(JSON | st.fixed_dictionaries({"data": st.lists(ROW | JSON)}))
def test_any_json_gives_a_snapshot_or_malformed_series(document: object) -> None:
    message = ""
    try:
        parse(document, parse_options())
    except MalformedSeries as error:
        message = str(error)

    assert message.isprintable()


@given(st.integers(0, 60), st.booleans())
def test_the_limit_admits_the_longest_prefix_of_variations_that_fits(
    limit: int,
    revisions: bool,
) -> None:
    """A variation costs its info and two fields on each of the days and windows."""
    rows = [
        email(
            *({"variation_name": str(n), "a": 1, "b": n} for n in range(5)),
            day=str(TODAY - timedelta(days=age)),
        )
        for age in range(3)
    ]
    cost = 9 if revisions else 7
    everything = snapshot(*rows, revisions=revisions)

    found = snapshot(*rows, series_limit=limit, revisions=revisions)

    kept = len(found.parts)
    assert found.parts == everything.parts[:kept]
    assert series(found) + found.dropped_series == series(everything) == 2 + 5 * cost
    assert series(found) <= max(0, limit - STATUS_SERIES)
    assert kept == min(5, max(0, limit - STATUS_SERIES - 2) // cost)


def test_more_than_100000_entries_are_malformed() -> None:
    most = [{"sent": 1}, *[{}] * 99_999]
    channels: Any = {f"c{number}": [{}] for number in range(100_001)}

    assert series(snapshot(email(*most))) == 6

    with pytest.raises(MalformedSeries, match="more than 100000 entries"):
        snapshot({"time": YESTERDAY, "messages": channels})


def sent_by_day(*rows: object, **changes: Any) -> list[float | None]:
    history = snapshot(*rows, **changes).history
    assert history
    assert history.last == TODAY
    return [day.sent for day in unpack_days(history)]


def test_a_history_is_of_the_28_days_up_to_today() -> None:
    rows = [
        {
            "time": (TODAY - timedelta(days=age)).isoformat(),
            "messages": {"email": [{"sent": age + 100}], "sms": [{"sent": 1}]},
        }
        for age in (-1, 1, 27, 28)
    ]

    assert sent_by_day(*rows) == [128.0, *[None] * 25, 102.0, None]


def test_a_history_is_of_the_series_that_are_exposed() -> None:
    messages = {"a": [{"sent": 1}], "b": [{"sent": 2, "opens": 3}]}
    today = {"time": TODAY.isoformat(), "messages": messages}

    assert sent_by_day(today)[-1] == 3
    assert sent_by_day(today, series_limit=8)[-1] == 1


def quiet_days(days: int = 14, *, today: bool = True) -> list[dict[str, Any]]:
    ages = [*([0] if today else []), *range(1, days + 1)]
    zero = {"sent": 0, "opens": None, "variation_name": "A", "note": "text"}
    return [
        {
            "time": str(TODAY - timedelta(days=age)),
            "conversions": 0,
            "messages": {"email": [zero], "sms": None, "push": []},
        }
        for age in ages
    ]


def activity(*rows: object, **changes: Any) -> tuple[bool, bool]:
    found = snapshot(*rows, **{"windows": (28,), **changes})
    return found.is_quiet, found.is_active


@pytest.mark.parametrize("ends_today", [True, False])
@pytest.mark.parametrize("window", [1, 7, 11, 12, 13, 14, 15, 28, 98])
def test_weeks_are_quiet_only_with_a_window_that_check_names(
    window: int, *, ends_today: bool
) -> None:
    """Whether or not Braze includes today in the days that are requested."""
    rows = quiet_days(days_needed((window,)) - ends_today, today=ends_today)

    assert activity(*rows, windows=(window,)) == (window >= 13, False)
    assert can_be_quiet(days_needed((window,))) is (window >= 13)
    assert SHORTEST_QUIET_WINDOW == 13


def test_two_weeks_of_zeros_are_quiet() -> None:
    old = {"time": str(TODAY - timedelta(days=15)), "sent": 5}

    assert activity(*quiet_days()) == (True, False)
    assert activity(*quiet_days(today=False)) == (True, False)
    assert activity(*quiet_days(), old) == (True, False)


def test_fewer_than_fourteen_days_are_not_quiet() -> None:
    assert activity(*quiet_days(13)) == (False, False)
    assert activity(*quiet_days(20)[:7], *quiet_days(20)[8:]) == (False, False)
    assert activity() == (False, False)


@pytest.mark.parametrize("age", [-1, 0, 1, 2, 14])
@pytest.mark.parametrize(
    "count",
    [{"revenue": 0.01}, {"messages": {"sms": [{"sent": 0}, {"bounces": -1}]}}],
)
def test_one_count_makes_a_campaign_not_quiet(age: int, count: dict[str, Any]) -> None:
    day = str(TODAY - timedelta(days=age))
    rows = [one for one in quiet_days() if one["time"] != day]

    assert activity(*rows, {"time": day, **count}) == (False, age <= 1)


def test_fields_that_are_not_selected_count_as_activity() -> None:
    """A campaign that sends is not idle, even if only its bounces are selected."""
    found = activity(
        *quiet_days(today=False),
        email({"sent": 9}, day=str(TODAY)),
        metrics=Selection(include=("bounces",)),
    )

    assert found == (False, True)


def test_revisions_are_off_by_default() -> None:
    first = snapshot(row(x=1), revisions=True).first_complete
    assert first is not None

    found = parse({"data": [row(x=5)]}, parse_options(), first_complete=first)

    assert (found.first_complete, found.revision) == (None, NO_FIGURES)
    assert found == snapshot(row(x=5))


@pytest.mark.parametrize(
    ("limit", "channels", "count"), [(5000, ["email", "sms"], 6), (5, ["email"], 4)]
)
def test_pages_of_a_history_are_merged(
    limit: int, channels: list[str], count: int
) -> None:
    """Days from the first one to yesterday; the first page with a day is used."""
    both = {"email": [{"sent": 2}], "sms": [{"sent": 3}]}
    yesterday = {"time": YESTERDAY, "messages": both}
    newer = {"data": [email({"sent": 9}, day="2025-06-22"), yesterday]}
    days = (YESTERDAY, "2025-06-19", "2025-06-18")
    older = {"data": [email({"sent": 1}, day=day) for day in days]}

    found = parse_history(
        [newer, older],
        parse_options(series_limit=limit),
        first=date(2025, 6, 19),
        last=date(2025, 6, 20),
    )

    assert [one.channel for one in variations(found.parts)] == channels
    assert [
        (str(day.date), [stats["sent"] for _, stats in day.figures])
        for day in found.days
    ] == [("2025-06-19", [1]), (YESTERDAY, [2, 3][: len(channels)])]
    assert (found.series, found.dropped_series) == (count, 6 - count)


def test_the_limit_of_entries_is_that_of_one_page() -> None:
    """A history has many pages, each of which may be large."""
    pages: list[Any] = [
        {"data": [{"time": day, "messages": {"email": [{}] * 60_000}, "sent": 1}]}
        for day in ("2025-06-20", "2025-06-19")
    ]
    first, last = date(2025, 6, 19), date(2025, 6, 20)

    found = parse_history(pages, parse_options(), first=first, last=last)

    assert [day.date for day in found.days] == [first, last]
