"""Manifests are valid, consistent and named after the release."""

from __future__ import annotations

import copy
import gzip
import json
import re
import shutil
import tarfile
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator, Draft202012Validator
from referencing import Registry, Resource

from tests.chart.chart_values import CI_VALUES
from tests.chart.helm import (
    CHART,
    Document,
    Helm,
    Refused,
    Rendered,
    containers,
    documents,
)
from tests.chart.local_pod import sources
from tests.paths import FIXTURES, ROOT

VERSIONS = ("1.25", "1.28", "1.31", "1.34", "1.37")
SCHEMAS = {
    file.stem: json.loads(file.read_text())
    for file in (FIXTURES / "chart").glob("*.json")
}
LABELS = {
    "app.kubernetes.io/name": "braze-exporter",
    "app.kubernetes.io/instance": "demo",
    "app.kubernetes.io/component": "exporter",
}
"""The labels of the exporter's pod, by which all objects select it."""


@pytest.fixture(name="case", params=CI_VALUES)
def _case(
    request: pytest.FixtureRequest, rendered: Mapping[str, Rendered]
) -> tuple[Document, Rendered]:
    """Return each file of ci/ with its rendering."""
    return CI_VALUES[request.param], rendered[request.param]


@pytest.fixture(name="one")
def _one(case: tuple[Document, Rendered]) -> Rendered:
    """Return each rendering."""
    return case[1]


@cache
def validator(kind: str, api_version: str, version: str) -> Any:
    """Return the strict schema of a kind in a version of Kubernetes."""
    if kind in SCHEMAS:
        return Draft7Validator(SCHEMAS[kind])
    folder = files("kubernetes_validate").joinpath(
        "kubernetes-json-schema", f"v{version}.0-local-strict"
    )
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)
    schema, definitions = (
        Resource.from_contents(json.loads(folder.joinpath(name).read_text()))
        for name in (f"{kind.lower()}-{group}.json", "_definitions.json")
    )
    registry: Registry[Any] = definitions @ (schema @ Registry())
    return Draft202012Validator(schema.contents, registry=registry)


def selectors(rendered: Rendered) -> dict[str, Document]:
    """Return the labels by which each object selects the exporter's pod."""
    found = {
        each["metadata"]["name"]: each["spec"]["selector"]
        for each in rendered.all("Service")
    }
    for kind, field in (
        ("Deployment", "selector"),
        ("StatefulSet", "selector"),
        ("PodMonitor", "selector"),
        ("PodDisruptionBudget", "selector"),
        ("NetworkPolicy", "podSelector"),
    ):
        for each in rendered.all(kind):
            found[kind] = each["spec"][field]["matchLabels"]
    return found


def test_strict_lint_finds_nothing(helm: Helm, case: tuple[Document, Rendered]) -> None:
    assert helm.lint(case[0]) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_manifests_are_valid(helm: Helm, version: str) -> None:
    for name, values in CI_VALUES.items():
        kube_version = f"v{version}.0"
        one = helm.render(values, kube_version=kube_version, has_schema=False)
        for each in one.documents:
            schema = validator(each["kind"], each["apiVersion"], version)
            errors = [error.message for error in schema.iter_errors(each)]
            assert errors == [], (name, each["kind"], each["metadata"]["name"])


def test_the_oldest_kubernetes_is_tested() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert chart["kubeVersion"] == f">={VERSIONS[0]}.0-0"


def test_selectors_match_the_pod_and_never_change(one: Rendered) -> None:
    """Values and versions change no selector, which Kubernetes would not update.

    No selector matches the pod of `helm test`.
    """
    pod = one.workload["spec"]["template"]["metadata"]["labels"]
    found = selectors(one)

    assert len(found) > 1
    assert found == dict.fromkeys(found, LABELS)
    assert LABELS.items() <= pod.items()
    for test in one.all("Pod"):
        assert not LABELS.items() <= test["metadata"]["labels"].items()


def test_the_service_monitor_selects_the_service(
    helm: Helm, case: tuple[Document, Rendered]
) -> None:
    """It finds one Service, by its labels, namespace and port's name."""
    file = case[0]
    other: Document = file.get("podMonitor") or file.get("scrapeConfig") or {}
    shown = {"tlsConfig": other.get("tlsConfig", {}), "enabled": True}
    monitor = shown | file.get("serviceMonitor", {}) | {"enabled": True}

    one = helm.render(file | {"serviceMonitor": monitor}, has_schema=False)

    spec = one.one("ServiceMonitor")["spec"]
    wanted = spec["selector"]["matchLabels"]
    (service,) = (
        each
        for each in one.all("Service")
        if wanted.items() <= each["metadata"]["labels"].items()
    )
    namespace = service["metadata"]["namespace"]
    assert spec["namespaceSelector"]["matchNames"] == [namespace]
    ports = {port["name"] for port in service["spec"]["ports"]}
    assert {each["port"] for each in spec["endpoints"]} <= ports


