"""Selection, names and labels of campaigns, and the next request."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from exporter.discovery import rules
from exporter.discovery.catalogue import MAX_BYTES, ListProgress, ObjectCatalogue
from exporter.discovery.documents import FULL_PAGE, Details, Listed, ListPage, key
from exporter.discovery.kinds import CAMPAIGN
from exporter.discovery.rules import (
    Criteria,
    DetailsWanted,
    NextRequest,
    PageWanted,
)
from exporter.model.config import DiscoverRules, ObjectConfig, WorkspaceConfig
from exporter.model.errors import MalformedCatalogue

from tests.support.fake_clock import NOW
from tests.unit.discovery.discovery_world import workspace

DAY = 86400.0
IDS = [f"{n}" for n in range(FULL_PAGE)]


def settings(**discover: Any) -> DiscoverRules:
    made = workspace(**discover).discover
    assert made
    assert made.campaigns
    return made.campaigns


def listed(id_: str, name: str = "", **changes: Any) -> Listed:
    return replace(Listed(id_, name or id_, last_edited="then"), **changes)


def details(**changes: Any) -> Details:
    return replace(Details("then", read_at=NOW, last_active_at=NOW - 60), **changes)


def known(*campaigns: Listed, **each: Details) -> ObjectCatalogue:
    """Return a catalogue with these campaigns; `each` contains details by id."""
    return ObjectCatalogue({key(one.id): one for one in campaigns}, each, NOW)


def criteria(
    what: ObjectCatalogue, options: DiscoverRules, *, wall_offset: float = 0.0
) -> Criteria:
    wanted = rules.candidates(what, options)
    return Criteria.of(options, what, wanted, wall_offset=wall_offset)


def selected(
    what: ObjectCatalogue, options: DiscoverRules, *own: str
) -> rules.SelectedObjects:
    """Return what is found while campaigns with the ids `own` are configured."""
    wanted = rules.candidates(what, options)
    judged = criteria(what, options)
    return rules.select(what, wanted, judged, listed=frozenset(own))


def found(what: ObjectCatalogue, options: DiscoverRules, *own: str) -> str:
    """Return the ids, single letters, of the selected campaigns."""
    return "".join(one.id for one in selected(what, options, *own).objects)


def request_after(
    what: ObjectCatalogue, options: DiscoverRules, *own: str, now: float = NOW
) -> NextRequest | float:
    wanted = rules.candidates(what, options)
    judged = criteria(what, options)
    return rules.next_request(what, wanted, judged, listed=frozenset(own), now=now)


def page(*ids: str, entries: int | None = None) -> ListPage:
    campaigns = tuple(map(listed, ids))
    return ListPage(campaigns, len(ids) if entries is None else entries)


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
def test_names_match_patterns_and_tags_match_exactly(
    options: dict[str, object], ids: str
) -> None:
    what = known(
        listed("a", "Spring sale", tags=("promo", "crm")),
        listed("b", "Autumn mail", tags=("promo",)),
        listed("c", "Test"),
    )

    assert found(what, settings(include_drafts=True, **options)) == ids


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ({}, "ns"),
        ({"include_drafts": True, "sent_within": "3650d"}, "s"),
        ({"include_drafts": True, "channels": {"include": ["*"]}}, "ds"),
        ({"include_archived": True}, "ans"),
        ({"sent_within": "7d"}, "s"),
        ({"sent_within": "7d", "include_archived": True}, "s"),
        ({"sent_within": "30d", "include_archived": True}, "as"),
        ({"channels": {"include": ["email"]}}, "s"),
        ({"channels": {"exclude": ["sms"]}}, "s"),
        ({"channels": {"exclude": ["email", "ios_push"]}}, ""),
        ({"channels": {"include": ["*_push"], "exclude": ["email"]}}, "s"),
    ],
)
def test_details_select_by_state_last_send_and_channels(
    options: dict[str, object], ids: str
) -> None:
    """One selected channel is enough. Campaigns without details are not selected."""
    what = known(
        *map(listed, "sadnux"),
        s=details(channels=("email", "ios_push")),
        a=details(is_archived=True, last_active_at=NOW - 20 * DAY, channels=("sms",)),
        d=details(is_draft=True, last_active_at=None, channels=("sms",)),
        n=details(last_active_at=None),
        u=details(is_known=False),
    )

    assert found(what, settings(**options)) == ids


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
    """Details and data series of Braze spell some channels differently."""
    what = known(listed("a"), a=details(channels=(spelled,)))

    assert found(what, settings(channels={"include": [pattern]})) == "a"
    assert found(what, settings(channels={"exclude": [pattern]})) == ""
    assert found(what, settings(channels={"include": ["sms"]})) == ""


def test_a_campaign_sent_each_day_stays_selected() -> None:
    """The last send is compared with the time at which it was read."""
    read = details(read_at=NOW - DAY, last_active_at=NOW - 1.9 * DAY)

    assert found(known(listed("a"), a=read), settings(sent_within="1d")) == "a"


@pytest.mark.parametrize(
    ("sent_within", "rate", "campaigns", "interval", "in_force"),
    [
        (None, 120, 500, DAY, None),
        ("30d", 120, 500, DAY, 30 * DAY),
        ("4d", 120, 500, DAY, 4 * DAY),
        ("2d", 120, 500, DAY / 2, 2 * DAY),
        ("1d", 120, 10_000, DAY / 4, DAY),
        ("1h", 120, 100, 900, 3600),
        ("1h", 120, 2400, 2400, 3600),
        ("1h", 120, 10_000, 10_000, 15_000),
        ("1h", 1000, 10_000, 1200, 3600),
        ("30d", 0.1, 500, 7 * DAY - 4800, 30 * DAY),
    ],
)
def test_details_are_read_as_often_as_sent_within_needs(
    *,
    sent_within: str | None,
    rate: float,
    campaigns: int,
    interval: float,
    in_force: float | None,
) -> None:
    """At half of the ceiling at most: then `sent_within` is extended."""
    options = {"sent_within": sent_within} if sent_within else {}
    made = settings(requests_per_minute=rate, **options)

    assert made.details_interval_seconds(campaigns) == pytest.approx(interval)
    expected = math.inf if in_force is None else in_force
    assert made.active_within_in_force(campaigns) == pytest.approx(expected)


@pytest.mark.parametrize(("days_ahead", "expected"), [(0, "n"), (40, "no"), (-40, "")])
def test_sends_are_compared_with_the_wall_clock_as_it_is_set(
    days_ahead: int, expected: str
) -> None:
    """`read_at` is by the clock of the start, `days_ahead` of Braze's."""
    read_at = NOW
    wall_at = read_at - days_ahead * DAY
    what = known(
        listed("n"),
        listed("o"),
        n=details(read_at=read_at, last_active_at=NOW - 3600),
        o=details(read_at=read_at, last_active_at=NOW - 69 * DAY),
    )
    options = settings(sent_within="30d")
    judged = criteria(what, options, wall_offset=wall_at - read_at)
    wanted = rules.candidates(what, options)

    selected_ = rules.select(what, wanted, judged, listed=frozenset()).objects

    assert "".join(one.id for one in selected_) == expected


