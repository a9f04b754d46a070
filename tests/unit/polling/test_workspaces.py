"""What a new configuration changes, and what stays."""

from __future__ import annotations

import gzip
import logging
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from exporter.braze.hosts import endpoint_digest
from exporter.braze.session import CAMPAIGN_ANALYTICS, SHARED
from exporter.metrics.exposition_page import ExpositionPages
from exporter.metrics.object_metrics import render_status, render_values
from exporter.model.config import ObjectConfig, WorkspaceConfig
from exporter.model.errors import FailureReason, Unavailable
from exporter.model.rate_limit_headers import RateLimitHeaders
from exporter.polling import slots
from exporter.polling.kinds import CANVAS
from exporter.series.kept import Kept

from tests.support.fake_clock import NOW
from tests.support.object_keys import key
from tests.support.polling_world import (
    EMPTY_DOCUMENT,
    NOT_FOUND,
    THROTTLED,
    TIMED_OUT,
    WRONG_KEY,
    PollingWorld,
    config,
    polled_world,
    with_canvases,
    workspace,
)
from tests.support.snapshots import example_snapshot as example

SNAPSHOT = example()
QUIET = SNAPSHOT._replace(is_quiet=True, is_active=False)
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


def adding(found: list[ObjectConfig]) -> Callable[[WorkspaceConfig], WorkspaceConfig]:
    """Return a discovery that found these campaigns."""
    return lambda one: replace(one, campaigns=(*one.campaigns, *found))


def store_values(world: PollingWorld) -> None:
    values = render_values(world.entry().labels, SNAPSHOT)
    world.store.put(world.entry()._replace(last_read=SNAPSHOT, values=values))


def test_an_unchanged_configuration_changes_nothing() -> None:
    world = polled_world()

    def state() -> tuple[object, ...]:
        shop = world.shop
        budget = shop.session.budget(CAMPAIGN_ANALYTICS)
        polls, opened = dict(world.scheduler.polls), world.scheduler.opened
        return world.store.entries(), polls, opened, budget, shop.queue, shop.session

    before = state()

    world.apply(config(workspace()))

    assert state() == before


def test_campaigns_are_added_and_removed() -> None:
    world = polled_world("ab")
    before = world.scheduler.polls[key("a")]

    world.apply(config(workspace("ac")))

    assert {entry.labels.id for entry in world.store.entries()} == {"a", "c"}
    assert key("b") not in world.scheduler.polls
    assert world.scheduler.polls[key("a")] == before
    assert world.scheduler.polls[key("c")].at <= world.clock.now()
    world.run(until=NOW + 600)
    assert set(world.braze.polled_ids) == {"a", "c"}


def test_a_renamed_campaign_keeps_its_values() -> None:
    world = polled_world("a")
    store_values(world)
    campaigns = [{"id": "a", "name": "Spring", "labels": {"team": "crm"}}]

    world.apply(config(workspace(campaigns=campaigns)))

    page = world.page()
    assert 'campaign="Campaign a"' not in page
    assert 'braze_campaign_daily{workspace="shop",campaign="Spring"' in page
    assert 'team="crm"' in page
    assert world.braze.requests == []


def test_the_last_edit_of_a_campaign_is_a_series_under_its_limit() -> None:
    world = polled_world("a")
    limited = config(workspace("a"), limits={"series_per_campaign": 10})
    [shop] = limited.workspaces
    edited = shop.campaigns[0]._replace(edited_at=NOW - 60)
    family = "braze_campaign_last_edited_timestamp_seconds"

    world.apply(limited._replace(workspaces=(replace(shop, campaigns=(edited,)),)))

    assert f'{family}{{workspace="shop",campaign="Campaign a"}}' in world.page()
    options = world.shop.parse_options("a", now=NOW)
    assert options.series_limit == 9


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
    world = PollingWorld()
    world.apply(config(workspace("a", interval="1h")))
    changed = workspace(**{"campaigns": [campaign], "interval": "1h"} | changes)  # type: ignore[arg-type]  # the ids are left out
    world.braze.during = lambda: world.apply(config(changed))

    world.run(until=NOW + 1)

    entry = world.entry()
    assert entry.status.is_up
    assert entry.labels.name == campaign["name"]
    assert f'campaign="{campaign["name"]}"' in entry.status_blocks.text.decode()
    assert entry.status.interval_seconds == interval
    assert world.scheduler.polls[key("a")].at <= NOW + 1.5 * interval + 1


