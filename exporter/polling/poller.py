"""One poll of one object: start, fetch, parse, render, store, and what comes next.

A poll never raises, and a failed poll keeps the previous values.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from exporter.braze import retries
from exporter.braze.responses import Body, BrazeResponse
from exporter.braze.session import ApiRequest
from exporter.metrics.object_metrics import PollStatus
from exporter.metrics.self_metrics import SelfMetrics
from exporter.metrics.store import Entry, Store
from exporter.model.errors import (
    FailureReason,
    FetchError,
    KeyRefused,
    KeyReplaced,
    MalformedSeries,
    ObjectRefused,
    Throttled,
    Unavailable,
)
from exporter.polling import entries, slots
from exporter.polling.idle import is_idle
from exporter.polling.object_group import GroupKey, ObjectGroup, in_force
from exporter.polling.pause_display import PauseDisplay
from exporter.polling.poll_log import PollLog
from exporter.polling.request_queue import NextPage, PendingPoll
from exporter.series import incremental, older_days
from exporter.series.incremental import ParsedDocument
from exporter.series.older_days import NOTHING_OLDER
from exporter.series.parse import ParseOptions
from exporter.system.clock import Clock
from exporter.system.logformat import Fact

_log = logging.getLogger(__name__)

_MOST_PAGES = 50
"""Of one poll: 500 integrations."""
_DEFERRED_INTERVALS = 0.1
"""A poll that waits in the queue for more of its interval counts as deferred."""


class Poller:
    """Runs polls. Any thread may call any method."""

    def __init__(
        self,
        groups: Mapping[GroupKey, ObjectGroup],
        *,
        store: Store,
        metrics: SelfMetrics,
        pauses: PauseDisplay,
        clock: Clock,
    ) -> None:
        self._groups = groups
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._pauses = pauses
        self.log = PollLog()
        self._is_stopped = False

    def stop(self) -> None:
        """Ignore results from now on: the clients are being aborted."""
        self._is_stopped = True

    def forget_removed(self) -> None:
        """Discard what was logged of objects that are not polled any more."""
        self.log.keep_only(
            group.object_key(object_id)
            for group in tuple(self._groups.values())
            for object_id in group.objects
        )

    def poll(self, poll: PendingPoll) -> PendingPoll | None:
        """Run a poll and return its object's next one; None: the queue schedules it."""
        group = self._groups.get((poll.workspace, poll.key.kind))
        if group is None or poll.object_id not in group.objects:
            return None  # it left the configuration
        try:
            return self._run(group, poll)
        except Exception:  # noqa: BLE001 - the job's border; it is logged and counted
            _log.exception("poll.crashed", extra={"fields": _fields(group, poll)})
            group.queue.finish(poll, is_key_accepted=False, now=self._clock.now())
            self._metrics.polled(poll.workspace, "failed")
            return group.next_poll(poll, clock=self._clock)

    def _run(self, group: ObjectGroup, poll: PendingPoll) -> PendingPoll | None:
        now = self._clock.now()
        is_needed = poll.request <= group.older_requests
        if poll.request and not (is_needed and self._has_values(poll)):
            # It has waited, and values are stale or windows shorter: the newest days
            # come first.
            poll = poll._replace(request=0)
        if poll.failure and retries.is_over(
            first_try_at=poll.first_try_at,
            now=now,
            interval_seconds=group.idle.interval_seconds(poll.object_id),
        ):
            group.queue.drop(poll, now=now)
            return self._fail(group, poll, poll.failure)
        kind = group.kind
        query = kind.query(
            poll.object_id,
            windows=group.plan.windows,
            request=poll.request,
            now=self._clock.wall(),
        )
        if poll.page is not None:
            query = {**query, "cursor": poll.page.cursor}
        fields = _fields(group, poll) | {"try": poll.tries + 1}
        request = ApiRequest(kind.bucket, kind.path, query, fields)
        if not group.queue.start(poll, now=now):
            return None
        # Nothing between start and fetch, which settles what start has paid for.
        result = self._fetch(group, poll, request)
        if poll.tries:
            self._metrics.retried(poll.workspace)
        else:
            if poll.is_first:
                lag = now - poll.due_at
                self._metrics.began(poll.workspace, lag_seconds=lag)
                interval = group.idle.interval_seconds(poll.object_id)
                if poll.has_waited and lag > _DEFERRED_INTERVALS * interval:
                    self._metrics.polled(poll.workspace, "deferred")
            poll = poll._replace(first_try_at=now)
        return self._handle(group, poll._replace(tries=poll.tries + 1), result)

    def _has_values(self, poll: PendingPoll) -> bool:
        entry = self._store.get(poll.key)
        return entry is not None and entry.values is not None

    def _handle(
        self, asked: ObjectGroup, poll: PendingPoll, result: BrazeResponse | FetchError
    ) -> PendingPoll | None:
        """Handle the result of a request that the workspace `asked` has sent."""
        group = in_force(self._groups, asked)
        if group is None:
            return None  # another account is polled now
        if not isinstance(result, FetchError):
            group.queue.finish(poll, is_key_accepted=True, now=self._clock.now())
            self._pauses.update(group)
        elif self._is_stopped:
            return None
        if poll.object_id not in group.objects:
            group = asked  # it left; nothing of it is stored
        at = self._clock.now()
        if isinstance(result, FetchError):
            is_of_account = isinstance(result, KeyRefused | Throttled)
            if is_of_account or group.sending == asked.sending:
                return self._handle_failure(group, poll, result)
            group.queue.finish(poll, is_key_accepted=False, now=at)
            at += result.retry_after_seconds or 0.0
        elif group.reading(poll.object_id) == asked.reading(poll.object_id):
            return self._handle_response(group, poll, result)
        # The result belongs to a configuration that is not in force any more.
        return PendingPoll(poll.key, due_at=at, at=at)

    def _fetch(
        self, group: ObjectGroup, poll: PendingPoll, request: ApiRequest
    ) -> BrazeResponse | FetchError:
        def options() -> ParseOptions:
            return group.parse_options(poll.object_id, now=self._clock.wall())

        def read(body: Body) -> ParsedDocument | MalformedSeries:
            entry = self._store.get(poll.key)
            fingerprint = entry.fingerprint if entry else None
            known = fingerprint.known if fingerprint else None
            previous = entry.last_read if entry else None
            try:
                if join_pages := group.kind.join_pages:
                    pages = join_pages(poll.page and poll.page.before, body.document())
                    found = incremental.parse_samples(pages, options())
                    return found._replace(pages=pages)
                if not group.older_requests:
                    return incremental.parse(
                        body, options(), previous=previous, cached=known
                    )
                return incremental.parse_part(
                    body,
                    options(),
                    older=entry.older if entry else NOTHING_OLDER,
                    request=poll.request,
                    previous=previous,
                    cached=known,
                )
            except MalformedSeries as error:
                text = str(error)
            return MalformedSeries(text)  # without a traceback that holds the document

        def cached(digest: int) -> Entry | None:
            entry = self._store.get(poll.key)
            if entry is None or entry.values is None or entry.fingerprint is None:
                return None
            now = options()
            if group.older_requests:
                if not entry.older.requested:
                    return None  # windows were shorter: no day is remembered
                now = incremental.with_windows_requested(now, entry.older)
            previous, known = entry.fingerprint
            is_same = (previous, known.options) == (digest, now) and not poll.request
            return entry if is_same else None

        return group.session.fetch(request, read, cached)

    def _handle_response(
        self, group: ObjectGroup, poll: PendingPoll, response: BrazeResponse
    ) -> PendingPoll | None:
        found = response.document
        if isinstance(found, MalformedSeries):
            failure = Unavailable(
                str(found), reason=FailureReason.MALFORMED, status=response.status
            )
            return self._fail(group, poll, failure)
        entry = self._store.get(poll.key)
        if entry is None:
            return None  # its object left while the poll was in flight
        if isinstance(found, ParsedDocument) and found.pages and response.next_cursor:
            return self._next_page(group, poll, response, before=found.pages)
        if isinstance(found, ParsedDocument):
            digest = response.digest
            found = entries.parsed(entry, found, digest=digest, request=poll.request)
        assert isinstance(found, Entry)  # noqa: S101 - for the reader of types
        if not poll.request:
            return self._store_newest(group, poll, found)
        if entry.values is None:  # stale, or its object left and came back
            now = self._clock.now()
            return PendingPoll(poll.key, due_at=now, at=now)
        return self._store_older(group, poll, found)

    def _next_page(
        self,
        group: ObjectGroup,
        poll: PendingPoll,
        response: BrazeResponse,
        *,
        before: object,
    ) -> PendingPoll | None:
        """Go on with the next page; values change when all pages were read."""
        number = poll.page.number + 1 if poll.page else 1
        if number >= _MOST_PAGES:
            failure = Unavailable(
                f"more than {_MOST_PAGES} pages, expected fewer",
                reason=FailureReason.MALFORMED,
                status=response.status,
            )
            return self._fail(group, poll, failure)
        page = NextPage(response.next_cursor, number, before)
        now = self._clock.now()
        return PendingPoll(poll.key, due_at=poll.due_at, at=now, page=page)

    def _store_newest(
        self, group: ObjectGroup, poll: PendingPoll, found: Entry
    ) -> PendingPoll | None:
        """Finish a poll, or go on with the requests for older days."""
        self._move(group, poll, found)
        now = self._clock.now()
        wall_now = self._clock.wall(now)
        interval = group.idle.interval_seconds(poll.object_id)
        status = PollStatus(True, None, interval, wall_now)
        expires_at = now + group.lifetime_seconds(interval)

        def refresh(entry: Entry) -> Entry:
            if entry.account is not group.queue:
                return entry  # the account changed meanwhile
            return entries.with_values(
                group.with_status(entry, status), found
            )._replace(read_at=now, expires_at=expires_at)

        self._store.update(poll.key, refresh)
        self._metrics.polled(poll.workspace, "stored")
        self.log.succeeded(poll, _fields(group, poll), now=now)
        if group.are_older_due(poll.object_id, found.older, now=wall_now):
            return _next_request(poll, now=now)
        return group.next_poll(poll, clock=self._clock)

    def _store_older(
        self, group: ObjectGroup, poll: PendingPoll, found: Entry
    ) -> PendingPoll | None:
        """Add older days to the values; the status is that of the newest request."""
        now = self._clock.now()
        is_last = poll.request >= group.older_requests
        if is_last:
            older = older_days.read(found.older, now=self._clock.wall(now))
            found = found._replace(older=older)

        def refresh(entry: Entry) -> Entry:
            if entry.account is not group.queue or entry.values is None:
                return entry  # another account, or stale meanwhile
            return entries.with_values(entry, found)

        self._store.update(poll.key, refresh)
        if not is_last:
            return _next_request(poll, now=now)
        self.log.succeeded(poll, _fields(group, poll), now=now)
        return group.next_poll(poll, clock=self._clock)

    def _move(self, group: ObjectGroup, poll: PendingPoll, found: Entry) -> None:
        """Change the interval of an object that became idle or active."""
        is_now_idle = is_idle(group.objects[poll.object_id], found.last_read)
        if group.idle.move(poll.object_id, is_idle=is_now_idle):
            fields = _fields(group, poll)
            fields["lane"] = "idle" if is_now_idle else "fast"
            _log.debug("campaign.lane", extra={"fields": fields})
            group.show_intervals(self._metrics)

    def _handle_failure(
        self, group: ObjectGroup, poll: PendingPoll, failure: FetchError
    ) -> PendingPoll | None:
        now = self._clock.now()
        queue, wait = group.queue, failure.retry_after_seconds or 0.0
        if isinstance(failure, KeyRefused):
            before, reason = queue.pause, failure.reason
            pause = queue.finish_refused(
                poll, reason=reason, now=now, wait_seconds=wait
            )
            self._pauses.update(group, failure)
            if pause is None and before is None:
                return self._fail(group, poll, failure, is_slow=True)
            return self._fail(group, poll, failure, is_logged=False)
        is_refused = isinstance(failure, ObjectRefused)
        queue.finish(poll, is_key_accepted=is_refused, now=now, wait_seconds=wait)
        if isinstance(failure, KeyReplaced):
            queue.probe_now(now=now)
        self._pauses.update(group)
        if not isinstance(failure, Unavailable | Throttled):
            return self._fail(group, poll, failure, is_slow=is_refused)
        at = group.session.retry_at(
            failure,
            bucket=group.kind.bucket,
            tries=poll.tries,
            first_try_at=poll.first_try_at,
            interval_seconds=group.idle.interval_seconds(poll.object_id),
        )
        if isinstance(failure, Throttled):
            # The next poll waits in the queue until its bucket opens.
            upcoming = self._fail(group, poll, failure, next_at=at)
            if upcoming is not None:
                queue.enqueue((upcoming,), now=self._clock.now())
            return None
        if at is None or queue.is_probe(poll.object_id):
            return self._fail(group, poll, failure)
        return poll._replace(failure=failure, at=at, has_waited=False)

    def _fail(
        self,
        group: ObjectGroup,
        poll: PendingPoll,
        failure: FetchError,
        *,
        is_slow: bool = False,
        is_logged: bool = True,
        next_at: float | None = None,
    ) -> PendingPoll | None:
        """Finish a poll without new values; the previous ones are kept."""
        interval = group.idle.interval_seconds(poll.object_id)
        if is_slow and poll.is_first:
            interval = slots.slow_interval(interval)
        now = self._clock.now()

        self._mark_failed(group, poll, failure, interval_seconds=interval)
        upcoming = group.next_poll(poll, clock=self._clock, interval_seconds=interval)
        if next_at is None and failure.retry_after_seconds is not None:
            next_at = now + failure.retry_after_seconds
            next_at = max(next_at, upcoming.at) if upcoming else next_at
        if upcoming and next_at is not None:
            upcoming = upcoming._replace(due_at=next_at, at=next_at)
        if is_logged:
            self.log.failed(
                poll,
                failure,
                _fields(group, poll),
                next_at=upcoming.at if upcoming else None,
                now=now,
                is_repeated=not (is_slow and group.kind.is_series),
            )
        return upcoming

    def _mark_failed(
        self,
        group: ObjectGroup,
        poll: PendingPoll,
        failure: FetchError,
        *,
        interval_seconds: float,
    ) -> None:
        """Show the failure, unless it is of older days only, and count it."""
        now = self._clock.now()
        wall_now = self._clock.wall(now)

        def mark(entry: Entry) -> Entry:
            if entry.account is not group.queue:
                return entry  # the account changed meanwhile
            if poll.request:  # the newest days were read
                older = older_days.failed(entry.older, now=wall_now)
                return entry._replace(older=older)
            status = entry.status._replace(
                is_up=False,
                failure=failure.reason,
                interval_seconds=interval_seconds,
                error=str(failure),
                failed_at=wall_now,
            )
            entry = group.with_status(entry, status)._replace(failed_at=now)
            if entry.values is None:
                return entry
            lifetime = group.lifetime_seconds(interval_seconds)
            return entry._replace(expires_at=entry.read_at + lifetime)

        self._store.update(poll.key, mark)
        if not poll.request:
            is_malformed = failure.reason is FailureReason.MALFORMED
            result = "malformed" if is_malformed else "failed"
            self._metrics.polled(poll.workspace, result)


def _next_request(poll: PendingPoll, *, now: float) -> PendingPoll:
    request = poll.request + 1
    return PendingPoll(poll.key, due_at=poll.due_at, at=now, request=request)


def _fields(group: ObjectGroup, poll: PendingPoll) -> dict[str, Fact]:
    kind, one = group.kind, group.objects[poll.object_id]
    fields: dict[str, Fact] = {"workspace": poll.workspace, kind.label: kind.title(one)}
    if not kind.is_series or one.id != one.name:
        fields[f"{kind.label}_id"] = one.id
    fields["endpoint"] = f"{group.plan.workspace.endpoint}/{kind.path}"
    if poll.request:
        fields["older_days_request"] = poll.request
    return fields
