"""What is served and logged of pauses.

A pause, the status of its objects, its gauge and its log line change in one order.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from threading import Lock

from exporter.metrics.self_metrics import SelfMetrics
from exporter.metrics.store import Entry, Store
from exporter.model.errors import FetchError
from exporter.polling import slots
from exporter.polling.object_group import GroupKey, ObjectGroup, in_force
from exporter.polling.pause import Pause
from exporter.polling.request_queue import PendingPoll
from exporter.system.clock import Clock
from exporter.system.logformat import Fact

_log = logging.getLogger(__name__)


class PauseDisplay:
    """Any thread may call any method."""

    def __init__(
        self,
        groups: Mapping[GroupKey, ObjectGroup],
        *,
        store: Store,
        metrics: SelfMetrics,
        clock: Clock,
    ) -> None:
        self._groups = groups
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._lock = Lock()

    def update_all(self) -> None:
        """Show pauses that no poll began or ended."""
        for group in tuple(self._groups.values()):
            self._update(group, None)

    def update(self, group: ObjectGroup, failure: FetchError | None = None) -> None:
        """Show what a poll of a group began or ended; `failure` is the reason.

        A pause of the key holds for all groups of its session.
        """
        for other in tuple(self._groups.values()):
            if other.session is group.session:
                self._update(other, failure)

    def _update(self, group: ObjectGroup, failure: FetchError | None) -> None:
        with self._lock:  # to the end: all of it changes in one order
            pause = group.queue.pause
            reason = pause.reason if pause else None
            is_shown = group.queue.shown_pause is reason
            if is_shown or in_force(self._groups, group) is None:
                return
            group.queue.shown_pause = reason
            self._show(group, pause, failure)

    def _show(
        self, group: ObjectGroup, pause: Pause | None, failure: FetchError | None
    ) -> None:
        def show(entry: Entry) -> Entry:
            return group.with_status(entry, entry.status)

        for object_id in group.objects:
            self._store.update(group.object_key(object_id), show)
        reason = pause.reason if pause else None
        self._metrics.paused(group.name, group.kind.name, reason)
        fields: dict[str, Fact] = {
            "workspace": group.name,
            "kind": group.kind.name,
            "endpoint": group.plan.workspace.endpoint,
            "key": str(group.plan.workspace.key_source),
        }
        if pause is None:
            _log.info("workspace.resumed", extra={"fields": fields})
            self._slow_down(group, group.queue.forbidden_ids)
        else:
            fields |= {
                "reason": reason,
                "status": failure.status if failure else None,
                "probe_in_seconds": round(pause.probe_at - self._clock.now()),
                "error": str(failure or ""),
            }
            _log.warning("workspace.paused", extra={"fields": fields})

    def _slow_down(self, group: ObjectGroup, object_ids: frozenset[str]) -> None:
        """Poll objects that are forbidden themselves at the slow rate from now on."""
        now = self._clock.now()
        for object_id in object_ids & set(group.objects):
            interval = slots.slow_interval(group.idle.interval_seconds(object_id))

            def mark(entry: Entry, interval: float = interval) -> Entry:
                status = entry.status._replace(interval_seconds=interval)
                return group.with_status(entry, status)

            self._store.update(group.object_key(object_id), mark)
            polled = PendingPoll(
                group.object_key(object_id), due_at=now, first_try_at=now
            )
            upcoming = group.next_poll(
                polled, clock=self._clock, interval_seconds=interval
            )
            if upcoming is not None:
                group.queue.reschedule(upcoming)
