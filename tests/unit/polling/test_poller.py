"""One poll: what is requested, stored and shown, and when the next one is due."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from exporter.metrics import families
from exporter.metrics.object_metrics import lines_of, render_values
from exporter.model.config import Selection
from exporter.model.errors import (
    FailureReason,
    FetchError,
    KeyRefused,
    KeyReplaced,
    ObjectRefused,
    Unavailable,
    Unusable,
)
from exporter.model.snapshot import OVERALL
from exporter.polling.request_queue import PendingPoll

from tests.support.object_keys import key
from tests.support.polling_world import (
    THROTTLED,
    TIMED_OUT,
    WRONG_KEY,
    PollingWorld,
    config,
    failure,
    new_world,
    polled_world,
    workspace,
)

DOCUMENT = {
    "message": "success",
    "data": [{"time": "2025-06-15", "messages": {"email": [{"sent": 7}]}}],
}
DOWN = failure(Unavailable, "server_error", status=503)
UNKNOWN = failure(ObjectRefused, "bad_request", status=400)
FORBIDDEN = failure(KeyRefused, "forbidden", status=403)
REPLACED = failure(KeyReplaced, "unauthorized", status=401)
HUGE = failure(Unusable, "too_large", status=200)


def document_of_days(now: float, *counts: int) -> dict[str, object]:
    """Return a document with these counts, today's first."""
    today = datetime.fromtimestamp(now, UTC).date()
    rows = [
        {"time": str(today - timedelta(n)), "messages": {"email": [{"sent": count}]}}
        for n, count in enumerate(counts)
    ]
    return {"message": "success", "data": rows}


def assert_next(
    world: PollingWorld, upcoming: PendingPoll | None, *, interval: float
) -> PendingPoll:
    """Assert that a new poll follows in half an interval or more."""
    assert upcoming is not None
    assert upcoming.tries == 0
    wait = upcoming.at - world.clock.now()
    assert interval / 2 - 1 <= wait <= 1.5 * interval
    return upcoming


def test_values_are_served_until_they_are_stale() -> None:
    world = new_world()

    upcoming = world.poll(DOCUMENT)

    entry = world.entry()
    assert world.braze.requests == [{"campaign_id": "a", "length": 30}]
    assert entry.values is not None
    assert b'channel="email"' in entry.values.text
    assert entry.status.is_up is True
    assert entry.status.last_success_at == world.clock.now()
    assert entry.expires_at == world.clock.now() + 3600
    assert_next(world, upcoming, interval=300)
    assert world.metric("polls_total", result="stored") == 1


def test_a_document_with_the_same_digest_is_not_parsed_again() -> None:
    world = new_world()
    world.poll(DOCUMENT)
    before = world.entry()
    world.clock.time += 300
    world.poll(UNKNOWN)
    assert world.entry().status.is_up is False

    world.clock.time += 3000
    world.poll(DOCUMENT)

    after = world.entry()
    assert world.braze.documents_parsed == 1
    assert after.values is before.values
    assert after.last_read is before.last_read
    assert after.status.is_up is True
    assert after.status.last_success_at == world.clock.now()
    assert after.expires_at == world.clock.now() + 3600
    assert world.metric("polls_total", result="stored") == 2


def expire(world: PollingWorld) -> None:
    world.clock.time += 4000
    world.store.expire(now=world.clock.now())
    assert world.entry().values is None


def exclude_email(world: PollingWorld) -> None:
    selection = Selection(exclude=("email",))
    world.apply(config(workspace("a"))._replace(channels=selection))


@pytest.mark.parametrize(
    ("change", "has_email", "is_complete"),
    [
        (lambda world: world.clock.advance(86400), True, True),
        (lambda world: world.clock.set_wall(seconds=86400), True, True),
        (expire, True, False),
        (exclude_email, False, False),
    ],
    ids=["next day", "wall clock set", "stale values", "another selection"],
)
def test_the_same_document_is_parsed_again_after(
    change: Callable[[PollingWorld], None], *, has_email: bool, is_complete: bool
) -> None:
    world = new_world()
    world.poll(DOCUMENT)

    change(world)
    world.poll(DOCUMENT)

    entry = world.entry()
    assert world.braze.documents_parsed == 2
    assert entry.values is not None
    assert entry.snapshot is not None
    assert (b'channel="email"' in entry.values.text) is has_email
    assert (entry.snapshot.last_complete is not None) is is_complete
    assert entry.read_at == world.clock.now()
    assert entry.expires_at == world.clock.now() + 3600
    assert entry.status.last_success_at == world.clock.wall()


