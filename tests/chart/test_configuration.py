"""The exporter's configuration and its keys, as the chart renders them."""

from __future__ import annotations

import pytest
import yaml
from exporter.commands.demo import configuration
from exporter.config import options
from exporter.config.option import OptionKind
from exporter.config.schema import parse
from exporter.model.config import WorkspaceConfig
from exporter.simulator import Simulator, SimulatorSettings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.chart.chart_values import ID, NASTY, config
from tests.chart.helm import CHART, Document, Helm
from tests.support.certificates import HASH


def test_the_demo_polls_what_the_command_demo_polls() -> None:
    """The campaigns of the simulator and its canvases, in the pod's own simulator."""
    with Simulator(SimulatorSettings(seed=1)) as braze:
        command = yaml.safe_load(configuration(braze))

    demo = yaml.safe_load((CHART / "files" / "demo.yaml").read_text(encoding="utf-8"))

    (expected,), (workspace,) = command["workspaces"], demo["workspaces"]
    for own in ("endpoint", "api_key_env", "timezone"):
        del expected[own]
    for own in ("endpoint", "api_key_file"):
        del workspace[own]
    assert workspace == {**expected, "discover": {"canvases": {}}}


def test_the_demo_has_the_key_of_the_simulator(helm: Helm) -> None:
    """The key file of the demo's configuration contains the simulator's key."""
    rendered = helm.render()

    files = rendered.files("Secret", "demo-braze-exporter-demo")
    assert files == {"api-key": Simulator(SimulatorSettings(seed=1)).api_key}


def checksums(helm: Helm, values: Document) -> dict[str, str]:
    """Return the checksum annotations of the pod."""
    template = helm.render(values).workload["spec"]["template"]
    annotations = template["metadata"]["annotations"].items()
    return {name: text for name, text in annotations if name.startswith("checksum/")}


def test_checksums_change_with_configuration_and_secrets(helm: Helm) -> None:
    web = {"webConfig": {"basic_auth_users": {"a": HASH}}}
    other_web = {"webConfig": {"basic_auth_users": {"b": HASH}}}

    one, same, other, protected, changed = (
        checksums(helm, values)
        for values in (
            config(),
            config() | {"podLabels": {"team": "crm"}},
            config(interval="1m"),
            config() | web,
            config() | other_web,
        )
    )

    assert one == same
    assert one["checksum/config"] != other["checksum/config"]
    assert one["checksum/config"] == protected["checksum/config"]
    assert protected["checksum/secret"] != changed["checksum/secret"]
    assert not checksums(helm, config() | {"checksumAnnotations": False})


def test_the_configuration_can_be_a_secret(helm: Helm) -> None:
    """A Secret holds the same text as the ConfigMap, and replaces it."""
    values = config(proxy="http://proxy:3128")

    plain, secret = (
        helm.render(values | {"configInSecret": where}) for where in (False, True)
    )

    assert plain.config == secret.config
    assert not secret.all("ConfigMap")
    volume = secret.pod["volumes"][0]
    assert volume["secret"]["secretName"] == "demo-braze-exporter-config"


TEXTS = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Cn")), min_size=1, max_size=30
).filter(str.strip)


def parsed(text: str) -> WorkspaceConfig:
    """Return the workspace that the exporter reads from a configuration."""
    return parse(
        text,
        file="config.yaml",
        read_key=lambda _: "a-key-of-some-length",
        is_file=lambda _: True,
    ).config.workspaces[0]


def assert_texts_arrive(helm: Helm, *texts: str, **options: object) -> None:
    """Assert that texts arrive as texts: names of workspace and campaign, a label."""
    name, campaign, label = texts
    labelled = {"id": ID, "name": campaign, "labels": {"team": label}}
    values = config(name=name, campaigns=[labelled]) | options

    workspace = parsed(helm.render(values, has_schema=False).config)

    assert workspace.name == name
    assert workspace.campaigns[0].name == campaign
    assert dict(workspace.campaigns[0].labels) == {"team": label}


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(name=TEXTS, campaign=TEXTS, label=TEXTS)
@pytest.mark.parametrize("is_secret", [False, True])
def test_any_text_reaches_the_exporter(
    helm: Helm, *, is_secret: bool, name: str, campaign: str, label: str
) -> None:
    assert_texts_arrive(helm, name, campaign, label, configInSecret=is_secret)


@pytest.mark.parametrize(
    "text",
    ["yes", "12", "2026-01-01", "1:30", "0x1F", "~", "=", "<<", "1e3", "*a"],
)
def test_texts_stay_texts(helm: Helm, text: str) -> None:
    """YAML could read them as another type."""
    assert_texts_arrive(helm, text, text, text)


