"""A pause of a workspace: its key or a permission is refused."""

from __future__ import annotations

from typing import NamedTuple

from exporter.model.errors import FailureReason


class Pause(NamedTuple):
    """A refused key or permission, and the one object that is polled to probe it."""

    reason: FailureReason
    probe_id: str
    """Empty: another component of the session probes."""
    probe_at: float
    failures: int = 1
    forbidden_ids: frozenset[str] = frozenset()
    """The objects that got 403 since the pause began."""

    @property
    def is_of_key(self) -> bool:
        """Whether the key is refused, and not only a permission for one kind."""
        return self.reason is FailureReason.UNAUTHORIZED

    def ends_with(self, object_id: str) -> bool:
        """Return whether a response to this object's request ends the pause.

        After 401 only the probe's does: the other requests in flight were sent with the
        previous key.
        """
        if object_id == self.probe_id:
            return True
        is_forbidden = self.reason is FailureReason.FORBIDDEN
        return is_forbidden and object_id not in self.forbidden_ids
