"""Manifests are valid, consistent and named after the release."""

from __future__ import annotations

import copy
import gzip
import json
import re
import tarfile
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml
from exporter import __version__
from jsonschema import Draft7Validator, Draft202012Validator
from referencing import Registry, Resource

from tests.chart.chart_values import CI_VALUES
from tests.chart.helm import CHART, Document, Helm, Rendered, containers, documents
from tests.chart.pod_security import violations
from tests.paths import FIXTURES, ROOT

VERSIONS = ("1.25", "1.28", "1.31", "1.34", "1.37")
SCHEMAS = {
    file.stem: json.loads(file.read_text())
    for file in (FIXTURES / "chart").glob("*.json")
}


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


def fault(document: Document, version: str) -> str:
    """Return the first error in a manifest, for a version of Kubernetes."""
    of = validator(document["kind"], document["apiVersion"], version)
    error = next(of.iter_errors(document), None)
    return "" if error is None else f"{error.json_path}: {error.message}"


def selectors(rendered: Rendered) -> dict[str, Document]:
    """Return the labels by which each object selects the exporter's pod."""
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


def test_strict_lint_finds_nothing(helm: Helm) -> None:
    """Helm's strict linter accepts the values of every file in ci/."""
    found = {
        name: helm.lint(values, kube_version="v1.31.0")
        for name, values in CI_VALUES.items()
    }

    assert not any(found.values()), found


@pytest.mark.parametrize("version", VERSIONS)
def test_manifests_are_valid(helm: Helm, version: str) -> None:
    """Each manifest is valid, strictly, for old and new versions of Kubernetes."""
    faults = [
        f"{name}: {each['kind']} {each['metadata']['name']}: {found}"
        for name, values in CI_VALUES.items()
        for each in helm.render(
            values, kube_version=f"v{version}.0", has_schema=False
        ).documents
        if (found := fault(each, version))
    ]

    assert faults == []


def test_the_oldest_kubernetes_is_tested() -> None:
    """Manifests are checked for the oldest version that Chart.yaml allows."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert chart["kubeVersion"] == f">={VERSIONS[0]}.0-0"


def test_selectors_match_the_pod(rendered: Mapping[str, Rendered]) -> None:
    """Each selector of the exporter selects its pod, and never the pod of the test."""
    for name, one in rendered.items():
        pod = one.workload["spec"]["template"]["metadata"]["labels"]
        for kind, labels in selectors(one).items():
            assert labels.items() <= pod.items(), (name, kind)
            for test in one.all("Pod"):
                others = test["metadata"]["labels"].items()
                assert not labels.items() <= others, (name, kind)


def test_the_service_monitor_selects_the_service(helm: Helm) -> None:
    """A ServiceMonitor finds one Service, by its labels, namespace and port's name."""
    for name, file in CI_VALUES.items():
        other: Document = file.get("podMonitor") or file.get("scrapeConfig") or {}
        shown = other.get("tlsConfig", {})
        monitor = {"tlsConfig": shown} | file.get("serviceMonitor", {})
        values = file | {"serviceMonitor": monitor | {"enabled": True}}

        one = helm.render(values, has_schema=False)

        spec = one.one("ServiceMonitor")["spec"]
        wanted = spec["selector"]["matchLabels"]
        (service,) = (
            each
            for each in one.all("Service")
            if wanted.items() <= each["metadata"]["labels"].items()
        )
        places = spec["namespaceSelector"]["matchNames"]
        assert places == [service["metadata"]["namespace"]], name
        ports = {port["name"] for port in service["spec"]["ports"]}
        assert {each["port"] for each in spec["endpoints"]} <= ports, name


