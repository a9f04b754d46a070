"""What a new configuration changes, and what it leaves as it was."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from exporter.braze.proxies import ProxySettings
from exporter.braze.responses import BrazeResponse
from exporter.metrics.campaign_metrics import render_values
from exporter.metrics.self_metrics import SelfMetrics
from exporter.metrics.store import Entry, ObjectKey, Store
from exporter.model.config import CampaignConfig, Config, KeySource
from exporter.model.errors import FailureReason, KeyRefused
from exporter.model.rate_limit_headers import RateLimitHeaders
from exporter.polling import slots
from exporter.polling.poller import Poller, Workspace
from exporter.polling.request_queue import PendingPoll
from exporter.polling.scheduler import Scheduler
from exporter.polling.workspaces import Workspaces
from exporter.series.kept import Kept

from tests.support.daemon_process import parsed
from tests.support.snapshots import example_snapshot as example

NOW = 1_750_000_000.0
SNAPSHOT = example()
DOCUMENT: dict[str, object] = {"message": "success", "data": []}
FULL = RateLimitHeaders(limit=1000, remaining=900, reset_at=NOW + 60)


class Board(Scheduler):
    """The planned turns, run by hand."""

    def __init__(self) -> None:
        super().__init__(lambda _: None)
        self.turns: dict[ObjectKey, PendingPoll] = {}
        self.pools: dict[str, int] = {}
        self.opened = 0
        self.clocks = 0

    def open(self, workspace: str, *, concurrency: int) -> None:
        """Note the threads."""
        self.opened += 1
        self.pools[workspace] = concurrency

    def close(self, workspace: str) -> None:
        """Forget the threads."""
        del self.pools[workspace]

    def put(self, turn: PendingPoll) -> None:
        """Note a turn."""
        self.turns[turn.workspace, turn.campaign_id] = turn

    def drop(self, workspace: str, campaign_id: str) -> None:
        """Forget a turn."""
        self.turns.pop((workspace, campaign_id), None)

    def planned(self, workspace: str, campaign_id: str) -> PendingPoll | None:
        """Return a turn."""
        return self.turns.get((workspace, campaign_id))

    def follow_clock(self) -> None:
        """Note that it was asked for."""
        self.clocks += 1


class Braze:
    """Answers for every client; `during` happens while a request is on its way."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.refuses = False
        self.allowance = FULL
        self.during: Callable[[], None] = lambda: None

    def fetch(
        self,
        path: str,
        params: Mapping[str, str | int],
        read: Callable[[object], object] = lambda document: document,
        *_: object,
    ) -> BrazeResponse:
        """Answer that there are no figures."""
        del path
        self.asked.append(str(params["campaign_id"]))
        during, self.during = self.during, lambda: None
        during()
        if self.refuses:
            raise KeyRefused(
                "no", reason=FailureReason.UNAUTHORIZED, status=401, allowance=FULL
            )
        return BrazeResponse(read(DOCUMENT), 200, self.allowance)