def test_the_last_edited_campaigns_are_selected() -> None:
    """Up to `max`, without the configured ones; the limit is reported."""
    what = known(*(listed(one, edited_at=float(n)) for n, one in enumerate("abcd")))
    two = settings(include_drafts=True, max=2)

    assert found(what, two) == "dc"
    assert found(what, two, "c", "a") == "dcba"
    assert selected(what, two).is_limited
    assert not selected(what, two, "a", "b").is_limited
    open_ = known(listed("a"), listed("b"), a=details())
    assert selected(open_, settings(max=1)).is_limited


READ = {one: listed(one) for one in IDS}


@pytest.mark.parametrize(
    ("reading", "next_page", "message"),
    [
        (ListProgress(1, READ), page(*IDS), "page 1 contains nothing new"),
        (ListProgress(2, READ), page(*IDS[:7]), "page 2 contains nothing new"),
        (ListProgress(1, READ), page(entries=FULL_PAGE), "page 1 contains nothing new"),
        (ListProgress(), page(entries=3), "page 0 contains nothing new"),
        (ListProgress(999), page(*IDS), "more than 1000 pages"),
        (ListProgress(bytes=MAX_BYTES), page("a"), "more than 128 MiB of names"),
    ],
)
def test_a_list_without_an_end_is_an_error(
    reading: ListProgress, next_page: ListPage, message: str
) -> None:
    with pytest.raises(MalformedCatalogue, match=message):
        ObjectCatalogue(reading=reading).after_page(next_page, now=NOW)


