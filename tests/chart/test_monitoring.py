"""The rules and dashboards that the chart installs."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.chart_values import NASTY
from tests.chart.helm import Document, Helm, Rendered
from tests.paths import ROOT
from tests.support.programs import checked


def rules_of(helm: Helm, **rule: object) -> list[Document]:
    """Return all rules that the chart renders with values of `prometheusRule`."""
    rendered = helm.render({"prometheusRule": {"enabled": True} | rule})
    groups = rendered.one("PrometheusRule")["spec"]["groups"]
    return [each for group in groups for each in group["rules"]]


def repository_rules() -> list[Document]:
    """Return the rules of grafana/rules."""
    return [
        rule
        for file in sorted((ROOT / "grafana" / "rules").glob("*.yaml"))
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    ]


def thresholds(rules: list[Document]) -> dict[tuple[str, str, str], str]:
    """Return the expressions of thresholds by name, alert and severity."""
    found = {}
    for rule in rules:
        _, is_threshold, kind = rule.get("record", "").partition("threshold:")
        if is_threshold:
            labels = rule["labels"]
            found[kind, labels["alert"], labels.get("severity", "")] = rule["expr"]
    return found


def test_the_rules_are_those_of_the_repository(helm: Helm) -> None:
    """Without values every rule equals that of grafana/rules, templates included."""
    rules = rules_of(helm)

    assert rules == repository_rules()
    assert "{{ $labels.campaign }}" in json.dumps(rules)


def test_groups_are_as_small_as_mimir_requires(helm: Helm) -> None:
    """Mimir and Grafana Cloud accept at most 20 rules in a group by default."""
    rendered = helm.render({"prometheusRule": {"enabled": True}})

    groups = rendered.one("PrometheusRule")["spec"]["groups"]
    assert len(groups) > 10
    assert max(len(group["rules"]) for group in groups) <= 20


@pytest.mark.parametrize("write", [float, str], ids=["values", "--set"])
def test_every_threshold_can_be_set(
    helm: Helm, write: Callable[[float], object]
) -> None:
    """Each replaces its number, also as a text: --set passes fractions as texts."""
    ours = sorted(thresholds(repository_rules()))
    assert len(ours) > 30
    values: dict[str, dict[str, Any]] = defaultdict(dict)
    for number, (kind, alert, severity) in enumerate(ours, start=1):
        if severity:
            values[alert].setdefault(kind, {})[severity] = write(number / 1000)
        else:
            values[alert][kind] = write(number / 1000)

    found = thresholds(rules_of(helm, thresholds=values))

    assert found == {
        key: f"vector({number / 1000:g})" for number, key in enumerate(ours, start=1)
    }


LIMITS = {"volume": 1000000, "ratio": {"warning": 0.0000001, "critical": 0}}


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"thresholds": {"BrazeEmailBounceRateHigh": LIMITS}},
        {"alertLabels": {"team": NASTY}, "grafanaUrl": "https://grafana.example.com"},
        {"disabledAlerts": ["BrazeEmailBounceRateHigh", "BrazeSendsStopped"]},
    ],
    ids=["defaults", "thresholds", "labels", "disabled"],
)
def test_prometheus_loads_the_rules(
    helm: Helm, program: Callable[[str], str], tmp_path: Path, rule: Document
) -> None:
    rendered = helm.render({"prometheusRule": {"enabled": True} | rule})
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(rendered.one("PrometheusRule")["spec"]))

    lint = ("check", "rules", "--lint=all", "--lint-fatal")
    checked(program("promtool"), *lint, file)


def test_alerts_can_be_disabled_and_labelled(helm: Helm) -> None:
    """A disabled alert is absent; others have the labels and Grafana's address."""
    rules = rules_of(
        helm,
        disabledAlerts=["BrazeEmailBounceRateHigh"],
        alertLabels={"team": "crm", "severity": "page"},
        grafanaUrl="https://grafana.example.com/",
    )

    alerts = [each for each in rules if "alert" in each]
    assert len(alerts) > 10
    for alert in alerts:
        assert alert["alert"] != "BrazeEmailBounceRateHigh"
        assert alert["labels"] == {"team": "crm", "severity": "page"}
        url = alert["annotations"].get("dashboard_url")
        assert url is None or url.startswith("https://grafana.example.com/d/braze-")


def dashboards(rendered: Rendered) -> list[Document]:
    """Return the ConfigMaps of dashboards."""
    maps = rendered.all("ConfigMap")
    return [each for each in maps if "-dashboard-" in each["metadata"]["name"]]


def test_dashboards_are_those_of_the_repository(helm: Helm) -> None:
    """Each dashboard is in a ConfigMap, unchanged, with the sidecar's label."""
    rendered = helm.render({"dashboards": {"enabled": True, "folder": "Marketing"}})

    files: dict[str, str] = {}
    for each in dashboards(rendered):
        assert each["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert each["metadata"]["annotations"] == {"grafana_folder": "Marketing"}
        files |= each["data"]
    assert files == {
        file.name: file.read_text(encoding="utf-8")
        for file in (ROOT / "grafana" / "dashboards").glob("*.json")
    }


def test_grafana_dashboards_refer_to_their_config_maps(helm: Helm) -> None:
    """With Grafana's operator alone no ConfigMap has the sidecar's label."""
    rendered = helm.render({"dashboards": {"grafanaOperator": {"enabled": True}}})

    made = {each["metadata"]["name"]: each for each in dashboards(rendered)}
    found = [each["spec"] for each in rendered.all("GrafanaDashboard")]
    assert len(found) == len(made) >= 5
    for spec in found:
        reference = spec["configMapRef"]
        assert reference["key"] in made[reference["name"]]["data"]
        assert spec["instanceSelector"]["matchLabels"] == {"dashboards": "grafana"}
    for each in made.values():
        assert "grafana_dashboard" not in each["metadata"]["labels"]
