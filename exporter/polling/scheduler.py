"""APScheduler: a one-shot job per object, run by the threads of its workspace.

A new job of an object replaces its previous one. Tasks other than polls have separate
threads, so that no poll waits for them.
"""

from __future__ import annotations

import errno
import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from threading import Lock
from typing import NamedTuple

from apscheduler.executors.debug import DebugExecutor
from apscheduler.job import Job
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.date import DateTrigger

from exporter.metrics.store import ObjectKey
from exporter.polling.request_queue import PendingPoll

_log = logging.getLogger(__name__)

_TASK_THREADS = 8
_TASK = "\0"
"""In place of an object id, which has no control characters."""


class _Task(NamedTuple):
    """Work for a workspace other than a poll, at most one of each kind at a time."""

    workspace: str
    kind: str
    at: float
    run: Callable[[], None]

    @property
    def key(self) -> ObjectKey:
        return ObjectKey(self.workspace, self.kind, _TASK)


class _Pool:
    """The threads of one workspace, or of all tasks."""

    def __init__(self, size: int, name: str) -> None:
        self._new_executor = partial(ThreadPoolExecutor, size, name)
        self._executor = self._new_executor()
        self._has_thread = False
        self.is_short = False
        """Whether a job waits for the first thread."""

    def submit(self, run: Callable[..., None], *args: object) -> None:
        """Run a function in a thread, when one is free.

        RuntimeError: the pool has no thread, and none can be created.
        """
        try:
            self._executor.submit(run, *args)
        except RuntimeError:
            if not self._has_thread:
                # The executor keeps a call that it has failed to start.
                self._executor = self._new_executor()
                raise
            # A thread that is busy now runs it.
        self._has_thread = True

    def close(self, *, drops_jobs: bool = False) -> None:
        """End the threads after their jobs."""
        self._executor.shutdown(wait=False, cancel_futures=drops_jobs)


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
        self._pools = {_TASK: _Pool(_TASK_THREADS, "tasks")}
        """By workspace, and that of the tasks."""
        self._pools_lock = Lock()
        """Held while a pool is replaced or used: a closed one accepts no jobs."""
        self._running: Counter[ObjectKey] = Counter()
        """The keys of jobs that threads run or will run."""
        self._unstarted: dict[ObjectKey, PendingPoll | _Task] = {}
        """Jobs that were due while no thread could be created."""
        # Jobs are called in the scheduler's thread: they only start the work.
        self._scheduler = _Scheduler(
            timezone=UTC, executors={"default": DebugExecutor()}
        )

    def start(self) -> None:
        """Start running jobs that are due. OSError: no thread can be started."""
        try:
            self._scheduler.start()
        except RuntimeError:
            text = "no thread can be started: raise the limit (pids, TasksMax, nproc)"
            raise OSError(errno.EAGAIN, text) from None

    def stop(self) -> None:
        """Start no more jobs; running jobs end normally."""
        with suppress(RuntimeError):  # its thread has not started
            self._scheduler.shutdown(wait=False)  # its thread has ended by then
        for pool in self._pools.values():
            pool.close(drops_jobs=True)

    def open(self, workspace: str, *, concurrency: int) -> None:
        """Create or resize the threads of a workspace."""
        pool = _Pool(concurrency, workspace)
        with suppress(RuntimeError):
            # A first thread now: later, busy workspaces may have taken all.
            pool.submit(_do_nothing)
        with self._pools_lock:
            previous = self._pools.get(workspace)
            self._pools[workspace] = pool
        if previous is not None:
            previous.close()

    def close(self, workspace: str) -> None:
        """Remove the threads of a workspace; running jobs end normally."""
        with self._pools_lock:
            previous = self._pools.pop(workspace, None)
        if previous is not None:
            previous.close()

    def put(self, poll: PendingPoll) -> None:
        """Schedule a poll in place of the previous one of its object."""
        self._add(poll)

    def put_task(
        self, place: tuple[str, str], at: float, run: Callable[[], None], /
    ) -> None:
        """Schedule a task in place of the previous one of its workspace and kind."""
        self._add(_Task(*place, at, run))

    def drop(self, key: ObjectKey, /) -> None:
        """Remove the scheduled poll of an object."""
        self._scheduler.remove_job(_name(key))
        with self._pools_lock:
            self._unstarted.pop(key, None)

    def start_again(self) -> None:
        """Start the jobs that the system had no thread for; called regularly."""
        with self._pools_lock:
            unstarted, self._unstarted = self._unstarted, {}
            failed = set()
            for key, work in unstarted.items():
                pool = self._pool(work)
                if pool in failed or not self._start(work, pool):
                    failed.add(pool)
                    self._unstarted[key] = work

    def planned(self, key: ObjectKey) -> PendingPoll | None:
        """Return the scheduled poll of an object; None: it waits, runs or is absent."""
        job = self._scheduler.get_job(_name(key))
        work = None if job is None else _work(job)
        return work if isinstance(work, PendingPoll) else None

    def all_planned(self) -> dict[ObjectKey, float]:
        """Return when each scheduled poll is due."""
        work = map(_work, self._scheduler.get_jobs())
        return {one.key: one.at for one in work if isinstance(one, PendingPoll)}

    def active_keys(self) -> set[ObjectKey]:
        """Return the objects of all polls that are scheduled or run."""
        planned = self.all_planned().keys()
        with self._pools_lock:  # after that: a scheduled job may start meanwhile
            running = {key for key, count in self._running.items() if count > 0}
            self._running = +self._running
            return planned | running | self._unstarted.keys()

    def after_clock_set(self) -> None:
        """Reschedule every job: the wall clock, which APScheduler uses, was set."""
        with self._lock:
            for job in self._scheduler.get_jobs():
                with suppress(JobLookupError):  # it just ran
                    trigger = self._trigger(_work(job))
                    self._scheduler.reschedule_job(job.id, trigger=trigger)

    def _add(self, work: PendingPoll | _Task) -> None:
        with self._pools_lock:
            self._unstarted.pop(work.key, None)
        with self._lock:
            self._scheduler.add_job(
                self._submit,
                self._trigger(work),
                (work,),
                id=_name(work.key),
                replace_existing=True,
                # However late: a dropped job would end the polling of its object.
                misfire_grace_time=None,
            )

    def _trigger(self, work: PendingPoll | _Task) -> DateTrigger:
        return DateTrigger(datetime.fromtimestamp(self._wall_time(work.at), UTC), UTC)

    def _submit(self, work: PendingPoll | _Task) -> None:
        with self._pools_lock:
            pool = self._pool(work)
            if not self._start(work, pool):
                self._unstarted[work.key] = work

    def _pool(self, work: PendingPoll | _Task) -> _Pool:
        # A poll of a workspace that was just removed ends at once.
        tasks = self._pools[_TASK]
        is_task = isinstance(work, _Task)
        return tasks if is_task else self._pools.get(work.workspace, tasks)

    def _start(self, work: PendingPoll | _Task, pool: _Pool) -> bool:
        """Return whether a thread of the pool runs a job, or will."""
        self._running[work.key] += 1
        try:
            pool.submit(self._run, work)
        except RuntimeError as error:
            self._running.subtract([work.key])
            if not pool.is_short:  # the log has one line until jobs start again
                fields = {"workspace": work.workspace, "error": str(error)}
                fields["advice"] = "raise the limit of threads (pids, TasksMax, nproc)"
                _log.warning("job.not_started", extra={"fields": fields})
            pool.is_short = True
            return False
        pool.is_short = False
        return True

    def _run(self, work: PendingPoll | _Task) -> None:
        try:
            if isinstance(work, PendingPoll):
                self._serve(work)
            else:
                work.run()
        except Exception:  # noqa: BLE001 - the thread's border; it is logged
            fields = {"workspace": work.workspace}
            _log.exception("job.crashed", extra={"fields": fields})
        finally:
            with self._pools_lock:
                self._running.subtract([work.key])


class _Scheduler(BackgroundScheduler):  # type: ignore[misc]  # APScheduler is untyped
    """APScheduler without an error for a job that is already removed.

    That happens when it is stopped while it starts jobs.
    """

    def remove_job(self, job_id: str, jobstore: str | None = None) -> None:
        with suppress(JobLookupError):
            super().remove_job(job_id, jobstore)


def _do_nothing() -> None:
    """Take a thread."""


def _work(job: Job) -> PendingPoll | _Task:
    (work,) = job.args
    assert isinstance(work, PendingPoll | _Task)  # noqa: S101 - for the reader of types
    return work


def _name(key: ObjectKey) -> str:
    # Names have no control characters, so the text is unique.
    return "\0".join(key)
