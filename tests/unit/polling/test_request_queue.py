"""The line of a workspace's campaigns: order, budget, pause, and nobody is lost."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from queue import Queue
from random import Random
from threading import Barrier, Lock, Thread

import pytest
from exporter.braze.rate_limit import Budget
from exporter.model.errors import FailureReason, Unavailable
from exporter.model.rate_limit_headers import RateLimitHeaders
from exporter.polling import slots
from exporter.polling.request_queue import ENDPOINT, Pause, PendingPoll, RequestQueue
from hypothesis import given, settings
from hypothesis import strategies as st

NOW = 1_700_000_000.0
UNAUTHORIZED, FORBIDDEN = FailureReason.UNAUTHORIZED, FailureReason.FORBIDDEN
FULL = RateLimitHeaders(limit=50_000, remaining=50_000, reset_at=NOW + 60)
EMPTY = RateLimitHeaders(limit=50_000, remaining=0, reset_at=NOW + 60)


def turn(campaign_id: str, *, at: float = NOW) -> PendingPoll:
    """Return a campaign's turn."""
    return PendingPoll("shop", campaign_id, due_at=at, at=at)


class Calls(list[PendingPoll]):
    """What the line called, in order."""

    def ids(self) -> list[str]:
        """Return the campaigns that were called."""
        return [called.campaign_id for called in self]

    def last(self) -> tuple[str, float]:
        """Return who was called last, and how long after `NOW` his job is to run."""
        return self[-1].campaign_id, self[-1].at - NOW


def line_of(
    ids: str, *, spacing: float = 1.0, reserve: float = 0.2, concurrency: int = 4
) -> tuple[RequestQueue, Calls]:
    """Return a line of campaigns with one letter each, and what it calls."""
    calls = Calls()
    line = RequestQueue(
        Budget(spacing, reserve, concurrency),
        workspace="shop",
        campaign_ids=tuple(ids),
        call=calls.append,
    )
    return line, calls


def refuse(
    line: RequestQueue,
    campaign_id: str,
    *,
    reason: FailureReason = UNAUTHORIZED,
    now: float,
) -> Pause | None:
    """Let a campaign ask and be refused at once."""
    assert line.start(turn(campaign_id), now=now)
    return line.finish_refused(turn(campaign_id), FULL, reason=reason, now=now)


def accept(line: RequestQueue, campaign_id: str, *, now: float) -> None:
    """Let a campaign ask and be answered at once."""
    assert line.start(turn(campaign_id), now=now)
    line.finish(turn(campaign_id), FULL, is_key_accepted=True, now=now)


def paused(
    ids: str, *, reason: FailureReason = UNAUTHORIZED
) -> tuple[RequestQueue, Calls]:
    """Return a line whose first campaign was refused at `NOW`."""
    line, calls = line_of(ids)
    refuse(line, ids[0], reason=reason, now=NOW)
    return line, calls


def test_who_may_start_starts() -> None:
    """With nobody before him and the budget at rest, a campaign goes ahead uncalled."""
    line, calls = line_of("ab")

    is_started = line.start(turn("a"), now=NOW)

    assert is_started
    assert calls == []


def test_who_may_not_start_yet_is_called_when_he_may() -> None:
    """The call has the instant of the next start and tells that the turn waited."""
    line, calls = line_of("ab", spacing=1.0)
    line.start(turn("a"), now=NOW)

    is_started = line.start(turn("b"), now=NOW + 0.25)

    assert not is_started
    assert calls == [turn("b")._replace(at=NOW + 1.0, has_waited=True)]
    assert line.start(calls[0], now=NOW + 1.0)


def test_turns_start_in_the_order_of_their_coming() -> None:
    """A later one does not overtake, although the budget would let it."""
    line, calls = line_of("abc", spacing=1.0)
    line.start(turn("a"), now=NOW)
    line.start(turn("b"), now=NOW)

    overtakes = line.start(turn("c"), now=NOW + 1.5)
    line.start(turn("b"), now=NOW + 1.5)

    assert not overtakes
    assert calls.ids() == ["b", "c"]


def test_a_first_round_joins_at_once() -> None:
    """Only its head is called; each start calls the next one a spacing later."""
    line, calls = line_of("abc", spacing=2.0)

    line.join((turn("c"), turn("a"), turn("b")), now=NOW)
    for late in (0.0, 2.0, 4.0):
        assert line.start(calls[-1], now=NOW + late)

    assert [(one.campaign_id, one.at - NOW) for one in calls] == [
        ("c", 0.0),
        ("a", 2.0),
        ("b", 4.0),
    ]


def test_one_campaign_is_never_in_flight_twice() -> None:
    """A second job of it starts nothing, waits for nothing and spends nothing."""
    line, calls = line_of("ab", spacing=0.0)
    line.start(turn("a"), now=NOW)

    is_started = line.start(turn("a"), now=NOW + 5)

    assert not is_started
    assert calls == []
    assert line.bucket.in_flight == 1


