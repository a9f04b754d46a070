"""One poll: what is asked, stored and shown, and what comes next."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from exporter.braze.rate_limit import Budget
from exporter.braze.responses import BrazeResponse
from exporter.metrics.campaign_metrics import (
    FAMILIES,
    OVERALL_LAST_COMPLETE_DAY_REVISION,
    ObjectLabels,
    PollStatus,
    lines_of,
    render_status,
    render_values,
)
from exporter.metrics.self_metrics import SelfMetrics
from exporter.metrics.store import Entry, Store
from exporter.model.config import Selection
from exporter.model.errors import (
    CampaignRefused,
    FailureReason,
    FetchError,
    KeyRefused,
    KeyReplaced,
    Throttled,
    Unavailable,
    Unusable,
)
from exporter.model.rate_limit_headers import RateLimitHeaders
from exporter.polling import plan
from exporter.polling.idle import IdleSchedule
from exporter.polling.poller import Poller, Workspace
from exporter.polling.request_queue import PendingPoll, RequestQueue

from tests.support.daemon_process import parsed

ID = "3bbc4555-8fa0-4c9b-a5c0-4505edf3e064"
OTHER_ID = "8fa03bbc-4c9b-4555-a5c0-4505edf3e064"
MORE_IDS = [f"3bbc4555-8fa0-4c9b-a5c0-{n:012}" for n in range(98)]
NOON = 1_772_366_400.0  # 2026-03-01 12:00 UTC
DOCUMENT = {
    "message": "success",
    "data": [{"time": "2026-03-01", "messages": {"email": [{"sent": 7}]}}],
}


class Braze:
    """Answers each request with the next of what it was told."""

    def __init__(self) -> None:
        self.answers: list[object] = []
        self.asked: list[Mapping[str, str | int]] = []
        self.read: list[object] = []
        self.afterwards: Callable[[], object] = lambda: None

    def fetch(
        self,
        path: str,
        params: Mapping[str, str | int],
        read: Callable[[object], object] = lambda document: document,
        recall: Callable[[int], object | None] = lambda _: None,
    ) -> BrazeResponse:
        """Answer, or fail as told; the last word is repeated."""
        assert path == "/campaigns/data_series"
        self.asked.append(params)
        word = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(word, Exception):
            raise word
        digest = hash(repr(word))
        found = recall(digest)
        if found is None:
            found = read(word)
            self.read.append(word)
        self.afterwards()
        return BrazeResponse(
            found, status=200, allowance=RateLimitHeaders(), digest=digest
        )


class Room:
    """A poller with all that it needs, at a time that only the test moves."""

    def __init__(self, *, names: tuple[str, ...] = ("Welcome",)) -> None:
        ids = (ID, OTHER_ID, *MORE_IDS)[: len(names)]
        campaigns = [
            {"id": id_, "name": name} for id_, name in zip(ids, names, strict=True)
        ]
        workspace = {
            "name": "production",
            "endpoint": "https://rest.iad-01.braze.com",
            "api_key_env": "KEY",
            "campaigns": campaigns,
        }
        config = parsed({"workspaces": [workspace]}, key="key")
        (workspace_plan,) = plan.plan(config)
        self.now = NOON
        self.clock_set_by = 0.0
        self.braze = Braze()
        self.store = Store()
        self.telemetry = SelfMetrics(version="0", served=tuple)
        self.called: list[PendingPoll] = []
        self.line = RequestQueue(
            Budget(spacing_seconds=0.5, reserve=0.2, concurrency=4),
            workspace="production",
            campaign_ids=ids,
            call=self.called.append,
        )
        self.lanes = IdleSchedule(workspace_plan)
        desk = Workspace(
            config=config,
            plan=workspace_plan,
            client=self.braze,
            line=self.line,
            lanes=self.lanes,
            campaigns={one.id: one for one in workspace_plan.workspace.campaigns},
        )
        self.desks = {"production": desk}
        self.poller = Poller(
            self.desks,
            store=self.store,
            telemetry=self.telemetry,
            now=lambda: self.now,
            draw=lambda: 0.5,
            clock_set_by=lambda: self.clock_set_by,
        )
        for campaign in workspace_plan.workspace.campaigns:
            subject = ObjectLabels("production", campaign.name, campaign.id, {})
            status = PollStatus(None, None, 300, None)
            self.store.put(Entry(subject, status, render_status(subject, status)))

    def poll(
        self, *answers: object, turn: PendingPoll | None = None
    ) -> PendingPoll | None:
        """Serve a turn that is due now, its requests answered like this."""
        if answers:
            self.braze.answers = list(answers)
        due = turn or PendingPoll("production", ID, due_at=self.now)
        self.now = max(self.now + 1, due.at)
        return self.poller.poll(due)

    def select(self, channels: Selection) -> None:
        """Show these channels alone from now on."""
        desk = self.desks["production"]
        config = desk.config._replace(channels=channels)
        self.desks["production"] = desk._replace(config=config)

    def entry(self, campaign_id: str = ID) -> Entry:
        """Return what is served of a campaign."""
        entry = self.store.get(("production", campaign_id))
        assert entry is not None
        return entry

    def count(self, name: str, **labels: str) -> float:
        """Return a counter of the telemetry."""
        value = self.telemetry.registry.get_sample_value(
            f"braze_exporter_{name}", {"workspace": "production", **labels}
        )
        return value or 0.0


def failure(kind: type[FetchError], reason: str, *, status: int | None) -> FetchError:
    """Return a failure as the client raises it."""
    return kind(
        "as the client says it",
        reason=FailureReason(reason),
        status=status,
        allowance=None if status is None else RateLimitHeaders(),
    )


DOWN = failure(Unavailable, "server_error", status=503)
SILENT = failure(Unavailable, "timeout", status=None)
UNKNOWN = failure(CampaignRefused, "bad_request", status=400)
FORBIDDEN = failure(KeyRefused, "forbidden", status=403)
WRONG_KEY = failure(KeyRefused, "unauthorized", status=401)
REPLACED = failure(KeyReplaced, "unauthorized", status=401)
TOO_FAST = failure(Throttled, "rate_limited", status=429)
HUGE = failure(Unusable, "too_large", status=200)


def test_a_good_answer_is_served_until_it_is_stale() -> None:
    """Values, `up` and the time of success are shown; values expire when stale."""
    room = Room()

    upcoming = room.poll(DOCUMENT)

    entry = room.entry()
    assert entry.values is not None
    assert b'channel="email"' in entry.values.text
    assert entry.status.is_up is True
    assert entry.status.last_success_at == room.now
    assert entry.expires_at == room.now + 3600
    assert upcoming is not None
    assert 150 <= upcoming.at - NOON <= 450
    assert room.count("polls_total", result="stored") == 1


def test_an_answer_that_says_the_same_is_not_read_again() -> None:
    """Only the time of the last success moves, and when the values are stale."""
    room = Room()
    room.poll(DOCUMENT)
    before = room.entry()

    room.now += 300
    room.poll(DOCUMENT)

    after = room.entry()
    assert len(room.braze.read) == 1
    assert after.values is before.values
    assert after.last_read is before.last_read
    assert after.status.last_success_at == room.now
    assert after.expires_at == room.now + 3600
    assert room.count("polls_total", result="stored") == 2


def test_an_answer_that_says_the_same_ends_a_failure() -> None:
    """The campaign is up again, with the values that it had."""
    room = Room()
    room.poll(DOCUMENT)
    room.now += 300
    room.poll(UNKNOWN)
    assert room.entry().status.is_up is False

    room.now += 3000
    room.poll(DOCUMENT)

    assert room.entry().status.is_up is True
    assert len(room.braze.read) == 1


def test_the_same_answer_is_read_again_on_another_day() -> None:
    """What was today is over by then."""
    room = Room()
    room.poll(DOCUMENT)

    room.now += 86400
    room.poll(DOCUMENT)

    snapshot = room.entry().snapshot
    assert len(room.braze.read) == 2
    assert snapshot is not None
    assert snapshot.last_complete is not None


def test_the_same_answer_is_read_again_once_its_values_are_stale() -> None:
    """There is nothing left of them that could be served."""
    room = Room()
    room.poll(DOCUMENT)
    room.store.expire(now=room.now + 4000)
    assert room.entry().values is None

    room.now += 4000
    room.poll(DOCUMENT)

    assert room.entry().values is not None
    assert len(room.braze.read) == 2


def test_the_same_answer_is_read_again_for_another_selection() -> None:
    """A reload may show other channels, fields or windows."""
    room = Room()
    room.poll(DOCUMENT)

    room.select(Selection(exclude=("email",)))
    room.now += 300
    room.poll(DOCUMENT)

    values = room.entry().values
    assert values is not None
    assert b'channel="email"' not in values.text


def test_today_is_of_the_wall_clock() -> None:
    """Set by a day, it makes yesterday a day that is over; ages stay as they are."""
    room = Room()
    room.poll(DOCUMENT)
    assert (before := room.entry().snapshot) is not None

    room.clock_set_by = 86400.0
    room.poll(DOCUMENT)

    assert (after := room.entry().snapshot) is not None
    assert before.latest is not None
    assert before.last_complete != before.latest
    assert after.last_complete == before.latest
    assert room.entry().status.last_success_at == room.now
    assert room.entry().expires_at == room.now + 3600


def test_one_request_asks_for_the_longest_window_and_today() -> None:
    """`length` is the longest window and two; `ending_at` is left out."""
    room = Room()

    room.poll(DOCUMENT)

    assert room.braze.asked == [{"campaign_id": ID, "length": 30}]


def test_the_next_poll_is_at_the_campaigns_phase() -> None:
    """Polls stand a whole interval apart, whenever the first one was."""
    room = Room()
    first = room.poll(DOCUMENT)
    assert first is not None

    second = room.poll(turn=first)

    assert second is not None
    assert second.at - first.at == pytest.approx(300)


def test_a_failing_server_is_tried_again_with_backoff() -> None:
    """The poll goes on after 0.5, 1, 2 and 4 seconds (at half jitter), then fails."""
    room = Room()
    turn = room.poll(DOWN)
    delays = []
    while turn is not None and turn.tries:
        delays.append(turn.at - room.now)
        turn = room.poll(turn=turn)

    assert delays == pytest.approx([0.5, 1, 2, 4])
    assert len(room.braze.asked) == 5
    assert room.entry().status.failure is FailureReason.SERVER_ERROR
    assert room.count("polls_total", result="failed") == 1
    assert room.count("api_retries_total") == 4


def test_a_poll_that_succeeds_at_its_third_try_is_good() -> None:
    """Tries that failed leave no trace but a counter."""
    room = Room()
    turn = room.poll(DOWN, SILENT, DOCUMENT)
    while turn is not None and turn.tries:
        turn = room.poll(turn=turn)

    assert room.entry().status.is_up is True
    assert room.count("polls_total", result="stored") == 1
    assert room.count("polls_total", result="failed") == 0


def test_a_try_that_comes_too_late_is_not_made() -> None:
    """Past a minute after its first try a poll fails without a further request."""
    room = Room()
    turn = room.poll(DOWN)
    assert turn is not None

    upcoming = room.poll(turn=turn._replace(at=room.now + 61))

    assert len(room.braze.asked) == 1
    assert room.entry().status.failure is FailureReason.SERVER_ERROR
    assert upcoming is not None
    assert upcoming.tries == 0


def test_a_failure_keeps_the_last_values() -> None:
    """`up` turns 0 and the reason is told, while values and their expiry stay."""
    room = Room()
    room.poll(DOCUMENT)
    before = room.entry()

    room.poll(HUGE)

    after = room.entry()
    assert after.values is before.values
    assert after.expires_at == before.expires_at
    assert after.status.last_success_at == before.status.last_success_at
    assert after.status.is_up is False
    assert after.status.failure is FailureReason.TOO_LARGE


def test_a_document_of_another_shape_is_malformed_at_once() -> None:
    """JSON that is no data series fails the poll without another try."""
    room = Room()

    upcoming = room.poll({"data": "later"})

    assert room.entry().status.failure is FailureReason.MALFORMED
    assert room.count("polls_total", result="malformed") == 1
    assert upcoming is not None
    assert upcoming.tries == 0


def test_a_refused_campaign_goes_on_slowly() -> None:
    """After 400 the interval is ten times as long, and back after a good answer."""
    room = Room()

    room.poll(DOCUMENT)
    read_at = room.now

    upcoming = room.poll(UNKNOWN)

    assert upcoming is not None
    assert 1500 <= upcoming.at - NOON <= 4500
    assert room.entry().expires_at == read_at + 3 * 3000
    assert room.entry().status.interval_seconds == 3000
    assert room.entry().status.failure is FailureReason.BAD_REQUEST

    room.poll(DOCUMENT, turn=upcoming)

    assert room.entry().status.interval_seconds == 300


def test_429_fails_the_poll_and_goes_on_when_the_bucket_opens() -> None:
    """Without headers the bucket opens after a second at the least, plus jitter."""
    room = Room()

    upcoming = room.poll(TOO_FAST)

    assert room.entry().status.failure is FailureReason.RATE_LIMITED
    assert upcoming is None
    assert room.called[-1].campaign_id == ID
    assert 1 <= room.called[-1].at - room.now <= 10


def test_a_poll_renews_only_what_it_has_read() -> None:
    """What another exporter told in between is replaced whole, not in part."""
    room = Room()
    first, second, others = (today_and_yesterday(n) for n in (1, 2, 3))
    room.poll(others)
    told = room.entry()
    room.poll(first)
    room.braze.afterwards = lambda: room.store.put(told._replace(source=None))
    room.poll(second)

    entry = room.entry()
    assert entry.last_read is not None
    assert entry.values == render_values(entry.subject, entry.last_read)


def today_and_yesterday(sent: int) -> dict[str, object]:
    """Return an answer with two days; of less than 3 yesterday is the same."""
    rows = [
        {"time": day, "messages": {"email": [{"sent": count}]}}
        for day, count in (("2026-02-28", sent // 3), ("2026-03-01", sent))
    ]
    return {"message": "success", "data": rows}


def test_a_key_that_was_replaced_meanwhile_pauses_nothing() -> None:
    """The request is repeated soon, with the key that is there by now."""
    room = Room(names=("Welcome", "Goodbye"))

    upcoming = room.poll(REPLACED)

    assert room.line.pause is None
    assert upcoming is not None
    assert 0 <= upcoming.at - room.now <= 1
    assert room.entry().status.is_up is None


def test_a_probe_with_a_key_that_was_replaced_is_repeated_at_once() -> None:
    """Not in a minute: nothing is known of the new key."""
    room = Room(names=("Welcome", "Goodbye"))
    room.poll(WRONG_KEY)

    room.poll(REPLACED, turn=room.called[-1])

    assert room.line.pause is not None
    assert room.called[-1].at - room.now <= 1


def test_a_wrong_key_shows_on_every_campaign_of_the_workspace() -> None:
    """While the workspace is paused all its campaigns are down, polled or not."""
    room = Room(names=("Welcome", "Goodbye"))

    upcoming = room.poll(WRONG_KEY)

    for campaign_id in (ID, OTHER_ID):
        blocks = room.entry(campaign_id).status_blocks.text
        assert b'reason="unauthorized"' in blocks
    assert room.count("workspace_paused", reason="unauthorized") == 1
    assert [turn.campaign_id for turn in room.called] == [OTHER_ID]
    assert room.called[0].at == room.now + 60
    assert upcoming is not None
    assert room.poll(DOCUMENT, turn=upcoming) is None


def test_the_answer_to_a_probe_ends_the_pause() -> None:
    """Once another campaign is answered the workspace shows each one's own state."""
    room = Room(names=("Welcome", "Goodbye"))
    room.poll(FORBIDDEN)

    room.poll(DOCUMENT, turn=room.called[-1])

    assert room.count("workspace_paused", reason="forbidden") == 0
    assert b"braze_campaign_up" in room.entry(OTHER_ID).status_blocks.text
    assert room.entry(OTHER_ID).status.is_up is True
    own = room.entry(ID).status_blocks.text
    assert b'reason="forbidden"' in own


