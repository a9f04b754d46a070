"""What is kept of an object over a restart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from exporter.model.errors import FailureReason
from exporter.model.snapshot import Snapshot
from exporter.series.older_days import NOTHING_OLDER, OlderDays


class Kept(NamedTuple):
    """The last values of one object and the outcome of its last poll."""

    last_success_at: float
    """Seconds since the epoch, by the wall clock."""
    failure: FailureReason | None
    """Why the last poll failed, if it did."""
    snapshot: Snapshot
    older: OlderDays = NOTHING_OLDER
    endpoint_digest: str = ""
    """Of the account; empty: an earlier version saved it."""


KeptEntries = Mapping[tuple[str, str, str], Kept]
"""By (workspace, kind, id in Braze)."""