def test_a_campaign_has_one_place_in_the_line() -> None:
    """A second job of one that waits does not let it wait twice."""
    line, calls = line_of("abc", spacing=1.0)
    for campaign_id in "abcc":
        line.start(turn(campaign_id), now=NOW)

    line.start(turn("b"), now=NOW + 1)
    line.start(turn("c"), now=NOW + 2)
    line.finish(turn("c"), FULL, is_key_accepted=True, now=NOW + 3)

    assert calls.ids() == ["b", "c"]


def test_who_comes_before_his_call_is_called_again() -> None:
    """A head whose job runs too early keeps its place and gets another job."""
    line, calls = line_of("ab", spacing=1.0)
    line.start(turn("a"), now=NOW)
    line.start(turn("b"), now=NOW)

    is_started = line.start(calls[0], now=NOW + 0.5)

    assert not is_started
    assert calls == [calls[0], calls[0]]


def test_a_full_line_waits_for_an_answer() -> None:
    """Where no instant is known, the end of a request brings the call."""
    line, calls = line_of("abc", spacing=0.0, concurrency=2)
    for campaign_id in "abc":
        line.start(turn(campaign_id), now=NOW)

    before = calls.ids()
    line.finish(turn("a"), FULL, is_key_accepted=True, now=NOW + 3)

    assert before == []
    assert calls.last() == ("c", 3.0)


def test_a_head_is_called_for_earlier_when_the_budget_lets_it() -> None:
    """An answer of a new window takes back the wait for the old one's reset."""
    line, calls = line_of("abc", spacing=0.0)
    for campaign_id in "ab":
        line.start(turn(campaign_id), now=NOW)
    line.finish(turn("a"), EMPTY, is_key_accepted=True, now=NOW)
    line.start(turn("c"), now=NOW)
    later = FULL._replace(reset_at=NOW + 120)

    line.finish(turn("b"), later, is_key_accepted=True, now=NOW + 30)

    assert [(one.campaign_id, one.at - NOW) for one in calls] == [
        ("c", 61.0),
        ("c", 30.0),
    ]


def test_who_leaves_makes_room() -> None:
    """A head that came too late gives its place to the next one."""
    line, calls = line_of("abc", spacing=1.0)
    for campaign_id in "abc":
        line.start(turn(campaign_id), now=NOW)

    line.leave(calls[0], now=NOW + 50)

    assert calls.last() == ("c", 50.0)


def test_leaving_without_a_place_changes_nothing() -> None:
    """A try that came too late and never waited takes nobody's place."""
    line, calls = line_of("abc", spacing=1.0)
    for campaign_id in "ab":
        line.start(turn(campaign_id), now=NOW)

    line.leave(turn("c"), now=NOW)

    assert calls.ids() == ["b"]


def test_429_tells_when_the_bucket_opens() -> None:
    """Who waits is called for then, and not before."""
    line, calls = line_of("ab", spacing=0.0)
    line.start(turn("a"), now=NOW)

    opens_at = line.finish_throttled(
        turn("a"), EMPTY, retry_after_seconds=None, now=NOW, fraction=0.2
    )
    line.start(turn("b"), now=NOW)

    assert opens_at == NOW + 61
    assert calls.last() == ("b", 61.0)


@pytest.mark.parametrize("reason", [UNAUTHORIZED, FORBIDDEN])
def test_a_refusal_pauses_the_workspace(reason: FailureReason) -> None:
    """The next campaign of the list is to probe a minute later, all others wait."""
    line, calls = line_of("abc")

    pause = refuse(line, "a", reason=reason, now=NOW)
    is_started = line.start(turn("c"), now=NOW + 30)

    assert pause is line.pause
    assert pause is not None
    assert (pause.reason, pause.probe_id, pause.failures) == (reason, "b", 1)
    assert not is_started
    assert [(one.campaign_id, one.at - NOW) for one in calls] == [("b", 60.0)]


def test_a_probe_is_the_lines_to_set() -> None:
    """Only of the campaign that probes it is said that the line calls it."""
    line, _ = paused("ab")

    assert [line.is_called(campaign_id) for campaign_id in "ab"] == [False, True]


def test_nobody_is_called_without_a_pause() -> None:
    """Outside of a pause each campaign's next job is its poll's to set."""
    line, _ = line_of("ab")

    assert not line.is_called("a")


def test_probes_rotate_and_become_rarer() -> None:
    """After 1, 2, 4, 8, 15 and 15 minutes, each time the next campaign."""
    line, calls = paused("abc")
    now, waits = NOW, []
    for _ in range(6):
        called = calls[-1]
        waits.append((called.campaign_id, (called.at - now) / 60))
        now = called.at
        refuse(line, called.campaign_id, now=now)

    assert waits == [("b", 1), ("c", 2), ("a", 4), ("b", 8), ("c", 15), ("a", 15)]


def test_a_workspace_of_one_campaign_probes_with_it() -> None:
    """Who was refused asks again himself when there is nobody else."""
    _, calls = paused("a")

    assert calls.last() == ("a", 60.0)