def test_the_last_page_may_be_empty_or_have_unusable_entries() -> None:
    later = ObjectCatalogue(reading=ListProgress(1, {"a": listed("a")}))

    assert later.after_page(page(entries=3), now=NOW).reading is None
    assert known().after_page(page(), now=NOW).objects == {}


def test_a_hundred_thousand_usual_campaigns_fit_into_the_limit() -> None:
    ids = (f"{n:036}" for n in range(FULL_PAGE))
    usual = [listed(one, name="Spring sale", tags=("a", "b", "c")) for one in ids]

    read = known().after_page(ListPage(tuple(usual), FULL_PAGE), now=NOW).reading

    assert read is not None
    assert read.bytes < MAX_BYTES / 1000


def test_a_missing_campaign_is_removed_after_its_grace() -> None:
    """It counts from the first list without it, and ends with a list that has it."""
    options = settings(include_drafts=True, grace="1h")
    what = known(listed("a"), listed("b"), a=details(), b=details())
    gone = what.after_page(page("b"), now=NOW)
    later = gone.after_page(page("b"), now=NOW + 1800)

    assert set(later.without_removed(3600, now=NOW + 3599).objects) == {"a", "b"}
    assert found(later, options) == "ab"
    assert request_after(later, options, now=NOW + 1800) == NOW + 3600
    removed = later.without_removed(3600, now=NOW + 3600)
    assert set(removed.objects) == {"b"}
    assert set(removed.after_page(page("b"), now=NOW + 3601).details) == {"b"}
    back = later.after_page(page("a", "b"), now=NOW + 1900)
    assert set(back.without_removed(3600, now=NOW + 9000).objects) == {"a", "b"}


def test_details_are_requested_when_edited_or_daily() -> None:
    """Unknown and edited ones first, then the oldest; the list at its interval."""
    weekly = settings(list_interval="7d")
    campaigns = [listed(one, edited_at=-float(n)) for n, one in enumerate("abc")]
    a, b, c = (details(read_at=NOW - age) for age in (2, 3, 0))

    what = known(*campaigns, a=a, b=b, c=c)
    edited = known(*campaigns, a=a, b=b, c=details(last_edited="before"))
    unknown = known(*campaigns[:2], listed("new"), a=a, b=b)

    assert request_after(what, weekly) == NOW - 3 + DAY
    assert request_after(what, weekly, now=NOW + DAY - 3) == DetailsWanted(campaigns[1])
    assert request_after(edited, weekly) == DetailsWanted(campaigns[2])
    assert request_after(unknown, weekly) == DetailsWanted(listed("new"))
    assert request_after(what, weekly, now=NOW + 7 * DAY) == PageWanted(0)


A, B = listed("a", edited_at=2.0), listed("b", edited_at=1.0)


@pytest.mark.parametrize(
    ("what", "options", "own", "request_"),
    [
        (known(A), {"include_drafts": True}, "", None),
        (known(A), {"names": {"include": ["z"]}}, "", None),
        (known(replace(A, missing_since=NOW)), {}, "", None),
        (known(A), {}, "a", None),
        (known(A), {"labels": {"of": "channels"}}, "a", DetailsWanted(A)),
        (known(A, B, a=details()), {"max": 1}, "", None),
        (
            known(A, B, a=details(is_draft=True)),
            {"max": 1},
            "",
            DetailsWanted(B),
        ),
    ],
)
def test_details_are_requested_only_if_needed(
    what: ObjectCatalogue,
    options: dict[str, object],
    own: str,
    request_: NextRequest | None,
) -> None:
    """Not if the list is enough, it excludes the campaign, or the limit is reached."""
    expected = request_ or NOW + 3600
    assert request_after(what, settings(**options), *own) == expected


