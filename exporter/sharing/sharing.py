"""Several exporters as one: who polls what, what the others read, and one ceiling.

A thread of its own beats once a second, and all calls to Redis but one are its: nobody
who scrapes ever waits for it. While Redis does not answer, this exporter goes on with
its part of campaigns and budgets. What is decided, `membership` decides.
"""

from __future__ import annotations

import json
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from enum import Enum
from functools import partial
from hashlib import blake2b
from threading import Event, Lock, Thread

from exporter.discovery.rules import CampaignCatalogue
from exporter.discovery.service import DiscoveryService
from exporter.metrics import campaign_metrics
from exporter.metrics.self_metrics import SelfMetrics
from exporter.metrics.store import Entry, ObjectKey, Store
from exporter.model.config import WorkspaceConfig
from exporter.model.errors import SharedStateError
from exporter.model.rate_limit_headers import RateLimitHeaders
from exporter.model.snapshot import Snapshot
from exporter.polling import slots
from exporter.polling.idle import is_idle
from exporter.polling.poller import (
    Poller,
    Workspace,
    lifetime_seconds,
    show_rhythm,
    show_status,
)
from exporter.polling.request_queue import PendingPoll, RequestQueue
from exporter.polling.sharding import PARTITIONS, partition
from exporter.polling.workspaces import Workspaces
from exporter.sharing import membership, record
from exporter.sharing.ledger import Ledger
from exporter.sharing.membership import LEASE_SECONDS, SETTLING_BEATS, Roll
from exporter.sharing.record import Record
from exporter.status.view_model import SharedSeen
from exporter.storage import catalogue_file
from exporter.storage.catalogue_file import Account
from exporter.system.logformat import Fact

_log = logging.getLogger(__name__)

_BEAT_SECONDS = 1.0
_BREATH_SECONDS = 0.05
"""From one part of many records to the next."""

_WAIT_SECONDS = 1.0
"""How long a request waits for Redis to answer again, or for the next beat."""

_JITTER_SECONDS = 0.01
"""So close behind a window's end those start that it turned away: sooner than one that
was let in, so that nobody is passed over for ever."""

_WORK_SECONDS = 0.5
"""So long records are read or written in one beat: leases must not wait for it."""

_POST_SECONDS = 5.0
"""So seldom catalogues are told: while details are read they change with each."""

_END_SECONDS = 1.5

_AT_ONCE = 100
"""Records that are published in one call."""

_ALL = frozenset(range(PARTITIONS))
_Outcome = tuple[object, ...]


class _Phase(Enum):
    JOINING = "joining"
    """Nothing is known yet, and nothing polled."""
    SHARED = "shared"
    AWAY = "away"
    """Redis does not answer, or only again since a moment."""