def test_a_shorter_interval_moves_the_next_poll() -> None:
    world = polled_world("a", interval="1h")

    world.apply(config(workspace("a", interval="1m")))

    scheduled = world.scheduler.polls[key("a")]
    assert scheduled.at == slots.next_slot(
        phase=slots.phase("a"), interval_seconds=60, after=world.clock.now()
    )
    assert world.entry().status.interval_seconds == 60
    world.apply(config(workspace("a", interval="1h")))
    assert world.scheduler.polls[key("a")] == scheduled
    assert world.entry().status.interval_seconds == 3600


def test_a_new_stale_after_holds_for_values_that_are_served() -> None:
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
    world = paused_world()
    store_values(world)
    world.braze.responses = [EMPTY_DOCUMENT]
    world.keys["OTHER"] = "other-key"

    world.apply(config(workspace("abc", **change)))

    assert world.entry().values is not None
    assert world.shop.queue.pause is None
    assert PAUSED not in world.page()
    world.run(until=NOW + 32)
    assert set(world.braze.polled_ids) == {"a", "b", "c"}


@pytest.mark.parametrize(
    "changes",
    [{"api_key_env": "OTHER"}, {"endpoint": "https://rest.iad-01.braze.com:443"}],
    ids=str,
)
def test_the_same_key_and_endpoint_are_the_same_account(
    changes: dict[str, object],
) -> None:
    """Wherever the key is read from, with or without the port that is implied."""
    world = polled_world("ab")
    queue = world.shop.queue
    world.braze.requests.clear()

    world.apply(config(workspace("ab", **changes)))

    assert world.shop.queue is queue
    assert world.braze.requests == []


def test_another_key_is_read_once_while_polls_are_still_shown() -> None:
    """Its file may be on a disk that hangs."""
    world = polled_world("a")
    during: list[bool | None] = []

    class Keys(dict[str, str | None]):
        def get(self, name: str, *_: object) -> str | None:
            if name == "OTHER":
                world.poll(NOT_FOUND)
                (entry,) = world.store.entries()
                during.append(entry.status.is_up)
            return "other-key"

    world.keys = Keys()

    world.apply(config(workspace("a", api_key_env="OTHER")))

    assert during == [False]


def test_a_late_401_of_the_previous_key_pauses_nothing() -> None:
    world = PollingWorld()
    world.keys["OTHER"] = "other-key"
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


@pytest.mark.parametrize("is_gzip", [False, True])
def test_a_page_has_workspaces_of_one_configuration(*, is_gzip: bool) -> None:
    """Those of campaigns and of the exporter's own metrics, also during a reload."""
    world = PollingWorld()
    store, metrics = world.store, world.metrics
    pages = ExpositionPages(store.entries, metrics, version=lambda: store.version)
    seen: list[set[str]] = []

    def look() -> None:
        page = b"".join(pages.render(is_gzip=is_gzip, is_openmetrics=False))
        text = (gzip.decompress(page) if is_gzip else page).decode()
        lines = [line for line in text.splitlines() if "interval_seconds{" in line]
        for name in ("braze_campaign_", "braze_exporter_"):
            of_name = [line for line in lines if line.startswith(name)]
            seen.append(set(re.findall(r'workspace="(\w+)"', "".join(of_name))))

    def looking(one: WorkspaceConfig) -> WorkspaceConfig:
        look()
        return one

    world.apply(config(workspace("a", name="one"), workspace("b", name="two")))
    world.workspaces.polled_part = looking
    world.apply(config(workspace("a", name="three"), workspace("b", name="four")))
    look()

    assert seen == [{"one", "two"}] * 4 + [{"three", "four"}] * 2


def test_a_replaced_queue_has_no_polls_that_wait() -> None:
    world = PollingWorld()
    world.apply(config(workspace()))
    previous = world.shop.queue

    world.apply(config(workspace(endpoint="https://rest.iad-02.braze.com")))

    assert world.shop.queue is not previous
    assert previous.state(now=NOW).positions == {}
    assert set(world.shop.queue.state(now=NOW).positions) == set("abc")


