"""The rules and dashboards that the chart installs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.chart_values import NASTY
from tests.chart.helm import Document, Helm, Rendered
from tests.paths import ROOT


def rules_of(rendered: Rendered) -> list[Document]:
    """Return all rules."""
    groups = rendered.one("PrometheusRule")["spec"]["groups"]
    return [rule for group in groups for rule in group["rules"]]


def repository_rules() -> list[Document]:
    """Return the rules of grafana/rules."""
    return [
        rule
        for file in sorted((ROOT / "grafana" / "rules").glob("*.yaml"))
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    ]


def test_the_rules_are_those_of_the_repository(helm: Helm) -> None:
    """Without values every rule equals that of grafana/rules, templates included."""
    rendered = helm.render({"prometheusRule": {"enabled": True}})

    assert rules_of(rendered) == repository_rules()
    assert "{{ $labels.campaign }}" in json.dumps(rules_of(rendered))


def test_every_threshold_can_be_set(helm: Helm) -> None:
    """Each threshold of the values replaces its number, and only that."""
    ours = {
        (rule["record"], rule["labels"]["alert"], rule["labels"].get("severity"))
        for rule in repository_rules()
        if rule.get("record", "").startswith("braze:threshold:")
    }
    assert len(ours) > 30
    thresholds: dict[str, dict[str, Any]] = {}
    expected = {}
    for number, (record, alert, severity) in enumerate(sorted(ours, key=str), start=1):
        kind, amount = record.rpartition(":")[2], number / 1000
        expected[record, alert, severity] = f"vector({amount:g})"
        if severity is None:
            thresholds.setdefault(alert, {})[kind] = amount
        else:
            thresholds.setdefault(alert, {}).setdefault(kind, {})[severity] = amount

    rendered = helm.render(
        {"prometheusRule": {"enabled": True, "thresholds": thresholds}}
    )

    found = {
        (rule["record"], rule["labels"]["alert"], rule["labels"].get("severity")): (
            rule["expr"]
        )
        for rule in rules_of(rendered)
        if rule.get("record", "").startswith("braze:threshold:")
    }
    assert found == expected


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {
            "thresholds": {
                "BrazeEmailBounceRateHigh": {
                    "volume": 1000000,
                    "ratio": {"warning": 0.0000001, "critical": 0},
                }
            }
        },
        {"alertLabels": {"team": NASTY}, "grafanaUrl": "https://grafana.example.com"},
        {"disabledAlerts": ["BrazeEmailBounceRateHigh", "BrazeSendsStopped"]},
    ],
)
def test_prometheus_loads_the_rules(
    helm: Helm, program: Callable[[str], str], tmp_path: Path, rule: Document
) -> None:
    """Promtool accepts the content of the PrometheusRule."""
    rendered = helm.render({"prometheusRule": {"enabled": True} | rule})
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(rendered.one("PrometheusRule")["spec"]))

    done = subprocess.run(
        [program("promtool"), "check", "rules", "--lint=all", "--lint-fatal", file],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_can_be_disabled_and_labelled(helm: Helm) -> None:
    """A disabled alert is absent; others have the labels and Grafana's address."""
    rule = {
        "enabled": True,
        "disabledAlerts": ["BrazeEmailBounceRateHigh"],
        "alertLabels": {"team": "crm", "severity": "page"},
        "grafanaUrl": "https://grafana.example.com/",
    }

    rendered = helm.render({"prometheusRule": rule})

    alerts = [each for each in rules_of(rendered) if "alert" in each]
    assert len(alerts) > 10
    for alert in alerts:
        assert alert["alert"] != "BrazeEmailBounceRateHigh"
        assert alert["labels"] == {"team": "crm", "severity": "page"}
        url = alert["annotations"].get("dashboard_url")
        assert url is None or url.startswith("https://grafana.example.com/d/braze-")


def test_dashboards_are_those_of_the_repository(helm: Helm) -> None:
    """Each dashboard is in a ConfigMap, unchanged, with the sidecar's label."""
    rendered = helm.render({"dashboards": {"enabled": True, "folder": "Marketing"}})

    files: dict[str, str] = {}
    for each in rendered.all("ConfigMap"):
        if "grafana_dashboard" in each["metadata"]["labels"]:
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

    made = {
        each["metadata"]["name"]: each
        for each in rendered.all("ConfigMap")
        if "-dashboard-" in each["metadata"]["name"]
    }
    dashboards = rendered.all("GrafanaDashboard")
    assert len(dashboards) == len(made) >= 5
    for each in dashboards:
        reference = each["spec"]["configMapRef"]
        assert reference["key"] in made[reference["name"]]["data"]
        assert each["spec"]["instanceSelector"]["matchLabels"] == {
            "dashboards": "grafana"
        }
    for each in made.values():
        assert "grafana_dashboard" not in each["metadata"]["labels"]
