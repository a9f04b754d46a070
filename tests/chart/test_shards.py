"""The chart's shards: one pod each, in a StatefulSet instead of a Deployment."""

from __future__ import annotations

import copy

import pytest
from exporter.polling.sharding import Shard

from tests.chart.chart_values import CI_VALUES
from tests.chart.helm import Document, Helm, Refused, containers

SHARDS: Document = {"sharding": {"enabled": True, "shards": 3}}
CLAIMS: Document = SHARDS | {"persistence": {"enabled": True}}
CHANGEABLE = {
    "replicas",
    "template",
    "updateStrategy",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
}
"""Fields of a StatefulSet that can be changed in all versions of Kubernetes."""


def environment(container: Document) -> dict[str, Document]:
    """Return a container's variables by name."""
    return {each["name"]: each for each in container.get("env", [])}


def test_sharding_renders_a_stateful_set_instead_of_a_deployment(helm: Helm) -> None:
    """Without sharding there is no object of it."""
    without, with_ = helm.render(), helm.render(SHARDS)

    assert not without.all("StatefulSet")
    assert not with_.all("Deployment")
    assert len(without.all("Service")) == 1
    spec = with_.one("StatefulSet")["spec"]
    assert spec["replicas"] == 3
    assert spec["podManagementPolicy"] == "Parallel"
    assert "ordinals" not in spec


def test_a_shard_differs_from_a_single_pod_in_its_variables(helm: Helm) -> None:
    """All other values of the pod apply to a StatefulSet as to a Deployment."""
    for name in ("default", "tls", "client-certificates", "network"):
        values = CI_VALUES[name]

        alone, shard = (
            copy.deepcopy(helm.render(each).workload["spec"]["template"])
            for each in (values, values | SHARDS)
        )

        for template in (alone, shard):
            for container in containers(template["spec"]):
                env = container.pop("env", [])
                container["env"] = [one for one in env if "SHARD" not in one["name"]]
        assert shard == alone, name


@pytest.mark.parametrize("total", [1, 2, 11])
def test_each_pod_reads_its_number_from_its_name(helm: Helm, total: int) -> None:
    """The exporter parses the variables of each pod as a different shard."""
    values = {
        "sharding": {"enabled": True, "shards": total},
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    }

    rendered = helm.render(values, name="team-7")

    env = environment(rendered.exporter)
    source = env["BRAZE_EXPORTER_SHARD"]["valueFrom"]
    assert source == {"fieldRef": {"fieldPath": "metadata.name"}}
    text = env["BRAZE_EXPORTER_TOTAL_SHARDS"]["value"]
    assert env["HTTPS_PROXY"]["value"] == "http://proxy:3128"
    stateful = rendered.one("StatefulSet")
    names = [
        f"{stateful['metadata']['name']}-{number}"
        for number in range(stateful["spec"]["replicas"])
    ]
    found = [Shard.of_texts(name, text) for name in names]
    assert found == [Shard(number, total) for number in range(total)]


def test_only_the_exporter_is_sharded(helm: Helm) -> None:
    """The simulator and the pod of `helm test` have no shard number."""
    rendered = helm.render(SHARDS)

    holders = [
        container["name"]
        for pod in rendered.pods
        for container in containers(pod)
        if "BRAZE_EXPORTER_SHARD" in environment(container)
    ]
    assert holders == ["check-config", "exporter"]


def test_every_shard_has_a_name_before_it_is_ready(helm: Helm) -> None:
    """The headless Service publishes the names of pods that are not ready."""
    rendered = helm.render(SHARDS | {"web": {"port": 9000}, "service": {"port": 80}})

    name = rendered.one("StatefulSet")["spec"]["serviceName"]
    (own,) = (
        each for each in rendered.all("Service") if each["metadata"]["name"] == name
    )
    assert own["spec"]["clusterIP"] == "None"
    assert own["spec"]["publishNotReadyAddresses"] is True
    assert own["spec"]["ports"][0]["port"] == 9000
    assert rendered.service["spec"]["ports"][0]["port"] == 80
    assert "clusterIP" not in rendered.service["spec"]


def test_the_headless_service_has_no_scrape_annotations(helm: Helm) -> None:
    """Labels and annotations of `service` there would scrape each shard twice."""
    service = {"annotations": {"prometheus.io/scrape": "true"}, "labels": {"a": "b"}}

    rendered = helm.render(SHARDS | {"service": service})

    marked = [
        each["metadata"]["name"]
        for each in rendered.all("Service")
        if "annotations" in each["metadata"] or "a" in each["metadata"]["labels"]
    ]
    assert marked == ["demo-braze-exporter"]


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
    persistence = {
        "enabled": True,
        "size": "2Gi",
        "storageClass": "fast",
        "accessModes": ["ReadWriteOncePod"],
        "labels": {"backup": "no"},
        "annotations": {"example.com/note": "state"},
    }

    one = helm.render({"persistence": persistence}).one("PersistentVolumeClaim")
    rendered = helm.render(SHARDS | {"persistence": persistence})

    assert not rendered.all("PersistentVolumeClaim")
    (claim,) = rendered.one("StatefulSet")["spec"]["volumeClaimTemplates"]
    assert claim["spec"] == one["spec"]
    assert claim["metadata"]["labels"] == {"backup": "no"}
    assert claim["metadata"]["annotations"] == {"example.com/note": "state"}
    mounts = {each["name"]: each for each in rendered.exporter["volumeMounts"]}
    assert mounts[claim["metadata"]["name"]]["mountPath"] == "/var/lib/braze-exporter"


