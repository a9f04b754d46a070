"""The specification of the simulated Braze, asked over real sockets."""

from __future__ import annotations

import ast
import gzip
import http.client
import json
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import exporter.simulator
import pytest
from exporter.simulator import (
    DEFAULT_API_KEY,
    Campaign,
    Delivery,
    Fault,
    Incident,
    RateLimit,
    Simulator,
    SimulatorSettings,
)

NOON = datetime(2025, 6, 10, 12, tzinfo=UTC)
DATA_SERIES = "/campaigns/data_series"

DOCUMENTED_FIELDS = {
    "email": {
        "sent",
        "opens",
        "unique_opens",
        "clicks",
        "unique_clicks",
        "unsubscribes",
        "bounces",
        "delivered",
        "reported_spam",
        "machine_open",
    },
    "ios_push": {"sent", "direct_opens", "total_opens", "bounces", "body_clicks"},
    "android_push": {"sent", "direct_opens", "total_opens", "bounces", "body_clicks"},
    "web_push": {"sent", "direct_opens", "total_opens", "bounces", "body_clicks"},
    "kindle_push": {"sent", "direct_opens", "total_opens", "bounces", "body_clicks"},
    "sms": {
        "sent",
        "sent_to_carrier",
        "delivered",
        "rejected",
        "delivery_failed",
        "clicks",
        "opt_out",
        "help",
    },
    "whats_app": {"sent", "delivered", "failed", "read"},
    "content_cards": {
        "sent",
        "total_impressions",
        "unique_impressions",
        "total_clicks",
        "unique_clicks",
        "total_dismissals",
        "unique_dismissals",
    },
    "webhook": {"sent", "errors"},
    "trigger_in_app_message": {
        "impressions",
        "clicks",
        "first_button_clicks",
        "second_button_clicks",
    },
    "in_app_message": {
        "impressions",
        "clicks",
        "first_button_clicks",
        "second_button_clicks",
    },
}
CAMPAIGN_FIELDS = {"unique_recipients", "revenue"} | {
    f"conversions{event}{dated}"
    for event in ("", "1", "2", "3")
    for dated in ("", "_by_send_time")
}
FAILURES = ("bounces", "rejected", "delivery_failed", "failed", "errors")
# Fields of which the first counts at most as much as the second.
FUNNEL = (
    ("delivered", "sent"),
    ("sent_to_carrier", "sent"),
    ("unique_opens", "opens"),
    ("unique_clicks", "clicks"),
    ("opens", "sent"),
    ("clicks", "opens"),
    ("direct_opens", "total_opens"),
    ("unique_impressions", "total_impressions"),
    ("unique_dismissals", "total_dismissals"),
    ("read", "delivered"),
)


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the epoch seconds it was set to."""
        return self.now.timestamp()


class Reply(NamedTuple):
    """What came back; `body` is as sent, still compressed."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def document(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Client:
    """One keep-alive connection to a simulator."""

    def __init__(self, braze: Simulator, *, timeout_seconds: float = 5.0) -> None:
        address = urlsplit(braze.url)
        self.connection = http.client.HTTPConnection(
            str(address.hostname), address.port, timeout=timeout_seconds
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def ask(
        self,
        path: str,
        *,
        key: str | None = DEFAULT_API_KEY,
        method: str = "GET",
        body: str | None = None,
        headers: dict[str, str] | None = None,
        **parameters: Any,
    ) -> Reply:
        """Send one request and read its answer whole."""
        target = f"{path}?{urlencode(parameters)}" if parameters else path
        all_headers = dict(headers or {})
        if key is not None:
            all_headers["Authorization"] = f"Bearer {key}"
        self.connection.request(method, target, body=body, headers=all_headers)
        response = self.connection.getresponse()
        return Reply(response.status, response.headers, response.read())

    def days(self, campaign: Campaign, *, length: int = 1, **more: Any) -> Any:
        """Return the rows of a campaign."""
        reply = self.ask(DATA_SERIES, campaign_id=campaign.id, length=length, **more)
        assert reply.status == 200, reply.body
        return reply.document["data"]


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands at noon."""
    return Clock()


@pytest.fixture
def braze(clock: Clock) -> Iterator[Simulator]:
    """Serve the named campaigns in UTC."""
    with Simulator(SimulatorSettings(clock=clock)) as simulator:
        yield simulator


@pytest.fixture
def client(braze: Simulator) -> Iterator[Client]:
    """Connect to `braze`."""
    with Client(braze) as connection:
        yield connection


def entries(row: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each entry of a row with its channel."""
    for channel, listed in row["messages"].items():
        for entry in listed or []:
            yield channel, entry


def is_counter(value: object) -> bool:
    """Tell numbers from texts, lists and null."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def counters(row: Any) -> dict[tuple[str, str, str], float]:
    """Return every number of a row by channel, entry and field."""
    found = {("", "", k): v for k, v in row.items() if is_counter(v)}
    for channel, entry in entries(row):
        for name, value in entry.items():
            if is_counter(value):
                found[channel, entry["variation_api_id"], name] = value
    return found


def rate(row: Any, channel: str, field: str) -> float:
    """Return the field's share of what a channel sent, 0 when nothing was sent."""
    listed = row["messages"].get(channel) or []
    sent = sum(entry.get("sent") or 0 for entry in listed)
    counted = sum(entry.get(field) or 0 for entry in listed)
    return counted / sent if sent else 0.0


def total_sent(row: Any) -> float:
    """Return how many messages of any channel left on a day."""
    return sum(
        entry.get("sent") or entry.get("impressions") or 0 for _, entry in entries(row)
    )


# What the answers look like.


def test_an_answer_has_every_day_of_the_window_oldest_first(
    braze: Simulator, client: Client
) -> None:
    """The last row is today's, and the message says success."""
    reply = client.ask(DATA_SERIES, campaign_id=braze.campaigns[0].id, length=100)

    assert reply.document["message"] == "success"
    assert [row["time"] for row in reply.document["data"]] == [
        (NOON.date() - timedelta(days=n)).isoformat() for n in range(99, -1, -1)
    ]
    assert reply.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("channel", DOCUMENTED_FIELDS)
def test_every_documented_channel_is_sent_with_its_documented_fields(
    braze: Simulator, client: Client, channel: str
) -> None:
    """Each channel of the reference is used by a campaign; all fields are numbers."""
    campaign = next(
        campaign
        for campaign in braze.campaigns
        if any(message.channel == channel for message in campaign.messages)
        and campaign.sends_on(NOON.date())
    )

    [row] = client.days(campaign)

    entry = row["messages"][channel][0]
    assert DOCUMENTED_FIELDS[channel] <= entry.keys()
    assert all(isinstance(entry[name], int) for name in DOCUMENTED_FIELDS[channel])
    assert entry["variation_api_id"]


@pytest.mark.parametrize("channel", ["rcs", "line"])
def test_some_channels_are_not_documented(
    braze: Simulator, client: Client, channel: str
) -> None:
    """What Braze adds one day is there already."""
    [campaign] = [c for c in braze.campaigns if c.messages[0].channel == channel]

    [row] = client.days(campaign)

    assert row["messages"][channel][0]["sent"] > 0


def test_every_row_has_the_campaign_wide_fields(
    braze: Simulator, client: Client
) -> None:
    """They stand beside `messages`, zero where unused; only revenue is a float."""
    for campaign in braze.campaigns:
        [row] = client.days(campaign)

        assert row.keys() == CAMPAIGN_FIELDS | {"time", "messages"}
        assert isinstance(row["revenue"], float)
        assert all(isinstance(row[name], int) for name in CAMPAIGN_FIELDS - {"revenue"})


def test_a_plain_campaign_has_no_variation_name_and_no_conversions_of_its_entries(
    braze: Simulator, client: Client
) -> None:
    """Several channels with one message each are not variations either."""
    [row] = client.days(braze.campaign("Welcome series"))

    assert len(list(entries(row))) == 4
    for _, entry in entries(row):
        assert not entry.keys() & (CAMPAIGN_FIELDS | {"variation_name", "enrolled"})


def test_variations_have_names_and_conversions_that_add_up_without_the_control_group(
    braze: Simulator, client: Client
) -> None:
    """The campaign-wide numbers are the sums of those who got a message."""
    [row] = client.days(braze.campaign("Spring sale 🌷"))

    first, second, control = row["messages"]["email"]
    assert first["variation_name"] == "Subject A"
    assert first["conversions"] != second["conversions"]
    assert row["conversions"] == first["conversions"] + second["conversions"]
    assert row["revenue"] == pytest.approx(first["revenue"] + second["revenue"])
    assert control.keys() == CAMPAIGN_FIELDS | {
        "variation_api_id",
        "variation_name",
        "enrolled",
    }
    assert control["enrolled"] > control["conversions"] > 0


def test_some_answers_say_null_where_others_say_nothing(
    braze: Simulator, client: Client
) -> None:
    """Unused channels, the control group's counters and `enrolled` may be null."""
    [row] = client.days(braze.campaign("Home feed cards"))

    first, _, control = row["messages"]["content_cards"]
    assert row["messages"]["email"] is None
    assert first["enrolled"] is None
    assert control["enrolled"] > 0
    assert control["sent"] is None


def test_an_unused_channel_may_be_an_empty_list(
    braze: Simulator, client: Client
) -> None:
    """As in recorded answers, `sms` is there without an entry."""
    [row] = client.days(braze.campaign("Welcome series"))

    assert row["messages"]["sms"] == []


def test_fields_may_carry_what_a_marketer_typed(
    braze: Simulator, client: Client
) -> None:
    """Slides and buttons have a field each, named by their titles."""
    [row] = client.days(braze.campaign("Flash sale in the app"))

    entry = row["messages"]["ios_push"][0]
    assert entry["carousel_slide_2_Été à la plage_click"] > 0
    assert entry["notif_button_2_Later 💤_click"] > 0


def test_names_repeat_over_channels_and_within_one(
    braze: Simulator, client: Client
) -> None:
    """Only the id tells variations apart."""
    [push] = client.days(braze.campaign("Flash sale in the app"))
    [mail] = client.days(braze.campaign("Weekly newsletter"))

    names = [entry["variation_name"] for _, entry in entries(mail)]
    ids = [
        entry["variation_api_id"] for row in (push, mail) for _, entry in entries(row)
    ]
    assert names == ["Morning", "Noon", "Evening", "Evening"]
    assert push["messages"]["ios_push"][0]["variation_name"] == "Variant 1"
    assert push["messages"]["android_push"][0]["variation_name"] == "Variant 1"
    assert len(set(ids)) == len(ids)


# Figures.


def test_the_same_seed_gives_the_same_figures(clock: Clock) -> None:
    """Two simulators agree to the byte, and another seed gives other ids."""
    with (
        Simulator(SimulatorSettings(clock=clock)) as first,
        Simulator(SimulatorSettings(clock=clock)) as second,
        Client(first) as one,
        Client(second) as other,
    ):
        for campaign in first.campaigns:
            assert one.days(campaign, length=30) == other.days(campaign, length=30)
    other_seed = Simulator(SimulatorSettings(clock=clock, seed=2))
    assert not {c.id for c in first.campaigns} & {c.id for c in other_seed.campaigns}


def test_ids_do_not_depend_on_the_day_the_simulator_starts() -> None:
    """A configuration written for it today is good tomorrow."""
    early = Simulator(SimulatorSettings(clock=Clock()))
    late = Simulator(SimulatorSettings(clock=Clock(NOON + timedelta(days=400))))

    assert [c.id for c in early.campaigns] == [c.id for c in late.campaigns]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
def test_numbers_grow_through_the_day_from_zero_at_local_midnight(zone: str) -> None:
    """No counter ever shrinks within a day, and all that send have sent by its end."""
    clock = Clock()
    settings = SimulatorSettings(clock=clock, timezone=zone)
    with Simulator(settings) as braze, Client(braze) as client:
        # Local midnight in UTC, that of the day after the start.
        offset = {"UTC": 24, "America/New_York": 28, "Asia/Kolkata": 18.5}[zone]
        midnight = NOON.replace(hour=0) + timedelta(hours=offset)
        for campaign in braze.campaigns:
            clock.now = midnight
            before = counters(client.days(campaign)[0])
            assert set(before.values()) <= {0}
            for minutes in (1, 5, 60, 300, 600, 601, 720, 1000, 1200, 1439):
                clock.now = midnight + timedelta(minutes=minutes)
                now = counters(client.days(campaign)[0])
                assert now.keys() == before.keys()
                assert all(now[key] >= before[key] for key in now)
                before = now


@pytest.mark.parametrize(
    ("zone", "instant", "today"),
    [
        ("UTC", datetime(2025, 6, 10, 23, 59, 59, tzinfo=UTC), "2025-06-10"),
        ("America/New_York", datetime(2025, 6, 10, 3, 59, tzinfo=UTC), "2025-06-09"),
        ("America/New_York", datetime(2025, 6, 10, 4, 0, tzinfo=UTC), "2025-06-10"),
        ("Asia/Tokyo", datetime(2025, 6, 10, 15, 0, tzinfo=UTC), "2025-06-11"),
    ],
)
def test_days_change_at_midnight_of_the_zone(
    zone: str, instant: datetime, today: str
) -> None:
    """The newest row is the local day's."""
    settings = SimulatorSettings(clock=Clock(instant), timezone=zone)
    with Simulator(settings) as braze, Client(braze) as client:
        [row] = client.days(braze.campaigns[0])

        assert row["time"] == today


def test_days_of_23_and_25_hours_are_complete_at_their_end() -> None:
    """When the clock is changed the day's curve is stretched, not cut."""
    clock = Clock()
    settings = SimulatorSettings(
        clock=clock, timezone="Europe/Berlin", has_incidents=False
    )
    with Simulator(settings) as braze, Client(braze) as client:
        for last_second in (
            datetime(2026, 3, 29, 21, 59, 59, tzinfo=UTC),
            datetime(2025, 10, 26, 22, 59, 59, tzinfo=UTC),
        ):
            clock.now = last_second
            [today] = client.days(braze.campaigns[0])
            clock.now = last_second + timedelta(seconds=1)
            yesterday, _ = client.days(braze.campaigns[0], length=2)

            assert today["time"] == yesterday["time"]
            assert total_sent(today) == pytest.approx(total_sent(yesterday), rel=0.001)


def test_weekends_are_quieter_than_weekdays(braze: Simulator, client: Client) -> None:
    """The sends have a rhythm of seven days."""
    rows = client.days(braze.campaign("Password reset"), length=29)[:-1]

    by_weekday: dict[int, float] = {}
    for row in rows:
        weekday = date.fromisoformat(row["time"]).weekday()
        by_weekday[weekday] = by_weekday.get(weekday, 0) + total_sent(row)
    assert max(by_weekday[5], by_weekday[6]) < min(by_weekday[d] for d in range(5))


def test_funnels_narrow(braze: Simulator, client: Client) -> None:
    """Nothing is opened more often than it was sent, nor delivered and bounced too."""
    for campaign in braze.campaigns:
        for row in client.days(campaign, length=10):
            for _, entry in entries(row):
                for narrow, wide in FUNNEL:
                    if entry.get(narrow) and wide in entry:
                        assert entry[narrow] <= entry[wide], (campaign.name, narrow)
                if entry.get("sent") and "bounces" in entry:
                    delivered = entry.get("delivered", 0)
                    assert delivered + entry["bounces"] <= entry["sent"]


def test_past_days_are_restated_upwards(
    braze: Simulator, client: Client, clock: Clock
) -> None:
    """Late bounces, complaints and conversions by send time come in for some days."""
    fields = ("bounces", "reported_spam", "conversions_by_send_time")
    campaign = braze.campaigns[1]
    seen = []

    for days in range(1, 12):
        clock.now = NOON + timedelta(days=days)
        row = client.days(campaign, length=days + 1)[0]
        [(_, entry)] = entries(row)
        assert row["time"] == "2025-06-10"
        seen.append([{**row, **entry}[field] for field in fields])

    for numbers in zip(*seen, strict=True):
        assert list(numbers) == sorted(numbers)
        assert numbers[0] < numbers[-1] < numbers[0] * 1.4
        assert numbers[7] == numbers[-1]


# Incidents.


def starts() -> list[datetime]:
    """Moments at which a demo may begin: all weekdays, and the edges of the day."""
    return [
        datetime(2025, month, day, hour, minute, tzinfo=UTC)
        for month, day in (
            (1, 1),
            (3, 29),
            (6, 10),
            (7, 6),
            (10, 27),
            (12, 4),
            (12, 26),
        )
        for hour, minute in ((0, 1), (0, 5), (12, 0), (23, 55))
    ]


@pytest.mark.parametrize("now", starts(), ids=str)
def test_only_the_two_campaigns_that_should_spike_do(now: datetime) -> None:
    """From the first minute of a demo on, whatever the day, their rates stand out."""
    with (
        Simulator(SimulatorSettings(clock=Clock(now))) as braze,
        Client(braze) as client,
    ):
        for campaign in braze.campaigns:
            *past, today = client.days(campaign, length=15)
            bouncing = campaign.incident is Incident.BOUNCES
            complaining = campaign.incident is Incident.SPAM

            if bouncing:
                assert 0.10 < rate(today, "email", "bounces") < 0.15
            if complaining:
                assert 0.005 < rate(today, "email", "reported_spam") < 0.01
            if bouncing or complaining:
                assert total_sent(today) > 2000
            for row in past if bouncing or complaining else [*past, today]:
                for channel in row["messages"]:
                    for field in FAILURES:
                        assert rate(row, channel, field) < 0.012, campaign.name
                    assert rate(row, channel, "reported_spam") < 0.0004, campaign.name


def test_spikes_stay_until_somebody_ends_the_demo(
    braze: Simulator, client: Client, clock: Clock
) -> None:
    """After midnight the day of the start is not talked away, and today spikes too."""
    clock.now = NOON + timedelta(days=2)

    rows = client.days(braze.campaign_with(Incident.BOUNCES), length=4)

    assert [rate(row, "email", "bounces") > 0.1 for row in rows] == [
        False,
        True,
        True,
        True,
    ]


@pytest.mark.parametrize("now", starts(), ids=str)
def test_one_campaign_has_fallen_silent_and_no_other(now: datetime) -> None:
    """It sent every day, but not yesterday nor today; all that live go on sending."""
    with (
        Simulator(SimulatorSettings(clock=Clock(now))) as braze,
        Client(braze) as client,
    ):
        quiet = braze.campaign_with(Incident.SILENCE)
        for campaign in braze.campaigns:
            rows = client.days(campaign, length=30)
            lively = [total_sent(row) > 500 for row in rows[:-1]]

            if campaign is quiet:
                assert lively == [True] * 27 + [False] * 2
                assert set(counters(rows[-1]).values()) == {0}
            elif campaign.is_draft or campaign.is_archived:
                assert not any(lively)
            else:
                created = [row["time"] >= str(campaign.created_on) for row in rows]
                assert lively == created[:-1], campaign.name
                if (now.hour, now.minute) >= (0, 5):
                    assert total_sent(rows[-1]) > 0, campaign.name


def test_incidents_can_be_left_out(clock: Clock) -> None:
    """Then the same campaigns are all healthy."""
    braze = Simulator(SimulatorSettings(clock=clock, has_incidents=False))

    assert not any(campaign.incident for campaign in braze.campaigns)
    with pytest.raises(LookupError, match="bounces"):
        braze.campaign_with(Incident.BOUNCES)


# The fleet.


def test_the_cast_is_varied(braze: Simulator) -> None:
    """It has drafts, archived ones, tags that are null and names that need escaping."""
    names = "".join(campaign.name for campaign in braze.campaigns)

    assert len(braze.campaigns) >= 14
    assert {'"', "\\", "🛵", "新"} <= set(names)
    assert any(campaign.is_draft for campaign in braze.campaigns)
    assert any(campaign.is_archived for campaign in braze.campaigns)
    assert any(None in campaign.tags for campaign in braze.campaigns)


def test_days_before_the_creation_are_zero(braze: Simulator, client: Client) -> None:
    """They have rows of the same shape, so rows are no proof of activity."""
    young = braze.campaign("Early access teaser")

    rows = client.days(young, length=10)

    assert [total_sent(row) > 0 for row in rows] == [False] * 6 + [True] * 4
    assert counters(rows[0]).keys() == counters(rows[-1]).keys()
    assert set(counters(rows[0]).values()) == {0}


def test_a_large_fleet_has_unique_campaigns_and_as_many_active_as_asked_for(
    clock: Clock,
) -> None:
    """Beyond the cast only the active fraction sends, however many there are."""
    cast = len(Simulator(SimulatorSettings(clock=clock)).campaigns)
    settings = SimulatorSettings(clock=clock, campaigns=10_000, active_fraction=0.05)

    campaigns = Simulator(settings).campaigns

    generated = campaigns[cast:]
    assert len({campaign.id for campaign in campaigns}) == 10_000
    assert len({campaign.name for campaign in campaigns}) == 10_000
    assert sum(c.sends_on(NOON.date()) for c in generated) == len(generated) // 20


def test_an_inactive_campaign_has_only_zeros(clock: Clock) -> None:
    """Its rows are there all the same."""
    settings = SimulatorSettings(clock=clock, campaigns=40, active_fraction=0.0)
    with Simulator(settings) as braze, Client(braze) as client:
        rows = client.days(braze.campaigns[-1], length=3)

        assert [set(counters(row).values()) for row in rows] == [{0}] * 3


def test_a_small_fleet_keeps_the_incidents(clock: Clock) -> None:
    """They come first in the cast."""
    braze = Simulator(SimulatorSettings(clock=clock, campaigns=3))

    assert {campaign.incident for campaign in braze.campaigns} == set(Incident)


# Parameters and errors.


@pytest.mark.parametrize("length", ["0", "101", "-1", "ten", "1.5", "", "٣"])
def test_a_length_beyond_1_to_100_is_refused(
    braze: Simulator, client: Client, length: str
) -> None:
    """The answer is a 400 with a message."""
    reply = client.ask(DATA_SERIES, campaign_id=braze.campaigns[0].id, length=length)

    assert reply.status == 400
    assert "length" in reply.document["message"]


@pytest.mark.parametrize("path", [DATA_SERIES, "/campaigns/details"])
@pytest.mark.parametrize("parameters", [{}, {"campaign_id": "55f0a1"}])
def test_an_unknown_campaign_is_refused(
    client: Client, path: str, parameters: dict[str, Any]
) -> None:
    """A missing id and a wrong one have the same answer."""
    reply = client.ask(path, length=1, **parameters)

    assert reply.status == 400
    assert reply.document["message"] == "Invalid Campaign ID"


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
def test_the_series_stops_at_ending_at(
    braze: Simulator, client: Client, ending_at: str, last: str
) -> None:
    """Midnight belongs to the day before, and there are no rows of the future."""
    rows = client.days(braze.campaigns[0], length=3, ending_at=ending_at)

    assert len(rows) == 3
    assert rows[-1]["time"] == last


@pytest.mark.parametrize(
    "ending_at",
    ["yesterday", "2025-13-01", "2025-06-01T00:00:00 02:00", "0001-01-01", "20250601"],
)
def test_an_ending_at_that_is_no_date_is_refused(
    braze: Simulator, client: Client, ending_at: str
) -> None:
    """A plus sign that was not encoded arrives as a space, and is refused too."""
    reply = client.ask(
        DATA_SERIES,
        campaign_id=braze.campaigns[0].id,
        length=5,
        ending_at=ending_at,
    )

    assert reply.status == 400
    assert "ending_at" in reply.document["message"]


@pytest.mark.parametrize("key", [None, "", "wrong", f'"{DEFAULT_API_KEY}"', "ключ"])
def test_a_wrong_key_is_refused(braze: Simulator, key: str | None) -> None:
    """Quotes around the key make it wrong; the answer has no rate-limit headers."""
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    encoded = {k: v.encode().decode("latin-1") for k, v in headers.items()}
    with Client(braze) as client:
        reply = client.ask("/campaigns/list", key=None, headers=encoded)

    assert reply.status == 401
    assert reply.document["message"] == "Invalid API key"
    assert reply.headers["X-RateLimit-Limit"] is None
    assert not braze.requests[0].is_authorized


def test_a_key_without_the_permission_is_forbidden(clock: Clock) -> None:
    """Each key has its own permissions."""
    settings = SimulatorSettings(
        clock=clock,
        permissions=frozenset({"campaigns.data_series"}),
        other_keys={"lister": frozenset({"campaigns.list"})},
    )
    with Simulator(settings) as braze, Client(braze) as client:
        reply = client.ask("/campaigns/list")

        assert reply.status == 403
        assert "campaigns.list" in reply.document["message"]
        assert reply.headers["X-RateLimit-Limit"] == "250000"
        assert client.ask("/campaigns/list", key="lister").status == 200
        assert client.ask(DATA_SERIES, key="lister").status == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/campagnes/s%C3%A9ries"), ("GET", "/"), ("POST", "/campaigns/list")],
)
def test_other_paths_and_methods_are_not_known(
    client: Client, method: str, path: str
) -> None:
    """They answer as Braze does to a wrong URL."""
    reply = client.ask(path, method=method)

    assert reply.status == 404
    assert reply.document["message"] == "Invalid URL"


