"""Campaigns of the simulator and the figures of their days."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from exporter.simulator import Incident

from tests.unit.simulator.simulator_client import (
    NOON,
    Client,
    FixedClock,
    counters,
    entries,
    rate,
    serving,
    simulator,
    total_sent,
)

PUSH = "sent direct_opens total_opens bounces body_clicks"
IN_APP = "impressions clicks first_button_clicks second_button_clicks"
FIELDS = {
    "email": "sent opens unique_opens clicks unique_clicks unsubscribes bounces "
    "delivered reported_spam machine_open",
    "ios_push": PUSH,
    "android_push": PUSH,
    "web_push": PUSH,
    "kindle_push": PUSH,
    "sms": "sent sent_to_carrier delivered rejected delivery_failed clicks opt_out "
    "help",
    "whats_app": "sent delivered failed read",
    "content_cards": "sent total_impressions unique_impressions total_clicks "
    "unique_clicks total_dismissals unique_dismissals",
    "webhook": "sent errors",
    "trigger_in_app_message": IN_APP,
    "in_app_message": IN_APP,
    "rcs": "sent",
    "line": "sent",
}
"""Those of Braze's reference, and two channels that it does not describe."""
CAMPAIGN_FIELDS = {"unique_recipients", "revenue"} | {
    f"conversions{event}{dated}"
    for event in ("", "1", "2", "3")
    for dated in ("", "_by_send_time")
}
FAILURES = ("bounces", "rejected", "delivery_failed", "failed", "errors")
# Fields of which the first is at most as large as the second.
FUNNEL = (
    *(("delivered", "sent"), ("sent_to_carrier", "sent"), ("unique_opens", "opens")),
    *(("unique_clicks", "clicks"), ("opens", "sent"), ("clicks", "opens")),
    *(("direct_opens", "total_opens"), ("read", "delivered")),
    ("unique_impressions", "total_impressions"),
    ("unique_dismissals", "total_dismissals"),
)


def test_every_channel_and_campaign_has_its_fields(client: Client) -> None:
    """Unused ones are zero; only revenue is a float."""
    found: dict[str, Any] = {}
    for campaign in client.braze.campaigns:
        [row] = client.days(campaign)
        assert row.keys() == CAMPAIGN_FIELDS | {"time", "messages"}
        assert isinstance(row["revenue"], float)
        assert all(isinstance(row[name], int) for name in CAMPAIGN_FIELDS - {"revenue"})
        for channel, entry in entries(row):
            if entry.get("variation_name") != "Control Group" and not campaign.is_draft:
                found.setdefault(channel, entry)

    for channel, fields in FIELDS.items():
        numbers = {k for k, v in found[channel].items() if isinstance(v, int)}
        assert set(fields.split()) <= numbers, channel


def test_entries_without_variations_have_no_user_stats(client: Client) -> None:
    """Several channels with one message each are not variations."""
    [row] = client.days(client.braze.campaign("Welcome series"))

    found = [entry for _, entry in entries(row)]
    assert len(found) == 4
    for entry in found:
        assert entry["variation_api_id"]
        assert not entry.keys() & (CAMPAIGN_FIELDS | {"variation_name", "enrolled"})
    assert row["messages"]["sms"] == []


def test_campaign_wide_numbers_exclude_the_control_group(client: Client) -> None:
    [row] = client.days(client.braze.campaign("Spring sale 🌷"))

    first, second, control = row["messages"]["email"]
    assert first["variation_name"] == "Subject A"
    assert first["conversions"] != second["conversions"]
    assert row["conversions"] == first["conversions"] + second["conversions"]
    assert row["revenue"] == pytest.approx(first["revenue"] + second["revenue"])
    assert control.keys() == CAMPAIGN_FIELDS | {
        *("variation_api_id", "variation_name", "enrolled")
    }
    assert control["enrolled"] > control["conversions"] > 0


def test_null_replaces_missing_fields_in_some_campaigns(client: Client) -> None:
    [row] = client.days(client.braze.campaign("Home feed cards"))

    first, _, control = row["messages"]["content_cards"]
    assert row["messages"]["email"] is first["enrolled"] is control["sent"] is None
    assert control["enrolled"] > 0


def test_variation_names_are_not_unique(client: Client) -> None:
    [push] = client.days(client.braze.campaign("Flash sale in the app"))
    [mail] = client.days(client.braze.campaign("Weekly newsletter"))

    found = [entry for row in (push, mail) for _, entry in entries(row)]
    names = [entry["variation_name"] for entry in found]
    assert names[-4:] == ["Morning", "Noon", "Evening", "Evening"]
    assert names.count("Variant 1") == 2
    assert len({entry["variation_api_id"] for entry in found}) == len(found)
    assert found[0]["carousel_slide_2_Été à la plage_click"] > 0
    assert found[0]["notif_button_2_Later 💤_click"] > 0


def test_the_same_seed_gives_the_same_figures(client: Client) -> None:
    """Ids depend on the seed only: a configuration stays valid on later days."""
    ids = {campaign.id for campaign in client.braze.campaigns}
    with serving() as other:
        for campaign in client.braze.campaigns:
            assert client.days(campaign, length=30) == other.days(campaign, length=30)

    later = simulator(FixedClock(NOON + timedelta(days=400)))
    assert ids == {campaign.id for campaign in later.campaigns}
    assert not ids & {campaign.id for campaign in simulator(seed=2).campaigns}