def test_ports_agree(rendered: Mapping[str, Rendered]) -> None:
    """Flags, container, Service, probes, monitors and policies use the same port."""
    for name, one in rendered.items():
        (port,) = one.exporter["ports"]
        listens = f"--web.listen-address=:{port['containerPort']}"
        assert listens in one.exporter["args"], name
        for service in one.all("Service"):
            (served,) = service["spec"]["ports"]
            assert served["targetPort"] == port["name"], name
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            of = one.exporter.get(probe, {})
            if "httpGet" in of:
                assert of["httpGet"]["port"] == port["name"], name
            elif of:
                assert listens in of["exec"]["command"], name
        for monitor in one.all("PodMonitor"):
            (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
            assert endpoint["port"] == port["name"], name
        for policy in one.all("NetworkPolicy"):
            (of, *_) = policy["spec"]["ingress"][0]["ports"]
            assert of["port"] == port["name"], name


def test_every_mounted_file_exists(rendered: Mapping[str, Rendered]) -> None:
    """Each mount has a volume, and each object of the chart holds the mounted keys."""
    for one in rendered.values():
        made = {
            (kind, each["metadata"]["name"]): set(each["data"])
            for kind in ("ConfigMap", "Secret")
            for each in one.all(kind)
        }
        claims = {each["metadata"]["name"] for each in one.all("PersistentVolumeClaim")}
        name = one.workload["metadata"]["name"]
        own = [
            {"name": each["metadata"]["name"]}
            for each in one.workload["spec"].get("volumeClaimTemplates", [])
        ]
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


def test_pods_meet_pod_security_restricted(rendered: Mapping[str, Rendered]) -> None:
    """The chart's containers meet Pod Security's level "restricted"."""
    for name, one in rendered.items():
        for given in one.pods:
            pod = copy.deepcopy(given)
            for kind in {"initContainers", "containers"} & set(pod):
                pod[kind] = [
                    each
                    for each in pod[kind]
                    if each["name"] not in {"beside", "before"}
                ]
            assert violations(pod) == [], name
            account = CI_VALUES[name].get("serviceAccount", {})
            token = account.get("automountToken", False)
            assert pod["automountServiceAccountToken"] in {False, token}, name


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
def test_every_violation_of_pod_security_is_found(
    helm: Helm, harm: Callable[[Document, Document], object]
) -> None:
    """The list of controls reports each way to violate the level."""
    pod = copy.deepcopy(helm.render().pod)

    harm(pod, pod["containers"][0]["securityContext"])

    assert violations(pod)


def test_an_upgrade_keeps_selectors(
    helm: Helm, rendered: Mapping[str, Rendered]
) -> None:
    """No values change a selector, which Kubernetes would refuse to update."""
    before = selectors(helm.render())["Deployment"]

    for one in rendered.values():
        after = selectors(one)
        assert len(after) > 1
        assert dict.fromkeys(after, before) == after


def test_a_new_chart_version_alone_restarts_nothing(helm: Helm) -> None:
    """The pod's labels contain no version of the chart."""
    pod = helm.render().workload["spec"]["template"]["metadata"]["labels"]

    assert pod == {
        "app.kubernetes.io/name": "braze-exporter",
        "app.kubernetes.io/instance": "demo",
        "app.kubernetes.io/component": "exporter",
    }


def test_two_releases_do_not_collide(helm: Helm) -> None:
    """Two releases in one namespace share no object, with everything enabled."""
    everything: Document = {}
    for name, values in CI_VALUES.items():
        if "fullnameOverride" not in values and "existing" not in name:
            everything |= {
                key: value
                for key, value in values.items()
                if key not in {"config", "apiKeys", "checksumAnnotations"}
            }
    everything |= {"demo": {"enabled": True}, "replicas": 1}
    everything = copy.deepcopy(everything)
    user = {"name": "scrape", "key": "user"}
    for monitor in ("serviceMonitor", "podMonitor", "scrapeConfig"):
        everything[monitor] |= {
            "basicAuth": {"username": user, "password": user},
            "tlsConfig": {"insecureSkipVerify": True},
        }

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
    """An object's name contains the release's once, in at most 63 characters.

    A release name may contain dots, the name of a Service may not.
    """
    deployment = helm.render(name=release).workload

    assert deployment["metadata"]["name"] == f"{expected}"[:63].rstrip("-")
    labels = deployment["spec"]["selector"]["matchLabels"]
    assert labels["app.kubernetes.io/instance"] == release


def test_every_object_is_in_the_configured_namespace(helm: Helm) -> None:
    """`namespaceOverride` moves all objects, and the host names that refer to them."""
    values = CI_VALUES["network"]

    rendered = helm.render(values | {"namespaceOverride": "marketing"})

    places = {each["metadata"]["namespace"] for each in rendered.documents}
    assert places == {"marketing"}
    (test,) = rendered.all("Pod")
    address = test["spec"]["containers"][0]["args"][1]
    assert address == "--web.listen-address=demo-braze-exporter.marketing.svc:80"
    assert "--namespace marketing port-forward" in rendered.notes


def test_common_labels_and_annotations_are_everywhere(helm: Helm) -> None:
    """Every object and the pod have the common ones, which override no own label."""
    rendered = helm.render(CI_VALUES["pod"] | {"extraManifests": []})

    pod = rendered.workload["spec"]["template"]["metadata"]
    for metadata in (*(each["metadata"] for each in rendered.documents), pod):
        assert metadata["labels"]["team"] == "crm"
        assert metadata["labels"]["app.kubernetes.io/instance"] == "demo"
        assert metadata["labels"]["app.kubernetes.io/name"] == "braze-exporter"
        assert metadata["annotations"]["example.com/owner"] == "crm"


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
def test_image_names_follow_the_values(
    helm: Helm, values: Document, expected: str
) -> None:
    """All containers run one image: registry, repository, tag or digest."""
    rendered = helm.render(values)

    images = {each["image"] for pod in rendered.pods for each in containers(pod)}
    assert images == {expected}


def test_pull_secrets_are_names_or_mappings(helm: Helm) -> None:
    """Global and own pull secrets are joined, written as names or as mappings."""
    values: Document = {
        "global": {"imagePullSecrets": ["one", {"name": "two"}]},
        "imagePullSecrets": ["one", "three"],
    }

    rendered = helm.render(values)

    for pod in rendered.pods:
        names = [each["name"] for each in pod["imagePullSecrets"]]
        assert names == ["one", "two", "three"]


def test_extra_manifests_are_templates(rendered: Mapping[str, Rendered]) -> None:
    """Mappings and texts are rendered with the chart's own templates."""
    text = rendered["pod"].texts["extra-manifests.yaml"]

    extra = {each["metadata"]["name"]: each["data"] for each in documents(text)}
    assert extra == {
        "our-braze-more": {"release": "demo"},
        "demo-text": {"chart": "braze-exporter"},
    }


def test_topology_spread_counts_this_release(rendered: Mapping[str, Rendered]) -> None:
    """A constraint without a selector gets the release's; others keep their own."""
    one = rendered["pod"]

    first, second = one.pod["topologySpreadConstraints"]
    assert first["labelSelector"] == one.workload["spec"]["selector"]
    assert set(second["labelSelector"]) == {"matchExpressions"}


def test_there_is_one_exporter_by_default(helm: Helm) -> None:
    """One replica, and the old pod ends before the new one starts."""
    spec = helm.render().workload["spec"]

    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "Recreate"}


