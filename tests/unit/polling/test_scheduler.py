"""Every scheduled poll runs once, in the threads of its workspace."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from exporter.polling.request_queue import PendingPoll
from exporter.polling.scheduler import Scheduler

from tests.support.daemon_process import PATIENCE_SECONDS, until
from tests.support.object_keys import key
from tests.support.thread_limit import ThreadLimit


class Runner:
    """Records polls; those of the workspace `blocks` wait for `is_over`."""

    def __init__(self, *, blocks: str = "") -> None:
        self.polls: list[PendingPoll] = []
        self.began = Counter[str]()
        """Polls that began, by workspace."""
        self.is_over = threading.Event()
        self.after: Callable[[PendingPoll], None] = lambda _: None
        self._blocks = blocks

    def run(self, poll: PendingPoll) -> None:
        self.began[poll.workspace] += 1
        if poll.workspace == self._blocks:
            assert self.is_over.wait(PATIENCE_SECONDS)
        self.after(poll)
        self.polls.append(poll)

    def count(self) -> Counter[str]:
        return Counter(poll.object_id for poll in self.polls)


@contextmanager
def started(
    runner: Runner,
    *workspaces: str,
    concurrency: int = 2,
    wall_time: Callable[[float], float] = lambda at: at,
) -> Iterator[Scheduler]:
    """Start a scheduler with the threads of these workspaces."""
    scheduler = Scheduler(runner.run, wall_time=wall_time)
    for workspace in workspaces:
        scheduler.open(workspace, concurrency=concurrency)
    scheduler.start()
    try:
        yield scheduler
    finally:
        scheduler.stop()


def poll_of(
    object_id: str, *, after: float = 0.0, workspace: str = "shop"
) -> PendingPoll:
    """Return a poll that is due so many seconds from now."""
    at = time.time() + after
    return PendingPoll(key(object_id, workspace=workspace), due_at=at, at=at)


def test_a_job_replaces_the_previous_one_of_its_object_and_runs_however_late() -> None:
    runner = Runner()

    with started(runner, "shop") as scheduler:
        for after in (9000.0, 8000.0, -7200.0):
            scheduler.put(poll_of("a", after=after))
        scheduler.put(poll_of("b", after=0.1))
        until(lambda: len(runner.polls) == 2)

        assert scheduler.planned(key("a")) is None

    assert runner.count() == {"a": 1, "b": 1}


def test_scheduled_polls_are_listed_and_dropped() -> None:
    later = poll_of("a", after=900)

    with started(Runner(), "shop") as scheduler:
        scheduler.put(later)
        assert scheduler.planned(key("a")) == later
        assert scheduler.all_planned() == {key("a"): later.at}
        for _ in range(2):
            scheduler.drop(key("a"))

        assert scheduler.planned(key("a")) is None
        assert scheduler.all_planned() == {}


def test_a_workspace_that_hangs_delays_no_other() -> None:
    runner = Runner(blocks="stuck")

    with started(runner, "stuck", "shop") as scheduler:
        for number in range(10):
            scheduler.put(poll_of(f"s{number}", workspace="stuck"))
        for number in range(5):
            scheduler.put(poll_of(f"c{number}"))
        until(lambda: len(runner.polls) == 5)
        assert runner.began["stuck"] <= 2
        runner.is_over.set()
        until(lambda: len(runner.polls) == 15)


def test_threads_replaced_under_load_lose_no_job() -> None:
    """Neither those that run, nor those that wait for a thread, nor new ones."""
    runner = Runner()
    left = {f"c{number}": 10 for number in range(40)}

    with started(runner, "shop") as scheduler:

        def put_next(poll: PendingPoll) -> None:
            left[poll.object_id] -= 1
            if left[poll.object_id]:
                scheduler.put(poll_of(poll.object_id))

        runner.after = put_next
        for object_id in left:
            scheduler.put(poll_of(object_id))
        for number in range(50):
            scheduler.open("shop", concurrency=1 + number % 4)
        until(lambda: len(runner.polls) == 400)

    assert set(runner.count().values()) == {10}


def test_polls_of_a_closed_workspace_end() -> None:
    runner = Runner(blocks="shop")

    with started(runner, "shop") as scheduler:
        scheduler.put(poll_of("a"))
        until(lambda: runner.began)
        for _ in range(2):
            scheduler.close("shop")
        scheduler.put(poll_of("b"))
        runner.is_over.set()
        until(lambda: len(runner.polls) == 2)

    assert runner.count() == {"a": 1, "b": 1}


@pytest.mark.parametrize("seconds", [3600.0, -3600.0])
def test_jobs_are_rescheduled_when_the_wall_clock_is_set(seconds: float) -> None:
    runner = Runner()
    ahead = [seconds]

    with started(runner, "shop", wall_time=lambda at: at + ahead[0]) as scheduler:
        soon, later = poll_of("a", after=7200.3), poll_of("b", after=9000)
        scheduler.put(soon)
        scheduler.put(later)

        ahead[0] = -7200
        scheduler.after_clock_set()

        assert scheduler.planned(key("b")) == later
        until(lambda: runner.polls)
    assert runner.polls == [soon]


def test_jobs_that_wait_for_a_thread_are_dropped_by_the_stop() -> None:
    runner = Runner(blocks="shop")

    with started(runner, "shop", concurrency=1) as scheduler:
        scheduler.put(poll_of("a"))
        until(lambda: runner.began)
        scheduler.put(poll_of("b", after=-1))
        until(lambda: scheduler.planned(key("b")) is None)
    runner.is_over.set()
    until(lambda: runner.polls)

    assert runner.count() == {"a": 1}


def test_jobs_that_are_due_during_the_stop_are_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for _ in range(20):
        with started(Runner(), "shop") as scheduler:
            for number in range(50):
                scheduler.put(PendingPoll(key(f"c{number}"), due_at=0.0, at=0.0))

    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]


def test_no_two_objects_share_a_job() -> None:
    runner = Runner()
    with started(runner, "eu", "eu/a") as scheduler:
        scheduler.put(PendingPoll(key("a/b", workspace="eu"), due_at=0.0))
        scheduler.put(PendingPoll(key("b", workspace="eu/a"), due_at=0.0))

        until(lambda: len(runner.polls) == 2)


def test_tasks_and_polls_do_not_wait_for_each_other() -> None:
    runner = Runner(blocks="shop")
    is_run = threading.Event()

    with started(runner, "shop", concurrency=1) as scheduler:
        scheduler.put(poll_of("a"))
        scheduler.put_task("shop", time.time(), is_run.set)
        assert is_run.wait(PATIENCE_SECONDS)
        runner.is_over.set()
        until(lambda: runner.polls)


def test_a_task_replaces_the_previous_one_of_its_workspace() -> None:
    done: list[str] = []

    with started(Runner(), "shop") as scheduler:

        def put_task(name: str, after: float) -> None:
            run = partial(done.append, name)
            scheduler.put_task("shop", time.time() + after, run)

        for name, after in (("late", 9000.0), ("less late", 8000.0), ("now", 0.0)):
            put_task(name, after)
        until(lambda: done)
        put_task("later", 9000.0)
        scheduler.put(poll_of("a", after=9000.0))
        scheduler.after_clock_set()
        assert scheduler.planned(key("\0", kind="\0")) is None
        assert list(scheduler.all_planned()) == [key("a")]

    assert done == ["now"]


def test_a_job_that_crashes_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def crash() -> None:
        raise ZeroDivisionError

    with started(Runner(), "shop") as scheduler:
        scheduler.put_task("shop", time.time(), crash)
        until(lambda: caplog.messages)

    assert caplog.messages == ["job.crashed"]


def test_jobs_start_once_the_system_has_a_thread(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """All of them once, also in replaced threads; the log has one line for each pool.

    A job that was dropped or replaced meanwhile does not start.
    """
    limit = ThreadLimit(monkeypatch, "shop", "tasks")
    runner = Runner()
    is_run = threading.Event()

    with started(runner, "shop") as scheduler:
        for object_id in "abcd":
            scheduler.put(poll_of(object_id))
        scheduler.put_task("shop", time.time(), is_run.set)
        until(lambda: not scheduler.all_planned() and len(caplog.messages) == 2)
        assert scheduler.active_keys() >= {key(one) for one in "abcd"}
        scheduler.start_again()
        scheduler.open("shop", concurrency=1)
        scheduler.start_again()
        scheduler.drop(key("a"))
        scheduler.put(poll_of("b", after=9000))
        limit.is_reached = False
        scheduler.start_again()
        scheduler.start_again()
        until(lambda: len(runner.polls) == 2)
        assert is_run.wait(PATIENCE_SECONDS)
        assert scheduler.active_keys() == {key("b")}

    assert runner.count() == {"c": 1, "d": 1}
    assert caplog.messages == ["job.not_started"] * 3


def test_a_pool_that_cannot_grow_runs_its_jobs_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each workspace takes its first thread when it is opened."""
    limit = ThreadLimit(monkeypatch, "shop")
    limit.is_reached = False
    runner = Runner()

    with started(runner, "shop", concurrency=4) as scheduler:
        limit.is_reached = True
        for object_id in "abcd":
            scheduler.put(poll_of(object_id))
        until(lambda: len(runner.polls) == 4)

    assert runner.count() == dict.fromkeys("abcd", 1)