def test_who_is_in_flight_does_not_probe() -> None:
    """The rotation passes him, for his answer is on its way."""
    line, calls = line_of("abc", spacing=0.0)
    for campaign_id in "ab":
        line.start(turn(campaign_id), now=NOW)

    line.finish_refused(turn("a"), FULL, reason=UNAUTHORIZED, now=NOW)

    assert calls.last() == ("c", 60.0)


def test_two_refusals_at_once_are_one_pause() -> None:
    """The second one neither moves the probe nor makes it later."""
    line, calls = line_of("abc", spacing=0.0)
    for campaign_id in "ac":
        line.start(turn(campaign_id), now=NOW)
    first = line.finish_refused(turn("a"), FULL, reason=UNAUTHORIZED, now=NOW)

    second = line.finish_refused(turn("c"), FULL, reason=UNAUTHORIZED, now=NOW + 1)

    assert first == second
    assert calls.ids() == ["b"]


def test_a_probe_waits_for_its_time() -> None:
    """Its regular job, or a try on its way, becomes the probe it is called for."""
    line, calls = paused("ab")

    is_started = line.start(turn("b"), now=NOW + 10)

    assert not is_started
    assert calls.last() == ("b", 60.0)


def test_a_probe_that_comes_too_late_for_its_try_is_called_again() -> None:
    """A try of the campaign that took the place of its probe's job gives it back."""
    line, calls = paused("ab")
    calls.clear()

    line.leave(turn("b"), now=NOW + 10)

    assert calls.last() == ("b", 60.0)


def test_a_probe_obeys_the_budget() -> None:
    """It waits for an empty bucket's reset like any other request."""
    line, calls = line_of("ab")
    line.start(turn("a"), now=NOW)

    line.finish_throttled(
        turn("a"), EMPTY, retry_after_seconds=900.0, now=NOW, fraction=0.0
    )
    line.start(turn("b"), now=NOW + 61)
    line.finish_refused(turn("b"), FULL, reason=UNAUTHORIZED, now=NOW + 61)
    late = EMPTY._replace(reset_at=NOW + 900)
    line.start(turn("a"), now=NOW + 121)
    line.finish_throttled(
        turn("a"), late, retry_after_seconds=None, now=NOW + 121, fraction=0.0
    )

    assert calls.last() == ("b", 901.0)


def test_a_probe_without_room_looks_again_later() -> None:
    """Where only an answer makes room it does not ask without a rest."""
    line, calls = line_of("abc", spacing=0.0)
    tiny = RateLimitHeaders(limit=1, remaining=1, reset_at=NOW + 1)
    line.start(turn("a"), now=NOW)
    line.start(turn("c"), now=NOW)
    line.finish_refused(turn("a"), tiny, reason=UNAUTHORIZED, now=NOW)

    is_started = line.start(calls[-1], now=NOW + 60)

    assert not is_started
    assert calls.last() == ("b", 61.0)


def test_an_accepted_probe_resumes_the_workspace() -> None:
    """Who waited meanwhile is called, in the order of coming."""
    line, calls = paused("abcd")
    for campaign_id in "dc":
        line.start(turn(campaign_id), now=NOW + 30)

    accept(line, "b", now=NOW + 60)

    assert line.pause is None
    assert calls.last() == ("d", 61.0)


def test_a_head_called_before_the_pause_is_called_again_after_it() -> None:
    """Its job ran in vain meanwhile, and it kept its place."""
    line, calls = line_of("abc", spacing=1.0)
    line.start(turn("a"), now=NOW)
    line.start(turn("c"), now=NOW)
    line.finish_refused(turn("a"), FULL, reason=UNAUTHORIZED, now=NOW)
    line.start(turn("c"), now=NOW + 1)

    accept(line, "b", now=NOW + 60)

    assert calls.last() == ("c", 61.0)


def test_a_probe_leaves_the_line() -> None:
    """It is called for its probe, not for the place at which it waited."""
    line, calls = line_of("ab", spacing=1.0)
    line.start(turn("a"), now=NOW)
    line.start(turn("b"), now=NOW)
    line.finish_refused(turn("a"), FULL, reason=UNAUTHORIZED, now=NOW)
    line.start(turn("a"), now=NOW + 30)

    accept(line, "b", now=NOW + 60)

    assert [(one.campaign_id, one.at - NOW) for one in calls] == [
        ("b", 1.0),
        ("b", 60.0),
        ("a", 61.0),
    ]


def test_an_answer_that_says_nothing_of_the_key_probes_on() -> None:
    """A 5xx, no answer, or a 429 to the probe: the next one comes, and later."""
    line, calls = paused("abc")

    line.start(turn("b"), now=NOW + 60)
    line.finish(turn("b"), None, is_key_accepted=False, now=NOW + 60)
    first = calls.last()
    line.start(turn("c"), now=NOW + 180)
    line.finish_throttled(
        turn("c"), FULL, retry_after_seconds=None, now=NOW + 180, fraction=0.0
    )

    assert first == ("c", 180.0)
    assert calls.last() == ("a", 420.0)