@pytest.mark.parametrize(
    ("timezone", "is_complete"),
    [("UTC", False), ("Asia/Tokyo", True), ("America/New_York", False)],
)
def test_today_is_the_date_in_the_time_zone_of_the_workspace(
    timezone: str, *, is_complete: bool
) -> None:
    """At 15:06 UTC the day is over in Tokyo; each time zone has its own midnight."""
    world = new_world(timezone=timezone)

    world.poll(DOCUMENT)

    snapshot = world.entry().snapshot
    assert snapshot is not None
    assert snapshot.latest is not None
    assert (snapshot.last_complete == snapshot.latest) is is_complete
    midnight = datetime(2025, 6, 15, tzinfo=ZoneInfo(timezone)).timestamp()
    assert snapshot.latest.starts_at == midnight


@pytest.mark.parametrize(
    ("responses", "waits", "result"),
    [
        ([DOWN], [0.5, 1, 2, 4], "failed"),
        ([DOWN, TIMED_OUT, DOCUMENT], [0.5, 1], "stored"),
    ],
)
def test_a_failing_server_is_retried_with_backoff(
    responses: list[object], waits: list[float], result: str
) -> None:
    world = new_world()
    poll = world.poll(*responses)
    actual = []
    while poll is not None and poll.tries:
        actual.append(poll.at - world.clock.now())
        poll = world.poll(poll=poll)

    assert actual == pytest.approx(waits)  # with half of the jitter
    assert len(world.braze.requests) == 1 + len(waits)
    assert world.metric("api_retries_total") == len(waits)
    for one in ("failed", "stored"):
        assert world.metric("polls_total", result=one) == (one == result)
    expected = FailureReason.SERVER_ERROR if result == "failed" else None
    assert world.entry().status.failure is expected


def test_a_try_a_minute_after_the_first_one_sends_no_request() -> None:
    world = new_world()
    poll = world.poll(DOWN)
    assert poll is not None

    upcoming = world.poll(poll=poll._replace(at=world.clock.now() + 61))

    assert len(world.braze.requests) == 1
    assert world.entry().status.failure is FailureReason.SERVER_ERROR
    assert upcoming is not None
    assert upcoming.tries == 0


@pytest.mark.parametrize(
    ("response", "reason", "result"),
    [
        (HUGE, FailureReason.TOO_LARGE, "failed"),
        ({"data": "later"}, FailureReason.MALFORMED, "malformed"),
    ],
)
def test_a_failure_keeps_the_previous_values_and_is_shown_until_a_success(
    response: object, reason: FailureReason, result: str
) -> None:
    world = new_world()
    world.poll(DOCUMENT)
    before = world.entry()

    upcoming = world.poll(response)

    after = world.entry()
    assert after.values is before.values
    assert after.expires_at == before.expires_at
    assert after.status.last_success_at == before.status.last_success_at
    assert after.status.is_up is False
    assert after.status.failure is reason
    assert after.status.failed_at == world.clock.now()
    assert after.status.error != ""
    assert world.metric("polls_total", result=result) == 1
    assert upcoming is not None
    assert upcoming.tries == 0

    world.poll(DOCUMENT)

    status = world.entry().status
    assert (status.error, status.failed_at) == ("", None)


def test_a_refused_campaign_is_polled_slowly_until_a_success() -> None:
    world = new_world()
    world.poll(DOCUMENT)
    read_at = world.clock.now()

    upcoming = assert_next(world, world.poll(UNKNOWN), interval=3000)

    status = world.entry().status
    assert world.entry().expires_at == read_at + 3 * 3000
    assert status.interval_seconds == 3000
    assert (status.failure, status.error) == (FailureReason.BAD_REQUEST, str(UNKNOWN))

    world.poll(DOCUMENT, poll=upcoming)

    assert world.entry().status.interval_seconds == 300