# List and details.


def test_the_list_comes_in_pages_of_100_by_creation(clock: Clock) -> None:
    """A short page ends it, archived campaigns are left out unless asked for."""
    settings = SimulatorSettings(clock=clock, campaigns=250)
    with Simulator(settings) as braze, Client(braze) as client:
        pages = [
            client.ask("/campaigns/list", page=page).document["campaigns"]
            for page in range(4)
        ]
        with_archived = client.ask(
            "/campaigns/list", page=2, include_archived="true"
        ).document["campaigns"]

    assert [len(page) for page in pages] == [100, 100, 49, 0]
    assert len(with_archived) == 50
    listed = [campaign["id"] for page in pages for campaign in page]
    living = {c.id: c for c in braze.campaigns if not c.is_archived}
    assert set(listed) == living.keys()
    created = [living[id_].created_on for id_ in listed]
    assert created == sorted(created)


def test_a_listed_campaign_has_the_documented_shape(
    braze: Simulator, client: Client
) -> None:
    """There is no channel and no status; tags may hold null."""
    [listed] = [
        listed
        for listed in client.ask("/campaigns/list").document["campaigns"]
        if listed["name"] == "Welcome series"
    ]

    assert listed.keys() == {"id", "last_edited", "name", "is_api_campaign", "tags"}
    assert listed["id"] == braze.campaign("Welcome series").id
    assert listed["tags"] == ["onboarding", None]
    assert datetime.fromisoformat(listed["last_edited"]).tzinfo is not None


