"""The status page and its JSON, of the real daemon beside a simulated Braze."""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Callable, Iterable, Mapping
from time import thread_time
from typing import Any

import pytest
from exporter.braze.rate_limit import Budget
from exporter.braze.responses import BrazeResponse
from exporter.metrics.campaign_metrics import ObjectLabels, PollStatus, RenderedObject
from exporter.metrics.store import Entry
from exporter.polling.idle import IdleSchedule
from exporter.polling.plan import plan
from exporter.polling.poller import Workspace
from exporter.polling.request_queue import RequestQueue
from exporter.polling.sharding import Shard
from exporter.simulator import Fault, Simulator
from exporter.status.page import StatusPage
from exporter.web.routes import Links, StatusSource

from tests.support.daemon_process import (
    DaemonThread,
    Running,
    configuration,
    daemon,
    parsed,
    until,
)
from tests.support.views import NOW, configured, row, snapshot

LINKS = Links("/x/", "/x/m", "/x/j", "/x/c", "/x/h", "/x/r")


def document(running: Running, query: str = "") -> Any:
    """Return the JSON."""
    status, text = running.get(f"/api/v1/status{query}")
    assert status == 200
    return json.loads(text)


def all_polled(running: Running) -> Any:
    """Return the JSON once every campaign was polled."""

    def found() -> Any:
        seen = document(running)
        is_done = seen["ready"] and seen["campaigns"]
        return seen if is_done else None

    return until(found)


def empty(entries: Iterable[Entry] = ()) -> StatusSource:
    """Return the pages of no workspace."""
    return StatusPage(
        entries=lambda: tuple(entries),
        desks={},
        discoveries=dict,
        planned=dict,
        now=lambda: 1.5,
        clock_set_by=lambda: 0.0,
        is_ready=lambda: True,
        version="1",
    )


def test_the_json_says_what_the_metrics_say() -> None:
    """State, day and age of every campaign are the ones that are scraped."""
    with Simulator() as braze, daemon(braze, interval="1h") as running:
        seen = all_polled(running)
        scrape = running.scrape()

    assert seen["campaigns_total"] == len(seen["campaigns"]) == len(braze.campaigns)
    for one in seen["campaigns"]:
        labels = {"workspace": "production", "campaign": one["campaign"]}

        def value(name: str, labels: Mapping[str, str] = labels) -> float:
            return scrape[f"braze_campaign_{name}"][frozenset(labels.items())]

        sent = [
            number
            for found, number in scrape["braze_campaign_daily"].items()
            if labels.items() <= set(found) and ("metric", "sent") in found
        ]
        assert one["state"] == "ok"
        assert one["up"] is True
        assert one["interval_seconds"] == value("interval_seconds")
        assert one["day"]["starts_at"] == value("daily_timestamp_seconds")
        assert one["day"]["sent"] == (sum(sent) if sent else None)
        assert one["last_success_at"] == pytest.approx(
            value("last_success_timestamp_seconds"), abs=0.001
        )
        assert one["next_poll_at"] > seen["at"]
        if sent:
            assert len(one["history"]["sent"]) == 28
            assert one["history"]["sent"][-1] == one["day"]["sent"]


def test_a_pause_is_told_with_its_reason() -> None:
    """And when the next probe comes; the campaigns are paused with it."""
    with Simulator() as braze, daemon(braze, key="wrong-key-of-36-characters") as one:
        until(lambda: document(one)["workspaces"][0]["state"] == "paused")
        seen = document(one)
        page = one.get("/")[1]

    (workspace,) = seen["workspaces"]
    assert workspace["pause"]["reason"] == "unauthorized"
    assert workspace["pause"]["next_probe_at"] > seen["at"]
    assert workspace["campaigns"]["paused"] == len(braze.campaigns)
    assert "Paused: Braze does not accept the key from environment variable" in page
    assert "after the pause" in page
    assert "wrong-key" not in page + json.dumps(seen)


def test_an_error_is_told_without_the_key() -> None:
    """Though Braze repeats it, in words of ours first."""
    with Simulator() as braze, daemon(braze) as running:
        body = json.dumps({"message": f"<i>{braze.api_key}"}).encode()
        fault = Fault(status=400, body=body)
        braze.set_fault(fault, campaign_id=braze.campaigns[0].id)
        seen = until(
            lambda: [one for one in document(running)["campaigns"] if one["last_error"]]
        )
        page = running.get("/?state=failing")[1]

    assert seen[0]["campaign_id"] == braze.campaigns[0].id
    assert seen[0]["last_error"]["reason"] == "bad_request"
    assert seen[0]["last_error"]["explanation"].startswith("Braze refuses the request.")
    assert "HTTP 400" in seen[0]["last_error"]["message"]
    assert braze.api_key not in json.dumps(seen) + page
    assert "Braze refuses the request." in page
    assert "Braze says: &lt;i&gt;&lt;key&gt;" in page
    assert "<i>" not in page


