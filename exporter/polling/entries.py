"""Changes of store entries: by polls, a start, a reload, and a clock that is set."""

from __future__ import annotations

from exporter.braze.hosts import endpoint_digest
from exporter.metrics.object_metrics import (
    ObjectLabels,
    PollStatus,
    render_values,
    renew_latest,
)
from exporter.metrics.store import Entry, Fingerprint
from exporter.model.snapshot import NO_FIGURES, Snapshot
from exporter.polling.object_group import ObjectGroup
from exporter.series import older_days
from exporter.series.incremental import ParsedDocument
from exporter.series.kept import Kept
from exporter.series.older_days import NOTHING_OLDER
from exporter.system.clock import Clock


def first_entry(
    labels: ObjectLabels, group: ObjectGroup, kept: Kept | None, *, now: float
) -> Entry:
    """Return the first entry of an object, with its kept values unless stale.

    Those of another account as `renamed` has them.
    """
    digest = endpoint_digest(group.plan.workspace.endpoint)
    status = PollStatus(
        is_up=None,
        failure=None,
        interval_seconds=group.idle.interval_seconds(labels.id),
        last_success_at=None,
    )
    if kept is None:
        blocks = group.render_status(labels, status)
        return Entry(
            labels, status, blocks, account=group.queue, endpoint_digest=digest
        )
    snapshot, older = kept.snapshot, kept.older
    if kept.endpoint_digest not in {digest, ""}:
        snapshot, older = _without_revision(snapshot), NOTHING_OLDER
    if not (group.config.revisions and group.kind.has_revisions):
        # They were on when it was saved.
        snapshot = _without_revision(snapshot)
    if not group.plan.workspace.contract:
        snapshot = snapshot._replace(month_to_date=None)
    read_at = min(kept.last_success_at, now)
    status = status._replace(
        is_up=kept.failure is None,
        failure=kept.failure,
        last_success_at=read_at,
    )
    entry = Entry(
        labels,
        status,
        group.render_status(labels, status),
        last_read=snapshot,
        read_at=read_at,
        account=group.queue,
        endpoint_digest=digest,
        older=older,
    )
    if older.requested:
        # Reads that are overdue wait for their next slot: those of all objects at once
        # would delay the newest days.
        entry = entry._replace(older=older._replace(read_at=now))
    expires_at = read_at + group.lifetime_seconds(status.interval_seconds)
    if expires_at <= now:
        return entry
    values = render_values(labels, snapshot)
    return entry._replace(values=values, expires_at=expires_at)


def _without_revision(snapshot: Snapshot) -> Snapshot:
    return snapshot._replace(first_complete=None, revision=NO_FIGURES)


def due(entry: Entry, *, at: float) -> Entry:
    """Return the entry of an object whose first poll is due then."""
    return entry._replace(due_at=at)


def renamed(entry: Entry, *, labels: ObjectLabels, group: ObjectGroup) -> Entry:
    """Return the entry under other labels or of another account, rendered again.

    Its values are served until the account has others. Of its older days and of the
    first reading of a day nothing is: no sum and no revision may be of both.
    """
    if entry.account is not group.queue:
        entry = entry._replace(
            account=group.queue,
            endpoint_digest=endpoint_digest(group.plan.workspace.endpoint),
            last_read=entry.last_read and _without_revision(entry.last_read),
            fingerprint=None,
            older=NOTHING_OLDER,
        )
    values = None
    if (snapshot := entry.snapshot) is not None:
        values = render_values(labels, snapshot)
    entry = entry._replace(labels=labels, values=values)
    return group.with_status(entry, entry.status)


def in_wall_time(clock: Clock, entry: Entry, *, group: ObjectGroup) -> Entry:
    """Return the entry with its instants by the wall clock as it is set now."""
    status, older = entry.status, entry.older
    if status.last_success_at is not None:
        succeeded_at = clock.wall(entry.read_at)
        shift = succeeded_at - status.last_success_at
        status = status._replace(last_success_at=succeeded_at)
        older = older_days.set_clock(older, shift=shift)
    if status.failed_at is not None:
        status = status._replace(failed_at=clock.wall(entry.failed_at))
    return group.with_status(entry._replace(older=older), status)


def with_interval(
    entry: Entry, *, interval_seconds: float, group: ObjectGroup
) -> Entry:
    """Return the entry with another interval in force."""
    if entry.values is not None:
        lifetime = group.lifetime_seconds(interval_seconds)
        entry = entry._replace(expires_at=entry.read_at + lifetime)
    status = entry.status._replace(interval_seconds=interval_seconds)
    return group.with_status(entry, status)


def with_values(entry: Entry, found: Entry) -> Entry:
    """Return the entry with the values of `found`, which may have another name."""
    values, snapshot = found.values, found.last_read
    if entry.labels != found.labels and snapshot:  # renamed meanwhile
        values = render_values(entry.labels, snapshot)
    return entry._replace(
        last_read=snapshot,
        values=values,
        fingerprint=found.fingerprint,
        older=found.older,
    )


def parsed(entry: Entry, found: ParsedDocument, *, digest: int, request: int) -> Entry:
    """Return the entry with what was read, rendered as far as it is new."""
    previous = entry.fingerprint
    is_previous = previous is not None and previous.known == found.cached
    if found.is_reused and is_previous and entry.values is not None:
        values = renew_latest(entry.labels, found.snapshot, entry.values)
    else:
        values = render_values(entry.labels, found.snapshot)
    if request:  # the digest is of the newest request's response
        fingerprint = previous and previous._replace(known=found.cached)
    else:
        fingerprint = Fingerprint(digest, found.cached)
    return entry._replace(
        last_read=found.snapshot,
        values=values,
        fingerprint=fingerprint,
        older=found.older,
    )
