"""Panels with figures that the demo does not have, evaluated by promtool."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.dashboards import dashboard_json

Program = Callable[[str], str]
TRIAL = "Do variations convert better than their control group? 28 days"
CAMPAIGN = {"workspace": "shop", "campaign": "Spring"}
EMAIL = {**CAMPAIGN, "channel": "email"}
MONTH = "braze_campaign_trailing"
LAST = "braze_campaign_last_complete_day"


@dataclass(frozen=True, slots=True)
class Series:
    """A series with one sample."""

    family: str
    labels: Mapping[str, str]
    value: float

    def __str__(self) -> str:
        scraped = {"job": "braze", "instance": "a", **self.labels}
        return f"{self.family}{braces(scraped)}"


def braces(labels: Mapping[str, str]) -> str:
    """Return labels as Prometheus writes them."""
    pairs = (f'{name}="{value}"' for name, value in labels.items())
    return f"{{{','.join(pairs)}}}"


@pytest.fixture
def shows(program: Program, tmp_path: Path) -> Callable[..., str]:
    """Return promtool's output for an unexpected result, else an empty text."""

    def check(
        expression: str,
        series: Iterable[Series],
        expected: Iterable[tuple[Mapping[str, str], float]],
    ) -> str:
        document = {
            "tests": [
                {
                    "interval": "1m",
                    "input_series": [
                        {"series": str(one), "values": f"{one.value}"} for one in series
                    ],
                    "promql_expr_test": [
                        {
                            "expr": dashboard_json.filled(expression, {}),
                            "eval_time": "0m",
                            "exp_samples": [
                                {
                                    "labels": braces(labels),
                                    "value": value,
                                }
                                for labels, value in expected
                            ],
                        }
                    ],
                }
            ]
        }
        file = tmp_path / "test.yaml"
        file.write_text(json.dumps(document))
        ended = subprocess.run(
            [program("promtool"), "test", "rules", str(file)],
            capture_output=True,
            text=True,
            check=False,
        )
        output = ended.stdout + ended.stderr
        if ended.returncode == 0:
            return ""
        return output.rpartition("FAILED")[2] or output

    return check


def expression(name: str, panel: str, letter: str) -> str:
    """Return the committed query of a panel."""
    [asked] = [
        one
        for one in dashboard_json.queries(name)
        if (one.panel, one.letter) == (panel, letter)
    ]
    return asked.expression


def info(variation: str, *, control: str, **labels: str) -> Series:
    """Return the info series of a variation."""
    of = {**EMAIL, "variation": variation, "control": control, **labels}
    return Series("braze_campaign_variation_info", of, 1)


def trial(k: int, n: int, kc: int, nc: int) -> list[Series]:
    """Return a variation's conversions and sends, and those of its control group."""
    counted = [("A", "conversions", k), ("A", "sent", n)]
    counted += [("C", "conversions", kc), ("C", "enrolled", nc)]
    return [
        info("A", control="false"),
        info("C", control="true"),
        *(
            Series(
                MONTH,
                {**EMAIL, "variation": name, "metric": metric, "window": "28d"},
                value,
            )
            for name, metric, value in counted
        ),
    ]


def verdict_of(value: float) -> str:
    """Return the text of a verdict's code."""
    [panel] = [
        one for one in dashboard_json.panels("braze-campaign") if one["title"] == TRIAL
    ]
    [mappings] = [
        setting["value"]
        for override in panel["fieldConfig"]["overrides"]
        if override["matcher"]["options"] == "Verdict"
        for setting in override["properties"]
        if setting["id"] == "mappings"
    ]
    for mapping in mappings:
        low, high = mapping["options"].get("from"), mapping["options"].get("to")
        if (low is None or value >= low) and (high is None or value <= high):
            return str(mapping["options"]["result"]["text"])
    return ""


@pytest.mark.parametrize(
    ("k", "n", "kc", "nc", "code", "words"),
    [
        (300, 10_000, 0, 10_000, 17.4519, "better than control"),
        (9, 10_000, 500, 10_000, -22.0455, "worse than control"),
        (0, 10_000, 500, 10_000, -22.6455, "worse than control"),
        (100, 10_000, 100, 10_000, 0, "no clear difference"),
        (5, 1_000, 5, 1_000, 0, "no clear difference"),
        (5, 1_000, 4, 1_000, 102, "too few conversions"),
        (60, 10_000, 0, 100, 102, "too few conversions"),
        (0, 10_000, 0, 10_000, 102, "too few conversions"),
        (11, 10, 0, 10_000, 103, "more than were sent"),
        (5, 0, 20, 10_000, 103, "more than were sent"),
        (20, 10_000, 101, 100, 104, "control is above 100 %"),
    ],
)
def test_a_verdict_is_given_where_it_is_clear(
    shows: Callable[..., str], k: int, n: int, kc: int, nc: int, code: float, words: str
) -> None:
    """The verdict depends on the expected conversions, not on the actual ones."""
    asked = f"round({expression('braze-campaign', TRIAL, 'H')}, 0.0001)"
    of_control = 103 if kc > nc else 100
    expected = [
        ({**EMAIL, "variation": "A"}, round(code, 4)),
        ({**EMAIL, "variation": "C"}, of_control),
    ]

    assert shows(asked, trial(k, n, kc, nc), expected) == ""
    assert verdict_of(code) == words


