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


def test_sharding_renders_a_stateful_set_instead_of_a_deployment(helm: Helm) -> None:
    without, with_ = helm.render(), helm.render(SHARDS)

    assert not without.all("StatefulSet")
    assert not with_.all("Deployment")
    assert len(without.all("Service")) == 1
    spec = with_.one("StatefulSet")["spec"]
    assert spec["replicas"] == 3
    assert spec["podManagementPolicy"] == "Parallel"
    assert "ordinals" not in spec


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
    """The simulator and the pod of `helm test` have no shard number."""
    holders = [
        container["name"]
        for pod in helm.render(SHARDS).pods
        for container in containers(pod)
        if "BRAZE_EXPORTER_SHARD" in environment(container)
    ]
    assert holders == ["check-config", "exporter"]


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


def test_a_scrape_config_has_each_shard_as_a_target(helm: Helm) -> None:
    """By the host names of the pods: a Service leads to any of them."""
    values: Document = SHARDS | {
        "web": {"port": 9000},
        "namespaceOverride": "marketing",
        "scrapeConfig": {"enabled": True, "targetLabels": {"team": "crm"}},
    }

    (targets,) = helm.render(values).one("ScrapeConfig")["spec"]["staticConfigs"]

    domain = "demo-braze-exporter-headless.marketing.svc:9000"
    assert targets == {
        "targets": [f"demo-braze-exporter-{number}.{domain}" for number in range(3)],
        "labels": {"team": "crm"},
    }


def test_each_shard_has_a_claim_of_its_own(helm: Helm) -> None:
    """The claim template equals the claim of a Deployment."""
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


@pytest.mark.parametrize(("is_kept", "policy"), [(False, "Delete"), (True, "Retain")])
def test_claims_are_deleted_with_their_shards(
    helm: Helm, *, is_kept: bool, policy: str
) -> None:
    """They are deleted on uninstall and when shards are removed, unless `retain`."""
    values = SHARDS | {"persistence": {"enabled": True, "retain": is_kept}}

    found = stateful_set(helm, values)["persistentVolumeClaimRetentionPolicy"]

    assert found == {"whenDeleted": policy, "whenScaled": policy}


@pytest.mark.parametrize("values", [{}, {"state": {"enabled": False}}])
def test_without_persistence_there_is_no_claim(helm: Helm, values: Document) -> None:
    """Each pod's state is in its own emptyDir, or there is no state."""
    rendered = helm.render(SHARDS | values)

    assert "volumeClaimTemplates" not in rendered.one("StatefulSet")["spec"]
    states = [each for each in rendered.pod["volumes"] if each["name"] == "state"]
    assert [list(each) for each in states] == [["name", "emptyDir"]] * (not values)


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


def test_claim_templates_contain_no_version(helm: Helm) -> None:
    """They cannot be changed, so a new chart version must render the same."""
    (claim,) = stateful_set(helm, CLAIMS)["volumeClaimTemplates"]

    assert claim["metadata"] == {"name": "state"}


def test_zero_replicas_stop_all_shards(helm: Helm) -> None:
    """The notes contain the command that starts them."""
    rendered = helm.render(SHARDS | {"replicas": 0})

    assert rendered.workload["spec"]["replicas"] == 0
    assert "scale statefulset/demo-braze-exporter --replicas=3" in rendered.notes


def test_a_name_leaves_room_for_what_kubernetes_appends(helm: Helm) -> None:
    """A label of each pod is the StatefulSet's name and a hash of 11 characters."""
    services = helm.render(SHARDS | {"fullnameOverride": "n" * 52}).all("Service")

    assert all(len(each["metadata"]["name"]) <= 63 for each in services)
    with pytest.raises(Refused, match=r"at most 52 .* expected fullnameOverride"):
        helm.render(SHARDS | {"fullnameOverride": "n" * 53})


@pytest.mark.parametrize("replicas", [0, 1, 2, 100])
def test_replicas_divide_the_request_ceilings(helm: Helm, replicas: int) -> None:
    """Several pods get `--replicas` with their number; a single one does not."""
    args = helm.render({"replicas": replicas}).exporter["args"]

    flags = [each for each in args if each.startswith("--replicas")]
    assert flags == ([f"--replicas={replicas}"] if replicas > 1 else [])


def test_replicas_keep_their_state_and_are_replaced_one_after_another(
    helm: Helm,
) -> None:
    """An old pod ends before a new one begins, on different nodes.

    No other pod writes to the state of a pod.
    """
    rendered = helm.render(REPLICAS)

    spec = rendered.one("Deployment")["spec"]
    (spread,) = rendered.pod["topologySpreadConstraints"]
    budget = rendered.one("PodDisruptionBudget")["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1},
    }
    assert spread["labelSelector"] == spec["selector"]
    assert budget == {"maxUnavailable": 1, "selector": spec["selector"]}
    assert set(rendered.volume("state")) == {"name", "emptyDir"}
    assert not rendered.all("PersistentVolumeClaim")


def test_one_replica_may_be_scraped_by_its_service(helm: Helm) -> None:
    """With a single pod the Service always leads to that pod."""
    assert helm.render({"scrapeConfig": {"enabled": True}}).one("ScrapeConfig")
