"""Campaigns of the simulator and the figures of their days."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from exporter.simulator import Incident, Simulator, SimulatorSettings

from tests.unit.simulator.simulator_client import (
    NOON,
    FixedClock,
    HttpClient,
    counters,
    entries,
    rate,
    total_sent,
)

PUSH_FIELDS = {"sent", "direct_opens", "total_opens", "bounces", "body_clicks"}
IN_APP_FIELDS = {
    *("impressions", "clicks", "first_button_clicks", "second_button_clicks")
}
DOCUMENTED_FIELDS = {
    "email": {
        *("sent", "opens", "unique_opens", "clicks", "unique_clicks", "unsubscribes"),
        *("bounces", "delivered", "reported_spam", "machine_open"),
    },
    "ios_push": PUSH_FIELDS,
    "android_push": PUSH_FIELDS,
    "web_push": PUSH_FIELDS,
    "kindle_push": PUSH_FIELDS,
    "sms": {
        *("sent", "sent_to_carrier", "delivered", "rejected", "delivery_failed"),
        *("clicks", "opt_out", "help"),
    },
    "whats_app": {"sent", "delivered", "failed", "read"},
    "content_cards": {
        *("sent", "total_impressions", "unique_impressions", "total_clicks"),
        *("unique_clicks", "total_dismissals", "unique_dismissals"),
    },
    "webhook": {"sent", "errors"},
    "trigger_in_app_message": IN_APP_FIELDS,
    "in_app_message": IN_APP_FIELDS,
}
UNDOCUMENTED_FIELDS = {"rcs": {"sent"}, "line": {"sent"}}
CAMPAIGN_FIELDS = {"unique_recipients", "revenue"} | {
    f"conversions{event}{dated}"
    for event in ("", "1", "2", "3")
    for dated in ("", "_by_send_time")
}
FAILURES = ("bounces", "rejected", "delivery_failed", "failed", "errors")
# Fields of which the first is at most as large as the second.
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


def simulator(now: datetime = NOON, **settings: object) -> Simulator:
    """Return a simulator that is not started."""
    return Simulator(SimulatorSettings(clock=FixedClock(now), **settings))  # type: ignore[arg-type]  # fields of the settings


# Shape of a row.


def test_a_series_has_every_day_in_ascending_order(
    braze: Simulator, client: HttpClient
) -> None:
    """The last row is today's."""
    reply = client.series(braze.campaigns[0], length=100)

    assert reply.document["message"] == "success"
    assert [row["time"] for row in reply.document["data"]] == [
        (NOON.date() - timedelta(days=n)).isoformat() for n in range(99, -1, -1)
    ]
    assert reply.headers["Content-Type"] == "application/json"


def test_every_channel_has_its_fields(braze: Simulator, client: HttpClient) -> None:
    """All channels and fields of Braze's reference, and two channels beyond it."""
    found: dict[str, dict[str, Any]] = {}
    for campaign in braze.campaigns:
        if campaign.sends_on(NOON.date()):
            for channel, entry in entries(client.days(campaign)[0]):
                found.setdefault(channel, entry)

    for channel, fields in (DOCUMENTED_FIELDS | UNDOCUMENTED_FIELDS).items():
        entry = found[channel]
        assert entry["variation_api_id"]
        assert fields <= {k for k, v in entry.items() if isinstance(v, int)}, channel


def test_every_row_has_the_campaign_wide_fields(
    braze: Simulator, client: HttpClient
) -> None:
    """Unused ones are zero; only revenue is a float."""
    for campaign in braze.campaigns:
        [row] = client.days(campaign)

        assert row.keys() == CAMPAIGN_FIELDS | {"time", "messages"}
        assert isinstance(row["revenue"], float)
        assert all(isinstance(row[name], int) for name in CAMPAIGN_FIELDS - {"revenue"})


def test_entries_without_variations_have_no_campaign_wide_fields(
    braze: Simulator, client: HttpClient
) -> None:
    """Several channels with one message each are not variations."""
    [row] = client.days(braze.campaign("Welcome series"))

    assert len(list(entries(row))) == 4
    for _, entry in entries(row):
        assert not entry.keys() & (CAMPAIGN_FIELDS | {"variation_name", "enrolled"})
    assert row["messages"]["sms"] == []


def test_campaign_wide_numbers_are_the_sums_of_the_variations(
    braze: Simulator, client: HttpClient
) -> None:
    """Without the control group."""
    [row] = client.days(braze.campaign("Spring sale 🌷"))

    first, second, control = row["messages"]["email"]
    assert first["variation_name"] == "Subject A"
    assert first["conversions"] != second["conversions"]
    assert row["conversions"] == first["conversions"] + second["conversions"]
    assert row["revenue"] == pytest.approx(first["revenue"] + second["revenue"])
    assert control.keys() == CAMPAIGN_FIELDS | {
        *("variation_api_id", "variation_name", "enrolled")
    }
    assert control["enrolled"] > control["conversions"] > 0