class Room:
    """A fleet and its poller, with a clock and a Braze of their own."""

    def __init__(self) -> None:
        self.now = NOW
        self.clock_set_by = 0.0
        self.keys: dict[str, str | None] = {}
        self.board, self.store, self.braze = Board(), Store(), Braze()
        self.telemetry = SelfMetrics(version="0", served=tuple)
        self.fleet = Workspaces(
            jobs=self.board,
            store=self.store,
            telemetry=self.telemetry,
            read_key=lambda source: self.keys.get(source.env or "", "key"),
            egress=ProxySettings(),
            now=lambda: self.now,
            clock_set_by=lambda: self.clock_set_by,
        )
        self.poller = Poller(
            self.fleet.desks,
            store=self.store,
            telemetry=self.telemetry,
            now=lambda: self.now,
            draw=lambda: 0.5,
            clock_set_by=lambda: self.clock_set_by,
        )

    def apply(
        self, config: Config, kept: Mapping[ObjectKey, Kept] | None = None
    ) -> None:
        """Take over a configuration whose clients all ask our Braze."""
        self.fleet.apply(config, kept)
        self._let_us_answer()

    def refresh(self, name: str) -> None:
        """Take over what is discovered."""
        self.fleet.refresh(name)
        self._let_us_answer()

    def _let_us_answer(self) -> None:
        for name, desk in self.fleet.desks.items():
            self.fleet.desks[name] = desk._replace(client=self.braze)

    def run(self, *, until: float) -> None:
        """Let time pass, and run each job when it is due."""
        while self.board.turns:
            key, turn = min(self.board.turns.items(), key=lambda item: item[1].at)
            if turn.at > until:
                break
            del self.board.turns[key]
            self.now = max(self.now, turn.at)
            upcoming = self.poller.poll(turn)
            desk = self.fleet.desks.get(turn.workspace)
            if upcoming is not None and desk is not None:
                desk.line.book(upcoming)
        self.now = until

    def read(self, campaign_id: str) -> None:
        """Give a campaign values."""

        def fill(entry: Entry) -> Entry:
            values = render_values(entry.subject, SNAPSHOT)
            return entry._replace(last_read=SNAPSHOT, values=values)

        self.store.update(("shop", campaign_id), fill)

    def page(self) -> str:
        """Return what is served."""
        blocks = [
            some.text
            for entry in self.store.entries()
            for some in (entry.status_blocks, entry.values)
            if some is not None
        ]
        return (
            b"".join(blocks).decode()
            + self.telemetry.render(is_openmetrics=False).decode()
        )

    def entry(self, campaign_id: str) -> Entry:
        """Return a campaign's entry."""
        entry = self.store.get(("shop", campaign_id))
        assert entry is not None
        return entry

    def desk(self) -> Workspace:
        """Return the desk of the only workspace."""
        return self.fleet.desks["shop"]


def uuid(letter: str) -> str:
    """Return a campaign's id."""
    return f"{letter * 8}-{letter * 4}-{letter * 4}-{letter * 4}-{letter * 12}"


A, B, C, D = map(uuid, "abcd")


def workspace(letters: str = "abc", **changes: object) -> dict[str, object]:
    """Return a workspace as a configuration has it; campaigns are single letters."""
    campaigns: list[object] = [{"id": uuid(one), "name": one} for one in letters]
    plain: dict[str, object] = {
        "name": "shop",
        "endpoint": "https://rest.iad-01.braze.com",
        "api_key_env": "KEY",
        "interval": "5m",
        "campaigns": campaigns,
    }
    return plain | changes


def config(*workspaces: dict[str, object], **changes: object) -> Config:
    """Return a configuration."""
    return parsed({"workspaces": list(workspaces), **changes}, key="key")


def settled(letters: str = "abc", **changes: object) -> Room:
    """Return a room whose campaigns have all been polled once."""
    room = Room()
    room.apply(config(workspace(letters, **changes)))
    room.run(until=NOW + 60)
    assert set(room.braze.asked) == set(map(uuid, letters))
    room.braze.asked.clear()
    return room


def test_an_unchanged_configuration_changes_nothing() -> None:
    """Entries, plans, budget, line and connections are the same objects."""
    room = settled()
    entries, turns = room.store.entries(), dict(room.board.turns)
    line, bucket, opened = room.desk().line, room.desk().line.bucket, room.board.opened

    room.apply(config(workspace()))

    assert room.store.entries() == entries
    assert room.board.turns == turns
    assert room.desk().line is line
    assert room.desk().line.bucket == bucket
    assert room.board.opened == opened


def test_campaigns_come_and_go() -> None:
    """One leaves at once and whole, one is asked for at once, one is left alone."""
    room = settled("ab")
    before = room.board.turns["shop", A]

    room.apply(config(workspace("ac")))

    assert {entry.subject.campaign_id for entry in room.store.entries()} == {A, C}
    assert ("shop", B) not in room.board.turns
    assert room.board.turns["shop", A] == before
    assert room.board.turns["shop", C].at <= room.now
    room.run(until=NOW + 600)
    assert set(room.braze.asked) == {A, C}


def test_a_renamed_campaign_shows_its_values_under_its_new_name() -> None:
    """At once, without being asked for again; its labels are the new ones."""
    room = settled("a")
    room.read(A)
    assert 'campaign="a"' in room.page()
    campaigns = [{"id": A, "name": "Spring", "labels": {"team": "crm"}}]

    room.apply(config(workspace(campaigns=campaigns)))

    page = room.page()
    assert 'campaign="a"' not in page
    assert 'braze_campaign_daily{workspace="shop",campaign="Spring"' in page
    assert 'team="crm"' in page
    assert room.braze.asked == []


