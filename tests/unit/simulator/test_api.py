"""The simulator's API: parameters, errors, keys, rate limits, list and details."""

from __future__ import annotations

import gzip
from datetime import datetime, timedelta
from typing import Any

import pytest
from exporter.simulator import (
    DEFAULT_API_KEY,
    Incident,
    RateLimit,
    Simulator,
    SimulatorSettings,
)

from tests.unit.simulator.simulator_client import (
    DATA_SERIES,
    DETAILS,
    LIST,
    NOON,
    FixedClock,
    HttpClient,
)


def listed(client: HttpClient, **parameters: Any) -> list[dict[str, Any]]:
    """Return the campaigns of a page of the list."""
    found: list[dict[str, Any]] = client.request(LIST, **parameters).document[
        "campaigns"
    ]
    return found


# Parameters and errors.


@pytest.mark.parametrize(
    ("path", "parameters", "message"),
    [
        *(
            (DATA_SERIES, {"length": length}, "length")
            for length in ("0", "101", "-1", "ten", "1.5", "", "٣")
        ),
        *(
            (DATA_SERIES, {"length": 5, "ending_at": ending_at}, "ending_at")
            # A plus sign that is not encoded arrives as a space.
            for ending_at in (
                *("yesterday", "2025-13-01", "2025-06-01T00:00:00 02:00"),
                *("0001-01-01", "20250601"),
            )
        ),
        *(
            (path, {"length": 1, "campaign_id": id_}, "Invalid Campaign ID")
            for path in (DATA_SERIES, DETAILS)
            for id_ in ("55f0a1", "")
        ),
        (LIST, {"page": "-1"}, "page"),
        (LIST, {"page": "x"}, "page"),
        (LIST, {"sort_direction": "up"}, "sort_direction"),
        (LIST, {"last_edit.time[gt]": "x"}, "last_edit.time"),
    ],
)
def test_invalid_parameters_are_400(
    braze: Simulator,
    client: HttpClient,
    path: str,
    parameters: dict[str, Any],
    message: str,
) -> None:
    """The message names the parameter."""
    parameters = {"campaign_id": braze.campaigns[0].id, **parameters}

    reply = client.request(path, **{k: v for k, v in parameters.items() if v != ""})

    assert reply.status == 400
    assert message in reply.document["message"]


@pytest.mark.parametrize(
    ("ending_at", "last"),
    [
        ("2025-06-01", "2025-05-31"),
        ("2025-06-01T00:00:00Z", "2025-05-31"),
        ("2025-06-01T00:00:01Z", "2025-06-01"),
        ("2025-06-01T23:59:59", "2025-06-01"),
        ("2025-06-01T23:59:59-5:00", "2025-06-02"),
        ("2025-06-01T23:59:59-05:00", "2025-06-02"),
        ("2025-06-02T01:30:00+02:00", "2025-06-01"),
        ("2025-06-10T12:00:00Z", "2025-06-10"),
        ("2026-01-01", "2025-06-10"),
    ],
)
def test_the_series_ends_at_ending_at(
    braze: Simulator, client: HttpClient, ending_at: str, last: str
) -> None:
    """Midnight belongs to the day before, and no row is in the future."""
    rows = client.days(braze.campaigns[0], length=3, ending_at=ending_at)

    assert len(rows) == 3
    assert rows[-1]["time"] == last


@pytest.mark.parametrize("key", [None, "", "wrong", f'"{DEFAULT_API_KEY}"', "ключ"])
def test_an_invalid_key_is_401(
    braze: Simulator, client: HttpClient, key: str | None
) -> None:
    """Also a quoted one; the response has no rate-limit headers."""
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    encoded = {k: v.encode().decode("latin-1") for k, v in headers.items()}

    reply = client.request(LIST, key=None, headers=encoded)

    assert reply.status == 401
    assert reply.document["message"] == "Invalid API key"
    assert reply.headers["X-RateLimit-Limit"] is None
    assert not braze.requests[0].is_authorized