@pytest.mark.parametrize(
    "response", [EMPTY_DOCUMENT, WRONG_KEY, NOT_FOUND, THROTTLED, TIMED_OUT]
)
def test_a_removed_workspace_does_not_come_back_with_a_poll(response: object) -> None:
    world = PollingWorld()
    other = workspace("b", name="other")
    world.apply(config(workspace("a"), other))
    world.braze.responses = [response]
    world.braze.during = lambda: world.apply(config(other))

    world.poll(poll=world.scheduler.polls.pop(key("a")))

    assert [entry.key for entry in world.store.entries()] == [
        key("b", workspace="other")
    ]
    assert key("a") not in world.scheduler.polls
    assert PAUSED not in world.page()


@pytest.mark.parametrize("returns", ["never", "during the poll", "later"])
@pytest.mark.parametrize("response", [EMPTY_DOCUMENT, WRONG_KEY, NOT_FOUND, THROTTLED])
def test_a_campaign_removed_during_its_poll_does_not_stop_the_others(
    response: object, returns: str
) -> None:
    """It is polled again once it is added again."""
    world = PollingWorld()
    world.apply(config(workspace("abc")))
    world.braze.responses = [response, EMPTY_DOCUMENT]
    first_id = next(iter(world.scheduler.polls)).id
    expected = set("abc") - (set(first_id) if returns == "never" else set())

    def reload() -> None:
        world.apply(config(workspace("abc".replace(first_id, ""))))
        if returns == "during the poll":
            world.apply(config(workspace("abc")))

    world.braze.during = reload
    world.run(until=NOW + 0.1)
    if returns == "later":
        world.apply(config(workspace("abc")))
    world.run(until=NOW + 400)
    world.braze.requests.clear()

    world.run(until=NOW + 5000)  # after 404 it is polled slowly

    assert set(world.braze.polled_ids) == expected


def test_a_workspace_that_comes_back_starts_at_zero() -> None:
    world = PollingWorld()
    world.braze.responses = [WRONG_KEY]
    for _ in range(2):
        world.apply(config(workspace("ab"), workspace("c", name="other")))
        world.run(until=world.clock.now() + 10)
        assert PAUSED in world.page()

        world.apply(config(workspace("c", name="other")))
        world.poller.forget_removed()

        assert PAUSED not in world.page()


def test_a_reload_in_the_first_round_keeps_the_queue() -> None:
    world = PollingWorld()
    world.apply(config(workspace("abc", requests_per_minute=6)))
    world.run(until=NOW + 1)

    world.apply(config(workspace("abcd", requests_per_minute=6)))
    world.run(until=NOW + 59)

    assert sorted(world.braze.polled_ids) == ["a", "b", "c", "d"]
    assert world.braze.polled_ids[-1] == "d"


def test_a_new_campaign_may_become_the_probe() -> None:
    world = paused_world("a")

    world.apply(config(workspace("b")))

    pause = world.shop.queue.pause
    assert pause is not None
    assert pause.probe_id == "b"
    assert world.scheduler.polls[key("b")].at == pause.probe_at
    world.braze.responses = [EMPTY_DOCUMENT]
    world.run(until=pause.probe_at)
    assert world.braze.polled_ids == ["b"]


@pytest.mark.parametrize("revisions", [False, True])
def test_fresh_values_are_restored_and_polled_at_their_slots(
    *, revisions: bool
) -> None:
    """Stale ones are not served, nor are revisions that are off now."""
    world = PollingWorld()
    fresh, stale = NOW - 60, NOW - 9000
    kept = {
        key("a"): Kept(fresh, FailureReason.TIMEOUT, SNAPSHOT),
        key("b"): Kept(stale, None, SNAPSHOT),
        key("c"): Kept(NOW + 500, None, SNAPSHOT),
    }

    world.apply(config(workspace("abcd"), revisions=revisions), kept)

    entries = {one: world.entry(one) for one in "abcd"}
    assert {one for one in entries if entries[one].values} == {"a", "c"}
    assert (values := entries["a"].values) is not None
    assert (b"_revision{" in values.text) is revisions
    assert b"braze_campaign_last_complete_day{" in values.text
    assert entries["a"].status.failure is FailureReason.TIMEOUT
    assert [one.status.last_success_at for one in entries.values()] == [
        fresh,
        stale,
        NOW,
        None,
    ]
    assert entries["c"].expires_at == NOW + 3600
    assert world.scheduler.polls[key("a")].at > NOW
    world.run(until=NOW + 2)
    assert set(world.braze.polled_ids) == {"b", "d"}