def test_a_campaign_renamed_during_its_poll_shows_it_under_its_new_name() -> None:
    """Its answer is taken for the campaign, however it is called."""
    room = Room()
    room.apply(config(workspace("a")))
    renamed = workspace(campaigns=[{"id": A, "name": "Spring"}])
    room.braze.during = lambda: room.apply(config(renamed))

    room.run(until=NOW + 1)

    assert room.entry(A).status.is_up
    assert 'campaign="a"' not in room.page()


def test_a_shorter_interval_comes_sooner() -> None:
    """At its next slot, and the new interval is shown at once; a longer one waits."""
    room = settled("a", interval="1h")

    room.apply(config(workspace("a", interval="1m")))

    planned = room.board.turns["shop", A]
    assert planned.at == slots.next_slot(
        phase=slots.phase(A), interval_seconds=60, after=room.now
    )
    assert room.entry(A).status.interval_seconds == 60
    room.apply(config(workspace("a", interval="1h")))
    assert room.board.turns["shop", A] == planned
    assert room.entry(A).status.interval_seconds == 3600


def test_an_interval_changed_during_a_poll_holds_for_the_next_one() -> None:
    """What is on its way goes on under the new configuration."""
    room = Room()
    room.apply(config(workspace("a", interval="1h")))
    room.braze.during = lambda: room.apply(config(workspace("a", interval="1m")))

    room.run(until=NOW + 1)

    assert room.board.turns["shop", A].at <= NOW + 91
    assert room.entry(A).status.interval_seconds == 60


def test_another_stale_after_holds_for_what_is_served() -> None:
    """Values expire as the configuration in force says."""
    room = settled("a")
    room.read(A)
    read_at = room.entry(A).status.last_success_at
    assert read_at is not None

    room.apply(config(workspace("a"), stale_after="2h"))

    assert room.entry(A).expires_at == read_at + 7200


@pytest.mark.parametrize(
    "change", [{"api_key_env": "OTHER"}, {"endpoint": "https://rest.iad-02.braze.com"}]
)
def test_another_account_is_asked_at_once(change: dict[str, str]) -> None:
    """Its budget and its pause are not the former one's; values stay meanwhile."""
    room = Room()
    room.braze.refuses = True
    room.apply(config(workspace()))
    room.run(until=NOW + 30)
    room.read(A)
    assert 'workspace_paused{reason="unauthorized",workspace="shop"} 1.0' in room.page()
    room.braze.refuses = False
    room.braze.asked.clear()

    room.apply(config(workspace("abc", **change)))

    assert room.entry(A).values is not None
    assert room.desk().line.pause is None
    page = room.page()
    assert 'workspace_paused{reason="unauthorized",workspace="shop"} 0.0' in page
    room.run(until=NOW + 32)
    assert set(room.braze.asked) == {A, B, C}


def test_a_late_refusal_of_the_former_account_pauses_nothing() -> None:
    """The answer to the old key comes after the new key was configured."""
    room = Room()
    room.apply(config(workspace("ab")))

    def switch() -> None:
        room.apply(config(workspace("ab", api_key_env="OTHER")))
        room.braze.refuses = True

    room.braze.during = switch
    first = next(iter(room.board.turns.values()))
    del room.board.turns["shop", first.campaign_id]
    room.poller.poll(first)
    room.braze.refuses = False

    assert 'workspace_paused{reason="unauthorized",workspace="shop"} 1.0' not in (
        room.page()
    )
    room.run(until=NOW + 10)
    assert set(room.braze.asked) == {A, B}
    assert all(room.entry(one).status.is_up for one in (A, B))


def test_a_workspace_comes_and_goes_whole() -> None:
    """With its threads, its counters and its gauges; the other is left alone."""
    room = settled()
    other = workspace("abd", name="other")

    room.apply(config(workspace(), other))
    room.run(until=NOW + 90)
    during = room.page()
    room.apply(config(workspace()))

    assert 'workspace="other"' in during
    assert 'workspace="other"' not in room.page()
    assert set(room.board.pools) == {"shop"}
    assert {key[0] for key in room.board.turns} == {"shop"}
    assert 'polls_total{result="stored",workspace="shop"} 3.0' in room.page()


