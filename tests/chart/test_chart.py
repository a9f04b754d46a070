"""What the Helm chart makes of its values, rendered by real Helm."""

from __future__ import annotations

import copy
import gzip
import json
import re
import subprocess
import tarfile
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from exporter import __version__
from exporter.config.schema import parse
from exporter.simulator import Simulator, SimulatorSettings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from tests.chart.helm import (
    CHART,
    CI_FILES,
    Document,
    Helm,
    Rendered,
    documents,
    values_of,
)
from tests.chart.pod_security import violations
from tests.paths import FIXTURES, ROOT
from tests.support.certificates import HASH

VERSIONS = ("1.25", "1.28", "1.31", "1.34", "1.37")
SCHEMAS = {
    file.stem: json.loads(file.read_text())
    for file in (FIXTURES / "chart").glob("*.json")
}
CI = pytest.mark.parametrize("file", CI_FILES, ids=lambda file: file.stem)
ID = "3bbc4555-8fa0-4c9b-a5c0-4505edf3e064"
NASTY = "it's \"quoted\": {{ .Values }} #no\n\t- [x] & *y | > ' % @ ` \\ é 🌷 null"


def config(**changes: object) -> Document:
    """Return values with a configuration of one workspace and its key."""
    workspace = {
        "name": "production",
        "endpoint": "https://rest.iad-01.braze.com",
        "api_key_file": "/etc/braze-exporter/keys/production",
        "campaigns": [{"id": ID, "name": "Welcome series"}],
    }
    key = {"secretName": "braze", "key": "api-key", "file": "production"}
    return {"config": {"workspaces": [workspace | changes]}, "apiKeys": [key]}


def fault(document: Document, version: str) -> str:
    """Return what is wrong with a manifest, for that version of Kubernetes."""
    schema = SCHEMAS.get(document["kind"])
    if schema is not None:
        error = next(Draft7Validator(schema).iter_errors(document), None)
        return "" if error is None else f"{error.json_path}: {error.message}"
    try:
        kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{list(error.path)}: {error.message}"
    return ""


def selectors(rendered: Rendered) -> dict[str, Document]:
    """Return the labels that each object selects the exporter's pod by."""
    workload = rendered.workload
    found = {workload["kind"]: workload["spec"]["selector"]["matchLabels"]}
    for service in rendered.all("Service"):
        found[service["metadata"]["name"]] = service["spec"]["selector"]
    for kind, field in (
        ("PodMonitor", "selector"),
        ("PodDisruptionBudget", "selector"),
        ("NetworkPolicy", "podSelector"),
    ):
        for each in rendered.all(kind):
            found[kind] = each["spec"][field]["matchLabels"]
    return found


@CI
def test_strict_lint_finds_nothing(helm: Helm, file: Path) -> None:
    """Helm's strict linter has nothing to say with any of the values of ci/."""
    found = helm.lint(values_of(file), kube_version="v1.31.0")

    assert found == []


@CI
@pytest.mark.parametrize("version", VERSIONS)
def test_manifests_are_valid(helm: Helm, file: Path, version: str) -> None:
    """Each manifest is valid, strictly, for old and new versions of Kubernetes."""
    rendered = helm.render(values_of(file), kube_version=f"v{version}.0")

    faults = [
        f"{each['kind']} {each['metadata']['name']}: {found}"
        for each in rendered.documents
        if (found := fault(each, version))
    ]
    assert faults == []


def test_the_oldest_kubernetes_is_tested() -> None:
    """Manifests are checked for the oldest version that the chart says it is for."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert chart["kubeVersion"] == f">={VERSIONS[0]}.0-0"


@CI
def test_selectors_match_the_pod(helm: Helm, file: Path) -> None:
    """Whatever selects the exporter selects its pod, and never the test's."""
    rendered = helm.render(values_of(file))

    pod = rendered.workload["spec"]["template"]["metadata"]["labels"]
    for kind, labels in selectors(rendered).items():
        assert labels.items() <= pod.items(), kind
        for test in rendered.all("Pod"):
            assert not labels.items() <= test["metadata"]["labels"].items(), kind


@CI
def test_the_service_monitor_selects_the_service(helm: Helm, file: Path) -> None:
    """A ServiceMonitor finds one Service, by its labels, namespace and port's name."""
    values = values_of(file)
    other: Document = values.get("podMonitor") or values.get("scrapeConfig") or {}
    shown = other.get("tlsConfig", {})
    monitor = {"tlsConfig": shown} | values.get("serviceMonitor", {})
    values["serviceMonitor"] = monitor | {"enabled": True}

    rendered = helm.render(values)

    monitor = rendered.one("ServiceMonitor")
    wanted = monitor["spec"]["selector"]["matchLabels"]
    (service,) = (
        each
        for each in rendered.all("Service")
        if wanted.items() <= each["metadata"]["labels"].items()
    )
    places = monitor["spec"]["namespaceSelector"]["matchNames"]
    assert places == [service["metadata"]["namespace"]]
    ports = {port["name"] for port in service["spec"]["ports"]}
    assert {each["port"] for each in monitor["spec"]["endpoints"]} <= ports


