"""Log lines about polls: a failure is logged once an hour, and few lines a minute."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from threading import Lock

from exporter.metrics.store import ObjectKey
from exporter.model.errors import FailureReason, FetchError
from exporter.polling.request_queue import PendingPoll
from exporter.system.log_rate_limit import LINES_PER_MINUTE, LogRateLimit, is_news
from exporter.system.logformat import Fact

_log = logging.getLogger(__name__)


class PollLog:
    """Decides which events are logged. Any thread may call any method."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._logged: dict[tuple[ObjectKey, bool], tuple[FailureReason, float]] = {}
        self._limits: dict[tuple[str, str], LogRateLimit] = {}

    def keep_only(self, keys: Iterable[ObjectKey]) -> None:
        """Discard what is known of objects that are not polled any more."""
        kept = set(keys)
        for key in tuple(self._logged):
            if key[0] not in kept:
                self._logged.pop(key, None)

    def failed(
        self,
        poll: PendingPoll,
        failure: FetchError,
        fields: Mapping[str, Fact],
        *,
        next_at: float | None,
        now: float,
        is_repeated: bool = True,
    ) -> None:
        """Log a failed poll: as a warning if it is news, else as debug.

        A failure that is not `is_repeated` is logged once until its reason changes.
        """
        logged = self._logged.get(_about(poll))
        if logged and not is_repeated:
            logged = (logged[0], now)
        fields = {
            **fields,
            "reason": failure.reason,
            "status": failure.status,
            "tries": poll.tries,
            "next_in_seconds": None if next_at is None else round(next_at - now),
            "error": str(failure),
        }
        if not is_news(failure.reason, logged, now=now):
            _log.debug("poll.failed", extra={"fields": fields})
        elif self.write(logging.WARNING, "poll.failed", fields, now=now):
            self._logged[_about(poll)] = (failure.reason, now)

    def succeeded(
        self, poll: PendingPoll, fields: Mapping[str, Fact], *, now: float
    ) -> None:
        """Log that an object whose failure was logged is polled again."""
        if self._logged.pop(_about(poll), None):
            self.write(logging.INFO, "poll.recovered", fields, now=now)

    def write(
        self, level: int, event: str, fields: Mapping[str, Fact], *, now: float
    ) -> bool:
        """Log an event, as debug beyond the limit; return whether it is within."""
        key = (str(fields["workspace"]), event)
        with self._lock:
            limit = self._limits.get(key, LogRateLimit(LINES_PER_MINUTE))
            self._limits[key] = limit.counted(now=now)
        is_admitted = limit.admits(now=now)
        if is_admitted:
            fields = {**fields, **limit.facts(now=now)}
        _log.log(
            level if is_admitted else logging.DEBUG, event, extra={"fields": fields}
        )
        return is_admitted


def _about(poll: PendingPoll) -> tuple[ObjectKey, bool]:
    """Return the object, and whether its older days are requested: both may fail."""
    return (poll.key, poll.request > 0)
