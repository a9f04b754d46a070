"""What the chart renders really runs: each container's arguments on this machine."""

from __future__ import annotations

import json
import signal
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from exporter.simulator import Simulator

from tests.chart.helm import CHART, Document, Helm, values_of
from tests.chart.local_pod import LocalPod, secrets, unverified
from tests.support.certificates import HASH, PASSWORD, Papers
from tests.support.daemon_process import Process, parse, run, until

KEYS = "/etc/braze-exporter/keys"
SCRAPE = {"name": "scrape", "key": "any"}


@pytest.fixture(name="papers")
def _papers(tmp_path: Path) -> Papers:
    """Issue certificates."""
    return Papers(tmp_path / "papers")


def polling(braze: Simulator) -> Document:
    """Return values that poll the simulator."""
    workspace = {
        "name": "production",
        "endpoint": braze.url,
        "api_key_file": f"{KEYS}/production",
        "interval": "1s",
        "requests_per_minute": 6000,
        "campaigns": [{"id": each.id, "name": each.name} for each in braze.campaigns],
    }
    key = {"secretName": "braze", "key": "api-key", "file": "production"}
    return {"config": {"workspaces": [workspace]}, "apiKeys": [key]}


def ask(url: str, *, password: str | None = None) -> tuple[int, str]:
    """Return status and text of what a probe, or Prometheus, gets."""
    passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
    if password is not None:
        passwords.add_password(None, url, "prometheus", password, is_authenticated=True)
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(context=unverified()),
        urllib.request.HTTPBasicAuthHandler(passwords),
    )
    try:
        with opener.open(url, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.mark.parametrize(
    "name",
    [
        *("default", "production", "network", "tls", "client-certificates"),
        *("monitoring", "sharding"),
    ],
)
def test_check_has_nothing_to_say(
    helm: Helm, papers: Papers, tmp_path: Path, name: str
) -> None:
    """`check` finds no problem and warns of nothing: keys are there, and not public."""
    rendered = helm.render(values_of(CHART / "ci" / f"{name}-values.yaml"))
    pod = LocalPod(rendered, tmp_path, existing=secrets(papers))
    web = [each for each in pod.arguments() if each.startswith("--web.config.file")]

    done = run("check", *web, pod.config, environment={"BRAZE_API_KEY": "a" * 36})

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""


def test_the_default_installation_shows_campaigns(helm: Helm, tmp_path: Path) -> None:
    """Without values both containers run, and every campaign of the demo is up."""
    rendered = helm.render({"serviceMonitor": {"enabled": True}})
    plain = LocalPod(rendered, tmp_path / "plain", existing={})
    simulate = plain.arguments(name="simulated-braze")
    assert simulate[-1] == "--listen-address=127.0.0.1:10418"
    with Process(*simulate[:-1], "--listen-address=127.0.0.1:0") as braze:
        url = braze.wait_for_line(r"simulated Braze at (http://[^,]+),")[1]
        changes = {"http://127.0.0.1:10418": url}
        pod = LocalPod(rendered, tmp_path / "pod", existing={}, **changes)
        with Process(*pod.arguments()) as exporter:
            probes = {
                name: f"{exporter.url}{rendered.exporter[name]['httpGet']['path']}"
                for name in ("startupProbe", "livenessProbe", "readinessProbe")
            }
            (endpoint,) = rendered.one("ServiceMonitor")["spec"]["endpoints"]

            until(lambda: ask(probes["readinessProbe"])[0] == 200)

            assert ask(probes["startupProbe"])[0] == 200
            assert ask(probes["livenessProbe"])[0] == 200
            status, text = ask(f"{exporter.url}{endpoint['path']}")
            assert status == 200
            up = parse(text)["braze_campaign_up"]
            assert len(up) == 22
            assert set(up.values()) == {1}
            assert helm_test(rendered.all("Pod")[0], pod, exporter) == 0
            assert exporter.end(signal.SIGTERM, seconds=10) == 0


def helm_test(test: Document, pod: LocalPod, exporter: Process) -> int:
    """Run what `helm test` runs, against the daemon here; return the exit code."""
    address = exporter.url.partition("://")[2]
    (healthcheck,) = test["spec"]["containers"]
    return run(*pod.moved(healthcheck["args"], address)).returncode


def test_tls_passwords_and_a_prefix_fit_together(
    helm: Helm, papers: Papers, tmp_path: Path
) -> None:
    """Over TLS and below a prefix, probes need no password and scrapes do."""
    with Simulator() as braze:
        values = polling(braze) | {
            "tls": {"secretName": "braze-tls", "caKey": "ca.crt"},
            "webConfig": {"basic_auth_users": {"prometheus": HASH}},
            "web": {"externalUrl": "https://example.com/a/b"},
            "podMonitor": {
                "enabled": True,
                "basicAuth": {"username": SCRAPE, "password": SCRAPE},
            },
        }
        rendered = helm.render(values)
        existing = dict(secrets(papers)) | {"api-key": braze.api_key}
        pod = LocalPod(rendered, tmp_path / "pod", existing=existing)
        with Process(*pod.arguments()) as exporter:
            url = exporter.url.replace("http://", "https://")
            probe = rendered.exporter["readinessProbe"]["httpGet"]
            assert probe["scheme"] == "HTTPS"

            until(lambda: ask(f"{url}{probe['path']}")[0] == 200)

            (endpoint,) = rendered.one("PodMonitor")["spec"]["podMetricsEndpoints"]
            page = f"{url}{endpoint['path']}"
            assert ask(page)[0] == 401
            status, text = ask(page, password=PASSWORD)
            assert status == 200
            assert set(parse(text)["braze_campaign_up"].values()) == {1}
            assert helm_test(rendered.all("Pod")[0], pod, exporter) == 0


def test_shards_have_all_campaigns_between_them(
    helm: Helm, papers: Papers, tmp_path: Path
) -> None:
    """Each campaign is polled by one pod, with its part of the budget."""
    with Simulator() as braze, ExitStack() as stack:
        values = polling(braze) | {"sharding": {"enabled": True, "shards": 3}}
        rendered = helm.render(values)
        name = rendered.one("StatefulSet")["metadata"]["name"]
        existing = dict(secrets(papers)) | {"api-key": braze.api_key}
        exporters = [
            stack.enter_context(
                Process(
                    *LocalPod(rendered, tmp_path / pod, existing=existing).arguments(),
                    environment=variables(rendered.exporter, pod),
                )
            )
            for pod in (f"{name}-{number}" for number in range(3))
        ]

        until(lambda: all(ask(f"{each.url}/-/ready")[0] == 200 for each in exporters))

        found = [
            dict(labels)["campaign"]
            for each in exporters
            for labels in parse(ask(f"{each.url}/metrics")[1])["braze_campaign_info"]
        ]
        assert sorted(found) == sorted(each.name for each in braze.campaigns)
        for each in exporters:
            assert not [line for line in each.lines if "level=warn" in line]


def variables(
    container: Document, pod: str, existing: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return what Kubernetes makes of a container's variables in a pod of that name."""

    def value(variable: Document) -> str:
        source = variable.get("valueFrom", {})
        if source == {"fieldRef": {"fieldPath": "metadata.name"}}:
            return pod
        if "secretKeyRef" in source:
            return (existing or {})[source["secretKeyRef"]["key"]]
        text: str = variable["value"]
        return text

    return {each["name"]: value(each) for each in container["env"]}


def test_replicas_divide_the_ceilings(
    helm: Helm, papers: Papers, tmp_path: Path
) -> None:
    """Each of two pods serves all campaigns, within half of every ceiling."""
    with Simulator() as braze, ExitStack() as stack:
        rendered = helm.render(polling(braze) | {"replicas": 2})
        existing = dict(secrets(papers)) | {"api-key": braze.api_key}
        exporters = [
            stack.enter_context(
                Process(
                    *LocalPod(rendered, tmp_path / pod, existing=existing).arguments()
                )
            )
            for pod in ("one", "two")
        ]

        for each in exporters:
            until(lambda each=each: ask(f"{each.url}/-/ready")[0] == 200)  # type: ignore[misc]  # bound now

        for each in exporters:
            page = parse(ask(f"{each.url}/metrics")[1])
            assert len(page["braze_campaign_up"]) == len(braze.campaigns)
            assert not [line for line in each.lines if "level=warn" in line]


@pytest.mark.parametrize("is_own", [True, False])
def test_probes_work_under_client_certificates(
    helm: Helm, papers: Papers, tmp_path: Path, *, is_own: bool
) -> None:
    """Where clients have to show a certificate the probes' command shows one."""
    with Simulator() as braze:
        values: dict[str, Any] = polling(braze) | {
            "tls": {"secretName": "braze-tls"},
            "webConfig": {
                "tls_server_config": {
                    "client_auth_type": "RequireAndVerifyClientCert",
                    "client_ca_file": "/etc/braze-exporter/tls/ca.crt",
                }
            },
            "web": {"routePrefix": "/x"},
        }
        if not is_own:
            values["healthcheckCertificate"] = {"secretName": "client"}
        rendered = helm.render(values)
        existing = dict(secrets(papers)) | {"api-key": braze.api_key}
        pod = LocalPod(rendered, tmp_path / "pod", existing=existing)
        with Process(*pod.arguments()) as exporter:
            address = exporter.url.partition("://")[2]

            def said(name: str) -> str:
                command = rendered.exporter[name]["exec"]["command"]
                assert command[0] == "braze-exporter"
                return run(*pod.moved(command[1:], address)).stdout

            until(lambda: said("readinessProbe") == "ready\n")
            assert said("startupProbe") == said("livenessProbe") == "healthy\n"

            assert helm_test(rendered.all("Pod")[0], pod, exporter) == 0


def test_a_changed_config_map_needs_no_new_pod(
    helm: Helm, papers: Papers, tmp_path: Path
) -> None:
    """The mounted configuration is a link that Kubernetes swaps: it is taken over."""
    with Simulator() as braze:
        rendered = helm.render(polling(braze))
        existing = dict(secrets(papers)) | {"api-key": braze.api_key}
        pod = LocalPod(rendered, tmp_path / "pod", existing=existing)
        file = Path(pod.config)
        other = json.loads(json.dumps(polling(braze)))
        del other["config"]["workspaces"][0]["campaigns"][1:]
        text = helm.render(other).config.replace(KEYS, f"{tmp_path}/pod{KEYS}")
        with Process(*pod.arguments()) as exporter:
            until(lambda: ask(f"{exporter.url}/-/ready")[0] == 200)

            (file.parent / "..new").write_text(text)
            (file.parent / "..link").symlink_to("..new")
            (file.parent / "..link").rename(file)

            def campaigns() -> int:
                _, page = ask(f"{exporter.url}/metrics")
                return len(parse(page)["braze_campaign_info"])

            until(lambda: campaigns() == 1)
            exporter.wait_for_line("event=config.reloaded")
