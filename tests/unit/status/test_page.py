"""The status page and its JSON, of a daemon with a simulated Braze."""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from time import thread_time
from typing import Any

import pytest
from exporter.braze.rate_limit import Bucket
from exporter.model.errors import FailureReason
from exporter.polling.sharding import Shard
from exporter.simulator import ALL_PERMISSIONS, Fault, Simulator, SimulatorSettings
from exporter.status import texts
from exporter.status.page import OverviewRenderer, StatusPage, _rate_limits
from exporter.status.view_model import Overview
from exporter.web.settings import WebSettings

from tests.support.daemon_process import (
    PATIENCE_SECONDS,
    Running,
    daemon,
    until,
)
from tests.support.polling_world import PollingWorld, config, workspace
from tests.support.views import (
    CANVASES,
    DISCOVERY,
    NOW,
    RATE_LIMIT,
    campaign,
    canvas,
    canvas_snapshot,
    queue,
    row,
    series,
    snapshot,
    status_page,
    workspace_view,
)

SETTINGS = WebSettings((), "/m", "", "/x")


def document(running: Running, query: str = "") -> Any:
    return json.loads(running.get(f"/api/v1/status{query}")[1])


def html(page: StatusPage, query: str = "") -> str:
    with page.snapshot() as snapshot:
        return "".join(snapshot.page(query, SETTINGS))


def test_json_has_the_values_of_the_metrics() -> None:
    with Simulator() as braze, daemon(braze, interval="1h") as running:
        until(lambda: document(running)["ready"])
        found = document(running)
        scrape = running.scrape()

    assert found["campaigns_total"] == len(found["campaigns"]) == len(braze.campaigns)
    for one in found["campaigns"]:
        labels = {"workspace": "production", "campaign": one["campaign"]}.items()
        starts_at = scrape["braze_campaign_daily_timestamp_seconds"][frozenset(labels)]
        sent = [
            number
            for series, number in scrape["braze_campaign_daily"].items()
            if labels <= set(series) and ("metric", "sent") in series
        ]
        assert (one["state"], one["up"]) == ("ok", True)
        assert one["day"]["starts_at"] == starts_at
        assert one["day"]["sent"] == (sum(sent) if sent else None)
        assert one["last_success_at"] < found["at"] < one["next_poll_at"]


def test_pause_is_shown_with_reason_and_next_probe() -> None:
    with Simulator() as braze, daemon(braze, key="wrong-key-of-36-characters") as one:
        until(lambda: document(one)["workspaces"][0]["state"] == "paused")
        found = document(one)
        page = one.get("/")[1]

    (workspace,) = found["workspaces"]
    assert workspace["pause"]["reason"] == "unauthorized"
    assert workspace["pause"]["next_probe_at"] > found["at"]
    assert workspace["campaigns"]["paused"] == len(braze.campaigns)
    assert "Paused: Braze rejects the API key (401)." in page
    assert "after the pause" in page
    assert "wrong-key" not in page + json.dumps(found)


def test_error_message_of_braze_is_masked_and_escaped() -> None:
    with Simulator() as braze, daemon(braze) as running:
        body = json.dumps({"message": f"<i>{braze.api_key}"}).encode()
        fault = Fault(status=400, body=body)
        braze.set_fault(fault, campaign_id=braze.campaigns[0].id)
        (failing,) = until(
            lambda: [one for one in document(running)["campaigns"] if one["last_error"]]
        )
        page = running.get("/?state=failing")[1]

    assert failing["campaign_id"] == braze.campaigns[0].id
    assert failing["last_error"]["reason"] == "bad_request"
    assert failing["last_error"]["explanation"].startswith("Braze rejects the request")
    assert "Braze rejects the request" in page
    assert "HTTP 400" in failing["last_error"]["message"]
    assert braze.api_key not in json.dumps(failing) + page
    assert "&lt;i&gt;&lt;key&gt;" in page
    assert "<i>" not in page


def test_page_and_json_select_the_same_campaigns() -> None:
    with Simulator() as braze, daemon(braze, interval="1h") as running:
        until(lambda: document(running)["ready"])
        query = "?q=email&sort=sent&order=reversed&size=250"
        found = document(running, query)
        page = running.get(f"/{query}")[1]

    ids = re.findall(r'class="name" dir="auto" title="([^"]+)"', page)
    sent = [one["day"]["sent"] for one in found["campaigns"]]
    assert ids == [one["campaign_id"] for one in found["campaigns"]]
    assert sent == sorted(sent)
    assert 1 < found["campaigns_found"] == len(ids) < found["campaigns_total"]


