"""The chart's replicas: independent pods, each of which polls every campaign."""

from __future__ import annotations

import pytest

from tests.chart.chart_values import CI_VALUES
from tests.chart.helm import Document, Helm, Refused

REPLICAS = CI_VALUES["replicas"]


def test_replicas_divide_the_request_ceilings(helm: Helm) -> None:
    """Several pods get `--replicas` with their number; a single one does not."""
    flags = {
        replicas: [
            each
            for each in helm.render({"replicas": replicas}).exporter["args"]
            if each.startswith("--replicas")
        ]
        for replicas in (0, 1, 2, 100)
    }

    assert flags == {0: [], 1: [], 2: ["--replicas=2"], 100: ["--replicas=100"]}


def test_an_upgrade_never_runs_more_pods_than_replicas(helm: Helm) -> None:
    """An old pod ends before a new one begins, and the other replicas serve on."""
    spec = helm.render(REPLICAS).one("Deployment")["spec"]

    assert spec["replicas"] == 2
    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1},
    }


def test_each_replica_keeps_its_own_state(helm: Helm) -> None:
    """The state of each pod is in its own emptyDir, which no other pod writes to."""
    rendered = helm.render(REPLICAS)

    (state,) = (each for each in rendered.pod["volumes"] if each["name"] == "state")
    assert set(state) == {"name", "emptyDir"}
    assert not rendered.all("PersistentVolumeClaim")


def test_replicas_run_on_different_nodes_and_survive_a_drain(helm: Helm) -> None:
    """Spread constraints and the disruption budget count the pods of this release."""
    rendered = helm.render(REPLICAS)

    labels = rendered.workload["spec"]["selector"]
    (spread,) = rendered.pod["topologySpreadConstraints"]
    assert spread["labelSelector"] == labels
    budget = rendered.one("PodDisruptionBudget")["spec"]
    assert budget == {"maxUnavailable": 1, "selector": labels}


def test_the_notes_name_all_replicas(helm: Helm) -> None:
    """The command for the log selects every pod."""
    notes = helm.render(REPLICAS).notes

    assert "Each of the 2 replicas polls and serves all campaigns" in notes
    assert "logs --selector app.kubernetes.io/instance=demo," in notes


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"replicas": 101}, "/replicas"),
        (
            {"replicas": 2, "persistence": {"enabled": True}},
            "persistence.enabled: replicas is 2, .* expected persistence.enabled=false",
        ),
        (
            {"replicas": 2, "scrapeConfig": {"enabled": True}},
            "scrapeConfig: replicas is 2, .* expected serviceMonitor or podMonitor",
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
    """With a single pod the Service always leads to that pod."""
    rendered = helm.render({"scrapeConfig": {"enabled": True}})

    assert rendered.one("ScrapeConfig")
