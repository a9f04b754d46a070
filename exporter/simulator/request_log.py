"""The log of received requests, and counts of open ones.

A request is recorded before the first byte of its response is sent: a client that has
the response finds its request in the log.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

_SIZE = 100_000


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request; both times are the time of arrival."""

    monotonic_seconds: float
    epoch_seconds: float
    method: str
    path: str
    query: str
    campaign_id: str | None
    canvas_id: str | None
    object_id: str | None
    """The id of the campaign, canvas or segment, or the name of the event."""
    bucket: str
    """The rate limit that it counts against, if it is authorized."""
    status: int
    is_authorized: bool


class RequestLog:
    """Keeps the newest requests, and counts of all."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._requests: deque[LoggedRequest] = deque(maxlen=_SIZE)
        self._received: Counter[str | None] = Counter()
        self._responses: Counter[tuple[str, int]] = Counter()
        self._buckets: Counter[str] = Counter()
        self._open: Counter[str | None] = Counter()
        self._most_open: Counter[str | None] = Counter()

    def begin(self, object_id: str | None) -> None:
        """Count a request as open; the key None counts all."""
        with self._changed:
            for key in {object_id, None}:
                self._open[key] += 1
                self._most_open[key] = max(self._most_open[key], self._open[key])

    def end(self, object_id: str | None) -> None:
        """Count a request as closed."""
        with self._changed:
            for key in {object_id, None}:
                self._open[key] -= 1

    def record(self, request: LoggedRequest) -> None:
        """Add a request and wake the waiting threads."""
        with self._changed:
            self._requests.append(request)
            self._responses[request.path, request.status] += 1
            self._buckets[request.bucket] += request.is_authorized
            for key in {request.object_id, None}:
                self._received[key] += 1
            self._changed.notify_all()

    def wait(
        self, count: int, *, object_id: str | None, timeout_seconds: float
    ) -> bool:
        """Block until `count` requests are recorded; False: the timeout expired."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._received[object_id] >= count, timeout_seconds
            )

    def requests(self) -> tuple[LoggedRequest, ...]:
        """Return the kept requests, oldest first."""
        with self._changed:
            return tuple(self._requests)

    def most_in_flight(self, object_id: str | None) -> int:
        """Return the largest number of requests open at the same time."""
        with self._changed:
            return self._most_open[object_id]

    def summary(self) -> dict[str, Any]:
        """Return the counts as a JSON document."""
        with self._changed:
            return {
                "total": self._received[None],
                "in_flight": self._open[None],
                "most_in_flight": self._most_open[None],
                "answers": [
                    {"path": path, "status": status, "count": count}
                    for (path, status), count in sorted(self._responses.items())
                ],
                "buckets": dict(sorted(self._buckets.items())),
            }