def test_the_list_can_be_turned_round_and_filtered_by_edits(
    braze: Simulator, client: Client
) -> None:
    """Old campaigns that still send are hidden by the filter."""
    newest = client.ask("/campaigns/list", sort_direction="desc").document["campaigns"]
    after: dict[str, Any] = {"last_edit.time[gt]": "2025-06-01T00:00:00"}
    edited = client.ask("/campaigns/list", **after).document["campaigns"]

    assert newest[0]["id"] == braze.campaign("Early access teaser").id
    assert [campaign["name"] for campaign in edited] == ["Early access teaser"]


@pytest.mark.parametrize(
    "parameters",
    [
        {"page": "-1"},
        {"page": "x"},
        {"sort_direction": "up"},
        {"last_edit.time[gt]": "x"},
    ],
)
def test_wrong_parameters_of_the_list_are_refused(
    client: Client, parameters: dict[str, Any]
) -> None:
    """The answer is a 400."""
    assert client.ask("/campaigns/list", **parameters).status == 400


def test_details_tell_what_the_data_series_does_not(
    braze: Simulator, client: Client
) -> None:
    """Status, channels in another spelling, messages with the control group's type."""
    campaign = braze.campaign("Home feed cards")

    details = client.ask("/campaigns/details", campaign_id=campaign.id).document

    assert details["name"] == "Home feed cards"
    assert details["channels"] == ["content_card"]
    assert details["messages"].keys() == {message.id for message in campaign.messages}
    assert details["messages"][campaign.messages[2].id]["type"] == "control"
    assert details["conversion_behaviors"][0]["window"] == 604_800
    assert details["last_sent"][:10] == "2025-06-10"
    assert not details["draft"]
    assert details["enabled"]


