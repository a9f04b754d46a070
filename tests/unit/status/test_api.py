"""The JSON of `/api/v1/status`."""

import json
import re
from dataclasses import replace
from typing import Any

from exporter.discovery.view import DiscoveryView
from exporter.model.errors import FailureReason
from exporter.polling.kinds import CAMPAIGN
from exporter.polling.pause import Pause
from exporter.polling.sharding import Shard
from exporter.status import texts
from exporter.status.api import document_chunks
from exporter.status.view_model import NextPoll, ObjectState, ObjectView, Overview

from tests.paths import ROOT
from tests.support.views import (
    CANVASES,
    DISCOVERY,
    NOW,
    RATE_LIMIT,
    campaign,
    canvas,
    canvas_snapshot,
    row,
    series,
    snapshot,
    workspace_view,
)

DOCS = ROOT / "docs" / "status-page.md"
PAUSE = Pause(FailureReason.FORBIDDEN, "a", NOW + 60.1234567)
POLLING_LIMIT = replace(RATE_LIMIT, shut_until=NOW + 5)
FAILING = campaign(
    'A "quoted" \ud800 name',
    days=snapshot(row(0, sent=1000, bounces=60, delivered=930), row(1, sent=0.5)),
    labels={"team": "crm"},
    failure=FailureReason.TIMEOUT,
    error="no answer within 30 s",
)
UNPOLLED = campaign(is_up=None, age=None, next_poll=NextPoll(None))
FAILING_DISCOVERY = replace(
    DISCOVERY,
    is_limited=True,
    failure=FailureReason.FORBIDDEN,
    message="HTTP 403: make a new key",
    next_at=NOW + 40,
)


def document(
    *campaigns: ObjectView,
    pause: Pause | None = None,
    discovery: DiscoveryView | None = FAILING_DISCOVERY,
    shard: Shard | None = None,
    **changes: Any,
) -> Any:
    """Return the document of one workspace with these objects."""
    workspace = workspace_view(
        *campaigns,
        pause=pause,
        rate_limits=(POLLING_LIMIT,),
        discovery=discovery,
        proxy="http://me:hunter2@127.0.0.1:9",
        **changes,
    )
    overview = Overview(NOW, (workspace,), campaigns, shard)
    chunks = document_chunks(overview, campaigns, version="1.2.3", is_ready=True)
    return json.loads("".join(chunks))


def paths(value: object, path: str = "") -> set[str]:
    """Return the path of every name in a document, as the documentation writes it."""
    if isinstance(value, list):
        return {one for each in value for one in paths(each, f"{path}[]")}
    if not isinstance(value, dict) or path.endswith("labels"):
        return {path.removesuffix("[]")}
    inner = (paths(each, f"{path}.{name}".lstrip(".")) for name, each in value.items())
    return {one for each in inner for one in each}


def test_campaign() -> None:
    (one,) = document(FAILING)["campaigns"]

    assert one["campaign"] == 'A "quoted" \ud800 name'
    assert (one["state"], one["up"], one["idle"]) == ("failing", False, False)
    assert one["last_success_at"] == NOW - 10
    assert one["next_poll_at"] == NOW + 30
    assert one["last_error"] == {
        "reason": "timeout",
        "explanation": texts.failure(FailureReason.TIMEOUT, CAMPAIGN),
        "message": "no answer within 30 s",
        "at": NOW - 5,
    }
    day = one["day"]
    assert (day["date"], day["sent"], day["bounces"]) == ("2025-06-22", 1000, 60)
    assert (day["bounce_rate"], day["bounce_level"]) == (0.06, "critical")
    assert (day["spam_rate"], day["spam_level"]) == (None, "unjudged")
    assert one["history"]["last_date"] == "2025-06-22"
    assert one["history"]["sent"] == [None] * 26 + [0.5, 1000]
    assert one["history"]["levels"][-1] == "critical"


def test_canvas() -> None:
    """With the fields of a campaign, under its own names."""
    days = canvas_snapshot({"sent": 1000, "bounces": 60}, {"sent": 0.5})
    found = document(FAILING, canvas("Welcome", days=days))
    (one,), (other,) = found["canvases"], found["campaigns"]

    assert (one["kind"], one["canvas"]) == ("canvas", "Welcome")
    assert one["canvas_id"] == "id-Welcome"
    assert other["kind"] == "campaign"
    renamed = {name.replace("canvas", "campaign") for name in one}
    assert renamed == set(other)
    assert (one["day"]["sent"], one["day"]["bounce_level"]) == (1000, "critical")
    assert one["last_complete_day"]["sent"] == 0.5
    assert one["history"]["sent"] == [None] * 26 + [0.5, 1000]
    assert document(FAILING)["canvases"] == []


def test_unknown_values_are_null() -> None:
    (one,) = document(replace(UNPOLLED, is_idle=True))["campaigns"]

    for name in ("up", "last_success_at", "next_poll_at", "last_error", "day"):
        assert one[name] is None
    assert (one["state"], one["idle"]) == ("waiting", True)