def test_a_poll_of_a_workspace_that_left_brings_nothing_back() -> None:
    """Neither its campaign, nor a job, nor a counter."""
    room = Room()
    room.apply(config(workspace("a"), workspace("b", name="other")))
    room.braze.during = lambda: room.apply(config(workspace("b", name="other")))

    turn = room.board.turns.pop(("shop", A))
    upcoming = room.poller.poll(turn)

    assert upcoming is None
    assert 'workspace="shop"' not in room.page()
    assert ("shop", A) not in room.board.turns


def test_a_workspace_that_comes_back_starts_at_zero() -> None:
    """And is shown paused again when it is refused again."""
    room = Room()
    room.braze.refuses = True
    paused = 'workspace_paused{reason="unauthorized",workspace="shop"} 1.0'
    for _ in range(2):
        room.apply(config(workspace("ab"), workspace("c", name="other")))
        room.run(until=room.now + 10)
        assert paused in room.page()

        room.apply(config(workspace("c", name="other")))
        room.poller.forget_leavers()

        assert paused not in room.page()


@pytest.mark.parametrize("comes_back_late", [False, True])
def test_a_campaign_that_comes_back_during_its_poll_goes_on(
    *, comes_back_late: bool
) -> None:
    """Out and in again by two reloads, it holds up nobody and is polled on."""
    room = Room()
    room.apply(config(workspace("ab")))

    def leave_and_come() -> None:
        room.apply(config(workspace("b")))
        if not comes_back_late:
            room.apply(config(workspace("ab")))

    room.braze.during = leave_and_come
    room.run(until=NOW + 0.1)
    room.apply(config(workspace("ab")))
    room.run(until=NOW + 400)
    room.braze.asked.clear()

    room.run(until=NOW + 1000)

    assert set(room.braze.asked) == {A, B}


def test_who_waits_in_the_line_keeps_his_place() -> None:
    """A reload in the first round: nobody is asked twice and nobody forgotten."""
    room = Room()
    room.apply(config(workspace("abc", requests_per_minute=6)))
    room.run(until=NOW + 1)

    room.apply(config(workspace("abcd", requests_per_minute=6)))
    room.run(until=NOW + 59)

    assert sorted(room.braze.asked) == [A, B, C, D]


def test_a_paused_workspace_goes_on_probing_without_its_probe() -> None:
    """Another campaign takes the place of one that left."""
    room = Room()
    room.braze.refuses = True
    room.apply(config(workspace("abc")))
    room.run(until=NOW + 30)
    pause = room.desk().line.pause
    assert pause is not None
    rest = "".join(one for one in "abc" if uuid(one) != pause.probe_id)
    room.braze.asked.clear()

    room.apply(config(workspace(rest)))
    room.braze.refuses = False
    room.run(until=NOW + 700)

    assert set(room.braze.asked) == set(map(uuid, rest))
    assert room.desk().line.pause is None


def test_another_concurrency_opens_other_threads() -> None:
    """The line and its values go on."""
    room = settled()
    line = room.desk().line

    room.apply(config(workspace(concurrency=9)))

    assert room.board.pools == {"shop": 9}
    assert room.desk().line is line


def test_kept_values_begin_the_first_configuration() -> None:
    """Fresh ones are served and polled at their slot, stale ones are not served."""
    room = Room()
    fresh, stale = NOW - 60, NOW - 9000
    kept = {
        ("shop", A): Kept(fresh, FailureReason.TIMEOUT, SNAPSHOT),
        ("shop", B): Kept(stale, None, SNAPSHOT),
        ("shop", C): Kept(NOW + 500, None, SNAPSHOT),
    }

    room.apply(config(workspace("abcd")), kept)

    entries = {one: room.entry(one) for one in (A, B, C, D)}
    assert {one for one in entries if entries[one].values} == {A, C}
    assert entries[A].status.failure is FailureReason.TIMEOUT
    assert [entries[one].status.last_success_at for one in (A, B, C, D)] == [
        fresh,
        stale,
        NOW,
        None,
    ]
    assert entries[C].expires_at == NOW + 3600
    assert room.board.turns["shop", A].at > NOW
    room.run(until=NOW + 2)
    assert set(room.braze.asked) == {B, D}