@CI
def test_ports_agree(helm: Helm, file: Path) -> None:
    """Flags, container, Service, probes, monitors and policies mean the same port."""
    rendered = helm.render(values_of(file))

    (port,) = rendered.exporter["ports"]
    listens = f"--web.listen-address=:{port['containerPort']}"
    assert listens in rendered.exporter["args"]
    for service in rendered.all("Service"):
        (served,) = service["spec"]["ports"]
        assert served["targetPort"] == port["name"]
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        asked = rendered.exporter.get(probe, {})
        if "httpGet" in asked:
            assert asked["httpGet"]["port"] == port["name"]
        elif asked:
            assert listens in asked["exec"]["command"]
    for monitor in rendered.all("PodMonitor"):
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        assert endpoint["port"] == port["name"]
    for policy in rendered.all("NetworkPolicy"):
        assert policy["spec"]["ingress"][0]["ports"][0]["port"] == port["name"]


@CI
def test_every_mounted_file_exists(helm: Helm, file: Path) -> None:
    """What is mounted is a volume, and what the chart itself makes is in it."""
    rendered = helm.render(values_of(file))

    made = {
        (kind, each["metadata"]["name"]): set(each["data"])
        for kind in ("ConfigMap", "Secret")
        for each in rendered.all(kind)
    }
    claims = {
        each["metadata"]["name"] for each in rendered.all("PersistentVolumeClaim")
    }
    name = rendered.workload["metadata"]["name"]
    own = [
        {"name": each["metadata"]["name"]}
        for each in rendered.workload["spec"].get("volumeClaimTemplates", [])
    ]
    for pod in rendered.pods:
        all_volumes = pod["volumes"] + own
        volumes = {volume["name"]: volume for volume in all_volumes}
        assert len(volumes) == len(all_volumes)
        for container in pod["containers"]:
            mounts = container.get("volumeMounts", [])
            assert {mount["name"] for mount in mounts} <= set(volumes)
            assert len({mount["mountPath"] for mount in mounts}) == len(mounts)
        for source in chain.from_iterable(map(sources, volumes.values())):
            kind, holder, keys = source
            if holder.startswith(name):
                assert keys <= made[kind, holder], source
        for volume in volumes.values():
            claim = volume.get("persistentVolumeClaim", {}).get("claimName", "")
            assert claim in claims or not claim.startswith(name)


def sources(volume: Document) -> list[tuple[str, str, set[str]]]:
    """Return kind, name and keys of the ConfigMaps and Secrets in a volume."""
    found = []
    parts = volume.get("projected", {}).get("sources", [volume])
    for part in parts:
        for field, kind, named in (
            ("configMap", "ConfigMap", "name"),
            ("secret", "Secret", "secretName"),
        ):
            if field in part:
                source = part[field]
                holder = source.get(named) or source["name"]
                keys = {item["key"] for item in source.get("items", [])}
                found.append((kind, holder, keys))
    return found


@CI
def test_pods_meet_pod_security_restricted(helm: Helm, file: Path) -> None:
    """Our containers, those of the test too, meet Pod Security's level "restricted"."""
    rendered = helm.render(values_of(file))

    for pod in rendered.pods:
        pod["containers"] = [
            each for each in pod["containers"] if each["name"] != "beside"
        ]
        pod.pop("initContainers", None)
        assert violations(pod) == []
        assert pod["automountServiceAccountToken"] in {
            False,
            values_of(file).get("serviceAccount", {}).get("automountToken", False),
        }


@pytest.mark.parametrize(
    "harm",
    [
        lambda pod, _: pod.update(hostNetwork=True),
        lambda pod, _: pod["volumes"].append({"name": "x", "hostPath": {"path": "/"}}),
        lambda pod, _: pod["securityContext"].pop("seccompProfile"),
        lambda pod, _: pod["securityContext"].update(runAsUser=0),
        lambda pod, _: pod["securityContext"].update(
            sysctls=[{"name": "kernel.msgmax"}]
        ),
        lambda pod, _: pod["securityContext"].pop("runAsNonRoot"),
        lambda _, context: context.update(privileged=True),
        lambda _, context: context.update(procMount="Unmasked"),
        lambda _, context: context.pop("allowPrivilegeEscalation"),
        lambda _, context: context.pop("capabilities"),
        lambda _, context: context["capabilities"].update(add=["SYS_TIME"]),
        lambda _, context: context.update(appArmorProfile={"type": "Unconfined"}),
        lambda _, context: context.update(seLinuxOptions={"role": "x"}),
        lambda _, context: context.update(windowsOptions={"hostProcess": True}),
    ],
)
def test_the_policy_sees_what_it_should(
    helm: Helm, harm: Callable[[Document, Document], object]
) -> None:
    """The list of controls finds each way to leave the level."""
    pod = copy.deepcopy(helm.render().pod)

    harm(pod, pod["containers"][0]["securityContext"])

    assert violations(pod)