def test_a_missing_permission_is_403(clock: FixedClock) -> None:
    """Each key has its own permissions."""
    settings = SimulatorSettings(
        clock=clock,
        permissions=frozenset({"campaigns.data_series"}),
        other_keys={"lister": frozenset({"campaigns.list"})},
    )
    with Simulator(settings) as braze, HttpClient(braze) as client:
        reply = client.request(LIST)

        assert reply.status == 403
        assert "campaigns.list" in reply.document["message"]
        assert reply.headers["X-RateLimit-Limit"] == "250000"
        assert client.request(LIST, key="lister").status == 200
        assert client.request(DATA_SERIES, key="lister").status == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/campagnes/s%C3%A9ries"), ("GET", "/"), ("POST", LIST)],
)
def test_other_paths_and_methods_are_404(
    client: HttpClient, method: str, path: str
) -> None:
    """With Braze's message."""
    reply = client.request(path, method=method)

    assert reply.status == 404
    assert reply.document["message"] == "Invalid URL"


def test_every_response_has_a_date(client: HttpClient) -> None:
    """By the simulator's clock, errors too."""
    date = "Tue, 10 Jun 2025 12:00:00 GMT"

    assert client.request(LIST).headers["Date"] == date
    assert client.request(LIST, key=None).headers["Date"] == date


def test_large_bodies_are_compressed_for_clients_that_accept_gzip(
    braze: Simulator, client: HttpClient
) -> None:
    """Small ones are not."""
    accepts = {"Accept-Encoding": "gzip, deflate"}

    plain = client.series(braze.campaigns[0], length=30)
    compressed = client.series(braze.campaigns[0], length=30, headers=accepts)
    small = client.request("/nowhere", headers=accepts)

    assert plain.headers["Content-Encoding"] is None
    assert compressed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(compressed.body) == plain.body
    assert small.headers["Content-Encoding"] is None


# Rate limits.


def test_each_bucket_has_its_own_window(braze: Simulator, client: HttpClient) -> None:
    """Data series one of a minute; list and details share one of an hour."""
    series = client.series(braze.campaigns[0]).headers
    client.request(LIST)
    details = client.request(DETAILS, campaign_id=braze.campaigns[0].id).headers

    for headers, limit, used, seconds in (
        (series, 50_000, 1, 60),
        (details, 250_000, 2, 3600),
    ):
        assert headers["X-RateLimit-Limit"] == str(limit)
        assert headers["X-RateLimit-Remaining"] == str(limit - used)
        assert headers["X-RateLimit-Reset"] == str(int(NOON.timestamp()) + seconds)


def test_over_the_limit_is_429_until_the_reset() -> None:
    """Windows are aligned to the clock and not to the first request."""
    clock = FixedClock(NOON + timedelta(seconds=58.5))
    settings = SimulatorSettings(clock=clock, data_series_limit=RateLimit(2, 60))
    with Simulator(settings) as braze, HttpClient(braze) as client:
        statuses = [client.series(braze.campaigns[0]).status for _ in range(3)]
        refused = client.series(braze.campaigns[0])
        clock.now = NOON + timedelta(seconds=60)
        again = client.series(braze.campaigns[0])

    assert statuses == [200, 200, 429]
    assert refused.document["message"]
    assert refused.headers["X-RateLimit-Remaining"] == "0"
    assert refused.headers["X-RateLimit-Reset"] == str(int(NOON.timestamp()) + 60)
    assert (again.status, again.headers["X-RateLimit-Remaining"]) == (200, "1")


def test_errors_count_against_the_limit(client: HttpClient) -> None:
    """Except those of invalid keys."""
    client.request(DATA_SERIES, length=1)
    client.request(DATA_SERIES, length=1, key="wrong")
    last = client.request(DATA_SERIES, length=1)

    assert last.status == 400
    assert last.headers["X-RateLimit-Remaining"] == "49998"


# List and details.


def test_the_list_has_pages_of_100_by_creation(clock: FixedClock) -> None:
    """Archived campaigns are included on request only."""
    settings = SimulatorSettings(clock=clock, campaigns=250)
    with Simulator(settings) as braze, HttpClient(braze) as client:
        pages = [listed(client, page=page) for page in range(4)]
        with_archived = listed(client, page=2, include_archived="true")

    assert [len(page) for page in pages] == [100, 100, 49, 0]
    assert len(with_archived) == 50
    ids = [campaign["id"] for page in pages for campaign in page]
    expected = {c.id: c for c in braze.campaigns if not c.is_archived}
    assert set(ids) == expected.keys()
    created = [expected[id_].created_on for id_ in ids]
    assert created == sorted(created)


