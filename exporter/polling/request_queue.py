"""The line in which a workspace's campaigns wait for their turn to ask Braze.

It holds the workspace's current budget and its pause after 401 or 403, answers who may
start, in order of arrival, and calls the next one when it may. One campaign is never in
flight twice. It knows neither HTTP nor what a poll does with the answer.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from threading import Lock
from typing import NamedTuple

from exporter.braze.rate_limit import Bucket, Budget
from exporter.model.errors import FailureReason, FetchError
from exporter.model.rate_limit_headers import RateLimitHeaders
from exporter.polling import slots

ENDPOINT = "campaigns/data_series"

_LOOK_AGAIN_SECONDS = 1.0
"""How long a probe waits when only an answer on its way makes room for it."""


class PendingPoll(NamedTuple):
    """One campaign's place in the plan: what its next job is for."""

    workspace: str
    campaign_id: str
    due_at: float
    """The slot it stands for."""
    at: float = 0.0
    """When its job is to run."""
    tries: int = 0
    """Requests this poll has made so far."""
    first_try_at: float = math.inf
    failure: FetchError | None = None
    """How the last of them ended."""
    has_waited: bool = False
    """Whether the line has called it."""

    @property
    def key(self) -> tuple[str, str]:
        """What the store knows its campaign by."""
        return (self.workspace, self.campaign_id)


class Pause(NamedTuple):
    """A workspace that refused our key, and the one campaign that asks again."""

    reason: FailureReason
    probe_id: str
    probe_at: float
    failures: int = 1
    forbidden_ids: frozenset[str] = frozenset()
    """The campaigns that got 403 since it began."""


class QueueState(NamedTuple):
    """How a line stands at one instant, for those who look on."""

    pause: Pause | None
    budget: Budget
    in_flight: frozenset[str]
    places: Mapping[str, int]
    """Who waits → how many are before it."""
    members: frozenset[str]
    """Who asks by this line at all."""
    earliest: float
    """When the next request may start; inf: after an answer."""


