"""The queue of one kind of polls in a workspace: the order in which they may start.

Polls wait here until the account of the session lets a request start, in order of
arrival. While the key or the permission is refused, one poll probes and the others
wait. No object is in flight twice.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from exporter.braze.rate_limit import Budget
from exporter.braze.retries import probe_delay
from exporter.braze.session import Session
from exporter.metrics.store import ObjectKey
from exporter.model.errors import FailureReason, FetchError
from exporter.polling.kinds import Kind
from exporter.polling.pause import Pause

_CHECK_AGAIN_SECONDS = 1.0
"""How long a probe waits when only a response in flight makes room for it, and any poll
when that response is of another component."""


class NextPage(NamedTuple):
    """A page of a list after the first one."""

    cursor: str
    number: int
    """From 1."""
    before: object
    """The document of all pages before it."""


class PendingPoll(NamedTuple):
    """One poll of one object, between its slot and its end."""

    key: ObjectKey
    due_at: float
    """The slot it is for."""
    at: float = 0.0
    """When its job is to run."""
    tries: int = 0
    """Requests it has made so far."""
    first_try_at: float = math.inf
    failure: FetchError | None = None
    """How the last request ended."""
    has_waited: bool = False
    """Whether it was in the queue at its slot."""
    request: int = 0
    """Which of its object's requests; 0 has the newest days."""
    page: NextPage | None = None
    """The page that it requests; None: the first one, or the only one."""

    @property
    def is_first(self) -> bool:
        """Whether its request is the first one of the poll."""
        return not self.request and self.page is None

    @property
    def workspace(self) -> str:
        """The name of its workspace."""
        return self.key.workspace

    @property
    def object_id(self) -> str:
        """The id of its object."""
        return self.key.id


class QueueState(NamedTuple):
    """A queue at one instant."""

    pause: Pause | None
    endpoint: str
    budget: Budget
    in_flight: frozenset[str]
    positions: Mapping[str, int]
    """Object id → number of polls ahead of it."""
    earliest: float
    """When the next request may start; inf: after a response."""


