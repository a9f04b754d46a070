"""APScheduler's part: whatever is planned is run, once, by its workspace's threads."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from exporter.polling.request_queue import PendingPoll
from exporter.polling.scheduler import Scheduler, Task

from tests.support.daemon_process import PATIENCE_SECONDS, until


class Desk:
    """Serves turns as it is told to, and notes them."""

    def __init__(self) -> None:
        self.served: list[PendingPoll] = []
        self.threads: set[str] = set()
        self.act: Callable[[PendingPoll], None] = lambda _: None

    def serve(self, turn: PendingPoll) -> None:
        """Do what is asked, then note the turn."""
        self.threads.add(threading.current_thread().name)
        self.act(turn)
        self.served.append(turn)

    def count(self) -> Counter[str]:
        """Return how often each campaign was served."""
        return Counter(turn.campaign_id for turn in self.served)


@contextmanager
def open_jobs(
    desk: Desk, *workspaces: str, concurrency: int = 2
) -> Iterator[Scheduler]:
    """Run jobs for workspaces."""
    jobs = Scheduler(desk.serve)
    for workspace in workspaces:
        jobs.open(workspace, concurrency=concurrency)
    jobs.start()
    try:
        yield jobs
    finally:
        jobs.stop()


def turn(
    campaign_id: str, *, after: float = 0.0, workspace: str = "shop"
) -> PendingPoll:
    """Return a turn that is due so many seconds from now."""
    at = time.time() + after
    return PendingPoll(workspace, campaign_id, due_at=at, at=at)


def test_a_job_however_late_is_run() -> None:
    """A job that is given up would be a campaign that is lost."""
    desk = Desk()
    late = turn("a", after=-7200)

    with open_jobs(desk, "shop") as jobs:
        jobs.put(late)
        until(lambda: desk.served)

    assert desk.served == [late]


def test_a_new_job_takes_the_place_of_its_campaigns_former_one() -> None:
    """What runs is the last one that was put, and it runs once."""
    desk = Desk()

    with open_jobs(desk, "shop") as jobs:
        for after in (9000.0, 8000.0, 0.0):
            jobs.put(turn("a", after=after))
        jobs.put(turn("b", after=0.1))
        until(lambda: len(desk.served) == 2)

        assert jobs.planned("shop", "a") is None

    assert desk.count() == {"a": 1, "b": 1}


def test_what_is_planned_can_be_looked_at_and_dropped() -> None:
    """Dropped again it makes no noise."""
    desk = Desk()
    later = turn("a", after=900)

    with open_jobs(desk, "shop") as jobs:
        jobs.put(later)
        planned = jobs.planned("shop", "a")
        all_planned = jobs.all_planned()
        jobs.drop("shop", "a")
        jobs.drop("shop", "a")

        assert planned == later
        assert all_planned == {("shop", "a"): later.at}
        assert jobs.planned("shop", "a") is None
        assert jobs.all_planned() == {}


def test_a_workspace_that_hangs_delays_no_other() -> None:
    """Each has threads of its own."""
    desk, is_over = Desk(), threading.Event()

    def act(served: PendingPoll) -> None:
        if served.workspace == "stuck":
            assert is_over.wait(PATIENCE_SECONDS)

    desk.act = act
    with open_jobs(desk, "stuck", "shop") as jobs:
        for number in range(10):
            jobs.put(turn(f"s{number}", workspace="stuck"))
        for number in range(5):
            jobs.put(turn(f"c{number}"))
        until(lambda: len(desk.served) == 5)
        is_over.set()
        until(lambda: len(desk.served) == 15)

    assert {name.partition("_")[0] for name in desk.threads} == {"stuck", "shop"}


def test_a_change_of_concurrency_loses_no_job() -> None:
    """Neither those that run, nor those that wait for a thread, nor those to come."""
    desk, is_over = Desk(), threading.Event()
    desk.act = lambda _: desk_wait(is_over)

    with open_jobs(desk, "shop") as jobs:
        for number in range(20):
            jobs.put(turn(f"c{number}"))
        until(lambda: desk.threads)
        jobs.open("shop", concurrency=5)
        for number in range(20, 40):
            jobs.put(turn(f"c{number}"))
        is_over.set()
        until(lambda: len(desk.served) == 40)

    assert set(desk.count().values()) == {1}


def desk_wait(is_over: threading.Event) -> None:
    """Wait until the test says that it is over."""
    assert is_over.wait(PATIENCE_SECONDS)


def test_pools_exchanged_under_load_lose_no_job() -> None:
    """While 400 jobs come and go, threads are exchanged all the time."""
    desk = Desk()
    left = {f"c{number}": 10 for number in range(40)}

    with open_jobs(desk, "shop") as jobs:

        def act(served: PendingPoll) -> None:
            left[served.campaign_id] -= 1
            if left[served.campaign_id]:
                jobs.put(turn(served.campaign_id))

        desk.act = act
        for campaign_id in left:
            jobs.put(turn(campaign_id))
        for number in range(50):
            jobs.open("shop", concurrency=1 + number % 4)
        until(lambda: len(desk.served) == 400)

    assert set(desk.count().values()) == {10}


def test_a_closed_workspace_ends_what_runs() -> None:
    """And a turn that comes too late is still served: who serves it knows better."""
    desk, is_over = Desk(), threading.Event()
    desk.act = lambda _: desk_wait(is_over)

    with open_jobs(desk, "shop") as jobs:
        jobs.put(turn("a"))
        until(lambda: desk.threads)
        jobs.close("shop")
        jobs.close("shop")
        jobs.put(turn("b"))
        is_over.set()
        until(lambda: len(desk.served) == 2)

    assert desk.count() == {"a": 1, "b": 1}


@pytest.mark.parametrize("seconds", [3600.0, -3600.0])
def test_jobs_wait_as_long_as_before_when_the_clock_is_set(seconds: float) -> None:
    """APScheduler's clock was just set by so much; the turns stay as they are."""
    desk = Desk()
    ahead = [seconds]
    jobs = Scheduler(desk.serve, on_wall=lambda at: at + ahead[0])
    jobs.open("shop", concurrency=1)
    jobs.start()
    try:
        soon, later = turn("a", after=7200.3), turn("b", after=9000)
        jobs.put(soon)
        jobs.put(later)

        ahead[0] = -7200
        jobs.follow_clock()

        assert jobs.planned("shop", "b") == later
        until(lambda: desk.served)
    finally:
        jobs.stop()
    assert desk.served == [soon]


