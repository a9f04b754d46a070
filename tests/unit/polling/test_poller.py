"""One poll: what is requested, stored and shown, and when the next one is due."""

from __future__ import annotations

import logging
import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from exporter.metrics.campaign_metrics import (
    FAMILIES,
    OVERALL_LAST_COMPLETE_DAY_REVISION,
    lines_of,
    render_values,
)
from exporter.model.config import Selection
from exporter.model.errors import (
    CampaignRefused,
    FailureReason,
    KeyRefused,
    KeyReplaced,
    Throttled,
    Unavailable,
    Unusable,
)
from exporter.polling.request_queue import PendingPoll

from tests.support.polling_world import (
    PollingWorld,
    config,
    failure,
    new_world,
    workspace,
)

DOCUMENT = {
    "message": "success",
    "data": [{"time": "2025-06-15", "messages": {"email": [{"sent": 7}]}}],
}
DOWN = failure(Unavailable, "server_error", status=503)
TIMED_OUT = failure(Unavailable, "timeout", status=None)
UNKNOWN = failure(CampaignRefused, "bad_request", status=400)
FORBIDDEN = failure(KeyRefused, "forbidden", status=403)
WRONG_KEY = failure(KeyRefused, "unauthorized", status=401)
REPLACED = failure(KeyReplaced, "unauthorized", status=401)
THROTTLED = failure(Throttled, "rate_limited", status=429)
HUGE = failure(Unusable, "too_large", status=200)


def test_values_are_served_until_they_are_stale() -> None:
    """With `up` and the time of the success."""
    world = new_world()

    upcoming = world.poll(DOCUMENT)

    entry = world.entry()
    assert world.braze.requests == [{"campaign_id": "a", "length": 30}]
    assert entry.values is not None
    assert b'channel="email"' in entry.values.text
    assert entry.status.is_up is True
    assert entry.status.last_success_at == world.clock.now()
    assert entry.expires_at == world.clock.now() + 3600
    assert upcoming is not None
    assert 149 <= upcoming.at - world.clock.now() <= 450
    assert world.metric("polls_total", result="stored") == 1


def test_a_document_with_the_same_digest_is_not_parsed_again() -> None:
    """The time of the last success moves, and a failure ends."""
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


def test_the_same_document_is_parsed_again_on_another_day() -> None:
    """Today has become a complete day."""
    world = new_world()
    world.poll(DOCUMENT)

    world.clock.time += 86400
    world.poll(DOCUMENT)

    snapshot = world.entry().snapshot
    assert world.braze.documents_parsed == 2
    assert snapshot is not None
    assert snapshot.last_complete is not None


def test_the_same_document_is_parsed_again_after_its_values_expired() -> None:
    """Stale values are not kept."""
    world = new_world()
    world.poll(DOCUMENT)
    world.store.expire(now=world.clock.now() + 4000)
    assert world.entry().values is None

    world.clock.time += 4000
    world.poll(DOCUMENT)

    assert world.entry().values is not None
    assert world.braze.documents_parsed == 2


def test_the_same_document_is_parsed_again_for_another_selection() -> None:
    """A reload may select other channels, metrics or windows."""
    world = new_world()
    world.poll(DOCUMENT)

    without_email = config(workspace("a"))._replace(
        channels=Selection(exclude=("email",))
    )
    world.apply(without_email)
    world.clock.time += 300
    world.poll(DOCUMENT)

    values = world.entry().values
    assert values is not None
    assert b'channel="email"' not in values.text


def test_today_is_computed_from_the_wall_clock() -> None:
    """Set by a day, it makes yesterday a complete day; ages stay."""
    world = new_world()
    world.poll(DOCUMENT)
    assert (before := world.entry().snapshot) is not None

    world.clock.set_wall(seconds=86400)
    world.poll(DOCUMENT)

    assert (after := world.entry().snapshot) is not None
    assert before.latest is not None
    assert before.last_complete != before.latest
    assert after.last_complete == before.latest
    assert world.entry().status.last_success_at == world.clock.now() + 86400
    assert world.entry().read_at == world.clock.now()
    assert world.entry().expires_at == world.clock.now() + 3600


def test_polls_are_an_interval_apart() -> None:
    """At the object's phase, whenever the first one was."""
    world = new_world()
    polls = [world.poll(DOCUMENT)]
    for _ in range(2):
        polls.append(world.poll(poll=polls[-1]))

    at = [one.at for one in polls if one is not None]
    assert [later - sooner for sooner, later in pairwise(at)] == pytest.approx(
        [300] * 2
    )


