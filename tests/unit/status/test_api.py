"""The JSON of `/api/v1/status`."""

import json
import re
from dataclasses import replace
from typing import Any

from exporter.braze.rate_limit import Bucket, Budget
from exporter.model.errors import FailureReason
from exporter.polling.sharding import Shard
from exporter.series.deliverability import Level
from exporter.status import api
from exporter.status.view_model import (
    CampaignState,
    CampaignView,
    DiscoveryView,
    NextPoll,
    Overview,
    PauseView,
    RateLimitView,
    workspace_seen,
)

from tests.paths import ROOT
from tests.support.views import NOW, campaign, line, row, snapshot, workspace_plan

DOCUMENTED = ROOT / "docs" / "status-page.md"
PAUSE = PauseView(FailureReason.FORBIDDEN, "a", NOW + 60.1234567)
BUCKET = Bucket(1, True, limit=100, remaining=40, reset_at=NOW + 9, shut_until=NOW + 5)
FULL = campaign(
    'A "quoted" \ud800 name',
    days=snapshot(row(0, sent=1000, bounces=60, delivered=930), row(1, sent=0.5)),
    labels={"team": "crm"},
    failure=FailureReason.TIMEOUT,
    error="no answer within 30 s",
)


FAILING = DiscoveryView(
    3,
    True,
    NOW - 300,
    FailureReason.FORBIDDEN,
    "HTTP 403: make a new key",
    NOW + 40,
    RateLimitView("campaigns/list and campaigns/details", 250_000, 9, None, 5, 0, None),
)


def document(
    *campaigns: CampaignView,
    pause: PauseView | None = None,
    discovery: DiscoveryView | None = FAILING,
    shard: Shard | None = None,
) -> Any:
    """Return the document of one workspace with these campaigns, as read."""
    budget = Budget(1.0, 0.2, 4, buckets={"campaigns/data_series": BUCKET})
    workspace = workspace_seen(
        workspace_plan(proxy="http://me:hunter2@127.0.0.1:9"),
        line(pause=pause, budget=budget),
        campaigns=campaigns,
        discovery=discovery,
        now=NOW,
        clock_set_by=0.0,
    )
    overview = Overview(NOW, (workspace,), campaigns, shard)
    pieces = api.pieces(overview, campaigns, version="1.2.3", is_ready=True)
    return json.loads("".join(pieces))


def paths(value: object, path: str = "") -> set[str]:
    """Return the path of every name in a document; lists are entered."""
    if isinstance(value, list):
        return {one for each in value for one in paths(each, f"{path}[]")}
    if not isinstance(value, dict) or path.endswith("labels"):
        return {path}
    inner = (paths(each, f"{path}.{name}".lstrip(".")) for name, each in value.items())
    return {one for each in inner for one in each}


def test_a_campaign_is_told_in_full() -> None:
    """Numbers are numbers, instants seconds, and nothing is left out."""
    (one,) = document(FULL)["campaigns"]

    assert one["campaign"] == 'A "quoted" \ud800 name'
    assert one["state"] == "failing"
    assert one["up"] is False
    assert one["idle"] is False
    assert one["last_success_at"] == NOW - 10
    assert one["next_poll_at"] == NOW + 30
    assert one["last_error"]["reason"] == "timeout"
    assert one["last_error"]["message"] == "no answer within 30 s"
    assert one["last_error"]["at"] == NOW - 5
    assert one["last_error"]["explanation"].startswith("Braze did not answer in time.")
    day = one["day"]
    assert (day["date"], day["sent"], day["bounces"]) == ("2025-06-22", 1000, 60)
    assert (day["bounce_rate"], day["bounce_level"]) == (0.06, "critical")
    assert (day["spam_rate"], day["spam_level"]) == (None, "unjudged")
    assert one["history"]["last_date"] == "2025-06-22"
    assert one["history"]["sent"] == [None] * 26 + [0.5, 1000]
    assert one["history"]["levels"][-1] == Level.CRITICAL.name.lower()


