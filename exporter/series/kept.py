"""What is kept of a campaign over a restart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from exporter.model.errors import FailureReason
from exporter.model.snapshot import Snapshot


class Kept(NamedTuple):
    """The last values of one campaign and the outcome of its last poll."""

    last_success_at: float
    """Seconds since the epoch, by the wall clock."""
    failure: FailureReason | None
    """Why the last poll failed, if it did."""
    snapshot: Snapshot


KeptEntries = Mapping[tuple[str, str], Kept]
"""By (workspace, campaign id)."""
