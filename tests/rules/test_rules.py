"""The rules: conventions that all of them keep, and promtool's tests of every alert."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.docs.families import exposed
from tests.docs.markdown import cells, corrections
from tests.paths import ROOT
from tests.rules.alert_rules import alerts, files, rules
from tests.rules.promtool import outcomes_of
from tests.support.programs import checked

Program = Callable[[str], str]
TESTS = sorted((ROOT / "tests/rules").glob("*.yaml"))
NO_PINT = os.environ.get("BRAZE_EXPORTER_NO_PINT", "")
"""Why there is none in CI, which fails without the other programs."""
RUNBOOKS = ROOT / "docs/runbooks"
DASHBOARDS = {file.stem for file in (ROOT / "grafana/dashboards").glob("*.json")}
# Labels of targets, alerts and recording rules.
TARGET_LABELS = {
    *("job", "namespace", "service"),
    *("instance", "pod", "container", "endpoint", "node"),
}
OUR_LABELS = {
    *("window", "rate", "activity", "alert", "severity"),
    *("exported_endpoint", "__name__"),
}
ANNOTATIONS = ["summary", "description", "runbook_url", "dashboard_url"]
OF_ALL = ("fires", "just below", "absent data", "resolves")
OF_FIGURES = (
    *(*OF_ALL, "small sample", "zero division", "midnight reset"),
    *("stale data", "two replicas", "control group"),
)
OF_ACTIVITY = (
    *(*OF_ALL, "small sample", "midnight reset", "stale data", "two replicas"),
    *("weekend pattern", "missing day", "new canvas"),
)
OF_THE_EXPORTER = (*OF_ALL, "two replicas")
OF_THE_WORKSPACE = (
    *(*OF_ALL, "small sample", "stale data", "two replicas", "gap", "first day"),
)
OF_GROUP = {
    "braze-deliverability": OF_FIGURES,
    "braze-activity": OF_ACTIVITY,
    "braze-workspace": OF_THE_WORKSPACE,
}
_CONDITION = re.compile(r"\{\{ if [^}]+ }}(\w*)\{\{ else }}(\w*)\{\{ end }}")
LARGEST_GROUP = 20
"""The default limit of rules in a group of Mimir and Grafana Cloud."""
LONGEST_QUERY = 16 * 1024
"""VictoriaMetrics' default of -search.maxQueryLen, in bytes."""
SITUATIONS = {"BrazeThresholdMissing": OF_ALL}
"""Alerts with other situations than their group: thresholds have no replicas."""


@pytest.fixture(scope="module")
def outcomes() -> Iterator[Callable[[str, Path], str]]:
    with outcomes_of(TESTS) as outcome:
        yield outcome


@pytest.mark.slow
@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_alerts_fire_when_they_should_and_only_then(
    program: Program, outcomes: Callable[[str, Path], str], file: Path
) -> None:
    """In each situation exactly the expected alerts fire, with their texts."""
    assert outcomes(program("promtool"), file) == ""


def test_promtool_accepts_the_rules(program: Program) -> None:
    """All lints are enabled and fatal."""
    lint = ("check", "rules", "--lint=all", "--lint-fatal")

    assert checked(program("promtool"), *lint, *files()).stderr == ""


@pytest.mark.skipif(NO_PINT != "", reason=NO_PINT)
def test_pint_accepts_the_rules(program: Program) -> None:
    """Without a remark; its configuration lists checks that do not apply."""
    general = ("--offline", "--no-color", "--config=tests/rules/pint.hcl", "lint")

    checked(
        program("pint"), *general, "--min-severity=info", "--fail-on=info", *files()
    )


def test_rules_use_only_existing_metrics_and_labels() -> None:
    shown = exposed()
    metrics = {*shown, "up", *(rule.name for rule in rules() if not rule.is_alert)}
    labels = {
        *TARGET_LABELS,
        *OUR_LABELS,
        *(each for of in shown.values() for each in of),
    }

    unknown = [
        (rule.name, name)
        for rule in rules()
        for name in {*(each for each, _ in rule.metrics()), *rule.metrics_of_kinds()}
        - metrics
    ]
    foreign = [
        (rule.name, name) for rule in rules() for name in rule.label_names() - labels
    ]

    assert unknown == []
    assert foreign == []


