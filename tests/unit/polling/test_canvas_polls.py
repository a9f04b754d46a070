"""Polls of canvases: the newest days each time, older ones a few times a day."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from exporter.model.errors import ObjectRefused, Unavailable, Unusable
from exporter.polling.kinds import CANVAS
from exporter.polling.request_queue import PendingPoll
from exporter.series.kept import Kept

from tests.support.fake_clock import NOW, FakeClock
from tests.support.object_keys import key
from tests.support.polling_world import (
    FakeBraze,
    PollingWorld,
    config,
    failure,
    is_campaign,
    with_canvases,
    workspace,
)

HOUR = 3600.0
REREAD_AFTER = 10318.6
"""Seconds from the start to the first slot at which `c` reads older days again."""
KEY = key("c", kind="canvas")
MALFORMED = {"data": {"stats": "later"}}
TOO_LARGE = failure(Unusable, "too_large", status=200)
UNKNOWN = failure(ObjectRefused, "bad_request", status=400)
DOWN = failure(Unavailable, "server_error", status=503)


class CanvasBraze(FakeBraze):
    """Returns the days that a request covers, three entries on each."""

    def __init__(self) -> None:
        super().__init__()
        self.newest: object = None
        """The response to requests for the newest days, if it is not their figures."""
        self.older: object = None
        """The response to requests for older days, if it is not their figures."""
        self.on_request: Callable[[], object] = lambda: None

    def respond(self, params: Mapping[str, str | int]) -> object:
        if is_campaign(params):
            return super().respond(params)
        self.on_request()
        ending_at = datetime.fromisoformat(str(params["ending_at"]))
        is_newest = self.requests[-1] is params and age_of(params, self.now()) == 0
        scripted = self.newest if is_newest else self.older
        if scripted is not None:
            return scripted
        days = (ending_at.date() - timedelta(days=n) for n in range(14))
        rows = [{"time": str(day), "total_stats": {"entries": 3}} for day in days]
        return {"message": "success", "data": {"stats": rows}}

    now: Callable[[], float]


def age_of(params: Mapping[str, str | int], now: float) -> int:
    """Return how many days before now the days of a request end."""
    ending_at = datetime.fromisoformat(str(params["ending_at"]))
    return (datetime.fromtimestamp(now - 60, UTC) - ending_at).days


class CanvasWorld(PollingWorld):
    """The campaign a and canvases, the canvas c unless others are given."""

    braze: CanvasBraze

    def __init__(
        self,
        kept: Mapping[str, Kept] | None = None,
        *,
        windows: Iterable[str] = ("7d", "28d"),
        ids: str = "c",
        clock: FakeClock | None = None,
    ) -> None:
        super().__init__(clock=clock)
        self.braze = CanvasBraze()
        self.braze.now = self.clock.wall
        found = config(workspace("a"), windows=list(windows))
        known = {key(id_, kind="canvas"): one for id_, one in (kept or {}).items()}
        self.apply(with_canvases(found, ids), known)

    def ages(self, *, until: float) -> list[int]:
        """Run until then; return the age of the days of each request meanwhile."""
        self.braze.requests.clear()
        ages: list[int] = []

        def note() -> None:
            ages.append(age_of(self.braze.canvas_requests[-1], self.clock.wall()))

        self.braze.on_request = note
        self.run(until=until)
        return ages

    def hours_of_older_reads(self) -> list[float]:
        """Return a list to which each request for older days is added from now on."""
        hours: list[float] = []

        def note() -> None:
            if age_of(self.braze.canvas_requests[-1], self.clock.wall()):
                hours.append((self.clock.time - NOW) / HOUR)

        self.braze.on_request = note
        return hours

    def sums(self) -> dict[str, str]:
        """Return the entries in each window that is served."""
        begin = 'braze_canvas_overall_trailing{workspace="shop",canvas="Canvas c"'
        lines = [line for line in self.page().splitlines() if line.startswith(begin)]
        return {line.split('"')[-2]: line.split()[-1] for line in lines}

    def is_up(self) -> bool | None:
        return self.entry("c", kind=CANVAS).status.is_up


def test_a_request_asks_for_the_last_14_days_up_to_a_minute_ago() -> None:
    """Braze refuses the future, and compares the flags with `true` as a text."""
    world = CanvasWorld(windows=["7d"])
    at = datetime.fromtimestamp(NOW - 60, UTC)

    world.run(until=NOW + 30)

    assert world.braze.canvas_requests == [
        {
            "canvas_id": "c",
            "length": 14,
            "ending_at": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "include_variant_breakdown": "true",
            "include_step_breakdown": "true",
            "include_deleted_step_data": "true",
        }
    ]
    assert world.sums() == {"7d": "21"}


def test_a_window_is_served_once_all_its_days_were_asked_for() -> None:
    world = CanvasWorld()
    seen: list[dict[str, str]] = []
    world.braze.on_request = lambda: seen.append(world.sums())

    world.run(until=NOW + 30)

    ages = [age_of(one, NOW + 30) for one in world.braze.canvas_requests]
    assert ages == [0, 13, 26]
    assert {one["length"] for one in world.braze.canvas_requests} == {14}
    assert seen == [{}, {"7d": "21"}, {"7d": "21"}]
    assert world.sums() == {"7d": "21", "28d": "84"}
    assert world.metric("polls_total", result="stored") == 2
    assert world.metric("polls_total", result="deferred") == 0


def test_older_days_are_read_again_four_times_a_day_and_not_for_a_new_day() -> None:
    """A day begins three times in three days, an hour from each of these reads."""
    world = CanvasWorld()
    world.run(until=NOW + 30)
    world.braze.requests.clear()
    reads: list[float] = []
    windows: set[tuple[str, ...]] = set()

    def note() -> None:
        windows.add(tuple(world.sums().values()))
        if age_of(world.braze.canvas_requests[-1], world.clock.wall()):
            reads.append(world.clock.time - NOW)

    world.braze.on_request = note
    world.run(until=NOW + 72 * HOUR)

    assert len(reads) == 2 * 12
    due = [REREAD_AFTER + 6 * HOUR * number for number in range(12) for _ in range(2)]
    assert all(0 <= at - slot < 1000 for at, slot in zip(reads, due, strict=True))
    newest = len(world.braze.canvas_requests) - len(reads)
    assert 72 * 4 - 2 <= newest <= 72 * 4 + 2
    assert windows == {("21", "84")}
    assert world.is_up()


def test_canvases_that_start_together_read_older_days_at_different_times() -> None:
    """Else each sixth hour would have half as many requests again as the others."""
    ids = "abcdefghijklmnopqrstuvwxyz"
    world = CanvasWorld(ids=ids)
    world.run(until=NOW + 900)
    world.braze.requests.clear()
    by_hour = Counter[int]()

    def note() -> None:
        if age_of(world.braze.canvas_requests[-1], world.clock.wall()):
            by_hour[int((world.clock.time - NOW) // HOUR)] += 1

    world.braze.on_request = note
    world.run(until=NOW + 12 * HOUR)

    assert by_hour.total() > 3 * len(ids)
    assert max(by_hour.values()) < len(ids)


@pytest.mark.parametrize("response", [TOO_LARGE, UNKNOWN, MALFORMED, DOWN])
def test_a_failed_request_for_older_days_costs_only_the_long_window(
    response: object, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and tried again after the next request for the newest days."""
    caplog.set_level(logging.INFO, logger="exporter")
    world = CanvasWorld()
    world.braze.older = response
    world.run(until=NOW + 450)
    (failed,) = (one for one in caplog.records if one.getMessage() == "poll.failed")
    before = world.sums(), world.is_up()

    world.braze.older = None
    ages = world.ages(until=NOW + 1.5 * 900 + 30)

    assert before == ({"7d": "21"}, True)
    assert (
        b"canvas_failure_info" not in world.entry("c", kind=CANVAS).status_blocks.text
    )
    fields = vars(failed)["fields"]
    assert (fields["canvas"], fields["older_days_request"]) == ("Canvas c", 1)
    assert ages[:3] == [0, 13, 26]
    assert world.sums() == {"7d": "21", "28d": "84"}
    assert caplog.messages[-1] == "poll.recovered"
    assert world.metric("polls_total", result="failed") == 0


