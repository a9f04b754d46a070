"""APScheduler: a one-shot job per object, run by the threads of its workspace.

A new job of an object replaces its previous one. Tasks other than polls have separate
threads, so that no poll waits for them.
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
"""More than ever run at once: the queue prevents two polls of one object, and
APScheduler drops a job beyond this limit."""

_TASK_THREADS = 8


class Task(NamedTuple):
    """Work for a workspace other than a poll."""

    workspace: str
    at: float
    run: Callable[[], None]


class Scheduler:
    """The scheduled polls and tasks. Any thread may call any method."""

    def __init__(
        self,
        serve: Callable[[PendingPoll], None],
        *,
        wall_time: Callable[[float], float] = lambda at: at,
    ) -> None:
        """`wall_time` converts an instant for APScheduler."""
        self._serve = serve
        self._wall_time = wall_time
        self._lock = Lock()
        """Held while jobs are added or all jobs are rescheduled."""
        self._pools = _Pools()
        self._scheduler = _Scheduler(
            timezone=UTC, executors={"default": _Executor(self._pools)}
        )

    def start(self) -> None:
        """Start running jobs that are due."""
        self._scheduler.start()

    def stop(self) -> None:
        """Start no more jobs; running jobs end normally."""
        self._scheduler.shutdown(wait=False)

    def open(self, workspace: str, *, concurrency: int) -> None:
        """Create or resize the threads of a workspace."""
        self._pools.open(workspace, concurrency)

    def close(self, workspace: str) -> None:
        """Remove the threads of a workspace; running jobs end normally."""
        self._pools.close(workspace)

    def put(self, poll: PendingPoll) -> None:
        """Schedule a poll in place of the previous one of its object."""
        self._add(self._serve, poll, _name(*poll.key))

    def put_task(self, task: Task) -> None:
        """Schedule a task in place of the previous one of its workspace."""
        self._add(_run, task, _task_name(task.workspace))

    def drop_task(self, workspace: str) -> None:
        """Remove the task of a workspace; a running one ends normally."""
        self._scheduler.remove_job(_task_name(workspace))

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
                # However late: a dropped job would end the polling of its object.
                misfire_grace_time=None,
                max_instances=_INSTANCES,
            )

    def drop(self, workspace: str, object_id: str) -> None:
        """Remove the scheduled poll of an object."""
        self._scheduler.remove_job(_name(workspace, object_id))

    def planned(self, workspace: str, object_id: str) -> PendingPoll | None:
        """Return the scheduled poll of an object; None: it waits, runs or is absent."""
        job = self._scheduler.get_job(_name(workspace, object_id))
        work = None if job is None else _work(job)
        return work if isinstance(work, PendingPoll) else None

    def all_planned(self) -> dict[tuple[str, str], float]:
        """Return when each scheduled poll is due, by workspace and object id."""
        work = map(_work, self._scheduler.get_jobs())
        return {one.key: one.at for one in work if isinstance(one, PendingPoll)}

    def after_clock_set(self) -> None:
        """Reschedule every job: the wall clock, which APScheduler uses, was set."""
        with self._lock:
            for job in self._scheduler.get_jobs():
                with suppress(JobLookupError):  # it just ran
                    trigger = self._trigger(_work(job))
                    self._scheduler.reschedule_job(job.id, trigger=trigger)

    def _trigger(self, work: PendingPoll | Task) -> DateTrigger:
        return DateTrigger(datetime.fromtimestamp(self._wall_time(work.at), UTC), UTC)


class _Scheduler(BackgroundScheduler):  # type: ignore[misc]  # APScheduler is untyped
    """APScheduler without an error for a job that is already removed.

    That happens when it is stopped while it submits jobs to their threads.
    """

    def remove_job(self, job_id: str, jobstore: str | None = None) -> None:
        with suppress(JobLookupError):
            super().remove_job(job_id, jobstore)


class _Executor(BasePoolExecutor):  # type: ignore[misc]  # APScheduler is untyped
    """The executor of all pools."""

    def __init__(self, pools: _Pools) -> None:
        super().__init__(pools)


class _Pools:
    """The thread pools of all workspaces, as one pool for APScheduler.

    APScheduler drops a job whose executor is being replaced, which would end the
    polling of an object. Here a pool is looked up and used under one lock.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._pools: dict[str, ThreadPoolExecutor] = {}
        self._leavers = ThreadPoolExecutor(1)
        """For polls of a workspace that was just removed."""
        self._tasks = ThreadPoolExecutor(_TASK_THREADS, "tasks")
        self._is_shut = False

    def open(self, workspace: str, concurrency: int) -> None:
        pool = ThreadPoolExecutor(concurrency, thread_name_prefix=workspace)
        with self._lock:
            previous = self._pools.get(workspace)
            self._pools[workspace] = pool
        if previous is not None:
            previous.shutdown(wait=False)

    def close(self, workspace: str) -> None:
        with self._lock:
            previous = self._pools.pop(workspace, None)
        if previous is not None:
            previous.shutdown(wait=False)

    def submit(self, run: Callable[..., Any], job: Job, *rest: object) -> Future[Any]:
        work = _work(job)
        with self._lock:
            if self._is_shut:
                # An exception would be logged by APScheduler with a traceback.
                nothing: Future[Any] = Future()
                nothing.set_result([])
                return nothing
            pool = self._tasks
            if isinstance(work, PendingPoll):
                pool = self._pools.get(work.workspace, self._leavers)
            return pool.submit(run, job, *rest)

    def shutdown(self, wait: bool = True) -> None:
        with self._lock:
            self._is_shut = True
            pools = (*self._pools.values(), self._leavers, self._tasks)
        for pool in pools:
            pool.shutdown(wait=wait)


def _work(job: Job) -> PendingPoll | Task:
    (work,) = job.args
    assert isinstance(work, PendingPoll | Task)  # noqa: S101 - for the reader of types
    return work


def _run(task: Task) -> None:
    task.run()


def _name(workspace: str, object_id: str) -> str:
    # Names have no control characters, so the pair is unique.
    return f"{workspace}\0{object_id}"


def _task_name(workspace: str) -> str:
    return f"{workspace}\0\0"