class RequestQueue:
    """Who may ask Braze now, and who next.

    `call` is given a turn that waited, with the instant at which to `start` it again.
    All methods may be called from any thread; `call` runs under the line's lock
    and must not come back to the line.
    """

    def __init__(
        self,
        budget: Budget,
        *,
        workspace: str,
        campaign_ids: tuple[str, ...],
        call: Callable[[PendingPoll], None],
    ) -> None:
        self._budget = budget
        self._workspace = workspace
        self._campaign_ids = campaign_ids
        self._members = frozenset(campaign_ids)
        self._call = call
        self._lock = Lock()
        self._waiting: OrderedDict[str, PendingPoll] = OrderedDict()
        """By campaign id: a stray second job must not let one wait twice."""
        self._called_at = math.inf
        self._in_flight: set[str] = set()
        self._pause: Pause | None = None
        self._forbidden: set[str] = set()

    def join(self, turns: tuple[PendingPoll, ...], *, now: float) -> None:
        """Let turns wait in this order, and call the first one when it may start.

        A campaign that left and came back in the midst of its poll goes on from there.
        """
        with self._lock:
            self._waiting.update(
                (turn.campaign_id, turn)
                for turn in turns
                if turn.campaign_id not in self._in_flight
            )
            self._call_first(now)

    def start(self, turn: PendingPoll, *, now: float) -> bool:
        """Spend a request on this turn, or let it wait; True: go ahead.

        A turn that has to wait comes back by `call`. One that is in flight already is
        not started again, nor is one whose campaign has left.
        """
        with self._lock:
            is_gone = turn.campaign_id not in self._members
            if is_gone or turn.campaign_id in self._in_flight:
                return False
            if self._pause and turn.campaign_id == self._pause.probe_id:
                return self._start_probe(self._pause, turn, now)
            self._waiting.setdefault(turn.campaign_id, turn._replace(has_waited=True))
            is_first = self._is_first(turn)
            if is_first:
                self._called_at = math.inf
            if not is_first or self._pause or self._earliest(now) > now:
                self._call_first(now)
                return False
            del self._waiting[turn.campaign_id]
            self._spend(turn, now)
            return True

    def leave(self, turn: PendingPoll, *, now: float) -> None:
        """Take back a turn that came too late to start."""
        with self._lock:
            if self._pause and turn.campaign_id == self._pause.probe_id:
                # Its job may have taken the place of the probe's.
                self._call_probe(self._pause, now)
            if self._is_first(turn):
                del self._waiting[turn.campaign_id]
                self._called_at = math.inf
            self._call_first(now)

    def finish(
        self,
        turn: PendingPoll,
        allowance: RateLimitHeaders | None,
        *,
        is_key_accepted: bool,
        now: float,
    ) -> None:
        """Account for a request that ended in anything but 401, 403 or 429.

        No allowance means that no answer came. An answer that shows our key accepted
        ends the pause that it probes; after 403 so does one of any campaign that was
        not refused itself. Those that were are then known to be forbidden themselves.
        """
        with self._lock:
            self._budget = self._budget.settle(ENDPOINT, allowance, now=now)
            self._in_flight.discard(turn.campaign_id)
            pause = self._pause
            if pause and is_key_accepted and _ends(pause, turn.campaign_id):
                self._resume(pause, turn.campaign_id, now)
            elif pause and turn.campaign_id == pause.probe_id:
                self._probe_later(pause, now)
            self._call_first(now)

    def abandon(self, turn: PendingPoll, *, now: float) -> None:
        """Account for a poll that broke off, wherever it stood."""
        with self._lock:
            if turn.campaign_id in self._in_flight:
                self._budget = self._budget.settle(ENDPOINT, None, now=now)
                self._in_flight.discard(turn.campaign_id)
            if self._pause and turn.campaign_id == self._pause.probe_id:
                self._probe_later(self._pause, now)
            self._call_first(now)

    def clear(self, campaign_id: str) -> None:
        """Forget that a campaign was refused by itself: it was just answered."""
        with self._lock:
            self._forbidden.discard(campaign_id)

    def finish_throttled(
        self,
        turn: PendingPoll,
        allowance: RateLimitHeaders,
        *,
        retry_after_seconds: float | None,
        now: float,
        fraction: float,
    ) -> float:
        """Account for a 429 and return from when on the bucket is open again."""
        with self._lock:
            self._budget = self._budget.settle_throttled(
                ENDPOINT,
                allowance,
                retry_after_seconds=retry_after_seconds,
                now=now,
                fraction=fraction,
            )
            self._in_flight.discard(turn.campaign_id)
            if self._pause and turn.campaign_id == self._pause.probe_id:
                self._probe_later(self._pause, now)
            self._call_first(now)
            return self._budget.bucket(ENDPOINT).shut_until

    def finish_refused(
        self,
        turn: PendingPoll,
        allowance: RateLimitHeaders | None,
        *,
        reason: FailureReason,
        now: float,
    ) -> Pause | None:
        """Account for a 401 or 403 and return the pause it began, continued or met.

        None means that the campaign is known to be forbidden by itself: after 403 it
        goes on at the slow rate and nothing pauses. 401 is about the key, always.
        """
        with self._lock:
            self._budget = self._budget.settle(ENDPOINT, allowance, now=now)
            self._in_flight.discard(turn.campaign_id)
            is_forbidden = reason is FailureReason.FORBIDDEN
            is_known = is_forbidden and turn.campaign_id in self._forbidden
            if self._pause is None and is_known:
                self._call_first(now)
                return None
            self._take_refusal(turn.campaign_id, reason, now)
            return self._pause

    def book(self, turn: PendingPoll) -> None:
        """Call a campaign's next turn, unless its next one is the line's to call.

        Or nobody's, for it has left. Under the line's lock, so that nothing comes
        between the look and the call.
        """
        with self._lock:
            is_refused = (
                turn.campaign_id not in self._members
                or turn.campaign_id in self._waiting
                or turn.campaign_id in self._in_flight
                or self.is_called(turn.campaign_id)
            )
            if not is_refused:
                self._call(turn)

    def reshape(
        self, budget: Budget, campaign_ids: tuple[str, ...], *, now: float
    ) -> None:
        """Go on under other bounds and with other campaigns; who stays keeps its place.

        Of `budget` only the bounds count: what was learnt of Braze stays.
        """
        with self._lock:
            self._budget = self._budget.bounded_as(budget)
            self._campaign_ids = campaign_ids
            self._members = frozenset(campaign_ids)
            for campaign_id in set(self._waiting) - self._members:
                del self._waiting[campaign_id]
                self._called_at = math.inf
            self._forbidden &= self._members
            if not campaign_ids:
                self._pause = None  # others find out, if there are any
            if self._pause and self._pause.probe_id not in self._members:
                probe_id = self._after(self._pause.probe_id)
                self._pause = self._pause._replace(probe_id=probe_id)
                self._call_probe(self._pause, now)
            self._call_first(now)

    def close(self) -> None:
        """Call nobody any more; what is in flight is still accounted for."""
        with self._lock:
            self._members = frozenset()
            self._waiting.clear()
            self._call = _call_nobody

    def forget_windows(self, *, now: float) -> None:
        """Wait for no reset of which Braze told: the wall clock was set since."""
        with self._lock:
            self._budget = self._budget.without_windows(now=now)
            self._called_at = math.inf
            if self._pause and self._pause.probe_id not in self._in_flight:
                self._call_probe(self._pause, now)
            self._call_first(now)

    def probe_now(self, *, now: float) -> None:
        """Probe a paused workspace at once: its key has changed.

        If a probe is on its way, with the former key, the next one comes in a minute.
        """
        with self._lock:
            if self._pause:
                self._pause = self._pause._replace(probe_at=now, failures=0)
                if self._pause.probe_id not in self._in_flight:
                    self._call_probe(self._pause, now)

    @property
    def pause(self) -> Pause | None:
        """The pause in force."""
        return self._pause

    @property
    def members(self) -> frozenset[str]:
        """The campaigns that may ask."""
        return self._members

    @property
    def forbidden_ids(self) -> frozenset[str]:
        """The campaigns that are known to be refused by themselves."""
        with self._lock:
            return frozenset(self._forbidden)

    @property
    def bucket(self) -> Bucket:
        """The account of the data series endpoint, as it is now."""
        return self._budget.bucket(ENDPOINT)

    def outlook(self, *, now: float) -> QueueState:
        """Return how the line stands."""
        with self._lock:
            return QueueState(
                pause=self._pause,
                budget=self._budget,
                in_flight=frozenset(self._in_flight),
                places={one: place for place, one in enumerate(self._waiting)},
                members=self._members,
                earliest=self._earliest(now),
            )

    def is_called(self, campaign_id: str) -> bool:
        """Tell whether this campaign's next job is the line's to set."""
        pause = self._pause
        return pause is not None and pause.probe_id == campaign_id

    def _is_first(self, turn: PendingPoll) -> bool:
        return next(iter(self._waiting), None) == turn.campaign_id

    def _earliest(self, now: float) -> float:
        return self._budget.earliest(ENDPOINT, now=now)

    def _start_probe(self, pause: Pause, turn: PendingPoll, now: float) -> bool:
        if now < pause.probe_at or self._earliest(now) > now:
            # Its regular job fired, or came between: the probe is its next one.
            self._call_probe(pause, now)
            return False
        self._spend(turn, now)
        return True

    def _spend(self, turn: PendingPoll, now: float) -> None:
        self._budget = self._budget.spend(ENDPOINT, now=now)
        self._in_flight.add(turn.campaign_id)
        self._called_at = math.inf
        self._call_first(now)

    def _call_first(self, now: float) -> None:
        """Call the head of the line, unless it was called for as early already."""
        if self._pause or not self._waiting or self._called_at <= now:
            return
        at = self._earliest(now)
        if at < self._called_at:
            self._called_at = at
            first = next(iter(self._waiting.values()))
            self._call(first._replace(at=at))

    def _take_refusal(
        self, campaign_id: str, reason: FailureReason, now: float
    ) -> None:
        pause = self._pause
        if pause is None:
            self._probe_later(Pause(reason, campaign_id, now, failures=0), now)
        elif campaign_id == pause.probe_id:
            self._probe_later(pause._replace(reason=reason), now)
        if self._pause and reason is FailureReason.FORBIDDEN:
            forbidden_ids = self._pause.forbidden_ids | {campaign_id}
            self._pause = self._pause._replace(forbidden_ids=forbidden_ids)

    def _probe_later(self, pause: Pause, now: float) -> None:
        """Let the next campaign of the rotation probe, later than the last one did."""
        failures = pause.failures + 1
        self._pause = pause._replace(
            failures=failures,
            probe_id=self._after(pause.probe_id),
            probe_at=now + slots.probe_delay(failures),
        )
        self._call_probe(self._pause, now)

    def _call_probe(self, pause: Pause, now: float) -> None:
        self._waiting.pop(pause.probe_id, None)
        at = max(pause.probe_at, self._earliest(now))
        if at == math.inf:
            at = max(pause.probe_at, now + _LOOK_AGAIN_SECONDS)
        turn = PendingPoll(
            self._workspace, pause.probe_id, due_at=pause.probe_at, at=at
        )
        self._call(turn)

    def _after(self, campaign_id: str) -> str:
        """Return the next campaign of the rotation that is not in flight."""
        ids = self._campaign_ids
        start = ids.index(campaign_id) + 1 if campaign_id in ids else 0
        rotation = (*ids[start:], *ids[:start])
        return next(
            (other for other in rotation if other not in self._in_flight),
            # Discovery may have no campaign left: then this one's job does nothing.
            rotation[-1] if rotation else campaign_id,
        )

    def _resume(self, pause: Pause, accepted_id: str, now: float) -> None:
        self._pause = None
        self._called_at = math.inf
        self._forbidden |= pause.forbidden_ids
        self._forbidden.discard(accepted_id)
        if pause.probe_id not in self._in_flight and pause.probe_id != accepted_id:
            # Its probe took the place of its next job, and need not be waited for.
            self._call(PendingPoll(self._workspace, pause.probe_id, due_at=now, at=now))


def _ends(pause: Pause, campaign_id: str) -> bool:
    """Tell whether an answer to this campaign shows that our key is good now.

    Of 401 only the probe tells: what was on its way was asked with the former key.
    """
    if campaign_id == pause.probe_id:
        return True
    is_forbidden = pause.reason is FailureReason.FORBIDDEN
    return is_forbidden and campaign_id not in pause.forbidden_ids


def _call_nobody(_: PendingPoll) -> None:
    pass