def test_ports_agree(one: Rendered) -> None:
    (port,) = one.exporter["ports"]
    listens = f"--web.listen-address=:{port['containerPort']}"
    assert listens in one.exporter["args"]
    names = [each["spec"]["ports"][0]["targetPort"] for each in one.all("Service")]
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        of = one.exporter.get(probe, {})
        if "exec" in of:
            assert listens in of["exec"]["command"]
        elif of:
            names.append(of["httpGet"]["port"])
    if one.all("PodMonitor"):
        names.append(one.scraped("PodMonitor")["port"])
    if one.all("NetworkPolicy"):
        (ingress, *_) = one.one("NetworkPolicy")["spec"]["ingress"]
        names.append(ingress["ports"][0]["port"])
    assert set(names) == {port["name"]}


def test_every_mounted_file_exists(one: Rendered) -> None:
    made = {
        (kind, each["metadata"]["name"]): set(each.get("data", []))
        for kind in ("ConfigMap", "Secret", "PersistentVolumeClaim")
        for each in one.all(kind)
    }
    name = one.workload["metadata"]["name"]
    templates = one.workload["spec"].get("volumeClaimTemplates", [])
    own = [{"name": each["metadata"]["name"]} for each in templates]
    for pod in one.pods:
        all_volumes = pod["volumes"] + own
        volumes = {volume["name"]: volume for volume in all_volumes}
        assert len(volumes) == len(all_volumes)
        for each in containers(pod):
            mounts = each.get("volumeMounts", [])
            assert {mount["name"] for mount in mounts} <= set(volumes)
            assert len({mount["mountPath"] for mount in mounts}) == len(mounts)
            # A file mounted by subPath would never be updated.
            assert not any("subPath" in mount for mount in mounts)
        for source in chain.from_iterable(map(sources, all_volumes)):
            if source.name.startswith(name):
                assert set(source.keys.values()) <= made[source.kind, source.name]
        for volume in all_volumes:
            claim = volume.get("persistentVolumeClaim", {}).get("claimName", "")
            is_own = claim.startswith(name)
            assert ("PersistentVolumeClaim", claim) in made or not is_own


SAFE_VOLUMES = {
    *("configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"),
    *("csi", "downwardAPI", "ephemeral"),
}
RESTRICTED = {
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
HARMLESS = {
    *("runAsUser", "runAsGroup", "fsGroup", "fsGroupChangePolicy"),
    *("supplementalGroups", "supplementalGroupsPolicy", "readOnlyRootFilesystem"),
}


def test_pods_meet_pod_security_restricted(case: tuple[Document, Rendered]) -> None:
    """The chart's containers meet Pod Security's level "restricted".

    https://kubernetes.io/docs/concepts/security/pod-security-standards/
    """
    values, one = case
    account = values.get("serviceAccount", {}).get("automountToken", False)
    for pod in one.pods:
        assert pod["automountServiceAccountToken"] in {False, account}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod) - values.keys()
        for volume in pod["volumes"]:
            assert set(volume) - {"name"} <= SAFE_VOLUMES
        for each in containers(pod):
            if each["name"] in {"beside", "before"}:  # containers of the values
                continue
            context = pod["securityContext"] | each["securityContext"]
            assert context == context | RESTRICTED
            assert set(context) <= {*RESTRICTED, *HARMLESS}
            assert context.get("runAsUser") != 0
            ports = each.get("ports", [])
            assert "hostNetwork" in pod or not [p for p in ports if "hostPort" in p]
            for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
                assert "host" not in each.get(probe, {}).get("httpGet", {})


def test_two_releases_do_not_collide(helm: Helm) -> None:
    everything: Document = {}
    for name, values in CI_VALUES.items():
        if "fullnameOverride" not in values and "existing" not in name:
            everything |= copy.deepcopy(values)
    for key in ("config", "apiKeys", "checksumAnnotations"):
        everything.pop(key, None)
    everything |= {"demo": {"enabled": True}, "replicas": 1}
    user = {"name": "scrape", "key": "user"}
    for monitor in ("serviceMonitor", "podMonitor", "scrapeConfig"):
        everything[monitor] |= {
            "basicAuth": {"username": user, "password": user},
            "tlsConfig": {"insecureSkipVerify": True},
        }

    first, second = (helm.render(everything, name=name) for name in ("one", "two"))

    names, others = (
        {
            (each["kind"], each["metadata"]["namespace"], each["metadata"]["name"])
            for each in rendered.documents
        }
        for rendered in (first, second)
    )
    assert len(names) == len(first.documents) > 20
    assert not names & others
    assert selectors(first)["StatefulSet"] != selectors(second)["StatefulSet"]


def test_every_object_is_in_the_configured_namespace(helm: Helm) -> None:
    """`namespaceOverride` moves all objects, and the host names that refer to them."""
    rendered = helm.render(CI_VALUES["network"] | {"namespaceOverride": "marketing"})

    places = {each["metadata"]["namespace"] for each in rendered.documents}
    assert places == {"marketing"}
    (test,) = rendered.one("Pod")["spec"]["containers"]
    address = "--web.listen-address=demo-braze-exporter.marketing.svc:80"
    assert test["args"][1] == address
    assert "--namespace marketing port-forward" in rendered.notes