def test_a_campaign_that_should_have_been_polled_is_explained() -> None:
    overdue = campaign(is_up=None, age=None, is_overdue=True)
    overview = Overview(NOW, (workspace_view(overdue),), (overdue,))
    renderer = OverviewRenderer(
        overview, status_page()._template, is_ready=False, version="1"
    )

    text = "".join(renderer.page("", SETTINGS))

    assert f'<span class="error">{texts.NEVER_POLLED}</span>' in text


def test_page_without_workspaces() -> None:
    page = status_page()

    with page.snapshot() as snapshot:
        text = "".join(snapshot.document(""))
    assert "No campaigns yet" in html(page)
    assert "No workspaces are configured." in html(page)
    assert json.loads(text)["campaigns"] == []


def test_page_shows_one_configuration_during_a_reload() -> None:
    """A workspace and its campaigns are renamed: both names are new, or neither."""
    world = PollingWorld()
    page = replace(
        status_page(),
        entries=world.store.entries,
        groups=world.workspaces.groups,
        unchanged=world.workspaces.unchanged,
    )

    def shown() -> Any:
        with page.snapshot() as snapshot:
            document = json.loads("".join(snapshot.document("")))
        campaigns = {
            (one["workspace"], one["campaign_id"]) for one in document["campaigns"]
        }
        return {one["workspace"] for one in document["workspaces"]}, campaigns

    world.apply(config(workspace("a")))
    before = shown()
    with ThreadPoolExecutor(1) as pool:
        during: list[Future[Any]] = []

        def show() -> None:
            during.append(pool.submit(shown))
            wait(during, timeout=0.5)  # until it is shown, if nothing delays it

        world.scheduler.open = lambda *_, **__: show()  # type: ignore[method-assign]  # called in the middle
        world.apply(config(workspace("b", name="other")))
        (found,) = (one.result(PATIENCE_SECONDS) for one in during)

    assert found in (before, shown())
    assert before != shown()


def test_shard_is_shown_if_configured() -> None:
    assert '<p class="shard">' not in html(status_page())
    assert '<p class="shard">Shard 0 of 2' in html(status_page(shard=Shard(0, 2)))


@pytest.mark.parametrize("change", [gc.enable, gc.disable])
def test_garbage_collection_is_off_during_a_snapshot(
    change: Callable[[], None],
) -> None:
    change()
    was_enabled = gc.isenabled()
    with suppress(ZeroDivisionError), status_page().snapshot():
        is_enabled = gc.isenabled()
        raise ZeroDivisionError
    is_restored = gc.isenabled() is was_enabled
    gc.enable()

    assert not is_enabled
    assert is_restored


def test_page_of_ten_thousand_campaigns() -> None:
    """CPU time is linear in the number of campaigns: 0.3 s, quadratic: minutes."""
    days = snapshot(*(row(age, sent=5000 + age, bounces=9) for age in range(28)))
    campaigns = tuple(campaign(f"C {number}", days=days) for number in range(10_000))
    overview = Overview(NOW, (workspace_view(*campaigns),), campaigns)
    renderer = OverviewRenderer(
        overview, status_page()._template, is_ready=True, version="1"
    )

    began_at = thread_time()
    text = "".join(renderer.page("q=c&sort=sent", SETTINGS))
    seconds = thread_time() - began_at

    assert "1 to 50 of 10,000 campaigns" in text
    assert seconds < 30


@pytest.mark.parametrize(
    ("used", "endpoints"),
    [
        ("", []),
        ("a", ["campaigns/data_series"]),
        ("ad", ["campaigns/data_series", "list"]),
        ("ac", ["campaigns/data_series", "canvas/data_series"]),
        ("acd", ["campaigns/data_series", "canvas/data_series, list"]),
        ("cd", ["canvas/data_series, list"]),
        ("cde", ["canvas/data_series, list, other list"]),
    ],
)
def test_each_rate_limit_is_listed_once(used: str, endpoints: list[str]) -> None:
    """Those of campaigns, canvases and two discoveries; all but the first share one."""
    unused, in_use = queue(), Bucket(in_flight=1)
    groups = workspace_view(canvases=CANVASES).groups
    pairs = [
        (
            group,
            unused._replace(
                endpoint=group.kind.path,
                budget=unused.budget._replace(
                    bucket=in_use if name in used else Bucket()
                ),
            ),
        )
        for name, group in zip("ac", groups, strict=True)
    ]
    discoveries = [
        replace(
            DISCOVERY,
            rate_limit=replace(RATE_LIMIT, endpoint=paths) if name in used else None,
        )
        for name, paths in (("d", "list"), ("e", "other list"))
    ]

    limits = _rate_limits(pairs, discoveries, now=NOW, wall_offset=0.0)

    assert [one.endpoint for one in limits] == endpoints


