"""The simulator's API: parameters, errors, keys, rate limits, list and details."""

from __future__ import annotations

import gzip
from datetime import timedelta
from typing import Any

import pytest
from exporter.simulator import DEFAULT_API_KEY, Incident, RateLimit, Simulator

from tests.unit.simulator.simulator_client import (
    DATA_SERIES,
    DETAILS,
    LIST,
    NOON,
    FixedClock,
    HttpClient,
    serving,
)

DATE = "Tue, 10 Jun 2025 12:00:00 GMT"


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
            for ending_at in ("2025-13-01", "2025-06-01T00:00:00 02:00", "0001-01-01")
        ),
        (DATA_SERIES, {"length": 1, "campaign_id": "55f0a1"}, "Invalid Campaign ID"),
        (DETAILS, {"campaign_id": ""}, "Invalid Campaign ID"),
        (LIST, {"page": "-1"}, "page"),
        (LIST, {"page": "x"}, "page"),
    ],
)
def test_invalid_parameters_are_400(
    braze: Simulator,
    client: HttpClient,
    path: str,
    parameters: dict[str, Any],
    message: str,
) -> None:
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
        ("2025-06-01T23:59:59-05:00", "2025-06-02"),
        ("2025-06-02T01:30:00+02:00", "2025-06-01"),
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
def test_an_invalid_key_is_401_without_rate_limit_headers(
    braze: Simulator, client: HttpClient, key: str | None
) -> None:
    reply = client.request(LIST, key=key)

    assert reply.status == 401
    assert reply.document["message"] == "Invalid API key"
    assert reply.headers["X-RateLimit-Limit"] is None
    assert reply.headers["Date"] == DATE
    assert not braze.requests[0].is_authorized


def test_each_key_has_its_own_permissions() -> None:
    lister = {"lister": frozenset({"campaigns.list"})}
    with serving(permissions=frozenset(), other_keys=lister) as (_, client):
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
    reply = client.request(path, method=method)

    assert reply.status == 404
    assert reply.document["message"] == "Invalid URL"
    assert reply.headers["Date"] == DATE


def test_large_bodies_are_compressed_for_clients_that_accept_gzip(
    braze: Simulator, client: HttpClient
) -> None:
    accepts = {"accept_encoding": "gzip, deflate"}

    plain = client.series(braze.campaigns[0], length=30)
    compressed = client.series(braze.campaigns[0], length=30, **accepts)
    small = client.request("/nowhere", **accepts)

    assert plain.headers["Content-Encoding"] is None
    assert compressed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(compressed.body) == plain.body
    assert small.headers["Content-Encoding"] is None


def test_data_series_has_a_limit_per_minute_and_the_rest_one_per_hour(
    braze: Simulator, client: HttpClient
) -> None:
    """Errors count, except those of invalid keys."""
    series = client.series(braze.campaigns[0]).headers
    client.request(LIST, key="wrong")
    client.request(LIST, page="x")
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
    limit = RateLimit(2, 60)
    with serving(clock, data_series_limit=limit) as (braze, client):
        statuses = [client.series(braze.campaigns[0]).status for _ in range(3)]
        refused = client.series(braze.campaigns[0])
        clock.now = NOON + timedelta(seconds=60)
        again = client.series(braze.campaigns[0])

    assert statuses == [200, 200, 429]
    assert refused.document["message"]
    assert refused.headers["X-RateLimit-Remaining"] == "0"
    assert refused.headers["X-RateLimit-Reset"] == str(int(NOON.timestamp()) + 60)
    assert (again.status, again.headers["X-RateLimit-Remaining"]) == (200, "1")


def test_the_list_has_pages_of_100_by_creation() -> None:
    """Archived campaigns are included on request only."""
    with serving(campaigns=250) as (braze, client):
        pages = [client.listed(page=page) for page in range(4)]
        with_archived = client.listed(page=2, include_archived="true")

    assert [len(page) for page in pages] == [100, 100, 49, 0]
    assert len(with_archived) == 50
    ids = [campaign["id"] for page in pages for campaign in page]
    expected = {c.id: c for c in braze.campaigns if not c.is_archived}
    assert set(ids) == expected.keys()
    created = [expected[id_].created_on for id_ in ids]
    assert created == sorted(created)


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


def test_a_draft_was_never_sent_and_a_silent_campaign_three_days_ago(
    braze: Simulator, client: HttpClient
) -> None:
    draft = client.details(braze.campaign("Birthday voucher (draft)"))
    archived = client.details(braze.campaign("Holiday gift guide"))
    silent = client.details(braze.campaign_with(Incident.SILENCE))

    assert (draft["draft"], draft["last_sent"]) == (True, None)
    assert (archived["archived"], archived["enabled"]) == (True, False)
    assert silent["last_sent"][:10] == "2025-06-07"


def test_a_rename_changes_last_edited_but_neither_figures_nor_id(
    braze: Simulator, client: HttpClient, clock: FixedClock
) -> None:
    one = braze.campaigns[0]
    before = client.series(one, length=3).body
    clock.now += timedelta(hours=1)

    braze.change(one.id, name="Renamed", tags=(None, "new"))
    [found] = [each for each in client.listed() if each["id"] == one.id]
    details = client.details(one)
    clock.now -= timedelta(hours=1)

    edited_at = (NOON + timedelta(hours=1)).isoformat()
    assert found == {
        "id": one.id,
        "last_edited": edited_at,
        "name": "Renamed",
        "is_api_campaign": False,
        "tags": [None, "new"],
    }
    assert (details["name"], details["updated_at"]) == ("Renamed", edited_at)
    assert client.series(one, length=3).body == before
    assert braze.campaign("Renamed").id == one.id
    braze.change(one.id, is_nameless=True)
    assert client.details(one)["name"] is None


def test_archived_and_deleted_campaigns_leave_the_list(
    braze: Simulator, client: HttpClient
) -> None:
    archived, deleted = braze.campaigns[:2]

    braze.change(archived.id, is_archived=True)
    braze.remove(deleted.id)

    assert not {archived.id, deleted.id} & {each["id"] for each in client.listed()}
    assert client.request(DETAILS, campaign_id=archived.id).status == 200
    assert client.request(DETAILS, campaign_id=deleted.id).status == 400
    with pytest.raises(KeyError):
        braze.campaign(deleted.name)