def run_tries(world: PollingWorld, *responses: object) -> list[float]:
    """Run all tries of one poll; return the waits before each but the first."""
    poll = world.poll(*responses)
    waits = []
    while poll is not None and poll.tries:
        waits.append(poll.at - world.clock.now())
        poll = world.poll(poll=poll)
    return waits


def test_a_failing_server_is_retried_with_backoff() -> None:
    """After 0.5, 1, 2 and 4 seconds, with half of the jitter; then the poll fails."""
    world = new_world()

    waits = run_tries(world, DOWN)

    assert waits == pytest.approx([0.5, 1, 2, 4])
    assert len(world.braze.requests) == 5
    assert world.entry().status.failure is FailureReason.SERVER_ERROR
    assert world.metric("polls_total", result="failed") == 1
    assert world.metric("api_retries_total") == 4


def test_a_poll_that_succeeds_at_its_third_try_is_stored() -> None:
    """The failed tries are counted as retries only."""
    world = new_world()

    run_tries(world, DOWN, TIMED_OUT, DOCUMENT)

    assert world.entry().status.is_up is True
    assert world.metric("polls_total", result="stored") == 1
    assert world.metric("polls_total", result="failed") == 0


def test_a_try_that_is_too_late_sends_no_request() -> None:
    """A minute after its first try the poll has failed."""
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
def test_a_failure_keeps_the_previous_values(
    response: object, reason: FailureReason, result: str
) -> None:
    """Their expiry stays, too; `up` is 0 and the reason is shown until a success."""
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


def test_a_refused_campaign_is_polled_slowly() -> None:
    """Ten times less often after 400, until the next success."""
    world = new_world()
    world.poll(DOCUMENT)
    read_at = world.clock.now()

    upcoming = world.poll(UNKNOWN)

    assert upcoming is not None
    assert 1499 <= upcoming.at - world.clock.now() <= 4500
    status = world.entry().status
    assert world.entry().expires_at == read_at + 3 * 3000
    assert (status.interval_seconds, status.failure, status.error) == (
        3000,
        FailureReason.BAD_REQUEST,
        str(UNKNOWN),
    )

    world.poll(DOCUMENT, poll=upcoming)

    assert world.entry().status.interval_seconds == 300


def test_a_poll_after_429_waits_until_the_bucket_opens() -> None:
    """Without headers for a second at least, plus jitter."""
    world = new_world()

    upcoming = world.poll(THROTTLED)

    assert upcoming is None
    assert world.entry().status.failure is FailureReason.RATE_LIMITED
    (scheduled,) = world.scheduler.polls.values()
    assert 1 <= scheduled.at - world.clock.now() <= 10
    world.poll(DOCUMENT, poll=scheduled)
    assert world.entry().status.is_up is True


