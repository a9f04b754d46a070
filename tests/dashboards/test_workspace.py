"""The dashboard of the workspace, with figures that the demo does not have."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.dashboards.cases import Check, Labels, Series
from tests.dashboards.dashboard_json import expression, panels

EXPORTER = "braze-exporter"
PAGE = "braze-workspace"
SHOP = {"workspace": "shop"}
DAY = 86_400


def alert(name: str, **labels: str) -> Series:
    """Return the series of a firing alert about the workspace."""
    of = {**SHOP, "alertname": name, "alertstate": "firing", "severity": "warning"}
    return Series("ALERTS", {**of, **labels}, "1x20")


def poll(series: str, up: str) -> Series:
    """Return whether polls of a series of the workspace succeed."""
    return Series("braze_workspace_series_up", {**SHOP, "series": series}, up)


def words_of(panel: str, column: str, code: float) -> str:
    """Return the text of a code in a column of the dashboard of the workspace."""
    [table] = [one for one in panels(PAGE) if one["title"] == panel]
    for override in table["fieldConfig"]["overrides"]:
        for one in override["properties"]:
            if (override["matcher"]["options"], one["id"]) == (column, "mappings"):
                return str(one["value"][0]["options"][f"{code:.0f}"]["text"])
    raise KeyError(column)


SEGMENTS = "Segments: which users can be reached"
VIP = {**SHOP, "segment": "VIP"}


@pytest.mark.parametrize(
    ("sizes", "others", "state"),
    [
        ("10000x6 4999", [], "collapsed"),
        ("10000x6 5000", [], "OK"),
        ("999x6 10", [], "OK"),
        ("1000x6 2001", [], "surged"),
        ("1000x6 2000", [], "OK"),
        ("400x6 999", [], "OK"),
        ("_x7 10", [], "OK"),
        ("4000x6 4000", [alert("BrazeSegmentCollapsed", segment="VIP")], "collapsed"),
        ("4000x6 4000", [alert("BrazeSegmentSurge", segment="VIP")], "surged"),
        ("_x7", [poll("segment VIP", "0x9")], "poll fails"),
    ],
)
def test_the_state_of_a_segment(
    unexpected: Check, sizes: str, others: list[Series], state: str
) -> None:
    """Compared with the same weekday, at 7 days; the alerts compare four weeks."""
    series = [Series("braze_segment_size", VIP, sizes), *others]
    codes = {words_of(SEGMENTS, "State", code): code for code in (0, 1, 2, 4)}
    asked = expression(PAGE, SEGMENTS)

    assert unexpected(asked, series, (VIP, codes[state]), at="7d", step="1d") == ""


EVENTS = "Events: what triggers messages"
ORDER = {**SHOP, "event": "order placed", "unit": "hour"}
HOUR, LAST_DAY = 14 * DAY - 2 * 3600, 14 * DAY - 48 * 3600
"""Starts of the newest complete hour and day at 14 days."""


@pytest.mark.parametrize(
    ("counts", "unit", "start", "others", "state", "usual"),
    [
        ("30x13 0", "hour", HOUR, [], "stopped", 30),
        ("30x13 0", "day", LAST_DAY, [], "stopped", 30),
        ("15x6 24x6 0", "hour", HOUR, [], "OK", 19.5),
        ("16x6 24x6 0", "hour", HOUR, [], "stopped", 20),
        ("_x7 20x6 0", "hour", HOUR, [], "stopped", 20),
        ("_x8 20x5 0", "hour", HOUR, [], "none", None),
        ("30x13 1", "hour", HOUR, [], "OK", 30),
        ("30x13 0", "hour", HOUR - 7200, [], "late", 30),
        ("30x13 0", "day", LAST_DAY - 3 * 3600, [], "late", 30),
        ("5x13 0", "hour", HOUR, ["alert"], "stopped", 5),
        ("_x14", "hour", None, ["poll"], "poll fails", None),
    ],
)
def test_the_state_of_an_event(
    unexpected: Check,
    counts: str,
    unit: str,
    start: int | None,
    others: list[str],
    state: str,
    usual: float | None,
) -> None:
    """Compared with one and two weeks before, at 14 days."""
    of = {**ORDER, "unit": unit}
    known = {
        "alert": alert("BrazeEventStopped", event="order placed", unit=unit),
        "poll": poll(f"event order placed {unit}", "0x14"),
    }
    series = [Series("braze_event_count", of, counts), *map(known.__getitem__, others)]
    if start is not None:
        began = " ".join(str(start - 14 * DAY + day * DAY) for day in range(15))
        series.append(Series("braze_event_timestamp_seconds", of, began))
    codes = {words_of(EVENTS, "State", code): code for code in range(5)}
    silent = float(state in {"stopped", "none"})
    count: list[tuple[Labels, float]] = [] if state == "poll fails" else [({}, silent)]
    at = {"at": "14d", "step": "1d"}

    for asked, expected in (
        (expression(PAGE, EVENTS, "A"), [(of, codes[state])]),
        (expression(PAGE, EVENTS, "C"), [(of, usual)] if usual else []),
        (expression(PAGE, "Events stopped"), count),
    ):
        assert unexpected(asked, series, *expected, **at) == ""


def test_figures_of_the_newest_hour_are_those_of_the_replica_that_has_it(
    unexpected: Check,
) -> None:
    series = []
    for instance, count, start in (("a", 900, -7200), ("b", 5, -3600)):
        of = {**ORDER, "instance": instance}
        series += [
            Series("braze_event_count", of, count),
            Series("braze_event_timestamp_seconds", of, start),
        ]

    assert unexpected(expression(PAGE, EVENTS, "B"), series, (ORDER, 5)) == ""


INGESTION = "Data ingestion: what feeds it"
USERS = {**SHOP, "integration": "Users"}


@pytest.mark.parametrize(
    ("status", "others", "state", "failing"),
    [
        ("success", [], "OK", 0),
        ("running", [], "OK", 0),
        ("partial", [], "partial", 0),
        ("error", [], "fails", 1),
        ("config_error", [], "fails", 1),
        ("FAILED", [], "fails", 1),
        (
            "success",
            [alert("BrazeDataIngestionFailing", integration="Users")],
            "overdue",
            1,
        ),
        (
            "error",
            [alert("BrazeDataIngestionFailing", integration="Users")],
            "fails",
            1,
        ),
        ("", [], "unknown", 0),
    ],
)
def test_the_state_of_an_integration(
    unexpected: Check, status: str, others: list[Series], state: str, failing: int
) -> None:
    of = {**USERS, "status": status} if status else USERS
    family = "braze_data_ingestion_last_sync_timestamp_seconds"
    series = [Series(family, USERS, -7200), *others]
    if status:
        series.append(Series("braze_data_ingestion_status_info", of, 1))
    codes = {words_of(INGESTION, "State", code): code for code in range(5)}

    for asked, expected in (
        (expression(PAGE, INGESTION, "A"), (of, codes[state])),
        (expression(PAGE, INGESTION, "B"), (of, 7200)),
        (expression(PAGE, "Data feeds failing"), ({}, failing)),
    ):
        assert unexpected(asked, series, expected) == ""


def test_planned_sends_and_those_that_were_missed(unexpected: Check) -> None:
    """A single send leaves the list when its time passed; its time stays known."""
    table, tile = "Broadcasts: what is planned", "Next broadcast"
    next_send = "braze_broadcast_next_send_timestamp_seconds"
    series = [
        Series(next_send, {**SHOP, "kind": "canvas", "name": "Tour"}, "99000x3"),
        Series(next_send, {**SHOP, "kind": "campaign", "name": "Daily"}, "9000x3"),
        Series(next_send, {**SHOP, "kind": "campaign", "name": "Once"}, "600 stale"),
        Series(next_send, {**SHOP, "kind": "campaign", "name": "Sent"}, "600 stale"),
    ]
    missed = alert("BrazeBroadcastMissed", campaign="Once")
    tour = {**SHOP, "kind": "canvas", "name": "Tour"}
    daily = {**SHOP, "kind": "campaign", "name": "Daily"}
    once = {**SHOP, "kind": "campaign", "name": "Once"}
    codes = {words_of(table, "State", code): code for code in range(2)}
    at = {"at": "60m", "step": "30m"}

    for asked, some, expected in (
        (
            expression(PAGE, table, "A"),
            [*series, missed],
            [
                (tour, codes["planned"]),
                (daily, codes["planned"]),
                (once, codes["missed"]),
            ],
        ),
        (
            expression(PAGE, table, "B"),
            [*series, missed],
            [(tour, 99e6), (daily, 9e6), (once, 6e5)],
        ),
        (expression(PAGE, tile), series, [({}, 5400)]),
        (expression(PAGE, tile), [*series, missed], [({}, -1)]),
        (expression(PAGE, tile), series[2:], []),
    ):
        assert unexpected(asked, some, *expected, **at) == ""


def test_the_state_of_polls_of_series(unexpected: Check) -> None:
    """Failing without a success, failing, late, and in time; one replica is enough."""
    panel = "Polls of the series, with the reason"
    reason = {"reason": "forbidden"}
    series = [
        *(poll(name, "0x9") for name in ("mau", "dau")),
        *(poll(name, "1x9") for name in ("sessions", "broadcasts")),
        replace(poll("mau", "1x9"), labels={**SHOP, "series": "mau", "instance": "b"}),
    ]
    family = "braze_workspace_series_"
    for name in ("mau", "dau"):
        of = {**SHOP, "series": name, **reason}
        series.append(Series(f"{family}failure_info", of, "1x9"))
    for name, success in (("mau", 60), ("sessions", 0), ("broadcasts", 180)):
        of = {**SHOP, "series": name}
        series += [
            Series(f"{family}last_success_timestamp_seconds", of, f"{success}x9"),
            Series(f"{family}interval_seconds", of, "100x9"),
        ]

    def states(*codes: tuple[str, float]) -> list[tuple[Labels, float]]:
        return [
            (
                {**SHOP, "series": name} | (reason if name in {"mau", "dau"} else {}),
                code,
            )
            for name, code in codes
        ]

    expected = {
        "A": states(("mau", 0), ("dau", 0), ("sessions", 1), ("broadcasts", 2)),
        "B": states(("mau", 240), ("dau", 1e9), ("sessions", 300), ("broadcasts", 120)),
    }
    for letter, found in expected.items():
        asked = expression(PAGE, panel, letter)
        assert unexpected(asked, series, *found, at="5m") == "", letter
    for name in (PAGE, "braze-overview", EXPORTER):
        title = "Failing series" if name == PAGE else "Failing polls"
        for letter, count in (("A", 1), ("B", 4)):
            asked = expression(name, title, letter)
            assert unexpected(asked, series, ({}, count), at="5m") == "", name


def test_email_of_a_workspace_is_that_of_campaigns_and_canvases(
    unexpected: Check,
) -> None:
    """Without doubled replicas; of several periods, never added up."""
    panel = "All email together, campaigns and canvases"
    sums = (("sent", 1000), ("bounces", 20), ("delivered", 980), ("reported_spam", 3))
    series = []
    for kind, labels in (
        ("campaign", {"campaign": "Spring", "variation": "A"}),
        ("canvas", {"canvas": "Tour"}),
    ):
        for instance in "ab":
            of = {**SHOP, **labels, "channel": "email", "instance": instance}
            for at, (suffix, more) in enumerate(
                (
                    ("daily", {}),
                    ("last_complete_day", {}),
                    ("trailing", {"window": "28d"}),
                ),
                start=1,
            ):
                series += [
                    Series(
                        f"braze_{kind}_{suffix}",
                        {**of, **more, "metric": name},
                        at * value,
                    )
                    for name, value in sums
                ]
            day = {**SHOP, "instance": instance, kind: labels[kind]}
            series.append(Series(f"braze_{kind}_daily_timestamp_seconds", day, 0))
    days = ("today so far", "last day", "28 days")

    for letter, values in (
        ("A", (2000, 4000, 6000)),
        ("B", (40, 80, 120)),
        ("C", (6, 12, 18)),
        ("D", (0.02,) * 3),
        ("E", (3 / 980,) * 3),
    ):
        expected = [
            ({**SHOP, "days": name}, value)
            for name, value in zip(days, values, strict=True)
        ]
        asked = expression(PAGE, panel, letter)
        assert unexpected(asked, series, *expected) == "", letter


def test_messages_of_the_month_against_the_contract(unexpected: Check) -> None:
    """At the 15th of a January 14 of 31 days are over; one contract is not used yet."""
    email, sms = ({**SHOP, "channel": name} for name in ("email", "sms"))
    family = "month_to_date_messages"
    series = [
        Series(
            "braze_workspace_contract_messages", {**email, "instance": one}, "9000x14"
        )
        for one in "ab"
    ]
    series += [
        Series("braze_workspace_contract_messages", sms, "200x14"),
        Series(f"braze_campaign_{family}", {**email, "campaign": "Spring"}, "1000x14"),
        Series(f"braze_canvas_{family}", {**email, "canvas": "Tour"}, "3500x14"),
        Series(
            f"braze_canvas_{family}",
            {**email, "canvas": "Tour", "instance": "b"},
            "3500x14",
        ),
        Series(
            "braze_campaign_daily_timestamp_seconds",
            {**SHOP, "campaign": "Spring"},
            f"{14 * DAY}x14",
        ),
    ]
    at = {"at": "14d", "step": "1d"}

    for letter, expected in (
        ("A", [(email, 0.5)]),
        ("B", [(email, 0.5 * 31 / 14)]),
        ("C", [(email, 4500)]),
        ("D", [(email, 9000), (sms, 200)]),
    ):
        asked = expression(PAGE, "Messages of this month against the contract", letter)
        assert unexpected(asked, series, *expected, **at) == "", letter


@pytest.mark.parametrize(
    ("utc_offset_hours", "at", "gone"),
    [
        (-10, "31d", 30 + 14 / 24),
        (13, "30d", 30 + 13 / 24),
        (13, "31d", 1),  # at least a day
    ],
)
def test_the_month_is_over_by_the_time_zone_of_the_workspace(
    unexpected: Check, utc_offset_hours: int, at: str, gone: float
) -> None:
    email = {**SHOP, "channel": "email"}
    days = 24 * int(at.removesuffix("d"))
    start = (days + utc_offset_hours) // 24 * 86400 - utc_offset_hours * 3600
    series = [
        Series("braze_workspace_contract_messages", email, "9000x40"),
        Series(
            "braze_canvas_month_to_date_messages",
            {**email, "canvas": "Tour"},
            "900x40",
        ),
        Series(
            "braze_canvas_daily_timestamp_seconds",
            {**SHOP, "canvas": "Tour"},
            f"{start}x40",
        ),
    ]
    asked = expression(PAGE, "Messages of this month against the contract", "B")
    of_month = 28 if gone == 1 else 31

    found = unexpected(
        asked, series, (email, 0.1 / (gone / of_month)), at=at, step="1d"
    )
    assert found == ""


def test_the_change_of_users_is_from_the_same_weekday(unexpected: Check) -> None:
    panel = "Users, sessions and purchases, last complete day"
    of = {**SHOP, "metric": "dau"}
    series = [Series("braze_workspace_last_complete_day", of, "200 900x5 250")]
    asked = expression(PAGE, panel, "B")

    assert unexpected(asked, series, (of, 0.25), at="7d", step="1d") == ""


def test_alerts_about_series_lead_to_the_workspace(unexpected: Check) -> None:
    """Those about the whole workspace, such as of its key, lead to the exporter."""
    about: tuple[tuple[str, dict[str, str], str], ...] = (
        ("BrazeSegmentSurge", {"segment": "VIP"}, "VIP"),
        ("BrazeEventStopped", {"event": "order", "unit": "hour"}, "order"),
        ("BrazeDataIngestionFailing", {"integration": "Users"}, "Users"),
        ("BrazeCampaignFailing", {"kind": "event"}, "event"),
        ("BrazeUninstallSpike", {}, "uninstalls"),
        ("BrazeRateLimited", {}, ""),
        ("BrazeSendsStopped", {"canvas": "Tour"}, "Tour"),
    )
    series = [alert(name, **labels) for name, labels, _ in about]
    kinds = {"": "exporter", "Tour": "canvas"}
    expected = [
        (
            {
                **SHOP,
                "alertname": alertname,
                "alertstate": "firing",
                "severity": "warning",
                "kind": kinds.get(name, "workspace/series"),
                **({"name": name} if name else {}),
            },
            -1,
        )
        for alertname, _, name in about
    ]
    asked = expression("braze-overview", "Firing and pending alerts")

    assert unexpected(asked, series, *expected) == ""


def test_tables_begin_with_a_state_and_say_what_is_not_configured() -> None:
    """The worst is first; of planned sends the soonest."""
    found = [one for one in panels(PAGE) if one["type"] == "table"]
    sorted_by = {}
    for table in found:
        [organized] = [
            one["options"]
            for one in table["transformations"]
            if one["id"] == "organize"
        ]
        order = organized["indexByName"]
        first = organized["renameByName"][min(order, key=order.__getitem__)]
        if "State" in organized["renameByName"].values():
            assert first == "State", table["title"]
            [sort] = table["options"]["sortBy"]
            sorted_by[table["title"]] = (sort["displayName"], sort["desc"])
        nothing = table["fieldConfig"]["defaults"]["noValue"]
        words = r"\bseries\b|`contract`|polled|figures"
        assert re.search(words, nothing), table["title"]

    assert len(found) == 8
    assert sorted_by.pop("Broadcasts: what is planned") == ("Next send", False)
    assert set(sorted_by.values()) == {("State", False)}
    assert len(sorted_by) == 4