def test_the_state_is_in_an_empty_dir_or_a_claim(helm: Helm) -> None:
    """It is in an emptyDir by default, and in a claim with `persistence`."""

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


def test_no_template_prints_a_missing_value(rendered: Mapping[str, Rendered]) -> None:
    """No rendered text contains the marks of a missing or misprinted value."""
    for name, one in rendered.items():
        for path, text in one.texts.items():
            marks = [mark for mark in ("<no value>", "<nil>") if mark in text]
            assert not marks, (name, path)
            assert "%!" not in text.replace("%!]", ""), (name, path)


def test_the_package_holds_dashboards_and_rules(helm: Helm, tmp_path: Path) -> None:
    """The archive contains real files where the repository has links."""
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


def test_the_package_renders_as_the_chart_does(
    helm: Helm, rendered: Mapping[str, Rendered], tmp_path: Path
) -> None:
    """The archive renders the same texts as the directory."""
    archive = helm.package(tmp_path)

    for name, one in rendered.items():
        assert helm.render(CI_VALUES[name], chart=archive).texts == one.texts, name


def test_a_release_fits_into_a_secret(helm: Helm, tmp_path: Path) -> None:
    """Helm stores chart and manifests in a Secret of at most 1 MiB: half is used."""
    archive = helm.package(tmp_path)
    everything: Document = {
        "prometheusRule": {"enabled": True},
        "dashboards": {"enabled": True, "grafanaOperator": {"enabled": True}},
    }

    manifest = "".join(helm.render(everything).texts.values())

    kept = archive.stat().st_size + len(gzip.compress(manifest.encode()))
    assert kept * 4 / 3 < 512 * 1024