def test_a_campaign_of_which_nothing_is_known_has_nulls() -> None:
    """The names are the same."""
    (one,) = document(campaign(is_up=None, age=None, next_poll=NextPoll(None)))[
        "campaigns"
    ]

    for name in ("up", "last_success_at", "next_poll_at", "last_error", "day"):
        assert one[name] is None
    assert one["state"] == "waiting"


def test_an_idle_campaign_is_told() -> None:
    """Whatever else there is to say of it."""
    (one,) = document(campaign(days=snapshot(row(sent=0)), is_idle=True))["campaigns"]

    assert (one["idle"], one["state"]) == (True, "ok")


def test_a_workspace_is_told_in_full() -> None:
    """Budget, headers and pause, for programs and in words."""
    found = document(FULL, pause=PAUSE)
    (workspace,) = found["workspaces"]

    assert (found["version"], found["at"], found["ready"]) == ("1.2.3", NOW, True)
    assert workspace["state"] == "paused"
    assert workspace["pause"]["reason"] == "forbidden"
    assert workspace["pause"]["next_probe_at"] == NOW + 60.123
    assert "make a new one" in workspace["pause"]["message"]
    assert workspace["budget"]["requests_per_minute"] == 60
    assert workspace["rate_limits"][0]["remaining"] == 40
    assert workspace["rate_limits"][0]["reserved"] == 20
    assert workspace["campaigns"]["failing"] == 1
    assert workspace["campaigns"]["total"] == 1
    assert set(workspace["campaigns"]) == {"total", *CampaignState}
    assert document(FULL)["workspaces"][0]["pause"] is None


def test_a_failing_discovery_is_told_in_full() -> None:
    """With its rate limit beside the others; without discovery there is none."""
    (one,) = document()["workspaces"]
    (plain,) = document(discovery=None)["workspaces"]

    assert one["discovery"] == {
        "summary": "Discovery fails; what it has found before is polled on. It asks "
        "again in 40 s. max_campaigns keeps others out.",
        "campaigns": 3,
        "limited": True,
        "listed_at": NOW - 300,
        "failure": {
            "reason": "forbidden",
            "message": "HTTP 403: make a new key",
            "next_try_at": NOW + 40,
        },
    }
    assert [each["endpoint"] for each in one["rate_limits"]] == [
        "campaigns/data_series",
        "campaigns/list and campaigns/details",
    ]
    assert plain["discovery"] is None
    assert len(plain["rate_limits"]) == 1


def test_no_secret_is_in_it() -> None:
    """Neither the key nor the password of a proxy."""
    text = json.dumps(document(FULL, pause=PAUSE))

    assert "secret-key" not in text
    assert "hunter2" not in text


def test_thousands_of_campaigns_are_one_list() -> None:
    """However many pieces it is written in."""
    crowd = [campaign(f"C {number}") for number in range(401)]

    found = document(*crowd)["campaigns"]

    assert [one["campaign"] for one in found] == [f"C {n}" for n in range(401)]


def test_a_shard_is_described() -> None:
    """Its number, of how many, and what that means."""
    shard = document(shard=Shard(1, 3))["shard"]

    assert (shard["number"], shard["total"]) == (1, 3)
    assert shard["summary"].startswith("Shard 1 of 3")
    assert document()["shard"] is None


def test_every_name_is_documented() -> None:
    """In docs/status-page.md, and nothing that there is not."""
    well = replace(FAILING, failure=None)
    documents = [
        document(FULL, pause=PAUSE),
        document(campaign(is_up=None, age=None), discovery=None),
        document(FULL, discovery=well),
        document(FULL, shard=Shard(0, 3)),
    ]
    made = {path.removesuffix("[]") for each in documents for path in paths(each)}
    made = {path for path in made if not path.startswith("campaigns[].last_complete_")}
    made.add("campaigns[].last_complete_day")

    told = re.findall(r"^\| `([a-z_.\[\]]+)` \|", DOCUMENTED.read_text(), re.MULTILINE)

    names = {one for one in told if "." in one or one in documents[0]}
    assert sorted(names) == sorted(made)
