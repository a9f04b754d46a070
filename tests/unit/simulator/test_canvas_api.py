"""The simulator's paths of canvases: parameters, breakdowns, list and details."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from exporter.simulator import Incident, RateLimit

from tests.unit.simulator.simulator_client import (
    BREAKDOWNS,
    CANVAS_DETAILS,
    CANVAS_LIST,
    CANVAS_SERIES,
    DETAILS,
    LIST,
    NOON,
    Client,
    FixedClock,
    sent_by_step,
    serving,
)

NOW = NOON.isoformat()
TODAY = {"ending_at": NOW}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        *(
            ({**TODAY, "length": one}, "length")
            for one in ("0", "15", "-1", "ten", "1.5", "٣", None)
        ),
        ({"ending_at": None, "length": 1}, "ending_at"),
        ({"ending_at": "yesterday", "length": 1}, "ending_at"),
        ({"ending_at": "2025-06-01T00:00:00 02:00", "length": 1}, "ending_at"),
        ({"ending_at": "0001-01-01", "length": 1}, "ending_at"),
        ({"ending_at": "0001-01-05", "length": 14}, "ending_at"),
        ({**TODAY, "length": None, "starting_at": "2025-05-27"}, "starting_at"),
        ({**TODAY, "length": None, "starting_at": "2025-06-11"}, "starting_at"),
        ({**TODAY, "length": None, "starting_at": "soon"}, "starting_at"),
        ({**TODAY, "canvas_id": "5f0c2b1e"}, "Invalid Canvas ID"),
        ({**TODAY, "canvas_id": None}, "Invalid Canvas ID"),
    ],
)
def test_invalid_parameters_of_the_series_are_400(
    client: Client, parameters: Any, message: str
) -> None:
    given = {"canvas_id": client.braze.canvases[0].id, "length": 1, **parameters}

    reply = client.request(
        CANVAS_SERIES, **{k: v for k, v in given.items() if v is not None}
    )

    assert reply.status == 400
    assert message in reply.document["message"]


@pytest.mark.parametrize(
    ("ending_at", "status"),
    [
        ("2025-06-10T12:00:00Z", 200),
        ("2025-06-10T12:00:01Z", 400),
        ("2025-06-10T14:00:00+02:00", 200),
        ("2025-06-10T14:00:01+02:00", 400),
        ("2025-06-10T21:00:00", 200),
        ("2025-06-10T21:00:01", 400),
        ("2025-06-10", 200),
        ("2025-06-11", 400),
    ],
)
def test_an_ending_in_the_future_is_400(ending_at: str, status: int) -> None:
    """Times without an offset are in the zone of the workspace."""
    with serving(timezone="Asia/Tokyo") as client:
        reply = client.canvas_series(client.braze.canvases[0], ending_at=ending_at)

    assert reply.status == status
    if status == 400:
        assert "ending_at" in reply.document["message"]
        assert "future" in reply.document["message"]


@pytest.mark.parametrize(
    ("ending_at", "last"),
    [
        ("2025-06-01", "2025-05-31"),
        ("2025-06-01T00:00:00Z", "2025-05-31"),
        ("2025-06-01T00:00:01Z", "2025-06-01"),
        ("2025-06-01T23:59:59-05:00", "2025-06-02"),
        ("2025-06-10T11:59:00Z", "2025-06-10"),
    ],
)
def test_the_series_ends_at_ending_at(
    client: Client, ending_at: str, last: str
) -> None:
    """Days are ascending; midnight belongs to the day before."""
    reply = client.canvas_series(
        client.braze.canvases[0], length=14, ending_at=ending_at
    )

    assert reply.document["message"] == "success"
    days = [date.fromisoformat(r["time"]) for r in reply.document["data"]["stats"]]
    end = date.fromisoformat(last)
    assert days == [end - timedelta(days=n) for n in range(13, -1, -1)]


@pytest.mark.parametrize(
    ("zone", "last"), [("America/New_York", "2025-06-09"), ("Asia/Tokyo", "2025-06-10")]
)
def test_days_are_those_of_the_time_zone(zone: str, last: str) -> None:
    with serving(FixedClock(NOON.replace(hour=3)), timezone=zone) as client:
        [row] = client.canvas_days(client.braze.canvases[0])

    assert row["time"] == last


@pytest.mark.parametrize(
    ("starting_at", "length", "days"),
    [
        ("2025-06-10", None, 1),
        ("2025-05-28T23:59:59Z", None, 14),
        ("2025-05-01", 3, 3),
    ],
)
def test_the_series_may_begin_at_starting_at(
    client: Client, starting_at: str, length: int | None, days: int
) -> None:
    """A length takes precedence."""
    rows = client.canvas_days(
        client.braze.canvases[0], starting_at=starting_at, length=length
    )

    assert len(rows) == days


@pytest.mark.parametrize(
    ("parameters", "keys"),
    [
        ({}, set()),
        (dict.fromkeys(BREAKDOWNS, "True"), set()),
        (dict.fromkeys(BREAKDOWNS, "1"), set()),
        (dict.fromkeys(BREAKDOWNS, "false"), set()),
        ({"include_variant_breakdown": "true"}, {"variant_stats"}),
        ({"include_step_breakdown": "true"}, {"step_stats"}),
        ({"include_deleted_step_data": "true"}, set()),
        (BREAKDOWNS, {"variant_stats", "step_stats"}),
    ],
)
def test_breakdowns_are_included_by_the_text_true_only(
    client: Client, parameters: Any, keys: set[str]
) -> None:
    reply = client.canvas_series(client.braze.canvases[0], **parameters)

    assert reply.document.keys() == {"data", "message"}
    assert reply.document["data"]["name"] == client.braze.canvases[0].name
    [row] = reply.document["data"]["stats"]
    assert row.keys() == {"time", "total_stats"} | keys


def test_deleted_steps_are_in_the_data_on_request_only(client: Client) -> None:
    """They have all their days, also those before the deletion."""
    canvas = client.braze.canvas("Win-back journey ♻️")
    [deleted] = [step for step in canvas.steps if step.is_deleted]

    all_days = client.canvas_days(canvas, length=14)
    without = client.canvas_days(canvas, length=14, include_deleted_step_data="True")

    sends = [row["step_stats"][deleted.id]["messages"] for row in all_days]
    sent = [messages["webhook"][0]["sent"] > 0 for messages in sends]
    assert sent == [True] * 8 + [False] * 6
    for row, narrow in zip(all_days, without, strict=True):
        rest = {k: v for k, v in row["step_stats"].items() if k != deleted.id}
        assert narrow == {**row, "step_stats": rest}
    assert deleted.id not in str(client.canvas_details(canvas))


def test_a_step_can_be_deleted(client: Client, clock: FixedClock) -> None:
    """It leaves data and details at once, and sends until midnight."""
    canvas = client.braze.canvas("Back in stock")
    step, other = canvas.steps
    before = client.canvas_days(canvas, length=2)

    client.braze.delete_step(canvas.id, step.id)

    assert client.canvas_days(canvas, length=2) == before
    [row] = client.canvas_days(canvas, include_deleted_step_data="false")
    assert row["step_stats"].keys() == {other.id}
    details = client.canvas_details(canvas)
    assert [one["id"] for one in details["steps"]] == [other.id]
    assert details["variants"][0]["first_step_ids"] == [other.id]
    assert details["channels"] == ["sms"]
    assert details["updated_at"] == NOW
    clock.now += timedelta(days=1)
    [today] = client.canvas_days(canvas)
    assert set(today["step_stats"][step.id]["messages"]["ios_push"][0].values()) == {0}
    with pytest.raises(KeyError):
        client.braze.delete_step(canvas.id, "nowhere")
    with pytest.raises(KeyError):
        client.braze.delete_step("nowhere", step.id)


def test_the_list_contains_drafts_and_stopped_canvases(client: Client) -> None:
    """Neither status nor channels are listed; archived canvases are on request only."""
    listed = client.listed_canvases()
    with_archived = client.listed_canvases(include_archived="true")

    names = {one["name"] for one in listed}
    assert {one.name for one in client.braze.canvases} - names == {"Advent calendar"}
    assert len(with_archived) == len(listed) + 1
    assert {"Summer festival", "Birthday journey (draft)"} <= names
    for one in listed:
        assert one.keys() == {"id", "name", "tags", "last_edited"}


def test_the_list_has_pages_of_100_in_both_directions() -> None:
    with serving(canvases=250) as client:
        pages = [client.listed_canvases(page=page) for page in range(4)]
        newest = client.listed_canvases(sort_direction="desc")
        created = {one.id: one.created_on for one in client.braze.canvases}
        names = {one.name for one in client.braze.canvases}

    assert [len(page) for page in pages] == [100, 100, 49, 0]
    days = [created[one["id"]] for page in pages for one in page]
    assert days == sorted(days)
    assert created[newest[0]["id"]] == days[-1]
    assert len(created) == len(names) == 250


@pytest.mark.parametrize(
    ("path", "key"), [(LIST, "campaigns"), (CANVAS_LIST, "canvases")]
)
def test_the_list_can_be_limited_to_edits_after_a_time(
    client: Client, path: str, key: str
) -> None:
    edited = (*client.braze.campaigns, *client.braze.canvases)
    ids = {edited[0].id, edited[-1].id}
    for id_ in ids:
        client.braze.change(id_, tags=("edited",))

    before = {"last_edit.time[gt]": "2025-06-10T11:59:59"}
    after = {"last_edit.time[gt]": "2025-06-10T12:00:00"}

    [found] = client.request(path, **before).document[key]
    assert found["id"] in ids
    assert client.request(path, **after).document[key] == []


@pytest.mark.parametrize("path", [LIST, CANVAS_LIST])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("page", "-1"),
        ("page", "x"),
        ("sort_direction", "up"),
        ("last_edit.time[gt]", "soon"),
    ],
)
def test_invalid_parameters_of_lists_are_400(
    client: Client, path: str, name: str, value: str
) -> None:
    reply = client.request(path, **{name: value})

    assert reply.status == 400
    assert name in reply.document["message"]


@pytest.mark.parametrize(
    ("name", "archived", "draft", "enabled", "last_entry"),
    [
        ("Onboarding 2026 👋", False, False, True, "2025-06-10"),
        ("Abandoned checkout", False, False, True, "2025-06-10"),
        ("Summer festival", False, False, False, "2025-04-30"),
        ("Advent calendar", True, False, False, "2025-01-30"),
        ("Birthday journey (draft)", False, True, False, None),
    ],
)
def test_details_have_the_status_and_the_last_entry(
    client: Client,
    name: str,
    archived: bool,
    draft: bool,
    enabled: bool,
    last_entry: str | None,
) -> None:
    details = client.canvas_details(client.braze.canvas(name))

    assert details["name"] == name
    assert details["message"] == "success"
    status = (details["archived"], details["draft"], details["enabled"])
    assert status == (archived, draft, enabled)
    assert (details["last_entry"] or "")[:10] == (last_entry or "")
    assert (details["first_entry"] is None) is draft


def test_details_have_variants_and_steps_with_their_paths(client: Client) -> None:
    canvas = client.braze.canvas("Onboarding 2026 👋")

    details = client.canvas_details(canvas)

    variant, control = details["variants"]
    welcome, wait, nudge, tour = details["steps"]
    assert variant["first_step_ids"] == [welcome["id"]]
    assert (control["name"], control["first_step_ids"]) == ("Control Group", [])
    for step, following in ((welcome, wait), (wait, nudge), (nudge, tour)):
        path = {"name": None, "next_step_id": following["id"]}
        assert step["next_paths"] == [path]
    assert tour["next_paths"] == tour["next_step_ids"] == []
    assert (wait["type"], wait["channels"], wait["messages"]) == ("delay", [], {})
    assert wait["next_step_ids"] == [nudge["id"]]
    assert (welcome["type"], welcome["channels"]) == ("message", ["email", "sms"])
    messages = [one["channel"] for one in welcome["messages"].values()]
    assert sorted(messages) == welcome["channels"]
    assert details["channels"] == [
        *("android_push", "email", "in-app_message", "ios_push", "sms")
    ]


def test_a_rename_appears_in_list_details_and_series(
    client: Client, clock: FixedClock
) -> None:
    one = client.braze.canvases[0]
    before = client.canvas_days(one, length=3)
    clock.now += timedelta(hours=1)

    client.braze.change(one.id, name="Renamed", tags=(None, "new"))
    [found] = [each for each in client.listed_canvases() if each["id"] == one.id]
    series = client.canvas_series(one).document["data"]
    clock.now -= timedelta(hours=1)

    assert found == {
        "id": one.id,
        "last_edited": (NOON + timedelta(hours=1)).isoformat(),
        "name": "Renamed",
        "tags": [None, "new"],
    }
    assert client.canvas_details(one)["name"] == series["name"] == "Renamed"
    assert client.canvas_days(one, length=3) == before
    client.braze.change(one.id, is_nameless=True)
    assert client.canvas_series(one).document["data"]["name"] is None


def test_canvases_can_be_stopped_archived_and_deleted(client: Client) -> None:
    stopped, archived, deleted = client.braze.canvases[:3]

    client.braze.change(stopped.id, stopped_on=NOON.date())
    client.braze.change(archived.id, is_archived=True)
    client.braze.remove(deleted.id)

    ids = {each["id"] for each in client.listed_canvases()}
    assert ids & {stopped.id, archived.id, deleted.id} == {stopped.id}
    assert client.canvas_details(stopped)["enabled"] is False
    assert client.canvas_days(stopped)[0]["total_stats"]["entries"] == 0
    assert client.canvas_details(archived)["enabled"] is False
    assert client.canvas_series(archived).status == 200
    assert client.canvas_series(deleted).status == 400
    assert client.request(CANVAS_DETAILS, canvas_id=deleted.id).status == 400


@pytest.mark.parametrize("path", [CANVAS_LIST, CANVAS_DETAILS, CANVAS_SERIES])
def test_canvases_have_permissions_of_their_own(path: str) -> None:
    permission = path.strip("/").replace("/", ".")
    campaigns = frozenset({"campaigns.list", "campaigns.data_series"})
    with serving(permissions=campaigns, other_keys={"one": {permission}}) as client:
        canvas = client.braze.canvases[0]
        query: Any = {"canvas_id": canvas.id, "length": 1, **TODAY}
        refused = client.request(path, **query)

        assert client.request(path, key="wrong", **query).status == 401
        assert refused.status == 403
        assert permission in refused.document["message"]
        assert refused.headers["X-RateLimit-Limit"] == "250000"
        assert client.request(path, key="one", **query).status == 200
        assert client.request(LIST).status == 200


def test_all_but_the_series_of_campaigns_share_a_bucket() -> None:
    limit = RateLimit(6, 3600)
    with serving(shared_limit=limit) as client:
        campaign, canvas = client.braze.campaigns[0], client.braze.canvases[0]
        replies = [
            client.request(LIST),
            client.request(DETAILS, campaign_id=campaign.id),
            client.request(CANVAS_LIST),
            client.request(CANVAS_DETAILS, canvas_id=canvas.id),
            client.canvas_series(canvas),
            client.canvas_series(canvas, length=15),
            client.canvas_series(canvas),
        ]
        series = client.series(campaign)

    assert [one.status for one in replies] == [200] * 5 + [400, 429]
    remaining = [int(one.headers["X-RateLimit-Remaining"]) for one in replies]
    assert remaining == [5, 4, 3, 2, 1, 0, 0]
    for one in replies:
        assert one.headers["X-RateLimit-Limit"] == "6"
        reset = datetime.fromtimestamp(int(one.headers["X-RateLimit-Reset"]), UTC)
        assert reset == NOON + timedelta(hours=1)
    assert series.headers["X-RateLimit-Limit"] == "50000"
    assert series.headers["X-RateLimit-Remaining"] == "49999"


def test_incidents_can_be_left_out() -> None:
    with serving(has_incidents=False, canvases=3) as client:
        assert not any(one.incident for one in client.braze.canvases)
        for canvas in client.braze.canvases:
            [row] = client.canvas_days(canvas)
            assert sum(sent_by_step(row).values()) > 0

    with serving(canvases=1) as client:
        assert client.braze.canvas_with(Incident.SILENCE) is client.braze.canvases[0]