def test_an_answer_begun_before_the_pause_does_not_end_it() -> None:
    """It may have been given before the key was withdrawn; the probe decides."""
    line, _ = line_of("abc", spacing=0.0)
    for campaign_id in "ac":
        line.start(turn(campaign_id), now=NOW)
    line.finish_refused(turn("a"), FULL, reason=UNAUTHORIZED, now=NOW)

    line.finish(turn("c"), FULL, is_key_accepted=True, now=NOW + 1)

    assert line.pause is not None


def test_any_other_answer_ends_a_pause_after_403() -> None:
    """The key is good, one campaign is forbidden; who was to probe goes on at once."""
    line, calls = line_of("abc", spacing=0.0)
    for campaign_id in "ac":
        line.start(turn(campaign_id), now=NOW)
    line.finish_refused(turn("a"), FULL, reason=FORBIDDEN, now=NOW)

    line.finish(turn("c"), FULL, is_key_accepted=True, now=NOW + 1)

    assert line.pause is None
    assert calls.last() == ("b", 1.0)
    accept(line, "b", now=NOW + 1)
    assert refuse(line, "a", reason=FORBIDDEN, now=NOW + 2) is None


def test_a_changed_key_is_probed_at_once() -> None:
    """The steps of the waits begin anew, from a minute."""
    line, calls = paused("abc")
    for now in (NOW + 60, NOW + 180):
        refuse(line, calls[-1].campaign_id, now=now)

    line.probe_now(now=NOW + 200)
    at_once = calls.last()
    refuse(line, "a", now=NOW + 200)

    assert at_once == ("a", 200.0)
    assert calls.last() == ("b", 260.0)


def test_a_key_changed_during_a_probe_is_probed_in_a_minute() -> None:
    """The probe on its way gets no second job, and its failure is the first."""
    line, calls = paused("abc")
    refuse(line, "b", now=NOW + 60)
    line.start(turn("c"), now=NOW + 180)
    calls.clear()

    line.probe_now(now=NOW + 181)
    line.finish_refused(turn("c"), FULL, reason=UNAUTHORIZED, now=NOW + 182)

    assert [(one.campaign_id, one.at - NOW) for one in calls] == [("a", 242.0)]


def test_a_changed_key_without_a_pause_is_no_matter() -> None:
    """The next poll takes it anyway."""
    line, calls = line_of("a")

    line.probe_now(now=NOW)

    assert calls == []


def forbidden_by_itself() -> tuple[RequestQueue, Calls]:
    """Return a line whose campaign `a` got 403 while the probe `b` was accepted."""
    line, calls = paused("abc", reason=FORBIDDEN)
    accept(line, "b", now=NOW + 60)
    return line, calls


def test_who_is_forbidden_by_itself_pauses_nobody() -> None:
    """Once another was accepted, its next 403 is its own matter."""
    line, _ = forbidden_by_itself()

    pause = refuse(line, "a", reason=FORBIDDEN, now=NOW + 100)

    assert pause is None
    assert line.pause is None


def test_who_waits_is_called_when_one_is_forbidden_by_itself() -> None:
    """Its answer makes room like any other."""
    line, calls = forbidden_by_itself()
    line.start(turn("a"), now=NOW + 100)
    line.start(turn("c"), now=NOW + 100)

    line.finish_refused(turn("a"), FULL, reason=FORBIDDEN, now=NOW + 100)

    assert calls.last() == ("c", 101.0)


def test_403_of_another_campaign_pauses_again() -> None:
    """Being forbidden is remembered per campaign."""
    line, _ = forbidden_by_itself()

    pause = refuse(line, "c", reason=FORBIDDEN, now=NOW + 100)

    assert pause is not None


def test_401_pauses_whoever_gets_it() -> None:
    """It is about the key: a campaign forbidden by itself says as much of it."""
    line, _ = forbidden_by_itself()

    pause = refuse(line, "a", reason=UNAUTHORIZED, now=NOW + 100)

    assert pause is not None
    assert pause.reason is UNAUTHORIZED


def test_an_accepted_campaign_is_no_longer_forbidden() -> None:
    """After `clear` its next 403 pauses the workspace as the first one did."""
    line, _ = forbidden_by_itself()

    line.clear("a")

    assert refuse(line, "a", reason=FORBIDDEN, now=NOW + 100) is not None


def test_whoever_resumes_is_not_forbidden() -> None:
    """A probe accepted after its own 403, now or earlier, may pause again."""
    line, calls = forbidden_by_itself()
    refuse(line, "c", reason=FORBIDDEN, now=NOW + 100)
    assert calls.last() == ("a", 160.0)
    accept(line, "a", now=NOW + 160)

    pause = refuse(line, "a", reason=FORBIDDEN, now=NOW + 200)

    assert pause is not None


def test_all_forbidden_is_a_pause() -> None:
    """Where every campaign gets 403, the key lacks a permission: probes go on."""
    line, calls = paused("ab", reason=FORBIDDEN)
    for _ in range(4):
        refuse(line, calls[-1].campaign_id, reason=FORBIDDEN, now=calls[-1].at)

    pause = line.pause

    assert pause is not None
    assert pause.forbidden_ids == {"a", "b"}


