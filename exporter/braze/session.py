"""Requests to one Braze workspace: one account, shared by all that send them.

Each of Braze's buckets has one budget. A request is paid for before it is sent and
settled when it ends, so that polling, discovery and downloads keep one ceiling and one
reserve per bucket, and one 429 stops all of them. A 401 pauses every request of the
key: the component that got it probes, the others wait.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import RLock
from typing import NamedTuple

from exporter.braze import retries
from exporter.braze.client import Fetcher
from exporter.braze.rate_limit import Budget
from exporter.braze.responses import Body, BrazeResponse
from exporter.model.errors import FailureReason, FetchError, Throttled, Unavailable
from exporter.model.rate_limit_headers import RateLimitHeaders
from exporter.system.clock import Clock
from exporter.system.logformat import Fact

CAMPAIGN_ANALYTICS = "campaigns/data_series"
"""Braze's bucket of 50,000 requests a minute for campaign analytics alone."""

SHARED = "default"
"""Braze's bucket of 250,000 requests an hour, which live sends use too."""

PURCHASES = "purchases"
"""Braze's bucket of 1,000 requests an hour for purchases, `/events`, `/events/list` and
`/custom_attributes`."""

DATA_INGESTION = "cdi/integrations"
"""Braze's bucket of 50 requests a minute for the list of integrations."""

_LONGEST_WINDOW_SECONDS = 3600.0
# `Date` and the reset have whole seconds, and a response takes a moment.
_RESET_TOLERANCE_SECONDS = 5.0
_UNFINISHED = (FailureReason.TIMEOUT, FailureReason.CONNECTION)
"""Failures without a complete response, even if a status line was received."""

Result = BrazeResponse | FetchError


class ApiRequest(NamedTuple):
    """One GET, and the bucket that pays for it."""

    bucket: str
    path: str
    parameters: Mapping[str, str | int]
    fields: Mapping[str, Fact]
    """Fields of its log line."""


class Ended(NamedTuple):
    """One request that ended, for metrics and the log."""

    request: ApiRequest
    status: int | None
    """None: no complete response."""
    headers: RateLimitHeaders | None
    seconds: float | None
    """From connecting to the last byte; None: no connection was begun."""
    answered_at: float | None = None
    """By Braze's clock; None: no response, or without a date."""