def test_workspace() -> None:
    found = document(FAILING, pause=PAUSE)
    (workspace,) = found["workspaces"]

    assert (found["version"], found["at"], found["ready"]) == ("1.2.3", NOW, True)
    assert workspace["state"] == "paused"
    assert workspace["pause"]["reason"] == "forbidden"
    assert workspace["pause"]["next_probe_at"] == NOW + 60.123
    assert "Create a new key" in workspace["pause"]["message"]
    assert workspace["summary"] == workspace["pause"]["message"]
    assert workspace["budget"]["requests_per_minute"] == 60
    assert workspace["rate_limits"][0]["remaining"] == 49_000
    assert workspace["rate_limits"][0]["reserved"] == 10_000
    assert workspace["campaigns"]["failing"] == 1
    assert workspace["campaigns"]["total"] == 1
    assert set(workspace["campaigns"]) == {"total", *ObjectState}
    assert document(FAILING)["workspaces"][0]["pause"] is None
    for secret in ("secret-key", "hunter2"):
        assert secret not in json.dumps(found)


def test_workspace_with_canvases() -> None:
    """Their figures are beside those of campaigns, and null without canvases."""
    paused = Pause(FailureReason.FORBIDDEN, "a", NOW + 60)
    objects = (campaign(days=snapshot(row(sent=1))), canvas(is_paused=True))
    found = document(
        *objects,
        canvas_pause=paused,
        canvases=CANVASES,
        shared_requests_per_minute=30,
    )
    (one,) = found["workspaces"]
    (without,) = document(campaign())["workspaces"]

    assert (one["state"], one["pause"]) == ("polling", None)
    assert (one["canvas_state"], one["canvas_pause"]["reason"]) == (
        "paused",
        "forbidden",
    )
    assert "canvas.data_series" in one["canvas_summary"]
    assert one["summary"].endswith(one["canvas_summary"])
    assert one["budget"]["requests_per_minute"] == 60
    assert one["canvas_budget"]["requests_per_minute"] == 30
    assert one["canvas_budget"]["interval_seconds"] == 900
    assert (one["canvas_waiting"], one["canvas_idle"]) == (0, 0)
    assert (one["campaigns"]["ok"], one["campaigns"]["total"]) == (1, 1)
    assert (one["canvases"]["paused"], one["canvases"]["total"]) == (1, 1)
    assert without["canvas_state"] is without["canvas_budget"] is None
    assert set(without["canvases"].values()) == {0}


def test_failing_discovery() -> None:
    (one,) = document()["workspaces"]

    assert one["discovery"] == {
        "summary": texts.discovery(FAILING_DISCOVERY, now=NOW),
        "campaigns": 40,
        "limited": True,
        "listed_at": NOW - 300,
        "failure": {
            "reason": "forbidden",
            "message": "HTTP 403: make a new key",
            "next_try_at": NOW + 40,
        },
    }
    assert document(discovery=None)["workspaces"][0]["discovery"] is None


def test_series() -> None:
    """Its name is `series`, and what it exposes is counted in `series_count`."""
    labels = {"segment": "VIP"}
    good = series(
        "segment", ("segment_size", {}, 2800), name="segment VIP", labels=labels
    )
    failing = series("mau", failure=FailureReason.FORBIDDEN, error="HTTP 403", age=None)
    found = document(good, failing, series={"kpi": ["mau"]})

    first, second = found["series"]
    assert (first["series"], first["series_id"]) == ("segment VIP", "id-segment VIP")
    assert (first["kind"], first["labels"]) == ("segment", labels)
    assert (first["value"], first["series_count"]) == ("2,800 users", 9)
    assert first["samples"] == [
        {"metric": "braze_segment_size", "labels": {}, "value": 2800}
    ]
    assert (second["series"], second["value"], second["samples"]) == ("mau", None, [])
    assert second["last_error"]["reason"] == "forbidden"
    assert "kpi.mau.data_series" in second["last_error"]["explanation"]
    assert second["next_poll_at"] == NOW + 30
    (workspace,) = found["workspaces"]
    assert workspace["series"]["failing"] == 1


def test_campaigns_of_all_chunks_are_one_list() -> None:
    campaigns = [campaign(f"C {number}") for number in range(401)]

    found = document(*campaigns)["campaigns"]

    assert [one["campaign"] for one in found] == [f"C {n}" for n in range(401)]


def test_shard() -> None:
    shard = document(shard=Shard(1, 3))["shard"]

    assert (shard["number"], shard["total"]) == (1, 3)
    assert shard["summary"].startswith("Shard 1 of 3")
    assert document()["shard"] is None


def test_documentation_lists_every_name() -> None:
    """And no others; some have the names of others, as documented."""
    documents = [
        document(FAILING, pause=PAUSE),
        document(canvas(), canvas_pause=PAUSE, canvases=CANVASES),
        document(UNPOLLED, discovery=None),
        document(FAILING, discovery=replace(FAILING_DISCOVERY, failure=None)),
        document(FAILING, shard=Shard(0, 3)),
    ]
    names = {path for each in documents for path in paths(each)}
    same = (
        r"(\.last_complete_day|\.canvas_pause|\.canvas_budget|\.canvases|\.series)\..*"
    )
    names = {re.sub(same, r"\1", name) for name in names}
    own = {"canvases[].canvas", "canvases[].canvas_id"}
    own |= {"series[].value", "series[].samples"}
    names = {one for one in names if not one.startswith("canvases[]")} | own

    listed = re.findall(r"^\| `([a-z_.\[\]]+)` \|", DOCS.read_text(), re.MULTILINE)

    listed_names = {one for one in listed if "." in one or one in documents[0]}
    assert sorted(listed_names) == sorted(names)
