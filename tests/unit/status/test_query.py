"""The filter, order and page that a query string selects."""

from dataclasses import replace

import pytest
from exporter.model.errors import FailureReason
from exporter.status.query import (
    ATTENTION,
    PAGE_SIZES,
    SORTS,
    ListQuery,
    is_in,
    page_of,
    parse_query,
    select,
)
from exporter.status.view_model import CampaignView, NextPoll
from hypothesis import given
from hypothesis import strategies as st

from tests.support.views import NOW, campaign, row, snapshot

GOOD = campaign(
    "beta", days=snapshot(row(sent=5000, bounces=1, reported_spam=0)), age=30
)
BOUNCING = campaign("Alpha", days=snapshot(row(sent=1000, bounces=60)), age=20)
SPAM = campaign(
    "gamma",
    days=snapshot(row(sent=9000, reported_spam=9)),
    age=10,
    labels={"team": "CRM"},
    next_poll=NextPoll(NOW + 1),
)
FAILING = campaign(
    "delta",
    days=snapshot(row(channel="sms", sent=3)),
    workspace="travel",
    failure=FailureReason.TIMEOUT,
    next_poll=NextPoll(None),
)
UNPOLLED = campaign("epsilon", is_up=None, age=None)
IDLE = campaign("eta", days=snapshot(row(sent=0)), is_idle=True)
IDLE_FAILING = campaign(
    "zeta", days=snapshot(row(sent=0)), is_idle=True, failure=FailureReason.TIMEOUT
)
CAMPAIGNS = (UNPOLLED, GOOD, FAILING, SPAM, BOUNCING)

queries = st.builds(
    ListQuery,
    text=st.text().map(lambda text: " ".join(text[:200].split())),
    workspace=st.text(max_size=9).filter(lambda text: text < "\ud800" or text == ""),
    state=st.sampled_from(["", ATTENTION, "ok", "stale", "idle"]),
    sort=st.sampled_from(sorted(SORTS)),
    is_reversed=st.booleans(),
    page=st.integers(1, 999),
    page_size=st.sampled_from(PAGE_SIZES),
)


def names(query: ListQuery) -> list[str]:
    return [one.labels.campaign for one in select(CAMPAIGNS, query)]


@given(query=queries)
def test_query_string_is_parsed_to_the_same_query(query: ListQuery) -> None:
    assert parse_query(query.query_string) == query


@given(query_string=st.text() | st.text(alphabet="&=;%q0aF+pagesortize"))
def test_any_query_string_is_valid(query_string: str) -> None:
    query = parse_query(query_string)

    assert parse_query(query.query_string) == query


def test_defaults_are_not_part_of_a_query_string() -> None:
    query = ListQuery(text="a b", sort="sent", page=2)

    assert ListQuery().query_string == ""
    assert query.query_string == "q=a+b&sort=sent&page=2"


@pytest.mark.parametrize(
    "query_string",
    [
        "sort=x&state=x&order=x&size=7&page=0",
        "page=-1&size=99999999999",
        "page=" + "9" * 5000,
        "page=²&size=٣",
        "&".join(f"a{number}=1" for number in range(99)),
    ],
)
def test_invalid_fields_are_ignored(query_string: str) -> None:
    assert parse_query(query_string) == ListQuery()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (ListQuery(), ["delta", "epsilon", "Alpha", "gamma", "beta"]),
        (ListQuery(is_reversed=True), ["beta", "gamma", "Alpha", "epsilon", "delta"]),
        (ListQuery(sort="name"), ["Alpha", "beta", "delta", "epsilon", "gamma"]),
        (
            ListQuery(sort="name", is_reversed=True),
            ["gamma", "epsilon", "delta", "beta", "Alpha"],
        ),
        (ListQuery(sort="sent"), ["gamma", "beta", "Alpha", "delta", "epsilon"]),
        (
            ListQuery(sort="sent", is_reversed=True),
            ["delta", "Alpha", "beta", "gamma", "epsilon"],
        ),
        (ListQuery(sort="bounces"), ["Alpha", "beta", "delta", "epsilon", "gamma"]),
        (ListQuery(sort="spam"), ["gamma", "beta", "Alpha", "delta", "epsilon"]),
        (ListQuery(sort="age"), ["beta", "Alpha", "delta", "gamma", "epsilon"]),
        (ListQuery(sort="next"), ["gamma", "Alpha", "beta", "epsilon", "delta"]),
    ],
)
def test_campaigns_are_sorted(query: ListQuery, expected: list[str]) -> None:
    """Equal values are in the order of names; campaigns without a value are last."""
    assert names(query) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (ListQuery(text="ALPHA"), {"Alpha"}),
        (ListQuery(text="id-gam team=crm"), {"gamma"}),
        (ListQuery(text="sms"), {"delta"}),
        (ListQuery(text="timeout"), {"delta"}),
        (ListQuery(text="alpha beta"), set()),
        (ListQuery(workspace="travel"), {"delta"}),
        (ListQuery(workspace="nowhere"), set()),
        (ListQuery(state="ok"), {"Alpha", "beta", "gamma"}),
        (ListQuery(state="waiting"), {"epsilon"}),
        (ListQuery(state=ATTENTION), {"Alpha", "gamma", "delta"}),
        (ListQuery(state=ATTENTION, text="alpha"), {"Alpha"}),
    ],
)
def test_campaigns_are_filtered(query: ListQuery, expected: set[str]) -> None:
    """By words in name, id, workspace, channels, labels and reason, and by state."""
    assert set(names(query)) == expected


@pytest.mark.parametrize(
    ("view", "state", "expected"),
    [
        (GOOD, ATTENTION, False),
        (campaign(is_paused=True), ATTENTION, True),
        (campaign(age=9999), ATTENTION, True),
        (IDLE, ATTENTION, False),
        (IDLE, "idle", True),
        (IDLE, "ok", True),
        (IDLE_FAILING, "idle", True),
        (IDLE_FAILING, ATTENTION, True),
        (GOOD, "idle", False),
    ],
)
def test_state_filters(view: CampaignView, state: str, expected: bool) -> None:
    assert is_in(view, state) is expected


def test_sorting_twice_by_a_column_reverses_the_order() -> None:
    first = ListQuery(sort="age", page=3).sorted_by("sent")
    second = first.sorted_by("sent")

    assert (first.sort, first.is_descending, first.page) == ("sent", True, 1)
    assert (second.sort, second.is_descending) == ("sent", False)
    assert second.sorted_by("sent") == first


def test_every_campaign_is_on_one_page() -> None:
    campaigns = tuple(campaign(f"C {number:03}") for number in range(60))
    query = ListQuery(sort="name", page_size=25)

    pages = [page_of(campaigns, replace(query, page=page)) for page in (1, 2, 3, 99)]

    assert [one for page in pages[:3] for one in page.rows] == list(campaigns)
    assert [(page.first, len(page.rows)) for page in pages[:3]] == [
        (1, 25),
        (26, 25),
        (51, 10),
    ]
    assert pages[3] == pages[2]
    assert (pages[3].query.page, pages[3].pages, pages[3].found) == (3, 3, 60)


def test_no_campaigns_are_one_empty_page() -> None:
    page = page_of((), ListQuery())

    assert (page.rows, page.first, page.found, page.pages) == ((), 0, 0, 1)