@pytest.mark.parametrize(
    ("zone", "midnight_hours"),
    [("UTC", 24), ("America/New_York", 28), ("Asia/Kolkata", 18.5)],
)
def test_numbers_grow_from_zero_at_local_midnight(
    zone: str, midnight_hours: float
) -> None:
    clock = FixedClock()
    midnight = NOON.replace(hour=0) + timedelta(hours=midnight_hours)
    with serving(clock, timezone=zone) as client:
        for campaign in client.braze.campaigns:
            clock.now = midnight - timedelta(seconds=1)
            [yesterday] = client.days(campaign)
            clock.now = midnight
            [today] = client.days(campaign)
            assert today["time"] > yesterday["time"]
            before = counters(today)
            assert set(before.values()) <= {0}
            for minutes in (1, 5, 60, 300, 600, 601, 720, 1000, 1200, 1439):
                clock.now = midnight + timedelta(minutes=minutes)
                now = counters(client.days(campaign)[0])
                assert now.keys() == before.keys()
                assert all(now[key] >= before[key] for key in now)
                before = now


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
    clock = FixedClock(last_second)
    settings = {"timezone": "Europe/Berlin", "has_incidents": False}
    with serving(clock, **settings) as client:
        [today] = client.days(client.braze.campaigns[0])
        clock.now += timedelta(seconds=1)
        yesterday, _ = client.days(client.braze.campaigns[0], length=2)

    assert not any(campaign.incident for campaign in client.braze.campaigns)
    assert today["time"] == yesterday["time"]
    assert total_sent(today) == pytest.approx(total_sent(yesterday), rel=0.001)


def test_no_stat_exceeds_the_one_it_is_a_part_of(client: Client) -> None:
    """Delivered and bounced messages are disjoint."""
    found = [
        entry
        for campaign in client.braze.campaigns
        for row in client.days(campaign, length=10)
        for _, entry in entries(row)
    ]

    for entry in found:
        for narrow, wide in FUNNEL:
            if entry.get(narrow) and wide in entry:
                assert entry[narrow] <= entry[wide], narrow
        if entry.get("sent") and "bounces" in entry:
            assert entry.get("delivered", 0) + entry["bounces"] <= entry["sent"]


def test_past_days_are_restated_upwards_for_a_week(
    client: Client, clock: FixedClock
) -> None:
    fields = ("bounces", "reported_spam", "conversions_by_send_time")
    campaign = client.braze.campaigns[1]
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


@pytest.mark.parametrize("minutes", [1, 5, 720, 1435])
@pytest.mark.parametrize("day", ["01-01", "03-29", "06-10", "07-06", "10-27", "12-04"])
def test_only_the_campaigns_with_incidents_are_abnormal(day: str, minutes: int) -> None:
    """From the first minute, on all weekdays: two rates and one silence."""
    midnight = datetime.fromisoformat(f"2025-{day}").replace(tzinfo=UTC)
    now = FixedClock(midnight + timedelta(minutes=minutes))
    with serving(now) as client:
        for campaign in client.braze.campaigns:
            *past, today = client.days(campaign, length=30)
            normal = past[-14:]
            match campaign.incident:
                case Incident.BOUNCES:
                    assert 0.10 < rate(today, "email", "bounces") < 0.15
                case Incident.SPAM:
                    assert 0.005 < rate(today, "email", "reported_spam") < 0.01
                case _:
                    normal = [*normal, today]
            for row in normal:
                for channel, field in itertools.product(row["messages"], FAILURES):
                    assert rate(row, channel, field) < 0.012, campaign.name
                assert rate(row, "email", "reported_spam") < 0.0004, campaign.name

            sends = [total_sent(row) > 500 for row in past]
            if campaign.incident is Incident.SILENCE:
                assert sends == [True] * 27 + [False] * 2
                assert set(counters(today).values()) == {0}
            elif campaign.is_draft or campaign.is_archived:
                assert not any(sends)
            else:
                created = [row["time"] >= str(campaign.created_on) for row in past]
                assert sends == created, campaign.name
                if not created[0]:
                    assert set(counters(past[0]).values()) == {0}
                    assert counters(past[0]).keys() == counters(today).keys()
                least = 2000 if campaign.incident else 0
                assert total_sent(today) > least or minutes < 5, campaign.name


def test_spikes_continue_on_later_days(client: Client, clock: FixedClock) -> None:
    clock.now = NOON + timedelta(days=2)

    rows = client.days(client.braze.campaign_with(Incident.BOUNCES), length=4)

    spikes = [rate(row, "email", "bounces") > 0.1 for row in rows]
    assert spikes == [False, True, True, True]


def test_a_fraction_of_the_generated_campaigns_sends() -> None:
    named = len(simulator().campaigns)

    campaigns = simulator(campaigns=10_000, active_fraction=0.05).campaigns

    generated = campaigns[named:]
    assert len({campaign.id for campaign in campaigns}) == 10_000
    assert len({campaign.name for campaign in campaigns}) == 10_000
    assert sum(c.is_active_on(NOON.date()) for c in generated) == len(generated) // 20
    small = simulator(campaigns=3).campaigns
    assert {campaign.incident for campaign in small} == set(Incident)


def test_an_inactive_campaign_has_zeros_only_and_was_never_sent() -> None:
    with serving(campaigns=40, active_fraction=0.0) as client:
        *_, inactive = client.braze.campaigns
        rows = client.days(inactive, length=3)
        details = client.details(inactive)

    assert [set(counters(row).values()) for row in rows] == [{0}] * 3
    assert details["first_sent"] is details["last_sent"] is None