def test_common_labels_and_annotations_are_everywhere(helm: Helm) -> None:
    """Every object and the pod have the common ones, which override no own label."""
    rendered = helm.render(CI_VALUES["pod"] | {"extraManifests": []})

    expected = LABELS | {"team": "crm"}
    del expected["app.kubernetes.io/component"]
    pod = rendered.workload["spec"]["template"]["metadata"]
    for metadata in (*(each["metadata"] for each in rendered.documents), pod):
        assert expected.items() <= metadata["labels"].items()
        assert metadata["annotations"]["example.com/owner"] == "crm"


def test_extra_manifests_are_templates(rendered: Mapping[str, Rendered]) -> None:
    """Mappings and texts are rendered with the chart's own templates."""
    text = rendered["pod"].texts["extra-manifests.yaml"]

    extra = {each["metadata"]["name"]: each["data"] for each in documents(text)}
    assert extra == {
        "our-braze-more": {"release": "demo"},
        "demo-text": {"chart": "braze-exporter"},
    }


def test_the_notes_contain_the_next_command(rendered: Mapping[str, Rendered]) -> None:
    """The notes contain a command to copy, for every file of ci/."""
    for name, one in rendered.items():
        forward = f" port-forward {one.workload['kind'].lower()}/"
        assert (forward in one.notes) == bool(CI_VALUES[name].get("replicas", 1)), name
        assert re.search(r"^  (kubectl|helm) ", one.notes, re.MULTILINE), name


def test_no_template_prints_a_missing_value(one: Rendered) -> None:
    for path, text in one.texts.items():
        marks = re.findall("<no value>|<nil>|%!(?!])", text)
        assert marks == [], path


@pytest.fixture(name="archive", scope="module")
def _archive(helm: Helm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Package the chart."""
    return helm.package(tmp_path_factory.mktemp("package"))


def test_the_chart_has_no_symbolic_links() -> None:
    """Flux packs no links, and a checkout on Windows has text files in their place."""
    found = list(CHART.rglob("*"))

    assert len(found) > 40
    assert [file for file in found if file.is_symlink()] == []


@pytest.mark.parametrize(
    ("kind", "pattern"), [("dashboards", "*.json"), ("rules", "*")]
)
def test_the_chart_has_current_dashboards_and_rules(kind: str, pattern: str) -> None:
    """The chart has copies of the repository's files."""
    ours, copied = (
        {file.name: file.read_bytes() for file in (folder / kind).glob(pattern)}
        for folder in (ROOT / "grafana", CHART)
    )

    assert len(ours) >= 3
    assert copied == ours, "run `make dashboards`"


@pytest.mark.parametrize("form", ["absent", "empty", "a text file"])
@pytest.mark.parametrize(
    ("kind", "values", "value"),
    [
        ("rules", {"prometheusRule": {"enabled": True}}, "prometheusRule.enabled"),
        ("dashboards", {"dashboards": {"enabled": True}}, "dashboards.enabled"),
        (
            "dashboards",
            {"dashboards": {"grafanaOperator": {"enabled": True}}},
            "dashboards.grafanaOperator.enabled",
        ),
    ],
)
def test_a_chart_that_has_lost_files_is_refused(
    helm: Helm, tmp_path: Path, kind: str, values: Document, value: str, form: str
) -> None:
    """The message names the value and the files; without the value nothing is lost."""
    copy = tmp_path / CHART.name
    shutil.copytree(CHART, copy, ignore=shutil.ignore_patterns("*.schema.json"))
    shutil.rmtree(copy / kind)
    if form == "empty":
        (copy / kind).mkdir()
    elif form != "absent":
        (copy / kind).write_text(f"../../grafana/{kind}")

    with pytest.raises(Refused, match=rf"{value}: .* no files {kind}/\*.*; expected"):
        helm.render(values, chart=copy)
    assert helm.render(chart=copy).documents


def test_the_package_holds_dashboards_and_rules(archive: Path) -> None:
    with tarfile.open(archive) as packed:
        names = set(packed.getnames())
        for kind, pattern in (("dashboards", "*.json"), ("rules", "*.yaml")):
            found = list((ROOT / "grafana" / kind).glob(pattern))
            assert found
            for file in found:
                content = packed.extractfile(f"braze-exporter/{kind}/{file.name}")
                assert content
                assert content.read() == file.read_bytes()

    assert not any("/ci/" in name for name in names)
    assert {"braze-exporter/README.md", "braze-exporter/CHANGELOG.md"} <= names


def test_the_package_renders_as_the_chart_does(
    helm: Helm, case: tuple[Document, Rendered], archive: Path
) -> None:
    values, one = case

    assert helm.render(values, chart=archive).texts == one.texts


def test_a_release_fits_into_a_secret(helm: Helm, archive: Path) -> None:
    """Helm stores chart and manifests in a Secret of at most 1 MiB: half is used."""
    everything: Document = {
        "prometheusRule": {"enabled": True},
        "dashboards": {"enabled": True, "grafanaOperator": {"enabled": True}},
    }

    manifest = "".join(helm.render(everything).texts.values())

    kept = archive.stat().st_size + len(gzip.compress(manifest.encode()))
    assert kept * 4 / 3 < 512 * 1024