def test_recorded_names_are_level_metric_operation() -> None:
    """Names follow Prometheus' convention, with the documented levels."""
    levels = (
        "braze|job|activity|workspace_channel|(replica_)?campaign|"
        "campaign_step|campaign_channel(_variation)?|"
        "(replica_)?series|segment|event|workspace|integration"
    )
    pattern = re.compile(rf"({levels}):(braze|threshold|targets)\w*:\w+")

    odd = [
        rule.name
        for rule in rules()
        if not rule.is_alert and not pattern.fullmatch(rule.name)
    ]

    assert odd == []


def test_groups_are_as_small_as_mimir_requires() -> None:
    sizes = Counter(rule.group for rule in rules())

    assert {name: size for name, size in sizes.items() if size > LARGEST_GROUP} == {}


def test_victoria_metrics_accepts_every_expression() -> None:
    sizes = {rule.name: len(rule.expression.encode()) for rule in rules()}

    assert max(sizes.values()) < LONGEST_QUERY, sizes


def test_both_sides_of_a_ratio_are_of_one_time() -> None:
    """Groups are evaluated at different times: rates read one group and their own."""
    group_of = {rule.name: rule.group for rule in rules() if not rule.is_alert}
    read: dict[str, set[str]] = {}
    for rule in rules():
        if rule.group.startswith("braze-rates-"):
            groups = {group_of.get(name, "") for name, _ in rule.metrics()}
            read.setdefault(rule.group, set()).update(groups - {rule.group})

    assert len(read) == 3
    assert {tuple(groups) for groups in read.values()} == {("braze-fold",)}


def test_alerts_have_all_annotations() -> None:
    """They have a severity, the value, and links to a runbook and a dashboard."""
    for rule in alerts():
        path = rule.annotations["dashboard_url"].partition("?")[0]
        uids = {_CONDITION.sub(part, path).split("/")[-1] for part in (r"\1", r"\2")}

        assert list(rule.annotations) == ANNOTATIONS, rule.name
        assert re.fullmatch(r"Braze([A-Z][a-z]+)+", rule.name)
        assert rule.labels["severity"] in {"warning", "critical"}, rule.name
        assert "$value" in rule.annotations["description"], rule.name
        assert rule.annotations["dashboard_url"].startswith("/d/"), rule.name
        assert uids <= DASHBOARDS, rule.name
        assert rule.annotations["runbook_url"].endswith(
            f"/blob/main/docs/runbooks/{rule.name}.md"
        ), rule.name


def test_every_alert_has_a_runbook() -> None:
    wanted = {rule.name for rule in alerts()}
    headings = {
        file.stem: re.findall("^## (.*)$", file.read_text(), flags=re.MULTILINE)
        for file in RUNBOOKS.glob("*.md")
    }

    assert set(headings) == wanted
    assert {tuple(each) for each in headings.values()} == {
        ("Meaning", "Impact", "Diagnosis", "Mitigation")
    }


def test_documents_state_the_number_of_alerts() -> None:
    """An alert with two severities counts as one."""
    number = str(len({rule.name for rule in alerts()}))
    for file in ("README.md", "CHANGELOG.md"):
        stated = re.findall(r"\b(\d+) alerts\b", (ROOT / file).read_text())

        assert stated == [number], file


def test_the_table_of_alerts_is_complete() -> None:
    """It has the severities and durations of the rules, warning first."""
    rows = cells("## What fires", (ROOT / "docs/alerts.md").read_text())
    known: dict[str, tuple[list[str], list[str]]] = {}
    for rule in alerts():
        severities, durations = known.setdefault(rule.name, ([], []))
        severities.append(rule.labels["severity"])
        durations.append(rule.duration)

    documented = {
        name.partition("]")[0].strip("["): (severity, duration)
        for name, severity, _, duration in rows
    }

    assert (
        corrections(documented, {name: _cells(*each) for name, each in known.items()})
        == []
    )