@pytest.mark.parametrize("response", [TOO_LARGE, UNKNOWN, MALFORMED])
def test_requests_for_older_days_that_always_fail_become_as_rare_as_others(
    response: object,
) -> None:
    """After a failure they wait for as long as they have failed, six hours at most."""
    world = CanvasWorld()
    world.braze.older = response
    reads = world.hours_of_older_reads()
    world.run(until=NOW + 72 * HOUR)
    waits = [after - before for before, after in pairwise(reads)]

    world.braze.older = None
    world.run(until=NOW + 80 * HOUR)

    assert waits[0] <= 0.25
    assert waits[1:6] == pytest.approx([0.25, 0.5, 1, 2, 4], abs=0.1)
    assert waits[6:] == pytest.approx([6] * len(waits[6:]), abs=0.3)
    assert len(waits) == 6 + 10
    assert world.sums() == {"7d": "21", "28d": "84"}


@pytest.mark.parametrize("seconds", [-HOUR, HOUR])
def test_failed_requests_for_older_days_wait_as_long_if_the_wall_clock_is_set(
    seconds: float,
) -> None:
    world = CanvasWorld()
    world.braze.older = UNKNOWN
    reads = world.hours_of_older_reads()
    world.run(until=NOW + 1.25 * HOUR)
    known = len(reads)

    world.clock.set_wall(seconds=seconds)
    world.workspaces.after_clock_set()
    world.run(until=NOW + 5 * HOUR)

    assert reads[known:] == pytest.approx([2.1, 4.1], abs=0.3)