@CI
def test_an_upgrade_keeps_selectors(helm: Helm, file: Path) -> None:
    """From the defaults to any values no selector changes: none could be applied."""
    before = selectors(helm.render())["Deployment"]

    after = selectors(helm.render(values_of(file)))

    assert len(after) > 1
    assert dict.fromkeys(after, before) == after


def test_a_new_version_restarts_nothing(helm: Helm) -> None:
    """Selectors and the pod's labels hold no version of the chart."""
    pod = helm.render().workload["spec"]["template"]["metadata"]["labels"]

    assert pod == {
        "app.kubernetes.io/name": "braze-exporter",
        "app.kubernetes.io/instance": "demo",
        "app.kubernetes.io/component": "exporter",
    }


def test_two_releases_do_not_collide(helm: Helm) -> None:
    """Two releases in one namespace have no object in common, whatever is enabled."""
    everything: Document = {}
    for file in CI_FILES:
        values = values_of(file)
        if "fullnameOverride" not in values and "existing" not in file.stem:
            everything |= {
                key: value
                for key, value in values.items()
                if key not in {"config", "apiKeys", "checksumAnnotations"}
            }
    everything |= {"demo": {"enabled": True}, "replicas": 1}
    user = {"name": "scrape", "key": "user"}
    for monitor in ("serviceMonitor", "podMonitor", "scrapeConfig"):
        everything[monitor]["basicAuth"] = {"username": user, "password": user}
        everything[monitor]["tlsConfig"] = {"insecureSkipVerify": True}

    first, second = (helm.render(everything, name=name) for name in ("one", "two"))

    def names(rendered: Rendered) -> set[tuple[str, str, str]]:
        return {
            (each["kind"], each["metadata"]["namespace"], each["metadata"]["name"])
            for each in rendered.documents
        }

    assert len(names(first)) == len(first.documents) > 20
    assert not names(first) & names(second)
    ours, theirs = (
        each.workload["spec"]["selector"]["matchLabels"] for each in (first, second)
    )
    assert ours["app.kubernetes.io/instance"] != theirs["app.kubernetes.io/instance"]


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ("demo", "demo-braze-exporter"),
        ("braze-exporter", "braze-exporter"),
        ("my-braze-exporter-2", "my-braze-exporter-2"),
        ("r" * 53, f"{'r' * 53}-braze-exporter"),
        ("a123", "a123-braze-exporter"),
        ("a.b", "a-b-braze-exporter"),
        ("a.braze-exporter", "a-braze-exporter"),
    ],
)
def test_names_hold_the_release(helm: Helm, release: str, expected: str) -> None:
    """An object's name has the release's in it, once, in at most 63 characters.

    A release may have dots in its name, and a Service may not.
    """
    deployment = helm.render(name=release).workload

    assert deployment["metadata"]["name"] == f"{expected}"[:63].rstrip("-")
    labels = deployment["spec"]["selector"]["matchLabels"]
    assert labels["app.kubernetes.io/instance"] == release


def test_every_object_is_in_the_namespace_asked_for(helm: Helm) -> None:
    """NamespaceOverride moves all objects, and the names that others reach them by."""
    values = values_of(CHART / "ci" / "network-values.yaml")

    rendered = helm.render(values | {"namespaceOverride": "marketing"})

    places = {each["metadata"]["namespace"] for each in rendered.documents}
    assert places == {"marketing"}
    (test,) = rendered.all("Pod")
    address = test["spec"]["containers"][0]["args"][1]
    assert address == "--web.listen-address=demo-braze-exporter.marketing.svc:80"
    assert "--namespace marketing port-forward" in rendered.notes


def test_common_labels_and_annotations_are_everywhere(helm: Helm) -> None:
    """Every object and the pod has the common ones; ours are not replaced by them."""
    values = values_of(CHART / "ci" / "pod-values.yaml")
    values["extraManifests"] = []

    rendered = helm.render(values)

    pod = rendered.workload["spec"]["template"]["metadata"]
    for metadata in (*(each["metadata"] for each in rendered.documents), pod):
        assert metadata["labels"]["team"] == "crm"
        assert metadata["labels"]["app.kubernetes.io/instance"] == "demo"
        assert metadata["labels"]["app.kubernetes.io/name"] == "braze-exporter"
        assert metadata["annotations"]["example.com/owner"] == "crm"


# Images.


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, f"ghcr.io/braze-exporter/braze-exporter:{__version__}"),
        ({"global": None}, f"ghcr.io/braze-exporter/braze-exporter:{__version__}"),
        ({"image": {"tag": "1.2.3"}}, "ghcr.io/braze-exporter/braze-exporter:1.2.3"),
        (
            {"image": {"tag": "1.2.3", "digest": f"sha256:{'a' * 64}"}},
            f"ghcr.io/braze-exporter/braze-exporter@sha256:{'a' * 64}",
        ),
        (
            {"image": {"registry": "", "repository": "braze", "tag": "1"}},
            "braze:1",
        ),
        (
            {"global": {"imageRegistry": "example.com:5000"}},
            f"example.com:5000/braze-exporter/braze-exporter:{__version__}",
        ),
    ],
)
def test_images_are_named_as_asked(helm: Helm, values: Document, expected: str) -> None:
    """All our containers run one image: registry, repository, tag or digest."""
    rendered = helm.render(values)

    images = {
        container["image"] for pod in rendered.pods for container in pod["containers"]
    }
    assert images == {expected}