def test_a_listed_campaign_has_the_documented_fields(
    braze: Simulator, client: HttpClient
) -> None:
    """Neither channels nor status; tags may contain null."""
    [found] = [one for one in listed(client) if one["name"] == "Welcome series"]

    assert found.keys() == {"id", "last_edited", "name", "is_api_campaign", "tags"}
    assert found["id"] == braze.campaign("Welcome series").id
    assert found["tags"] == ["onboarding", None]
    assert datetime.fromisoformat(found["last_edited"]).tzinfo is not None


def test_the_list_can_be_reversed_and_filtered_by_edits(
    braze: Simulator, client: HttpClient
) -> None:
    """The filter hides old campaigns that still send."""
    newest = listed(client, sort_direction="desc")
    edited = listed(client, **{"last_edit.time[gt]": "2025-06-01T00:00:00"})

    assert newest[0]["id"] == braze.campaign("Early access teaser").id
    assert [campaign["name"] for campaign in edited] == ["Early access teaser"]


def test_pages_can_repeat(clock: FixedClock) -> None:
    """As from a server that ignores the parameter."""
    settings = SimulatorSettings(clock=clock, campaigns=150, repeats_pages=True)
    with Simulator(settings) as braze, HttpClient(braze) as client:
        first, second = (listed(client, page=page) for page in (0, 1))

    assert len(first) == 100
    assert first == second


def test_details_have_status_channels_and_messages(
    braze: Simulator, client: HttpClient
) -> None:
    """Channels are spelled differently than in the data series."""
    campaign = braze.campaign("Home feed cards")

    details = client.details(campaign)

    assert details["name"] == "Home feed cards"
    assert details["channels"] == ["content_card"]
    assert details["messages"].keys() == {message.id for message in campaign.messages}
    assert details["messages"][campaign.messages[2].id]["type"] == "control"
    assert details["conversion_behaviors"][0]["window"] == 604_800
    assert details["last_sent"][:10] == "2025-06-10"
    assert not details["draft"]
    assert details["enabled"]


def test_details_of_drafts_archived_and_silent_campaigns(
    braze: Simulator, client: HttpClient
) -> None:
    """A draft was never sent, a silent campaign three days ago."""
    draft = client.details(braze.campaign("Birthday voucher (draft)"))
    archived = client.details(braze.campaign("Holiday gift guide"))
    silent = client.details(braze.campaign_with(Incident.SILENCE))

    assert (draft["draft"], draft["last_sent"]) == (True, None)
    assert (archived["archived"], archived["enabled"]) == (True, False)
    assert silent["last_sent"][:10] == "2025-06-07"


def test_campaigns_can_be_edited(
    braze: Simulator, client: HttpClient, clock: FixedClock
) -> None:
    """A rename changes `last_edited`, but neither figures nor id."""
    one = braze.campaigns[0]
    before = client.series(one, length=3).body
    clock.now += timedelta(hours=1)

    braze.change(one.id, name="Renamed", tags=(None, "new"))
    [found] = [each for each in listed(client) if each["id"] == one.id]
    details = client.details(one)
    clock.now -= timedelta(hours=1)

    edited_at = (NOON + timedelta(hours=1)).isoformat()
    assert (found["name"], found["tags"]) == ("Renamed", [None, "new"])
    assert (details["name"], details["updated_at"]) == ("Renamed", edited_at)
    assert found["last_edited"] == edited_at
    assert client.series(one, length=3).body == before
    assert braze.campaign("Renamed").id == one.id
    braze.change(one.id, is_nameless=True)
    assert client.details(one)["name"] is None


def test_campaigns_can_be_archived_and_deleted(
    braze: Simulator, client: HttpClient
) -> None:
    """Both leave the list; only deleted ones have no details."""
    archived, deleted = braze.campaigns[:2]

    braze.change(archived.id, is_archived=True)
    braze.remove(deleted.id)

    assert not {archived.id, deleted.id} & {each["id"] for each in listed(client)}
    assert client.request(DETAILS, campaign_id=archived.id).status == 200
    assert client.request(DETAILS, campaign_id=deleted.id).status == 400
    with pytest.raises(KeyError):
        braze.campaign(deleted.name)