def _cells(severities: list[str], durations: list[str]) -> tuple[str, ...]:
    """Return the cells of severities and durations, in order and without duplicates."""
    order = sorted(zip(severities, durations, strict=True), reverse=True)
    columns = zip(*order, strict=True)
    return tuple(", ".join(dict.fromkeys(column)) for column in columns)


def test_every_alert_is_tested_in_every_situation() -> None:
    """Each has a file of promtool tests, with groups named after situations."""
    missing = []
    for rule in alerts():
        of_its_group = OF_GROUP.get(rule.group, OF_THE_EXPORTER)
        file = ROOT / "tests/rules" / f"{rule.name}.yaml"
        names = " | ".join(
            re.findall("^  - name: (.*)$", file.read_text(), re.MULTILINE)
        )
        missing += [
            (rule.name, situation)
            for situation in (*SITUATIONS.get(rule.name, of_its_group), "annotations")
            if situation not in names
        ]

    assert missing == []


def test_a_missing_threshold_is_reported_by_name() -> None:
    """The alert on missing thresholds lists each once, and each is used by an alert."""
    thresholds = [rule for rule in rules() if rule.name.startswith("braze:threshold:")]
    (watch,) = (rule for rule in alerts() if rule.name == "BrazeThresholdMissing")
    others = "".join(rule.expression for rule in rules() if rule is not watch)
    selectors = [
        "".join(
            [
                rule.name,
                "{",
                ",".join(f'{name}="{text}"' for name, text in rule.labels.items()),
                "}",
            ]
        )
        for rule in thresholds
    ]

    asked = re.findall(r"absent\((.*?})\)", watch.expression)
    read = re.sub(r'",\s+', '",', others)

    assert Counter(asked) == Counter(selectors)
    assert [each for each in selectors if f"scalar({each})" not in read] == []
    assert {rule.labels["alert"] for rule in thresholds} <= {
        rule.name for rule in alerts()
    }
    assert set(re.findall(r"scalar\((braze.*?)\)", read)) == set(selectors)


def test_example_of_alertmanager_is_valid(program: Program) -> None:
    """Its receiver is an empty placeholder; critical mutes warning."""
    file = ROOT / "grafana/alertmanager/alertmanager.yaml"
    document = yaml.safe_load(file.read_text())

    checked(program("amtool"), "check-config", file)
    assert [list(each) for each in document["receivers"]] == [["name"]]
    assert "placeholder" in document["route"]["receiver"]
    assert document["inhibit_rules"][0]["source_matchers"] == ["severity = critical"]
    # Alerts of one job do not mute those of another.
    assert all("job" in each["equal"] for each in document["inhibit_rules"])


def test_a_missing_permission_of_campaigns_mutes_no_alert_on_canvases() -> None:
    """A rejected key mutes the alerts on both."""
    text = (ROOT / "grafana/alertmanager/alertmanager.yaml").read_text()
    rules = yaml.safe_load(text)["inhibit_rules"]

    targets = {
        source: one["target_matchers"][1:]
        for one in rules
        for source in one["source_matchers"]
        if source.startswith("reason")
    }

    assert targets == {
        "reason = unauthorized": [],
        "reason = forbidden": ['canvas = ""', 'kind = ""'],
    }


def test_example_of_alertmanager_names_existing_alerts() -> None:
    """An inhibition of a renamed alert would have no effect."""
    text = (ROOT / "grafana/alertmanager/alertmanager.yaml").read_text()
    known = {rule.name for rule in alerts()}

    plain = set(re.findall(r"alertname = (\w+)", text))
    stem, endings = re.findall(r"(Braze\w+)\(([\w|]+)\)", text)[0]

    assert plain <= known
    assert {stem + ending for ending in endings.split("|")} <= known
