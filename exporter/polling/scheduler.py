"""APScheduler's part: one one-shot job per campaign, run by its workspace's threads.

A job is a turn with its time; a campaign's new job takes the place of its former one.
An errand is what else is to be done for a workspace, by threads of its own so that no
poll waits for it. It does not know what serving a turn means.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from threading import Lock
from typing import Any, NamedTuple

from apscheduler.executors.pool import BasePoolExecutor
from apscheduler.job import Job
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.date import DateTrigger

from exporter.polling.request_queue import PendingPoll

_INSTANCES = 100
"""More than ever run: the line sees to it that no campaign is in flight twice, and
APScheduler drops a job that it counts as one too many."""

_ERRAND_THREADS = 8


class Task(NamedTuple):
    """Something else than a poll that is to be done for a workspace."""

    workspace: str
    at: float
    run: Callable[[], None]


class Scheduler:
    """The turns that are planned. Every method may be called from any thread."""

    def __init__(
        self,
        serve: Callable[[PendingPoll], None],
        *,
        on_wall: Callable[[float], float] = lambda at: at,
    ) -> None:
        """`on_wall` tells when a turn is due by APScheduler's clock: the wall's."""
        self._serve = serve
        self._on_wall = on_wall
        self._lock = Lock()
        """No job is put while all are told anew when they are due."""
        self._pools = _Pools()
        self._scheduler = _Scheduler(
            timezone=UTC, executors={"default": _Executor(self._pools)}
        )

    def start(self) -> None:
        """Begin to run what is due."""
        self._scheduler.start()

    def stop(self) -> None:
        """Run nothing more; what runs is left to end."""
        self._scheduler.shutdown(wait=False)

    def open(self, workspace: str, *, concurrency: int) -> None:
        """Give a workspace its threads, or another number of them."""
        self._pools.open(workspace, concurrency)

    def close(self, workspace: str) -> None:
        """Take a workspace's threads away; what runs is left to end."""
        self._pools.close(workspace)

    def put(self, turn: PendingPoll) -> None:
        """Plan a turn in the place of its campaign's former one."""
        self._add(self._serve, turn, _name(*turn.key))

    def put_errand(self, errand: Task) -> None:
        """Plan an errand in the place of its workspace's former one."""
        self._add(_run, errand, _errand_name(errand.workspace))

    def drop_errand(self, workspace: str) -> None:
        """Forget a workspace's errand; one that runs is left to end."""
        self._scheduler.remove_job(_errand_name(workspace))

    def _add(
        self, act: Callable[[Any], None], work: PendingPoll | Task, name: str
    ) -> None:
        with self._lock:
            self._scheduler.add_job(
                act,
                self._trigger(work),
                (work,),
                id=name,
                replace_existing=True,
                # However late: a job that is given up is a campaign that is lost.
                misfire_grace_time=None,
                max_instances=_INSTANCES,
            )

    def drop(self, workspace: str, campaign_id: str) -> None:
        """Forget a campaign's turn."""
        self._scheduler.remove_job(_name(workspace, campaign_id))

    def planned(self, workspace: str, campaign_id: str) -> PendingPoll | None:
        """Return the turn that is planned; None: it waits, runs, or there is none."""
        job = self._scheduler.get_job(_name(workspace, campaign_id))
        work = None if job is None else _work(job)
        return work if isinstance(work, PendingPoll) else None

    def all_planned(self) -> dict[tuple[str, str], float]:
        """Return when the turns are due that are planned, by workspace and campaign."""
        work = map(_work, self._scheduler.get_jobs())
        return {one.key: one.at for one in work if isinstance(one, PendingPoll)}

    def follow_clock(self) -> None:
        """Tell APScheduler anew when each job is due: its clock was set."""
        with self._lock:
            for job in self._scheduler.get_jobs():
                with suppress(JobLookupError):  # it has just run
                    trigger = self._trigger(_work(job))
                    self._scheduler.reschedule_job(job.id, trigger=trigger)

    def _trigger(self, work: PendingPoll | Task) -> DateTrigger:
        return DateTrigger(datetime.fromtimestamp(self._on_wall(work.at), UTC), UTC)


class _Scheduler(BackgroundScheduler):  # type: ignore[misc]  # APScheduler is untyped
    """APScheduler, which does not mind that a job is gone before it removes it.

    So it is when the scheduler is told to stop while it hands jobs to their threads.
    """

    def remove_job(self, job_id: str, jobstore: str | None = None) -> None:
        with suppress(JobLookupError):
            super().remove_job(job_id, jobstore)


class _Executor(BasePoolExecutor):  # type: ignore[misc]  # APScheduler is untyped
    """APScheduler's executor over our pools."""

    def __init__(self, pools: _Pools) -> None:
        super().__init__(pools)


class _Pools:
    """What APScheduler takes for one thread pool; each workspace has its own in it.

    APScheduler drops a job whose executor is being exchanged, and so would lose a
    campaign. Here a pool is looked up and used under one lock.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._pools: dict[str, ThreadPoolExecutor] = {}
        self._leavers = ThreadPoolExecutor(1)
        """For turns of a workspace that has just been closed."""
        self._errands = ThreadPoolExecutor(_ERRAND_THREADS, "errands")
        self._is_shut = False

    def open(self, workspace: str, concurrency: int) -> None:
        pool = ThreadPoolExecutor(concurrency, thread_name_prefix=workspace)
        with self._lock:
            former = self._pools.get(workspace)
            self._pools[workspace] = pool
        if former is not None:
            former.shutdown(wait=False)

    def close(self, workspace: str) -> None:
        with self._lock:
            former = self._pools.pop(workspace, None)
        if former is not None:
            former.shutdown(wait=False)

    def submit(self, run: Callable[..., Any], job: Job, *rest: object) -> Future[Any]:
        work = _work(job)
        with self._lock:
            if self._is_shut:
                # Not an exception, which APScheduler would log with its traceback.
                nothing: Future[Any] = Future()
                nothing.set_result([])
                return nothing
            pool = self._errands
            if isinstance(work, PendingPoll):
                pool = self._pools.get(work.workspace, self._leavers)
            return pool.submit(run, job, *rest)

    def shutdown(self, wait: bool = True) -> None:
        with self._lock:
            self._is_shut = True
            pools = (*self._pools.values(), self._leavers, self._errands)
        for pool in pools:
            pool.shutdown(wait=wait)


def _work(job: Job) -> PendingPoll | Task:
    (work,) = job.args
    assert isinstance(work, PendingPoll | Task)  # noqa: S101 - for the reader of types
    return work


def _run(errand: Task) -> None:
    errand.run()


def _name(workspace: str, campaign_id: str) -> str:
    # Names hold no control character, so that no two pairs make one.
    return f"{workspace}\0{campaign_id}"


def _errand_name(workspace: str) -> str:
    return f"{workspace}\0\0"