def test_nothing_runs_after_the_end() -> None:
    """What waited for a thread is dropped; what runs is left to end."""
    desk, is_over = Desk(), threading.Event()
    desk.act = lambda _: desk_wait(is_over)

    with open_jobs(desk, "shop", concurrency=1) as jobs:
        jobs.put(turn("a"))
        until(lambda: desk.threads)
        jobs.put(turn("b", after=-1))
    is_over.set()
    until(lambda: desk.served)

    assert desk.count() == {"a": 1}


def test_what_is_due_while_it_stops_is_left_out_quietly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Jobs handed over in the very moment of the stop leave no trace in the log."""
    for _ in range(20):
        jobs = Scheduler(lambda _: None)
        jobs.open("shop", concurrency=2)
        jobs.start()
        for number in range(50):
            jobs.put(PendingPoll("shop", f"c{number}", due_at=0.0, at=0.0))

        jobs.stop()

    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]


def test_no_two_campaigns_share_a_job() -> None:
    """Whatever names and ids hold, each campaign has a job of its own."""
    desk = Desk()
    with open_jobs(desk, "eu", "eu/a") as jobs:
        jobs.put(PendingPoll("eu", "a/b", due_at=0.0, at=0.0))
        jobs.put(PendingPoll("eu/a", "b", due_at=0.0, at=0.0))

        until(lambda: len(desk.served) == 2)


def test_an_errand_waits_for_no_poll() -> None:
    """It has threads of its own, and no poll waits for it either."""
    desk = Desk()
    go_on = threading.Event()
    done: list[str] = []
    desk.act = lambda _: assert_true(go_on.wait(PATIENCE_SECONDS))

    with open_jobs(desk, "shop", concurrency=1) as jobs:
        jobs.put(turn("a"))
        jobs.put_errand(Task("shop", time.time(), lambda: done.append("errand")))
        until(lambda: done)
        go_on.set()
        until(lambda: desk.served)

    assert done == ["errand"]


def test_a_new_errand_takes_the_place_of_its_workspace_s_former_one() -> None:
    """One that was dropped is not run; turns of the workspace stay."""
    done: list[str] = []
    desk = Desk()

    with open_jobs(desk, "shop") as jobs:
        for name, after in (("late", 9000.0), ("late too", 8000.0), ("now", 0.0)):
            at = time.time() + after
            jobs.put_errand(Task("shop", at, lambda name=name: done.append(name)))  # type: ignore[misc]  # mypy does not see the default
        until(lambda: done)
        jobs.put(turn("a", after=9000.0))
        at = time.time() + 9000
        jobs.put_errand(Task("shop", at, lambda: done.append("dropped")))
        jobs.follow_clock()
        assert jobs.planned("shop", "") is None
        jobs.drop_errand("shop")
        jobs.drop_errand("shop")
        assert jobs.planned("shop", "a") is not None

    assert done == ["now"]


def assert_true(value: object) -> None:
    """Fail where it is not."""
    assert value