def test_pull_secrets_are_names_or_mappings(helm: Helm) -> None:
    """Global and own pull secrets are joined, whichever way they are written."""
    values: Document = {
        "global": {"imagePullSecrets": ["one", {"name": "two"}]},
        "imagePullSecrets": ["one", "three"],
    }

    rendered = helm.render(values)

    for pod in rendered.pods:
        names = [each["name"] for each in pod["imagePullSecrets"]]
        assert names == ["one", "two", "three"]


# Configuration and keys.


def test_the_demo_polls_every_campaign_of_the_simulator() -> None:
    """The demo's configuration names what `simulate` simulates."""
    braze = Simulator(SimulatorSettings(seed=1))

    demo = yaml.safe_load((CHART / "files" / "demo.yaml").read_text(encoding="utf-8"))

    (workspace,) = demo["workspaces"]
    assert workspace["campaigns"] == [
        {"id": each.id, "name": each.name} for each in braze.campaigns
    ]


def test_the_demo_has_the_key_of_the_simulator(helm: Helm) -> None:
    """The key file that the demo's configuration names holds the simulator's key."""
    rendered = helm.render()

    files = rendered.files("Secret", "demo-braze-exporter-demo")
    assert files == {"api-key": Simulator(SimulatorSettings(seed=1)).api_key}


def test_keys_are_files_that_not_everyone_may_read(helm: Helm) -> None:
    """Each key of a Secret is the file that the configuration names, for the group."""
    rendered = helm.render(config())

    (keys,) = (each for each in rendered.pod["volumes"] if each["name"] == "keys")
    assert keys["projected"]["defaultMode"] == 0o440
    (source,) = keys["projected"]["sources"]
    assert source["secret"] == {
        "name": "braze",
        "items": [{"key": "api-key", "path": "production"}],
    }
    mounts = {each["name"]: each for each in rendered.exporter["volumeMounts"]}
    assert mounts["keys"]["mountPath"] == "/etc/braze-exporter/keys"
    assert mounts["keys"]["readOnly"] is True
    assert rendered.pod["securityContext"]["fsGroup"] == 65532
    assert not rendered.all("Secret")


def test_nothing_is_mounted_by_subpath(helm: Helm) -> None:
    """A file mounted by subPath would never change, and neither reloads nor rotates."""
    for file in CI_FILES:
        for container in helm.render(values_of(file)).pod["containers"]:
            for mount in container.get("volumeMounts", []):
                assert "subPath" not in mount


def checksums(rendered: Rendered) -> dict[str, str]:
    """Return the checksum annotations of the pod."""
    template = rendered.workload["spec"]["template"]
    return {
        name: text
        for name, text in template["metadata"]["annotations"].items()
        if name.startswith("checksum/")
    }