def test_values_of_another_endpoint_are_restored_without_a_revision() -> None:
    """As after a reload: a revision would be of both accounts."""
    world = PollingWorld()
    elsewhere = endpoint_digest("https://rest.iad-02.braze.com")
    kept = {key("a"): Kept(NOW - 60, None, SNAPSHOT, endpoint_digest=elsewhere)}

    world.apply(config(workspace("a"), revisions=True), kept)

    assert (values := world.entry("a").values) is not None
    assert b"braze_campaign_last_complete_day{" in values.text
    assert b"_revision{" not in values.text
    here = endpoint_digest("https://rest.iad-01.braze.com:443")
    assert world.entry("a").endpoint_digest == here


def test_a_replaced_key_is_probed_at_once() -> None:
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
    world = polled_world()
    world.poll(NOT_FOUND)
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
    assert entry.status_blocks == render_status(entry.labels, entry.status)


def test_slots_follow_the_wall_clock() -> None:
    world = polled_world("a")
    before = world.scheduler.polls[key("a")].at

    world.clock.set_wall(seconds=150)
    world.workspaces.after_clock_set()
    world.run(until=before + 1)

    upcoming = world.scheduler.polls[key("a")].at
    assert (upcoming - before) % 300 == pytest.approx(150)
    assert 150 <= upcoming - before <= 450


def test_resets_that_braze_gave_are_discarded_when_the_wall_clock_is_set() -> None:
    world = PollingWorld()
    world.braze.headers = RateLimitHeaders(100, 0, NOW + 3000)
    world.apply(config(workspace("ab", requests_per_minute=6)))
    world.run(until=NOW + 20)
    assert len(world.braze.requests) == 1

    world.clock.set_wall(seconds=-2900)
    world.workspaces.after_clock_set()
    world.run(until=NOW + 21)

    assert set(world.braze.polled_ids) == {"a", "b"}


def test_an_abort_fails_later_requests_at_once() -> None:
    world = PollingWorld()
    world.workspaces.apply(config(workspace("a")))
    client = world.shop.session.client

    world.workspaces.abort()

    with pytest.raises(Unavailable):
        client.fetch("/campaigns/data_series", {})


def test_discovered_campaigns_are_added_renamed_and_removed_without_a_reload() -> None:
    world = PollingWorld()
    found: list[ObjectConfig] = []
    world.workspaces.polled_part = adding(found)
    found[:] = [ObjectConfig("c", "kept", 300)]
    kept = {key("c"): Kept(NOW - 60, None, SNAPSHOT)}
    world.apply(config(workspace("a", discover={})), kept)
    assert world.entry("c").values is not None
    world.run(until=NOW + 30)
    before = world.scheduler.polls[key("a")]

    found[:] = [ObjectConfig("b", "found", 300, {"by": "email"})]
    world.refresh("shop")
    assert world.scheduler.polls[key("b")].at <= world.clock.now()
    assert world.scheduler.polls[key("a")] == before
    assert 'campaign="found",campaign_id="b"' in world.page()
    assert 'by="email"' in world.page()

    entries = world.store.entries()
    world.refresh("shop")
    assert world.store.entries() == entries

    found[:] = [ObjectConfig("b", "renamed", 300)]
    world.refresh("shop")
    assert 'campaign="found"' not in world.page()
    assert 'campaign="renamed"' in world.page()

    found.clear()
    world.refresh("shop")
    world.refresh("removed")
    assert 'campaign_id="b"' not in world.page()
    assert key("b") not in world.scheduler.polls


def test_discovery_and_canvases_share_one_bucket() -> None:
    world = PollingWorld()
    world.apply(config(workspace("a")))
    session = world.shop.session

    discovering = config(workspace("a", discover={}))
    world.apply(with_canvases(discovering, "", shared_requests_per_minute=30.0))

    assert world.shop.session is session
    assert session.budget(SHARED).spacing_seconds == pytest.approx(2, rel=0.05)
    assert session.budget(SHARED).concurrency == 1

    world.apply(with_canvases(discovering, "c", shared_requests_per_minute=15.0))

    assert world.group(CANVAS).session is session
    assert session.budget(SHARED).spacing_seconds == pytest.approx(4, rel=0.05)
    assert session.budget(SHARED).concurrency == 4


def test_stretching_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world = PollingWorld()
    found: list[ObjectConfig] = []
    world.workspaces.polled_part = adding(found)
    world.apply(config(workspace("", discover={}, requests_per_minute=1)))

    for id_ in "abcd":
        found.append(ObjectConfig(id_, f"Campaign {id_}", 5))
        world.refresh("shop")

    logged = [one.message for one in caplog.records]
    assert logged.count("workspace.stretched") == 1
    assert logged.count("workspace.planned") == 1
    world.apply(config(workspace("", discover={}, requests_per_minute=2)))
    logged = [one.message for one in caplog.records]
    assert logged.count("workspace.stretched") == 2