@pytest.mark.parametrize(("is_kept", "policy"), [(False, "Delete"), (True, "Retain")])
def test_claims_are_deleted_with_their_shards(
    helm: Helm, *, is_kept: bool, policy: str
) -> None:
    """They are deleted on uninstall and when shards are removed, unless `retain`."""
    values = SHARDS | {"persistence": {"enabled": True, "retain": is_kept}}

    spec = helm.render(values).one("StatefulSet")["spec"]

    assert spec["persistentVolumeClaimRetentionPolicy"] == {
        "whenDeleted": policy,
        "whenScaled": policy,
    }


@pytest.mark.parametrize("values", [{}, {"state": {"enabled": False}}])
def test_without_persistence_there_is_no_claim(helm: Helm, values: Document) -> None:
    """Each pod's state is in its own emptyDir, or there is no state."""
    rendered = helm.render(SHARDS | values)

    assert "volumeClaimTemplates" not in rendered.one("StatefulSet")["spec"]
    states = [each for each in rendered.pod["volumes"] if each["name"] == "state"]
    assert [list(each) for each in states] == [["name", "emptyDir"]] * (not values)


@pytest.mark.parametrize("start", [SHARDS, CLAIMS])
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

    before, after = (
        helm.render(values).one("StatefulSet")["spec"]
        for values in (start, start | changes)
    )

    assert set(before) == set(after)
    fixed = set(before) - CHANGEABLE
    assert {each: before[each] for each in fixed} == {
        each: after[each] for each in fixed
    }


def test_claim_templates_contain_no_version(helm: Helm) -> None:
    """They cannot be changed, so a new chart version must render the same."""
    spec = helm.render(CLAIMS).one("StatefulSet")["spec"]

    (claim,) = spec["volumeClaimTemplates"]
    assert claim["metadata"] == {"name": "state"}


def test_zero_replicas_stop_all_shards(helm: Helm) -> None:
    """The notes contain the command that starts them."""
    rendered = helm.render(SHARDS | {"replicas": 0})

    assert rendered.one("StatefulSet")["spec"]["replicas"] == 0
    assert "scale statefulset/demo-braze-exporter --replicas=3" in rendered.notes


def test_the_notes_name_the_stateful_set(helm: Helm) -> None:
    """Commands are for the StatefulSet, and the log is that of all shards."""
    notes = helm.render(CI_VALUES["sharding"]).notes

    assert "deployment/" not in notes
    assert "rollout status statefulset/demo-braze-exporter" in notes
    assert "port-forward statefulset/demo-braze-exporter 10417:10417" in notes
    assert "Each of the 3 shards" in notes
    labels = "app.kubernetes.io/instance=demo,app.kubernetes.io/component=exporter"
    assert f"logs --selector {labels} --prefix --tail -1" in notes


@pytest.mark.parametrize("length", [52, 53])
def test_a_name_leaves_room_for_what_kubernetes_appends(
    helm: Helm, length: int
) -> None:
    """A label of each pod is the StatefulSet's name and a hash of 11 characters."""
    values = SHARDS | {"fullnameOverride": "n" * length}

    if length > 52:
        with pytest.raises(Refused, match=r"at most 52 .* expected fullnameOverride"):
            helm.render(values)
    else:
        services = helm.render(values).all("Service")
        assert all(len(each["metadata"]["name"]) <= 63 for each in services)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sharding": {"shards": 0}}, "/sharding/shards"),
        ({"sharding": {"shards": 1001}}, "/sharding/shards"),
        ({"sharding": {"shards": "2"}}, "/sharding/shards"),
        (
            {"sharding": {"enabled": True}, "replicas": 2},
            "replicas is 2, .* expected the number of pods in sharding.shards",
        ),
        (
            CLAIMS | {"persistence": {"enabled": True, "existingClaim": "kept"}},
            "persistence.existingClaim is set, .* expected",
        ),
        (
            CLAIMS | {"persistence": {"enabled": True, "volumeName": "one"}},
            "persistence.volumeName is set, .* expected",
        ),
    ],
)
def test_what_shards_cannot_share_is_refused(
    helm: Helm, values: Document, message: str
) -> None:
    """The message names what to set instead."""
    with pytest.raises(Refused, match=message):
        helm.render(values)