class RequestQueue:
    """Any thread may call any method.

    `schedule` is called with a poll and the instant of its next `start`, `unschedule`
    to cancel that; both run under the queue's lock and must not call the queue.
    """

    def __init__(
        self,
        session: Session,
        *,
        workspace: str,
        object_ids: tuple[str, ...],
        schedule: Callable[[PendingPoll], None],
        unschedule: Callable[[ObjectKey], None],
        now: Callable[[], float],
        kind: Kind,
    ) -> None:
        self.session = session
        self.kind = kind
        self._workspace = workspace
        self._order = object_ids
        self._object_ids = frozenset(object_ids)
        self._schedule = schedule
        self._unschedule_key = unschedule
        self._lost_before: frozenset[str] = frozenset()
        self._lock = session.lock
        self._waiting: OrderedDict[str, PendingPoll] = OrderedDict()
        """By object id, so that a second job of an object does not wait twice."""
        self._scheduled_at = math.inf
        self._in_flight: set[str] = set()
        self._pause: Pause | None = None
        self.shown_pause: FailureReason | None = None
        """The reason of the pause that the entries of the store show."""
        self.has_sent = False
        """Whether a poll was ever started."""
        self._forbidden: set[str] = set()
        session.on_key_accepted(self, lambda: self.schedule_again(now=now()))
        session.share_bucket(kind.bucket, self, is_waiting=self._is_waiting)

    def enqueue(self, polls: tuple[PendingPoll, ...], *, now: float) -> None:
        """Append polls in this order, and schedule the first one in the queue.

        An object that has left, is in flight or probes is not appended. What was
        scheduled for the others is replaced.
        """
        with self._lock:
            first = next(iter(self._waiting), None)
            for poll in polls:
                object_id = poll.object_id
                is_known = object_id in self._object_ids
                if not is_known or object_id in self._in_flight:
                    continue
                if self.is_probe(object_id):
                    continue
                self._unschedule(object_id)
                if object_id == first:
                    self._scheduled_at = math.inf
                self._waiting[object_id] = poll
            self._schedule_first(now)

    def start(self, poll: PendingPoll, *, now: float) -> bool:
        """Pay for a request of this poll; False: it waits, and is scheduled again.

        Nothing is started or appended for an object in flight or one that has left.
        """
        with self._lock:
            is_gone = poll.object_id not in self._object_ids
            if is_gone or poll.object_id in self._in_flight:
                return False
            if self._pause and self.is_probe(poll.object_id):
                return self._start_probe(self._pause, poll, now)
            self._waiting.setdefault(poll.object_id, poll._replace(has_waited=True))
            is_first = self._is_first(poll)
            if is_first:
                self._scheduled_at = math.inf
            if not is_first or self._is_paused() or self._next_turn(now) > now:
                self._schedule_first(now)
                return False
            del self._waiting[poll.object_id]
            self._spend(poll, now)
            return True

    def drop(self, poll: PendingPoll, *, now: float) -> None:
        """Remove a poll that is too late to start."""
        with self._lock:
            if self._pause and self.is_probe(poll.object_id):
                # Its job may have replaced that of the probe.
                self._schedule_probe(self._pause, now)
            if self._is_first(poll):
                del self._waiting[poll.object_id]
                self._scheduled_at = math.inf
            self._schedule_first(now)

    def finish(
        self,
        poll: PendingPoll,
        *,
        is_key_accepted: bool,
        now: float,
        wait_seconds: float = 0.0,
    ) -> None:
        """Record the end of a request that was not answered 401 or 403, or crashed.

        `wait_seconds` is the least time to the next probe, if this was one.
        A response that shows the key accepted ends the pause that it probes; after 403
        so does that of any object that was not refused. The objects that were refused
        are then known to be forbidden themselves.
        """
        with self._lock:
            self._in_flight.discard(poll.object_id)
            pause = self._pause
            if is_key_accepted:
                self._forbidden.discard(poll.object_id)
            if pause and is_key_accepted and pause.ends_with(poll.object_id):
                self._resume(pause, poll.object_id, now)
            elif pause and self.is_probe(poll.object_id):
                self._probe_later(pause, now, wait_seconds)
            self._schedule_first(now)

    def finish_refused(
        self,
        poll: PendingPoll,
        *,
        reason: FailureReason,
        now: float,
        wait_seconds: float = 0.0,
    ) -> Pause | None:
        """Record a 401 or 403 and return the pause in force.

        None: the object is known to be forbidden itself, or all objects have left. A
        401 is always about the key.
        """
        with self._lock:
            self._in_flight.discard(poll.object_id)
            is_forbidden = reason is FailureReason.FORBIDDEN
            is_known = is_forbidden and poll.object_id in self._forbidden
            if self._pause is None and is_known:
                self._schedule_first(now)
                return None
            if self._object_ids:  # else no object is left that would probe
                self._refuse(poll.object_id, reason, now, wait_seconds)
            return self.pause

    def reschedule(self, poll: PendingPoll) -> None:
        """Schedule an object's next poll, unless the queue does or it has left."""
        with self._lock:
            is_ignored = (
                poll.object_id not in self._object_ids
                or poll.object_id in self._waiting
                or poll.object_id in self._in_flight
                or self.is_probe(poll.object_id)
            )
            if not is_ignored:
                self._schedule(poll)

    def reconfigure(self, object_ids: tuple[str, ...], *, now: float) -> None:
        """Change the objects; those that stay keep their positions.

        Without objects nothing is scheduled any more; requests in flight still end.
        """
        with self._lock:
            left = self._object_ids - set(object_ids)
            self._order = object_ids
            self._object_ids = frozenset(object_ids)
            for object_id in left:
                self._unschedule(object_id)
                self._waiting.pop(object_id, None)
            self._scheduled_at = math.inf  # the bounds may have changed, too
            self._forbidden &= self._object_ids
            if not object_ids:
                self._pause = None  # other components of the session probe
                self.session.resume_key(self)
            if self._pause and self._pause.probe_id not in self._object_ids:
                probe_id = self._after(self._pause.probe_id)
                self._pause = self._pause._replace(probe_id=probe_id)
                self._schedule_probe(self._pause, now)
            self._schedule_first(now)

    def close(self, *, now: float) -> None:
        """Remove all objects and leave the session; requests in flight still end."""
        with self._lock:
            self.reconfigure((), now=now)
            self.session.leave(self)

    def recover(
        self,
        active_ids: Collection[str],
        *,
        look_again: Callable[[], Collection[str]],
        now: float,
    ) -> int:
        """Schedule what two calls in a row find lost; return how many objects.

        `active_ids` had a scheduled or running job a moment ago; `look_again` returns
        those that have one, and is called under the lock if that leaves any lost.
        """
        with self._lock:
            lost = self._lost(active_ids, now=now)
            if lost:
                # Meanwhile the queue cannot schedule, and jobs wait for it.
                lost &= self._lost(look_again(), now=now)
            again = lost & self._lost_before
            self._lost_before = lost
            if again:
                for object_id in again:
                    poll = PendingPoll(self._key(object_id), due_at=now)
                    self._waiting.setdefault(object_id, poll)
                self.schedule_again(now=now)
            return len(again)

    def _lost(self, active_ids: Collection[str], *, now: float) -> frozenset[str]:
        """Return the objects that nothing would start.

        Every object has a job, is in flight or waits, and one that waits has a job as
        soon as a request may start.
        """
        active = set(active_ids) | self._in_flight
        lost = self._object_ids - active - set(self._waiting)
        is_open = not self._is_paused() and self._scheduled_at <= now
        if is_open and not active.intersection(self._waiting):
            lost |= set(self._waiting)
        return lost

    def schedule_again(self, *, now: float) -> None:
        """Schedule the probe and the head of the queue again: the account changed."""
        with self._lock:
            self._scheduled_at = math.inf
            if self._pause and self._pause.probe_id not in self._in_flight:
                self._schedule_probe(self._pause, now)
            self._schedule_first(now)

    def probe_now(self, *, now: float) -> None:
        """Probe at once: the key was replaced.

        If a probe with the previous key is in flight, the next one follows in a minute.
        """
        with self._lock:
            if self._pause:
                self._pause = self._pause._replace(probe_at=now, failures=0)
                self._share_pause(self._pause)
                if self._pause.probe_id not in self._in_flight:
                    self._schedule_probe(self._pause, now)

    @property
    def pause(self) -> Pause | None:
        """The pause in force: of this queue, or of the key."""
        if self._pause is None and self._is_paused():
            return Pause(
                FailureReason.UNAUTHORIZED,
                probe_id="",
                probe_at=self.session.key_probe_at,
            )
        return self._pause

    @property
    def forbidden_ids(self) -> frozenset[str]:
        """The objects that are known to be forbidden themselves."""
        with self._lock:
            return frozenset(self._forbidden)

    def state(self, *, now: float) -> QueueState:
        """Return the state of the queue."""
        with self._lock:
            return QueueState(
                pause=self.pause,
                endpoint=self.kind.path,
                budget=self.session.budget(self.kind.bucket),
                in_flight=frozenset(self._in_flight),
                positions={one: place for place, one in enumerate(self._waiting)},
                earliest=self._earliest(now),
            )

    def is_probe(self, object_id: str) -> bool:
        """Return whether the queue schedules this object's next poll, as a probe."""
        pause = self._pause
        return pause is not None and pause.probe_id == object_id

    def _unschedule(self, object_id: str) -> None:
        self._unschedule_key(self._key(object_id))

    def _key(self, object_id: str) -> ObjectKey:
        return ObjectKey(self._workspace, self.kind.name, object_id)

    def _is_paused(self) -> bool:
        return self._pause is not None or self.session.is_paused_for(self)

    def _is_first(self, poll: PendingPoll) -> bool:
        return next(iter(self._waiting), None) == poll.object_id

    def _earliest(self, now: float) -> float:
        return self.session.earliest(self.kind.bucket, now=now)

    def _is_waiting(self) -> bool:
        return bool(self._waiting) and not self._is_paused()

    def _next_turn(self, now: float) -> float:
        """Return when a request may start that leaves a start to the other queues."""
        bucket, at = self.kind.bucket, self._earliest(now)
        if self.session.is_turn_of_others(bucket, self):
            at += self.session.budget(bucket).spacing_seconds
        return at

    def _start_probe(self, pause: Pause, poll: PendingPoll, now: float) -> bool:
        if self.session.is_paused_for(self):
            return False  # it is scheduled again when the key is accepted
        if now < pause.probe_at or self._earliest(now) > now:
            # This was its regular job, or another request came first.
            self._schedule_probe(pause, now)
            return False
        self._spend(poll, now)
        return True

    def _spend(self, poll: PendingPoll, now: float) -> None:
        self.session.spend(self.kind.bucket, now=now, queue=self)
        self.has_sent = True
        self._in_flight.add(poll.object_id)
        self._scheduled_at = math.inf
        self._schedule_first(now)

    def _schedule_first(self, now: float) -> None:
        """Schedule the head of the queue, unless it is scheduled as early already."""
        if self._is_paused() or not self._waiting or self._scheduled_at <= now:
            return
        at = self._next_turn(now)
        if at == math.inf and not self._in_flight:
            at = now + _CHECK_AGAIN_SECONDS
        if at < self._scheduled_at:
            self._scheduled_at = at
            first = next(iter(self._waiting.values()))
            self._schedule(first._replace(at=at))

    def _refuse(
        self, object_id: str, reason: FailureReason, now: float, wait_seconds: float
    ) -> None:
        pause = self._pause
        if pause is None:
            if self.session.is_paused_for(self):
                return  # another component probes the key
            pause = Pause(reason, object_id, now, failures=0)
            self._probe_later(pause, now, wait_seconds)
        elif object_id == pause.probe_id:
            self._probe_later(pause._replace(reason=reason), now, wait_seconds)
        if self._pause and reason is FailureReason.FORBIDDEN:
            forbidden_ids = self._pause.forbidden_ids | {object_id}
            self._pause = self._pause._replace(forbidden_ids=forbidden_ids)

    def _probe_later(self, pause: Pause, now: float, wait_seconds: float) -> None:
        """Let the next object in the rotation probe, after a longer delay."""
        failures = pause.failures + 1
        self._pause = pause._replace(
            failures=failures,
            probe_id=self._after(pause.probe_id),
            probe_at=now + max(probe_delay(failures), wait_seconds),
        )
        self._share_pause(self._pause)
        self._schedule_probe(self._pause, now)

    def _share_pause(self, pause: Pause) -> None:
        """Pause the other components of the session, too, while the key is refused."""
        if pause.reason is FailureReason.UNAUTHORIZED:
            self.session.pause_key(self, probe_at=pause.probe_at)
        else:
            self.session.resume_key(self)

    def _schedule_probe(self, pause: Pause, now: float) -> None:
        self._waiting.pop(pause.probe_id, None)
        at = max(pause.probe_at, self._earliest(now))
        if at == math.inf:
            at = max(pause.probe_at, now + _CHECK_AGAIN_SECONDS)
        poll = PendingPoll(self._key(pause.probe_id), due_at=pause.probe_at, at=at)
        self._schedule(poll)

    def _after(self, object_id: str) -> str:
        """Return the next object of the rotation that is not in flight."""
        ids = self._order
        start = ids.index(object_id) + 1 if object_id in ids else 0
        rotation = (*ids[start:], *ids[:start])
        return next(
            (other for other in rotation if other not in self._in_flight),
            # Discovery may have left no object: then the job of this one does nothing.
            rotation[-1] if rotation else object_id,
        )

    def _resume(self, pause: Pause, accepted_id: str, now: float) -> None:
        self._pause = None
        self._scheduled_at = math.inf
        self._forbidden |= pause.forbidden_ids
        self._forbidden.discard(accepted_id)
        self.session.resume_key(self)
        if pause.probe_id not in self._in_flight and pause.probe_id != accepted_id:
            # The probe replaced this object's next poll, which is due now.
            self._schedule(PendingPoll(self._key(pause.probe_id), due_at=now, at=now))
