"""The notes that Helm prints after an installation."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tests.chart.chart_values import CI_VALUES, config
from tests.chart.helm import Document, Helm, Rendered


def test_the_notes_contain_the_next_command(rendered: Mapping[str, Rendered]) -> None:
    """The notes contain a command to copy, for every file of ci/."""
    for name, one in rendered.items():
        forward = f" port-forward {one.workload['kind'].lower()}/"
        assert (forward in one.notes) == bool(CI_VALUES[name].get("replicas", 1)), name
        assert re.search(r"^  (kubectl|helm) ", one.notes, re.MULTILINE), name


def test_the_notes_forward_the_port_of_the_container(helm: Helm) -> None:
    """For a headless Service kubectl forwards to the container's port."""
    service = {"clusterIP": "None", "port": 80}

    notes = helm.render({"web": {"port": 9000}, "service": service}).notes

    assert "port-forward deployment/demo-braze-exporter 9000:9000\n" in notes


def test_the_notes_of_a_stopped_exporter_start_it(helm: Helm) -> None:
    """They contain the command that starts it, and none that needs a pod."""
    notes = helm.render(config() | {"replicas": 0}).notes

    assert "scale deployment/demo-braze-exporter --replicas=1" in notes
    assert "port-forward" not in notes
    assert "helm test" not in notes


def test_the_notes_warn_of_a_missing_key(helm: Helm) -> None:
    """Without the variable in `extraEnv` or `extraEnvFrom` the exporter fails."""
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
    """An existing web configuration may require a password of a monitor."""
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
