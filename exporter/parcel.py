"""A snapshot in little room: what nobody looks at between two polls lies pickled.

As objects it would take seven times as much, a third of all memory where there are many
series. The bytes are of this process alone and never leave it; what is kept over a
restart is `snapshot_document`'s.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass

from exporter.model import Snapshot


@dataclass(frozen=True, slots=True, eq=False)
class Parcel:
    """A packed snapshot, with what is asked for too often to unpack it each time."""

    pickled: bytes
    dropped_series: int
    ignored_values: int
    skipped_rows: int
    is_quiet: bool
    is_active: bool

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Parcel):
            return NotImplemented
        # Equal snapshots are not always pickled to equal bytes.
        return self.pickled == other.pickled or self.open() == other.open()

    __hash__ = None  # type: ignore[assignment]  # nobody looks one up

    def open(self) -> Snapshot:
        """Return the snapshot, an equal one each time."""
        snapshot: Snapshot = pickle.loads(self.pickled)  # noqa: S301 - our own bytes
        return snapshot


def pack(snapshot: Snapshot) -> Parcel:
    """Return the snapshot packed."""
    return Parcel(
        pickle.dumps(snapshot, pickle.HIGHEST_PROTOCOL),
        dropped_series=snapshot.dropped_series,
        ignored_values=snapshot.ignored_values,
        skipped_rows=snapshot.skipped_rows,
        is_quiet=snapshot.is_quiet,
        is_active=snapshot.is_active,
    )