def test_checksums_change_with_configuration_and_secrets(helm: Helm) -> None:
    """What the chart renders into a ConfigMap or Secret is in an annotation."""
    web = {"webConfig": {"basic_auth_users": {"a": HASH}}}
    other_web = {"webConfig": {"basic_auth_users": {"b": HASH}}}

    one, same, other, protected, changed = (
        checksums(helm.render(values))
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
    assert not checksums(helm.render(config() | {"checksumAnnotations": False}))


def test_configuration_may_stand_in_a_secret(helm: Helm) -> None:
    """With a proxy's password in it the configuration belongs into a Secret."""
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


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(name=TEXTS, campaign=TEXTS, label=TEXTS)
@pytest.mark.parametrize("is_secret", [False, True])
def test_any_text_reaches_the_exporter(
    helm: Helm, *, is_secret: bool, name: str, campaign: str, label: str
) -> None:
    """Names and labels arrive in the exporter's configuration as they were given."""
    values = config(
        name=name,
        campaigns=[{"id": ID, "name": campaign, "labels": {"team": label}}],
    )

    rendered = helm.render(values | {"configInSecret": is_secret})

    read = yaml.safe_load(rendered.config)
    assert read["workspaces"][0]["name"] == name
    assert read["workspaces"][0]["campaigns"][0]["name"] == campaign
    assert read["workspaces"][0]["campaigns"][0]["labels"] == {"team": label}


@pytest.mark.parametrize(
    "text", ["yes", "12", "2026-01-01", "1:30", "0x1F", "~", "=", "<<", "1e3", "*a"]
)
def test_texts_stay_texts(helm: Helm, text: str) -> None:
    """What YAML could take for something else arrives as text in the exporter."""
    campaign = {"id": ID, "name": text, "labels": {"team": text}}

    rendered = helm.render(config(name=text, campaigns=[campaign]))

    taken = parse(
        rendered.config,
        file="config.yaml",
        read_key=lambda _: "a-key-of-some-length",
        is_file=lambda _: True,
    ).config.workspaces[0]
    assert taken.name == text
    assert taken.campaigns[0].name == text
    assert dict(taken.campaigns[0].labels) == {"team": text}


@pytest.mark.parametrize("rate", [1, 0.5, 120, 1000000, 50000])
def test_numbers_stay_numbers(helm: Helm, rate: float) -> None:
    """Large and broken numbers arrive as they are."""
    rendered = helm.render(config(requests_per_minute=rate))

    taken = parse(
        rendered.config,
        file="config.yaml",
        read_key=lambda _: "a-key-of-some-length",
        is_file=lambda _: True,
    ).config.workspaces[0]
    assert float(taken.requests_per_minute) == rate


def test_hostile_values_stay_in_their_places(helm: Helm) -> None:
    """Quotes, newlines and YAML's own characters break nothing where text may be."""
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


# The web server, seen from outside.


@pytest.mark.parametrize(
    ("web", "path"),
    [
        ({}, "/metrics"),
        ({"routePrefix": "/braze"}, "/braze/metrics"),
        ({"routePrefix": "/braze/"}, "/braze/metrics"),
        ({"routePrefix": "/"}, "/metrics"),
        ({"externalUrl": "https://example.com/a/b/"}, "/a/b/metrics"),
        ({"externalUrl": "https://example.com"}, "/metrics"),
        ({"externalUrl": "https://example.com/a", "routePrefix": "/"}, "/metrics"),
        ({"telemetryPath": "/figures", "routePrefix": "/x"}, "/x/figures"),
    ],
)
@pytest.mark.parametrize("is_tls", [False, True])
def test_probes_and_monitors_find_the_paths(
    helm: Helm, *, web: Document, path: str, is_tls: bool
) -> None:
    """Prefix and scheme are the same for probes, monitors and the notes."""
    values: Document = {
        "web": web,
        "serviceMonitor": {"enabled": True},
        "podMonitor": {"enabled": True},
        "scrapeConfig": {"enabled": True},
    }
    if is_tls:
        values["tls"] = {"secretName": "braze-tls", "caKey": "ca.crt"}

    rendered = helm.render(values)

    scheme = "https" if is_tls else "http"
    prefix = path.rpartition("/")[0]
    probes = {
        name: rendered.exporter[f"{name}Probe"]["httpGet"]
        for name in ("startup", "liveness", "readiness")
    }
    assert {each["scheme"] for each in probes.values()} == {scheme.upper()}
    assert probes["startup"]["path"] == f"{prefix}/-/healthy"
    assert probes["liveness"]["path"] == f"{prefix}/-/healthy"
    assert probes["readiness"]["path"] == f"{prefix}/-/ready"
    (endpoint,) = rendered.one("ServiceMonitor")["spec"]["endpoints"]
    (of_pod,) = rendered.one("PodMonitor")["spec"]["podMetricsEndpoints"]
    for each in (endpoint, of_pod):
        assert (each["path"], each["scheme"]) == (path, scheme)
    scrape = rendered.one("ScrapeConfig")["spec"]
    assert (scrape["metricsPath"], scrape["scheme"]) == (path, scheme.upper())
    assert f"{scheme}://127.0.0.1:10417{path} " in rendered.notes


@pytest.mark.parametrize(
    "values",
    [
        {
            "tls": {"secretName": "braze-tls"},
            "webConfig": {
                "tls_server_config": {
                    "client_auth_type": "RequireAndVerifyClientCert",
                    "client_ca_file": "/etc/braze-exporter/tls/ca.crt",
                }
            },
        },
        {
            "existingWebConfig": {
                "secret": "web",
                "tls": True,
                "clientCertificates": True,
            }
        },
    ],
)
def test_probes_show_a_certificate_where_they_have_to(
    helm: Helm, values: Document
) -> None:
    """Under client certificates all probes run the health check, with our flags.

    Readiness asks whether the exporter is ready, and not only whether it is alive.
    """
    rendered = helm.render(
        values
        | {
            "web": {"routePrefix": "/x", "port": 9000},
            "healthcheckCertificate": {"secretName": "client"},
        }
    )

    for name in ("startup", "liveness", "readiness"):
        probe = rendered.exporter[f"{name}Probe"]
        assert "httpGet" not in probe
        assert probe["exec"]["command"] == [
            "braze-exporter",
            "healthcheck",
            "--ready" if name == "readiness" else "--no-ready",
            "--web.listen-address=:9000",
            "--web.route-prefix=/x",
            "--web.config.file=/etc/braze-exporter/web/web-config.yaml",
            "--client.cert-file=/etc/braze-exporter/client/tls.crt",
            "--client.key-file=/etc/braze-exporter/client/tls.key",
        ]


def test_certificates_that_are_optional_leave_probes_alone(helm: Helm) -> None:
    """A client that may show a certificate need not, and neither need probes."""
    rendered = helm.render(
        {
            "tls": {"secretName": "braze-tls"},
            "webConfig": {
                "tls_server_config": {
                    "client_auth_type": "VerifyClientCertIfGiven",
                    "client_ca_file": "/etc/braze-exporter/tls/ca.crt",
                }
            },
        }
    )

    assert rendered.exporter["livenessProbe"]["httpGet"]["scheme"] == "HTTPS"


def test_the_test_pod_has_the_files_of_the_web_configuration(helm: Helm) -> None:
    """Extra volumes are mounted there too if a web configuration may name them."""
    values: Document = {
        "extraVolumes": [
            {"name": "papers", "secret": {"secretName": "papers"}},
            {"name": "beside", "emptyDir": {}},
        ],
        "extraVolumeMounts": [{"name": "papers", "mountPath": "/papers"}],
    }
    tls = {"cert_file": "/papers/tls.crt", "key_file": "/papers/tls.key"}

    with_web = helm.render(values | {"webConfig": {"tls_server_config": tls}})
    without = helm.render(values)

    (test,) = (each["spec"] for each in with_web.all("Pod"))
    (mounts,) = (each["volumeMounts"] for each in test["containers"])
    assert values["extraVolumeMounts"][0] in mounts
    assert values["extraVolumes"][0] in test["volumes"]
    assert values["extraVolumes"][1] not in test["volumes"]
    (test,) = (each["spec"] for each in without.all("Pod"))
    assert [each["name"] for each in test["volumes"]] == ["tmp"]


def test_monitors_verify_the_exporter_by_its_authority(helm: Helm) -> None:
    """With `tls.caKey` monitors verify the certificate, by the Service's name."""
    tls = {"secretName": "braze-tls", "caKey": "ca.crt"}

    rendered = helm.render({"tls": tls, "serviceMonitor": {"enabled": True}})

    (endpoint,) = rendered.one("ServiceMonitor")["spec"]["endpoints"]
    assert endpoint["tlsConfig"] == {
        "ca": {"secret": {"name": "braze-tls", "key": "ca.crt"}},
        "serverName": "demo-braze-exporter.prod.svc",
    }


# Network.


@pytest.mark.parametrize(
    ("workspaces", "ports"),
    [
        ([{}], {443}),
        ([{"endpoint": "https://braze.example.com:8443"}], {8443}),
        ([{"proxy": "http://user@proxy:3128"}], {3128}),
        ([{"proxy": "http://proxy"}], {80}),
        ([{}, {"proxy": "http://[2001:db8::1]:8080"}], {443, 8080}),
        ([{"endpoint": "HTTPS://rest.iad-01.braze.com"}], {443}),
        ([{"endpoint": "HTTP://braze.example.com", "allow_http": True}], {80}),
        ([{"proxy": "HTTPS://proxy"}], {443}),
        ([{"proxy": "Http://proxy"}], {80}),
    ],
)
def test_the_network_policy_lets_polls_out(
    helm: Helm, workspaces: list[Document], ports: set[int]
) -> None:
    """Without `egress.ports` those of the configured endpoints and proxies are open."""
    values = config()
    first = values["config"]["workspaces"][0]
    values["config"]["workspaces"] = [
        first | {"name": f"w{number}"} | changes
        for number, changes in enumerate(workspaces)
    ]

    rendered = helm.render(values | {"networkPolicy": {"enabled": True}})

    dns, braze = rendered.one("NetworkPolicy")["spec"]["egress"]
    assert {each["port"] for each in dns["ports"]} == {53}
    assert {each["port"] for each in braze["ports"]} == ports


@pytest.mark.parametrize(
    ("environment", "ports"),
    [
        ({"HTTPS_PROXY": "http://proxy:3128"}, {3128, 8080, 80}),
        ({"https_proxy": "HTTP://u:p@proxy:3128/"}, {3128, 8080, 80}),
        ({"HTTP_PROXY": "proxy:3128"}, {443, 8080, 3128}),
        ({"HTTP_PROXY": "proxy"}, {443, 8080, 80}),
        ({"ALL_PROXY": "https://proxy"}, {443, 8080}),
        ({"all_proxy": "http://a:1", "HTTPS_PROXY": "http://b:2"}, {1, 2, 8080}),
        ({"HTTPS_PROXY": "http://a:1", "https_proxy": ""}, {443, 8080, 80}),
        ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": ".c"}, {1, 443, 8080, 80}),
        ({"NO_PROXY": "*"}, {443, 8080, 80}),
    ],
)
def test_the_network_policy_knows_the_proxies_of_the_environment(
    helm: Helm, environment: dict[str, str], ports: set[int]
) -> None:
    """A proxy in `extraEnv` counts for workspaces without one of their own."""
    values = config()
    first = values["config"]["workspaces"][0]
    plain = {"name": "b", "endpoint": "http://braze.example.com", "allow_http": True}
    own = {"name": "c", "proxy": "http://proxy:8080"}
    values["config"]["workspaces"] = [first, first | plain, first | own]
    named = [{"name": name, "value": value} for name, value in environment.items()]

    rendered = helm.render(
        values | {"networkPolicy": {"enabled": True}, "extraEnv": named}
    )

    braze = rendered.one("NetworkPolicy")["spec"]["egress"][1]
    assert {each["port"] for each in braze["ports"]} == ports


def test_the_network_policy_of_an_existing_configuration(helm: Helm) -> None:
    """HTTPS is let out, or else the proxy of the environment."""
    values: Document = {
        "existingConfig": {"secret": "config"},
        "networkPolicy": {"enabled": True},
    }
    proxied = {"extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}]}

    found = [
        helm.render(each).one("NetworkPolicy")["spec"]["egress"][1]["ports"]
        for each in (values, values | proxied)
    ]

    assert [[each["port"] for each in ports] for ports in found] == [[443], [3128]]


def test_the_test_pod_may_pass_the_network_policy(helm: Helm) -> None:
    """Who may scrape is bounded, and `helm test` still works."""
    peer = {"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}

    rendered = helm.render(
        {"networkPolicy": {"enabled": True, "ingress": {"from": [peer]}}}
    )

    allowed = rendered.one("NetworkPolicy")["spec"]["ingress"][0]["from"]
    assert allowed[0] == peer
    (test,) = rendered.all("Pod")
    labels = allowed[1]["podSelector"]["matchLabels"]
    assert labels.items() <= test["metadata"]["labels"].items()


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        ({}, {"maxUnavailable": 1}),
        ({"maxUnavailable": 0}, {"maxUnavailable": 0}),
        ({"maxUnavailable": "50%"}, {"maxUnavailable": "50%"}),
        ({"minAvailable": 1}, {"minAvailable": 1}),
        ({"minAvailable": 0, "maxUnavailable": None}, {"minAvailable": 0}),
        ({"minAvailable": None, "maxUnavailable": None}, {"maxUnavailable": 1}),
    ],
)
def test_a_budget_has_one_bound(
    helm: Helm, budget: Document, expected: Document
) -> None:
    """Of two bounds `minAvailable` wins, and zero is a number."""
    rendered = helm.render({"podDisruptionBudget": {"enabled": True} | budget})

    spec = rendered.one("PodDisruptionBudget")["spec"]
    del spec["selector"]
    assert spec == expected


# Rules and dashboards.


def rules_of(rendered: Rendered) -> list[Document]:
    """Return all rules."""
    groups = rendered.one("PrometheusRule")["spec"]["groups"]
    return [rule for group in groups for rule in group["rules"]]


def repository_rules() -> list[Document]:
    """Return the rules as they stand in the repository."""
    return [
        rule
        for file in sorted((ROOT / "grafana" / "rules").glob("*.yaml"))
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    ]


def test_the_rules_are_those_of_the_repository(helm: Helm) -> None:
    """Without values every rule is as in grafana/rules, Prometheus' templates too."""
    rendered = helm.render({"prometheusRule": {"enabled": True}})

    assert rules_of(rendered) == repository_rules()
    assert "{{ $labels.campaign }}" in json.dumps(rules_of(rendered))


def test_thresholds_of_the_values_arrive(helm: Helm) -> None:
    """Each threshold that the values name is replaced, and no other."""
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
def test_promtool_takes_the_rules(
    helm: Helm, program: Callable[[str], str], tmp_path: Path, rule: Document
) -> None:
    """What is in the PrometheusRule are rules that Prometheus loads."""
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


def test_alerts_may_be_left_out_and_labelled(helm: Helm) -> None:
    """A disabled alert is gone, all others have the labels and the link asked for."""
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
    """Each dashboard is in a ConfigMap, unchanged, with what the sidecar looks for."""
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
    """With Grafana's operator alone the sidecar is not called, and nothing is twice."""
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


# The rest.


def test_extra_manifests_are_templates(helm: Helm) -> None:
    """Mappings and texts are rendered, with the chart's own names to use."""
    values = values_of(CHART / "ci" / "pod-values.yaml")

    rendered = helm.render(values)

    extra = {
        each["metadata"]["name"]: each["data"]
        for each in documents(rendered.texts["extra-manifests.yaml"])
    }
    assert extra == {
        "our-braze-more": {"release": "demo"},
        "demo-text": {"chart": "braze-exporter"},
    }


def test_topology_spread_counts_this_release(helm: Helm) -> None:
    """A constraint without a selector gets ours; one with a selector keeps it."""
    rendered = helm.render(values_of(CHART / "ci" / "pod-values.yaml"))

    first, second = rendered.pod["topologySpreadConstraints"]
    own = selectors(rendered)["Deployment"]
    assert first["labelSelector"] == {"matchLabels": own}
    assert set(second["labelSelector"]) == {"matchExpressions"}


def test_there_is_never_more_than_one_exporter(helm: Helm) -> None:
    """One replica, and the old pod ends before the new one begins."""
    spec = helm.render().workload["spec"]

    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "Recreate"}


