"""Canvases of the simulator and the figures of their days."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import Any

import pytest
from exporter.simulator import Incident

from tests.unit.simulator.simulator_client import (
    NOON,
    Client,
    FixedClock,
    numbers,
    sent_by_step,
    serving,
    simulator,
)

CONVERSIONS = {"revenue", "conversions", "conversions_by_entry_time"}
FIELDS = {
    "email": "sent opens unique_opens clicks unique_clicks unsubscribes bounces "
    "delivered reported_spam machine_open",
    "ios_push": "sent opens influenced_opens bounces",
    "android_push": "sent opens influenced_opens bounces",
    "web_push": "sent opens influenced_opens bounces",
    "sms": "sent sent_to_carrier delivered rejected delivery_failed clicks opt_out "
    "help",
    "whats_app": "sent delivered failed read",
    "content_cards": "sent total_impressions unique_impressions total_clicks",
    "webhook": "sent errors",
    "in_app_message": "impressions clicks first_button_clicks second_button_clicks",
    "rcs": "sent",
    "line": "sent",
}


def events_of(row: Any) -> set[str]:
    return {name for name in row["total_stats"] if name.startswith("conversions")}


def test_every_level_has_its_fields(client: Client) -> None:
    """Only revenue is a float; a total has no sends and a step has no entries."""
    channels: dict[str, set[str]] = defaultdict(set)
    for canvas in client.braze.canvases:
        [row] = client.canvas_days(canvas)
        total, conversions = row["total_stats"], {"revenue", *events_of(row)}
        assert total.keys() == {"entries"} | conversions
        assert isinstance(total["revenue"], float)
        assert all(isinstance(v, int) for k, v in total.items() if k != "revenue")
        for variant in row["variant_stats"].values():
            assert variant.keys() == {"name", "entries"} | conversions
        for step in row["step_stats"].values():
            assert step.keys() - {"messages"} == {"name"} | conversions
            for channel, entries in (step.get("messages") or {}).items():
                for entry in entries:
                    channels[channel] |= entry.keys()

    assert channels.keys() == FIELDS.keys()
    for channel, fields in FIELDS.items():
        assert set(fields.split()) <= channels[channel], channel
    assert not channels["ios_push"] & {"direct_opens", "total_opens"}


def test_unused_conversion_events_are_absent_and_later_ones_go_on(
    client: Client,
) -> None:
    [one] = client.canvas_days(client.braze.canvas("Back in stock"))
    [six] = client.canvas_days(client.braze.canvas("Win-back journey ♻️"))

    assert events_of(one) == CONVERSIONS - {"revenue"}
    expected = {f"conversions{number or ''}" for number in range(6)}
    assert events_of(six) == expected | {f"{one}_by_entry_time" for one in expected}


def test_totals_are_sums_of_the_variants_with_the_control_group(
    client: Client,
) -> None:
    for canvas in client.braze.canvases:
        for row in client.canvas_days(canvas, length=7):
            for name, value in row["total_stats"].items():
                parts = [one[name] for one in row["variant_stats"].values()]
                assert value == pytest.approx(sum(parts)), (canvas.name, name)

    [row] = client.canvas_days(client.braze.canvas("Onboarding 2026 👋"))
    treated, control = row["variant_stats"].values()
    assert control["name"] == "Control Group"
    assert treated["entries"] > control["entries"] > control["conversions"] > 0


def test_steps_have_a_part_of_the_conversions(client: Client) -> None:
    """Others convert before the first message."""
    for canvas in client.braze.canvases:
        if canvas.incident:
            continue
        for row in client.canvas_days(canvas, length=10):
            for name in events_of(row):
                steps = sum(step[name] for step in row["step_stats"].values())
                total = row["total_stats"].get(name, 0)
                assert steps <= total
                assert steps < total or total < 5


def test_names_of_steps_are_not_unique(client: Client) -> None:
    canvas = client.braze.canvas("Basket, 3 touches")
    [row] = client.canvas_days(canvas)

    names = [step["name"] for step in row["step_stats"].values()]
    assert names.count("Reminder") == 3
    assert names.count("Last call") == 2
    assert row["step_stats"].keys() == {step.id for step in canvas.steps}
    assert row["variant_stats"].keys() == {one.id for one in canvas.variants}


def test_a_channel_may_have_several_entries_without_ids(client: Client) -> None:
    [row] = client.canvas_days(client.braze.canvas("Back in stock"))

    [alert, text] = row["step_stats"].values()
    assert [len(alert["messages"][one]) for one in alert["messages"]] == [2, 2, 2]
    assert text["messages"]["sms"][0].keys() == text["messages"]["sms"][1].keys()
    assert "variation_api_id" not in text["messages"]["sms"][0]


def test_delays_have_no_messages_and_no_conversions(client: Client) -> None:
    """In some canvases their messages are null, as are days before the creation."""
    [row] = client.canvas_days(client.braze.canvas("Onboarding 2026 👋"))
    tiers = client.braze.canvas("Loyalty tiers")
    [nulls] = client.canvas_days(tiers)
    early = str(tiers.created_on - timedelta(days=1))
    [before] = client.canvas_days(tiers, ending_at=f"{early}T23:00")

    wait = list(row["step_stats"].values())[1]
    assert "messages" not in wait
    assert {wait[name] for name in CONVERSIONS} == {0}
    assert next(iter(nulls["step_stats"].values()))["messages"] is None
    assert before == {
        "time": early,
        "total_stats": {},
        "variant_stats": None,
        "step_stats": None,
    }


def test_a_delay_postpones_the_messages_of_the_steps_after_it(
    client: Client,
) -> None:
    """A new canvas sends its second step a day after the first one."""
    canvas = client.braze.canvas("Early access list")
    rows = client.canvas_days(canvas, length=5)

    sent = [[value > 0 for value in sent_by_step(row).values()] for row in rows]
    assert sent == [[False, False], [True, False], *[[True, True]] * 3]
    entered = [row["total_stats"]["entries"] > 0 for row in rows]
    assert entered == [False, True, True, True, True]


def test_only_the_silent_canvas_is_entered_without_sending(client: Client) -> None:
    """For two complete days and today; stopped canvases are not entered either."""
    silent = client.braze.canvas_with(Incident.SILENCE)
    for canvas in client.braze.canvases:
        rows = client.canvas_days(canvas, length=14)
        sends = [sum(sent_by_step(row).values()) > 0 for row in rows]
        entered = [row["total_stats"].get("entries", 0) > 0 for row in rows]
        if canvas is silent:
            assert sends == [True] * 11 + [False] * 3
            assert entered == [True] * 14
        else:
            assert sends == entered
            assert all(entered[-3:]) is client.canvas_details(canvas)["enabled"]


def test_a_stopped_canvas_was_entered_until_it_was_stopped(client: Client) -> None:
    canvas = client.braze.canvas("Summer festival")
    assert canvas.stopped_on is not None

    rows = client.canvas_days(
        canvas, length=4, ending_at=str(canvas.stopped_on + timedelta(days=2))
    )

    entered = [row["total_stats"]["entries"] > 0 for row in rows]
    assert entered == [True, True, False, False]


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
        for canvas in client.braze.canvases:
            clock.now = midnight
            [yesterday] = client.canvas_days(canvas)
            clock.now = midnight + timedelta(milliseconds=1)
            [today] = client.canvas_days(canvas)
            assert today["time"] > yesterday["time"]
            before = dict(numbers(today))
            assert set(before.values()) <= {0}
            for minutes in (1, 60, 600, 601, 1000, 1439):
                clock.now = midnight + timedelta(minutes=minutes)
                now = dict(numbers(client.canvas_days(canvas)[0]))
                assert now.keys() == before.keys()
                assert all(now[key] >= before[key] for key in now)
                before = now


def test_past_days_are_restated_upwards_for_a_week(
    client: Client, clock: FixedClock
) -> None:
    canvas = client.braze.canvas("Onboarding 2026 👋")
    welcome = canvas.steps[0].id
    seen = []

    for days in range(1, 12):
        clock.now = NOON + timedelta(days=days)
        row = client.canvas_days(canvas, length=days + 1)[0]
        assert row["time"] == "2025-06-10"
        step = row["step_stats"][welcome]
        seen.append(
            (
                row["total_stats"]["conversions_by_entry_time"],
                step["conversions_by_entry_time"],
                step["messages"]["email"][0]["bounces"],
            )
        )

    for values in zip(*seen, strict=True):
        assert list(values) == sorted(values)
        assert values[0] <= values[-1] < values[0] * 1.4
        assert values[7] == values[-1]
    assert seen[0][0] < seen[-1][0]


def test_the_same_seed_gives_the_same_figures(client: Client) -> None:
    """Ids depend on the seed only: a configuration stays valid on later days."""
    with serving() as other:
        for canvas in client.braze.canvases:
            mine = client.canvas_days(canvas, length=14)
            assert mine == other.canvas_days(canvas, length=14)

    def ids(**settings: Any) -> set[str]:
        clock = settings.pop("clock", None)
        canvases = simulator(clock, canvases=50, **settings).canvases
        found = [one.id for one in canvases]
        found += [one.id for each in canvases for one in each.variants]
        found += [one.id for each in canvases for one in each.steps]
        assert len(set(found)) == len(found)
        return set(found)

    assert ids() == ids(clock=FixedClock(NOON + timedelta(days=400)))
    assert not ids() & ids(seed=2)


def test_a_fraction_of_the_generated_canvases_is_entered() -> None:
    named = len(simulator().canvases)

    canvases = simulator(canvases=2_000, active_fraction=0.05).canvases

    generated = canvases[named:]
    entered = sum(one.is_active_on(NOON.date()) for one in generated)
    assert len({one.name for one in canvases}) == 2_000
    assert entered == len(generated) // 20
    assert simulator(canvases=0).canvases == ()
    with serving(canvases=40, active_fraction=0.0) as client:
        *_, inactive = client.braze.canvases
        details = client.canvas_details(inactive)
        rows = client.canvas_days(inactive, length=3)
    assert details["first_entry"] is details["last_entry"] is None
    assert {value for row in rows for _, value in numbers(row)} == {0}
