"""Requests to one workspace: how they are settled, and the pause of its key."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from exporter.braze.rate_limit import Budget
from exporter.braze.responses import Body, BrazeResponse
from exporter.braze.session import (
    CAMPAIGN_ANALYTICS,
    SHARED,
    ApiRequest,
    Ended,
    Session,
)
from exporter.model import errors
from exporter.model.errors import FetchError, Throttled, Unavailable
from exporter.model.rate_limit_headers import RateLimitHeaders

from tests.support.fake_clock import NOW, FakeClock
from tests.support.polling_world import FakeBraze, failure

HEADERS = RateLimitHeaders(limit=100, remaining=50, reset_at=NOW + 60)
REQUEST = ApiRequest(
    CAMPAIGN_ANALYTICS, "campaigns/data_series", {"length": 3}, {"campaign": "a"}
)


failed = partial(failure, status=500, headers=HEADERS)


def parsed(body: Body) -> str:
    return f"parsed: {body.document()}"


class SessionWorld:
    """A session with two buckets; each request takes two seconds."""

    def __init__(
        self, *, spacing: float = 0.0, on_end: Callable[[Ended], None] | None = None
    ) -> None:
        self.clock = FakeClock()
        self.braze = FakeBraze()
        self.braze.headers = HEADERS
        self.ended: list[Ended] = []
        budget = Budget(spacing, reserve=0.2, concurrency=1)
        self.session = Session(
            self.braze,
            budgets={CAMPAIGN_ANALYTICS: budget, SHARED: budget},
            clock=self.clock,
            random=lambda: 0.5,
            on_end=on_end or self.ended.append,
        )

    def fetch(self, end: object, cached: object = None) -> BrazeResponse | FetchError:
        """Pay for a request that ends like this, and send it."""
        self.braze.responses = [end]
        self.braze.during = partial(self.clock.advance, 2)
        self.session.spend(REQUEST.bucket, now=self.clock.now())
        return self.session.fetch(REQUEST, parsed, lambda _: cached)

    def budget(self) -> Budget:
        """Return the budget of the bucket of the requests."""
        return self.session.budget(CAMPAIGN_ANALYTICS)


@pytest.mark.parametrize("cached", [None, "cached"])
def test_a_response_is_returned_and_settled(cached: str | None) -> None:
    world = SessionWorld()

    result = world.fetch("a document", cached)

    assert world.braze.requests == [{"length": 3}]
    assert isinstance(result, BrazeResponse)
    assert result.document == (cached or "parsed: a document")
    assert world.ended == [Ended(REQUEST, 200, HEADERS, seconds=None)]
    bucket = world.budget().bucket
    assert (bucket.in_flight, bucket.limit, bucket.remaining) == (0, 100, 50)


@pytest.mark.parametrize(
    ("ended", "status"),
    [
        (failed(errors.ObjectRefused, "bad_request", status=400), 400),
        (failed(Unavailable, "malformed", status=200), 200),
        # The status line may have been received before the connection broke.
        (failed(Unavailable, "timeout", status=200), None),
        (failed(Unavailable, "connection", status=200), None),
        (failure(Unavailable, "timeout", status=None), None),
    ],
)
def test_a_failure_is_returned_and_settled(
    ended: FetchError, status: int | None
) -> None:
    world = SessionWorld()

    result = world.fetch(ended)

    assert result is ended
    assert world.ended == [Ended(REQUEST, status, ended.rate_limit, seconds=None)]
    bucket = world.budget().bucket
    assert bucket.in_flight == 0
    assert bucket.remaining == (50 if ended.rate_limit else None)


@pytest.mark.parametrize("end", ["a document", KeyError("unexpected")])
def test_an_unexpected_error_is_raised_and_settled(end: object) -> None:
    """An error of the client or of `on_end`; the next request may start."""
    world = SessionWorld(on_end=list[Ended]().remove)

    with pytest.raises((KeyError, ValueError), match=r"unexpected|not in list"):
        world.fetch(end)

    assert world.budget().bucket.in_flight == 0
    assert world.session.earliest(CAMPAIGN_ANALYTICS, now=NOW + 2) == NOW + 2


@pytest.mark.parametrize(
    ("headers", "retry_after", "wait"),
    [(HEADERS, None, 58), (HEADERS, 90.0, 90), (None, 7.0, 7), (None, None, 1)],
)
def test_429_shuts_its_bucket_alone(
    headers: RateLimitHeaders | None, retry_after: float | None, wait: float
) -> None:
    """Other buckets have room; half of five seconds is the jitter."""
    world = SessionWorld()
    ended = failure(
        Throttled, "rate_limited", status=429, headers=headers, retry_after=retry_after
    )

    world.fetch(ended)

    now = world.clock.now()
    shut_until = now + wait + 2.5
    assert world.budget().bucket.in_flight == 0
    assert world.session.earliest(CAMPAIGN_ANALYTICS, now=now) == shut_until
    assert world.session.earliest(SHARED, now=now) == now
    assert retry_at(world, ended) == shut_until


@pytest.mark.parametrize("end", ["a document", "429"])
def test_resets_are_converted_to_the_process_clock(end: str) -> None:
    world = SessionWorld()
    world.clock.set_wall(seconds=7200)
    headers = HEADERS._replace(reset_at=NOW + 7200 + 60)
    throttled = failure(Throttled, "rate_limited", status=429, headers=headers)
    unavailable = failure(Unavailable, "server_error", status=503, headers=headers)

    world.fetch(throttled if end == "429" else unavailable)

    assert world.budget().bucket.reset_at == NOW + 60
    # The metrics show what Braze sent.
    assert world.ended[0].headers == headers


def retry_at(world: SessionWorld, ended: FetchError, *, tries: int = 1) -> float | None:
    """Return when the session tries a failed request again."""
    return world.session.retry_at(
        ended,
        bucket=CAMPAIGN_ANALYTICS,
        tries=tries,
        first_try_at=NOW,
        interval_seconds=300.0,
    )


@pytest.mark.parametrize(
    ("ended", "tries", "wait"),
    [
        (failed(Unavailable, "server_error"), 1, 0.5),
        (failed(Unavailable, "connection"), 3, 2.0),
        (failed(Unavailable, "timeout"), 5, None),
        (failed(Unavailable, "server_error", retry_after=20.0), 1, 20.0),
        (failed(Unavailable, "server_error", retry_after=0.1), 1, 0.5),
        (failed(Unavailable, "server_error", retry_after=61.0), 1, None),
        (failed(errors.Unusable, "too_large"), 1, None),
        (failed(errors.KeyRefused, "unauthorized"), 1, None),
    ],
)
def test_only_outages_are_retried_soon(
    ended: FetchError, tries: int, wait: float | None
) -> None:
    expected = None if wait is None else NOW + wait

    assert retry_at(SessionWorld(), ended, tries=tries) == expected


def test_requests_of_a_bucket_are_paid_for() -> None:
    """Spending too early is an error; `release` ends a request without a response."""
    world = SessionWorld(spacing=1.0)
    session = world.session
    session.spend(SHARED, now=NOW)

    with pytest.raises(ValueError, match="may not start yet"):
        session.spend(SHARED, now=NOW + 0.5)
    session.release(SHARED, now=NOW + 1)

    assert session.earliest(SHARED, now=NOW + 1) == NOW + 1
    assert session.budget(SHARED).bucket.in_flight == 0
    assert session.earliest(CAMPAIGN_ANALYTICS, now=NOW) == NOW


def test_other_bounds_keep_the_accounts() -> None:
    world = SessionWorld()
    world.fetch("a document")
    before = world.budget()
    bounds = Budget(9.0, reserve=0.5, concurrency=3, slack_seconds=0.1, processes=2)

    world.session.reconfigure({CAMPAIGN_ANALYTICS: bounds, "new": bounds})

    assert world.budget() == bounds._replace(
        next_start_at=before.next_start_at, bucket=before.bucket
    )
    assert world.session.budget("new") == bounds
    assert world.session.budget(SHARED).spacing_seconds == 0.0


def test_windows_are_discarded_after_the_wall_clock_was_set() -> None:
    world = SessionWorld()
    world.fetch("a document")
    world.session.spend(SHARED, now=NOW)

    world.session.discard_windows()

    assert world.budget().bucket.remaining is None
    assert world.session.budget(SHARED).bucket.in_flight == 1


def test_a_key_pause_belongs_to_its_owner() -> None:
    """The owner alone may probe and end it; then all components are woken."""
    session = SessionWorld().session
    woken: list[str] = []
    for name in ("first", "second"):
        session.on_key_accepted(name, partial(woken.append, name))
    owner, other = object(), object()

    session.pause_key(owner, probe_at=NOW + 60)
    session.pause_key(other, probe_at=NOW + 5)
    session.resume_key(other)

    assert not session.is_paused_for(owner)
    assert session.is_paused_for(other)
    assert session.key_probe_at == NOW + 60
    session.pause_key(owner, probe_at=NOW + 120)
    assert session.key_probe_at == NOW + 120
    assert woken == []

    session.resume_key(owner)
    session.resume_key(owner)

    assert not session.is_paused_for(other)
    assert woken == ["first", "second"]


def test_a_component_that_leaves_ends_its_pause_and_is_not_woken() -> None:
    session = SessionWorld().session
    woken: list[str] = []
    for name in ("first", "second"):
        session.on_key_accepted(name, partial(woken.append, name))
    session.pause_key("first", probe_at=NOW + 60)

    session.leave("first")
    session.leave("first")

    assert not session.is_paused_for("second")
    assert woken == ["second"]


@pytest.mark.parametrize(
    ("reset", "date", "expected"),
    [
        # Date and reset of Braze, whose clock is behind or ahead of this machine's.
        *(
            (skew + wait, skew + 2, wait)
            for skew in (-1e9, -86400, -3600, -90, 90, 3600, 86400, 1e9)
            for wait in (1.0, 60.0, 3600.0)
        ),
        # Without a Date, or with one that does not fit, by the clock of this machine.
        (60, None, 60),
        (60, -1e9, 60),
        (60, 86400, 60),
        # A reset that fits neither is not known: a minute from now.
        (-30, None, 62),
        (-30, 0, 62),
        (-3600, 0, 62),
        (7200, None, 62),
        (-1e9, 1e9, 62),
    ],
)
def test_a_reset_is_by_the_clock_of_braze(
    reset: float, date: float | None, expected: float
) -> None:
    """All are in seconds from the request, which takes two seconds."""
    world = SessionWorld()
    headers = HEADERS._replace(reset_at=NOW + reset)
    unavailable = failure(Unavailable, "server_error", status=503, headers=headers)
    unavailable.answered_at = None if date is None else NOW + date

    world.fetch(unavailable)

    assert world.budget().bucket.reset_at == NOW + expected


def test_the_duration_excludes_what_follows_the_last_byte() -> None:
    """Decoding, and the wait for the lock of decoding."""
    world = SessionWorld()
    unavailable = failure(Unavailable, "malformed", status=200)
    unavailable.seconds = 0.25

    world.fetch(unavailable)

    assert world.ended[0].seconds == 0.25