class Sharing:
    """One exporter's part in what several share, from `start` until `stop`.

    `replicas` says how many there are as long as nobody else has told it.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        replicas: int,
        fleet: Workspaces,
        poller: Poller,
        store: Store,
        telemetry: SelfMetrics,
        now: Callable[[], float],
        clock_set_by: Callable[[], float],
    ) -> None:
        self._ledger = ledger
        self._replicas = replicas
        self._fleet = fleet
        self._poller = poller
        self._store = store
        self._telemetry = telemetry
        self._now = now
        self._clock_set_by = clock_set_by
        self._jitter_seconds = _JITTER_SECONDS * slots.phase(ledger.member)
        self._phase = _Phase.JOINING
        self._roll = Roll()
        self._reached_at = now()
        """When the last beat that was answered was sent."""
        self._heard_at = self._reached_at
        """The same of the last one after which all else was answered, too."""
        self._beats = 0
        """Answered ones, a second apart, since we came or came back."""
        self._counted_at = -math.inf
        self._settled_after = 1
        self._polled: frozenset[int] = frozenset()
        self._cursor = 0
        self._is_caught_up = False
        self._late: frozenset[str] = frozenset()
        """Names that came after their records had been passed over."""
        self._late_cursor = 0
        self._keys: dict[str, ObjectKey] = {}
        self._known: Mapping[str, object] = {}
        self._told: dict[ObjectKey, _Outcome] = {}
        """How each campaign stood when its record was last published or read."""
        self._untold: frozenset[int] = frozenset()
        self._said: dict[str, str] = {}
        self._serving: Counter[int] = Counter()
        self._lock = Lock()
        self._is_stopped = Event()
        self._thread = Thread(target=self._run, name="sharing", daemon=True)
        self._scouting: DiscoveryService | None = None
        self._posted: dict[Account, CampaignCatalogue] = {}
        self._posted_at = 0.0
        self._seen: dict[Account, str] = {}
        fleet.holds = self.holds
        poller.permit = self.permit
        telemetry.shared(is_up=False, replicas=0)

    def share_discovery(self, scouting: DiscoveryService) -> None:
        """Let one of all ask for each workspace's list, and all know of it."""
        scouting.leads = self.holds
        scouting.divide(self._fleet.parts)
        self._scouting = scouting

    def start(self) -> None:
        """Begin to share."""
        self._thread.start()

    def stop(self) -> None:
        """Tell what is not told yet, and leave all to the others."""
        self._is_stopped.set()
        self._thread.join(_END_SECONDS)
        if self._phase is _Phase.AWAY or self._thread.is_alive():
            return  # nobody listens, and our leases end by themselves
        try:
            self._publish()
            self._ledger.leave()
            self._ledger.close()
        except SharedStateError as error:
            _log.debug("redis.unanswered", extra={"facts": {"error": str(error)}})

    def seen(self) -> SharedSeen:
        """Return how this exporter stands with the others."""
        is_joining = self._phase is _Phase.JOINING
        return SharedSeen(
            is_up=None if is_joining else self._phase is _Phase.SHARED,
            replicas=len(self._roll.live),
            parts=self._fleet.parts,
        )

    def holds(self, workspace: str, campaign_id: str = "") -> bool:
        """Tell whether a campaign, or a workspace's list, is asked for by this one."""
        return partition(workspace, campaign_id) in self._polled

    def permit(self, desk: Workspace, turn: PendingPoll) -> float:
        """Return in how many seconds a request may start; 0: it is spent."""
        if self._phase is _Phase.AWAY:
            return 0.0  # the line keeps to our part of the ceiling
        is_ours = self.holds(*turn.key)
        if not is_ours or self._is_overdue():
            return _WAIT_SECONDS
        workspace = desk.plan.workspace
        try:
            wait = self._ledger.permit(
                _account(workspace), workspace.requests_per_minute, self._roll.share()
            )
        except SharedStateError:
            return _WAIT_SECONDS
        return 0.0 if wait is None else wait + self._jitter_seconds

    @contextmanager
    def at_work(self, turn: PendingPoll) -> Iterator[None]:
        """Keep a campaign's lease until its poll is over and told."""
        number = partition(*turn.key)
        with self._lock:
            self._serving[number] += 1
        try:
            yield
        finally:
            with self._lock:
                self._serving[number] -= 1

    def _run(self) -> None:
        while not self._is_stopped.is_set():
            try:
                self.beat()
            except Exception:  # noqa: BLE001 - the thread's border; it is logged
                _log.exception("redis.crashed", extra={"facts": {}})
                self._is_caught_up = True  # not to try again at once
            has_more = self._beats and not self._is_caught_up
            self._is_stopped.wait(_BREATH_SECONDS if has_more else _BEAT_SECONDS)

    def beat(self) -> None:
        """Do once what is to be done once a second."""
        began_at = self._now()
        with self._lock:
            # Before all is told: what ends from now on is held for one more beat.
            serving = frozenset(+self._serving)
        self._is_caught_up = False
        try:
            self._publish()
            is_alone = self._phase is _Phase.AWAY
            roll = self._ledger.beat(self._wishes(serving), is_alone=is_alone)
            self._take_roll(roll, at=began_at)
            self._read_news()
            self._exchange_words()
            if self._scouting is not None:
                self._exchange_catalogues(self._scouting)
        except SharedStateError as error:
            self._is_caught_up = True  # as far as can be: not to ask again at once
            if self._now() - self._heard_at >= LEASE_SECONDS:
                self._go_away(error)
            return
        self._heard_at = began_at
        if self._is_overdue():
            # Our leases ended before we heard of it: no better than no answer.
            seconds = self._now() - began_at
            message = f"all it was asked at once took {seconds:.1f} s"
            self._go_away(SharedStateError(message))
            return
        if self._beats > self._settled_after:
            self._poll(self._roll.leased & self._wanted())

    def _is_overdue(self) -> bool:
        return self._now() - self._reached_at >= LEASE_SECONDS

    def _wanted(self) -> frozenset[int]:
        return membership.wanted(self._ledger.member, self._roll.live)

    def _wishes(self, serving: frozenset[int]) -> str:
        return membership.wishes(
            wanted=self._wanted(),
            leased=self._roll.leased,
            # What is polled now is so until the line knows better.
            busy=serving | self._untold | self._polled,
            is_settled=self._beats >= self._settled_after,
        )

    def _take_roll(self, roll: Roll, *, at: float) -> None:
        before, self._roll = self._roll, roll
        self._reached_at = at
        if at - self._counted_at >= _BEAT_SECONDS / 2:
            self._beats += 1
            self._counted_at = at
        if roll.sequence < self._cursor:
            # Redis was emptied: others have to come back first, and hear all again.
            self._cursor, self._beats = 0, 1
            self._settled_after = SETTLING_BEATS
            self._tell_again()
        if (before.live, before.vanished) != (roll.live, roll.vanished):
            facts: dict[str, Fact] = {
                "replicas": len(roll.live),
                "vanished": roll.vanished,
            }
            _log.info("replicas.changed", extra={"facts": facts})
        is_up = self._phase is not _Phase.AWAY
        self._telemetry.shared(is_up=is_up, replicas=len(roll.live))

    def _poll(self, polled: frozenset[int]) -> None:
        """Poll these from now on, and at the pace of all together."""
        if not self._is_caught_up:
            polled &= self._polled  # not before it is known what was polled last
        was_away = self._phase is _Phase.AWAY
        is_news = polled != self._polled or self._phase is not _Phase.SHARED
        self._polled, self._phase, self._fleet.parts = polled, _Phase.SHARED, 1
        if is_news:
            self._redistribute()
        if was_away:
            _log.info("redis.back", extra={"facts": {}})
            self._telemetry.shared(is_up=True, replicas=len(self._roll.live))

    def _go_away(self, error: SharedStateError) -> None:
        """Go on alone, within what is certainly ours."""
        self._beats = 0
        if self._phase is _Phase.AWAY:
            return
        known = self._roll.live
        self._polled = self._wanted() if known else _ALL
        self._fleet.parts = (
            len(known) + self._roll.vanished if known else self._replicas
        )
        self._phase = _Phase.AWAY
        self._settled_after = SETTLING_BEATS
        self._cursor = 0
        self._tell_again()
        self._roll = replace(self._roll, leased=frozenset())
        self._redistribute()
        self._telemetry.shared(is_up=False, replicas=len(known))
        facts: dict[str, Fact] = {
            "error": str(error),
            "share": f"1/{self._fleet.parts}",
            "advice": "polling goes on within this share of every budget",
        }
        _log.warning("redis.away", extra={"facts": facts})

    def _redistribute(self) -> None:
        if self._scouting is not None:
            self._scouting.divide(self._fleet.parts)
        self._fleet.redistribute()
        self._poller.show_pauses()

    def _tell_again(self) -> None:
        """Publish all that we poll, for Redis may have forgotten it."""
        self._posted.clear()
        self._seen.clear()
        self._told = {
            key: told for key, told in self._told.items() if not self.holds(*key)
        }

    def _publish(self) -> None:
        """Tell what our polls brought, as much as one beat has time for."""
        began_at = self._now()
        pending: dict[ObjectKey, Entry] = {}
        for entry in self._store.entries():
            is_news = self._told.get(entry.key) != _outcome(entry)
            if entry.status.is_up is not None and is_news:
                pending[entry.key] = entry
        untold = set(pending)
        self._untold = frozenset(partition(*key) for key in untold)
        keys = iter(tuple(pending))
        while self._now() - began_at < _WORK_SECONDS:
            chosen = [key for key, _ in zip(keys, range(_AT_ONCE), strict=False)]
            if not chosen:
                break
            self._ledger.publish(
                {
                    name: record.write(self._record(pending[key]))
                    for key in chosen
                    if (name := self._name(key)) is not None
                }
            )
            self._told.update((key, _outcome(pending[key])) for key in chosen)
            untold.difference_update(chosen)
        self._untold = frozenset(partition(*key) for key in untold)

    def _record(self, entry: Entry) -> Record:
        status = entry.status
        return Record(
            last_success_at=status.shown_success_at,
            failed_at=_later(status.failed_at, self._clock_set_by()),
            failure=status.failure,
            error=status.error,
            interval_seconds=status.interval_seconds,
            snapshot=entry.snapshot,
        )

    def _name(self, key: ObjectKey) -> str | None:
        """Return under what name a campaign's record is published."""
        workspace, campaign_id = key
        desk = self._fleet.desks.get(workspace)
        if desk is None:
            return None
        return _name(_account(desk.plan.workspace), campaign_id)

    def _read_news(self) -> None:
        """Take over what others polled, as much as one beat has time for."""
        began_at = self._now()
        newcomers = self._know_campaigns()
        if newcomers and self._cursor:
            self._late, self._late_cursor = self._late | newcomers, 0
        self._late &= self._keys.keys()
        if self._late:
            for news in self._ledger.news(self._late_cursor, self._late.__contains__):
                self._take(news.records.items())
                self._late_cursor = news.cursor
                if self._now() - began_at > _WORK_SECONDS:
                    return
            self._late = frozenset()
        for news in self._ledger.news(self._cursor, self._is_of_others):
            self._take(news.records.items())
            self._cursor = news.cursor
            if self._now() - began_at > _WORK_SECONDS:
                return
        self._is_caught_up = True

    def _know_campaigns(self) -> frozenset[str]:
        """Learn which names there are now; return those that are new."""
        desks = dict(self._fleet.desks)
        known = {name: desk.campaigns for name, desk in desks.items()}
        if known.keys() == self._known.keys() and all(
            one is self._known[name] for name, one in known.items()
        ):
            return frozenset()
        keys = {
            _name(_account(desk.plan.workspace), campaign_id): (workspace, campaign_id)
            for workspace, desk in desks.items()
            for campaign_id in desk.campaigns
        }
        gone, newcomers = set(self._keys) - set(keys), set(keys) - set(self._keys)
        self._ledger.forget(name for name in gone if self.holds(*self._keys[name]))
        self._known, self._keys = known, keys
        left = set(keys.values())
        self._told = {key: told for key, told in self._told.items() if key in left}
        return frozenset(newcomers)

    def _is_of_others(self, name: str) -> bool:
        key = self._keys.get(name)
        return key is not None and not self.holds(*key)

    def _take(self, records: Iterable[tuple[str, bytes]]) -> None:
        for name, content in records:
            try:
                told = record.read(content)
            except ValueError as error:
                self._telemetry.record_skipped()
                facts: dict[str, Fact] = {"record": name, "error": str(error)}
                _log.debug("record.skipped", extra={"facts": facts})
                continue
            self._mirror(self._keys[name], told)

    def _mirror(self, key: ObjectKey, told: Record) -> None:
        """Show what another exporter polled as if it had been this one."""
        workspace, campaign_id = key
        desk = self._fleet.desks.get(workspace)
        entry = self._store.get(key)
        if desk is None or entry is None or campaign_id not in desk.campaigns:
            return
        if told.snapshot is not None:
            idle = is_idle(desk.campaigns[campaign_id], told.snapshot)
            if desk.lanes.move(campaign_id, is_idle=idle):
                show_rhythm(desk, self._telemetry)
        change = partial(
            _mirrored,
            told=told,
            rendered=_rendered(entry, told.snapshot),
            desk=desk,
            now=self._now(),
            clock_set_by=self._clock_set_by(),
        )
        self._store.update(key, change)
        mirrored = self._store.get(key)
        if mirrored is not None:
            self._told[key] = _outcome(mirrored)

    def _exchange_words(self) -> None:
        """Tell the others how Braze's buckets stand, and hear it from them."""
        lines = {
            _account(desk.plan.workspace): desk.line
            for desk in tuple(self._fleet.desks.values())
        }
        news = {
            account: word
            for account, line in lines.items()
            if (word := self._word(line)) is not None
            and word != self._said.get(account)
        }
        self._ledger.say(news)
        self._said.update(news)
        told = self._ledger.words(lines)
        for line, documents in zip(lines.values(), told, strict=True):
            for document in documents:
                self._hear(line, document)

    def _exchange_catalogues(self, scouting: DiscoveryService) -> None:
        """Tell the others what our questions found out, and hear what theirs did."""
        has_time = self._now() - self._posted_at >= _POST_SECONDS
        of_others: dict[str, Account] = {}
        for account, known in scouting.known().items():
            name = _digest(*account)
            if not self.holds(account[0]):
                of_others[name] = account
            elif has_time and self._is_unposted(account, known):
                self._ledger.post(name, catalogue_file.pack(account, known))
                self._posted[account] = known
        if has_time:
            self._posted_at = self._now()
        seen = {name: self._seen.get(one, "") for name, one in of_others.items()}
        for name, version, content in self._ledger.posted(seen):
            account = of_others[name]
            self._seen[account] = version
            self._adopt(scouting, account, content)

    def _is_unposted(self, account: Account, known: CampaignCatalogue) -> bool:
        """Tell whether the others cannot know this: Redis may have dropped it."""
        if known == CampaignCatalogue():
            return False
        is_told = known == self._posted.get(account)
        return not is_told or not self._ledger.has_post(_digest(*account))

    def _adopt(
        self, scouting: DiscoveryService, account: Account, content: bytes
    ) -> None:
        try:
            known = catalogue_file.unpack(content, account, now=self._now())
        except ValueError as error:
            self._telemetry.record_skipped()
            facts: dict[str, Fact] = {"record": account[0], "error": str(error)}
            _log.debug("record.skipped", extra={"facts": facts})
            return
        self._posted[account] = known
        scouting.adopt(account, known)

    def _word(self, line: RequestQueue) -> str | None:
        bucket, set_by = line.bucket, self._clock_set_by()
        if not bucket.is_known:
            return None
        return json.dumps(
            {
                "limit": bucket.limit,
                "remaining": bucket.remaining,
                "reset_at": _finite(bucket.reset_at + set_by),
                "shut_until": _finite(bucket.shut_until + set_by),
            }
        )

    def _hear(self, line: RequestQueue, document: object) -> None:
        if not isinstance(document, dict):
            return
        limit, remaining = (_count(document.get(each)) for each in _COUNTS)
        reset_at, shut_until = (_instant(document.get(each)) for each in _INSTANTS)
        set_by = self._clock_set_by()
        allowance = RateLimitHeaders(limit, remaining, reset_at).earlier(set_by)
        line.take_word(
            allowance,
            shut_until=-math.inf if shut_until is None else shut_until - set_by,
            now=self._now(),
        )