class Session:
    """Any thread may call any method. `random` returns fractions in [0, 1)."""

    def __init__(
        self,
        client: Fetcher,
        *,
        budgets: Mapping[str, Budget],
        clock: Clock,
        random: Callable[[], float],
        on_end: Callable[[Ended], None] = lambda _: None,
    ) -> None:
        """`budgets` are by bucket. `on_end` is called after each request."""
        self.client = client
        """May be replaced while requests are in flight."""
        self.lock = RLock()
        """Guards the account; the queues of the session use it, too."""
        self._budgets = dict(budgets)
        self._clock = clock
        self._random = random
        self._on_end = on_end
        self._key_owner: object | None = None
        self._key_probe_at = 0.0
        self._wake_ups: dict[object, Callable[[], None]] = {}
        self._queues: dict[object, tuple[str, Callable[[], bool]]] = {}
        """Those that share buckets: (bucket, whether it has a request to send)."""
        self._last_queue: dict[str, object] = {}
        """By bucket: which of them sent the last request."""

    def budget(self, bucket: str) -> Budget:
        """Return the budget of a bucket as it is now."""
        return self._budgets[bucket]

    def earliest(self, bucket: str, *, now: float) -> float:
        """Return when a request may start, at least `now`; inf: after a response."""
        return self._budgets[bucket].earliest(now=now)

    def spend(self, bucket: str, *, now: float, queue: object = None) -> None:
        """Pay for a request that starts now; ValueError: it may not start yet."""
        with self.lock:
            self._budgets[bucket] = self._budgets[bucket].spend(now=now)
            self._last_queue[bucket] = queue

    def share_bucket(
        self, bucket: str, queue: object, *, is_waiting: Callable[[], bool]
    ) -> None:
        """Let a queue take turns with the others of its bucket, until it leaves.

        `is_waiting` is called under the lock.
        """
        with self.lock:
            self._queues[queue] = (bucket, is_waiting)

    def is_turn_of_others(self, bucket: str, queue: object) -> bool:
        """Return whether a queue sent the last request and another one waits.

        Else, where more is to be sent than may be, one of them could take every start.
        """
        with self.lock:
            return self._last_queue.get(bucket) is queue and any(
                is_waiting()
                for other, (shared, is_waiting) in self._queues.items()
                if shared == bucket and other is not queue
            )

    def release(self, bucket: str, *, now: float) -> None:
        """Settle a request that was paid for and whose end is not known."""
        with self.lock:
            self._budgets[bucket] = self._budgets[bucket].settle(None, now=now)

    def fetch(
        self,
        request: ApiRequest,
        parse: Callable[[Body], object] = Body.document,
        cached: Callable[[int], object | None] = lambda _: None,
    ) -> Result:
        """Send a request that was paid for, settle it, and return how it ended."""
        result: Result
        try:
            path = f"/{request.path}"
            result = self.client.fetch(path, request.parameters, parse, cached)
        except FetchError as failure:
            result = failure
        except BaseException:
            self.release(request.bucket, now=self._clock.now())
            raise
        now = self._clock.now()
        self._settle(request.bucket, result, now=now)
        is_cut_off = isinstance(result, FetchError) and result.reason in _UNFINISHED
        status = None if is_cut_off else result.status
        self._on_end(
            Ended(
                request, status, result.rate_limit, result.seconds, result.answered_at
            )
        )
        return result

    def retry_at(
        self,
        failure: FetchError,
        *,
        bucket: str,
        tries: int,
        first_try_at: float,
        interval_seconds: float,
        is_patient: bool = False,
    ) -> float | None:
        """Return when a failed request may be sent again; None: it has failed.

        After a 429 that is when the bucket opens; after an outage, tries are spread
        over at most half an interval, and none is earlier than Retry-After. Nothing
        else is tried again soon. `is_patient`: Retry-After may be later than that.
        """
        if isinstance(failure, Throttled):
            return self._budgets[bucket].bucket.shut_until
        if not isinstance(failure, Unavailable):
            return None
        now = self._clock.now()
        at = retries.next_try(
            tries=tries,
            first_try_at=first_try_at,
            now=now,
            interval_seconds=interval_seconds,
            fraction=self._random(),
        )
        wait = failure.retry_after_seconds
        wanted_at = now + (wait or 0.0)
        if is_patient and wait is not None and tries < retries.MOST_TRIES:
            return max(wanted_at, at or 0.0)
        if at is None or wanted_at <= at:
            return at
        is_too_late = retries.is_over(
            first_try_at=first_try_at, now=wanted_at, interval_seconds=interval_seconds
        )
        return None if is_too_late else wanted_at

    def reconfigure(self, budgets: Mapping[str, Budget]) -> None:
        """Change the bounds of all buckets; the state of each bucket is kept."""
        with self.lock:
            for name, budget in budgets.items():
                known = self._budgets.get(name, budget)
                self._budgets[name] = known.bounded_as(budget)

    def discard_windows(self) -> None:
        """Discard resets that Braze gave: the wall clock was set since."""
        now = self._clock.now()
        with self.lock:
            self._budgets = {
                name: budget.without_windows(now=now)
                for name, budget in self._budgets.items()
            }

    def on_key_accepted(self, user: object, wake_up: Callable[[], None]) -> None:
        """Call a function when a pause of the key ends, until `user` leaves."""
        with self.lock:
            self._wake_ups[user] = wake_up

    def leave(self, user: object) -> None:
        """End the pause that `user` holds, and call its function no more."""
        with self.lock:
            self._wake_ups.pop(user, None)
            self._queues.pop(user, None)
            for bucket, queue in tuple(self._last_queue.items()):
                if queue is user:
                    del self._last_queue[bucket]
            self.resume_key(user)

    def pause_key(self, owner: object, *, probe_at: float) -> None:
        """Pause all requests of the key but those of `owner`, after its 401.

        `probe_at` is when it sends the next one. Without effect while another owner
        holds the pause.
        """
        with self.lock:
            if self._key_owner is None or self._key_owner is owner:
                self._key_owner = owner
                self._key_probe_at = probe_at

    def resume_key(self, owner: object) -> None:
        """End the pause that `owner` holds, if it holds one."""
        with self.lock:
            if self._key_owner is not owner:
                return
            self._key_owner = None
            for wake_up in self._wake_ups.values():
                wake_up()

    @property
    def key_probe_at(self) -> float:
        """When the owner of the key's pause probes next."""
        return self._key_probe_at

    def is_paused_for(self, user: object) -> bool:
        """Return whether another component probes a refused key."""
        return self._key_owner is not None and self._key_owner is not user

    def _reset_at(
        self, reset_at: float | None, *, answered_at: float | None, now: float
    ) -> float | None:
        """Return a reset by the process clock; None: not given.

        Braze's wall clock is the Date of its response, since that of this machine may
        differ. A clock by which the reset is past, or later than any window, is not
        Braze's.
        """
        if reset_at is None:
            return None
        for wall in (answered_at, self._clock.wall(now)):
            if wall is None:
                continue
            wait = reset_at - wall
            beyond = wait - _LONGEST_WINDOW_SECONDS
            if max(-wait, beyond) <= _RESET_TOLERANCE_SECONDS:
                return now + wait
        return None

    def _settle(self, bucket: str, result: Result, *, now: float) -> None:
        headers = result.rate_limit
        if headers is not None:
            reset_at = self._reset_at(
                headers.reset_at, answered_at=result.answered_at, now=now
            )
            headers = headers._replace(reset_at=reset_at)
        with self.lock:
            budget = self._budgets[bucket]
            if not isinstance(result, Throttled):
                self._budgets[bucket] = budget.settle(headers, now=now)
                return
            self._budgets[bucket] = budget.settle_throttled(
                headers or RateLimitHeaders(),
                retry_after_seconds=result.retry_after_seconds,
                now=now,
                fraction=self._random(),
            )
