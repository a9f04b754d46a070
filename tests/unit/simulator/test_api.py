"""The simulator's API: parameters, errors, keys, rate limits, list and details."""

from __future__ import annotations

import gzip
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from exporter.simulator import DEFAULT_API_KEY, Incident, RateLimit

from tests.unit.simulator.simulator_client import (
    DATA_SERIES,
    DETAILS,
    LIST,
    NOON,
    Client,
    FixedClock,
    Reply,
    serving,
)

BAD_LENGTHS = ("0", "101", "-1", "ten", "1.5", "", "٣")
DATE = "Tue, 10 Jun 2025 12:00:00 GMT"


def rate_limit(reply: Reply) -> tuple[int, int, datetime]:
    """Return limit, remaining requests and reset."""
    limit, remaining, reset = (
        int(reply.headers[f"X-RateLimit-{name}"])
        for name in ("Limit", "Remaining", "Reset")
    )
    return limit, remaining, datetime.fromtimestamp(reset, UTC)


@pytest.mark.parametrize(
    ("path", "parameters", "message"),
    [
        *((DATA_SERIES, {"length": one}, "length") for one in BAD_LENGTHS),
        *(
            (DATA_SERIES, {"length": 5, "ending_at": one}, "ending_at")
            # A plus sign that is not encoded arrives as a space.
            for one in ("2025-13-01", "2025-06-01T00:00:00 02:00", "0001-01-01")
        ),
        (DATA_SERIES, {"length": 1, "campaign_id": "55f0a1"}, "Invalid Campaign ID"),
        (DETAILS, {"campaign_id": ""}, "Invalid Campaign ID"),
    ],
)
def test_invalid_parameters_are_400(
    client: Client, path: str, parameters: Any, message: str
) -> None:
    given = {"campaign_id": client.braze.campaigns[0].id, **parameters}

    reply = client.request(path, **{k: v for k, v in given.items() if v != ""})

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
    client: Client, ending_at: str, last: str
) -> None:
    """Midnight belongs to the day before, and no row is in the future."""
    reply = client.series(client.braze.campaigns[0], length=3, ending_at=ending_at)

    assert reply.headers["Content-Type"] == "application/json"
    assert reply.document["message"] == "success"
    days = [date.fromisoformat(row["time"]) for row in reply.document["data"]]
    assert days == [date.fromisoformat(last) - timedelta(days=n) for n in (2, 1, 0)]


@pytest.mark.parametrize("key", [None, "", "wrong", f'"{DEFAULT_API_KEY}"', "ключ"])
def test_an_invalid_key_is_401_without_rate_limit_headers(
    client: Client, key: str | None
) -> None:
    reply = client.request(LIST, key=key)

    assert reply.status == 401
    assert reply.document["message"] == "Invalid API key"
    assert reply.headers["X-RateLimit-Limit"] is None
    assert reply.headers["Date"] == DATE
    assert not client.braze.requests[0].is_authorized


def test_each_key_has_its_own_permissions() -> None:
    lister = {"lister": frozenset({"campaigns.list"})}
    with serving(permissions=frozenset(), other_keys=lister) as client:
        reply = client.request(LIST)

        assert reply.status == 403
        assert "campaigns.list" in reply.document["message"]
        assert reply.headers["X-RateLimit-Limit"] == "250000"
        assert client.request(LIST, key="lister").status == 200
        assert client.request(DATA_SERIES, key="lister").status == 403


@pytest.mark.parametrize("method_and_path", ["GET /", "GET /s%C3%A9", f"POST {LIST}"])
def test_other_paths_and_methods_are_404(client: Client, method_and_path: str) -> None:
    method, path = method_and_path.split()

    reply = client.request(path, method=method)

    assert reply.status == 404
    assert reply.document["message"] == "Invalid URL"
    assert reply.headers["Date"] == DATE


def test_large_bodies_are_compressed_if_gzip_is_accepted(client: Client) -> None:
    accepts = {"accept_encoding": "gzip, deflate"}

    plain = client.series(client.braze.campaigns[0], length=30)
    compressed = client.series(client.braze.campaigns[0], length=30, **accepts)
    small = client.request("/nowhere", **accepts)

    assert plain.headers["Content-Encoding"] is None
    assert compressed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(compressed.body) == plain.body
    assert small.headers["Content-Encoding"] is None