_COUNTS = ("limit", "remaining")
_INSTANTS = ("reset_at", "shut_until")
_MOST = 2**53


def _rendered(entry: Entry, snapshot: Snapshot | None) -> Entry:
    """Return the entry with a snapshot: rendered before the store has to wait for it.

    The entry as it is, if it shows the same.
    """
    if snapshot is None or (entry.values and entry.last_read == snapshot):
        return entry
    values = campaign_metrics.render_values(entry.subject, snapshot)
    return entry._replace(last_read=snapshot, values=values, source=None)


def _mirrored(
    entry: Entry,
    *,
    told: Record,
    rendered: Entry,
    desk: Workspace,
    now: float,
    clock_set_by: float,
) -> Entry:
    read_at = _later(told.last_success_at, -clock_set_by)
    status = campaign_metrics.PollStatus(
        is_up=told.failure is None,
        failure=told.failure,
        interval_seconds=told.interval_seconds,
        last_success_at=None if read_at is None else min(read_at, now),
        clock_set_by=clock_set_by,
        error=told.error,
        failed_at=_later(told.failed_at, -clock_set_by),
    )
    entry = entry._replace(
        status=status, status_blocks=show_status(entry.subject, status, desk)
    )
    read_at = status.last_success_at
    lifetime = lifetime_seconds(desk.config, told.interval_seconds)
    if told.snapshot is None or read_at is None or read_at + lifetime <= now:
        return entry._replace(values=None, expires_at=math.inf)
    if rendered.subject != entry.subject:  # a reload renamed it meanwhile
        rendered = _rendered(entry._replace(values=None), told.snapshot)
    return entry._replace(
        last_read=rendered.last_read,
        values=rendered.values,
        source=rendered.source,
        expires_at=read_at + lifetime,
    )


def _outcome(entry: Entry) -> _Outcome:
    status = entry.status
    return (status.is_up, status.last_success_at, status.failed_at)


def _account(workspace: WorkspaceConfig) -> str:
    """Return a name of a workspace's account with Braze: other ones share nothing."""
    return _digest(workspace.name, workspace.endpoint, str(workspace.key_source))


def _name(account: str, campaign_id: str) -> str:
    return _digest(account, campaign_id)


def _digest(*texts: str) -> str:
    joined = "\0".join(texts).encode("utf-8", "surrogatepass")
    return blake2b(joined, digest_size=16).hexdigest()


def _later(at: float | None, seconds: float) -> float | None:
    return None if at is None else at + seconds


def _finite(at: float) -> float | None:
    return at if math.isfinite(at) else None


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value <= _MOST else None


def _instant(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) <= _MOST else None  # NaN is not