def test_the_state_outlives_the_pod_only_if_asked(helm: Helm) -> None:
    """The state is in an emptyDir by default, and in a claim with `persistence`."""

    def volume(**values: object) -> Document:
        pod = helm.render(values).pod
        (found,) = (each for each in pod["volumes"] if each["name"] == "state")
        assert isinstance(found, dict)
        return found

    assert volume() == {"name": "state", "emptyDir": {"sizeLimit": "128Mi"}}
    assert volume(persistence={"enabled": True})["persistentVolumeClaim"] == {
        "claimName": "demo-braze-exporter-state"
    }
    assert volume(persistence={"enabled": True, "existingClaim": "kept"})[
        "persistentVolumeClaim"
    ] == {"claimName": "kept"}
    args = helm.render({"state": {"enabled": False}}).exporter["args"]
    assert not any(each.startswith("--state.path") for each in args)


@pytest.mark.parametrize("file", CI_FILES, ids=lambda file: file.stem)
def test_the_notes_tell_the_next_command(helm: Helm, file: Path) -> None:
    """After an installation there is a command to copy, and no template left over."""
    values = values_of(file)

    rendered = helm.render(values)

    notes = rendered.notes
    forward = f" port-forward {rendered.workload['kind'].lower()}/"
    assert (forward in notes) == bool(values.get("replicas", 1))
    assert re.search(r"^  (kubectl|helm) ", notes, re.MULTILINE)
    assert "<no value>" not in notes
    assert "%!" not in notes


