"""The rules: conventions that all of them keep, and promtool's tests of every alert."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from tests.docs.families import exposed
from tests.docs.markdown import cells, corrections
from tests.paths import ROOT
from tests.rules.alert_rules import Rule, alerts, files, rules

Program = Callable[[str], str]
TESTS = sorted((ROOT / "tests/rules").glob("*.yaml"))
RUNBOOKS = ROOT / "docs/runbooks"
DASHBOARDS = {
    "braze-overview",
    "braze-campaign",
    "braze-email-deliverability",
    "braze-messaging",
    "braze-exporter",
}
# What a target, an alert or one of our recording rules may bring along.
TARGET_LABELS = {"job", "instance", "pod", "container", "endpoint", "node"}
OUR_LABELS = {"window", "rate", "alert", "severity", "exported_endpoint", "__name__"}
ANNOTATIONS = ["summary", "description", "runbook_url", "dashboard_url"]
OF_ALL = ("fires", "just below", "absent data", "resolves")
OF_FIGURES = (
    *OF_ALL,
    "small sample",
    "zero division",
    "midnight reset",
    "stale data",
    "two replicas",
    "control group",
)
OF_THE_EXPORTER = (*OF_ALL, "two replicas")
SITUATIONS = {"BrazeThresholdMissing": OF_ALL}
"""Of alerts that have others than their group: thresholds have no replicas."""


def named(rule: Rule) -> str:
    """Name a rule in the list of tests."""
    return "-".join([rule.name, *map(str, rule.labels.values())])


@pytest.fixture(scope="module")
def outcomes() -> Iterator[Callable[[str, Path], str]]:
    """Run promtool's tests of all files, two at a time; tell what it said of one."""
    with ThreadPoolExecutor(2) as pool:
        started: dict[Path, Future[str]] = {}

        def outcome(promtool: str, file: Path) -> str:
            for each in () if started else TESTS:
                started[each] = pool.submit(_test, promtool, each)
            return started[file].result()

        yield outcome
        for future in started.values():
            future.cancel()