def test_canvases_are_listed_beside_campaigns() -> None:
    """A campaign and a canvas with the same name; each can be selected."""
    objects = (
        campaign("Sale", days=snapshot(row(sent=5))),
        canvas("Sale", days=canvas_snapshot({"sent": 9}, {"sent": 7})),
    )
    overview = Overview(NOW, (workspace_view(*objects, canvases=CANVASES),), objects)
    renderer = OverviewRenderer(
        overview, status_page()._template, is_ready=True, version="1"
    )

    both, only = (
        "".join(renderer.page(query, SETTINGS)) for query in ("", "kind=canvas")
    )
    found = json.loads("".join(renderer.document("kind=canvas")))

    assert "1 to 2 of 2 campaigns and canvases" in both
    assert "Campaign · email" in both
    assert "Canvas · email" in both
    assert "2 campaigns every 5 min" in both
    assert "1 canvas every 15 min" in both
    assert "1 to 1 of 1 canvas. <a" in only
    assert "Campaign · email" not in only
    assert (found["campaigns"], found["canvases"][0]["day"]["sent"]) == ([], 9)
    assert found["canvases"][0]["history"]["sent"][-2:] == [7, 9]
    assert (found["campaigns_total"], found["canvases_total"]) == (1, 1)
    assert (found["campaigns_found"], found["canvases_found"]) == (0, 1)


def test_series_are_rows_with_their_values() -> None:
    """In place of the figures of messages; alone they have their own column."""
    objects = (
        campaign("Sale", days=snapshot(row(sent=5))),
        series("segment", ("segment_size", {}, 2800), name="segment <VIP>"),
        series("mau", failure=FailureReason.FORBIDDEN, age=None),
    )
    some = {"kpi": ["mau"], "segments": [{"id": CANVASES[0]["id"], "name": "<VIP>"}]}
    overview = Overview(NOW, (workspace_view(*objects, series=some),), objects)
    renderer = OverviewRenderer(
        overview, status_page()._template, is_ready=True, version="1"
    )

    both, only, failing = (
        "".join(renderer.page(query, SETTINGS))
        for query in ("", "kind=series&sort=sent", "q=segment&state=ok")
    )
    value = '<td role="cell" colspan="4" class="value" data-name="Value">'

    assert "1 to 3 of 3 campaigns and series" in both
    assert f"{value}2,800 users</td>" in both
    assert f'{value}<span class="none" title="No data from Braze">' in both
    assert "the permission kpi.mau.data_series and" in both
    assert "segment &lt;VIP&gt;" in both
    assert 'colspan="4">Value</th>' not in both
    assert "2 series every 15 min" in both
    assert 'colspan="4">Value</th>' in only
    assert "1 to 2 of 2 series. <a" in only
    assert "1 to 1 of 1 campaign or series. <a" in failing


def test_a_missing_permission_for_canvases_leaves_campaigns_alone() -> None:
    settings = SimulatorSettings(permissions=ALL_PERMISSIONS - {"canvas.data_series"})
    with Simulator(settings) as braze:
        canvases = [{"id": one.id, "name": one.name} for one in braze.canvases]
        with daemon(braze, canvases=canvases, interval="1h") as one:
            until(lambda: document(one)["workspaces"][0]["canvas_state"] == "paused")
            until(lambda: document(one)["workspaces"][0]["campaigns"]["waiting"] == 0)
            found = document(one)
            page = one.get("/")[1]

    (workspace,) = found["workspaces"]
    assert (workspace["state"], workspace["pause"]) == ("polling", None)
    assert workspace["campaigns"]["ok"] == len(braze.campaigns)
    assert workspace["canvases"]["paused"] == len(braze.canvases)
    assert "permission canvas.data_series" in workspace["canvas_pause"]["message"]
    assert "Canvases are paused: The API key lacks a permission" in page
    assert page.count("is polled as a probe") == 1