def test_the_notes_forward_the_port_of_the_container(helm: Helm) -> None:
    """Of a headless Service kubectl takes the port for the container's."""
    service = {"clusterIP": "None", "port": 80}

    notes = helm.render({"web": {"port": 9000}, "service": service}).notes

    assert "port-forward deployment/demo-braze-exporter 9000:9000\n" in notes


def test_the_notes_of_a_stopped_exporter_start_it(helm: Helm) -> None:
    """There is nothing to forward to: they say how it runs again, and no more."""
    notes = helm.render(config() | {"replicas": 0}).notes

    assert "scale deployment/demo-braze-exporter --replicas=1" in notes
    assert "port-forward" not in notes
    assert "helm test" not in notes


def test_the_notes_warn_of_a_key_that_no_variable_holds(helm: Helm) -> None:
    """The exporter would not start; the variable may also come from elsewhere."""
    values = config(api_key_env="BRAZE_API_KEY", api_key_file=None)
    del values["config"]["workspaces"][0]["api_key_file"]
    secret = {"secretKeyRef": {"name": "braze", "key": "api-key"}}

    warned, *silent = (
        helm.render(values | more).notes
        for more in (
            {},
            {"extraEnv": [{"name": "BRAZE_API_KEY", "valueFrom": secret}]},
            {"extraEnvFrom": [{"secretRef": {"name": "braze"}}]},
        )
    )

    assert "extraEnv has no BRAZE_API_KEY" in warned
    assert not [notes for notes in silent if "extraEnv has no" in notes]