def test_a_query_chooses_and_sorts_both() -> None:
    """The page and the JSON show the same campaigns in the same order."""
    with Simulator() as braze, daemon(braze, interval="1h") as running:
        all_polled(running)
        query = "?q=email&sort=sent&order=reversed&size=250"
        seen = document(running, query)
        page = running.get(f"/{query}")[1]

    named = re.findall(r'class="name" dir="auto" title="([^"]+)"', page)
    sent = [one["day"]["sent"] for one in seen["campaigns"]]
    assert named == [one["campaign_id"] for one in seen["campaigns"]]
    assert sent == sorted(sent)
    assert 1 < seen["campaigns_found"] == len(named) < seen["campaigns_total"]


def test_links_have_the_prefix() -> None:
    """Sorting, tiles and the form stay below it."""
    with Simulator() as braze:
        parsed_ = parsed(configuration(braze, interval="1h"), key=braze.api_key)
        thread = DaemonThread(
            parsed_, read_key=lambda _: braze.api_key, prefix="/braze/x"
        )
        with thread as running:
            page = running.get("/braze/x/")[1]

    places = re.findall(r'(?:href|action)="([^"]*)"', page)
    assert len(places) > 10
    for place in places:
        assert place.startswith(("/braze/x/", "#campaigns", "data:image/svg"))


def test_the_same_is_written_the_same() -> None:
    """Links are in one order, so that nothing moves without a reason."""
    pages = empty()

    with pages.snapshot() as sight:
        first = "".join(sight.page("sort=sent&q=a", LINKS))
        second = "".join(sight.page("q=a&nothing=1&sort=sent", LINKS))

    assert first == second
    assert 'href="/x/?q=a&amp;sort=sent&amp;order=reversed"' not in first


def test_an_empty_exporter_has_a_page() -> None:
    """It says that nothing is set up."""
    with empty().snapshot() as sight:
        page = "".join(sight.page("", LINKS))
        text = "".join(sight.document(""))

    assert "No campaign is set up yet" in page
    assert "No workspace is set up yet." in page
    assert json.loads(text)["campaigns"] == []


def test_a_shard_is_named_above_the_workspaces() -> None:
    """Only where shards are configured."""
    pages = {}
    for shard in (None, Shard(0, 2)):
        page = StatusPage(
            entries=tuple,
            desks={},
            discoveries=dict,
            shard=shard,
            planned=dict,
            now=lambda: 1.5,
            clock_set_by=lambda: 0.0,
            is_ready=lambda: True,
            version="1",
        )
        with page.snapshot() as view:
            pages[shard] = "".join(view.page("", LINKS))

    assert '<p class="shard">' not in pages[None]
    assert '<p class="shard">Shard 0 of 2' in pages[Shard(0, 2)]


def test_garbage_is_collected_after_a_look_as_before() -> None:
    """Also when something goes wrong, and not if nobody wants it."""
    pages = empty()

    seen = []

    def fail() -> None:
        with pages.snapshot():
            seen.append(gc.isenabled())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert seen == [False]
    assert gc.isenabled()
    gc.disable()
    try:
        with pages.snapshot():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_ten_thousand_campaigns_are_shown_in_no_time() -> None:
    """A page of them takes a fraction of a second of the processor."""
    ids = [f"3bbc4555-8fa0-4c9b-a5c0-{number:012x}" for number in range(10_000)]
    campaigns = [{"id": one, "name": f"Campaign {one[-4:]}"} for one in ids]
    config = configured("shop", campaigns=campaigns)
    line = RequestQueue(
        Budget(0.01, 0.2, 4),
        workspace="shop",
        campaign_ids=tuple(ids),
        call=lambda _: None,
    )
    desk = Workspace(
        config=config,
        plan=plan(config)[0],
        client=Nobody(),
        line=line,
        lanes=IdleSchedule(plan(config)[0]),
        campaigns={},
    )
    days = snapshot(*(row(age, sent=5000 + age, bounces=9) for age in range(28)))
    status = PollStatus(
        is_up=True, failure=None, interval_seconds=300.0, last_success_at=NOW
    )
    entries = tuple(
        Entry(
            ObjectLabels("shop", one["name"], one["id"], {}),
            status,
            RenderedObject((), 5),
            days,
            RenderedObject((), 1),
        )
        for one in campaigns
    )
    pages = StatusPage(
        entries=lambda: entries,
        discoveries=dict,
        desks={"shop": desk},
        planned=lambda: {("shop", one): NOW + 60 for one in ids},
        now=lambda: NOW,
        clock_set_by=lambda: 0.0,
        is_ready=lambda: True,
        version="1",
    )

    began_at = thread_time()
    with pages.snapshot() as sight:
        page = "".join(sight.page("q=campaign&sort=sent", LINKS))
    seconds = thread_time() - began_at

    assert "1 to 50 of 10,000 campaigns" in page
    assert "10,000 campaigns every" in page
    assert seconds < 2


class Nobody:
    """A client that nobody asks."""

    def fetch(
        self,
        path: str,
        params: Mapping[str, str | int],
        read: Callable[[object], object] = lambda document: document,
        *_: object,
    ) -> BrazeResponse:
        """Fail."""
        raise AssertionError(path, params, read)