def test_null_stands_for_missing_fields_in_some_campaigns(
    braze: Simulator, client: HttpClient
) -> None:
    """For unused channels, the control group's counters and `enrolled`."""
    [row] = client.days(braze.campaign("Home feed cards"))

    first, _, control = row["messages"]["content_cards"]
    assert row["messages"]["email"] is None
    assert first["enrolled"] is None
    assert control["enrolled"] > 0
    assert control["sent"] is None


def test_buttons_and_slides_have_fields_with_their_titles(
    braze: Simulator, client: HttpClient
) -> None:
    """Titles contain blanks, emoji and accents."""
    [row] = client.days(braze.campaign("Flash sale in the app"))

    entry = row["messages"]["ios_push"][0]
    assert entry["carousel_slide_2_Été à la plage_click"] > 0
    assert entry["notif_button_2_Later 💤_click"] > 0


def test_variation_names_are_not_unique(braze: Simulator, client: HttpClient) -> None:
    """Neither in a channel nor over channels; ids are."""
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


# Figures over time.


def test_the_same_seed_gives_the_same_figures(
    braze: Simulator, client: HttpClient
) -> None:
    """Another seed gives other ids."""
    with simulator() as second, HttpClient(second) as other:
        for campaign in braze.campaigns:
            assert client.days(campaign, length=30) == other.days(campaign, length=30)
    ids = {campaign.id for campaign in braze.campaigns}
    assert not ids & {campaign.id for campaign in simulator(seed=2).campaigns}


def test_ids_do_not_depend_on_the_date() -> None:
    """A configuration for the simulator stays valid."""
    early, late = simulator(), simulator(NOON + timedelta(days=400))

    assert [c.id for c in early.campaigns] == [c.id for c in late.campaigns]


@pytest.mark.parametrize(
    ("zone", "midnight_hours"),
    [("UTC", 24), ("America/New_York", 28), ("Asia/Kolkata", 18.5)],
)
def test_numbers_grow_through_the_day(zone: str, midnight_hours: float) -> None:
    """From zero at local midnight; no counter decreases."""
    clock = FixedClock()
    settings = SimulatorSettings(clock=clock, timezone=zone)
    midnight = NOON.replace(hour=0) + timedelta(hours=midnight_hours)
    with Simulator(settings) as braze, HttpClient(braze) as client:
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
def test_days_change_at_local_midnight(
    zone: str, instant: datetime, today: str
) -> None:
    """The newest row is the local day's."""
    with simulator(instant, timezone=zone) as braze, HttpClient(braze) as client:
        [row] = client.days(braze.campaigns[0])

        assert row["time"] == today


@pytest.mark.parametrize(
    "last_second",
    [
        datetime(2026, 3, 29, 21, 59, 59, tzinfo=UTC),
        datetime(2025, 10, 26, 22, 59, 59, tzinfo=UTC),
    ],
)
def test_days_of_23_and_25_hours_are_complete_at_their_end(
    last_second: datetime,
) -> None:
    """The curve of the day is stretched, not cut."""
    clock = FixedClock()
    settings = SimulatorSettings(
        clock=clock, timezone="Europe/Berlin", has_incidents=False
    )
    with Simulator(settings) as braze, HttpClient(braze) as client:
        clock.now = last_second
        [today] = client.days(braze.campaigns[0])
        clock.now = last_second + timedelta(seconds=1)
        yesterday, _ = client.days(braze.campaigns[0], length=2)

    assert today["time"] == yesterday["time"]
    assert total_sent(today) == pytest.approx(total_sent(yesterday), rel=0.001)


def test_weekends_have_fewer_sends(braze: Simulator, client: HttpClient) -> None:
    """Saturday and Sunday are below every other day."""
    by_weekday = [0.0] * 7
    for row in client.days(braze.campaign("Password reset"), length=29)[:-1]:
        by_weekday[date.fromisoformat(row["time"]).weekday()] += total_sent(row)

    assert max(by_weekday[5:]) < min(by_weekday[:5])


def test_funnels_narrow(braze: Simulator, client: HttpClient) -> None:
    """No stat exceeds the one it is a part of; delivered and bounces are disjoint."""
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
    braze: Simulator, client: HttpClient, clock: FixedClock
) -> None:
    """Late bounces, complaints and conversions by send time are added for a week."""
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


