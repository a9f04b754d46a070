"""Alerts on canvases: every situation of campaigns, with the same figures."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.paths import ROOT
from tests.rules.alert_rules import alerts, files
from tests.rules.promtool import outcomes_of_documents
from tests.support.programs import checked

Program = Callable[[str], str]
pytestmark = pytest.mark.slow
OF_BOTH_KINDS = sorted(
    {rule.name for rule in alerts() if rule.group == "braze-deliverability"}
    | {"BrazeCampaignStale", "BrazeCampaignDayMissing", "BrazeCampaignFailing"}
    | {"BrazeWindowMissing"}
)
_VARIATION = re.compile(r',variation="([^"]*)"')
_BY_CHANNEL = re.compile(
    r'braze_canvas_(\w+)\{(.*),channel="[^"]*"(.*metric="conversions".*)'
)


@pytest.fixture(scope="module")
def outcomes(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str, str], str]]:
    """Return promtool's output by the name of an alert."""
    documents = {}
    for name in OF_BOTH_KINDS:
        document = of_canvases((ROOT / f"tests/rules/{name}.yaml").read_text())
        names = " ".join(group["name"] for group in document["tests"])
        assert "fires" in names
        assert "annotations" in names
        documents[name] = document
    with outcomes_of_documents(documents, tmp_path_factory.mktemp("canvases")) as found:
        yield found


@pytest.mark.parametrize("name", OF_BOTH_KINDS)
def test_alerts_fire_for_canvases_as_for_campaigns(
    program: Program, outcomes: Callable[[str, str], str], name: str
) -> None:
    """The tests of campaigns pass with canvases, their labels and their links."""
    assert outcomes(program("promtool"), name) == ""


def of_canvases(text: str) -> dict[str, Any]:
    """Return a test of campaigns with canvases in their place.

    Situations with several variations or a control group are left out: canvases have
    no variations. Their conversions are of the whole. So are those that compare
    campaigns with canvases.
    """
    with_canvases = [
        any("braze_canvas_" in one["series"] for one in group["input_series"])
        for group in yaml.safe_load(text)["tests"]
    ]
    text = re.sub(
        r"\bcampaign\b(?!:\S)|(?<=var-)campaigns\b",
        "canvas",
        text.replace("braze_campaign_", "braze_canvas_"),
    )
    text = text.replace(
        "Control groups are excluded.",
        "Control variants are included: Braze does not report which they are.",
    )
    document: dict[str, Any] = yaml.safe_load(text)
    document["rule_files"] = [str(file) for file in files()]
    document["tests"] = [
        group
        for group, has_canvases in zip(document["tests"], with_canvases, strict=True)
        if not has_canvases and _has_one_variation(group)
    ]
    for group in document["tests"]:
        for one in group["input_series"]:
            plain = _VARIATION.sub("", one["series"])
            one["series"] = _BY_CHANNEL.sub(r"braze_canvas_overall_\1{\2\3", plain)
    document["tests"] = [
        group
        for group in document["tests"]
        if max(Counter(one["series"] for one in group["input_series"]).values()) == 1
    ]
    return document


def _has_one_variation(group: dict[str, Any]) -> bool:
    series = [one["series"] for one in group["input_series"]]
    found = {name for one in series for name in _VARIATION.findall(one)}
    return len(found) < 2 and not any("_variation_info" in one for one in series)


@pytest.mark.parametrize(
    ("opens", "rate"),
    [({"opens": 20, "influenced_opens": 50}, 0.5), ({"opens": 20}, 0.2)],
    ids=["direct and influenced", "direct"],
)
def test_opens_of_push_are_those_of_both_ways_together(
    program: Program, tmp_path: Path, opens: dict[str, int], rate: float
) -> None:
    """In canvases `influenced_opens` are all opens, as `total_opens` of campaigns."""
    of = 'job="j",instance="i",workspace="w",canvas="c"'
    family, window = "braze_canvas_trailing", 'channel="ios_push",window="7d"'
    series = {
        f"braze_canvas_last_complete_day_timestamp_seconds{{{of}}}": 0,
        **{
            f'{family}{{{of},{window},metric="{name}"}}': value
            for name, value in {"sent": 100, **opens}.items()
        },
    }
    level = "campaign_channel:braze_open:ratio"
    labels = 'canvas="c",channel="ios_push",job="j",window="7d",workspace="w"'
    document = {
        "rule_files": [str(file) for file in files()],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": one, "values": f"{value}x10"}
                    for one, value in series.items()
                ],
                "promql_expr_test": [
                    {
                        "expr": level,
                        "eval_time": "10m",
                        "exp_samples": [
                            {"labels": f"{level}{{{labels}}}", "value": rate}
                        ],
                    }
                ],
            }
        ],
    }
    file = tmp_path / "opens.yaml"
    file.write_text(yaml.safe_dump(document, width=100_000))

    checked(program("promtool"), "test", "rules", file)