def test_a_campaign_forbidden_by_itself_is_slow_once_that_is_known() -> None:
    """From the end of the pause on it is treated as after 400, and no poll later."""
    room = Room(names=("Welcome", "Goodbye"))
    room.poll(FORBIDDEN)

    room.poll(DOCUMENT, turn=room.called[-1])

    booked = room.called[-1]
    assert booked.campaign_id == ID
    assert 1500 <= booked.at - room.now <= 4500
    assert room.entry().status.interval_seconds == 3000
    assert b"interval_seconds" in room.entry().status_blocks.text


def test_values_that_have_left_grow_stale_no_more() -> None:
    """Else every failed poll of a long outage would tell it once more."""
    room = Room()
    room.poll(DOCUMENT)
    room.now += 5000
    assert len(room.store.expire(now=room.now)) == 1

    room.poll(UNKNOWN)

    assert room.store.expire(now=room.now) == ()
    assert room.entry().expires_at == math.inf


def test_a_campaign_forbidden_by_itself_does_not_pause_again() -> None:
    """Its next 403 is told as its own, at the slow rate."""
    room = Room(names=("Welcome", "Goodbye"))
    room.poll(FORBIDDEN)
    room.poll(DOCUMENT, turn=room.called[-1])

    upcoming = room.poll(FORBIDDEN)

    assert room.line.pause is None
    assert upcoming is not None
    assert room.entry().status.interval_seconds == 3000


