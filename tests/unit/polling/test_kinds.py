"""Campaigns and canvases in one workspace: one key, one account, separate pauses."""

from __future__ import annotations

import gc
import logging
import weakref

import pytest
from exporter.model.errors import KeyRefused, ObjectRefused
from exporter.polling.kinds import CAMPAIGN, CANVAS, MESSAGING, Kind

from tests.support.fake_clock import NOW
from tests.support.object_keys import key
from tests.support.polling_world import (
    EMPTY_DOCUMENT,
    WRONG_KEY,
    PollingWorld,
    config,
    failure,
    with_canvases,
    workspace,
)

FORBIDDEN = failure(KeyRefused, "forbidden", status=403)
NOT_FOUND = failure(ObjectRefused, "not_found", status=404)
WORKSPACE = config(workspace("abc"))
BOTH = with_canvases(WORKSPACE, "abc")
PAUSED = {CAMPAIGN: "workspace_paused", CANVAS: "canvases_paused"}
GAUGES = (
    *("canvases_paused", "canvas_planned_requests_per_minute"),
    *("canvas_interval_seconds", "canvas_interval_stretch"),
)


def respond(world: PollingWorld, kind: Kind, response: object) -> None:
    if kind is CAMPAIGN:
        world.braze.responses = [response]
    else:
        world.braze.canvas_responses = [response]


def up(world: PollingWorld, kind: Kind) -> set[bool]:
    """Return the values of `up` that the objects of a kind have on the page."""
    begin = f'braze_{kind.name}_up{{workspace="shop"'
    lines = (line for line in world.page().splitlines() if line.startswith(begin))
    return {line.endswith(" 1") for line in lines}


def paths(world: PollingWorld) -> set[str]:
    """Return the kinds of the requests since the last call."""
    found = {
        "canvas" if "canvas_id" in one else "campaign" for one in world.braze.requests
    }
    world.braze.requests.clear()
    return found


def other_than(kind: Kind) -> Kind:
    (other,) = (one for one in MESSAGING if one is not kind)
    return other


def test_a_campaign_and_a_canvas_with_one_id_are_two_objects() -> None:
    world = PollingWorld()
    world.braze.canvas_responses = [NOT_FOUND]

    world.apply(with_canvases(config(workspace("a")), "a"))
    world.run(until=NOW + 30)

    page = world.page()
    assert (
        'braze_campaign_info{workspace="shop",campaign="Campaign a",campaign_id="a"'
        in page
    )
    assert 'braze_canvas_info{workspace="shop",canvas="Canvas a",canvas_id="a"' in page
    assert set(world.scheduler.polls) == {key("a"), key("a", kind="canvas")}
    assert (up(world, CAMPAIGN), up(world, CANVAS)) == ({True}, {False})
    assert world.entry("a").status.interval_seconds == 300
    assert world.entry("a", kind=CANVAS).status.interval_seconds > 900


@pytest.mark.parametrize("kind", MESSAGING)
def test_a_missing_permission_pauses_one_kind(
    kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="exporter")
    world, other = PollingWorld(), other_than(kind)
    respond(world, kind, FORBIDDEN)
    world.apply(BOTH)
    world.run(until=NOW + 40)
    assert (up(world, kind), up(world, other)) == ({False}, {True})
    assert world.metric(PAUSED[kind], reason="forbidden") == 1
    assert world.metric(PAUSED[other], reason="forbidden") == 0
    (fields,) = (
        vars(one)["fields"]
        for one in caplog.records
        if one.getMessage() == "workspace.paused"
    )
    assert (fields["kind"], fields["reason"]) == (kind.name, "forbidden")
    world.braze.requests.clear()

    world.run(until=NOW + 4000)
    probes = [one for one in world.braze.requests if f"{kind.name}_id" in one]
    assert 1 <= len(probes) <= 8
    rounds = 4000 // other.interval_seconds(BOTH.workspaces[0])
    assert len(world.braze.requests) - len(probes) >= 3 * (rounds - 1)

    respond(world, kind, EMPTY_DOCUMENT)
    world.run(until=NOW + 10_000)
    assert world.metric(PAUSED[kind], reason="forbidden") == 0
    assert up(world, kind) == up(world, other) == {True}


@pytest.mark.parametrize("kind", MESSAGING)
def test_a_refused_key_pauses_both_kinds(
    kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    """One of them probes; a response to it resumes both."""
    caplog.set_level(logging.INFO, logger="exporter")
    world, other = PollingWorld(), other_than(kind)
    world.apply(BOTH)
    world.run(until=NOW + 40)
    respond(world, kind, WRONG_KEY)
    world.run(until=NOW + 1000)
    assert up(world, kind) == up(world, other) == {False}
    for each in MESSAGING:
        assert world.metric(PAUSED[each], reason="unauthorized") == 1
    paused = [
        vars(one)["fields"]["kind"]
        for one in caplog.records
        if one.getMessage() == "workspace.paused"
    ]
    assert sorted(paused) == ["campaign", "canvas"]
    paths(world)

    world.run(until=NOW + 8000)
    assert paths(world) == {kind.name}

    respond(world, kind, EMPTY_DOCUMENT)
    world.run(until=NOW + 16_000)
    assert paths(world) == {"campaign", "canvas"}
    assert up(world, kind) == up(world, other) == {True}
    for each in MESSAGING:
        assert world.metric(PAUSED[each], reason="unauthorized") == 0
    assert caplog.messages.count("workspace.resumed") == 2


@pytest.mark.parametrize("is_polled", [False, True])
def test_canvases_that_leave_by_a_reload_leave_nothing(*, is_polled: bool) -> None:
    """Not even if a poll of one ends later. The campaigns are not touched."""
    world = PollingWorld()
    world.apply(BOTH)
    world.run(until=NOW + 40)
    campaigns = [one for one in world.store.entries() if one.key.kind == "campaign"]
    polls = {one: world.scheduler.polls[one] for one in map(key, "abc")}
    assert all(f"{name}{{" in world.page() for name in GAUGES)
    queue = weakref.ref(world.group(CANVAS).queue)

    if is_polled:
        world.braze.during = lambda: world.apply(WORKSPACE)
        # Its traceback refers to the queue.
        forbidden = failure(KeyRefused, "forbidden", status=403)
        world.poll(forbidden, poll=world.scheduler.polls[key("a", kind="canvas")])
        del forbidden
    else:
        world.apply(WORKSPACE)

    page = world.page()
    assert "braze_canvas_" not in page
    assert not any(f"{name}{{" in page for name in GAUGES)
    assert world.metric("interval_seconds") == 300
    assert list(world.store.entries()) == campaigns
    assert world.scheduler.polls == polls

    world.braze.canvas_responses = [EMPTY_DOCUMENT]
    gc.collect()
    assert queue() is None
    world.apply(BOTH)
    world.run(until=world.clock.time + 40)
    assert up(world, CANVAS) == {True}


def test_one_canvas_that_leaves_costs_only_itself() -> None:
    world = PollingWorld()
    world.apply(BOTH)
    world.run(until=NOW + 40)

    world.apply(with_canvases(WORKSPACE, "ac"))

    canvases = {one.key for one in world.store.entries() if one.key.kind == "canvas"}
    assert canvases == {key(one, kind="canvas") for one in "ac"}
    assert key("b", kind="canvas") not in world.scheduler.polls
    assert key("b") in world.scheduler.polls
