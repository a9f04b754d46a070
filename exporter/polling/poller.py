"""One poll of one campaign: ask the line, fetch, parse, render, store, tell what next.

A poll never raises and never loses what was read before. It knows neither the
scheduler, whom it tells the next turn, nor HTTP, which is the client's.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from datetime import datetime
from threading import Lock
from typing import NamedTuple, Protocol
from weakref import WeakKeyDictionary

from exporter.braze.responses import BrazeResponse
from exporter.metrics import campaign_metrics
from exporter.metrics.self_metrics import SelfMetrics
from exporter.metrics.store import Entry, Fingerprint, ObjectKey, Store
from exporter.model.config import CampaignConfig, Config
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
from exporter.model.snapshot import Snapshot
from exporter.polling import slots
from exporter.polling.idle import IdleSchedule, is_idle
from exporter.polling.plan import WorkspacePlan
from exporter.polling.request_queue import ENDPOINT, PendingPoll, RequestQueue
from exporter.series import incremental, parse
from exporter.series.incremental import ParsedDocument
from exporter.system.log_rate_limit import LINES_PER_MINUTE, LogRateLimit
from exporter.system.logformat import Fact

_log = logging.getLogger(__name__)

_LOG_AGAIN_SECONDS = 3600.0
"""What goes on failing for the same reason is logged again after so long."""


_UNFINISHED = (FailureReason.TIMEOUT, FailureReason.CONNECTION)
"""What is no answer, even where a status line came."""

_STALE_INTERVALS = 3
"""Values outlive so many intervals, however short `stale_after` is."""


class Fetcher(Protocol):
    """What the poller needs of a client."""

    def fetch(
        self,
        path: str,
        params: Mapping[str, str | int],
        read: Callable[[object], object] = ...,
        recall: Callable[[int], object | None] = ...,
        /,
    ) -> BrazeResponse:
        """Return the answer to one GET, its document read, or raise `FetchError`.

        Or recalled: what was made of a body with the same digest before.
        """


class Workspace(NamedTuple):
    """What the polls of one workspace share."""

    config: Config
    plan: WorkspacePlan
    client: Fetcher
    line: RequestQueue
    lanes: IdleSchedule
    campaigns: Mapping[str, CampaignConfig]


class Poller:
    """Serves turns; `draw` returns a random fraction in [0, 1), for jitter."""

    def __init__(
        self,
        desks: Mapping[str, Workspace],
        *,
        store: Store,
        telemetry: SelfMetrics,
        now: Callable[[], float],
        draw: Callable[[], float],
        clock_set_by: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`clock_set_by` tells how many seconds the wall clock is ahead of `now`."""
        self._desks = desks
        self._store = store
        self._telemetry = telemetry
        self._now = now
        self._draw = draw
        self._clock_set_by = clock_set_by
        self._lock = Lock()
        self._logged: dict[ObjectKey, tuple[FailureReason, float]] = {}
        self._quotas: dict[tuple[str, str], LogRateLimit] = {}
        self._shown_pauses: WeakKeyDictionary[RequestQueue, FailureReason | None] = (
            WeakKeyDictionary()
        )
        self._is_stopped = False

    def stop(self) -> None:
        """Take no further outcome for true: requests are about to be broken off."""
        self._is_stopped = True

    def show_pauses(self) -> None:
        """Let all see pauses that ended because a workspace has nobody left to ask."""
        for name, desk in tuple(self._desks.items()):
            self._show_pause(desk, name)

    def forget_leavers(self) -> None:
        """Forget what was logged of campaigns that have left."""
        for workspace, campaign_id in tuple(self._logged):
            desk = self._desks.get(workspace)
            if desk is None or campaign_id not in desk.campaigns:
                self._logged.pop((workspace, campaign_id), None)

    def poll(self, turn: PendingPoll) -> PendingPoll | None:
        """Serve a turn and return its campaign's next one; None: the line calls it."""
        desk = self._desks.get(turn.workspace)
        if desk is None or turn.campaign_id not in desk.campaigns:
            return None  # it left the configuration
        try:
            return self._serve(desk, turn)
        except Exception:  # noqa: BLE001 - the job's border; it is logged and counted
            _log.exception("poll.crashed", extra={"facts": _names(desk, turn)})
            desk.line.abandon(turn, now=self._now())
            self._telemetry.polled(turn.workspace, "failed")
            return self._next_slot(desk, turn)

    def _serve(self, desk: Workspace, turn: PendingPoll) -> PendingPoll | None:
        now = self._now()
        interval = desk.lanes.interval_seconds(turn.campaign_id)
        if turn.failure and slots.is_over(
            first_try_at=turn.first_try_at, now=now, interval_seconds=interval
        ):
            desk.line.leave(turn, now=now)
            return self._fail(desk, turn, turn.failure)
        if not desk.line.start(turn, now=now):
            self._defer(turn)
            return None
        if turn.tries:
            self._telemetry.retried(turn.workspace)
        else:
            self._telemetry.began(turn.workspace, lag_seconds=now - turn.due_at)
            turn = turn._replace(first_try_at=now)
        return self._ask(desk, turn._replace(tries=turn.tries + 1))

    def _defer(self, turn: PendingPoll) -> None:
        if not turn.has_waited:
            self._telemetry.polled(turn.workspace, "deferred")

    def _ask(self, desk: Workspace, turn: PendingPoll) -> PendingPoll | None:
        parameters: dict[str, str | int] = {
            "campaign_id": turn.campaign_id,
            "length": desk.plan.days_per_request,
        }
        began_at = self._now()
        key = turn.key

        def reading() -> parse.ParseOptions:
            return self._reading(self._latest(desk, *key) or desk)

        def read(document: object) -> ParsedDocument | MalformedSeries:
            return _read(document, reading(), self._store.get(key))

        def recall(digest: int) -> Entry | None:
            entry = self._store.get(key)
            if entry is None or entry.values is None or entry.source is None:
                return None
            former, known = entry.source
            return entry if (former, known.options) == (digest, reading()) else None

        try:
            answer = desk.client.fetch(f"/{ENDPOINT}", parameters, read, recall)
        except FetchError as failure:
            if self._is_stopped:
                return None
            desk = self._latest(desk, *key) or desk
            self._count(desk, turn, failure, seconds=self._now() - began_at)
            return self._take_failure(desk, turn, failure)
        desk = self._latest(desk, *key) or desk
        self._count(desk, turn, answer, seconds=self._now() - began_at)
        desk.line.finish(
            turn,
            answer.allowance.earlier(self._clock_set_by()),
            is_key_accepted=True,
            now=self._now(),
        )
        desk.line.clear(turn.campaign_id)
        self._show_pause(desk, turn.workspace)
        return self._take_answer(desk, turn, answer)

    def _reading(self, desk: Workspace) -> parse.ParseOptions:
        zone = desk.plan.workspace.timezone
        shown_now = self._now() + self._clock_set_by()
        return parse.ParseOptions(
            today=datetime.fromtimestamp(shown_now, zone).date(),
            timezone=zone,
            windows=desk.config.windows,
            channels=desk.config.channels,
            metrics=desk.config.metrics,
            series_limit=desk.config.limits.series_per_campaign,
            revisions=desk.config.revisions,
        )

    def _latest(
        self, desk: Workspace, workspace: str, campaign_id: str | None = None
    ) -> Workspace | None:
        """Return what is in force after a reload; None: a line or campaign is gone."""
        latest = self._desks.get(workspace)
        if latest is None or latest.line is not desk.line:
            return None
        is_gone = campaign_id is not None and campaign_id not in latest.campaigns
        return None if is_gone else latest

    def _count(
        self,
        desk: Workspace,
        turn: PendingPoll,
        answer: BrazeResponse | FetchError,
        *,
        seconds: float,
    ) -> None:
        workspace = turn.workspace
        is_broken = isinstance(answer, FetchError) and answer.reason in _UNFINISHED
        code = None if is_broken else answer.status
        self._telemetry.answered(workspace, ENDPOINT, code=code, seconds=seconds)
        if answer.allowance is not None:
            self._telemetry.allowed(workspace, ENDPOINT, answer.allowance)
        _log.debug(
            "braze.answered",
            extra={
                "facts": _names(desk, turn)
                | {"status": answer.status, "seconds": seconds, "try": turn.tries}
            },
        )

    def _take_answer(
        self, desk: Workspace, turn: PendingPoll, answer: BrazeResponse
    ) -> PendingPoll | None:
        now = self._now()
        key = turn.key
        entry = self._store.get(key)
        found = answer.document
        if isinstance(found, MalformedSeries):
            failure = Unavailable(
                str(found), reason=FailureReason.MALFORMED, status=answer.status
            )
            return self._fail(desk, turn, failure)
        if entry is None:
            return None  # its campaign left while the poll was on its way
        if isinstance(found, ParsedDocument):
            found = _filled(entry, found, digest=answer.digest)
        assert isinstance(found, Entry)  # noqa: S101 - for the reader of types
        snapshot = found.last_read
        assert snapshot is not None  # noqa: S101
        self._choose_lane(desk, turn, snapshot)
        interval = desk.lanes.interval_seconds(turn.campaign_id)
        lifetime = lifetime_seconds(desk.config, interval)

        def refresh(current: Entry) -> Entry:
            subject = current.subject
            status = campaign_metrics.PollStatus(
                is_up=True,
                failure=None,
                interval_seconds=interval,
                last_success_at=now,
                clock_set_by=self._clock_set_by(),
            )
            return current._replace(
                status=status,
                status_blocks=show_status(subject, status, desk),
                last_read=snapshot,
                values=found.values
                if subject == found.subject
                else campaign_metrics.render_values(subject, snapshot),
                source=found.source,
                expires_at=now + lifetime,
            )

        self._store.update(key, refresh)
        self._telemetry.polled(turn.workspace, "stored")
        self._log_recovery(desk, turn)
        return self._next_slot(desk, turn)

    def _choose_lane(
        self, desk: Workspace, turn: PendingPoll, snapshot: Snapshot
    ) -> None:
        """Poll a campaign slowly from now on, or fast again, by what was just read."""
        idle = is_idle(desk.campaigns[turn.campaign_id], snapshot)
        if desk.lanes.move(turn.campaign_id, is_idle=idle):
            facts = _names(desk, turn) | {"lane": "idle" if idle else "fast"}
            _log.debug("campaign.lane", extra={"facts": facts})
            show_rhythm(desk, self._telemetry)

    def _take_failure(
        self, desk: Workspace, turn: PendingPoll, failure: FetchError
    ) -> PendingPoll | None:
        now = self._now()
        line = desk.line
        told = failure.allowance
        allowance = None if told is None else told.earlier(self._clock_set_by())
        if isinstance(failure, KeyRefused):
            before = line.pause
            pause = line.finish_refused(turn, allowance, reason=failure.reason, now=now)
            self._show_pause(desk, turn.workspace, failure)
            if pause is None and before is None:
                return self._fail(desk, turn, failure, is_slow=True)
            return self._fail(desk, turn, failure, is_logged=False)
        if isinstance(failure, Throttled) and allowance is not None:
            opens_at = line.finish_throttled(
                turn,
                allowance,
                retry_after_seconds=failure.retry_after_seconds,
                now=now,
                fraction=self._draw(),
            )
            return self._fail(desk, turn, failure, waits_until=opens_at)
        is_refused = isinstance(failure, CampaignRefused)
        line.finish(turn, allowance, is_key_accepted=is_refused, now=now)
        if isinstance(failure, KeyReplaced):
            line.probe_now(now=now)
        self._show_pause(desk, turn.workspace)
        if isinstance(failure, Unavailable):
            return self._try_again(desk, turn, failure)
        return self._fail(desk, turn, failure, is_slow=is_refused)

    def _try_again(
        self, desk: Workspace, turn: PendingPoll, failure: FetchError
    ) -> PendingPoll | None:
        if desk.line.is_called(turn.campaign_id):
            return self._fail(desk, turn, failure)
        at = slots.next_try(
            tries=turn.tries,
            first_try_at=turn.first_try_at,
            now=self._now(),
            interval_seconds=desk.lanes.interval_seconds(turn.campaign_id),
            fraction=self._draw(),
        )
        if at is None:
            return self._fail(desk, turn, failure)
        return turn._replace(failure=failure, at=at, has_waited=False)

    def _fail(
        self,
        desk: Workspace,
        turn: PendingPoll,
        failure: FetchError,
        *,
        is_slow: bool = False,
        is_logged: bool = True,
        waits_until: float | None = None,
    ) -> PendingPoll | None:
        """Finish a poll without new values; the former ones stay.

        With `waits_until` the campaign waits in the line for its bucket to open.
        """
        interval = desk.lanes.interval_seconds(turn.campaign_id)
        if is_slow:
            interval = slots.slow_interval(interval)
        now = self._now()

        def mark(entry: Entry) -> Entry:
            status = entry.status._replace(
                is_up=False,
                failure=failure.reason,
                interval_seconds=interval,
                error=str(failure),
                failed_at=now,
            )
            read_at = status.last_success_at
            lifetime = lifetime_seconds(desk.config, interval)
            expires_at = math.inf
            if entry.values is not None and read_at is not None:
                expires_at = read_at + lifetime
            return entry._replace(
                status=status,
                status_blocks=show_status(entry.subject, status, desk),
                expires_at=expires_at,
            )

        self._store.update(turn.key, mark)
        is_malformed = failure.reason is FailureReason.MALFORMED
        result = "malformed" if is_malformed else "failed"
        self._telemetry.polled(turn.workspace, result)
        upcoming = self._next_slot(desk, turn, interval_seconds=interval)
        if upcoming and waits_until is not None:
            upcoming = upcoming._replace(due_at=waits_until, at=waits_until)
        if is_logged:
            self._log_failure(desk, turn, failure, upcoming)
        if upcoming and waits_until is not None:
            desk.line.join((upcoming,), now=self._now())
            return None
        return upcoming

    def _next_slot(
        self,
        desk: Workspace,
        turn: PendingPoll,
        *,
        interval_seconds: float | None = None,
    ) -> PendingPoll | None:
        if desk.line.is_called(turn.campaign_id):
            return None
        now = self._now()
        slot = slots.slot_following(
            due_at=min(turn.due_at, now),
            # A turn that never began is as late as can be.
            began_at=min(turn.first_try_at, now),
            now=now,
            phase=slots.phase(turn.campaign_id),
            interval_seconds=interval_seconds
            or desk.lanes.interval_seconds(turn.campaign_id),
            clock_set_by=self._clock_set_by(),
        )
        return PendingPoll(
            turn.workspace, turn.campaign_id, due_at=slot, at=max(slot, now)
        )

    def _show_pause(
        self, desk: Workspace, workspace: str, failure: FetchError | None = None
    ) -> None:
        """Let every campaign of the workspace show a pause that began or ended."""
        pause = desk.line.pause
        reason = pause.reason if pause else None
        with self._lock:
            is_shown = self._shown_pauses.get(desk.line) is reason
            if is_shown or self._latest(desk, workspace) is None:
                return
            self._shown_pauses[desk.line] = reason

        def show(entry: Entry) -> Entry:
            blocks = show_status(entry.subject, entry.status, desk)
            return entry._replace(status_blocks=blocks)

        for campaign_id in desk.campaigns:
            self._store.update((workspace, campaign_id), show)
        self._telemetry.paused(workspace, reason)
        facts: dict[str, Fact] = {
            "workspace": workspace,
            "endpoint": desk.plan.workspace.endpoint,
            "key": str(desk.plan.workspace.key_source),
        }
        if pause is None:
            _log.info("workspace.resumed", extra={"facts": facts})
            self._slow_down(desk, desk.line.forbidden_ids)
        else:
            facts |= {
                "reason": reason,
                "status": failure.status if failure else None,
                "probe_in_seconds": round(pause.probe_at - self._now()),
                "error": str(failure or ""),
            }
            _log.warning("workspace.paused", extra={"facts": facts})

    def _slow_down(self, desk: Workspace, campaign_ids: frozenset[str]) -> None:
        """Ask for campaigns that are forbidden themselves at the slow rate from now."""
        now = self._now()
        workspace = desk.plan.workspace.name
        for campaign_id in campaign_ids & set(desk.campaigns):
            interval = slots.slow_interval(desk.lanes.interval_seconds(campaign_id))

            def mark(entry: Entry, interval: float = interval) -> Entry:
                status = entry.status._replace(interval_seconds=interval)
                blocks = show_status(entry.subject, status, desk)
                return entry._replace(status=status, status_blocks=blocks)

            self._store.update((workspace, campaign_id), mark)
            asked = PendingPoll(workspace, campaign_id, due_at=now, first_try_at=now)
            upcoming = self._next_slot(desk, asked, interval_seconds=interval)
            if upcoming is not None:
                desk.line.book(upcoming)

    def _log_failure(
        self,
        desk: Workspace,
        turn: PendingPoll,
        failure: FetchError,
        upcoming: PendingPoll | None,
    ) -> None:
        key = turn.key
        now = self._now()
        reason, logged_at = self._logged.get(key, (None, 0.0))
        is_news = reason is not failure.reason or now - logged_at >= _LOG_AGAIN_SECONDS
        facts = _names(desk, turn) | {
            "reason": failure.reason,
            "status": failure.status,
            "tries": turn.tries,
            "next_in_seconds": round(upcoming.at - now) if upcoming else None,
            "error": str(failure),
        }
        is_told = is_news and self._admits("poll.failed", facts)
        if is_told:
            self._logged[key] = (failure.reason, now)
        level = logging.WARNING if is_told else logging.DEBUG
        _log.log(level, "poll.failed", extra={"facts": facts})

    def _log_recovery(self, desk: Workspace, turn: PendingPoll) -> None:
        if self._logged.pop(turn.key, None):
            facts = _names(desk, turn)
            if not self._admits("poll.recovered", facts):
                _log.debug("poll.recovered", extra={"facts": facts})
            else:
                _log.info("poll.recovered", extra={"facts": facts})

    def _admits(self, event: str, facts: dict[str, Fact]) -> bool:
        """Tell whether the event may be told; if so, add what of others is left out."""
        now = self._now()
        key = (str(facts["workspace"]), event)
        with self._lock:
            quota = self._quotas.get(key, LogRateLimit(LINES_PER_MINUTE))
            self._quotas[key] = quota.counted(now=now)
        is_told = quota.admits(now=now)
        if is_told:
            facts.update(quota.facts(now=now))
        return is_told


