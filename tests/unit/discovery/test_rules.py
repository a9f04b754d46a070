"""Selection, names and labels of campaigns, and the next request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from exporter.discovery import rules
from exporter.discovery.catalogue import MAX_BYTES, CampaignCatalogue, ListProgress
from exporter.discovery.documents import FULL_PAGE, Details, Listed, ListPage, key
from exporter.discovery.rules import DetailsWanted, NextRequest, PageWanted
from exporter.model.config import CampaignConfig, DiscoverConfig, WorkspaceConfig
from exporter.model.errors import MalformedCatalogue
from exporter.model.labels import LONGEST, clean
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fake_clock import NOW
from tests.unit.discovery.discovery_world import workspace

DAY = 86400.0


def settings(**discover: Any) -> DiscoverConfig:
    """Return these options of `discover`, the others as they are by default."""
    made = workspace(**discover).discover
    assert made is not None
    return made


def listed(id_: str, name: str = "", **changes: object) -> Listed:
    """Return a campaign of the list."""
    made = Listed(id=id_, name=name or id_, last_edited="then")
    return replace(made, **changes)  # type: ignore[arg-type]  # as the class has them


def details(**changes: object) -> Details:
    """Return details that were just read."""
    made = Details(last_edited="then", read_at=NOW, last_sent_at=NOW - 60)
    return replace(made, **changes)  # type: ignore[arg-type]  # as the class has them


def known(*campaigns: Listed, **each: Details) -> CampaignCatalogue:
    """Return a catalogue with these campaigns; `each` contains details by id."""
    return CampaignCatalogue(
        campaigns={key(one.id): one for one in campaigns},
        details=each,
        listed_at=NOW,
    )


def found(what: CampaignCatalogue, options: DiscoverConfig, *own: str) -> list[str]:
    """Return the ids that are found beside listed ones."""
    wanted = rules.candidates(what, options)
    selected = rules.select(what, wanted, options, listed=frozenset(own))
    return [one.id for one in selected.campaigns]


def request_after(
    what: CampaignCatalogue, options: DiscoverConfig, *own: str, now: float = NOW
) -> NextRequest | float:
    """Return the next request."""
    wanted = rules.candidates(what, options)
    return rules.next_request(what, wanted, options, listed=frozenset(own), now=now)


def page(*ids: str, entries: int | None = None) -> ListPage:
    """Return a page with these campaigns."""
    campaigns = tuple(map(listed, ids))
    return ListPage(campaigns, len(ids) if entries is None else entries)


ALL = settings(include_drafts=True)


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ({}, "abc"),
        ({"names": {"include": ["Spring*"]}}, "a"),
        ({"names": {"include": ["*a*"], "exclude": ["Spring*"]}}, "b"),
        ({"names": {"include": ["spring*"]}}, ""),
        ({"tags": {"any": ["promo", "crm"]}}, "ab"),
        ({"tags": {"all": ["promo", "crm"]}}, "a"),
        ({"tags": {"none": ["crm"]}}, "bc"),
        ({"tags": {"any": ["promo"], "none": ["crm"]}}, "b"),
        ({"tags": {"any": ["[promo]"]}}, ""),
    ],
)
def test_the_list_selects_by_name_and_tags(
    options: dict[str, object], ids: str
) -> None:
    """Names match patterns, tags match exactly."""
    what = known(
        listed("a", "Spring sale", tags=("promo", "crm")),
        listed("b", "Autumn mail", tags=("promo",)),
        listed("c", "Test"),
    )

    assert found(what, settings(include_drafts=True, **options)) == list(ids)


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ({}, "sn"),
        ({"include_drafts": True, "sent_within": "3650d"}, "s"),
        ({"include_drafts": True, "channels": {"include": ["*"]}}, "sd"),
        ({"include_archived": True}, "san"),
        ({"sent_within": "7d"}, "s"),
        ({"sent_within": "7d", "include_archived": True}, "s"),
        ({"sent_within": "30d", "include_archived": True}, "sa"),
        ({"channels": {"include": ["email"]}}, "s"),
        ({"channels": {"exclude": ["sms"]}}, "s"),
        ({"channels": {"exclude": ["email", "ios_push"]}}, ""),
        ({"channels": {"include": ["*_push"], "exclude": ["email"]}}, "s"),
    ],
)
def test_the_details_select_by_state_last_send_and_channels(
    options: dict[str, object], ids: str
) -> None:
    """A channel that is selected is enough; nothing is selected of none."""
    what = known(
        *map(listed, "sadn"),
        s=details(channels=("email", "ios_push")),
        a=details(is_archived=True, last_sent_at=NOW - 20 * DAY, channels=("sms",)),
        d=details(is_draft=True, last_sent_at=None, channels=("sms",)),
        n=details(last_sent_at=None),
    )

    assert set(found(what, settings(**options))) == set(ids)


@pytest.mark.parametrize(
    ("spelled", "pattern"),
    [
        ("content_card", "content_cards"),
        ("content_cards", "content_card"),
        ("in-app_message", "trigger_in_app_message"),
        ("in_app_message", "in-app_message"),
        ("trigger_in_app_message", "in_app_message"),
        ("in-app_message", "*_in_app_*"),
        ("in-app_message", "in_app_*"),
        ("whatsapp", "whats_app"),
        ("ios_push", "*_push"),
        ("Email", "email"),
        ("new-channel", "new_channel"),
    ],
)
def test_all_spellings_of_a_channel_match(spelled: str, pattern: str) -> None:
    """Details and data series of Braze do not agree on that."""
    what = known(listed("a"), a=details(channels=(spelled,)))

    assert found(what, settings(channels={"include": [pattern]})) == ["a"]
    assert found(what, settings(channels={"exclude": [pattern]})) == []
    assert found(what, settings(channels={"include": ["sms"]})) == []


def test_campaigns_without_details_are_not_selected() -> None:
    """Nor is what Braze gives no details of."""
    what = known(*map(listed, "abc"), b=details(), c=details(is_known=False))

    assert found(what, settings()) == ["b"]


def test_a_campaign_sent_each_day_does_not_flicker() -> None:
    """When it was last sent is judged by when that was read."""
    what = known(
        listed("a"), a=details(read_at=NOW - DAY, last_sent_at=NOW - 1.9 * DAY)
    )

    assert found(what, settings(sent_within="1d")) == ["a"]


def test_those_edited_last_are_found_first() -> None:
    """Up to `max_campaigns`, without the listed ones; the limit is reported."""
    what = known(*(listed(one, edited_at=float(n)) for n, one in enumerate("abcd")))
    few = settings(include_drafts=True, max_campaigns=2)

    assert found(what, few) == ["d", "c"]
    assert found(what, few, "c", "a") == ["d", "c", "b", "a"]
    wanted = rules.candidates(what, few)
    assert rules.select(what, wanted, few, listed=frozenset()).is_limited
    assert not rules.select(what, wanted, few, listed=frozenset("ab")).is_limited


def test_the_list_is_read_page_by_page() -> None:
    """To an empty page or a short one; only then is it known."""
    full = page(*(f"{n}" for n in range(FULL_PAGE)))
    what = known(listed("gone"))

    first = what.after_page(full, now=NOW + 5)
    second = first.after_page(page(), now=NOW + 6)

    assert first.reading is not None
    assert (first.reading.page, set(first.campaigns)) == (1, {"gone"})
    assert request_after(first, ALL) == PageWanted(1)
    assert second.reading is None
    assert second.listed_at == NOW + 6
    assert len(second.campaigns) == FULL_PAGE + 1
    assert second.campaigns["gone"].missing_since == NOW + 6
    short = first.after_page(page("7", "new"), now=NOW + 6)
    assert short.campaigns["new"].missing_since is None


@pytest.mark.parametrize("number", [1, 2])
def test_a_page_that_repeats_is_an_error(number: int) -> None:
    """Full or short: reading would never end, or end too early."""
    ids = [f"{n}" for n in range(FULL_PAGE)]
    reading = ListProgress(number, {one: listed(one) for one in ids})
    what = replace(known(listed("kept")), reading=reading)

    for repeated in (page(*ids), page(*ids[:7]), page(entries=FULL_PAGE)):
        with pytest.raises(MalformedCatalogue, match=f"page {number} contains no new"):
            what.after_page(repeated, now=NOW)


def test_a_list_that_would_fill_the_memory_is_an_error() -> None:
    """A hundred thousand campaigns as they are have room; a flood of tags has not."""
    usual = CampaignCatalogue()
    flooded = known(listed("kept"))

    for number in range(3):
        ids = [f"{number * FULL_PAGE + n:036}" for n in range(FULL_PAGE)]
        rows = [listed(id_, name="Spring sale", tags=("a", "b", "c")) for id_ in ids]
        usual = usual.after_page(ListPage(tuple(rows), FULL_PAGE), now=NOW)
    assert usual.reading is not None
    assert usual.reading.bytes < 3 * MAX_BYTES / 1000

    def flood() -> None:
        what = flooded
        for number in range(1000):
            tags = tuple(f"{number} {n}" + "t" * 200 for n in range(100))
            ids = [f"{number} {n}" for n in range(FULL_PAGE)]
            rows = tuple(listed(id_, tags=tags) for id_ in ids)
            what = what.after_page(ListPage(rows, FULL_PAGE), now=NOW)

    with pytest.raises(MalformedCatalogue, match="more than 128 MiB of names and tags"):
        flood()


def test_a_list_of_nothing_usable_is_an_error() -> None:
    """Unless it is empty, or its last page holds an odd entry or two."""
    started = known(listed("kept"))

    with pytest.raises(MalformedCatalogue):
        started.after_page(page(entries=3), now=NOW)

    later = replace(started, reading=ListProgress(1, {"a": listed("a")}))
    assert later.after_page(page(entries=3), now=NOW).reading is None
    assert CampaignCatalogue().after_page(page(), now=NOW).campaigns == {}


def test_a_list_without_an_end_is_an_error() -> None:
    """A hundred thousand campaigns are enough."""
    what = replace(CampaignCatalogue(), reading=ListProgress(999, {}))
    ids = [f"{n}" for n in range(FULL_PAGE)]

    with pytest.raises(MalformedCatalogue, match="more than 1000 pages"):
        what.after_page(page(*ids), now=NOW)


def test_a_campaign_that_vanished_leaves_after_its_grace() -> None:
    """It counts from the first list without it; one that has it again ends it."""
    options = settings(include_drafts=True, grace="1h")
    gone = known(listed("a"), listed("b")).after_page(page("b"), now=NOW)
    later = gone.after_page(page("b"), now=NOW + 1800)

    def ids(what: CampaignCatalogue, now: float) -> set[str]:
        return set(what.without_removed(3600, now=now).campaigns)

    assert ids(later, NOW + 3599) == {"a", "b"}
    assert found(later, options) == ["a", "b"]
    assert request_after(later, options, now=NOW + 1800) == NOW + 3600
    assert ids(later, NOW + 3600) == {"b"}
    back = later.after_page(page("a", "b"), now=NOW + 1900)
    assert ids(back, NOW + 9000) == {"a", "b"}


def test_details_of_removed_campaigns_are_discarded() -> None:
    """With the next list."""
    what = known(listed("b"), a=details(), b=details())

    assert set(what.after_page(page("b"), now=NOW).details) == {"b"}


def test_the_list_is_requested_first_and_hourly() -> None:
    """A due list goes first; between two lists nothing is requested."""
    what = known(listed("a"), a=details())

    assert request_after(CampaignCatalogue(), settings()) == PageWanted(0)
    assert request_after(what, settings()) == NOW + 3600
    assert request_after(what, settings(), now=NOW + 3600) == PageWanted(0)
    assert (
        request_after(what, settings(list_interval="2h"), now=NOW + 3600) == NOW + 7200
    )


def test_details_are_requested_when_edited_or_daily() -> None:
    """Unknown and edited ones first, then the oldest."""
    late = settings(list_interval="7d")
    campaigns = [listed(one, edited_at=-float(n)) for n, one in enumerate("abc")]
    old = {
        "a": details(read_at=NOW - 2),
        "b": details(read_at=NOW - 3),
        "c": details(read_at=NOW),
    }

    what = known(*campaigns, **old)
    edited = known(*campaigns, **{**old, "c": details(last_edited="before")})
    unknown = known(*campaigns[:2], listed("new"), **old)

    assert request_after(what, late) == NOW - 3 + DAY
    assert request_after(what, late, now=NOW + DAY - 3) == DetailsWanted(campaigns[1])
    assert request_after(edited, late) == DetailsWanted(campaigns[2])
    assert request_after(unknown, late) == DetailsWanted(listed("new"))


def test_details_are_not_requested_needlessly() -> None:
    """Not if the list is enough, it excludes the campaign, or the limit is reached."""
    a, b = listed("a", edited_at=2.0), listed("b", edited_at=1.0)
    one = settings(max_campaigns=1)

    assert request_after(known(a), ALL) == NOW + 3600
    assert request_after(known(a), settings(names={"include": ["z"]})) == NOW + 3600
    assert request_after(known(replace(a, missing_since=NOW)), settings()) == NOW + 3600
    assert request_after(known(a), settings(), "a") == NOW + 3600
    assert request_after(
        known(a), settings(labels={"of": "channels"}), "a"
    ) == DetailsWanted(a)
    assert request_after(known(a, b, a=details()), one) == NOW + 3600
    assert request_after(known(a, b, a=details(is_draft=True)), one) == DetailsWanted(b)
    found_ = rules.candidates(known(a, b, a=details()), one)
    selected = rules.select(known(a, b, a=details()), found_, one, listed=frozenset())
    assert selected.is_limited


@pytest.mark.parametrize(
    ("failures", "longest"), [(1, 2), (2, 8), (3, 32), (5, 512), (6, 900), (999, 900)]
)
def test_the_delay_grows_with_each_failure(failures: int, longest: float) -> None:
    """At least half of it, at most a quarter of an hour."""
    assert rules.delay_seconds(failures, fraction=0) == longest / 2
    assert rules.delay_seconds(failures, fraction=1) == longest


def campaigns(
    where: WorkspaceConfig, selected: Iterable[Listed], **each: Details
) -> tuple[CampaignConfig, ...]:
    """Return what is polled if these are found."""
    chosen = tuple(selected)
    assert where.discover
    return rules.campaigns(where, where.discover, chosen, known(*chosen, **each))


def names(*ones: Listed, own: Sequence[tuple[str, str]] = ()) -> dict[str, str]:
    """Return the names of all campaigns by id."""
    where = workspace([{"id": id_, "name": name} for id_, name in own])
    return {one.id: one.name for one in campaigns(where, ones)}


def test_equal_names_get_their_ids_beginning() -> None:
    """Both of them, and a number where that is the same too."""
    assert names(
        listed("12345678-a", "Sale"),
        listed("12345678-b", "Sale"),
        listed("87654321-c", "Sale"),
        listed("d", "Other"),
    ) == {
        "12345678-a": "Sale (12345678)",
        "12345678-b": "Sale (12345678) #2",
        "87654321-c": "Sale (87654321)",
        "d": "Other",
    }


def test_listed_campaigns_keep_their_names() -> None:
    """Another of that name gets the suffix; one that is found as well stays one."""
    assert names(
        listed("12345678-a", "Sale"),
        listed("B", "Braze's name for it"),
        own=[("b", "Sale"), ("c", "Other (12345678)")],
    ) == {"b": "Sale", "c": "Other (12345678)", "12345678-a": "Sale (12345678)"}


@pytest.mark.parametrize("name", ["", " ", "\n"])
def test_a_nameless_campaign_is_named_by_its_id(name: str) -> None:
    """A blank label would be the same as a missing one."""
    assert names(replace(listed("a"), name=name)) == {"a": "a"}


def test_names_are_cleaned_before_they_are_compared() -> None:
    """And cut, but never their suffix."""
    long = "x" * 300

    assert set(
        names(
            listed("1", f"{long}1"), listed("2", f"{long}2"), listed("3", "a\x00")
        ).values()
    ) == {f"{'x' * 252} (1)", f"{'x' * 252} (2)", "a\ufffd"}


def test_labels_are_filled_with_tags_and_channels() -> None:
    """Under configured names only, joined in order, and never with nothing."""
    where = workspace(labels={"what": "tags", "by": "channels"})
    tagged = listed("a", tags=("b,c", "a", "\x00"))

    first, second = campaigns(
        where, (tagged, listed("b")), a=details(channels=("sms", "email"))
    )

    assert first.labels == {"what": "a,b,c,\ufffd", "by": "email,sms"}
    assert second.labels == {}
    assert campaigns(workspace(), (tagged,))[0].labels == {}


def test_a_label_is_cut_between_tags() -> None:
    """Half a tag would be another tag."""
    where = workspace(labels={"what": "tags"})
    tags = tuple(f"{n}{'x' * 99}" for n in range(3))

    (one,) = campaigns(where, (listed("a", tags=tags),))

    assert one.labels == {"what": ",".join(tags[:2])}


def test_a_listed_campaign_gains_missing_labels() -> None:
    """Its own stay, as do its name and its interval."""
    own = {"id": "A", "name": "Mine", "interval": "1m", "labels": {"team": "crm"}}
    where = workspace([own], labels={"team": "tags", "by": "channels"})

    assert campaigns(
        where, (listed("a", "Theirs", tags=("x",)),), a=details(channels=("sms",))
    ) == (CampaignConfig("A", "Mine", 60, {"team": "crm", "by": "sms"}),)


def test_archived_campaigns_and_drafts_are_dormant() -> None:
    """Found or listed, where its details are known; that it changes is news."""
    own = {"id": "A", "name": "Mine"}
    drawn = details(is_draft=True)

    polled = campaigns(
        workspace([own]),
        map(listed, "abcd"),
        a=drawn,
        b=details(is_archived=True),
        c=details(),
    )

    assert [(one.id, one.is_dormant) for one in polled] == [
        ("A", True),
        ("b", True),
        ("c", False),
        ("d", False),
    ]
    options = settings(include_drafts=True, sent_within="1d")
    assert rules.selection_state(options, drawn) != rules.selection_state(
        options, details()
    )


found_names = st.text(max_size=4) | st.sampled_from(
    ["Sale", "Sale (aaaaaaaa)", "Sale (aaaaaaaa) #2", "\x00", "\x01", "x" * 300]
)


@given(
    st.lists(found_names, max_size=12),
    st.lists(st.sampled_from(["Sale", "Sale (aaaaaaaa)", "b"]), unique=True),
)
def test_names_are_unique(theirs: list[str], own: list[str]) -> None:
    """Each campaign has one, clean, not blank, and no two the same."""
    ones = [listed(f"aaaaaaaa-{n}", name) for n, name in enumerate(theirs)]

    given_ = names(*ones, own=[(f"own-{n}", name) for n, name in enumerate(own)])

    assert len(given_) == len(theirs) + len(own)
    assert len(set(given_.values())) == len(given_)
    assert all(
        name.strip() and clean(name) == name and len(name) <= LONGEST
        for name in given_.values()
    )
    assert [given_[f"own-{n}"] for n in range(len(own))] == own
