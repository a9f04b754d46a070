"""One poll of one object: start, fetch, parse, render, store, and what comes next.

A poll never raises, and a failed poll keeps the previous values.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from exporter.braze import retries
from exporter.braze.responses import BrazeResponse
from exporter.braze.session import ApiRequest
from exporter.metrics.campaign_metrics import PollStatus
from exporter.metrics.self_metrics import SelfMetrics
from exporter.metrics.store import Entry, Fingerprint, Store
from exporter.model.errors import (
    CampaignRefused,
    FailureReason,
    FetchError,
    KeyRefused,
    KeyReplaced,
    MalformedSeries,
    Throttled,
    Unavailable,
)
from exporter.polling import slots
from exporter.polling.idle import is_idle
from exporter.polling.kinds import Kind
from exporter.polling.pause_display import PauseDisplay
from exporter.polling.poll_log import PollLog
from exporter.polling.request_queue import PendingPoll
from exporter.polling.workspace import Workspace, in_force
from exporter.series.incremental import ParsedDocument
from exporter.series.parse import ParseOptions
from exporter.system.clock import Clock
from exporter.system.logformat import Fact

_log = logging.getLogger(__name__)


class Poller:
    """Runs polls. Any thread may call any method."""

    def __init__(
        self,
        workspaces: Mapping[str, Workspace],
        *,
        store: Store,
        metrics: SelfMetrics,
        clock: Clock,
    ) -> None:
        self._workspaces = workspaces
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self.pauses = PauseDisplay(
            workspaces, store=store, metrics=metrics, clock=clock
        )
        self.log = PollLog()
        self._is_stopped = False

    def stop(self) -> None:
        """Ignore results from now on: the clients are being aborted."""
        self._is_stopped = True

    def forget_removed(self) -> None:
        """Discard what was logged of objects that are not polled any more."""
        self.log.keep_only(
            (name, object_id)
            for name, workspace in tuple(self._workspaces.items())
            for object_id in workspace.campaigns
        )

    def poll(self, poll: PendingPoll) -> PendingPoll | None:
        """Run a poll and return its object's next one; None: the queue schedules it."""
        workspace = self._workspaces.get(poll.workspace)
        if workspace is None or poll.object_id not in workspace.campaigns:
            return None  # it left the configuration
        try:
            return self._run(workspace, poll)
        except Exception:  # noqa: BLE001 - the job's border; it is logged and counted
            _log.exception("poll.crashed", extra={"fields": _fields(workspace, poll)})
            workspace.queue.finish(poll, is_key_accepted=False, now=self._clock.now())
            self._metrics.polled(poll.workspace, "failed")
            return workspace.next_poll(poll, clock=self._clock)

    def _run(self, workspace: Workspace, poll: PendingPoll) -> PendingPoll | None:
        now = self._clock.now()
        if poll.failure and retries.is_over(
            first_try_at=poll.first_try_at,
            now=now,
            interval_seconds=workspace.idle.interval_seconds(poll.object_id),
        ):
            workspace.queue.drop(poll, now=now)
            return self._fail(workspace, poll, poll.failure)
        kind = workspace.queue.kind
        request = ApiRequest(
            kind.bucket,
            kind.path,
            kind.parameters(poll.object_id, days=workspace.plan.days_per_request),
            _fields(workspace, poll) | {"try": poll.tries + 1},
        )
        if not workspace.queue.start(poll, now=now):
            if not poll.has_waited:
                self._metrics.polled(poll.workspace, "deferred")
            return None
        # Nothing between start and fetch, which settles what start has paid for.
        result = self._fetch(workspace, poll, request)
        if poll.tries:
            self._metrics.retried(poll.workspace)
        else:
            self._metrics.began(poll.workspace, lag_seconds=now - poll.due_at)
            poll = poll._replace(first_try_at=now)
        return self._handle(workspace, poll._replace(tries=poll.tries + 1), result)

    def _handle(
        self, asked: Workspace, poll: PendingPoll, result: BrazeResponse | FetchError
    ) -> PendingPoll | None:
        """Handle the result of a request that the workspace `asked` has sent."""
        workspace = in_force(self._workspaces, asked)
        if workspace is None:
            return None  # another account is polled now
        if not isinstance(result, FetchError):
            workspace.queue.finish(poll, is_key_accepted=True, now=self._clock.now())
            self.pauses.update(workspace)
        elif self._is_stopped:
            return None
        if poll.object_id not in workspace.campaigns:
            workspace = asked  # it left; nothing of it is stored
        if isinstance(result, FetchError):
            return self._handle_failure(workspace, poll, result)
        if workspace.reading() == asked.reading():
            return self._handle_response(workspace, poll, result)
        # The result belongs to a configuration that is not in force any more.
        now = self._clock.now()
        return PendingPoll(poll.workspace, poll.object_id, due_at=now, at=now)

    def _fetch(
        self, workspace: Workspace, poll: PendingPoll, request: ApiRequest
    ) -> BrazeResponse | FetchError:
        kind = workspace.queue.kind

        def options() -> ParseOptions:
            return workspace.parse_options(now=self._clock.wall())

        def read(document: object) -> ParsedDocument | MalformedSeries:
            entry = self._store.get(poll.key)
            fingerprint = entry.fingerprint if entry else None
            try:
                return kind.read(
                    document,
                    options(),
                    previous=entry.last_read if entry else None,
                    cached=fingerprint.known if fingerprint else None,
                )
            except MalformedSeries as error:
                text = str(error)
            return MalformedSeries(text)  # without a traceback that holds the document

        def cached(digest: int) -> Entry | None:
            entry = self._store.get(poll.key)
            if entry is None or entry.values is None or entry.fingerprint is None:
                return None
            previous, known = entry.fingerprint
            is_same = (previous, known.options) == (digest, options())
            return entry if is_same else None

        return workspace.session.fetch(request, read, cached)

    def _handle_response(
        self, workspace: Workspace, poll: PendingPoll, response: BrazeResponse
    ) -> PendingPoll | None:
        found = response.document
        if isinstance(found, MalformedSeries):
            failure = Unavailable(
                str(found), reason=FailureReason.MALFORMED, status=response.status
            )
            return self._fail(workspace, poll, failure)
        entry = self._store.get(poll.key)
        if entry is None:
            return None  # its object left while the poll was in flight
        if isinstance(found, ParsedDocument):
            kind = workspace.queue.kind
            found = _rendered(kind, entry, found, digest=response.digest)
        assert isinstance(found, Entry)  # noqa: S101 - for the reader of types
        snapshot = found.last_read
        assert snapshot is not None  # noqa: S101 - it was just read
        is_now_idle = is_idle(workspace.campaigns[poll.object_id], snapshot)
        if workspace.idle.move(poll.object_id, is_idle=is_now_idle):
            fields = _fields(workspace, poll)
            fields["lane"] = "idle" if is_now_idle else "fast"
            _log.debug("campaign.lane", extra={"fields": fields})
            workspace.show_intervals(self._metrics)
        interval = workspace.idle.interval_seconds(poll.object_id)
        now = self._clock.now()
        status = PollStatus(
            is_up=True,
            failure=None,
            interval_seconds=interval,
            last_success_at=self._clock.wall(now),
        )

        def refresh(entry: Entry) -> Entry:
            if entry.account is not workspace.queue:
                return entry  # the account changed meanwhile
            values = found.values
            if entry.labels != found.labels:  # renamed meanwhile
                kind = workspace.queue.kind
                values = kind.render_values(entry.labels, snapshot)
            return workspace.with_status(entry, status)._replace(
                last_read=snapshot,
                values=values,
                fingerprint=found.fingerprint,
                read_at=now,
                expires_at=now + workspace.lifetime_seconds(interval),
            )

        self._store.update(poll.key, refresh)
        self._metrics.polled(poll.workspace, "stored")
        self.log.succeeded(poll, _fields(workspace, poll), now=now)
        return workspace.next_poll(poll, clock=self._clock)

    def _handle_failure(
        self, workspace: Workspace, poll: PendingPoll, failure: FetchError
    ) -> PendingPoll | None:
        now = self._clock.now()
        queue = workspace.queue
        if isinstance(failure, KeyRefused):
            before = queue.pause
            pause = queue.finish_refused(poll, reason=failure.reason, now=now)
            self.pauses.update(workspace, failure)
            if pause is None and before is None:
                return self._fail(workspace, poll, failure, is_slow=True)
            return self._fail(workspace, poll, failure, is_logged=False)
        is_refused = isinstance(failure, CampaignRefused)
        queue.finish(poll, is_key_accepted=is_refused, now=now)
        if isinstance(failure, KeyReplaced):
            queue.probe_now(now=now)
        self.pauses.update(workspace)
        if not isinstance(failure, Unavailable | Throttled):
            return self._fail(workspace, poll, failure, is_slow=is_refused)
        at = workspace.session.retry_at(
            failure,
            bucket=queue.kind.bucket,
            tries=poll.tries,
            first_try_at=poll.first_try_at,
            interval_seconds=workspace.idle.interval_seconds(poll.object_id),
        )
        if isinstance(failure, Throttled):
            # The next poll waits in the queue until its bucket opens.
            upcoming = self._fail(workspace, poll, failure, next_at=at)
            if upcoming is not None:
                queue.enqueue((upcoming,), now=self._clock.now())
            return None
        if at is None or queue.is_probe(poll.object_id):
            return self._fail(workspace, poll, failure)
        return poll._replace(failure=failure, at=at, has_waited=False)

    def _fail(
        self,
        workspace: Workspace,
        poll: PendingPoll,
        failure: FetchError,
        *,
        is_slow: bool = False,
        is_logged: bool = True,
        next_at: float | None = None,
    ) -> PendingPoll | None:
        """Finish a poll without new values; the previous ones are kept."""
        interval = workspace.idle.interval_seconds(poll.object_id)
        if is_slow:
            interval = slots.slow_interval(interval)
        now = self._clock.now()

        def mark(entry: Entry) -> Entry:
            if entry.account is not workspace.queue:
                return entry  # the account changed meanwhile
            status = entry.status._replace(
                is_up=False,
                failure=failure.reason,
                interval_seconds=interval,
                error=str(failure),
                failed_at=self._clock.wall(now),
            )
            entry = workspace.with_status(entry, status)._replace(failed_at=now)
            if entry.values is None:
                return entry
            lifetime = workspace.lifetime_seconds(interval)
            return entry._replace(expires_at=entry.read_at + lifetime)

        self._store.update(poll.key, mark)
        is_malformed = failure.reason is FailureReason.MALFORMED
        self._metrics.polled(poll.workspace, "malformed" if is_malformed else "failed")
        upcoming = workspace.next_poll(
            poll, clock=self._clock, interval_seconds=interval
        )
        if next_at is None and failure.retry_after_seconds is not None:
            next_at = now + failure.retry_after_seconds
            next_at = max(next_at, upcoming.at) if upcoming else next_at
        if upcoming and next_at is not None:
            upcoming = upcoming._replace(due_at=next_at, at=next_at)
        if is_logged:
            self.log.failed(
                poll,
                failure,
                _fields(workspace, poll),
                next_at=upcoming.at if upcoming else None,
                now=now,
            )
        return upcoming


def _rendered(kind: Kind, entry: Entry, found: ParsedDocument, *, digest: int) -> Entry:
    """Return the entry with what was read, rendered as far as it is new."""
    is_previous = (
        entry.fingerprint is not None and entry.fingerprint.known == found.cached
    )
    if found.is_reused and is_previous and entry.values is not None:
        values = kind.render_renewed(entry.labels, found.snapshot, entry.values)
    else:
        values = kind.render_values(entry.labels, found.snapshot)
    return entry._replace(
        last_read=found.snapshot,
        values=values,
        fingerprint=Fingerprint(digest, found.cached),
    )


def _fields(workspace: Workspace, poll: PendingPoll) -> dict[str, Fact]:
    kind = workspace.queue.kind
    return {
        "workspace": poll.workspace,
        kind.name: workspace.campaigns[poll.object_id].name,
        f"{kind.name}_id": poll.object_id,
        "endpoint": f"{workspace.plan.workspace.endpoint}/{kind.path}",
    }