def test_a_poll_after_429_waits_in_the_queue_until_the_bucket_opens() -> None:
    world = new_world()

    assert world.poll(THROTTLED) is None

    assert world.entry().status.failure is FailureReason.RATE_LIMITED
    (scheduled,) = world.scheduler.polls.values()
    assert 1 <= scheduled.at - world.clock.now() <= 10
    world.poll(DOCUMENT, poll=scheduled)
    assert world.entry().status.is_up is True


def test_values_are_those_of_the_last_document() -> None:
    """Even if only today differs, or the entry was replaced during the poll."""
    world = new_world()
    now = world.clock.now()
    world.poll(document_of_days(now, 3, 1))
    other = world.entry()
    world.poll(document_of_days(now, 1, 0))
    world.braze.during = lambda: world.store.put(other._replace(fingerprint=None))
    for sent in (2, 1, 0):
        world.poll(document_of_days(now, sent, 0))

        entry = world.entry()
        assert entry.last_read is not None
        assert entry.values == render_values(entry.labels, entry.last_read)
        assert f"}} {sent}\n".encode() in entry.values.text


def test_a_key_that_was_replaced_meanwhile_pauses_nothing() -> None:
    world = new_world("ab")

    upcoming = world.poll(REPLACED)

    assert world.shop.queue.pause is None
    assert upcoming is not None
    assert 0 <= upcoming.at - world.clock.now() <= 1
    assert world.entry().status.is_up is None


def test_a_probe_with_a_replaced_key_is_repeated_at_once() -> None:
    world = new_world("ab")
    world.poll(WRONG_KEY)

    world.poll(REPLACED, poll=world.scheduler.history[-1])

    assert world.shop.queue.pause is not None
    assert world.scheduler.history[-1].at - world.clock.now() <= 1


def test_a_probe_after_429_is_followed_by_the_next_probe() -> None:
    world = new_world("ab")
    world.poll(WRONG_KEY)

    assert world.poll(THROTTLED, poll=world.scheduler.history[-1]) is None

    probe = world.scheduler.history[-1]
    assert probe.object_id == "a"
    assert probe.at == world.clock.now() + 120


@pytest.mark.parametrize(
    "end",
    [
        failure(Unavailable, "server_error", status=503, retry_after=600.0),
        failure(KeyRefused, "unauthorized", status=401, retry_after=600.0),
    ],
)
def test_no_probe_is_earlier_than_retry_after(end: FetchError) -> None:
    world = new_world("ab")
    world.poll(WRONG_KEY)

    world.poll(end, poll=world.scheduler.history[-1])

    assert world.scheduler.history[-1].at == world.clock.now() + 600


def test_a_refused_key_is_shown_on_every_campaign() -> None:
    world = new_world("ab")

    upcoming = world.poll(WRONG_KEY)

    for id_ in "ab":
        assert b'reason="unauthorized"' in world.entry(id_).status_blocks.text
    assert world.metric("workspace_paused", reason="unauthorized") == 1
    assert list(world.scheduler.polls) == [key("b")]
    assert world.scheduler.history[0].at == world.clock.now() + 60
    assert world.poll(DOCUMENT, poll=upcoming) is None
    assert len(world.braze.requests) == 1


def test_a_pause_of_another_component_is_shown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = new_world("ab")
    caplog.set_level(logging.INFO, logger="exporter")
    session, discovery = world.shop.session, object()

    session.pause_key(discovery, probe_at=world.clock.now() + 60)
    world.workspaces.pauses.update_all()

    assert world.poll(DOCUMENT) is None
    assert world.braze.requests == []
    assert b'reason="unauthorized"' in world.entry("b").status_blocks.text
    assert world.metric("workspace_paused", reason="unauthorized") == 1

    session.resume_key(discovery)
    world.workspaces.pauses.update_all()

    assert world.metric("workspace_paused", reason="unauthorized") == 0
    assert caplog.messages == ["workspace.paused", "workspace.resumed"]
    world.poll(DOCUMENT, poll=world.scheduler.history[-1])
    assert world.entry().status.is_up is True