def test_what_is_found_changes_no_logged_plan(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Canvases and series share a ceiling; those of one bucket have one line."""
    caplog.set_level(logging.INFO)
    world = PollingWorld()
    found: list[ObjectConfig] = []
    world.workspaces.polled_part = lambda workspace: replace(
        workspace, canvases=tuple(found)
    )
    some = {"kpi": ["dau", "mau"], "purchases": ["revenue"], "broadcasts": True}
    shop = workspace("", discover={"canvases": {}}, series=some)
    world.apply(config(shop))

    for id_ in "abcd":
        found.append(ObjectConfig(id_, f"Canvas {id_}", 900))
        world.refresh("shop")

    def planned() -> list[dict[str, Any]]:
        records = [one for one in caplog.records if one.message == "workspace.planned"]
        return [one.fields for one in records]  # type: ignore[attr-defined]

    numbers = [
        {
            one: line[one]
            for one in ("campaigns", "canvases", "series", "kinds")
            if one in line
        }
        for line in planned()
    ]
    assert numbers == [
        {"campaigns": 0},
        {"canvases": 0},
        {"series": 3, "kinds": "dau,mau,broadcasts"},
        {"series": 1, "kinds": "purchase_revenue"},
    ]
    more = workspace("", discover={"canvases": {}}, series={**some, "sessions": True})
    world.apply(config(more))
    assert [line["kinds"] for line in planned()[4:]] == ["dau,mau,sessions,broadcasts"]


def test_a_restored_or_dormant_campaign_may_be_idle() -> None:
    world = PollingWorld()
    kept = {
        key("a"): Kept(NOW - 1000, None, QUIET),
        key("b"): Kept(NOW - 10, None, SNAPSHOT),
    }

    dormant = ObjectConfig("d", "d", 300, is_dormant=True)
    world.workspaces.polled_part = adding([dormant])

    configured = workspace("ab", contract={"email": 1})
    world.apply(config(configured, revisions=True), kept)

    entry = world.entry()
    assert world.shop.idle.idle_ids == {"a", "d"}
    assert entry.status.interval_seconds == 3600
    assert entry.expires_at == NOW - 1000 + 3 * 3600
    assert entry.snapshot == QUIET
    slot = world.scheduler.polls[key("a")].at
    assert (slot - slots.phase("a") * 3600) % 3600 == pytest.approx(0, abs=0.01)

    world.store.expire(now=NOW + 10 * 3600)
    world.apply(config(workspace("abc", idle_interval="2h")))

    assert world.shop.idle.idle_ids == {"a", "d"}
    assert world.entry().status.interval_seconds == 7200


def test_a_result_of_previous_windows_is_dropped_and_polled_again() -> None:
    world = polled_world("a")
    before = world.entry()
    world.braze.during = lambda: world.apply(config(workspace("a"), windows=["98d"]))

    upcoming = world.poll(EMPTY_DOCUMENT)

    assert upcoming is not None
    assert upcoming.at == world.clock.time
    assert world.entry().last_read is before.last_read
    world.braze.during = lambda: None
    assert world.poll(poll=upcoming)
    assert world.braze.requests[-1]["length"] == 100


@pytest.mark.parametrize(
    "changes",
    [
        {"timeout": "9s"},
        {"proxy": "http://127.0.0.1:3128"},
        {"limits": {"response_bytes": "8MiB"}},
    ],
    ids=str,
)
def test_a_failure_of_previous_connections_is_dropped_and_polled_again(
    changes: dict[str, Any],
) -> None:
    """A timeout, or an error of the previous proxy."""
    world = polled_world("a")
    before = world.entry()
    of_all = {name: changes[name] for name in changes if name == "limits"}
    of_shop = {name: changes[name] for name in changes if name != "limits"}
    changed = config(workspace("a", **of_shop), **of_all)
    world.braze.during = lambda: world.apply(changed)

    upcoming = world.poll(TIMED_OUT)

    assert upcoming is not None
    assert (upcoming.at, upcoming.failure) == (world.clock.time, None)
    assert world.entry().status == before.status
    assert world.poll(EMPTY_DOCUMENT, poll=upcoming)
    assert world.entry().read_at > before.read_at


@pytest.mark.parametrize("result", [EMPTY_DOCUMENT, TIMED_OUT, NOT_FOUND, WRONG_KEY])
def test_a_late_result_of_the_previous_account_is_dropped(result: object) -> None:
    world = polled_world("a")
    before = world.entry()
    other = config(workspace("a", endpoint="https://rest.iad-02.braze.com"))
    world.braze.during = lambda: world.apply(other)

    assert world.poll(result) is None

    after = world.entry()
    assert (after.status, after.read_at) == (before.status, before.read_at)
    assert world.shop.queue.pause is None


def test_a_campaign_that_joins_a_paused_workspace_is_down_at_once() -> None:
    world = paused_world("a")

    world.apply(config(workspace("ab")))

    lines = set(map(str, world.entry("b").status_blocks.by_family))
    assert any("campaign_up{" in line and "} 0" in line for line in lines)
    assert any('reason="unauthorized"' in line for line in lines)


def test_canvases_that_join_a_paused_workspace_are_counted_as_paused() -> None:
    world = paused_world("a")

    world.apply(with_canvases(config(workspace("a")), "x"))

    assert world.metric("canvases_paused", reason="unauthorized") == 1


def test_a_pause_ends_with_the_campaigns_that_probe() -> None:
    """The pause of the key holds for canvases; they are polled and shown again."""
    world = PollingWorld()
    world.braze.responses = [WRONG_KEY]
    both = with_canvases(config(workspace("a")), "x")
    world.apply(both)
    world.run(until=NOW + 30)
    assert world.metric("canvases_paused", reason="unauthorized") == 1

    (shop,) = both.workspaces
    world.apply(both._replace(workspaces=(replace(shop, campaigns=()),)))

    assert PAUSED not in world.page()
    assert world.metric("canvases_paused", reason="unauthorized") == 0
    status = world.entry("x", kind=CANVAS).status_blocks
    assert b"unauthorized" not in status.text


def test_a_day_has_no_revision_from_the_previous_account() -> None:
    world = PollingWorld()
    days = [{"time": f"2025-06-{day}", "opens": 10} for day in (14, 15)]
    world.braze.responses = [{"data": days}]
    world.apply(config(workspace("a"), revisions=True))
    world.run(until=NOW + 30)

    other = workspace("a", endpoint="https://rest.iad-02.braze.com")
    for day in days:
        day["opens"] = 1000
    world.apply(config(other, revisions=True))
    world.run(until=NOW + 60)

    family = "braze_campaign_overall_last_complete_day"
    labels = '{workspace="shop",campaign="Campaign a",metric="opens"}'
    assert f"{family}{labels} 1000\n" in world.page()
    assert f"{family}_revision{labels} 0\n" in world.page()


@pytest.mark.parametrize(
    "reason",
    [FailureReason.FORBIDDEN, FailureReason.NOT_FOUND, FailureReason.BAD_REQUEST],
)
def test_after_a_new_key_a_refused_campaign_is_polled_at_once(
    reason: FailureReason,
) -> None:
    """The previous key may have been of another workspace in Braze."""
    world = polled_world("ab", interval="1h")
    world.store.update(
        key("a"),
        lambda entry: entry._replace(status=entry.status._replace(failure=reason)),
    )
    world.braze.requests.clear()

    world.keys["KEY"] = "new-key"
    assert world.workspaces.check_keys() == ("shop",)
    world.run(until=world.clock.time + 10)

    assert "a" in world.braze.polled_ids


def test_a_lost_poll_is_scheduled_again_and_counted() -> None:
    """Two checks in a row have to miss it: a job may be about to run."""
    world = polled_world("abc")
    del world.scheduler.polls[key("b")]

    world.workspaces.recover()
    assert world.metric("polls_recovered_total") == 0
    world.workspaces.recover()
    world.workspaces.recover()

    assert world.metric("polls_recovered_total") == 1
    world.run(until=world.clock.time + 5)
    assert world.braze.polled_ids == ["b"]


def test_a_queue_whose_head_lost_its_job_is_scheduled_again() -> None:
    world = PollingWorld()
    world.apply(config(workspace("abc")))
    world.scheduler.polls.clear()

    for _ in range(2):
        world.workspaces.recover()

    world.run(until=NOW + 30)
    assert set(world.braze.polled_ids) == {"a", "b", "c"}