def test_a_poll_that_must_wait_is_deferred_once() -> None:
    """The line calls it when it may start; the lag is counted from its slot."""
    room = Room(names=("Welcome", "Goodbye"))
    room.poll(DOCUMENT)
    room.now -= 1

    deferred = room.poller.poll(PendingPoll("production", OTHER_ID, due_at=room.now))
    again = room.poller.poll(room.called[-1])

    assert deferred is None
    assert again is None
    assert room.count("polls_total", result="deferred") == 1


def test_a_failing_campaign_is_logged_when_it_begins_and_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One warning when it begins, none while it lasts, one line when it is over."""
    caplog.set_level(logging.INFO, logger="exporter")
    room = Room()
    for _ in range(5):
        room.poll(UNKNOWN)

    room.poll(DOCUMENT)

    events = [record.getMessage() for record in caplog.records]
    assert events == ["poll.failed", "poll.recovered"]
    facts = caplog.records[0].__dict__["facts"]
    assert facts["status"] == 400
    assert facts["endpoint"].startswith("https://rest.iad-01.braze.com")
    assert facts["campaign"] == "Welcome"


def test_a_failure_that_lasts_is_logged_again_after_an_hour(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An operator who looks at the last hours of the log finds what is wrong."""
    room = Room()
    room.poll(UNKNOWN)
    room.now += 3600

    room.poll(UNKNOWN)

    assert [record.getMessage() for record in caplog.records] == ["poll.failed"] * 2