def test_details_show_drafts_archived_and_silent_campaigns(
    braze: Simulator, client: Client
) -> None:
    """A draft was never sent, an archived one long ago, a silent one three days ago."""
    draft, archived, silent = (
        client.ask("/campaigns/details", campaign_id=campaign.id).document
        for campaign in (
            braze.campaign("Birthday voucher (draft)"),
            braze.campaign("Holiday gift guide"),
            braze.campaign_with(Incident.SILENCE),
        )
    )

    assert (draft["draft"], draft["last_sent"]) == (True, None)
    assert (archived["archived"], archived["enabled"]) == (True, False)
    assert silent["last_sent"][:10] == "2025-06-07"


# Rate limits.


def test_each_bucket_says_what_is_left_until_its_window_ends(
    braze: Simulator, client: Client
) -> None:
    """Data series have a bucket of a minute, the others share one of an hour."""
    id_ = braze.campaigns[0].id
    series = client.ask(DATA_SERIES, campaign_id=id_, length=1).headers
    client.ask("/campaigns/list")
    details = client.ask("/campaigns/details", campaign_id=id_).headers

    assert series["X-RateLimit-Limit"] == "50000"
    assert series["X-RateLimit-Remaining"] == "49999"
    assert series["X-RateLimit-Reset"] == str(int(NOON.timestamp()) + 60)
    assert details["X-RateLimit-Limit"] == "250000"
    assert details["X-RateLimit-Remaining"] == "249998"
    assert details["X-RateLimit-Reset"] == str(int(NOON.timestamp()) + 3600)