def test_a_forbidden_campaign_is_polled_slowly_after_the_pause() -> None:
    world = new_world("ab")
    world.poll(FORBIDDEN)

    world.poll(DOCUMENT, poll=world.scheduler.history[-1])

    assert world.metric("workspace_paused", reason="forbidden") == 0
    assert world.entry("b").status.is_up is True
    assert b'reason="forbidden"' in world.entry().status_blocks.text
    scheduled = assert_next(world, world.scheduler.history[-1], interval=3000)
    assert scheduled.object_id == "a"
    assert world.entry().status.interval_seconds == 3000

    upcoming = world.poll(FORBIDDEN)

    assert world.shop.queue.pause is None
    assert upcoming is not None
    assert world.entry().status.interval_seconds == 3000


def test_stale_values_expire_once() -> None:
    world = new_world()
    world.poll(DOCUMENT)
    expire(world)

    world.poll(UNKNOWN)

    assert world.store.expire(now=world.clock.now()) == ()
    assert world.entry().expires_at == math.inf


@pytest.mark.parametrize(("interval", "deferred"), [("100s", 1), ("120s", 0)])
def test_a_poll_that_waits_for_a_tenth_of_its_interval_is_deferred(
    interval: str, deferred: int
) -> None:
    """It waits for 11 seconds; a wait for the previous request is normal."""
    world = new_world("ab", requests_per_minute=6, interval=interval)
    world.poll(DOCUMENT)
    first = PendingPoll(key("b"), due_at=world.clock.now())

    for _ in range(2):  # its job may run again before its start
        poll = world.scheduler.polls.get(key("b"), first)
        assert world.poller.poll(poll) is None
    assert len(world.braze.requests) == 1
    world.clock.advance(world.scheduler.polls[key("b")].at - world.clock.now())
    world.poll(DOCUMENT, poll=world.scheduler.polls[key("b")])

    assert world.metric("polls_total", result="deferred") == deferred
    assert world.metric("polls_total", result="stored") == 2


def poll_all(world: PollingWorld, ids: str, response: object) -> None:
    for id_ in ids:
        poll = PendingPoll(key(id_), due_at=world.clock.now())
        world.poll(response, poll=poll)


def logged(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, object]]:
    """Return the fields of such lines above debug, and clear the log."""
    fields: list[dict[str, object]] = [
        vars(one)["fields"]
        for one in caplog.records
        if one.getMessage() == event and one.levelno > logging.DEBUG
    ]
    caplog.clear()
    return fields


def test_a_failing_campaign_is_logged_hourly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = new_world()
    caplog.set_level(logging.INFO, logger="exporter")
    poll_all(world, "aaaaa", UNKNOWN)
    world.clock.time += 3600
    world.poll(UNKNOWN)

    world.poll(DOCUMENT)

    assert caplog.messages == ["poll.failed", "poll.failed", "poll.recovered"]
    (first, _) = logged(caplog, "poll.failed")
    assert first["status"] == 400
    assert first["campaign"] == "Campaign a"
    assert first["endpoint"] == "https://rest.iad-01.braze.com/campaigns/data_series"


def test_a_failure_is_logged_again_after_its_campaign_was_removed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = new_world("ab")
    poll_all(world, "ab", UNKNOWN)
    world.apply(config(workspace("b")))
    world.poller.forget_removed()
    world.apply(config(workspace("ab")))
    world.skip_first_round()
    caplog.clear()

    poll_all(world, "ab", UNKNOWN)

    (again,) = logged(caplog, "poll.failed")
    assert again["campaign_id"] == "a"


def test_an_outage_of_many_campaigns_logs_ten_lines_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="exporter")
    ids = "abcdefghijklmno"
    world = new_world(ids)

    poll_all(world, ids, UNKNOWN)
    first = logged(caplog, "poll.failed")
    world.clock.time += 120
    poll_all(world, ids, UNKNOWN)
    second = logged(caplog, "poll.failed")
    world.clock.time += 120
    poll_all(world, ids, DOCUMENT)
    recovered = logged(caplog, "poll.recovered")
    world.clock.time += 60
    world.poll(HUGE)
    world.poll(DOCUMENT)

    assert (len(first), len(second), len(recovered)) == (10, 5, 10)
    assert {one["campaign_id"] for one in [*first, *second]} == set(ids)
    assert ["quota" in one for one in first] == [False] * 9 + [True]
    assert second[0]["suppressed_because"] == "at most 10 such lines a minute"
    assert [one.get("suppressed") for one in second] == [5, None, None, None, None]
    assert [one["suppressed"] for one in logged(caplog, "poll.recovered")] == [5]


