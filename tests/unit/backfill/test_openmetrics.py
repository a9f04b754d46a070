"""Histories as OpenMetrics, read back by the official parser."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from exporter.backfill import openmetrics, sampling
from exporter.metrics.object_metrics import ObjectLabels
from exporter.model.snapshot import ObjectHistory
from exporter.series import parse
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics import parser

from tests.support import data_series, naive_oracle
from tests.support.snapshots import OPTIONS

TODAY = date(2026, 3, 10)  # two days after New York's clocks went forward
ZONE = ZoneInfo("America/New_York")
CAMPAIGN = ObjectLabels(
    "shop", "campaign", 'Send "hi"\n🌷', "c-1", {"team": "crm", "pod": "red"}
)
STEP_SECONDS = 6 * 3600
E = "exported_"

rows = data_series.rows(data_series.times(TODAY, st.integers(-1, 6)))


def parsed(*rows: object, days: int = 4) -> ObjectHistory:
    options = OPTIONS._replace(today=TODAY, series_limit=5000)
    first = TODAY - timedelta(days=days)
    return parse.parse_history([{"data": list(rows)}], options, first=first)


def line_endings(day: date) -> tuple[str, ...]:
    times = sampling.sample_times(
        day, timezone=ZONE, step_seconds=STEP_SECONDS, until=float("inf")
    )
    return tuple(f" {at}\n" for at in times)


def text(
    history: ObjectHistory,
    scrape_labels: Mapping[str, str],
    *,
    campaign: ObjectLabels = CAMPAIGN,
    endings: openmetrics.LineEndings = line_endings,
) -> str:
    parts = []
    for family in openmetrics.families_of(campaign.families):
        rendered = openmetrics.render(
            family, campaign, history, scrape_labels=scrape_labels, line_endings=endings
        )
        lines = list(rendered)
        parts += [openmetrics.header(family), *lines] if lines else []
    return "".join([*parts, openmetrics.END])


Series = dict[tuple[str, frozenset[tuple[str, str]]], list[tuple[float, float]]]


def read(page: str) -> Series:
    """Return (timestamp, value) of each series, by a strict parser."""
    found: Series = defaultdict(list)
    families: Any = parser.text_string_to_metric_families
    for family in families(page):
        assert family.type == "gauge"
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            found[key].append((float(sample.timestamp), sample.value))
    return found


def is_step(at: int) -> bool:
    """Return whether a graph has a step there, in standard or summer time."""
    return any((at + hours * 3600) % STEP_SECONDS == 0 for hours in (-5, -4))


@given(data=st.lists(rows, max_size=10), days=st.integers(1, 6))
def test_every_sample_is_what_the_daemon_would_have_exposed(
    data: list[Any], days: int
) -> None:
    """Each day, label and value, computed by the naive oracle.

    Variation labels are those of the newest row.
    """
    expected: Series = defaultdict(list)
    known = naive_oracle.Reading(naive_oracle.usable_rows(data, TODAY))
    common = {"workspace": "shop", "campaign": CAMPAIGN.name, "job": "x"}
    for age in range(days, 0, -1):
        day = TODAY - timedelta(days=age)
        if day not in known.days:
            continue
        shown = {
            (naive_oracle.family_of(own) + "last_complete_day", frozenset(own)): value
            for own, value in known.days[day].items()
        }
        shown["braze_campaign_last_complete_day_timestamp_seconds", frozenset()] = (
            naive_oracle.first_instant(day, ZONE)
        )
        info = (*CAMPAIGN.labels.items(), ("campaign_id", "c-1"))
        shown["braze_campaign_info", frozenset(info)] = 1
        for own in [own for own in known.days[day] if len(own) == 3]:
            (_, channel), (_, variation) = own[:2]
            is_control = (channel, variation) in known.controls
            ids = (
                ("variation_id", naive_oracle.cleaned(known.infos[channel, variation])),
                ("control", "true" if is_control else "false"),
            )
            labels = frozenset((*own[:2], *ids))
            shown["braze_campaign_variation_info", labels] = 1
        begin = naive_oracle.first_instant(day + timedelta(days=1), ZONE)
        end = naive_oracle.first_instant(day + timedelta(days=2), ZONE)
        for (name, labels), value in shown.items():
            key = (name, labels | frozenset(common.items()))
            expected[key] += [
                (at, float(value))
                for at in range(int(begin), int(end), 3600)
                if is_step(at)
            ]

    found = read(text(parsed(*data, days=days), {"job": "x"}))

    assert found == expected


@pytest.mark.parametrize(
    ("own", "added", "expected"),
    [
        ({"pod": "a"}, {"job": "b"}, {"job": "b", "pod": "a"}),
        ({"pod": "a"}, {"pod": ""}, {"pod": "a"}),
        ({"pod": "a"}, {"pod": "1"}, {"pod": "1", "exported_pod": "a"}),
        (
            {"pod": "a", "exported_pod": "b"},
            {"pod": "1"},
            {"pod": "1", "exported_pod": "b", f"{E}{E}pod": "a"},
        ),
        (
            {"exported_pod": "b", "pod": "a"},
            {"exported_pod": "2", "pod": "1"},
            {"pod": "1", "exported_pod": "2", f"{E}{E}pod": "a", f"{E}{E}{E}pod": "b"},
        ),
        (
            {"pod": "a"},
            {"pod": "1", "exported_pod": "2"},
            {"pod": "1", "exported_pod": "2", f"{E}{E}pod": "a"},
        ),
    ],
)
def test_scrape_labels_rename_labels_of_the_campaign(
    own: dict[str, str], added: dict[str, str], expected: dict[str, str]
) -> None:
    """The prefix is repeated while the name is taken; empty labels are ignored."""
    campaign = ObjectLabels("shop", "campaign", "A", "c-1", own)
    history = parsed({"time": "2026-03-09", "revenue": 1.5})

    found = read(text(history, added, campaign=campaign))

    labels = {name: dict(each) for name, each in found}
    common = {"workspace": "shop", "campaign": "A"}
    info = labels["braze_campaign_info"]
    assert info == common | {"campaign_id": "c-1"} | expected
    scraped = {name: value for name, value in added.items() if value}
    overall = labels["braze_campaign_overall_last_complete_day"]
    assert overall == common | {"metric": "revenue"} | scraped


def test_families_and_days_without_samples_are_left_out() -> None:
    """A row with a date only; yesterday, in the first three hours of a day."""
    assert {name for name, _ in read(text(parsed({"time": "2026-03-08"}), {}))} == {
        "braze_campaign_last_complete_day_timestamp_seconds",
        "braze_campaign_info",
    }
    yesterday = parsed({"time": "2026-03-09", "sent": 1})
    assert text(yesterday, {}, endings=lambda _: ()) == openmetrics.END