def test_beyond_the_allowance_answers_are_429_until_the_clock_reaches_the_reset() -> (
    None
):
    """Windows are fixed to the clock: they do not begin with the first request."""
    clock = Clock(NOON + timedelta(seconds=58.5))
    settings = SimulatorSettings(clock=clock, data_series_limit=RateLimit(2, 60))
    with Simulator(settings) as braze, Client(braze) as client:

        def ask() -> Reply:
            return client.ask(DATA_SERIES, campaign_id=braze.campaigns[0].id, length=1)

        statuses = [ask().status for _ in range(3)]
        refused = ask()
        clock.now = NOON + timedelta(seconds=60)
        again = ask()

    assert statuses == [200, 200, 429]
    assert refused.document["message"]
    assert refused.headers["X-RateLimit-Remaining"] == "0"
    assert refused.headers["X-RateLimit-Reset"] == str(int(NOON.timestamp()) + 60)
    assert (again.status, again.headers["X-RateLimit-Remaining"]) == (200, "1")


def test_errors_are_counted_and_carry_the_headers(client: Client) -> None:
    """A wrong campaign costs as much as a right one; a wrong key costs nothing."""
    client.ask(DATA_SERIES, length=1)
    client.ask(DATA_SERIES, length=1, key="wrong")
    last = client.ask(DATA_SERIES, length=1)

    assert last.status == 400
    assert last.headers["X-RateLimit-Remaining"] == "49998"


# HTTP.


def test_a_connection_serves_many_requests(braze: Simulator, client: Client) -> None:
    """It is HTTP/1.1 with keep-alive, also after an error."""
    client.ask("/nowhere")
    kept = client.connection.sock
    client.ask("/campaigns/list")

    assert kept is not None
    assert client.connection.sock is kept
    assert len(braze.requests) == 2