def test_data_series_has_a_rate_limit_of_its_own(client: Client) -> None:
    """Errors count, except those of invalid keys."""
    campaign = client.braze.campaigns[0]
    series = client.series(campaign)
    client.request(LIST, key="wrong")
    client.request(LIST, page="x")
    details = client.request(DETAILS, campaign_id=campaign.id)

    assert rate_limit(series) == (50_000, 49_999, NOON + timedelta(minutes=1))
    assert rate_limit(details) == (250_000, 249_998, NOON + timedelta(hours=1))


def test_over_the_limit_is_429_until_the_reset() -> None:
    """Windows are aligned to the clock and not to the first request."""
    reset = NOON + timedelta(seconds=60)
    clock = FixedClock(NOON + timedelta(seconds=58.5))
    limit = RateLimit(2, 60)
    with serving(clock, data_series_limit=limit) as client:
        *allowed, refused = (client.series(client.braze.campaigns[0]) for _ in "123")
        clock.now = reset
        again = client.series(client.braze.campaigns[0])

    assert [one.status for one in (*allowed, refused, again)] == [200, 200, 429, 200]
    assert refused.document["message"]
    assert rate_limit(refused) == (2, 0, reset)
    assert rate_limit(again) == (2, 1, reset + timedelta(minutes=1))


def test_the_list_has_pages_of_100_by_creation() -> None:
    """Archived campaigns are included on request only."""
    with serving(campaigns=250) as client:
        pages = [client.listed(page=page) for page in range(4)]
        with_archived = client.listed(page=2, include_archived="true")

    assert [len(page) for page in pages] == [100, 100, 49, 0]
    assert len(with_archived) == 50
    ids = [campaign["id"] for page in pages for campaign in page]
    expected = {c.id: c for c in client.braze.campaigns if not c.is_archived}
    assert set(ids) == expected.keys()
    created = [expected[id_].created_on for id_ in ids]
    assert created == sorted(created)


def test_details_have_status_channels_and_messages(client: Client) -> None:
    """Channels are spelled differently than in the data series."""
    campaign = client.braze.campaign("Home feed cards")

    details = client.details(campaign)

    assert details["name"] == "Home feed cards"
    assert details["channels"] == ["content_card"]
    assert details["messages"].keys() == {message.id for message in campaign.messages}
    assert details["messages"][campaign.messages[2].id]["type"] == "control"
    assert details["conversion_behaviors"][0]["window"] == 604_800
    assert details["last_sent"][:10] == "2025-06-10"
    assert (details["draft"], details["enabled"]) == (False, True)
    draft = client.details(client.braze.campaign("Birthday voucher (draft)"))
    assert (draft["draft"], draft["last_sent"]) == (True, None)
    archived = client.details(client.braze.campaign("Holiday gift guide"))
    assert (archived["archived"], archived["enabled"]) == (True, False)
    silent = client.details(client.braze.campaign_with(Incident.SILENCE))
    assert silent["last_sent"][:10] == "2025-06-07"


def test_a_rename_changes_neither_figures_nor_id(
    client: Client, clock: FixedClock
) -> None:
    one = client.braze.campaigns[0]
    before = client.series(one, length=3).body
    clock.now += timedelta(hours=1)

    client.braze.change(one.id, name="Renamed", tags=(None, "new"))
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
    assert client.braze.campaign("Renamed").id == one.id
    client.braze.change(one.id, is_nameless=True)
    assert client.details(one)["name"] is None


def test_a_change_applies_to_past_days_at_once(client: Client) -> None:
    """Rows are cached per state of a campaign."""
    one = client.braze.campaign("Password reset")
    before = client.days(one, length=2)

    client.braze.change(one.id, stopped_on=NOON.date() - timedelta(days=1))

    after = client.days(one, length=2)
    assert before[0]["messages"]["email"][0]["sent"] > 0
    assert after[0]["messages"]["email"][0]["sent"] == 0


def test_archived_and_deleted_campaigns_leave_the_list(client: Client) -> None:
    archived, deleted = client.braze.campaigns[:2]

    client.braze.change(archived.id, is_archived=True)
    client.braze.remove(deleted.id)

    assert not {archived.id, deleted.id} & {each["id"] for each in client.listed()}
    assert client.request(DETAILS, campaign_id=archived.id).status == 200
    assert client.request(DETAILS, campaign_id=deleted.id).status == 400