def test_401_forbids_no_campaign() -> None:
    """When a key is good again, nobody is known to be refused by himself."""
    line, _ = paused("ab", reason=UNAUTHORIZED)
    accept(line, "b", now=NOW + 60)

    assert refuse(line, "a", reason=FORBIDDEN, now=NOW + 100) is not None


def test_a_poll_that_breaks_off_gives_back_its_room() -> None:
    """Its request is accounted for, and the next one in line is called."""
    line, calls = line_of("ab", spacing=0.0, concurrency=1)
    line.start(turn("a"), now=NOW)
    line.start(turn("b"), now=NOW)

    line.abandon(turn("a"), now=NOW + 2)

    assert line.bucket.in_flight == 0
    assert calls.last() == ("b", 2.0)


def test_a_poll_that_breaks_off_unstarted_is_no_request() -> None:
    """Nothing is taken from the account twice."""
    line, _ = line_of("ab")

    line.abandon(turn("a"), now=NOW)

    assert line.bucket.in_flight == 0


def test_a_probe_that_breaks_off_is_followed_by_another() -> None:
    """A fault of ours does not leave the workspace paused for ever."""
    line, calls = paused("abc")
    line.start(turn("b"), now=NOW + 60)

    line.abandon(turn("b"), now=NOW + 60)

    assert calls.last() == ("c", 180.0)


# What follows runs campaigns through a line as the poller and the daemon do, to see
# that nobody is ever lost, whatever Braze answers and however threads take turns.

Answers = Callable[[str, float], str]
"""(campaign id, now) → ok, broken, bad, 401, 403 or 429."""

Work = Iterator[float]
"""A worker's steps: it yields how many seconds pass before its next one."""


class Floor:
    """A clock, jobs by campaign, and workers that take their steps one by one.

    `haste` is the longest time between two steps of a worker, in which others take
    theirs: with 0 each part of a poll is done at once.
    """

    def __init__(
        self,
        *,
        campaigns: int,
        spacing: float,
        interval: float,
        answers: Answers,
        random: Random,
        haste: float = 0.0,
    ) -> None:
        self.now = NOW
        self.ids = tuple(f"c{number}" for number in range(campaigns))
        self.answers = answers
        self.requests: list[tuple[float, str]] = []
        self.jobs: dict[str, PendingPoll] = {}
        self.in_flight: set[str] = set()
        self.waiting: list[str] = []
        self._interval = interval
        self._spacing = spacing
        self._random = random
        self._haste = haste
        self._number = 0
        self._events: list[tuple[float, int, PendingPoll | Work]] = []
        self.line = RequestQueue(
            Budget(spacing, 0.2, 4),
            workspace="shop",
            campaign_ids=self.ids,
            call=self._call,
        )

    def begin(self) -> None:
        """Let the first round join."""
        self.waiting.extend(self.ids)
        self.line.join(tuple(map(turn, self.ids)), now=NOW)

    def run(self, *, until: float) -> None:
        """Take steps until an instant."""
        while self._events[0][0] <= until:
            self.step()
        self.now = until

    def step(self) -> None:
        """Run the next due job, or let the next worker take a step."""
        at, _, work = heappop(self._events)
        self.now = max(self.now, at)
        if isinstance(work, PendingPoll):
            if self.jobs.get(work.campaign_id) is not work:
                return  # another job took its place
            del self.jobs[work.campaign_id]
            work = self._poll(work)
        seconds = next(work, None)
        if seconds is not None:
            self._push(self.now + seconds, work)

    def places(self, campaign_id: str) -> list[str]:
        """Return where a campaign is now; a head that is called is in the line."""
        places = ["waiting"] * self.waiting.count(campaign_id)
        if campaign_id in self.in_flight:
            places.append("in flight")
        if campaign_id in self.jobs and self.waiting[:1] != [campaign_id]:
            places.append("scheduled")
        return places

    def _push(self, at: float, work: PendingPoll | Work) -> None:
        self._number += 1
        heappush(self._events, (at, self._number, work))

    def _schedule(self, upcoming: PendingPoll) -> None:
        self.jobs[upcoming.campaign_id] = upcoming
        self._push(upcoming.at, upcoming)

    def _call(self, called: PendingPoll) -> None:
        assert math.isfinite(called.at)
        if self.line.is_called(called.campaign_id) and called.campaign_id in (
            self.waiting
        ):
            self.waiting.remove(called.campaign_id)
        self._schedule(called)

    def _pass_time(self) -> Work:
        """Let other workers take a step, if there is no haste."""
        if self._haste:
            yield self._random.random() * self._haste

    def _poll(self, one: PendingPoll) -> Work:
        yield from self._pass_time()
        now = self.now
        if one.failure and slots.is_over(
            first_try_at=one.first_try_at, now=now, interval_seconds=self._interval
        ):
            self.line.leave(one, now=now)
            if self.waiting[:1] == [one.campaign_id]:
                self.waiting.pop(0)
            yield from self._go_on(one)
            return
        yield from self._pass_time()
        if not self._start(one, now):
            return
        first_try_at = min(one.first_try_at, now)
        one = one._replace(tries=one.tries + 1, first_try_at=first_try_at)
        yield self._random.random() * 3
        yield from self._take(one, self.answers(one.campaign_id, self.now))

    def _start(self, one: PendingPoll, now: float) -> bool:
        campaign_id = one.campaign_id
        pause = self.line.pause
        if not self.line.start(one, now=now):
            is_placed = campaign_id in {*self.waiting, *self.in_flight}
            if not is_placed and not self.line.is_called(campaign_id):
                self.waiting.append(campaign_id)
            return False
        assert campaign_id not in self.in_flight
        assert not self.requests or now >= self.requests[-1][0] + self._spacing
        if pause is None:
            assert self.waiting[:1] in ([], [campaign_id])
            del self.waiting[:1]
        else:
            assert campaign_id == pause.probe_id
            assert now >= pause.probe_at
        self.in_flight.add(campaign_id)
        self.requests.append((now, campaign_id))
        return True

    def _take(self, one: PendingPoll, answer: str) -> Work:
        """Account for an answer as the poller does."""
        line, now = self.line, self.now
        yield from self._pass_time()
        allowance = RateLimitHeaders(1000, 900, now + 60)
        self.in_flight.discard(one.campaign_id)
        if answer in {"401", "403"}:
            reason = UNAUTHORIZED if answer == "401" else FORBIDDEN
            line.finish_refused(one, allowance, reason=reason, now=now)
        elif answer == "429":
            opens_at = line.finish_throttled(
                one, allowance, retry_after_seconds=None, now=now, fraction=0.5
            )
            yield from self._go_on(one, at=opens_at)
            return
        else:
            has_answer = answer != "broken"
            allowed = allowance if has_answer else None
            line.finish(one, allowed, is_key_accepted=has_answer, now=now)
        if answer == "ok":
            line.clear(one.campaign_id)
        if answer == "broken" and not line.is_called(one.campaign_id):
            yield from self._try_again(one)
        else:
            yield from self._go_on(one)

    def _try_again(self, one: PendingPoll) -> Work:
        at = slots.next_try(
            tries=one.tries,
            first_try_at=one.first_try_at,
            now=self.now,
            interval_seconds=self._interval,
            fraction=self._random.random(),
        )
        if at is None:
            yield from self._go_on(one)
            return
        failure = Unavailable("broken", reason=FailureReason.CONNECTION)
        yield from self._pass_time()
        self._schedule(one._replace(failure=failure, at=at, has_waited=False))

    def _go_on(self, one: PendingPoll, *, at: float | None = None) -> Work:
        if self.line.is_called(one.campaign_id):
            return
        slot = slots.slot_following(
            due_at=min(one.due_at, self.now),
            began_at=min(one.first_try_at, self.now),
            now=self.now,
            phase=slots.phase(one.campaign_id),
            interval_seconds=self._interval,
        )
        due_at = at or slot
        yield from self._pass_time()
        self._schedule(
            PendingPoll(
                "shop", one.campaign_id, due_at=due_at, at=max(due_at, self.now)
            )
        )