def test_large_bodies_are_compressed_for_who_can_read_them(
    braze: Simulator, client: Client
) -> None:
    """Small ones and those for others are sent as they are."""
    id_ = braze.campaigns[0].id
    accepts = {"Accept-Encoding": "gzip, deflate"}

    plain = client.ask(DATA_SERIES, campaign_id=id_, length=30)
    packed = client.ask(DATA_SERIES, campaign_id=id_, length=30, headers=accepts)
    small = client.ask("/nowhere", headers=accepts)

    assert plain.headers["Content-Encoding"] is None
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert small.headers["Content-Encoding"] is None


# Faults.


def test_a_fault_befalls_one_campaign_so_many_times(
    braze: Simulator, client: Client
) -> None:
    """The others are well, and afterwards it is healed."""
    sick, well = braze.campaigns[:2]
    braze.set_fault(Fault(status=503), campaign_id=sick.id, count=2)

    def status(campaign: Campaign) -> int:
        return client.ask(DATA_SERIES, campaign_id=campaign.id, length=1).status

    assert [status(sick), status(well), status(sick), status(sick)] == [
        503,
        200,
        503,
        200,
    ]


def test_the_closest_fault_wins_and_clearing_heals_all(
    braze: Simulator, client: Client
) -> None:
    """Closeness is id and path, then id, then path, then everything."""
    id_ = braze.campaigns[0].id
    braze.set_fault(Fault(status=500))
    braze.set_fault(Fault(status=502), path="/campaigns/list")
    braze.set_fault(Fault(status=503), campaign_id=id_)
    braze.set_fault(Fault(status=504), campaign_id=id_, path="/campaigns/details")

    def statuses() -> list[int]:
        return [
            client.ask("/campaigns/details", campaign_id=id_).status,
            client.ask(DATA_SERIES, campaign_id=id_, length=1).status,
            client.ask("/campaigns/list").status,
            client.ask(DATA_SERIES, campaign_id=braze.campaigns[1].id, length=1).status,
        ]

    before = statuses()
    braze.clear_faults()

    assert before == [504, 503, 502, 500]
    assert statuses() == [200] * 4


@pytest.mark.parametrize("status", [401, 403, 429, 500, 502, 503, 504, 418, 599])
def test_a_fault_of_a_status_has_a_json_body(
    braze: Simulator, client: Client, status: int
) -> None:
    """Unknown statuses are possible; the rate-limit headers stay as they were."""
    braze.set_fault(Fault(status=status))

    reply = client.ask("/campaigns/list")

    assert reply.status == status
    assert reply.document["message"]
    assert reply.headers["X-RateLimit-Limit"] == "250000"
    assert (reply.headers["X-RateLimit-Remaining"] == "0") is (status == 429)


def test_a_429_may_come_without_headers_or_with_others(
    braze: Simulator, client: Client
) -> None:
    """Header names replace each other without case."""
    bare = Fault(status=429, has_rate_limit_headers=False)
    braze.set_fault(bare, path="/campaigns/list")
    other = Fault(status=429, headers={"x-ratelimit-reset": "0", "Retry-After": "7"})
    braze.set_fault(other, path="/campaigns/details")

    without = client.ask("/campaigns/list").headers
    changed = client.ask("/campaigns/details").headers

    assert not [name for name in without if name.lower().startswith("x-ratelimit")]
    assert changed.get_all("X-RateLimit-Reset") == ["0"]
    assert changed["Retry-After"] == "7"


@pytest.mark.parametrize("status", [200, 502])
def test_a_body_may_be_the_page_of_a_content_network(
    braze: Simulator, client: Client, status: int
) -> None:
    """With status 200 it is garbage where a document is expected."""
    braze.set_fault(Fault.html(status))

    reply = client.ask("/campaigns/list")

    assert reply.status == status
    assert reply.headers["Content-Type"] == "text/html"
    assert reply.body.startswith(b"<!DOCTYPE html>")


def test_a_body_may_be_empty(braze: Simulator, client: Client) -> None:
    """The answer is complete with no bytes."""
    braze.set_fault(Fault.empty())

    assert client.ask("/campaigns/list").body == b""


def test_an_answer_may_lead_elsewhere(braze: Simulator, client: Client) -> None:
    """The redirect names the URL it was given."""
    braze.set_fault(Fault.redirect("https://elsewhere.example/"))

    reply = client.ask("/campaigns/list")

    assert (reply.status, reply.headers["Location"]) == (
        302,
        "https://elsewhere.example/",
    )


def test_any_document_can_be_served(braze: Simulator, client: Client) -> None:
    """The body is sent to the byte, without compression."""
    body = b'{"data": [' + b" " * 5000 + b'], "sent": NaN}'
    braze.set_fault(Fault(body=body, headers={"content-type": "text/plain"}))

    reply = client.ask("/campaigns/list", headers={"Accept-Encoding": "gzip"})

    assert (reply.status, reply.body) == (200, body)
    assert reply.headers.get_all("Content-Type") == ["text/plain"]


def test_an_encoding_may_be_claimed_that_is_not_there(
    braze: Simulator, client: Client
) -> None:
    """The body says gzip and is plain JSON."""
    braze.set_fault(Fault.wrong_encoding())

    reply = client.ask("/campaigns/list", headers={"Accept-Encoding": "gzip"})

    assert reply.headers["Content-Encoding"] == "gzip"
    assert reply.document["message"] == "success"


def test_a_body_may_be_shorter_than_it_says(braze: Simulator, client: Client) -> None:
    """The connection ends in order before the body does."""
    braze.set_fault(Fault(delivery=Delivery.SHORT_BODY))

    with pytest.raises(http.client.IncompleteRead) as caught:
        client.ask("/campaigns/list")

    assert len(caught.value.partial) > 0


@pytest.mark.parametrize("delivery", [Delivery.RESET, Delivery.RESET_IN_BODY])
def test_a_connection_may_be_reset(
    braze: Simulator, client: Client, delivery: Delivery
) -> None:
    """Before the headers or in the middle of the body; the next connection is fine."""
    braze.set_fault(Fault(delivery=delivery), count=1)

    with pytest.raises(ConnectionResetError):
        client.ask("/campaigns/list")

    client.connection.close()
    assert client.ask("/campaigns/list").status == 200


def test_an_answer_may_never_come(braze: Simulator) -> None:
    """The request is in flight until the client gives up; then all is well."""
    braze.set_fault(Fault(delivery=Delivery.HANG), count=1)
    with Client(braze, timeout_seconds=0.05) as client:
        with pytest.raises(TimeoutError):
            client.ask("/campaigns/list")
        assert braze.wait_for_requests(1)
        waiting = braze.in_flight()

    with Client(braze) as client:
        assert client.ask("/campaigns/list").status == 200
    assert waiting == 1