@pytest.mark.parametrize(
    ("failures", "longest"), [(1, 2), (2, 8), (3, 32), (5, 512), (6, 900), (999, 900)]
)
def test_the_delay_grows_with_each_failure(failures: int, longest: float) -> None:
    assert rules.delay_seconds(failures, fraction=0) == longest / 2
    assert rules.delay_seconds(failures, fraction=1) == longest


def campaigns(
    where: WorkspaceConfig, found: Iterable[Listed], **each: Details
) -> tuple[ObjectConfig, ...]:
    """Return the campaigns that are polled if these are found."""
    chosen = tuple(found)
    settings_ = CAMPAIGN.rules(where)
    assert settings_
    catalogue = known(*chosen, **each)
    return rules.objects(where, CAMPAIGN, settings_, chosen, catalogue)


def test_names_are_made_unique_by_ids() -> None:
    """Configured names stay; a blank name is replaced by the id."""
    where = workspace([{"id": "b", "name": "X"}, {"id": "c", "name": "Y (12345678)"}])
    found = {"12345678-a": "X", "B": "Braze's name", "12345678-d": "X", "e": " \n"}

    polled = campaigns(where, [Listed(id_, name) for id_, name in found.items()])

    assert {one.id: one.name for one in polled} == {
        "b": "X",
        "c": "Y (12345678)",
        "12345678-a": "X (12345678)",
        "12345678-d": "X (12345678) #2",
        "e": "e",
    }


def test_labels_are_filled_with_tags_and_channels() -> None:
    """Under configured names, sorted, and cut between two tags; never empty."""
    where = workspace(labels={"what": "tags", "by": "channels"})
    tags = tuple(f"{n}{'x' * 99}" for n in range(3))
    ones = (listed("a", tags=("b,c", "a", "\x00")), listed("b"), listed("c", tags=tags))

    polled = campaigns(where, ones, a=details(channels=("sms", "email")))

    assert [one.labels for one in polled] == [
        {"what": "a,b,c,\ufffd", "by": "email,sms"},
        {},
        {"what": ",".join(tags[:2])},
    ]
    assert campaigns(workspace(), ones)[0].labels == {}


def test_a_listed_campaign_gains_missing_labels() -> None:
    """Its name, interval and other labels stay."""
    own = {"id": "A", "name": "Mine", "interval": "1m", "labels": {"team": "crm"}}
    where = workspace([own], labels={"team": "tags", "by": "channels"})
    theirs = listed("a", "Theirs", tags=("x",))

    polled = campaigns(where, [theirs], a=details(channels=("sms",)))

    assert polled == (ObjectConfig("A", "Mine", 60, {"team": "crm", "by": "sms"}),)


def test_archived_campaigns_and_drafts_are_dormant() -> None:
    """Discovered or listed, if their details are known; a change is published."""
    draft, archived = details(is_draft=True), details(is_archived=True)
    where = workspace([{"id": "A", "name": "Mine"}])

    polled = campaigns(where, map(listed, "abcd"), a=draft, b=archived, c=details())

    assert [one.id for one in polled if one.is_dormant] == ["A", "b"]
    options = settings(include_drafts=True, sent_within="1d")
    state = criteria(known(), options).state
    assert state(draft) != state(details())


def test_the_last_edit_of_listed_and_found_campaigns_is_known() -> None:
    where = workspace([{"id": "A", "name": "Mine"}, {"id": "c", "name": "Unlisted"}])
    found = [listed("a", edited_at=NOW), listed("b", edited_at=NOW - 1), listed("d")]

    polled = campaigns(where, found)

    edited_at = {one.id: one.edited_at for one in polled}
    assert edited_at == {"A": NOW, "c": None, "b": NOW - 1, "d": None}