def test_a_failed_request_for_the_newest_days_sends_none_for_older_ones() -> None:
    world = CanvasWorld()
    world.braze.newest = TOO_LARGE

    ages = world.ages(until=NOW + 30)

    assert ages == [0]
    assert world.is_up() is False
    assert world.metric("polls_total", result="failed") == 1


def restarted(
    world: PollingWorld,
    *,
    after: float,
    windows: Iterable[str] = ("7d", "28d"),
    digest: str | None = None,
) -> CanvasWorld:
    """Return a world that starts later with what is kept of this one."""
    entry = world.entry("c", kind=CANVAS)
    assert entry.snapshot is not None
    assert entry.status.last_success_at is not None
    kept = Kept(
        entry.status.last_success_at,
        None,
        entry.snapshot,
        entry.older,
        entry.endpoint_digest if digest is None else digest,
    )
    clock = FakeClock(world.clock.time + after)
    return CanvasWorld({"c": kept}, windows=windows, clock=clock)


def test_older_days_do_not_survive_a_restart_with_another_endpoint() -> None:
    """Its values are served until others are read; no sum is of both accounts."""
    previous = CanvasWorld()
    previous.run(until=NOW + 30)

    world = restarted(previous, after=60, digest="of another one")
    at_once = world.sums()
    first = world.ages(until=NOW + 1000)

    assert at_once == {"7d": "21", "28d": "84"}
    assert first[:3] == [0, 13, 26]
    assert world.sums() == {"7d": "21", "28d": "84"}


def test_older_days_of_an_earlier_version_survive_a_restart() -> None:
    """It saved no endpoint."""
    previous = CanvasWorld()
    previous.run(until=NOW + 30)

    world = restarted(previous, after=60, digest="")

    assert set(world.ages(until=NOW + 1000)) == {0}


@pytest.mark.parametrize("after", [60.0, 2 * HOUR])
def test_older_days_survive_a_restart(after: float) -> None:
    """No request for them is sent before they are due, even if values are stale."""
    previous = CanvasWorld()
    previous.run(until=NOW + 30)

    world = restarted(previous, after=after)
    at_once = world.sums()
    before_due = world.ages(until=NOW + REREAD_AFTER)
    when_due = world.ages(until=NOW + REREAD_AFTER + 1000)

    assert at_once == ({"7d": "21", "28d": "84"} if after == 60 else {})
    assert before_due == [0] * len(before_due)
    assert len(before_due) > 1
    assert [age for age in when_due if age] == [13, 26]
    assert world.sums() == {"7d": "21", "28d": "84"}