def test_an_answer_may_be_late(braze: Simulator, client: Client) -> None:
    """It comes whole after the latency."""
    braze.set_fault(Fault(latency_seconds=0.05))

    start = time.monotonic()
    reply = client.ask("/campaigns/list")

    assert time.monotonic() - start >= 0.05
    assert reply.document["message"] == "success"


@pytest.mark.parametrize("delivery", [Delivery.DRIP_HEADERS, Delivery.DRIP_BODY])
def test_an_answer_may_drip(
    braze: Simulator, client: Client, delivery: Delivery
) -> None:
    """A read timeout between bytes never ends it, but a patient client gets it all."""
    fault = Fault(body=b"slowly", delivery=delivery, drip_seconds=0.0002)
    braze.set_fault(fault)

    assert client.ask("/campaigns/list").body == b"slowly"


@pytest.mark.parametrize(
    "delivery", [Delivery.HANG, Delivery.DRIP_HEADERS, Delivery.DRIP_BODY]
)
def test_stopping_ends_what_hangs_or_drips(clock: Clock, delivery: Delivery) -> None:
    """The client's connection ends at once, and so does an idle one."""
    braze = Simulator(SimulatorSettings(clock=clock))
    braze.start()
    braze.set_fault(Fault(delivery=delivery, drip_seconds=3600), path="/campaigns/list")
    ended = []

    def ask() -> None:
        with Client(braze, timeout_seconds=30) as client:
            try:
                client.ask("/campaigns/list")
            except (OSError, http.client.HTTPException):
                ended.append(time.monotonic())

    with Client(braze) as idle:
        idle.ask("/nowhere")
        asking = threading.Thread(target=ask)
        asking.start()
        assert braze.wait_for_requests(2)
        start = time.monotonic()
        braze.stop()
        asking.join(5)

        assert ended
        assert time.monotonic() - start < 1
        assert idle.connection.sock.recv(1) == b""
    assert braze.in_flight() == 0


def test_a_small_body_may_be_huge_inside(braze: Simulator, client: Client) -> None:
    """It is a valid document, sent in chunks."""
    size = 8 << 20
    braze.set_fault(Fault(delivery=Delivery.GZIP_BOMB, bomb_bytes=size))

    reply = client.ask("/campaigns/list")

    body = zlib.decompress(reply.body, wbits=31)
    assert len(reply.body) < size / 100
    assert len(body) > size
    assert json.loads(body) == {"message": "success", "data": []}


def test_a_fault_has_a_positive_count(braze: Simulator) -> None:
    """Zero times would be no fault."""
    with pytest.raises(ValueError, match="at least 1"):
        braze.set_fault(Fault(status=500), count=0)


# Control.


def test_faults_are_set_and_cleared_over_http(braze: Simulator, client: Client) -> None:
    """No key is needed; the fields are those of a fault, with a body as text."""
    content = {
        "campaign_id": braze.campaigns[0].id,
        "count": 5,
        "status": 503,
        "body": "gone fishing",
        "delivery": "whole",
        "latency_seconds": 0,
    }

    put = client.ask("/-/faults", method="PUT", key=None, body=json.dumps(content))
    sick = client.ask(DATA_SERIES, campaign_id=braze.campaigns[0].id, length=1)
    gone = client.ask("/-/faults", method="DELETE", key=None)
    well = client.ask(DATA_SERIES, campaign_id=braze.campaigns[0].id, length=1)

    assert (put.status, gone.status) == (200, 200)
    assert (sick.status, sick.body) == (503, b"gone fishing")
    assert well.status == 200


def test_the_faults_in_force_are_told(client: Client) -> None:
    """Each as it may be set again, with what is left of its count."""
    contents = (
        {"status": 503},
        {"path": DATA_SERIES, "count": 2, "latency_seconds": 0.5, "body": "ü"},
    )
    for content in contents:
        client.ask("/-/faults", method="PUT", key=None, body=json.dumps(content))
    client.ask(DATA_SERIES)

    told = client.ask("/-/faults", key=None)
    faults = told.document["faults"]
    client.ask("/-/faults", method="DELETE", key=None)
    for fault in faults:
        client.ask("/-/faults", method="PUT", key=None, body=json.dumps(fault))

    assert faults == [
        {"status": 503},
        {
            "path": DATA_SERIES,
            "count": 1,
            "latency_seconds": 0.5,
            "body_base64": "w7w=",
        },
    ]
    assert client.ask("/-/faults", key=None).document["faults"] == faults
    assert told.body.endswith(b"}\n")


def test_a_body_of_bytes_is_set_in_base64(braze: Simulator, client: Client) -> None:
    """So that it may be no text at all."""
    content = json.dumps({"body_base64": "/wD/"})

    client.ask("/-/faults", method="PUT", key=None, body=content)

    assert client.ask("/campaigns/list").body == b"\xff\x00\xff"
    assert braze.requests[-1].status == 200


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "Expecting property name"),
        ("[]", "a fault is a JSON object"),
        ('{"statsu": 500}', "unknown field 'statsu'"),
        ('{"status": "500"}', "'status' has a value of the wrong type"),
        ('{"delivery": "pigeon"}', "'pigeon' is not a valid Delivery"),
        ('{"count": 0}', "at least 1"),
        ('{"body_base64": "?"}', "base64"),
    ],
)
def test_a_fault_that_is_none_is_refused(
    client: Client, content: str, message: str
) -> None:
    """The message says what is wrong with it."""
    reply = client.ask("/-/faults", method="PUT", key=None, body=content)

    assert reply.status == 400
    assert message in reply.document["message"]


def test_requests_are_summed_up_over_http(client: Client) -> None:
    """By path and status; control requests are not among them and cost nothing."""
    client.ask("/campaigns/list")
    client.ask("/campaigns/list")
    client.ask(DATA_SERIES, key="wrong")
    client.ask("/-/nowhere", key=None)

    summary = client.ask("/-/requests", key=None)

    assert summary.document == {
        "total": 3,
        "in_flight": 0,
        "most_in_flight": 1,
        "answers": [
            {"path": DATA_SERIES, "status": 401, "count": 1},
            {"path": "/campaigns/list", "status": 200, "count": 2},
        ],
    }


# The journal.


