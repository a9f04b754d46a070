"""Idle objects of a kind in a workspace, and the interval in force of each object.

An object without activity is polled at the idle interval. The requests that this saves
shorten the intervals of all objects where they are stretched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from threading import Lock

from exporter.model.config import ObjectConfig
from exporter.model.snapshot import Snapshot
from exporter.polling.plan import GroupPlan


def is_idle(one: ObjectConfig, snapshot: Snapshot | None) -> bool:
    """Return whether no activity is expected of an object for now.

    That is: all counts are 0 for two weeks, or it is archived, stopped or a draft and
    has no counts today or yesterday. Without a snapshot only the latter is known.
    """
    if snapshot is None:
        return one.is_dormant
    is_over = one.is_dormant and not snapshot.is_active
    return snapshot.is_quiet or is_over


class IdleSchedule:
    """The intervals of one group. Any thread may call any method."""

    def __init__(self, plan: GroupPlan, idle_ids: Iterable[str] = ()) -> None:
        idle_interval = plan.workspace.idle_interval_seconds
        self.plan = plan
        """With the rates and the stretch in force."""
        self._regular = {one.id: one.interval_seconds for one in plan.objects}
        self._idle = {one: max(at, idle_interval) for one, at in self._regular.items()}
        self.idle_ids = frozenset(idle_ids) & frozenset(self._regular)
        self._lock = Lock()
        self._counts = Counter(map(self._configured, self._regular))
        self._update_plan()

    def move(self, object_id: str, *, is_idle: bool) -> bool:
        """Set whether an object is idle; return whether that is a change."""
        with self._lock:
            if object_id not in self._regular or (
                is_idle == (object_id in self.idle_ids)
            ):
                return False
            self._counts[self._configured(object_id)] -= 1
            self.idle_ids ^= {object_id}
            self._counts[self._configured(object_id)] += 1
            self._update_plan()
            return True

    def interval_seconds(self, object_id: str) -> float:
        """Return the interval in force."""
        return self._configured(object_id) * self.plan.stretch

    def _configured(self, object_id: str) -> float:
        intervals = self._idle if object_id in self.idle_ids else self._regular
        return intervals[object_id]

    def _update_plan(self) -> None:
        # Summed each time, from few counts: an updated sum would drift.
        wanted = sum(60 / seconds * count for seconds, count in self._counts.items())
        self.plan = self.plan.with_rate(self.plan.older_per_minute + wanted)
