"""One workspace's discovery, step by step, against a fake Braze client."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from exporter.braze.session import SHARED
from exporter.discovery.documents import FULL_PAGE
from exporter.discovery.kinds import CANVAS, KINDS, ListedKind
from exporter.model.config import ObjectConfig
from exporter.model.errors import (
    FailureReason,
    FetchError,
    KeyRefused,
    ObjectRefused,
    Throttled,
    Unavailable,
    Unusable,
)
from exporter.model.rate_limit_headers import RateLimitHeaders

from tests.support import polling_world
from tests.support.fake_clock import NOW
from tests.support.polling_world import failure
from tests.unit.discovery.discovery_world import (
    DOWN,
    FORBIDDEN,
    DiscoveryWorld,
    workspace,
)

DAY = 86400.0
FAILURES = "discovery_failures_total"
SUCCESS = "discovery_last_success_timestamp_seconds"
NOT_FOUND = failure(ObjectRefused, "not_found", status=404)


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.message for one in caplog.records]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_list_and_then_details_are_requested(kind: ListedKind) -> None:
    """Once all is known, nothing is requested for an hour."""
    world = DiscoveryWorld("A", "B", "C", kind=kind)
    prefix = "canvas_" if kind is CANVAS else ""
    assert world.metric(prefix + SUCCESS) is None

    world.run(seconds=60)

    assert world.api.new_requests() == ["page 0", "a", "b", "c"]
    assert world.names() == {"A", "B", "C"}
    assert world.finder.is_settled
    assert world.changes == 4
    assert world.metric(f"discovered_{kind.plural}") == 3
    assert world.metric(f"{prefix}discovery_limited") == 0
    assert NOW < (world.metric(prefix + SUCCESS) or 0) < NOW + 3
    world.run(seconds=3500)
    assert world.api.new_requests() == []
    world.run(seconds=100)
    assert world.api.new_requests() == ["page 0"]


@pytest.mark.parametrize(
    ("rate", "headers", "seconds"),
    [
        (6, RateLimitHeaders(), 10),
        (120, RateLimitHeaders(limit=100, remaining=20, reset_at=NOW + 600), 601),
    ],
    ids=["ceiling", "reserve"],
)
def test_requests_keep_the_ceiling_and_the_reserve(
    rate: float, headers: RateLimitHeaders, seconds: float
) -> None:
    """List and details share one bucket of Braze, and its rate-limit headers."""
    world = DiscoveryWorld("A", requests_per_minute=rate)
    world.api.headers = headers

    world.run(seconds=seconds - 1.1)
    assert world.api.new_requests() == ["page 0"]
    world.run(seconds=2.2)

    assert world.api.new_requests() == ["a"]


@pytest.mark.parametrize("archived", [False, True])
def test_a_list_with_a_full_page_is_read_to_its_end(archived: bool) -> None:
    names = [f"N{n}" for n in range(FULL_PAGE)]
    world = DiscoveryWorld(*names, include_drafts=True, include_archived=archived)

    assert world.step() == 0
    assert world.names() == set()
    world.run(seconds=60)

    assert world.api.requests == [
        {"page": page, "include_archived": str(archived).lower()} for page in (0, 1)
    ]
    assert world.names() == set(names)


def test_renamed_and_removed_campaigns_follow_the_list() -> None:
    """A campaign that left the list stays for its grace."""
    world = DiscoveryWorld("A", "B", include_drafts=True, grace="2h")
    world.run(seconds=60)
    world.api.objects = [{"id": "a", "name": "Alpha"}]

    world.run(seconds=3600)
    assert world.names() == {"Alpha", "B"}
    world.run(seconds=7200)

    assert world.names() == {"Alpha"}
    assert world.metric("discovered_campaigns") == 1


def test_the_limit_excludes_configured_campaigns_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    own = [{"id": "a", "name": "Mine"}]
    where = workspace(own, include_drafts=True, max=1)
    world = DiscoveryWorld("A", "B", "C", where=where)

    world.run(seconds=8000)

    assert world.names() == {"Mine", "B"}
    assert world.metric("discovered_campaigns") == 1
    assert world.metric("discovery_limited") == 1
    assert messages(caplog) == ["discovery.limited"]


@pytest.mark.parametrize(
    ("kind", "reason", "wait"),
    [
        (Unavailable, "server_error", 1.5),
        (Unavailable, "timeout", 1.5),
        (Unusable, "redirect", 1.5),
        (ObjectRefused, "bad_request", 1.5),
        (KeyRefused, "unauthorized", 60),
        (KeyRefused, "forbidden", 60),
        (Throttled, "rate_limited", 3.5),
    ],
)
def test_a_failing_list_keeps_the_catalogue(
    kind: type[FetchError], reason: str, wait: float, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged once, counted each time, retried later, and its end is logged.

    A 401 pauses all requests of the key.
    """
    caplog.set_level(logging.INFO)
    world = DiscoveryWorld("A", include_drafts=True)
    world.run(seconds=3700)
    failed = failure(kind, reason, status=500)
    world.api.failures = [failed] * 2
    caplog.clear()

    world.clock.advance(world.step())
    assert 0 < world.step() <= wait * 1.01
    assert world.finder.failure is failed
    assert world.session
    assert world.session.is_paused_for(object()) is (reason == "unauthorized")
    world.run(seconds=4000)

    assert world.names() == {"A"}
    assert world.metric(FAILURES, reason=reason) == 2
    assert messages(caplog).count("discovery.failed") == 1
    assert messages(caplog).count("discovery.recovered") == 1
    assert world.finder.failure is None


