"""Several pods: shards in a StatefulSet, or replicas that each poll every campaign."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from exporter.polling.sharding import Shard

from tests.chart.chart_values import CI_VALUES
from tests.chart.helm import Document, Helm, Refused, containers

SHARDS: Document = {"sharding": {"enabled": True, "shards": 3}}
CLAIMS: Document = SHARDS | {"persistence": {"enabled": True}}
REPLICAS = CI_VALUES["replicas"]
CHANGEABLE = {
    *("replicas", "template", "updateStrategy", "minReadySeconds"),
    "persistentVolumeClaimRetentionPolicy",
}
"""Fields of a StatefulSet that can be changed in all versions of Kubernetes."""


def stateful_set(helm: Helm, values: Document) -> Any:
    """Return the specification of the StatefulSet."""
    return helm.render(values).one("StatefulSet")["spec"]


def environment(container: Document) -> dict[str, Document]:
    """Return a container's variables by name."""
    return {each["name"]: each for each in container.get("env", [])}


@pytest.mark.parametrize("name", ["default", "tls", "client-certificates", "network"])
def test_a_shard_differs_from_a_single_pod_in_its_variables(
    helm: Helm, name: str
) -> None:
    """All other values of the pod apply to a StatefulSet as to a Deployment."""
    values = CI_VALUES[name]

    alone, shard = (
        copy.deepcopy(helm.render(each).workload["spec"]["template"])
        for each in (values, values | SHARDS)
    )

    for container in containers(alone["spec"]) + containers(shard["spec"]):
        env = container.pop("env", [])
        container["env"] = [one for one in env if "SHARD" not in one["name"]]
    assert shard == alone


@pytest.mark.parametrize("total", [1, 2, 11])
def test_each_pod_reads_its_number_from_its_name(helm: Helm, total: int) -> None:
    """The exporter parses the variables of each pod as a different shard."""
    proxy = {"name": "HTTPS_PROXY", "value": "http://proxy:3128"}
    values = {"sharding": {"enabled": True, "shards": total}, "extraEnv": [proxy]}

    rendered = helm.render(values, name="team-7")

    env = environment(rendered.exporter)
    source = env["BRAZE_EXPORTER_SHARD"]["valueFrom"]
    assert source == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert env["HTTPS_PROXY"] == proxy
    text = env["BRAZE_EXPORTER_TOTAL_SHARDS"]["value"]
    name = rendered.workload["metadata"]["name"]
    assert rendered.workload["spec"]["replicas"] == total
    assert [Shard.of_texts(f"{name}-{number}", text) for number in range(total)] == [
        Shard(number, total) for number in range(total)
    ]


def test_only_the_exporter_is_sharded(helm: Helm) -> None:
    holders = [
        container["name"]
        for pod in helm.render(SHARDS).pods
        for container in containers(pod)
        if "BRAZE_EXPORTER_SHARD" in environment(container)
    ]
    assert holders == ["check-config", "exporter"]


def test_a_single_pod_has_one_service(helm: Helm) -> None:
    assert len(helm.render().all("Service")) == 1


def test_every_shard_has_a_name_before_it_is_ready(helm: Helm) -> None:
    """The headless Service publishes the names of pods that are not ready.

    Labels and annotations of `service` there would scrape each shard twice.
    """
    scrape = {"prometheus.io/scrape": "true"}
    service = {"port": 80, "annotations": scrape, "labels": {"a": "b"}}

    rendered = helm.render(SHARDS | {"web": {"port": 9000}, "service": service})

    own = rendered.named("Service", rendered.workload["spec"]["serviceName"])
    assert own["spec"]["clusterIP"] == "None"
    assert own["spec"]["publishNotReadyAddresses"] is True
    assert own["spec"]["ports"][0]["port"] == 9000
    assert "annotations" not in own["metadata"]
    assert "a" not in own["metadata"]["labels"]
    assert rendered.service["spec"]["ports"][0]["port"] == 80
    assert "clusterIP" not in rendered.service["spec"]
    assert rendered.service["metadata"]["annotations"] == scrape
    assert rendered.service["metadata"]["labels"]["a"] == "b"


def test_each_shard_has_a_claim_of_its_own(helm: Helm) -> None:
    marks = {"labels": {"backup": "no"}, "annotations": {"example.com/note": "state"}}
    values: Document = {
        "persistence": {
            "enabled": True,
            "size": "2Gi",
            "storageClass": "fast",
            "accessModes": ["ReadWriteOncePod"],
            **marks,
        }
    }

    one = helm.render(values).one("PersistentVolumeClaim")
    rendered = helm.render(SHARDS | values)

    assert not rendered.all("PersistentVolumeClaim")
    (claim,) = rendered.one("StatefulSet")["spec"]["volumeClaimTemplates"]
    assert claim["spec"] == one["spec"]
    assert claim["metadata"] == {"name": "state", **marks}
    assert rendered.mount("state")["mountPath"] == "/var/lib/braze-exporter"


@pytest.mark.parametrize("start", [SHARDS, CLAIMS], ids=["shards", "claims"])
def test_an_upgrade_changes_nothing_that_kubernetes_refuses(
    helm: Helm, start: Document
) -> None:
    """These values affect only fields that Kubernetes allows to change."""
    changes: Document = {
        "replicas": 0,
        "sharding": {"enabled": True, "shards": 7},
        "commonLabels": {"team": "crm"},
        "commonAnnotations": {"note": "x"},
        "podLabels": {"a": "b"},
        "deploymentAnnotations": {"a": "b"},
        "nameOverride": "",
        "image": {"tag": "2.0.0"},
        "web": {"port": 9000},
        "extraVolumes": [{"name": "a", "emptyDir": {}}],
    }

    before, after = (stateful_set(helm, values) for values in (start, start | changes))

    assert set(before) == set(after)
    fixed = set(before) - CHANGEABLE
    assert {each: before[each] for each in fixed} == {
        each: after[each] for each in fixed
    }


def test_a_name_leaves_room_for_what_kubernetes_appends(helm: Helm) -> None:
    """A label of each pod is the StatefulSet's name and a hash of 11 characters."""
    services = helm.render(SHARDS | {"fullnameOverride": "n" * 52}).all("Service")

    assert all(len(each["metadata"]["name"]) <= 63 for each in services)
    with pytest.raises(Refused, match=r"at most 52 .* expected fullnameOverride"):
        helm.render(SHARDS | {"fullnameOverride": "n" * 53})