@pytest.mark.parametrize("campaigns", [..., None, []])
def test_a_workspace_may_have_canvases_alone(helm: Helm, campaigns: object) -> None:
    canvas = {"id": ID, "name": "yes", "steps": True, "labels": {"team": "1e3"}}
    values = config(campaigns=campaigns, canvases=[canvas], canvas_interval="1h")

    workspace = parsed(helm.render(values).config)

    assert workspace.campaigns == ()
    (found,) = workspace.canvases
    assert (found.id, found.name, found.has_steps) == (ID, "yes", True)
    assert (found.interval_seconds, dict(found.labels)) == (3600, {"team": "1e3"})


@pytest.mark.parametrize(
    "rate", [1, 0.5, 120, 1000000, 50000, "0.5", ".5", "12.", "120", "1e6", "1.5E+2"]
)
def test_numbers_stay_numbers(helm: Helm, rate: float | str) -> None:
    """Helm's --set passes a fraction as a text."""
    discover = {"canvases": {"max": 7}, "list_interval": "2h"}
    values = config(
        requests_per_minute=rate, shared_requests_per_minute="7.5", discover=discover
    )

    workspace = parsed(helm.render(values).config)

    assert float(workspace.requests_per_minute) == float(rate)
    assert workspace.discover
    assert workspace.shared_requests_per_minute == 7.5


@pytest.mark.parametrize(
    "path",
    [path for path, option in options.walk() if option.kind is OptionKind.NUMBER],
)
def test_every_number_may_be_a_text(helm: Helm, path: str) -> None:
    """Helm's --set passes a fraction as one."""
    *places, name = path.removeprefix("workspaces[].").split(".")
    value: object = "2.5"
    for key in reversed((*places, name)):
        value = {key: value}
    assert isinstance(value, dict)

    found = yaml.safe_load(helm.render(config(**value)).config)["workspaces"][0]

    for key in (*places, name):
        found = found[key]
    assert found == 2.5


def test_hostile_values_stay_in_their_places(helm: Helm) -> None:
    """Quotes, newlines and YAML's special characters are safe in every text."""
    labels = {"team": NASTY}
    name = {"name": NASTY, "key": NASTY}
    monitor = {"enabled": True, "basicAuth": {"username": name, "password": name}}
    values = config(name=NASTY) | {
        "commonLabels": labels,
        "commonAnnotations": {"note": NASTY},
        "podAnnotations": {"pod": NASTY},
        "podLabels": {"pod": NASTY},
        "nodeSelector": {"disk": NASTY},
        "extraArgs": [NASTY],
        "extraEnv": [{"name": "X", "value": NASTY}],
        "priorityClassName": NASTY,
        "image": {"tag": NASTY},
        "service": {"annotations": {"note": NASTY}, "labels": labels},
        "serviceAccount": {"annotations": {"note": NASTY}},
        "webConfig": {"basic_auth_users": {NASTY.replace(":", ""): HASH}},
        "ingress": {
            "enabled": True,
            "className": NASTY,
            "hosts": [{"host": NASTY, "paths": [{"path": f"/{NASTY}"}]}],
            "tls": [{"secretName": NASTY, "hosts": [NASTY]}],
        },
        "scrapeConfig": monitor | {"jobName": NASTY, "targetLabels": labels},
        "serviceMonitor": monitor | {"labels": labels, "jobLabel": NASTY},
        "podMonitor": monitor | {"labels": labels, "jobLabel": NASTY},
        "prometheusRule": {"enabled": True, "alertLabels": labels},
        "dashboards": {
            "enabled": True,
            "folder": NASTY,
            "labelValue": NASTY,
            "grafanaOperator": {"enabled": True},
        },
        "persistence": {"enabled": True, "storageClass": NASTY, "volumeName": NASTY},
    }

    rendered = helm.render(values)

    for each in rendered.documents:
        assert each["metadata"]["labels"]["team"] == NASTY
        assert each["metadata"]["annotations"]["note"] == NASTY
    assert rendered.exporter["args"][-1] == NASTY
    assert rendered.exporter["env"] == [{"name": "X", "value": NASTY}]
    assert rendered.one("Ingress")["spec"]["rules"][0]["host"] == NASTY
    assert rendered.one("ScrapeConfig")["spec"]["jobName"] == NASTY
    dashboards = rendered.all("GrafanaDashboard")
    assert dashboards
    assert {each["spec"]["folder"] for each in dashboards} == {NASTY}
    assert yaml.safe_load(rendered.config)["workspaces"][0]["name"] == NASTY