def document_of_two_days(sent: int) -> dict[str, object]:
    """Return a document; yesterday is the same for all of less than three."""
    rows = [
        {"time": day, "messages": {"email": [{"sent": count}]}}
        for day, count in (("2025-06-14", sent // 3), ("2025-06-15", sent))
    ]
    return {"message": "success", "data": rows}


def test_values_are_those_of_the_last_document() -> None:
    """Even if only today differs, or the entry was replaced during the poll."""
    world = new_world()
    world.poll(document_of_two_days(3))
    other = world.entry()
    world.poll(document_of_two_days(1))
    world.braze.during = lambda: world.store.put(other._replace(source=None))
    for sent in (2, 1, 0):
        world.poll(document_of_two_days(sent))

        entry = world.entry()
        assert entry.last_read is not None
        assert entry.values == render_values(entry.subject, entry.last_read)
        assert f"}} {sent}\n".encode() in entry.values.text


def test_a_key_that_was_replaced_meanwhile_pauses_nothing() -> None:
    """The request is repeated soon, with the new key."""
    world = new_world("ab")

    upcoming = world.poll(REPLACED)

    assert world.shop.queue.pause is None
    assert upcoming is not None
    assert 0 <= upcoming.at - world.clock.now() <= 1
    assert world.entry().status.is_up is None


def test_a_probe_with_a_replaced_key_is_repeated_at_once() -> None:
    """The new key has not been probed yet."""
    world = new_world("ab")
    world.poll(WRONG_KEY)

    world.poll(REPLACED, poll=world.scheduler.history[-1])

    assert world.shop.queue.pause is not None
    assert world.scheduler.history[-1].at - world.clock.now() <= 1


def test_a_refused_key_is_shown_on_every_campaign() -> None:
    """All campaigns of the workspace are down, and one of them probes."""
    world = new_world("ab")

    upcoming = world.poll(WRONG_KEY)

    for id_ in "ab":
        blocks = world.entry(id_).status_blocks.text
        assert b'reason="unauthorized"' in blocks
    assert world.metric("workspace_paused", reason="unauthorized") == 1
    assert list(world.scheduler.polls) == [("shop", "b")]
    assert world.scheduler.history[0].at == world.clock.now() + 60
    assert upcoming is not None
    assert world.poll(DOCUMENT, poll=upcoming) is None
    assert len(world.braze.requests) == 1


def test_a_pause_of_another_component_is_shown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Discovery shares the key: its 401 pauses the polls, too."""
    world = new_world("ab")
    caplog.set_level(logging.INFO, logger="exporter")
    session, discovery = world.shop.session, object()

    session.pause_key(discovery, probe_at=world.clock.now() + 60)
    world.poller.show_pauses()

    assert world.poll(DOCUMENT) is None
    assert world.braze.requests == []
    assert b'reason="unauthorized"' in world.entry("b").status_blocks.text
    assert world.metric("workspace_paused", reason="unauthorized") == 1

    session.resume_key(discovery)
    world.poller.show_pauses()

    assert world.metric("workspace_paused", reason="unauthorized") == 0
    assert [one.message for one in caplog.records] == [
        "workspace.paused",
        "workspace.resumed",
    ]
    world.poll(DOCUMENT, poll=world.scheduler.history[-1])
    assert world.entry().status.is_up is True


def test_a_forbidden_campaign_is_polled_slowly_after_the_pause() -> None:
    """Once the probe of another one is accepted; its next 403 pauses nothing."""
    world = new_world("ab")
    world.poll(FORBIDDEN)

    world.poll(DOCUMENT, poll=world.scheduler.history[-1])

    assert world.metric("workspace_paused", reason="forbidden") == 0
    assert world.entry("b").status.is_up is True
    assert b'reason="forbidden"' in world.entry().status_blocks.text
    assert b"interval_seconds" in world.entry().status_blocks.text
    scheduled = world.scheduler.history[-1]
    assert scheduled.object_id == "a"
    assert 1499 <= scheduled.at - world.clock.now() <= 4500
    assert world.entry().status.interval_seconds == 3000

    upcoming = world.poll(FORBIDDEN)

    assert world.shop.queue.pause is None
    assert upcoming is not None
    assert world.entry().status.interval_seconds == 3000


def test_values_expire_once() -> None:
    """A failed poll afterwards does not set another expiry."""
    world = new_world()
    world.poll(DOCUMENT)
    world.clock.time += 5000
    assert len(world.store.expire(now=world.clock.now())) == 1

    world.poll(UNKNOWN)

    assert world.store.expire(now=world.clock.now()) == ()
    assert world.entry().expires_at == math.inf


def test_a_poll_that_waits_is_deferred_once() -> None:
    """Its job may run again before its start."""
    world = new_world("ab", requests_per_minute=6)
    world.poll(DOCUMENT)

    for _ in range(2):
        deferred = world.poller.poll(
            world.scheduler.polls.get(("shop", "b"))
            or PendingPoll("shop", "b", due_at=world.clock.now())
        )
        assert deferred is None

    assert len(world.braze.requests) == 1
    assert world.metric("polls_total", result="deferred") == 1


def logged(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, object]]:
    """Return the fields of such lines above debug, and clear the log."""
    fields: list[dict[str, object]] = [
        one.__dict__["facts"]
        for one in caplog.records
        if one.getMessage() == event and one.levelno > logging.DEBUG
    ]
    caplog.clear()
    return fields


def test_a_failing_campaign_is_logged_hourly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """When it begins to fail, once an hour, and when it has recovered."""
    world = new_world()
    caplog.set_level(logging.INFO, logger="exporter")
    for _ in range(5):
        world.poll(UNKNOWN)
    world.clock.time += 3600
    world.poll(UNKNOWN)

    world.poll(DOCUMENT)

    events = [record.getMessage() for record in caplog.records]
    assert events == ["poll.failed", "poll.failed", "poll.recovered"]
    (first, _) = logged(caplog, "poll.failed")
    assert first["status"] == 400
    assert first["campaign"] == "Campaign a"
    assert first["endpoint"] == "https://rest.iad-01.braze.com/campaigns/data_series"


def test_a_failure_is_logged_again_after_its_campaign_was_removed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The log of the others is kept."""
    world = new_world("ab")

    def fail(ids: str) -> None:
        for id_ in ids:
            world.poll(UNKNOWN, poll=PendingPoll("shop", id_, due_at=0.0))

    fail("ab")
    world.apply(config(workspace("b")))
    world.poller.forget_removed()
    world.apply(config(workspace("ab")))
    world.skip_first_round()
    caplog.clear()

    fail("ab")

    (again,) = logged(caplog, "poll.failed")
    assert again["campaign_id"] == "a"


def test_an_outage_of_many_campaigns_is_logged_within_a_limit(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Ten lines a minute; the next line has the number of those left out."""
    caplog.set_level(logging.DEBUG, logger="exporter")
    ids = "abcdefghijklmno"
    world = new_world(ids)
    begin = world.clock.now()

    def poll_all(minute: int, response: object) -> None:
        world.clock.time = begin + 60 * minute
        for id_ in ids:
            poll = PendingPoll("shop", id_, due_at=world.clock.now())
            world.poll(response, poll=poll)

    poll_all(0, UNKNOWN)
    first = logged(caplog, "poll.failed")
    poll_all(2, UNKNOWN)
    second = logged(caplog, "poll.failed")
    poll_all(4, DOCUMENT)
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
    """It is logged, and the campaign is polled again."""
    world = new_world()

    upcoming = world.poll(ZeroDivisionError("unexpected"))

    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert world.metric("polls_total", result="failed") == 1
    assert upcoming is not None
    assert world.poll(DOCUMENT, poll=upcoming) is not None
    assert world.entry().status.is_up is True


def test_a_response_is_ignored_if_the_entry_was_removed_meanwhile() -> None:
    """Nothing is stored, and no poll follows."""
    world = new_world()
    world.store.remove([("shop", "a")])

    upcoming = world.poll(DOCUMENT)

    assert upcoming is None
    assert world.store.entries() == ()


def test_a_poll_of_a_removed_campaign_sends_no_request() -> None:
    """Nor does one of a removed workspace."""
    world = new_world()
    for key in (("shop", "b"), ("other", "a")):
        assert world.poll(poll=PendingPoll(*key, due_at=0.0)) is None

    assert world.braze.requests == []


def test_failures_after_the_stop_are_ignored() -> None:
    """The clients are aborted then."""
    world = new_world()
    world.poll(DOCUMENT)
    world.poller.stop()

    assert world.poll(TIMED_OUT) is None
    assert world.entry().status.is_up is True


def quiet_document(now: float) -> dict[str, object]:
    """Return three weeks of zeros up to today."""
    today = datetime.fromtimestamp(now, UTC).date()
    rows = [
        {"time": str(today - timedelta(days=n)), "messages": {"email": [{"sent": 0}]}}
        for n in range(21)
    ]
    return {"message": "success", "data": rows}


def test_an_idle_campaign_is_polled_slowly_until_its_first_count() -> None:
    """Its interval is shown, its values live three of them, and failures keep it."""
    world = new_world()
    world.poll(DOCUMENT)
    quiet = quiet_document(world.clock.now())

    upcoming = world.poll(quiet)

    assert upcoming is not None
    assert 1800 <= upcoming.at - world.clock.now() <= 5400
    assert world.entry().status.interval_seconds == 3600
    assert world.entry().expires_at == world.clock.now() + 3 * 3600
    assert world.shop.idle.idle_ids == {"a"}
    assert world.metric("planned_requests_per_minute") == pytest.approx(1 / 60)

    upcoming = world.poll(HUGE, poll=upcoming)

    assert world.entry().status.is_up is False
    assert world.entry().status.interval_seconds == 3600
    assert world.shop.idle.idle_ids == {"a"}

    busy = {"data": [{**row, "sent": 1} for row in quiet["data"]]}  # type: ignore[attr-defined]  # it is a list
    upcoming = world.poll(busy, poll=upcoming)

    assert upcoming is not None
    assert 0 < upcoming.at - world.clock.now() <= 450
    assert world.entry().status.interval_seconds == 300
    assert world.shop.idle.idle_ids == frozenset()


def test_a_revision_counts_from_the_first_response_about_its_day() -> None:
    """It survives stale values, and begins at 0 on the next day."""
    world = PollingWorld()
    world.apply(config(workspace("a"), revisions=True))
    world.skip_first_round()
    family = FAMILIES.index(OVERALL_LAST_COMPLETE_DAY_REVISION)
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
