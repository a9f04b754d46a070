"""Histories as OpenMetrics, read back by the official parser."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from exporter.backfill import openmetrics, sampling
from exporter.metrics.object_metrics import ObjectLabels, render_values
from exporter.model.snapshot import ObjectHistory
from exporter.series import parse
from exporter.series.campaign_rows import CampaignRowParser
from exporter.series.canvas_rows import CanvasStepsRowParser
from exporter.series.parse import ParseOptions
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics import parser

from tests.support import data_series, naive_canvas_oracle, naive_oracle
from tests.support.snapshots import OPTIONS

TODAY = date(2026, 3, 10)  # two days after New York's clocks went forward
ZONE = ZoneInfo("America/New_York")
CAMPAIGN = ObjectLabels(
    "shop", "campaign", 'Send "hi"\n🌷', "c-1", {"team": "crm", "pod": "red"}
)
STEP_SECONDS = 6 * 3600
E = "exported_"

WINDOWS = (1, 3, 7)

rows = data_series.rows(data_series.times(TODAY, st.integers(-1, 10)))
canvas_rows = data_series.canvas_rows(data_series.times(TODAY, st.integers(-1, 10)))


def options_of(kind: str) -> ParseOptions:
    row_parser = CanvasStepsRowParser if kind == "canvas" else CampaignRowParser
    return OPTIONS._replace(
        row_parser=row_parser,
        today=TODAY,
        windows=WINDOWS,
        series_limit=5000,
        revisions=False,
        contract=(),
    )


def document(kind: str, rows: Sequence[object]) -> dict[str, object]:
    """Return the document of these days."""
    return {"data": {"stats": list(rows)} if kind == "canvas" else list(rows)}


def parsed(
    *rows: object,
    days: int = 4,
    kind: str = "campaign",
    last: date = TODAY - timedelta(days=1),
    skip_unused: bool = False,
) -> ObjectHistory:
    first = TODAY - timedelta(days=days)
    pages = [document(kind, rows)]
    options = options_of(kind)._replace(skip_unused=skip_unused)
    return parse.parse_history(pages, options, first=first, last=last)


def line_endings(day: date) -> tuple[str, ...]:
    times = sampling.sample_times(
        sampling.shown_over(day, ZONE),
        timezone=ZONE,
        step_seconds=STEP_SECONDS,
        until=float("inf"),
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


Shown = dict[tuple[str, frozenset[tuple[str, str]]], float]
"""(family, labels) → value, on one day; without the labels of all series."""


def campaign_day(
    rows: dict[date, Any], day: date, windows: tuple[int, ...], *, skip_unused: bool
) -> tuple[Shown, Shown]:
    """Return what the naive oracle reads of a day itself, and of its windows."""
    known = naive_oracle.Reading(rows, skip_unused=skip_unused)
    shown: Shown = {}
    for own, value in known.days.get(day, {}).items():
        shown[naive_oracle.family_of(own) + "last_complete_day", frozenset(own)] = value
    sums: Shown = {}
    for window in windows:
        for own, value in known.total(days_of_window(rows, day, window)).items():
            labels = frozenset((*own, ("window", f"{window}d")))
            sums[naive_oracle.family_of(own) + "trailing", labels] = value
    infos: Shown = {}
    for _, labels in (*shown, *sums):
        about = dict(labels)
        if "variation" in about:
            key = (about["channel"], about["variation"])
            ids = {
                "channel": key[0],
                "variation": key[1],
                "variation_id": naive_oracle.cleaned(known.infos[key]),
                "control": "true" if key in known.controls else "false",
            }
            infos["braze_campaign_variation_info", frozenset(ids.items())] = 1
    return shown | infos, sums


def canvas_day(
    rows: dict[date, Any], day: date, windows: tuple[int, ...], *, skip_unused: bool
) -> tuple[Shown, Shown]:
    """Return the same of a canvas with steps."""
    names = [
        naive_canvas_oracle.Names(rows, field)
        for field in ("variant_stats", "step_stats")
    ]
    days = {
        each: naive_canvas_oracle.read(row, *names, has_steps=True)
        for each, row in rows.items()
    }
    if skip_unused:
        days = naive_canvas_oracle.without_unused(days, rows)
    found = [("last_complete_day", "", days.get(day, {}))]
    for number in windows:
        chosen = [days[each] for each in days_of_window(rows, day, number)]
        found.append(("trailing", f"{number}d", naive_canvas_oracle.sums(chosen)))
    shown: Shown = {}
    sums: Shown = {}
    for family, window, values in found:
        for (prefix, id_, own), value in values.items():
            labels = dict(own) | ({"window": window} if window else {})
            into = sums if window else shown
            into[f"braze_canvas_{prefix}{family}", frozenset(labels.items())] = value
            for name in {"variant", "step"} & set(labels):
                about = {
                    name: labels[name],
                    f"{name}_id": naive_oracle.cleaned(id_),
                }
                shown[f"braze_canvas_{name}_info", frozenset(about.items())] = 1
    return shown, sums


def days_of_window(rows: dict[date, Any], day: date, window: int) -> list[date]:
    """Return the days with a row in the window that ends with `day`."""
    return [one for one in rows if day - timedelta(days=window) < one <= day]


@settings(max_examples=200)
@given(st.data(), st.integers(1, 8), st.booleans())
@pytest.mark.parametrize("kind", ["campaign", "canvas"])
def test_every_sample_is_what_the_daemon_would_have_exposed(
    kind: str,
    data: st.DataObject,
    days: int,
    skip_unused: bool,
) -> None:
    """Each day, label and value, computed by the naive oracles.

    Labels are those of the newest row. A window is left out while it begins before the
    first day; it needs no row of the last.
    """
    of_kind = canvas_rows if kind == "canvas" else rows
    found_rows = data.draw(st.lists(of_kind, max_size=10))
    expected: Series = defaultdict(list)
    known = naive_oracle.usable_rows(found_rows, TODAY)
    labelled = CAMPAIGN._replace(kind=kind)
    common = {"workspace": "shop", kind: CAMPAIGN.name, "job": "x"}
    for age in range(days, 0, -1):
        day = TODAY - timedelta(days=age)
        windows = tuple(one for one in WINDOWS if one <= days + 1 - age)
        read_day = canvas_day if kind == "canvas" else campaign_day
        shown, sums = read_day(known, day, windows, skip_unused=skip_unused)
        shown |= sums
        if day in known:
            began = f"braze_{kind}_last_complete_day_timestamp_seconds"
            shown[began, frozenset()] = naive_oracle.first_instant(day, ZONE)
        if day in known or any(days_of_window(known, day, one) for one in windows):
            info = {**CAMPAIGN.labels, f"{kind}_id": "c-1"}
            shown[f"braze_{kind}_info", frozenset(info.items())] = 1
        begin = naive_oracle.first_instant(day + timedelta(days=1), ZONE)
        end = naive_oracle.first_instant(day + timedelta(days=2), ZONE)
        for (name, labels), value in shown.items():
            key = (name, labels | frozenset(common.items()))
            expected[key] += [
                (at, float(value))
                for at in range(int(begin), int(end), 3600)
                if is_step(at)
            ]
    history = parsed(*found_rows, days=days, kind=kind, skip_unused=skip_unused)

    found = read(text(history, {"job": "x"}, campaign=labelled))

    assert found == expected
    of_object = {
        f"braze_{kind}_info",
        f"braze_{kind}_last_complete_day_timestamp_seconds",
    }
    assert len({key for key in found if key[0] not in of_object}) + 2 == history.series


def test_a_sum_beyond_a_double_is_no_series() -> None:
    """The number of series determines the step of the file."""
    days = [
        {"time": str(TODAY - timedelta(days=age)), "sent": 1e308} for age in (1, 2, 3)
    ]

    history = parsed(*days, days=3)

    found = read(text(history, {}))
    windows = [dict(labels).get("window") for name, labels in found if "trai" in name]
    assert windows == ["1d"]
    assert history.series == len(found) == 4


@pytest.mark.parametrize("kind", ["campaign", "canvas"])
def test_lines_are_those_of_the_daemon(kind: str) -> None:
    """Byte for byte, on each day whose window was downloaded; floats among them."""
    is_canvas = kind == "canvas"
    days = {
        TODAY - timedelta(days=age): numbers(age, is_canvas=is_canvas)
        for age in range(12)
        if age != 4
    }
    labels = ObjectLabels("shop", kind, "Any", "c-1", {})
    first = TODAY - timedelta(days=10)
    history = parsed(*days.values(), days=10, kind=kind)
    written = text(
        history, {}, campaign=labels, endings=lambda day: (f" {day.toordinal()}\n",)
    )

    for age in range(10, 0, -1):
        day = TODAY - timedelta(days=age)
        windows = tuple(n for n in WINDOWS if day - timedelta(days=n - 1) >= first)
        rows = [row for each, row in days.items() if each <= day]
        options = options_of(kind)._replace(
            today=day + timedelta(days=1), windows=windows
        )
        snapshot = parse.parse(document(kind, rows), options)
        exposed = render_values(labels, snapshot).text.decode().splitlines()
        wanted = [one for one in exposed if "_daily" not in one and "# " not in one]
        if day not in days:  # the last complete day is an earlier one
            wanted = [one for one in wanted if "_last_complete_day" not in one]
        ending = f" {day.toordinal()}"
        lines = written.splitlines()
        found = [one.removesuffix(ending) for one in lines if one.endswith(ending)]
        assert sorted(found) == sorted(
            [
                *wanted,
                f'braze_{kind}_info{{workspace="shop",{kind}="Any",{kind}_id="c-1"}} 1',
            ]
        )


def numbers(age: int, *, is_canvas: bool) -> dict[str, Any]:
    """Return a row with whole numbers and with fractions that do not add up exactly."""
    stats = {"sent": 10 * age + 1, "share": 0.1 * age, "unique_recipients": age}
    day = {"time": str(TODAY - timedelta(days=age))}
    if not is_canvas:
        entry = {"variation_name": "A", "variation_api_id": "v-1", **stats}
        return day | {"messages": {"email": [entry]}, "revenue": 0.7 * age}
    step = {"name": "Welcome", "messages": {"email": [stats]}, "revenue": 0.3 * age}
    return day | {
        "total_stats": {"entries": age, "revenue": 0.7 * age},
        "variant_stats": {"v-1": {"name": "A", "entries": age}},
        "step_stats": {"s-1": step},
    }


@pytest.mark.parametrize(
    ("last", "newest", "until"),
    [
        ("2026-03-09", "2026-03-07", "2026-03-09"),
        ("2026-03-08", "2026-03-07", "2026-03-08"),
        ("2026-03-08", "2026-03-09", "2026-03-09"),
        ("2026-03-08", "2026-03-10", "2026-03-09"),
    ],
)
def test_a_window_ends_with_a_day_that_was_downloaded(
    last: str, newest: str, until: str
) -> None:
    """The last one that the pages certainly contain, or a later one with a row."""
    days = ({"time": day, "revenue": 1} for day in ("2026-03-07", newest))
    history = parsed(*days, last=date.fromisoformat(last))

    found = read(text(history, {}, endings=lambda day: (f" {day.toordinal()}\n",)))

    (trailing,) = (
        [at for at, _ in samples]
        for (name, labels), samples in found.items()
        if name == "braze_campaign_overall_trailing" and ("window", "3d") in labels
    )
    assert trailing[-1] == date.fromisoformat(until).toordinal()


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