def test_days_without_running_are_made_up_by_the_newest_request() -> None:
    """Older days, which were read three days ago, wait for their next slot.

    After a start all canvases would request them at once.
    """
    previous = CanvasWorld()
    previous.run(until=NOW + 30)

    world = restarted(previous, after=72 * HOUR)
    first = world.ages(until=world.clock.time + 30)
    served = world.sums()
    before_due = world.ages(until=NOW + 72 * HOUR + REREAD_AFTER)
    when_due = world.ages(until=NOW + 72 * HOUR + REREAD_AFTER + 1000)

    assert first == [0]
    assert served == {"7d": "21", "28d": "84"}
    assert before_due == [0] * len(before_due)
    assert [age for age in when_due if age] == [13, 26]


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_another_time_zone_keeps_the_older_days(zone: str) -> None:
    """Of a reload: the present day is another one there, or the same."""
    world = CanvasWorld()
    world.run(until=NOW + 30)

    changed = config(workspace("a", timezone=zone), windows=["7d", "28d"])
    world.apply(with_canvases(changed, "c"))
    assert world.sums() == {"7d": "21", "28d": "84"}
    ages = world.ages(until=NOW + 1.5 * 900 + 30)

    assert ages == [0] * len(ages)
    assert world.sums() == {"7d": "21", "28d": "84"}


@pytest.mark.parametrize("longest", ["7d", "14d"])
def test_shorter_windows_of_a_restart_need_no_older_days_again(longest: str) -> None:
    previous = CanvasWorld()
    previous.run(until=NOW + 30)

    world = restarted(previous, after=1200, windows=["1d", longest])
    ages = world.ages(until=world.clock.time + 30)

    assert ages == [0]
    assert world.sums() == {"1d": "3", longest: str(3 * int(longest[:-1]))}


def test_days_that_were_missed_during_a_long_stop_are_asked_for_first() -> None:
    previous = CanvasWorld()
    previous.run(until=NOW + 30)

    world = restarted(previous, after=20 * 24 * HOUR)
    ages = world.ages(until=world.clock.time + 30)

    assert ages == [0, 13, 26]
    assert world.sums() == {"7d": "21", "28d": "84"}


def test_a_longer_window_of_a_reload_is_served_after_the_next_poll() -> None:
    world = CanvasWorld(windows=["7d"])
    world.run(until=NOW + 30)

    longer = config(workspace("a"), windows=["7d", "28d"])
    world.apply(with_canvases(longer, "c"))
    assert world.sums() == {"7d": "21"}
    ages = world.ages(until=NOW + 1.5 * 900 + 30)

    assert ages[:3] == [0, 13, 26]
    assert world.sums() == {"7d": "21", "28d": "84"}
    shorter = config(workspace("a"), windows=["7d"])
    world.apply(with_canvases(shorter, "c"))
    assert world.ages(until=world.clock.time + 2 * 900) == [0, 0]
    assert world.sums() == {"7d": "21"}


def test_stale_newest_days_are_requested_before_older_ones() -> None:
    """A request for older days may have waited in the queue during a pause."""
    world = CanvasWorld()
    world.skip_first_round()
    due = PendingPoll(KEY, due_at=world.clock.time, request=1)

    upcoming = world.poll(poll=due)

    assert [age_of(one, NOW + 30) for one in world.braze.canvas_requests] == [0]
    assert upcoming is not None
    assert upcoming.request == 1
    assert world.sums() == {"7d": "21"}