def test_a_changed_key_is_noticed_once() -> None:
    """A paused workspace is then probed at once; one that just left is no trouble."""
    room = Room()
    room.keys["KEY"] = "old"
    room.braze.refuses = True
    room.apply(config(workspace("ab")))
    room.run(until=NOW + 10)
    room.fleet.look_at_keys()
    assert min(turn.at for turn in room.board.turns.values()) > room.now
    room.keys["KEY"] = "new"
    room.braze.refuses = False

    room.fleet.look_at_keys()

    assert min(turn.at for turn in room.board.turns.values()) <= room.now
    room.run(until=room.now + 5)
    assert room.desk().line.pause is None
    assert KeySource(env="KEY") == room.desk().plan.workspace.key_source


@pytest.mark.parametrize("seconds", [3600.0, -3600.0])
def test_a_clock_that_is_set_changes_what_is_shown_and_no_wait(seconds: float) -> None:
    """Jobs stay as they are and are told anew; instants are shown by the new clock."""
    room = settled()
    turns = dict(room.board.turns)
    read_at = room.entry(A).status.last_success_at
    assert read_at is not None

    room.clock_set_by = seconds
    room.fleet.follow_clock()

    assert room.board.turns == turns
    assert room.board.clocks == 1
    entry = room.entry(A)
    assert entry.status.last_success_at == read_at
    shown = "last_success_timestamp_seconds{workspace="
    (line,) = [
        line for line in entry.status_blocks.text.decode().splitlines() if shown in line
    ]
    assert float(line.rsplit(" ", 1)[1]) == pytest.approx(read_at + seconds, abs=0.001)


def test_slots_follow_the_wall_clock() -> None:
    """After the clock was set by half an interval, so are the slots to come."""
    room = settled("a")
    before = room.board.turns["shop", A].at

    room.clock_set_by = 150.0
    room.fleet.follow_clock()
    room.run(until=before + 1)

    upcoming = room.board.turns["shop", A].at
    assert (upcoming - before) % 300 == pytest.approx(150)
    assert 150 <= upcoming - before <= 450


def test_windows_are_told_by_the_wall_clock() -> None:
    """What Braze's headers say of an instant is said by the clock that was set."""
    room = settled("a", requests_per_minute=6000)
    room.clock_set_by = 7200.0
    room.fleet.follow_clock()
    room.braze.allowance = RateLimitHeaders(100, 0, room.now + 300 + 7200.0 + 60)
    room.run(until=room.now + 300)

    reset_at = room.desk().line.bucket.reset_at

    assert reset_at == pytest.approx(room.now + 60)


def test_the_end_breaks_off_every_request() -> None:
    """Of all workspaces, and later requests fail at once."""
    room = settled()

    room.fleet.abort()

    assert all(client._is_aborted for client in room.fleet._clients.values())


def test_what_is_discovered_is_polled_besides() -> None:
    """It comes, goes and is renamed without a reload; the listed ones go on."""
    room = Room()
    found: list[CampaignConfig] = []
    room.fleet.campaigns_of = lambda one: (*one.campaigns, *found)
    room.apply(config(workspace("a", discover={}), workspace("d", name="other")))
    room.run(until=NOW + 30)
    before = room.board.turns["shop", A]

    found[:] = [CampaignConfig(B, "found", 300, {"by": "email"})]
    room.refresh("shop")
    assert room.board.turns["shop", B].at <= room.now
    assert room.board.turns["shop", A] == before
    assert 'campaign="found",campaign_id="bbbbbbbb' in room.page()
    assert 'by="email"' in room.page()

    entries = room.store.entries()
    room.refresh("shop")
    assert room.store.entries() == entries

    found[:] = [CampaignConfig(B, "renamed", 300)]
    room.refresh("shop")
    assert 'campaign="found"' not in room.page()
    assert 'campaign="renamed"' in room.page()

    found.clear()
    room.refresh("shop")
    room.refresh("gone")
    assert f'campaign_id="{B}"' not in room.page()
    assert ("shop", B) not in room.board.turns


def test_discovered_values_outlive_a_restart() -> None:
    """Where they are known by then, as listed ones do."""
    room = Room()
    room.fleet.campaigns_of = lambda _: (CampaignConfig(B, "found", 300),)

    kept = {("shop", B): Kept(NOW - 60, None, SNAPSHOT)}
    room.apply(config(workspace("", discover={})), kept)

    assert room.entry(B).values is not None