def test_unchanged_details_are_not_published() -> None:
    """They are read daily; only a changed selection is published."""
    world = DiscoveryWorld("A", "B", sent_within="30d")
    for details in world.api.details.values():
        details["last_sent"] = "2025-06-15"
    world.run(seconds=3600)
    world.api.details["a"]["last_sent"] = "2025-06-16"
    world.api.details["b"]["last_sent"] = "2025-01-01"

    world.run(seconds=86400)

    requests = world.api.new_requests()
    assert world.names() == {"A"}
    assert [requests.count(each) for each in "ab"] == [2, 2]
    # Each list, two campaigns that were found, and one that was removed.
    assert world.changes == requests.count("page 0") + 3


@pytest.mark.parametrize("state", ["draft", "archived", "enabled"])
def test_canvases_that_are_not_active_are_left_out_or_dormant(state: str) -> None:
    """A listed or included one is polled, and expected to be idle."""
    listed = [{"id": "a", "name": "Mine"}]
    where = workspace(listed, kind=CANVAS, labels={"by": "channels"})
    world = DiscoveryWorld("A", "B", "C", kind=CANVAS, where=where)
    for id_ in "ab":
        world.api.details[id_][state] = state != "enabled"
    world.run(seconds=60)

    dormant = {one.name: one.is_dormant for one in found_by(world)}
    assert dormant == {"Mine": True, "C": False}

    option = {"draft": "drafts", "archived": "archived", "enabled": "stopped"}[state]
    included = {f"include_{option}": True}
    world.workspace = workspace(listed, kind=CANVAS, **included)
    world.finder.reconfigure(world.workspace)
    world.run(seconds=60)
    dormant = {one.name: one.is_dormant for one in found_by(world)}
    assert dormant == {"Mine": True, "B": True, "C": False}


def test_a_discovered_canvas_has_the_defaults_of_its_workspace() -> None:
    document = polling_world.workspace("", canvas_interval="7m", canvas_steps=True)
    document["discover"] = {"canvases": {}}
    (where,) = polling_world.config(document).workspaces
    world = DiscoveryWorld("A", kind=CANVAS, where=where)
    world.run(seconds=60)

    (one,) = found_by(world)
    assert (one.interval_seconds, one.has_steps) == (420, True)


def found_by(world: DiscoveryWorld) -> tuple[ObjectConfig, ...]:
    return world.finder.objects_of(world.workspace)