def whole_day() -> list[Series]:
    """Return a day of a multivariate campaign, and of one without variations.

    The campaign-wide figures of the first include its control group.
    """
    counted = {
        "conversions": (30, 7, 37),
        "conversions1": (3, 1, 4),
        "conversions2": (2, 1, 3),
        "conversions3": (1, 1, 2),
        "revenue": (300, 70, 370),
        "sent": (1_000, 0, 0),
        "unique_recipients": (1_000, 100, 1_000),
    }
    plain = {**CAMPAIGN, "campaign": "Plain"}
    series = [
        info("A", control="false"),
        info("C", control="true"),
        info("default", control="false", campaign="Plain"),
        Series(
            LAST,
            {**EMAIL, **plain, "variation": "default", "metric": "sent"},
            100,
        ),
    ]
    for metric, (sent, control, whole) in counted.items():
        of = {"metric": metric}
        series += [
            Series(LAST, {**EMAIL, "variation": "A", **of}, sent),
            Series(LAST, {**EMAIL, "variation": "C", **of}, control),
            Series(LAST.replace("n_l", "n_overall_l"), {**CAMPAIGN, **of}, whole),
            Series(LAST.replace("n_l", "n_overall_l"), {**plain, **of}, 10),
        ]
    return series


@pytest.mark.parametrize(
    ("name", "panel", "letter", "expected"),
    [
        ("braze-overview", "Conversions", "A", 40),
        ("braze-campaign", "Converted", "A", 40),
        ("braze-campaign", "Revenue", "A", 310),
        ("braze-campaign", "Conversion events, last complete day", "A", 40),
        ("braze-campaign", "Conversion events, last complete day", "B", 13),
        ("braze-campaign", "Conversion events, last complete day", "C", 12),
        ("braze-campaign", "Conversion events, last complete day", "D", 11),
        ("braze-campaign", "Funnel by channel, last complete day", "E", 40),
    ],
)
def test_a_control_group_is_in_no_sum_of_conversions(
    shows: Callable[..., str], name: str, panel: str, letter: str, expected: float
) -> None:
    """Conversions by variation are used if there are any, else campaign-wide ones."""
    asked = f"sum({expression(name, panel, letter)})"

    assert shows(asked, whole_day(), [({}, expected)]) == ""


def test_a_control_group_is_in_no_rate_of_conversions(
    shows: Callable[..., str],
) -> None:
    """The leaderboard's rate and the revenue per recipient exclude it."""
    plain = {**CAMPAIGN, "campaign": "Plain"}
    share = expression("braze-overview", "Leaderboard, last complete day", "J")
    revenue = expression(
        "braze-campaign", "Revenue per recipient, last complete day", "B"
    )

    assert shows(share, whole_day(), [(CAMPAIGN, 0.03), (plain, 1)]) == ""
    assert shows(revenue, whole_day(), [(CAMPAIGN, 0.3), (plain, 1)]) == ""


def after_midnight() -> list[Series]:
    """Return an exporter that cannot reach Braze since midnight, and one that can."""
    series = [info("default", control="false")]
    for instance, day, sent, bounces in (("a", 0, 2_000, 900), ("b", 86_400, 200, 1)):
        of = {"instance": instance}
        series += [
            Series("braze_campaign_daily_timestamp_seconds", {**CAMPAIGN, **of}, day),
            *(
                Series(
                    "braze_campaign_daily",
                    {**EMAIL, "variation": "default", "metric": metric, **of},
                    value,
                )
                for metric, value in (("sent", sent), ("bounces", bounces))
            ),
        ]
    return series


@pytest.mark.parametrize(
    ("name", "panel", "expected"),
    [
        ("braze-overview", "Sent, today so far", 200),
        ("braze-overview", "Email bounce rate, today so far", 1 / 200),
        ("braze-overview", "Email bounce rate by campaign and time, worst 20", 1 / 200),
        ("braze-campaign", "Today so far", 200),
        ("braze-email-deliverability", "Bounce rate", 1 / 200),
    ],
)
def test_yesterday_is_not_shown_as_today(
    shows: Callable[..., str], name: str, panel: str, expected: float
) -> None:
    """Larger figures of a replica with the previous day are not used."""
    asked = f"sum({expression(name, panel, 'A')})"

    assert shows(asked, after_midnight(), [({}, expected)]) == ""


FIGURES = {
    ("Campaigns", "A"): "braze_exporter_campaigns",
    ("Series", "A"): "braze_exporter_series",
    ("Series served, dropped, and values ignored", "A"): "braze_exporter_series",
    ("Series served, dropped, and values ignored", "B"): (
        "braze_exporter_series_dropped"
    ),
    ("Series served, dropped, and values ignored", "C"): (
        "braze_exporter_ignored_values"
    ),
    ("Series served, dropped, and values ignored", "D"): "braze_exporter_skipped_rows",
}


@pytest.mark.parametrize(("panel", "letter"), FIGURES)
@pytest.mark.parametrize(
    ("exporters", "expected"),
    [
        ([("a", None, 10), ("b", None, 9)], 10),
        ([("a", "0", 10), ("b", "1", 7), ("c", "2", 3)], 20),
        ([("a", "0", 10), ("b", "0", 9), ("c", "1", 7)], 17),
    ],
    ids=["replicas", "shards", "replicas of shards"],
)
def test_shards_add_up_and_replicas_do_not(
    shows: Callable[..., str],
    panel: str,
    letter: str,
    exporters: list[tuple[str, str | None, int]],
    expected: int,
) -> None:
    """Figures of shards are added up; of replicas the maximum is used."""
    asked = f"sum({expression('braze-exporter', panel, letter)})"
    series = []
    for instance, shard, value in exporters:
        of = {"instance": instance, "pod": f"pod-{instance}"}
        family = FIGURES[panel, letter]
        series.append(Series(family, {**of, "workspace": "shop"}, value))
        if shard is not None:
            of |= {"shard": shard, "total_shards": "3"}
            series.append(Series("braze_exporter_shard_info", of, 1))

    assert shows(asked, series, [({}, expected)]) == ""
