"""What a new configuration changes, and what stays."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from exporter.braze.session import CAMPAIGN_ANALYTICS, SHARED
from exporter.metrics.campaign_metrics import render_values
from exporter.metrics.store import Entry
from exporter.model.config import CampaignConfig
from exporter.model.errors import (
    CampaignRefused,
    FailureReason,
    KeyRefused,
    Throttled,
    Unavailable,
)
from exporter.model.rate_limit_headers import RateLimitHeaders
from exporter.polling import slots
from exporter.series.kept import Kept

from tests.support.fake_clock import NOW
from tests.support.polling_world import (
    EMPTY_DOCUMENT,
    PollingWorld,
    config,
    failure,
    polled_world,
    workspace,
)
from tests.support.snapshots import example_snapshot as example

SNAPSHOT = example()
QUIET = SNAPSHOT._replace(is_quiet=True, is_active=False)
WRONG_KEY = failure(KeyRefused, "unauthorized", status=401)
PAUSED = 'workspace_paused{reason="unauthorized",workspace="shop"} 1.0'


def paused_world(ids: str = "abc") -> PollingWorld:
    """Return a world whose key is refused since the first round."""
    world = PollingWorld()
    world.braze.responses = [WRONG_KEY]
    world.apply(config(workspace(ids)))
    world.run(until=NOW + 30)
    assert PAUSED in world.page()
    world.braze.requests.clear()
    return world


def store_values(world: PollingWorld) -> None:
    """Store values of campaign `a`."""

    def fill(entry: Entry) -> Entry:
        values = render_values(entry.subject, SNAPSHOT)
        return entry._replace(last_read=SNAPSHOT, values=values)

    world.store.update(("shop", "a"), fill)


def test_an_unchanged_configuration_changes_nothing() -> None:
    """Entries, schedule, queue, account and connections are the same objects."""
    world = polled_world()
    entries, polls = world.store.entries(), dict(world.scheduler.polls)
    before, budget = world.shop, world.shop.session.budget(CAMPAIGN_ANALYTICS)
    opened = world.scheduler.opened

    world.apply(config(workspace()))

    assert world.store.entries() == entries
    assert world.scheduler.polls == polls
    assert world.shop.queue is before.queue
    assert world.shop.session is before.session
    assert world.shop.session.budget(CAMPAIGN_ANALYTICS) == budget
    assert world.scheduler.opened == opened


def test_campaigns_are_added_and_removed() -> None:
    """A new one is polled at once; the others keep their schedule."""
    world = polled_world("ab")
    before = world.scheduler.polls["shop", "a"]

    world.apply(config(workspace("ac")))

    assert {entry.subject.campaign_id for entry in world.store.entries()} == {"a", "c"}
    assert ("shop", "b") not in world.scheduler.polls
    assert world.scheduler.polls["shop", "a"] == before
    assert world.scheduler.polls["shop", "c"].at <= world.clock.now()
    world.run(until=NOW + 600)
    assert set(world.braze.polled_ids) == {"a", "c"}


def test_a_renamed_campaign_keeps_its_values() -> None:
    """They are served at once, with the new name and labels."""
    world = polled_world("a")
    store_values(world)
    campaigns = [{"id": "a", "name": "Spring", "labels": {"team": "crm"}}]

    world.apply(config(workspace(campaigns=campaigns)))

    page = world.page()
    assert 'campaign="Campaign a"' not in page
    assert 'braze_campaign_daily{workspace="shop",campaign="Spring"' in page
    assert 'team="crm"' in page
    assert world.braze.requests == []


@pytest.mark.parametrize(
    ("campaign", "changes", "interval"),
    [
        ({"id": "a", "name": "Spring"}, {}, 3600),
        ({"id": "a", "name": "Campaign a"}, {"interval": "1m"}, 60),
    ],
    ids=["name", "interval"],
)
def test_a_change_during_a_poll_holds_for_its_values(
    campaign: dict[str, str], changes: dict[str, object], interval: float
) -> None:
    """The poll that is in flight ends under the new configuration."""
    world = PollingWorld()
    world.apply(config(workspace("a", interval="1h")))
    changed = workspace(**{"campaigns": [campaign], "interval": "1h"} | changes)  # type: ignore[arg-type]  # the ids are left out
    world.braze.during = lambda: world.apply(config(changed))

    world.run(until=NOW + 1)

    entry = world.entry()
    assert entry.status.is_up
    assert entry.subject.campaign == campaign["name"]
    assert f'campaign="{campaign["name"]}"' in entry.status_blocks.text.decode()
    assert entry.status.interval_seconds == interval
    assert world.scheduler.polls["shop", "a"].at <= NOW + 1.5 * interval + 1


def test_a_shorter_interval_moves_the_next_poll() -> None:
    """To the next slot; a longer one holds after the next poll."""
    world = polled_world("a", interval="1h")

    world.apply(config(workspace("a", interval="1m")))

    scheduled = world.scheduler.polls["shop", "a"]
    assert scheduled.at == slots.next_slot(
        phase=slots.phase("a"), interval_seconds=60, after=world.clock.now()
    )
    assert world.entry().status.interval_seconds == 60
    world.apply(config(workspace("a", interval="1h")))
    assert world.scheduler.polls["shop", "a"] == scheduled
    assert world.entry().status.interval_seconds == 3600


def test_a_new_stale_after_holds_for_values_that_are_served() -> None:
    """They expire that long after their poll."""
    world = polled_world("a")
    store_values(world)
    read_at = world.entry().status.last_success_at
    assert read_at is not None

    world.apply(config(workspace("a"), stale_after="2h"))

    assert world.entry().expires_at == read_at + 7200


@pytest.mark.parametrize(
    "change", [{"api_key_env": "OTHER"}, {"endpoint": "https://rest.iad-02.braze.com"}]
)
def test_another_account_is_polled_at_once(change: dict[str, str]) -> None:
    """It has its own budget and no pause; values are served meanwhile."""
    world = paused_world()
    store_values(world)
    world.braze.responses = [EMPTY_DOCUMENT]

    world.apply(config(workspace("abc", **change)))

    assert world.entry().values is not None
    assert world.shop.queue.pause is None
    assert PAUSED not in world.page()
    world.run(until=NOW + 32)
    assert set(world.braze.polled_ids) == {"a", "b", "c"}


def test_a_late_401_of_the_previous_key_pauses_nothing() -> None:
    """The key was replaced in the configuration while the request was in flight."""
    world = PollingWorld()
    world.apply(config(workspace("ab")))
    world.braze.responses = [WRONG_KEY, EMPTY_DOCUMENT]
    world.braze.during = lambda: world.apply(
        config(workspace("ab", api_key_env="OTHER"))
    )
    _, first = world.scheduler.polls.popitem()

    world.poll(poll=first)

    assert PAUSED not in world.page()
    world.braze.requests.clear()
    world.run(until=NOW + 10)
    assert set(world.braze.polled_ids) == {"a", "b"}
    assert all(world.entry(one).status.is_up for one in "ab")


def test_a_workspace_is_added_and_removed() -> None:
    """With its threads, schedule, counters and gauges; the others are untouched."""
    world = polled_world()
    other = workspace("abd", name="other")

    world.apply(config(workspace(), other))
    world.run(until=NOW + 90)
    during = world.page()
    world.apply(config(workspace()))

    assert 'workspace="other"' in during
    assert 'workspace="other"' not in world.page()
    assert set(world.scheduler.threads) == {"shop"}
    assert {key[0] for key in world.scheduler.polls} == {"shop"}
    assert world.metric("polls_total", result="stored") == 3
    assert world.workspaces.session_of("shop") is world.shop.session
    assert world.workspaces.session_of("other") is None


@pytest.mark.parametrize(
    "response",
    [
        EMPTY_DOCUMENT,
        WRONG_KEY,
        failure(CampaignRefused, "not_found", status=404),
        failure(Throttled, "rate_limited", status=429),
        failure(Unavailable, "timeout", status=None),
    ],
)
def test_a_removed_workspace_does_not_come_back_with_a_poll(response: object) -> None:
    """Neither its campaign, nor a job; nor does a removed campaign."""
    world = PollingWorld()
    other = workspace("b", name="other")
    world.apply(config(workspace("a"), other))
    world.braze.responses = [response]
    world.braze.during = lambda: world.apply(config(other))

    world.poll(poll=world.scheduler.polls.pop(("shop", "a")))

    assert [entry.key for entry in world.store.entries()] == [("other", "b")]
    assert ("shop", "a") not in world.scheduler.polls
    assert PAUSED not in world.page()


@pytest.mark.parametrize(
    "response",
    [
        failure(Throttled, "rate_limited", status=429),
        failure(CampaignRefused, "not_found", status=404),
        WRONG_KEY,
    ],
)
def test_a_campaign_removed_during_its_poll_does_not_stop_the_others(
    response: object,
) -> None:
    """However its request ends."""
    world = PollingWorld()
    world.apply(config(workspace("abc")))
    world.braze.responses = [response, EMPTY_DOCUMENT]
    (_, first_id) = next(iter(world.scheduler.polls))
    others = "abc".replace(first_id, "")
    world.braze.during = lambda: world.apply(config(workspace(others)))
    world.run(until=NOW + 400)
    world.braze.requests.clear()

    world.run(until=NOW + 1000)

    assert set(world.braze.polled_ids) == set(others)


def test_a_workspace_that_comes_back_starts_at_zero() -> None:
    """Its pause is shown again when its key is refused again."""
    world = PollingWorld()
    world.braze.responses = [WRONG_KEY]
    for _ in range(2):
        world.apply(config(workspace("ab"), workspace("c", name="other")))
        world.run(until=world.clock.now() + 10)
        assert PAUSED in world.page()

        world.apply(config(workspace("c", name="other")))
        world.poller.forget_removed()

        assert PAUSED not in world.page()


@pytest.mark.parametrize("is_back_late", [False, True])
def test_a_campaign_removed_and_added_during_its_poll_goes_on(
    *, is_back_late: bool
) -> None:
    """It blocks no other campaign, and is polled again."""
    world = PollingWorld()
    world.apply(config(workspace("ab")))

    def reload_twice() -> None:
        world.apply(config(workspace("b")))
        if not is_back_late:
            world.apply(config(workspace("ab")))

    world.braze.during = reload_twice
    world.run(until=NOW + 0.1)
    world.apply(config(workspace("ab")))
    world.run(until=NOW + 400)
    world.braze.requests.clear()

    world.run(until=NOW + 1000)

    assert set(world.braze.polled_ids) == {"a", "b"}


def test_a_reload_in_the_first_round_keeps_the_queue() -> None:
    """Each campaign is polled once, and a new one after the others."""
    world = PollingWorld()
    world.apply(config(workspace("abc", requests_per_minute=6)))
    world.run(until=NOW + 1)

    world.apply(config(workspace("abcd", requests_per_minute=6)))
    world.run(until=NOW + 59)

    assert sorted(world.braze.polled_ids) == ["a", "b", "c", "d"]
    assert world.braze.polled_ids[-1] == "d"


def test_another_campaign_probes_when_the_probe_is_removed() -> None:
    """At the same instant."""
    world = paused_world()
    pause = world.shop.queue.pause
    assert pause is not None
    others = "abc".replace(pause.probe_id, "")

    world.apply(config(workspace(others)))
    world.braze.responses = [EMPTY_DOCUMENT]
    world.run(until=NOW + 700)

    assert set(world.braze.polled_ids) == set(others)
    assert world.shop.queue.pause is None


def test_a_new_campaign_may_become_the_probe() -> None:
    """It is polled once, when it probes."""
    world = paused_world("a")

    world.apply(config(workspace("b")))

    pause = world.shop.queue.pause
    assert pause is not None
    assert pause.probe_id == "b"
    assert world.scheduler.polls["shop", "b"].at == pause.probe_at
    world.braze.responses = [EMPTY_DOCUMENT]
    world.run(until=pause.probe_at)
    assert world.braze.polled_ids == ["b"]


def test_another_concurrency_opens_other_threads() -> None:
    """The queue and its values stay."""
    world = polled_world()
    queue = world.shop.queue

    world.apply(config(workspace(concurrency=9)))

    assert world.scheduler.threads == {"shop": 9}
    assert world.shop.queue is queue


def test_values_are_restored_with_the_first_configuration() -> None:
    """Fresh ones are served and polled at their slot, stale ones are not served."""
    world = PollingWorld()
    fresh, stale = NOW - 60, NOW - 9000
    kept = {
        ("shop", "a"): Kept(fresh, FailureReason.TIMEOUT, SNAPSHOT),
        ("shop", "b"): Kept(stale, None, SNAPSHOT),
        ("shop", "c"): Kept(NOW + 500, None, SNAPSHOT),
    }

    world.apply(config(workspace("abcd")), kept)

    entries = {one: world.entry(one) for one in "abcd"}
    assert {one for one in entries if entries[one].values} == {"a", "c"}
    assert entries["a"].status.failure is FailureReason.TIMEOUT
    assert [one.status.last_success_at for one in entries.values()] == [
        fresh,
        stale,
        NOW,
        None,
    ]
    assert entries["c"].expires_at == NOW + 3600
    assert world.scheduler.polls["shop", "a"].at > NOW
    world.run(until=NOW + 2)
    assert set(world.braze.polled_ids) == {"b", "d"}


@pytest.mark.parametrize("revisions", [False, True])
def test_restored_revisions_are_served_only_while_they_are_on(
    *, revisions: bool
) -> None:
    """They were saved under another configuration."""
    world = PollingWorld()
    kept = {("shop", "a"): Kept(NOW - 60, None, SNAPSHOT)}

    world.apply(config(workspace("a"))._replace(revisions=revisions), kept)

    values = world.entry("a").values
    assert values is not None
    assert (b"_revision{" in values.text) is revisions
    assert b"braze_campaign_last_complete_day{" in values.text


def test_a_replaced_key_is_probed_at_once() -> None:
    """It is noticed once; a workspace that is not paused is not probed."""
    world = paused_world("ab")
    world.keys["KEY"] = "new"
    world.braze.responses = [EMPTY_DOCUMENT]
    before = dict(world.scheduler.polls)

    changed = [world.workspaces.check_keys() for _ in range(2)]

    assert changed == [("shop",), ()]
    assert world.scheduler.polls != before
    assert min(one.at for one in world.scheduler.polls.values()) <= world.clock.now()
    world.run(until=world.clock.now() + 5)
    assert world.shop.queue.pause is None


@pytest.mark.parametrize("seconds", [3600.0, -3600.0])
def test_waits_stay_when_the_wall_clock_is_set(seconds: float) -> None:
    """Jobs are rescheduled by the new clock, which instants are shown by, too."""
    world = polled_world()
    world.poll(failure(CampaignRefused, "not_found", status=404))
    polls = dict(world.scheduler.polls)
    before = world.entry().status
    assert before.last_success_at is not None
    assert before.failed_at is not None

    world.clock.set_wall(seconds=seconds)
    world.workspaces.after_clock_set()

    assert world.scheduler.polls == polls
    assert world.scheduler.clock_changes == 1
    entry = world.entry()
    assert entry.status.last_success_at == before.last_success_at + seconds
    assert entry.status.failed_at == before.failed_at + seconds
    shown = "last_success_timestamp_seconds{workspace="
    (line,) = [
        line for line in entry.status_blocks.text.decode().splitlines() if shown in line
    ]
    value = float(line.rsplit(" ", 1)[1])
    assert value == pytest.approx(before.last_success_at + seconds, abs=0.001)


def test_slots_follow_the_wall_clock() -> None:
    """After it was set by half an interval, so are the slots."""
    world = polled_world("a")
    before = world.scheduler.polls["shop", "a"].at

    world.clock.set_wall(seconds=150)
    world.workspaces.after_clock_set()
    world.run(until=before + 1)

    upcoming = world.scheduler.polls["shop", "a"].at
    assert (upcoming - before) % 300 == pytest.approx(150)
    assert 150 <= upcoming - before <= 450


def test_resets_that_braze_gave_are_discarded_when_the_wall_clock_is_set() -> None:
    """Polls that waited for a window are scheduled again."""
    world = PollingWorld()
    world.braze.headers = RateLimitHeaders(100, 0, NOW + 3000)
    world.apply(config(workspace("ab", requests_per_minute=6)))
    world.run(until=NOW + 20)
    assert len(world.braze.requests) == 1

    world.clock.set_wall(seconds=-2900)
    world.workspaces.after_clock_set()
    world.run(until=NOW + 21)

    assert set(world.braze.polled_ids) == {"a", "b"}


def test_the_end_aborts_the_clients_of_all_workspaces() -> None:
    """Later requests fail at once."""
    world = PollingWorld()
    both = config(workspace("a"), workspace("b", name="other"))
    world.workspaces.apply(both)
    clients = [one.session.client for one in world.workspaces.by_name.values()]

    world.workspaces.abort()

    for client in clients:
        with pytest.raises(Unavailable):
            client.fetch("/campaigns/data_series", {})


def test_discovered_campaigns_are_polled_with_the_listed_ones() -> None:
    """They are added, renamed and removed without a reload."""
    world = PollingWorld()
    found: list[CampaignConfig] = []
    world.workspaces.campaigns_of = lambda one: (*one.campaigns, *found)
    world.apply(config(workspace("a", discover={}), workspace("d", name="other")))
    world.run(until=NOW + 30)
    before = world.scheduler.polls["shop", "a"]

    found[:] = [CampaignConfig("b", "found", 300, {"by": "email"})]
    world.refresh("shop")
    assert world.scheduler.polls["shop", "b"].at <= world.clock.now()
    assert world.scheduler.polls["shop", "a"] == before
    assert 'campaign="found",campaign_id="b"' in world.page()
    assert 'by="email"' in world.page()

    entries = world.store.entries()
    world.refresh("shop")
    assert world.store.entries() == entries

    found[:] = [CampaignConfig("b", "renamed", 300)]
    world.refresh("shop")
    assert 'campaign="found"' not in world.page()
    assert 'campaign="renamed"' in world.page()

    found.clear()
    world.refresh("shop")
    world.refresh("removed")
    assert 'campaign_id="b"' not in world.page()
    assert ("shop", "b") not in world.scheduler.polls


def test_discovery_has_its_own_bucket() -> None:
    """With its own ceiling, from when it is configured."""
    world = PollingWorld()
    world.apply(config(workspace("a")))
    session = world.shop.session

    world.apply(config(workspace("a", discover={"requests_per_minute": 30})))

    assert world.shop.session is session
    assert session.budget(SHARED).spacing_seconds == pytest.approx(2, rel=0.05)
    assert session.budget(SHARED).concurrency == 1


def test_values_of_discovered_campaigns_are_restored() -> None:
    """If they are known at the start."""
    world = PollingWorld()
    world.workspaces.campaigns_of = lambda _: (CampaignConfig("b", "found", 300),)

    kept = {("shop", "b"): Kept(NOW - 60, None, SNAPSHOT)}
    world.apply(config(workspace("", discover={})), kept)

    assert world.entry("b").values is not None


def test_stretching_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Not for each campaign that is discovered, but again after a reload."""
    caplog.set_level(logging.INFO)
    world = PollingWorld()
    found: list[CampaignConfig] = []
    world.workspaces.campaigns_of = lambda _: tuple(found)
    world.apply(config(workspace("", discover={}, requests_per_minute=1)))

    for id_ in "abcd":
        found.append(CampaignConfig(id_, f"Campaign {id_}", 5))
        world.refresh("shop")

    logged = [one.message for one in caplog.records]
    assert logged.count("workspace.stretched") == 1
    assert logged.count("workspace.planned") == 1
    world.apply(config(workspace("", discover={}, requests_per_minute=2)))
    logged = [one.message for one in caplog.records]
    assert logged.count("workspace.stretched") == 2


