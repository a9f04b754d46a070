"""The chart's replicas: pods that share their work by a Redis."""

from __future__ import annotations

import pytest

from tests.chart.helm import CHART, Document, Helm, Refused, values_of

SHARED: Document = {"sharedState": {"secretName": "braze-redis"}}
BY_URL = {
    "name": "BRAZE_EXPORTER_STATE_URL",
    "valueFrom": {"secretKeyRef": {"name": "braze-redis", "key": "url"}},
}


@pytest.mark.parametrize(("replicas", "said"), [(0, "1"), (1, "1"), (100, "100")])
def test_replicas_know_the_redis_and_their_number(
    helm: Helm, replicas: int, said: str
) -> None:
    """The URL comes from a Secret, as it may hold a password, and is in no manifest."""
    rendered = helm.render(SHARED | {"replicas": replicas})

    assert rendered.one("Deployment")["spec"]["replicas"] == replicas
    assert rendered.exporter["env"] == [
        BY_URL,
        {"name": "BRAZE_EXPORTER_STATE_REPLICAS", "value": said},
    ]


def test_replicas_are_replaced_one_by_one(helm: Helm) -> None:
    """A new one comes before an old one goes: the budget is kept by all together."""
    spec = helm.render(SHARED | {"replicas": 2}).one("Deployment")["spec"]

    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
    }


def test_replicas_keep_nothing_on_disk(helm: Helm) -> None:
    """The exporter takes a directory or a Redis, not both."""
    rendered = helm.render(SHARED | {"replicas": 2})

    args = rendered.exporter["args"]
    assert not any(each.startswith("--state.path") for each in args)
    assert "state" not in {each["name"] for each in rendered.pod["volumes"]}
    assert "state" not in {each["name"] for each in rendered.exporter["volumeMounts"]}
    assert "persistence.enabled" not in rendered.notes


def test_the_network_policy_lets_the_redis_through(helm: Helm) -> None:
    """By its port, to whom the values say, and only where there is one."""
    policy = {"networkPolicy": {"enabled": True}}
    values = values_of(CHART / "ci" / "shared-state-values.yaml")

    def rules(values: Document) -> list[Document]:
        made = helm.render(values).one("NetworkPolicy")["spec"]["egress"]
        assert isinstance(made, list)
        return made

    assert len(rules(policy)) == 2
    assert rules(SHARED | policy)[2] == {"ports": [{"port": 6379, "protocol": "TCP"}]}
    assert rules(values)[2] == {
        "ports": [{"port": 6380, "protocol": "TCP"}],
        "to": values["networkPolicy"]["egress"]["redisTo"],
    }


def test_the_notes_speak_of_all_replicas(helm: Helm) -> None:
    """The log is that of all, for each has a part of the work."""
    notes = helm.render(values_of(CHART / "ci" / "shared-state-values.yaml")).notes

    assert "Its 3 replicas share the work" in notes
    assert "logs --selector app.kubernetes.io/instance=demo," in notes


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"replicas": 2}, "replicas is 2, .* expected sharedState.secretName too"),
        (SHARED | {"replicas": 101}, "/replicas"),
        (
            SHARED | {"sharding": {"enabled": True}},
            "sharedState and sharding.enabled are both set",
        ),
        (
            SHARED | {"persistence": {"enabled": True}},
            "persistence.enabled: with sharedState .* expected one of the two",
        ),
        (
            SHARED | {"replicas": 2, "scrapeConfig": {"enabled": True}},
            "scrapeConfig: .* expected serviceMonitor or podMonitor",
        ),
    ],
)
def test_what_replicas_cannot_share_is_refused(
    helm: Helm, values: Document, message: str
) -> None:
    """The message names what to set instead."""
    with pytest.raises(Refused, match=message):
        helm.render(values)


def test_one_replica_may_be_scraped_by_its_service(helm: Helm) -> None:
    """There is no other to be met."""
    rendered = helm.render(SHARED | {"scrapeConfig": {"enabled": True}})

    assert rendered.one("ScrapeConfig")