def _test(promtool: str, file: Path) -> str:
    ended = subprocess.run(
        [promtool, "test", "rules", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if ended.returncode == 0 else ended.stdout + ended.stderr


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_alerts_fire_when_they_should_and_only_then(
    program: Program, outcomes: Callable[[str, Path], str], file: Path
) -> None:
    """In every situation of the file exactly the alerts that it says, in its words."""
    assert outcomes(program("promtool"), file) == ""


def test_promtool_finds_no_fault(program: Program) -> None:
    """All its lints are on, and any of them fails."""
    ended = subprocess.run(
        [program("promtool"), "check", "rules", "--lint=all", "--lint-fatal"]
        + [str(file) for file in files()],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""


def test_replicas_are_folded_before_anything_else() -> None:
    """Whatever an exporter or Prometheus itself tells stands inside a fold."""
    loose = [
        (rule.name, name)
        for rule in rules()
        for name, place in rule.metrics()
        if ":" not in name
        and not rule.is_folded(place)
        and not _only_finds_targets(rule, name)
        and not _only_finds_replicas(rule)
    ]

    assert loose == []


def _only_finds_targets(rule: Rule, name: str) -> bool:
    """Whether the name stands in the rules' list of targets, which folds `up`."""
    return rule.group == "braze-targets" and name == "braze_exporter_build_info"


def _only_finds_replicas(rule: Rule) -> bool:
    """Whether it says which replicas are folded: those that show the newest day."""
    return rule.name == "replica_campaign:braze_newest_day:seconds"


def test_rules_speak_of_what_there_is() -> None:
    """Metrics are exposed, or recorded by a rule; labels are theirs."""
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
        for name in {each for each, _ in rule.metrics()} - metrics
    ]
    foreign = [
        (rule.name, name) for rule in rules() for name in rule.label_names() - labels
    ]

    assert unknown == []
    assert foreign == []


def test_recorded_names_are_level_metric_operation() -> None:
    """As Prometheus' naming asks, with our levels."""
    levels = (
        "braze|job|workspace_channel|(replica_)?campaign|campaign_channel(_variation)?"
    )
    pattern = re.compile(rf"({levels}):(braze|threshold|targets)\w*:\w+")

    odd = [
        rule.name
        for rule in rules()
        if not rule.is_alert and not pattern.fullmatch(rule.name)
    ]

    assert odd == []


@pytest.mark.parametrize("level", ["campaign_channel_variation", "campaign_channel"])
@pytest.mark.parametrize("rate", ["bounce", "spam", "unsubscribe", "open", "click"])
def test_rates_are_ratios_of_sums_and_guarded(level: str, rate: str) -> None:
    """A sum is divided by a sum that is above 0; there is no mean anywhere."""
    (rule,) = (each for each in rules() if each.name == f"{level}:braze_{rate}:ratio")
    numerator, _, denominator = rule.code.partition("/")

    assert numerator.split()[0] == "sum"
    assert re.fullmatch(rf"\s*\({level}:braze_(sent|reached):sum > 0\)\s*", denominator)
    assert not any("avg" in each.code for each in rules())


@pytest.mark.parametrize("rule", alerts(), ids=named)
def test_alerts_say_what_is_wrong_how_bad_and_where_to_look(rule: Rule) -> None:
    """All annotations, a severity, the figure, and links that lead somewhere."""
    *_, uid = rule.annotations["dashboard_url"].partition("?")[0].split("/")

    assert list(rule.annotations) == ANNOTATIONS
    assert re.fullmatch(r"Braze([A-Z][a-z]+)+", rule.name)
    assert rule.labels["severity"] in {"warning", "critical"}
    assert "$value" in rule.annotations["description"]
    assert rule.annotations["dashboard_url"].startswith("/d/")
    assert uid in DASHBOARDS
    assert rule.annotations["runbook_url"].endswith(
        f"/blob/main/docs/runbooks/{rule.name}.md"
    )


def test_every_alert_has_its_runbook_and_no_runbook_is_left_over() -> None:
    """One file for each, with the four questions of the night in their order."""
    wanted = {rule.name for rule in alerts()}
    headings = {
        file.stem: re.findall("^## (.*)$", file.read_text(), flags=re.MULTILINE)
        for file in RUNBOOKS.glob("*.md")
    }

    assert set(headings) == wanted
    assert {tuple(each) for each in headings.values()} == {
        ("Meaning", "Impact", "Diagnosis", "Mitigation")
    }


@pytest.mark.parametrize("file", ["README.md", "CHANGELOG.md"])
def test_who_counts_the_alerts_counts_all(file: str) -> None:
    """An alert of two severities is one, as it has one name and one runbook."""
    told = re.findall(r"\b(\d+) alerts\b", (ROOT / file).read_text())

    assert told == [str(len({rule.name for rule in alerts()}))]


def test_the_table_of_alerts_is_complete() -> None:
    """Severities and times stand there as in the rules, the milder one first."""
    rows = cells("## What fires", (ROOT / "docs/alerts.md").read_text())
    known: dict[str, tuple[list[str], list[str]]] = {}
    for rule in alerts():
        severities, durations = known.setdefault(rule.name, ([], []))
        severities.append(rule.labels["severity"])
        durations.append(rule.duration)

    told = {
        name.partition("]")[0].strip("["): (severity, duration)
        for name, severity, _, duration in rows
    }

    assert corrections(told, {name: _told(*each) for name, each in known.items()}) == []


def _told(severities: list[str], durations: list[str]) -> tuple[str, ...]:
    """Return the cells of severities and times: several in order, equal ones once."""
    order = sorted(zip(severities, durations, strict=True), reverse=True)
    columns = zip(*order, strict=True)
    return tuple(", ".join(dict.fromkeys(column)) for column in columns)


def test_every_alert_is_tried_in_every_situation() -> None:
    """Each has a file of promtool tests, whose groups are named for situations."""
    missing = []
    for rule in alerts():
        of_its_group = (
            OF_FIGURES if rule.group == "braze-deliverability" else OF_THE_EXPORTER
        )
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


def test_every_threshold_is_missed_by_name_when_it_is_gone() -> None:
    """The alert on missing thresholds lists them all, once; and each has a reader."""
    thresholds = [rule for rule in rules() if rule.group == "braze-thresholds"]
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


def test_deliverability_alerts_leave_stale_figures_to_the_staleness_alert() -> None:
    """Each is silent of campaigns that stand in the list of stale ones."""
    stale = "campaign:braze_stale:seconds"
    by_name = {rule.name: rule for rule in rules()}

    reckless = [
        rule.name
        for rule in alerts()
        if rule.group == "braze-deliverability"
        and stale not in rule.code
        and not all(
            stale in by_name[name].code
            for name, _ in rule.metrics()
            if "threshold" not in name
        )
    ]

    assert reckless == []


def test_example_of_alertmanager_is_valid(program: Program) -> None:
    """Its receiver is a placeholder and tells nobody; critical mutes warning."""
    file = ROOT / "grafana/alertmanager/alertmanager.yaml"
    document = yaml.safe_load(file.read_text())

    ended = subprocess.run(
        [program("amtool"), "check-config", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    assert [list(each) for each in document["receivers"]] == [["name"]]
    assert "placeholder" in document["route"]["receiver"]
    assert document["inhibit_rules"][0]["source_matchers"] == ["severity = critical"]
    # The alerts of one exporter say nothing of another's.
    assert all("job" in each["equal"] for each in document["inhibit_rules"])


def test_example_of_alertmanager_names_alerts_that_there_are() -> None:
    """An inhibition of an alert that was renamed would mute nothing."""
    text = (ROOT / "grafana/alertmanager/alertmanager.yaml").read_text()
    known = {rule.name for rule in alerts()}

    plain = set(re.findall(r"alertname = (\w+)", text))
    stem, endings = re.findall(r"(Braze\w+)\(([\w|]+)\)", text)[0]

    assert plain <= known
    assert {stem + ending for ending in endings.split("|")} <= known


def test_example_of_prometheus_is_valid(program: Program, tmp_path: Path) -> None:
    """With the rules where it looks for them, all of them are found."""
    example = (ROOT / "grafana/prometheus/prometheus.yml").read_text()
    file = tmp_path / "prometheus.yml"
    file.write_text(
        example.replace("/etc/prometheus/rules", str(ROOT / "grafana/rules"))
    )

    ended = subprocess.run(
        [program("promtool"), "check", "config", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    assert f"SUCCESS: {len(files())} rule files found" in ended.stdout