def test_a_paused_workspace_may_lose_its_last_campaign() -> None:
    """A campaign that is discovered later is polled at once."""
    world = PollingWorld()
    found = [CampaignConfig("a", "a", 300)]
    world.workspaces.campaigns_of = lambda _: tuple(found)
    world.braze.responses = [WRONG_KEY]
    world.apply(config(workspace("", discover={})))
    world.run(until=NOW + 5)
    assert world.shop.queue.pause is not None

    found.clear()
    world.refresh("shop")
    world.run(until=NOW + 100)
    world.braze.responses = [EMPTY_DOCUMENT]
    found.append(CampaignConfig("b", "b", 300))
    world.refresh("shop")
    world.run(until=NOW + 2000)

    assert world.entry("b").status.is_up
    assert world.shop.queue.pause is None


def test_a_restored_campaign_may_be_idle() -> None:
    """It is polled at its slow slot, and a reload keeps it idle, stale or not."""
    world = PollingWorld()
    kept = {
        ("shop", "a"): Kept(NOW - 1000, None, QUIET),
        ("shop", "b"): Kept(NOW - 10, None, SNAPSHOT),
    }

    world.apply(config(workspace("ab"))._replace(revisions=True), kept)

    entry = world.entry()
    assert world.shop.idle.idle_ids == {"a"}
    assert entry.status.interval_seconds == 3600
    assert entry.expires_at == NOW - 1000 + 3 * 3600
    assert entry.snapshot == QUIET
    slot = world.scheduler.polls["shop", "a"].at
    assert (slot - slots.phase("a") * 3600) % 3600 == pytest.approx(0, abs=0.01)

    world.store.expire(now=NOW + 10 * 3600)
    world.apply(config(workspace("abc", idle_interval="2h")))

    assert world.shop.idle.idle_ids == {"a"}
    assert world.entry().status.interval_seconds == 7200


def test_a_dormant_campaign_is_polled_slowly_from_the_start() -> None:
    """Discovery found it archived or a draft: it is polled once, and hourly then."""
    active = config(workspace("ab"))
    (shop,) = active.workspaces
    dormant = shop.campaigns[0]._replace(is_dormant=True)
    shop = replace(shop, campaigns=(dormant, shop.campaigns[1]))
    world = PollingWorld()

    world.apply(active._replace(workspaces=(shop,)))
    world.run(until=NOW + 1700)

    assert world.shop.idle.idle_ids == {"a"}
    assert world.braze.polled_ids.count("a") == 1
    assert world.braze.polled_ids.count("b") > 4
