"""The notes that Helm prints after an installation."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from tests.chart.chart_values import CI_VALUES, config
from tests.chart.helm import Document, Helm, Rendered

KEY = {"secretKeyRef": {"name": "braze", "key": "api-key"}}
SCRAPE = {"name": "scrape", "key": "username"}


def test_the_notes_contain_the_next_command(rendered: Mapping[str, Rendered]) -> None:
    """The notes contain a command to copy, for every file of ci/."""
    for name, one in rendered.items():
        forward = f" port-forward {one.workload['kind'].lower()}/"
        assert (forward in one.notes) == bool(CI_VALUES[name].get("replicas", 1)), name
        assert re.search(r"^  (kubectl|helm) ", one.notes, re.MULTILINE), name


@pytest.mark.parametrize(
    ("values", "present", "absent"),
    [
        (
            # For a headless Service kubectl forwards to the container's port.
            {"web": {"port": 9000}, "service": {"clusterIP": "None", "port": 80}},
            ["port-forward deployment/demo-braze-exporter 9000:9000\n"],
            [],
        ),
        (
            config() | {"replicas": 0},
            ["scale deployment/demo-braze-exporter --replicas=1"],
            ["port-forward", "helm test"],
        ),
        (
            CI_VALUES["sharding"],
            [
                "rollout status statefulset/demo-braze-exporter",
                "port-forward statefulset/demo-braze-exporter 10417:10417",
                "Each of the 3 shards",
                "logs --selector app.kubernetes.io/instance=demo,"
                "app.kubernetes.io/component=exporter --prefix --tail -1",
            ],
            ["deployment/"],
        ),
        (
            CI_VALUES["replicas"],
            [
                "Each of the 2 replicas polls and serves all campaigns",
                "logs --selector app.kubernetes.io/instance=demo,",
            ],
            [],
        ),
    ],
    ids=["headless service", "stopped", "shards", "replicas"],
)
def test_the_commands_are_for_the_rendered_workload(
    helm: Helm, values: Document, present: list[str], absent: list[str]
) -> None:
    notes = helm.render(values).notes

    assert [text for text in present if text not in notes] == []
    assert [text for text in absent if text in notes] == []


@pytest.mark.parametrize(
    ("values", "missing", "warning"),
    [
        (
            config(api_key_env="BRAZE_API_KEY", api_key_file=...),
            [
                {"extraEnv": [{"name": "BRAZE_API_KEY", "valueFrom": KEY}]},
                {"extraEnvFrom": [{"secretRef": {"name": "braze"}}]},
            ],
            "extraEnv has no BRAZE_API_KEY",
        ),
        (
            # An existing web configuration may require a password.
            {"existingWebConfig": {"secret": "web"}, "podMonitor": {"enabled": True}},
            [
                {
                    "podMonitor": {
                        "enabled": True,
                        "basicAuth": {"username": SCRAPE, "password": SCRAPE},
                    }
                }
            ],
            "podMonitor.basicAuth",
        ),
    ],
    ids=["key", "password"],
)
def test_the_notes_warn_of_a_missing_secret(
    helm: Helm, values: Document, missing: list[Document], warning: str
) -> None:
    """Without it the exporter fails, or a monitor."""
    assert warning in helm.render(values).notes
    for more in missing:
        assert warning not in helm.render(values | more).notes