KINDS = ("ok", "broken", "bad", "401", "403", "429")
weights = st.lists(st.sampled_from([0, 0, 1, 5]), min_size=6, max_size=6)


@dataclass
class Moody:
    """Answers drawn with weights; some campaigns are forbidden by themselves."""

    weights: list[int]
    random: Random
    forbidden: frozenset[str]

    def __call__(self, campaign_id: str, now: float) -> str:
        """Return an answer; `now` is of no interest."""
        del now
        if campaign_id in self.forbidden:
            return "403"
        mood = [10, *self.weights[1:]]
        return self.random.choices(KINDS, mood)[0]


def all_well(campaign_id: str, now: float) -> str:
    """Answer everything well."""
    del campaign_id, now
    return "ok"


@settings(max_examples=30, deadline=None)
@given(
    campaigns=st.integers(1, 12),
    spacing=st.sampled_from([0.0, 0.1, 2.0, 10.0]),
    weights=weights,
    seed=st.integers(0, 2**32),
    changes_key=st.booleans(),
)
def test_nobody_is_lost(
    *,
    campaigns: int,
    spacing: float,
    weights: list[int],
    seed: int,
    changes_key: bool,
) -> None:
    """At any time each campaign waits, is scheduled or is in flight: one of them.

    Starts are a spacing apart, in the order of coming, and in a pause only the probe
    asks; whatever the answers were, all are polled again when they are well.
    """
    random = Random(seed)
    moody = Moody(weights, random, frozenset(random.choices(["c0", "c1", "x"], k=1)))
    floor = Floor(
        campaigns=campaigns,
        spacing=spacing,
        interval=60.0,
        answers=moody,
        random=random,
    )

    floor.begin()
    for _ in range(600):
        floor.step()
        assert [len(floor.places(one)) for one in floor.ids] == [1] * campaigns
        if changes_key and random.random() < 0.01:
            floor.line.probe_now(now=floor.now)

    floor.answers = all_well
    floor.run(until=floor.now + 2400)
    recent = {one for at, one in floor.requests if at > floor.now - 300}
    assert recent == set(floor.ids)