@pytest.mark.parametrize("windows", [["7d"], []])
def test_shorter_windows_of_a_reload_end_the_requests_for_older_days(
    windows: list[str],
) -> None:
    """One that waits meanwhile would have its days served as the newest."""
    world = CanvasWorld()
    world.skip_first_round()
    waiting = world.poll(poll=PendingPoll(KEY, due_at=world.clock.time))
    assert waiting is not None
    assert waiting.request == 1
    world.group(CANVAS).queue.reschedule(waiting)
    world.braze.requests.clear()

    shorter = config(workspace("a"), windows=windows)
    world.apply(with_canvases(shorter, "c"))
    world.run(until=world.clock.time + 30)

    ages = [age_of(one, world.clock.wall()) for one in world.braze.canvas_requests]
    assert ages == [0]
    latest = world.entry("c", kind=CANVAS).snapshot
    assert latest is not None
    assert latest.latest is not None
    assert latest.latest.date == datetime.fromtimestamp(NOW, UTC).date()


def test_a_day_that_ends_between_the_requests_of_a_poll_is_not_complete() -> None:
    """Requests for older days may wait for hours; what they find is not lost."""
    world = CanvasWorld()
    world.skip_first_round()
    poll = world.poll(poll=PendingPoll(KEY, due_at=world.clock.time))
    before = world.entry("c", kind=CANVAS)
    assert poll is not None
    at = world.clock.time + 24 * HOUR
    world.group(CANVAS).queue.reschedule(poll._replace(at=at))

    older = world.ages(until=at + 30)
    meanwhile = world.entry("c", kind=CANVAS)
    newest = world.ages(until=at + 930)

    assert older == [13, 26]
    assert meanwhile.snapshot == before.snapshot
    assert newest == [0]
    assert world.sums() == {"7d": "21", "28d": "84"}


def test_another_account_is_asked_for_all_days() -> None:
    """No sum is of the days of two accounts; values are served until others come."""
    world = CanvasWorld()
    world.run(until=NOW + 30)
    moved = config(
        workspace("a", endpoint="https://rest.iad-02.braze.com"),
        windows=["7d", "28d"],
    )
    seen: list[dict[str, str]] = []

    world.apply(with_canvases(moved, "c"))
    world.braze.on_request = lambda: seen.append(world.sums())
    world.braze.requests.clear()
    world.run(until=NOW + 60)

    ages = [age_of(one, NOW + 60) for one in world.braze.canvas_requests]
    assert ages == [0, 13, 26]
    assert seen == [{"7d": "21", "28d": "84"}, {"7d": "21"}, {"7d": "21"}]
    assert world.sums() == {"7d": "21", "28d": "84"}


@pytest.mark.parametrize("seconds", [-HOUR, HOUR])
def test_older_days_are_read_when_due_even_if_the_wall_clock_is_set(
    seconds: float,
) -> None:
    world = CanvasWorld()
    world.run(until=NOW + 30)

    world.clock.set_wall(seconds=seconds)
    world.workspaces.after_clock_set()
    due_at = NOW + REREAD_AFTER - seconds
    before_due = world.ages(until=due_at)
    when_due = world.ages(until=due_at + 1000)

    assert before_due == [0] * len(before_due)
    assert [age for age in when_due if age] == [13, 26]


def test_a_canvas_that_comes_back_during_a_poll_is_read_at_once() -> None:
    """Its poll was for older days, which are nothing without the newest ones."""
    world = CanvasWorld()
    both = with_canvases(config(workspace("a"), windows=["7d", "28d"]), "cd")
    without = with_canvases(config(workspace("a"), windows=["7d", "28d"]), "d")
    world.apply(both)
    world.run(until=NOW + 60)

    def leave_and_come_back() -> None:
        world.apply(without)
        world.apply(both)

    world.braze.during = leave_and_come_back
    upcoming = world.poll(poll=PendingPoll(KEY, due_at=world.clock.time, request=2))

    assert upcoming is not None
    assert (upcoming.request, upcoming.at) == (0, world.clock.time)
    assert world.sums() == {}
    world.group(CANVAS).queue.reschedule(upcoming)
    world.run(until=world.clock.time + 30)
    assert world.sums() == {"7d": "21", "28d": "84"}