def test_the_notes_warn_of_a_password_that_the_chart_cannot_see(helm: Helm) -> None:
    """A monitor without one may be turned away by an existing web configuration."""
    values: Document = {
        "existingWebConfig": {"secret": "web"},
        "podMonitor": {"enabled": True},
    }
    name = {"name": "scrape", "key": "username"}
    auth = {"basicAuth": {"username": name, "password": name}}

    warned = helm.render(values).notes
    silent = helm.render(values | {"podMonitor": {"enabled": True} | auth}).notes

    assert "podMonitor.basicAuth" in warned
    assert "podMonitor.basicAuth" not in silent


@CI
def test_no_template_prints_what_is_not_there(helm: Helm, file: Path) -> None:
    """No manifest shows a value that was missing, or one that was printed wrongly."""
    for text in helm.render(values_of(file)).texts.values():
        assert "<no value>" not in text
        assert "<nil>" not in text
        assert "%!" not in text.replace("%!]", "")


def test_the_package_holds_dashboards_and_rules(helm: Helm, tmp_path: Path) -> None:
    """The archive has real files where the repository has links, and needs no more."""
    archive = helm.package(tmp_path)

    with tarfile.open(archive) as packed:
        members = {each.name: each for each in packed.getmembers()}
        for kind, pattern in (("dashboards", "*.json"), ("rules", "*.yaml")):
            files = sorted((ROOT / "grafana" / kind).glob(pattern))
            assert files
            for file in files:
                member = members[f"braze-exporter/{kind}/{file.name}"]
                assert member.isfile()
                content = packed.extractfile(member)
                assert content
                assert content.read() == file.read_bytes()
        names = set(members)
    assert not any("/ci/" in name for name in names)
    assert {"braze-exporter/README.md", "braze-exporter/CHANGELOG.md"} <= names


def test_the_package_renders_as_the_chart_does(helm: Helm, tmp_path: Path) -> None:
    """Rendered from its archive, the chart makes the same."""
    archive = helm.package(tmp_path)

    for file in CI_FILES:
        values = values_of(file)
        assert helm.render(values, chart=archive).texts == helm.render(values).texts


def test_a_release_fits_into_a_secret(helm: Helm, tmp_path: Path) -> None:
    """Helm keeps chart and manifests in a Secret of at most 1 MiB: half is enough."""
    archive = helm.package(tmp_path)
    everything: Document = {
        "prometheusRule": {"enabled": True},
        "dashboards": {"enabled": True, "grafanaOperator": {"enabled": True}},
    }

    manifest = "".join(helm.render(everything).texts.values())

    kept = archive.stat().st_size + len(gzip.compress(manifest.encode()))
    assert kept * 4 / 3 < 512 * 1024