@pytest.mark.parametrize("clock_time", [(0, 1), (0, 5), (12, 0), (23, 55)], ids=str)
@pytest.mark.parametrize(
    "day", ["01-01", "03-29", "06-10", "07-06", "10-27", "12-04", "12-26"]
)
def test_only_the_campaigns_with_incidents_are_abnormal(
    day: str, clock_time: tuple[int, int]
) -> None:
    """From the first minute, on all weekdays: two rates and one silence."""
    hour, minute = clock_time
    midnight = datetime.fromisoformat(f"2025-{day}").replace(tzinfo=UTC)
    now = midnight + timedelta(hours=hour, minutes=minute)
    with simulator(now) as braze, HttpClient(braze) as client:
        for campaign in braze.campaigns:
            rows = client.days(campaign, length=30)
            *past, today = rows
            normal = rows[-15:]
            if campaign.incident in {Incident.BOUNCES, Incident.SPAM}:
                normal = normal[:-1]
                assert total_sent(today) > 2000
                if campaign.incident is Incident.BOUNCES:
                    assert 0.10 < rate(today, "email", "bounces") < 0.15
                else:
                    assert 0.005 < rate(today, "email", "reported_spam") < 0.01
            for row in normal:
                for channel in row["messages"]:
                    for field in FAILURES:
                        assert rate(row, channel, field) < 0.012, campaign.name
                    assert rate(row, channel, "reported_spam") < 0.0004, campaign.name

            sends = [total_sent(row) > 500 for row in past]
            if campaign.incident is Incident.SILENCE:
                assert sends == [True] * 27 + [False] * 2
                assert set(counters(today).values()) == {0}
            elif campaign.is_draft or campaign.is_archived:
                assert not any(sends)
            else:
                created = [row["time"] >= str(campaign.created_on) for row in past]
                assert sends == created, campaign.name
                if clock_time >= (0, 5):
                    assert total_sent(today) > 0, campaign.name


def test_spikes_continue_on_later_days(
    braze: Simulator, client: HttpClient, clock: FixedClock
) -> None:
    """The first day keeps its rate, and later days have it too."""
    clock.now = NOON + timedelta(days=2)

    rows = client.days(braze.campaign_with(Incident.BOUNCES), length=4)

    spikes = [rate(row, "email", "bounces") > 0.1 for row in rows]
    assert spikes == [False, True, True, True]


def test_incidents_can_be_disabled() -> None:
    """The same campaigns are then all normal."""
    braze = simulator(has_incidents=False)

    assert not any(campaign.incident for campaign in braze.campaigns)
    with pytest.raises(LookupError, match="bounces"):
        braze.campaign_with(Incident.BOUNCES)


# Campaigns.


def test_the_named_campaigns_are_varied(braze: Simulator) -> None:
    """Drafts, archived ones, tags that are null and names that need escaping."""
    names = "".join(campaign.name for campaign in braze.campaigns)

    assert len(braze.campaigns) >= 14
    assert {'"', "\\", "🛵", "新"} <= set(names)
    assert any(campaign.is_draft for campaign in braze.campaigns)
    assert any(campaign.is_archived for campaign in braze.campaigns)
    assert any(None in campaign.tags for campaign in braze.campaigns)


def test_days_before_the_creation_are_zero(
    braze: Simulator, client: HttpClient
) -> None:
    """Their rows have the same shape."""
    rows = client.days(braze.campaign("Early access teaser"), length=10)

    assert [total_sent(row) > 0 for row in rows] == [False] * 6 + [True] * 4
    assert counters(rows[0]).keys() == counters(rows[-1]).keys()
    assert set(counters(rows[0]).values()) == {0}


def test_large_fleets_have_unique_campaigns() -> None:
    """`active_fraction` of the generated ones send."""
    named = len(simulator().campaigns)

    campaigns = simulator(campaigns=10_000, active_fraction=0.05).campaigns

    generated = campaigns[named:]
    assert len({campaign.id for campaign in campaigns}) == 10_000
    assert len({campaign.name for campaign in campaigns}) == 10_000
    assert sum(c.sends_on(NOON.date()) for c in generated) == len(generated) // 20


def test_an_inactive_campaign_has_zeros_only() -> None:
    """And was never sent, by its details."""
    with (
        simulator(campaigns=40, active_fraction=0.0) as braze,
        HttpClient(braze) as client,
    ):
        rows = client.days(braze.campaigns[-1], length=3)
        details = client.details(braze.campaigns[-1])

    assert [set(counters(row).values()) for row in rows] == [{0}] * 3
    assert (details["first_sent"], details["last_sent"]) == (None, None)


def test_small_fleets_contain_the_incidents() -> None:
    """They are the first of the named campaigns."""
    campaigns = simulator(campaigns=3).campaigns

    assert {campaign.incident for campaign in campaigns} == set(Incident)