def test_a_request_is_written_down_before_its_answer_is_read(
    braze: Simulator, client: Client
) -> None:
    """Who has the answer finds its request, with everything that was asked."""
    id_ = braze.campaigns[0].id
    client.ask(DATA_SERIES, campaign_id=id_, length=7)

    [request] = braze.requests

    assert (request.method, request.path, request.status) == ("GET", DATA_SERIES, 200)
    assert request.query == f"campaign_id={id_}&length=7"
    assert request.campaign_id == id_
    assert request.epoch_seconds == NOON.timestamp()
    assert request.monotonic_seconds <= time.monotonic()
    assert request.is_authorized


def test_one_can_wait_for_requests(braze: Simulator, client: Client) -> None:
    """Of one campaign or of all, and not for ever."""
    first, second = braze.campaigns[:2]
    client.ask(DATA_SERIES, campaign_id=first.id, length=1)
    client.ask(DATA_SERIES, campaign_id=second.id, length=1)

    assert braze.wait_for_requests(2)
    assert braze.wait_for_requests(1, campaign_id=first.id)
    assert not braze.wait_for_requests(2, campaign_id=first.id, timeout_seconds=0)


def test_the_journal_is_bounded_but_its_counts_are_not(clock: Clock) -> None:
    """Only the newest requests are kept."""
    settings = SimulatorSettings(clock=clock, request_log_size=2)
    with Simulator(settings) as braze, Client(braze) as client:
        for path in ("/a", "/b", "/c"):
            client.ask(path)

        assert [request.path for request in braze.requests] == ["/b", "/c"]
        assert braze.wait_for_requests(3, timeout_seconds=0)


def test_the_most_requests_at_a_time_are_known_per_campaign(braze: Simulator) -> None:
    """One after the other is one at a time, even without a pause between them."""
    once, twice = braze.campaigns[:2]
    braze.set_fault(Fault(delivery=Delivery.HANG), campaign_id=twice.id)
    with Client(braze) as client:
        for _ in range(50):
            client.ask(DATA_SERIES, campaign_id=once.id, length=1)
    hanging = [Client(braze), Client(braze)]

    for client in hanging:
        headers = {"Authorization": f"Bearer {braze.api_key}"}
        target = f"{DATA_SERIES}?campaign_id={twice.id}&length=1"
        client.connection.request("GET", target, headers=headers)
    assert braze.wait_for_requests(2, campaign_id=twice.id)

    assert braze.in_flight(twice.id) == 2
    assert braze.most_in_flight(twice.id) == 2
    assert braze.most_in_flight(once.id) == 1
    for client in hanging:
        client.connection.close()


# The process.


def test_it_is_nowhere_before_it_starts_and_after_it_stops(clock: Clock) -> None:
    """Stopping twice does no harm."""
    braze = Simulator(SimulatorSettings(clock=clock))
    braze.stop()
    with pytest.raises(RuntimeError, match="not started"):
        _ = braze.url

    with braze:
        assert braze.url.startswith("http://127.0.0.1:")

    braze.stop()
    with pytest.raises(RuntimeError, match="not started"):
        _ = braze.url


def test_it_imports_nothing_of_ours_and_no_library() -> None:
    """Only the standard library and its own modules: no misunderstanding is shared."""
    [folder] = exporter.simulator.__path__
    imported = set()

    for path in Path(folder).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module or "a relative import")

    assert {
        name
        for name in imported
        if name != "exporter.simulator"
        and not name.startswith("exporter.simulator.")
        and name.partition(".")[0] not in sys.stdlib_module_names
    } == set()


def test_campaigns_can_be_edited(
    braze: Simulator, client: Client, clock: Clock
) -> None:
    """A rename moves `last_edited`; figures and id stay; a name may be missing."""
    one = braze.campaigns[0]
    before = client.ask(DATA_SERIES, campaign_id=one.id, length=3).body
    clock.now += timedelta(hours=1)

    braze.change(one.id, name="Renamed", tags=(None, "new"))
    listed = {
        each["id"]: each for each in client.ask("/campaigns/list").document["campaigns"]
    }[one.id]
    details = client.ask("/campaigns/details", campaign_id=one.id).document
    clock.now -= timedelta(hours=1)

    assert listed["last_edited"] == (NOON + timedelta(hours=1)).isoformat()
    assert (listed["name"], listed["tags"]) == ("Renamed", [None, "new"])
    assert (details["name"], details["updated_at"]) == (
        "Renamed",
        listed["last_edited"],
    )
    assert client.ask(DATA_SERIES, campaign_id=one.id, length=3).body == before
    assert braze.campaign("Renamed").id == one.id
    braze.change(one.id, is_nameless=True)
    details = client.ask("/campaigns/details", campaign_id=one.id).document
    assert details["name"] is None


def test_campaigns_can_vanish(braze: Simulator, client: Client) -> None:
    """Archived ones from the list, deleted ones for good."""
    archived, deleted = braze.campaigns[:2]

    braze.change(archived.id, is_archived=True)
    braze.remove(deleted.id)

    listed = client.ask("/campaigns/list").document["campaigns"]
    assert not {archived.id, deleted.id} & {each["id"] for each in listed}
    assert client.ask("/campaigns/details", campaign_id=archived.id).status == 200
    assert client.ask("/campaigns/details", campaign_id=deleted.id).status == 400
    with pytest.raises(KeyError):
        braze.campaign(deleted.name)


def test_pages_can_repeat(clock: Clock) -> None:
    """As of a server, or something before it, that passes over the parameter."""
    settings = SimulatorSettings(clock=clock, campaigns=150, repeats_pages=True)
    with Simulator(settings) as braze:
        client = Client(braze)
        first, second = (
            client.ask("/campaigns/list", page=page).document for page in (0, 1)
        )
        client.connection.close()

    assert len(first["campaigns"]) == 100
    assert first == second


def test_an_inactive_campaign_was_never_sent(clock: Clock) -> None:
    """Nor was a draft; the details say null."""
    settings = SimulatorSettings(clock=clock, campaigns=30, active_fraction=0)
    with Simulator(settings) as braze:
        client = Client(braze)
        idle = braze.campaigns[-1].id
        details = client.ask("/campaigns/details", campaign_id=idle).document
        client.connection.close()

    assert (details["first_sent"], details["last_sent"]) == (None, None)


def test_every_answer_tells_the_time(client: Client) -> None:
    """By the simulator's clock, refusals too."""
    date_ = "Tue, 10 Jun 2025 12:00:00 GMT"

    assert client.ask("/campaigns/list").headers["Date"] == date_
    assert client.ask("/campaigns/list", key=None).headers["Date"] == date_