def _read(
    document: object, reading: parse.ParseOptions, entry: Entry | None
) -> ParsedDocument | MalformedSeries:
    former = entry.last_read if entry else None
    source = entry.source if entry else None
    try:
        return incremental.parse(
            document,
            reading,
            previous=former,
            cached=source.known if source else None,
        )
    except MalformedSeries as error:
        text = str(error)
    return MalformedSeries(text)  # the other one's traceback holds the document


def _filled(entry: Entry, found: ParsedDocument, *, digest: int) -> Entry:
    """Return the entry with what was read, rendered as far as it is new."""
    is_former = entry.source is not None and entry.source.known == found.cached
    if found.is_reused and is_former and entry.values is not None:
        values = campaign_metrics.renew_latest(
            entry.subject, found.snapshot, entry.values
        )
    else:
        values = campaign_metrics.render_values(entry.subject, found.snapshot)
    return entry._replace(
        last_read=found.snapshot,
        values=values,
        source=Fingerprint(digest, found.cached),
    )


def lifetime_seconds(config: Config, interval_seconds: float) -> float:
    """Return how long after a good poll values are stale, polled at this interval."""
    return max(config.stale_after_seconds, _STALE_INTERVALS * interval_seconds)


def show_rhythm(desk: Workspace, telemetry: SelfMetrics) -> None:
    """Show how often a workspace is polled, its campaigns being on their lanes."""
    telemetry.planned(
        desk.plan.workspace.name,
        requests_per_minute=desk.lanes.planned_per_minute,
        interval_seconds=desk.lanes.default_interval_seconds,
        stretch=desk.lanes.stretch,
    )


def show_status(
    subject: campaign_metrics.ObjectLabels,
    status: campaign_metrics.PollStatus,
    desk: Workspace,
) -> campaign_metrics.RenderedObject:
    """Render a campaign's own status, or its workspace's pause in the place of it."""
    pause = desk.line.pause
    if pause is not None:
        status = status._replace(is_up=False, failure=pause.reason)
    return campaign_metrics.render_status(subject, status)


def _names(desk: Workspace, turn: PendingPoll) -> dict[str, Fact]:
    return {
        "workspace": turn.workspace,
        "campaign": desk.campaigns[turn.campaign_id].name,
        "campaign_id": turn.campaign_id,
        "endpoint": f"{desk.plan.workspace.endpoint}/{ENDPOINT}",
    }
