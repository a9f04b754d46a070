"""Which requests arrived, and how many were open at a time.

A request is written down when its answer is decided, before the first byte of it, so
whoever has an answer finds its request here. It knows nothing of what was answered.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request; both times are those of its arrival."""

    monotonic_seconds: float
    epoch_seconds: float
    method: str
    path: str
    query: str
    campaign_id: str | None
    status: int
    is_authorized: bool


class RequestLog:
    """The requests so far, the newest `size` of them in full (None: all)."""

    def __init__(self, size: int | None) -> None:
        self._changed = threading.Condition()
        self._requests: deque[LoggedRequest] = deque(maxlen=size)
        self._arrived: Counter[str | None] = Counter()
        self._answered: Counter[tuple[str, int]] = Counter()
        self._open: Counter[str | None] = Counter()
        self._most_open: Counter[str | None] = Counter()

    def begin(self, campaign_id: str | None) -> None:
        """Count a request as open; None as a key stands for all of them."""
        with self._changed:
            for key in {campaign_id, None}:
                self._open[key] += 1
                self._most_open[key] = max(self._most_open[key], self._open[key])

    def end(self, campaign_id: str | None) -> None:
        """Count a request as closed."""
        with self._changed:
            for key in {campaign_id, None}:
                self._open[key] -= 1

    def record(self, request: LoggedRequest) -> None:
        """Write a request down and wake whoever waits for it."""
        with self._changed:
            self._requests.append(request)
            self._answered[request.path, request.status] += 1
            for key in {request.campaign_id, None}:
                self._arrived[key] += 1
            self._changed.notify_all()

    def wait(
        self, count: int, *, campaign_id: str | None, timeout_seconds: float
    ) -> bool:
        """Block until `count` requests were written down; False: the time was up."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._arrived[campaign_id] >= count, timeout_seconds
            )

    def requests(self) -> tuple[LoggedRequest, ...]:
        """Return the requests that are kept, oldest first."""
        with self._changed:
            return tuple(self._requests)

    def in_flight(self, campaign_id: str | None) -> int:
        """Return how many requests are open."""
        with self._changed:
            return self._open[campaign_id]

    def most_in_flight(self, campaign_id: str | None) -> int:
        """Return how many requests were open at the busiest moment."""
        with self._changed:
            return self._most_open[campaign_id]

    def summary(self) -> dict[str, object]:
        """Return the counts as a document."""
        with self._changed:
            return {
                "total": self._arrived[None],
                "in_flight": self._open[None],
                "most_in_flight": self._most_open[None],
                "answers": [
                    {"path": path, "status": status, "count": count}
                    for (path, status), count in sorted(self._answered.items())
                ],
            }