def test_a_refused_key_is_probed_ever_more_rarely(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """After 1, 2, 4, ... minutes, at most 15; one line has reason and endpoint."""
    world = DiscoveryWorld("A")
    world.api.failures = [FORBIDDEN] * 9

    waits = []
    for _ in range(6):
        waits.append(round(world.step()))
        world.clock.advance(waits[-1] + 1)

    assert waits == [60, 120, 240, 480, 900, 900]
    (line,) = [one for one in caplog.records if one.message == "discovery.failed"]
    facts = vars(line)["fields"]
    assert (facts["reason"], facts["status"]) == ("forbidden", 403)
    assert facts["endpoint"].endswith("/campaigns/list")


def test_a_refused_key_is_probed_no_earlier_than_retry_after() -> None:
    world = DiscoveryWorld("A")
    world.api.failures = [
        failure(KeyRefused, "forbidden", status=403, retry_after=600.0)
    ]

    assert world.step() == 600


def test_a_page_is_retried_and_after_five_failures_the_whole_list() -> None:
    names = [f"N{n}" for n in range(FULL_PAGE + 1)]
    world = DiscoveryWorld(*names, include_drafts=True)
    world.api.failures = [None, *[DOWN] * 5]

    world.run(seconds=3000)

    pages = ["page 0", *["page 1"] * 5, "page 0", "page 1"]
    assert world.api.new_requests() == pages


def test_a_repeated_page_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The first page succeeds again and again, but the delays grow."""
    world = DiscoveryWorld("A", include_drafts=True)
    world.run(seconds=60)
    world.api.objects = [{"id": f"{n % FULL_PAGE}"} for n in range(150)]

    world.run(seconds=2 * 3600)

    assert world.names() == {"A"}
    assert messages(caplog) == ["discovery.failed"]
    assert 5 < (world.metric(FAILURES, reason="malformed") or 0) < 15
    assert world.finder.failure is not None
    assert world.finder.failure.reason is FailureReason.MALFORMED


@pytest.mark.parametrize(
    "refusal",
    [
        failure(ObjectRefused, "bad_request", status=400),
        failure(Unusable, "too_large", status=200),
    ],
)
def test_a_campaign_without_details_is_skipped(
    refusal: FetchError, caplog: pytest.LogCaptureFixture
) -> None:
    """Details are requested again a day later; known ones stay meanwhile."""
    world = DiscoveryWorld("A", "B")
    world.api.failures = [None, refusal]

    world.run(seconds=60)

    assert world.names() == {"B"}
    assert world.finder.is_settled
    (line,) = [one for one in caplog.records if one.message == "discovery.passed_over"]
    assert vars(line)["fields"]["campaign"] == "A"
    world.api.details["b"] = {"message": "no"}
    world.run(seconds=86400)
    assert world.names() == {"A", "B"}
    assert world.metric(FAILURES, reason="malformed") == 1


def test_log_lines_of_skipped_campaigns_are_limited(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Ten a minute, and then how many were suppressed."""
    world = DiscoveryWorld(*(f"N{n}" for n in range(99)), requests_per_minute=60)
    world.api.failures = [None, *[NOT_FOUND] * 99]

    world.run(seconds=120)

    lines = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert len(lines) == 20
    assert "suppressed" in vars(lines[10])["fields"]


def test_other_options_change_the_selection_at_once() -> None:
    """The list is read again only if it lacks archived campaigns."""
    world = DiscoveryWorld("A", "B", include_drafts=True)
    world.run(seconds=60)
    world.api.new_requests()

    changes: list[tuple[dict[str, Any], set[str], list[str]]] = [
        ({"names": {"include": ["B"]}}, {"B"}, []),
        ({"include_archived": True}, {"A", "B"}, ["page 0"]),
    ]
    for options, names, requests in changes:
        world.workspace = workspace(include_drafts=True, **options)
        world.finder.reconfigure(world.workspace)
        assert world.names() == names
        world.run(seconds=10)
        assert world.api.new_requests() == requests
        assert world.metric("discovered_campaigns") == len(names)


@pytest.mark.parametrize("state", ["no session", "key paused", "request in flight"])
def test_a_blocked_request_is_tried_again_in_a_second(state: str) -> None:
    world = DiscoveryWorld("A")
    assert world.session
    if state == "no session":
        world.session = None
    elif state == "key paused":
        world.session.pause_key(object(), probe_at=NOW + 60)
    else:
        world.session.spend(SHARED, now=NOW)

    assert world.step() == 1
    assert world.api.requested == []
    assert world.finder.view().rate_limit is None or world.session


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("hours", [1, 6, 12, 23, 24, 36, 48])
@pytest.mark.parametrize("rate", [120, 0.5])
def test_a_daily_campaign_is_found_after_each_send(
    hours: int, rate: float, *, restarts: bool
) -> None:
    """Within a quarter of `sent_within`, and it leaves as late; `once` leaves too.

    At a low ceiling and after restarts too.
    """
    options: dict[str, Any] = {
        "sent_within": f"{hours}h",
        "requests_per_minute": rate,
        "list_interval": "7d",
    }
    world = DiscoveryWorld("Daily", "Once", "Never", **options)
    start, window = world.clock.time, hours * 3600.0
    slack = window / 4 + 1200
    seen = set()
    for tick in range(5 * 24 * 12):
        now = world.clock.time
        sent_at = start + 7000 + DAY * ((now - start - 7000) // DAY)
        sends = {"daily": sent_at, "once": start - 60}
        for name, at in sends.items():
            world.api.details[name]["last_sent"] = str(datetime.fromtimestamp(at, UTC))
        world.run(seconds=300)
        found = world.names()
        assert "Never" not in found
        for name, at in (("Daily", sent_at), ("Once", start - 60)):
            age = now - at
            if slack < age < window - 300 and now - start > slack:
                assert name in found
            if age > window + slack and window < DAY:
                assert name not in found
        if "Daily" in found:
            seen.add((now - start) // DAY)
        if restarts and tick % 100 == 99:
            world = DiscoveryWorld(previous=world, **options)
    assert seen == {0, 1, 2, 3, 4}


def test_a_ceiling_too_low_for_sent_within_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    names = [f"C{n}" for n in range(20)]
    world = DiscoveryWorld(*names, sent_within="1h", requests_per_minute=0.5)

    world.run(seconds=7 * DAY)

    assert messages(caplog).count("discovery.extended") == 1
    fields = next(
        one.__dict__["fields"]
        for one in caplog.records
        if one.getMessage() == "discovery.extended"
    )
    assert fields["in_force_seconds"] == 3 * 20 * 120
    assert world.metric("discovery_last_success_timestamp_seconds", workspace="shop")


@pytest.mark.parametrize("was_ahead", [40, -40])
def test_setting_the_clock_selects_again_without_a_request(was_ahead: int) -> None:
    """Details that were read before are compared with the corrected clock."""
    world = DiscoveryWorld("New", "Old", sent_within="30d", list_interval="7d")
    right = world.clock.time - was_ahead * DAY
    for name, age in (("new", 3600), ("old", 69 * DAY)):
        sent = str(datetime.fromtimestamp(right - age, UTC))
        world.api.details[name]["last_sent"] = sent
    world.run(seconds=60)
    assert world.names() == (set() if was_ahead > 0 else {"New", "Old"})
    world.api.new_requests()

    world.clock.set_wall(seconds=-was_ahead * DAY)
    world.finder.after_clock_set()
    before = world.changes
    world.step()

    assert world.names() == {"New"}
    assert world.changes == before + 1
    assert world.api.requested == []


@pytest.mark.parametrize("campaigns", [1, 100])
def test_a_page_of_the_previous_parameters_is_dropped(campaigns: int) -> None:
    """The list is read from its first page, and no campaign counts as missing."""
    names = [f"C{n}" for n in range(campaigns)]
    world = DiscoveryWorld(*names, grace="0s", include_archived=True)
    world.run(seconds=600)
    found = world.names()
    world.clock.advance(3600)
    whole = world.api.objects
    world.api.new_requests()
    world.api.objects = whole[1:]
    world.api.during = lambda: world.finder.reconfigure(workspace(grace="0s"))
    world.step()
    world.api.objects, world.api.during = whole, lambda: None

    assert world.names() == found
    assert world.finder.catalogue.reading is None
    world.run(seconds=60)
    pages = ["page 0", "page 0"] + ["page 1"] * (campaigns == 100)
    assert world.api.requested == pages
    assert world.names() == found


def test_steps_do_not_overlap() -> None:
    """A step of another thread returns None meanwhile."""
    world = DiscoveryWorld("A")
    steps: list[float | None] = []
    world.api.during = lambda: steps.append(world.finder.step())

    world.step()

    assert steps == [None]


def test_an_aborted_request_is_no_failure() -> None:
    """When the exporter stops, its requests end with an error."""
    world = DiscoveryWorld("A")
    world.api.failures = [DOWN]
    world.api.during = world.finder.stop

    world.step()

    assert world.finder.failure is None
    assert world.metric(FAILURES, reason="server_error") == 0


def test_a_restored_catalogue_is_shown_before_the_list_is_read() -> None:
    """Number, limit and the time of the last list; nothing is requested again."""
    world = DiscoveryWorld("A", "B", "C", max=2)
    world.run(seconds=60)

    again = DiscoveryWorld(where=world.workspace, known=world.finder.catalogue)

    assert again.names() == {"A", "B"}
    assert again.metric("discovered_campaigns") == 2
    assert again.metric("discovery_limited") == 1
    assert again.metric(SUCCESS) == world.finder.catalogue.listed_at
    assert again.changes == 0
    again.run(seconds=60)
    assert again.api.requested == []


def test_the_view_has_wall_clock_times() -> None:
    """The result and its time; after a failure its reason and the next request."""
    world = DiscoveryWorld("A", "B")
    first = world.finder.view()
    world.run(seconds=60)
    found = world.finder.view()
    world.api.failures = [FORBIDDEN] * 9
    world.clock.advance(3600)
    world.step()
    failing = world.finder.view()

    assert (first.found, first.listed_at, first.rate_limit) == (0, None, None)
    assert (found.found, found.failure, found.next_at) == (2, None, None)
    assert NOW <= (found.listed_at or 0) < NOW + 60
    assert found.rate_limit is not None
    assert found.rate_limit.endpoint == "campaigns/list and campaigns/details"
    assert (failing.found, failing.message) == (2, str(FORBIDDEN))
    assert failing.failure is FailureReason.FORBIDDEN
    assert failing.next_at == world.clock.time + 60


def test_a_workspace_without_discovery_has_its_listed_campaigns_only() -> None:
    plain = replace(workspace([{"id": "b", "name": "B"}]), discover=None)
    world = DiscoveryWorld("A")
    world.run(seconds=60)

    with pytest.raises(
        ValueError, match="discovery of campaigns is configured in shop"
    ):
        DiscoveryWorld(where=plain)
    assert world.finder.objects_of(plain) == plain.campaigns