def told(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, object]]:
    """Return the facts of such events that an operator sees, and forget all."""
    facts: list[dict[str, object]] = [
        one.__dict__["facts"]
        for one in caplog.records
        if one.getMessage() == event and one.levelno > logging.DEBUG
    ]
    caplog.clear()
    return facts


def test_an_outage_of_many_campaigns_is_told_by_and_by(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Ten lines a minute; the next ones name the rest and how many were left out."""
    caplog.set_level(logging.DEBUG, logger="exporter")
    ids = (ID, OTHER_ID, *MORE_IDS[:13])
    room = Room(names=tuple(f"Campaign {n}" for n in range(15)))

    def poll_all(minute: int, word: object) -> None:
        room.now = NOON + 60 * minute
        for id_ in ids:
            room.poll(word, turn=PendingPoll("production", id_, due_at=room.now))

    poll_all(0, UNKNOWN)
    first = told(caplog, "poll.failed")
    poll_all(2, UNKNOWN)
    second = told(caplog, "poll.failed")
    poll_all(4, DOCUMENT)
    recovered = told(caplog, "poll.recovered")
    room.now += 60
    room.poll(HUGE)
    room.poll(DOCUMENT)

    assert (len(first), len(second), len(recovered)) == (10, 5, 10)
    assert {one["campaign_id"] for one in [*first, *second]} == set(ids)
    assert ["quota" in one for one in first] == [False] * 9 + [True]
    assert second[0]["suppressed_because"] == "at most 10 such lines a minute"
    assert [one.get("suppressed") for one in second] == [5, None, None, None, None]
    assert [one["suppressed"] for one in told(caplog, "poll.recovered")] == [5]


def test_our_own_fault_stays_with_its_campaign(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An exception nobody expected is logged as an error and the campaign goes on."""
    room = Room()

    upcoming = room.poll(ZeroDivisionError("what was not thought of"))

    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert room.count("polls_total", result="failed") == 1
    assert upcoming is not None
    assert room.poll(DOCUMENT, turn=upcoming) is not None
    assert room.entry().status.is_up is True


def test_a_campaign_that_left_is_not_shown_again() -> None:
    """The answer to a poll that was on its way is dropped."""
    room = Room()
    room.store.remove([("production", ID)])

    upcoming = room.poll(DOCUMENT)

    assert upcoming is None
    assert room.store.entries() == ()


def test_nothing_is_told_after_the_stop() -> None:
    """Requests that the end breaks off are no failures."""
    room = Room()
    room.poll(DOCUMENT)
    room.poller.stop()

    assert room.poll(SILENT) is None
    assert room.entry().status.is_up is True


def test_a_failure_is_kept_in_words_until_a_success() -> None:
    """For people who look: what happened, and when."""
    room = Room()

    room.poll(UNKNOWN)
    failed = room.entry().status
    room.poll(DOCUMENT)
    healed = room.entry().status

    assert failed.error == str(UNKNOWN)
    assert failed.failed_at == NOON + 1
    assert (healed.error, healed.failed_at) == ("", None)


def quiet_document(now: float) -> dict[str, object]:
    """Return three weeks of zeros up to today."""
    today = datetime.fromtimestamp(now, UTC).date()
    rows = [
        {"time": str(today - timedelta(days=n)), "messages": {"email": [{"sent": 0}]}}
        for n in range(21)
    ]
    return {"message": "success", "data": rows}


def test_a_campaign_in_which_nothing_happens_is_polled_slowly() -> None:
    """Its interval says so, and its values live three of them; the gauge is less."""
    room = Room()
    room.poll(DOCUMENT)

    upcoming = room.poll(quiet_document(room.now))

    assert upcoming is not None
    assert 1800 <= upcoming.at - room.now <= 5400
    assert room.entry().status.interval_seconds == 3600
    assert room.entry().expires_at == room.now + 3 * 3600
    assert room.lanes.idle_ids == {ID}
    assert room.count("planned_requests_per_minute") == pytest.approx(1 / 60)


def test_its_first_count_brings_it_back() -> None:
    """The next poll comes at its own interval again."""
    room = Room()
    quiet = quiet_document(room.now)
    upcoming = room.poll(quiet)
    busy = {"data": [{**row, "sent": 1} for row in quiet["data"]]}  # type: ignore[attr-defined]  # it is a list

    after = room.poll(busy, turn=upcoming)

    assert after is not None
    assert 0 < after.at - room.now <= 450
    assert room.entry().status.interval_seconds == 300
    assert room.lanes.idle_ids == frozenset()


def test_a_failure_leaves_a_campaign_on_its_lane() -> None:
    """And it is marked as down at the slow interval."""
    room = Room()
    upcoming = room.poll(quiet_document(room.now))

    room.poll(HUGE, turn=upcoming)

    assert room.entry().status.is_up is False
    assert room.entry().status.interval_seconds == 3600
    assert room.lanes.idle_ids == {ID}


def revision(room: Room) -> bytes:
    """Return the lines of the revision of a campaign's own numbers."""
    blocks = room.entry().values
    assert blocks is not None
    number = FAMILIES.index(OVERALL_LAST_COMPLETE_DAY_REVISION)
    return lines_of(blocks.by_family[number])


def read_yesterday(room: Room, **numbers: float) -> None:
    """Let Braze answer these numbers of yesterday."""
    yesterday = datetime.fromtimestamp(room.now, UTC).date() - timedelta(days=1)
    room.poll({"data": [{"time": str(yesterday), **numbers}]})


def test_a_revision_counts_from_the_first_reading_of_its_day() -> None:
    """0 at first, then what was added; a new day begins at 0."""
    room = Room()
    shown = []

    for conversions in (5, 7, 4):
        read_yesterday(room, conversions=conversions)
        shown.append(revision(room))
    room.now += 86400
    read_yesterday(room, conversions=9)
    shown.append(revision(room))

    assert [line.split()[-1] for line in shown] == [b"0", b"2", b"-1", b"0"]


def test_a_revision_outlives_stale_values() -> None:
    """What was first read is remembered through an outage."""
    room = Room()
    read_yesterday(room, conversions=5)
    room.store.expire(now=room.now + 86400)
    assert room.entry().values is None

    read_yesterday(room, conversions=8)

    assert revision(room).endswith(b" 3\n")
