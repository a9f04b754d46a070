"""The filter, order and page that a query string selects."""

from dataclasses import replace

import pytest
from exporter.model.errors import FailureReason
from exporter.status.query import (
    ATTENTION,
    ListQuery,
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
CAMPAIGNS = (UNPOLLED, GOOD, FAILING, SPAM, BOUNCING)
IDLE = campaign("iota", days=snapshot(row(sent=0)), is_idle=True)
IDLE_AND_STALE = campaign("zeta", age=9999, is_idle=True)
PAUSED = campaign("theta", is_paused=True)


def names(campaigns: tuple[CampaignView, ...], query: ListQuery) -> str:
    """Return the first letters of the names."""
    return "".join(one.labels.name[0] for one in select(campaigns, query))


@given(query_string=st.text() | st.text(alphabet="&=;%q0aF+pagesortize"))
def test_any_query_string_is_valid(query_string: str) -> None:
    query = parse_query(query_string)

    assert parse_query(query.query_string) == query


@pytest.mark.parametrize(
    ("query", "query_string"),
    [
        (ListQuery(), ""),
        (ListQuery(sort="sent", page=2), "sort=sent&page=2"),
        (
            ListQuery("a ü&=", "w#", "idle", "age", is_reversed=True, page_size=25),
            "q=a+%C3%BC%26%3D&workspace=w%23&state=idle&sort=age&order=reversed&size=25",
        ),
    ],
)
def test_a_query_string_has_no_defaults(query: ListQuery, query_string: str) -> None:
    assert query.query_string == query_string
    assert parse_query(query_string) == query


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
        (ListQuery(), "deAgb"),
        (ListQuery(is_reversed=True), "bgAed"),
        (ListQuery(sort="name"), "Abdeg"),
        (ListQuery(sort="name", is_reversed=True), "gedbA"),
        (ListQuery(sort="sent"), "gbAde"),
        (ListQuery(sort="sent", is_reversed=True), "dAbge"),
        (ListQuery(sort="bounces"), "Abdeg"),
        (ListQuery(sort="spam"), "gbAde"),
        (ListQuery(sort="age"), "bAdge"),
        (ListQuery(sort="next"), "gAbed"),
    ],
)
def test_campaigns_are_sorted(query: ListQuery, expected: str) -> None:
    """Equal values are in the order of names; campaigns without a value are last."""
    assert names(CAMPAIGNS, query) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (ListQuery(text="ALPHA"), "A"),
        (ListQuery(text="id-gam team=crm"), "g"),
        (ListQuery(text="sms"), "d"),
        (ListQuery(text="timeout"), "d"),
        (ListQuery(text="alpha beta"), ""),
        (ListQuery(workspace="travel"), "d"),
        (ListQuery(workspace="nowhere"), ""),
        (ListQuery(state="ok"), "Abgi"),
        (ListQuery(state="waiting"), "e"),
        (ListQuery(state="idle"), "iz"),
        (ListQuery(state="stale"), "z"),
        (ListQuery(state=ATTENTION), "Adgtz"),
        (ListQuery(state=ATTENTION, text="alpha"), "A"),
    ],
)
def test_campaigns_are_filtered(query: ListQuery, expected: str) -> None:
    """By words in name, id, workspace, channels, labels and reason, and by state."""
    campaigns = (*CAMPAIGNS, IDLE, IDLE_AND_STALE, PAUSED)

    assert "".join(sorted(names(campaigns, query))) == expected


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
