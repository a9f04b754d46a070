"""A request queue with its session and clock, and what it schedules."""

from __future__ import annotations

from exporter.braze.rate_limit import Budget
from exporter.braze.session import (
    CAMPAIGN_ANALYTICS,
    SHARED,
    ApiRequest,
    Result,
    Session,
)
from exporter.metrics.store import ObjectKey
from exporter.model.errors import FailureReason, FetchError, Throttled
from exporter.model.rate_limit_headers import RateLimitHeaders
from exporter.polling.kinds import CAMPAIGN, CANVAS, Kind
from exporter.polling.pause import Pause
from exporter.polling.request_queue import PendingPoll, RequestQueue

from tests.support.fake_clock import NOW, FakeClock
from tests.support.object_keys import key
from tests.support.polling_world import FakeBraze, failure

UNAUTHORIZED, FORBIDDEN = FailureReason.UNAUTHORIZED, FailureReason.FORBIDDEN
FULL = RateLimitHeaders(limit=50_000, remaining=50_000, reset_at=NOW + 60)
EMPTY = RateLimitHeaders(limit=50_000, remaining=0, reset_at=NOW + 60)

End = RateLimitHeaders | FetchError
"""The headers of a response with a document, or a failure."""


def poll_of(object_id: str, *, at: float = NOW, kind: Kind = CAMPAIGN) -> PendingPoll:
    return PendingPoll(key(object_id, kind=kind.name), due_at=at, at=at)


def throttled(
    headers: RateLimitHeaders | None = None, *, retry_after: float | None = None
) -> FetchError:
    return failure(
        Throttled, "rate_limited", status=429, headers=headers, retry_after=retry_after
    )


def fetch(session: Session, braze: FakeBraze, kind: Kind, end: End) -> Result:
    """Send a request that was paid for, and settle it."""
    if isinstance(end, FetchError):
        braze.responses = [end]
    else:
        braze.responses, braze.headers = [{}], end
    return session.fetch(ApiRequest(kind.bucket, kind.path, {}, {}))


def session_of(clock: FakeClock, braze: FakeBraze, **bounds: float) -> Session:
    """Return a session with two buckets and these bounds."""
    given = {"spacing_seconds": 1.0, "reserve": 0.2, "concurrency": 4} | bounds
    budget = Budget(**given)  # type: ignore[arg-type]  # concurrency is an integer
    return Session(
        braze,
        budgets={CAMPAIGN_ANALYTICS: budget, SHARED: budget},
        clock=clock,
        random=lambda: 0.5,
    )


class QueueWorld:
    """A queue of objects with single letters as ids, and what it scheduled.

    All instants are in seconds after `NOW`.
    """

    def __init__(
        self,
        ids: str,
        *,
        spacing: float = 1.0,
        concurrency: int = 4,
        session: Session | None = None,
        kind: Kind = CAMPAIGN,
        clock: FakeClock | None = None,
    ) -> None:
        self.clock = clock or FakeClock()
        self.braze = FakeBraze()
        self.session = session or session_of(
            self.clock,
            self.braze,
            spacing_seconds=spacing,
            concurrency=concurrency,
        )
        self.scheduled: list[PendingPoll] = []
        self.queue = RequestQueue(
            self.session,
            workspace="shop",
            object_ids=tuple(ids),
            schedule=self.scheduled.append,
            unschedule=self._unschedule,
            now=self.clock.now,
            kind=kind,
        )

    def _unschedule(self, key: ObjectKey) -> None:
        self.scheduled[:] = [one for one in self.scheduled if one.key != key]

    def _poll_of(self, object_id: str) -> PendingPoll:
        return poll_of(object_id, kind=self.queue.kind)

    def beside(self, ids: str, *, bucket: str = SHARED) -> QueueWorld:
        other = QueueWorld(
            ids,
            session=self.session,
            kind=CANVAS._replace(bucket=bucket),
            clock=self.clock,
        )
        other.braze = self.braze
        return other

    def now(self, at: float) -> float:
        self.clock.time = NOW + at
        return self.clock.time

    def start(self, object_id: str, *, at: float = 0) -> bool:
        return self.queue.start(self._poll_of(object_id), now=self.now(at))

    def start_all(self, ids: str, *, at: float = 0) -> None:
        for object_id in ids:
            self.start(object_id, at=at)

    def finish(self, object_id: str, end: End = FULL, *, at: float = 0) -> None:
        """End a request in flight, but not with 401 or 403."""
        now = self.now(at)
        fetch(self.session, self.braze, self.queue.kind, end)
        is_accepted = not isinstance(end, FetchError)
        self.queue.finish(
            self._poll_of(object_id), is_key_accepted=is_accepted, now=now
        )

    def finish_refused(
        self,
        object_id: str,
        headers: RateLimitHeaders = FULL,
        *,
        at: float = 0,
        reason: FailureReason = UNAUTHORIZED,
    ) -> Pause | None:
        now = self.now(at)
        fetch(self.session, self.braze, self.queue.kind, headers)
        return self.queue.finish_refused(
            self._poll_of(object_id), reason=reason, now=now
        )

    def accept(self, object_id: str, *, at: float) -> None:
        """Start a poll whose request is answered at once."""
        assert self.start(object_id, at=at)
        self.finish(object_id, at=at)

    def refuse(
        self, object_id: str, *, at: float = 0, reason: FailureReason = UNAUTHORIZED
    ) -> Pause | None:
        """Start a poll whose request is refused at once."""
        assert self.start(object_id, at=at)
        return self.finish_refused(object_id, at=at, reason=reason)

    @property
    def history(self) -> list[tuple[str, float]]:
        """Everything that was scheduled: object ids and instants."""
        return [(one.object_id, one.at - NOW) for one in self.scheduled]

    @property
    def last(self) -> tuple[str, float]:
        return self.history[-1]

    @property
    def in_flight(self) -> int:
        return self.session.budget(self.queue.kind.bucket).bucket.in_flight


def paused(ids: str, *, reason: FailureReason = UNAUTHORIZED) -> QueueWorld:
    """Return a queue whose first object was refused at 0 s."""
    world = QueueWorld(ids)
    world.refuse(ids[0], reason=reason)
    return world