def test_an_unexpected_error_fails_one_poll(caplog: pytest.LogCaptureFixture) -> None:
    world = new_world()

    upcoming = world.poll(ZeroDivisionError("unexpected"))

    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert world.metric("polls_total", result="failed") == 1
    assert upcoming is not None
    assert world.poll(DOCUMENT, poll=upcoming) is not None
    assert world.entry().status.is_up is True


def test_a_response_for_a_removed_entry_is_ignored() -> None:
    world = new_world()
    world.store.remove([key("a")])

    assert world.poll(DOCUMENT) is None
    assert world.store.entries() == ()


def test_a_poll_of_a_removed_campaign_or_workspace_sends_no_request() -> None:
    world = new_world()
    for removed in (key("b"), key("a", workspace="other")):
        assert world.poll(poll=PendingPoll(removed, due_at=0.0)) is None

    assert world.braze.requests == []


def test_failures_after_the_stop_are_ignored() -> None:
    world = new_world()
    world.poll(DOCUMENT)
    world.poller.stop()

    assert world.poll(TIMED_OUT) is None
    assert world.entry().status.is_up is True


def test_an_idle_campaign_is_polled_slowly_until_its_first_count() -> None:
    world = new_world()
    world.poll(DOCUMENT)
    now = world.clock.now()

    upcoming = world.poll(document_of_days(now, *[0] * 21))

    upcoming = assert_next(world, upcoming, interval=3600)
    assert world.entry().status.interval_seconds == 3600
    assert world.entry().expires_at == world.clock.now() + 3 * 3600
    assert world.shop.idle.idle_ids == {"a"}
    assert world.metric("planned_requests_per_minute") == pytest.approx(1 / 60)

    upcoming = world.poll(HUGE, poll=upcoming)

    assert world.entry().status.is_up is False
    assert world.entry().status.interval_seconds == 3600
    assert world.shop.idle.idle_ids == {"a"}

    upcoming = world.poll(document_of_days(now, *[1] * 21), poll=upcoming)

    assert upcoming is not None
    assert 0 < upcoming.at - world.clock.now() <= 450
    assert world.entry().status.interval_seconds == 300
    assert world.shop.idle.idle_ids == frozenset()


def test_a_revision_counts_from_the_first_response_about_its_day() -> None:
    """It survives stale values, and begins at 0 on the next day."""
    world = PollingWorld()
    world.apply(config(workspace("a"), revisions=True))
    world.skip_first_round()
    family = families.CAMPAIGN.all.index(families.CAMPAIGN.groups[OVERALL].revision)
    revisions = []

    def read_yesterday(conversions: float) -> None:
        today = datetime.fromtimestamp(world.clock.now(), UTC).date()
        row = {"time": str(today - timedelta(days=1)), "conversions": conversions}
        world.poll({"data": [row]})
        values = world.entry().values
        assert values is not None
        revisions.append(lines_of(values.by_family[family]).split()[-1])

    for conversions in (5, 7, 4):
        read_yesterday(conversions)
    world.store.expire(now=world.clock.now() + 80_000)
    assert world.entry().values is None
    read_yesterday(8)
    world.clock.time += 86400
    read_yesterday(9)

    assert revisions == [b"0", b"2", b"-1", b"3", b"0"]


def test_no_poll_is_earlier_than_the_retry_after_of_an_outage() -> None:
    """It is longer than tries last: the next slot moves."""
    world = polled_world("a", interval="5s")
    asked = failure(Unavailable, "server_error", status=503, retry_after=20.0)

    upcoming = world.poll(asked)

    assert upcoming is not None
    assert upcoming.at >= world.clock.time + 20
