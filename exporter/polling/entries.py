"""Changes of store entries that no poll causes: start, reload, clock."""

from __future__ import annotations

from exporter.metrics.campaign_metrics import ObjectLabels, PollStatus
from exporter.metrics.store import Entry
from exporter.model.snapshot import NO_FIGURES
from exporter.polling.workspace import Workspace
from exporter.series.kept import Kept
from exporter.system.clock import Clock


def first_entry(
    labels: ObjectLabels, workspace: Workspace, kept: Kept | None, *, now: float
) -> Entry:
    """Return the first entry of a campaign, with its kept values unless stale."""
    kind = workspace.queue.kind
    status = PollStatus(
        is_up=None,
        failure=None,
        interval_seconds=workspace.idle.interval_seconds(labels.campaign_id),
        last_success_at=None,
    )
    if kept is None:
        blocks = workspace.render_status(labels, status)
        return Entry(labels, status, blocks, account=workspace.queue)
    snapshot = kept.snapshot
    if not workspace.config.revisions:  # they were on when it was saved
        snapshot = snapshot._replace(first_complete=None, revision=NO_FIGURES)
    read_at = min(kept.last_success_at, now)
    status = status._replace(
        is_up=kept.failure is None,
        failure=kept.failure,
        last_success_at=read_at,
    )
    entry = Entry(
        labels,
        status,
        workspace.render_status(labels, status),
        last_read=snapshot,
        read_at=read_at,
        account=workspace.queue,
    )
    expires_at = read_at + workspace.lifetime_seconds(status.interval_seconds)
    if expires_at <= now:
        return entry
    values = kind.render_values(labels, snapshot)
    return entry._replace(values=values, expires_at=expires_at)


def due(entry: Entry, *, at: float) -> Entry:
    """Return the entry of an object whose first poll is due then."""
    return entry._replace(due_at=at)


def renamed(entry: Entry, *, labels: ObjectLabels, workspace: Workspace) -> Entry:
    """Return the entry under other labels, its values rendered again."""
    values = None
    if (snapshot := entry.snapshot) is not None:
        values = workspace.queue.kind.render_values(labels, snapshot)
    entry = entry._replace(labels=labels, values=values, account=workspace.queue)
    return workspace.with_status(entry, entry.status)


def in_wall_time(clock: Clock, entry: Entry, *, workspace: Workspace) -> Entry:
    """Return the entry with its instants by the wall clock as it is set now."""
    status = entry.status
    if status.last_success_at is not None:
        status = status._replace(last_success_at=clock.wall(entry.read_at))
    if status.failed_at is not None:
        status = status._replace(failed_at=clock.wall(entry.failed_at))
    return workspace.with_status(entry, status)


def with_interval(
    entry: Entry, *, interval_seconds: float, workspace: Workspace
) -> Entry:
    """Return the entry with another interval in force."""
    if entry.values is not None:
        lifetime = workspace.lifetime_seconds(interval_seconds)
        entry = entry._replace(expires_at=entry.read_at + lifetime)
    status = entry.status._replace(interval_seconds=interval_seconds)
    return workspace.with_status(entry, status)