@settings(max_examples=40, deadline=None)
@given(
    campaigns=st.integers(1, 8),
    weights=weights,
    seed=st.integers(0, 2**32),
    haste=st.sampled_from([0.01, 1.0, 20.0]),
)
def test_nobody_is_lost_however_threads_take_turns(
    *, campaigns: int, weights: list[int], seed: int, haste: float
) -> None:
    """Between any two steps of a poll others may take theirs, and jobs may be late.

    No campaign is in flight twice, and all are polled again when all is well.
    """
    random = Random(seed)
    floor = Floor(
        campaigns=campaigns,
        spacing=0.5,
        interval=60.0,
        answers=Moody(weights, random, frozenset()),
        random=random,
        haste=haste,
    )

    floor.begin()
    for _ in range(600):
        floor.step()
        if random.random() < 0.01:
            floor.line.probe_now(now=floor.now)

    floor.answers = all_well
    floor.run(until=floor.now + 2400)
    recent = {one for at, one in floor.requests if at > floor.now - 600}
    assert recent == set(floor.ids)


class Shift:
    """Real threads that serve jobs as soon as they come; a job moves the clock on."""

    def __init__(self, *, campaigns: int, polls: int, seed: int) -> None:
        self.polls: Counter[str] = Counter()
        self.collisions = 0
        self._wanted = polls
        self._seed = seed
        self._lock = Lock()
        self._now = NOW
        self._jobs: dict[str, PendingPoll] = {}
        self._due: Queue[str | None] = Queue()
        self._in_flight: set[str] = set()
        self._ids = tuple(f"c{number}" for number in range(campaigns))
        self._line = RequestQueue(
            Budget(0.1, 0.2, 4),
            workspace="shop",
            campaign_ids=self._ids,
            call=self._schedule,
        )

    def work(self, *, threads: int) -> None:
        """Serve until each campaign was polled well often enough."""
        barrier = Barrier(threads)
        workers = [
            Thread(target=self._serve_all, args=(barrier, Random(self._seed + number)))
            for number in range(threads)
        ]
        for worker in workers:
            worker.start()
        self._line.join(tuple(map(turn, self._ids)), now=NOW)
        for worker in workers:
            worker.join()

    def _serve_all(self, barrier: Barrier, random: Random) -> None:
        barrier.wait()
        while (campaign_id := self._due.get(timeout=5)) is not None:
            with self._lock:
                one = self._jobs.pop(campaign_id, None)
                self._now = max(self._now, one.at if one else 0.0)
            if one and self._line.start(one, now=self._now):
                self._ask(one, random)
            with self._lock:
                is_over = all(self.polls[one] >= self._wanted for one in self._ids)
            if is_over:
                self._due.put(None)
        self._due.put(None)  # the next worker ends, too

    def _ask(self, one: PendingPoll, random: Random) -> None:
        line, campaign_id = self._line, one.campaign_id
        with self._lock:
            self.collisions += campaign_id in self._in_flight
            self._in_flight.add(campaign_id)
        answer = random.choices(KINDS, [20, 2, 2, 1, 1, 2])[0]
        allowance = RateLimitHeaders(1000, random.randrange(1000), self._now + 60)
        with self._lock:
            self._in_flight.discard(campaign_id)
            self.polls[campaign_id] += answer == "ok"
        now = self._now
        if answer in {"401", "403"}:
            reason = UNAUTHORIZED if answer == "401" else FORBIDDEN
            line.finish_refused(one, allowance, reason=reason, now=now)
        elif answer == "429":
            line.finish_throttled(
                one, allowance, retry_after_seconds=5.0, now=now, fraction=0.0
            )
        else:
            is_key_accepted = answer != "broken"
            line.finish(one, allowance, is_key_accepted=is_key_accepted, now=now)
        if answer == "ok":
            line.clear(campaign_id)
        if not line.is_called(campaign_id):
            self._schedule(turn(campaign_id, at=now + random.random() * 60))

    def _schedule(self, upcoming: PendingPoll) -> None:
        with self._lock:
            self._jobs[upcoming.campaign_id] = upcoming
        self._due.put(upcoming.campaign_id)


@pytest.mark.parametrize("seed", range(3))
def test_threads_share_a_line(seed: int) -> None:
    """Eight of them poll thirty campaigns: none meets itself, none is lost."""
    shift = Shift(campaigns=30, polls=20, seed=seed)

    shift.work(threads=8)

    assert shift.collisions == 0
    assert min(shift.polls.values()) >= 20


def test_a_next_turn_is_booked_unless_the_line_calls_it() -> None:
    """Who waits, is in flight or probes has no other job; nor has who left."""
    line, calls = line_of("abcd", spacing=1.0)
    line.start(turn("a"), now=NOW)
    line.start(turn("b"), now=NOW)
    calls.clear()

    for campaign_id in "abcx":
        line.book(turn(campaign_id, at=NOW + 300))

    assert calls == [turn("c", at=NOW + 300)]


