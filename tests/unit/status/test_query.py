"""Which campaigns a query shows, in which order."""

from dataclasses import replace

import pytest
from exporter.model.errors import FailureReason
from exporter.status.query import (
    ATTENTION,
    PAGE_SIZES,
    SORTS,
    ListQuery,
    chosen,
    is_in,
    listing,
    view_of,
)
from exporter.status.view_model import CampaignView, NextPoll
from hypothesis import given
from hypothesis import strategies as st

from tests.support.views import NOW, campaign, row, snapshot

FINE = campaign(
    "beta", days=snapshot(row(sent=5000, bounces=1, reported_spam=0)), age=30
)
BOUNCING = campaign("Alpha", days=snapshot(row(sent=1000, bounces=60)), age=20)
COMPLAINED = campaign(
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
NEW = campaign("epsilon", is_up=None, age=None)
ALL = (NEW, FINE, FAILING, COMPLAINED, BOUNCING)

views = st.builds(
    ListQuery,
    text=st.text().map(lambda text: " ".join(text[:200].split())),
    workspace=st.text(max_size=9).filter(lambda text: text < "\ud800" or text == ""),
    state=st.sampled_from(["", ATTENTION, "ok", "stale", "idle"]),
    sort=st.sampled_from(SORTS),
    is_reversed=st.booleans(),
    page=st.integers(1, 999),
    page_size=st.sampled_from(PAGE_SIZES),
)


def names(view: ListQuery) -> list[str]:
    """Return the names of what a view shows."""
    return [one.subject.campaign for one in chosen(ALL, view)]


@given(view=views)
def test_a_view_and_its_query_are_one(view: ListQuery) -> None:
    """A link leads to what it was made for."""
    assert view_of(view.query) == view


def test_the_usual_view_has_no_query() -> None:
    """So that the page has one address."""
    assert ListQuery().query == ""
    assert ListQuery(text="a b", sort="sent", page=2).query == "q=a+b&sort=sent&page=2"


@given(query=st.text() | st.text(alphabet="&=;%q0aF+pagesortize"))
def test_any_query_gives_a_view(query: str) -> None:
    """Whatever somebody wrote into the address."""
    view = view_of(query)

    assert view_of(view.query) == view


@pytest.mark.parametrize(
    "query",
    [
        "sort=x&state=x&order=x&size=7&page=0",
        "page=-1&size=99999999999",
        "page=" + "9" * 5000,
        "page=²&size=٣",
        "&".join(f"a{number}=1" for number in range(99)),
    ],
)
def test_what_is_not_understood_is_as_if_it_was_not_there(query: str) -> None:
    """Also where there is far too much of it."""
    assert view_of(query) == ListQuery()


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (ListQuery(), ["delta", "epsilon", "Alpha", "gamma", "beta"]),
        (ListQuery(is_reversed=True), ["beta", "gamma", "Alpha", "epsilon", "delta"]),
        (ListQuery(sort="name"), ["Alpha", "beta", "delta", "epsilon", "gamma"]),
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
def test_campaigns_are_sorted(view: ListQuery, expected: list[str]) -> None:
    """The most urgent first; equals by name, and last what has no value either way."""
    assert names(view) == expected


def test_a_name_can_be_sorted_backwards() -> None:
    """Capitals do not matter."""
    assert names(ListQuery(sort="name", is_reversed=True))[-1] == "Alpha"


@pytest.mark.parametrize(
    ("view", "expected"),
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
def test_campaigns_are_filtered(view: ListQuery, expected: set[str]) -> None:
    """By words in name, id, workspace, channels, labels and reason; by state."""
    assert set(names(view)) == expected


def test_a_second_click_turns_the_order() -> None:
    """And begins at the first page."""
    first = ListQuery(sort="age", page=3).sorted_by("sent")
    second = first.sorted_by("sent")

    assert (first.sort, first.is_descending, first.page) == ("sent", True, 1)
    assert (second.sort, second.is_descending) == ("sent", False)
    assert second.sorted_by("sent") == first


def test_pages_hold_all_and_nothing_twice() -> None:
    """The last one is shorter; of a page too far off the last is shown."""
    crowd = tuple(campaign(f"C {number:03}") for number in range(60))
    view = ListQuery(sort="name", page_size=25)

    pages = [listing(crowd, replace(view, page=page)) for page in (1, 2, 3, 99)]

    shown: list[CampaignView] = [one for page in pages[:3] for one in page.rows]
    assert shown == list(crowd)
    assert [(page.first, len(page.rows)) for page in pages[:3]] == [
        (1, 25),
        (26, 25),
        (51, 10),
    ]
    assert pages[3] == pages[2]
    assert (pages[3].view.page, pages[3].pages, pages[3].found) == (3, 3, 60)


def test_nothing_found_is_one_empty_page() -> None:
    """It has no first row."""
    found = listing((), ListQuery())

    assert (found.rows, found.first, found.found, found.pages) == ((), 0, 0, 1)


def test_idle_campaigns_can_be_asked_for() -> None:
    """However their polls go; that nothing happens in one asks for no attention."""
    resting = campaign(
        "zeta", days=snapshot(row(sent=0)), is_idle=True, failure=FailureReason.TIMEOUT
    )
    quiet = campaign("eta", days=snapshot(row(sent=0)), is_idle=True)

    found = chosen((*ALL, resting, quiet), view_of("state=idle"))

    assert [one.subject.campaign for one in found] == ["zeta", "eta"]
    assert is_in(quiet, "ok")
    assert not is_in(quiet, ATTENTION)


def test_a_paused_campaign_wants_attention() -> None:
    """And so does a stale one."""
    assert is_in(campaign(is_paused=True), ATTENTION)
    assert is_in(campaign(age=9999), ATTENTION)
    assert not is_in(FINE, ATTENTION)