def test_stretching_is_not_told_for_each_that_is_found(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Once when it begins; after that the gauges tell how much. Nor is each plan."""
    caplog.set_level(logging.INFO)
    room = Room()
    found: list[CampaignConfig] = []
    room.fleet.campaigns_of = lambda _: tuple(found)
    room.apply(config(workspace("", discover={}, requests_per_minute=1)))

    for letter in "abcd" * 2:
        one = CampaignConfig(uuid(letter), f"{letter}{len(found)}", 5)
        if one.id not in [each.id for each in found]:
            found.append(one)
        room.refresh("shop")

    told = [one.message for one in caplog.records]
    assert told.count("workspace.stretched") == 1
    assert told.count("workspace.planned") == 1
    room.apply(config(workspace("", discover={}, requests_per_minute=2)))
    told = [one.message for one in caplog.records]
    assert told.count("workspace.stretched") == 2


def test_a_paused_workspace_may_lose_its_last_campaign() -> None:
    """What was discovered may all be gone; what comes later is probed again."""
    room = Room()
    found = [CampaignConfig(A, "a", 300)]
    room.fleet.campaigns_of = lambda _: tuple(found)
    room.braze.refuses = True
    room.apply(config(workspace("", discover={})))
    room.run(until=NOW + 5)
    assert room.desk().line.pause is not None

    found.clear()
    room.refresh("shop")
    room.run(until=NOW + 100)
    room.braze.refuses = False
    found.append(CampaignConfig(B, "b", 300))
    room.refresh("shop")
    room.run(until=NOW + 2000)

    assert room.entry(B).status.is_up
    assert room.desk().line.pause is None


QUIET = SNAPSHOT._replace(is_quiet=True, is_active=False)


def shop(*ids: str, **more: object) -> Config:
    """Return a configuration of one workspace."""
    campaigns = [{"id": one, "name": f"Campaign {one}"} for one in ids]
    workspace = {
        "name": "shop",
        "endpoint": "https://rest.iad-01.braze.com",
        "api_key_env": "KEY",
        "campaigns": campaigns,
        **more,
    }
    return parsed({"workspaces": [workspace]}, key="key")


def test_a_restored_campaign_is_on_its_lane() -> None:
    """It is polled when its slow slot comes, and its values live as long."""
    room = Room()
    kept = {
        ("shop", "a"): Kept(NOW - 1000, None, QUIET),
        ("shop", "b"): Kept(NOW - 10, None, SNAPSHOT),
    }

    room.apply(shop("a", "b"), kept)

    assert room.fleet.desks["shop"].lanes.idle_ids == {"a"}
    entry = room.store.get(("shop", "a"))
    assert entry is not None
    assert entry.status.interval_seconds == 3600
    assert entry.expires_at == NOW - 1000 + 3 * 3600
    assert entry.snapshot == QUIET
    slot = room.board.turns["shop", "a"].at
    assert (slot - slots.phase("a") * 3600) % 3600 == pytest.approx(0, abs=0.01)


def test_a_reload_leaves_lanes_as_they_are() -> None:
    """Also of those whose values have become stale; another interval shows at once."""
    room = Room()
    kept = {("shop", "a"): Kept(NOW - 1000, None, QUIET)}
    room.apply(shop("a", "b"), kept)
    room.store.expire(now=NOW + 10 * 3600)

    room.apply(shop("a", "b", "c", idle_interval="2h"))

    assert room.fleet.desks["shop"].lanes.idle_ids == {"a"}
    entry = room.store.get(("shop", "a"))
    assert entry is not None
    assert entry.status.interval_seconds == 7200


def test_what_braze_calls_archived_begins_slowly() -> None:
    """Discovery tells; it is read once, and an hour later again."""
    config = shop("a", "b")
    (workspace,) = config.workspaces
    dormant = workspace.campaigns[0]._replace(is_dormant=True)
    config = config._replace(
        workspaces=(replace(workspace, campaigns=(dormant, workspace.campaigns[1])),),
    )
    room = Room()

    room.apply(config)
    room.run(until=NOW + 1700)

    assert room.fleet.desks["shop"].lanes.idle_ids == {"a"}
    assert room.braze.asked.count("a") == 1
    assert room.braze.asked.count("b") > 4