def test_a_probe_is_not_booked() -> None:
    """Its next turn is the probe."""
    line, calls = paused("ab")
    assert line.pause
    calls.clear()

    line.book(turn(line.pause.probe_id))

    assert calls == []


def test_a_reshaped_line_keeps_its_order_and_what_it_learnt() -> None:
    """Who leaves makes room, the others keep their places, under the new bounds."""
    line, calls = line_of("abcd", spacing=1.0)
    for campaign_id in "abcd":
        line.start(turn(campaign_id), now=NOW)
    calls.clear()

    line.reshape(Budget(4.0, 0.2, 4), tuple("acde"), now=NOW + 0.5)
    line.join((turn("e"),), now=NOW + 0.5)

    assert calls.last() == ("c", 1.0)
    order = []
    for late in (1.0, 5.0, 9.0):
        order.append(calls[-1].campaign_id)
        assert line.start(calls[-1], now=NOW + late)
    assert order == ["c", "d", "e"]
    assert line.bucket.in_flight == 4


def test_who_left_does_not_start() -> None:
    """A job of his that was on its way holds nobody up."""
    line, calls = line_of("ab", spacing=0.0)
    line.reshape(Budget(0.0, 0.2, 4), ("b",), now=NOW)

    is_started = line.start(turn("a"), now=NOW)

    assert not is_started
    assert line.start(turn("b"), now=NOW)
    assert calls == []


def test_who_comes_back_in_the_midst_of_his_poll_does_not_wait_twice() -> None:
    """He goes on from there, and those behind him are called."""
    line, calls = line_of("ab", spacing=1.0)
    line.start(turn("a"), now=NOW)
    line.reshape(Budget(1.0, 0.2, 4), ("b",), now=NOW)
    line.reshape(Budget(1.0, 0.2, 4), ("a", "b"), now=NOW)

    line.join((turn("a"), turn("b")), now=NOW)

    assert calls.ids() == ["b"]


def test_a_probe_that_leaves_is_followed_by_another() -> None:
    """At the instant at which it would have asked; who was refused is forgotten."""
    line, calls = paused("abc", reason=FORBIDDEN)
    assert line.pause
    assert line.pause.probe_id == "b"
    calls.clear()

    line.reshape(Budget(1.0, 0.2, 4), ("a", "c"), now=NOW + 1)

    assert line.pause.probe_id != "b"
    assert calls.last() == (line.pause.probe_id, 60.0)
    assert line.start(calls[-1], now=NOW + 60)


def test_a_closed_line_calls_nobody() -> None:
    """What is in flight is accounted for, even if it is refused."""
    line, calls = line_of("abc", spacing=1.0)
    for campaign_id in "abc":
        line.start(turn(campaign_id), now=NOW)
    calls.clear()

    line.close()
    line.finish_refused(turn("a"), FULL, reason=UNAUTHORIZED, now=NOW + 2)
    line.book(turn("c"))

    assert calls == []
    assert line.bucket.in_flight == 0
    assert not line.start(turn("b"), now=NOW + 9)


def test_windows_that_a_wrong_clock_told_are_not_waited_for() -> None:
    """Who waited for a reset starts at once; the ceiling and a 429 hold as before."""
    line, calls = line_of("abc", spacing=10.0)
    empty = RateLimitHeaders(100, 0, NOW + 3000)
    line.start(turn("a"), now=NOW)
    line.finish(turn("a"), empty, is_key_accepted=True, now=NOW + 1)
    line.start(turn("b"), now=NOW + 2)
    assert calls.last() == ("b", 3001)

    line.forget_windows(now=NOW + 3)

    assert calls.last() == ("b", 10)
    assert not line.start(calls[-1], now=NOW + 9)
    assert line.start(calls[-1], now=NOW + 10)


def test_a_probe_waits_for_no_window_that_a_wrong_clock_told() -> None:
    """It comes when it would have come without."""
    line, calls = line_of("ab")
    line.start(turn("a"), now=NOW)
    line.finish_refused(
        turn("a"), RateLimitHeaders(100, 0, NOW + 3000), reason=UNAUTHORIZED, now=NOW
    )
    assert calls.last() == ("b", 3001)

    line.forget_windows(now=NOW + 3)

    assert calls.last() == ("b", 60)


def test_an_outlook_is_of_one_instant() -> None:
    """Who is in flight, who waits in which place, and when the next may start."""
    line, _ = line_of("abc", spacing=2.0)
    line.join(tuple(turn(one) for one in "abc"), now=NOW)
    line.start(turn("a"), now=NOW)

    outlook = line.outlook(now=NOW)

    assert outlook.in_flight == {"a"}
    assert outlook.places == {"b": 0, "c": 1}
    assert outlook.earliest == NOW + 2
    assert outlook.budget.bucket(ENDPOINT).in_flight == 1
    assert outlook.pause is None
