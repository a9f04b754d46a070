"""The rendered pod runs: init containers, exporter and probes, on this machine."""

from __future__ import annotations

import json
import signal
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from exporter.simulator import Simulator

from tests.chart.chart_values import CI_VALUES
from tests.chart.helm import Document, Helm, Rendered
from tests.chart.local_pod import LocalPod, secrets
from tests.support.certificates import HASH, PASSWORD, Certificates
from tests.support.daemon_process import Process, parse, run, until

KEYS = "/etc/braze-exporter/keys"
SCRAPE = {"name": "scrape", "key": "any"}


@pytest.fixture(name="certificates")
def _certificates(tmp_path: Path) -> Certificates:
    """Issue certificates."""
    return Certificates(tmp_path / "certificates")


@pytest.fixture(name="braze")
def _braze() -> Iterator[Simulator]:
    """Start a simulated Braze."""
    with Simulator() as started:
        yield started


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


def http_get(url: str, *, password: str | None = None) -> tuple[int, str]:
    """Return status and text, as a probe or Prometheus gets them."""
    passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
    if password is not None:
        passwords.add_password(None, url, "prometheus", password, is_authenticated=True)
    # Kubernetes' probes verify no certificate and show none.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(context=context),
        urllib.request.HTTPBasicAuthHandler(passwords),
    )
    try:
        with opener.open(url, timeout=20) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@contextmanager
def running(pod: LocalPod) -> Iterator[Process]:
    """Start a pod as Kubernetes does: the exporter once all init containers succeed."""
    for ended in pod.run_init_containers():
        assert ended.returncode == 0, ended.stderr
    with Process(*pod.arguments(), environment=pod.environment()) as exporter:
        yield exporter


def run_helm_test(rendered: Rendered, pod: LocalPod, exporter: Process) -> int:
    """Run the command of `helm test` against a running pod; return its exit code."""
    address = exporter.url.partition("://")[2]
    (healthcheck,) = rendered.one("Pod")["spec"]["containers"]
    return run(*pod.moved(healthcheck["args"], address)).returncode


@pytest.mark.parametrize(
    "name",
    [
        *("default", "production", "network", "tls", "client-certificates"),
        *("monitoring", "sharding", "replicas"),
    ],
)
def test_the_init_container_accepts_a_valid_configuration(
    helm: Helm, certificates: Certificates, tmp_path: Path, name: str
) -> None:
    """It finds no problem and prints no warning: keys are there, and not public."""
    rendered = helm.render(CI_VALUES[name])
    pod = LocalPod(rendered, tmp_path, existing=secrets(certificates))

    (ended,) = pod.run_init_containers()

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""


def test_the_init_container_fails_on_an_invalid_configuration(
    helm: Helm, certificates: Certificates, tmp_path: Path
) -> None:
    """Its log has the exporter's message for every problem that the schema allows."""
    campaign = {"id": "a", "name": "Welcome series"}
    workspace = {
        "name": "production",
        "endpoint": "http://rest.iad-01.braze.com",
        "api_key_file": f"{KEYS}/production",
        "interval": "8d",
        "campaigns": [campaign, campaign | {"id": "A"}],
    }
    key = {"secretName": "braze", "key": "api-key", "file": "production"}
    rendered = helm.render({"config": {"workspaces": [workspace]}, "apiKeys": [key]})
    pod = LocalPod(rendered, tmp_path, existing=secrets(certificates))

    (ended,) = pod.run_init_containers()

    assert ended.returncode != 0
    for place in ("endpoint", "interval", "campaigns[1].id", "campaigns[1].name"):
        assert f"workspaces[0].{place}: " in ended.stderr


def test_the_init_container_has_what_the_exporter_has(helm: Helm) -> None:
    """Image, variables, mounts and rights are those of the exporter's container."""
    more: Document = {
        "replicas": 2,
        "extraEnv": [{"name": "BRAZE_API_KEY", "value": "$(OTHER)"}],
        "extraEnvFrom": [{"secretRef": {"name": "more"}}],
        "extraInitContainers": [{"name": "before", "image": "busybox"}],
    }

    pod = helm.render(polling_nothing() | more).pod

    before, check = pod["initContainers"]
    assert (before["name"], check["name"]) == ("before", "check-config")
    (exporter,) = pod["containers"]
    for field in (
        *("image", "imagePullPolicy", "securityContext"),
        *("env", "envFrom", "volumeMounts"),
    ):
        assert check[field] == exporter[field], field
    assert "--replicas=2" in check["args"]
    assert check["resources"]["limits"] == {"memory": "128Mi"}


def polling_nothing() -> Document:
    """Return values with a configuration that no test runs."""
    workspace = {
        "name": "production",
        "endpoint": "https://rest.iad-01.braze.com",
        "api_key_env": "BRAZE_API_KEY",
        "campaigns": [{"id": "a", "name": "b"}],
    }
    return {"config": {"workspaces": [workspace]}}


def test_the_check_can_be_turned_off(helm: Helm) -> None:
    """Without it the pod has only the init containers of the values."""
    off: Document = {"configCheck": {"enabled": False}}
    extra: Document = {"extraInitContainers": [{"name": "before", "image": "busybox"}]}

    assert "initContainers" not in helm.render(off).pod
    (only,) = helm.render(off | extra).pod["initContainers"]
    assert only["name"] == "before"


@pytest.mark.slow
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
        with running(pod) as exporter:
            probes = {
                name: f"{exporter.url}{rendered.exporter[name]['httpGet']['path']}"
                for name in ("startupProbe", "livenessProbe", "readinessProbe")
            }
            (endpoint,) = rendered.one("ServiceMonitor")["spec"]["endpoints"]

            until(lambda: http_get(probes["readinessProbe"])[0] == 200)

            assert http_get(probes["startupProbe"])[0] == 200
            assert http_get(probes["livenessProbe"])[0] == 200
            status, text = http_get(f"{exporter.url}{endpoint['path']}")
            assert status == 200
            up = parse(text)["braze_campaign_up"]
            assert len(up) == 22
            assert set(up.values()) == {1}
            assert run_helm_test(rendered, pod, exporter) == 0
            assert exporter.end(signal.SIGTERM, seconds=10) == 0


@pytest.mark.slow
def test_tls_passwords_and_a_prefix_fit_together(
    helm: Helm, certificates: Certificates, tmp_path: Path, braze: Simulator
) -> None:
    """Over TLS and below a prefix, probes need no password and scrapes do."""
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
    existing = dict(secrets(certificates)) | {"api-key": braze.api_key}
    pod = LocalPod(rendered, tmp_path / "pod", existing=existing)
    with running(pod) as exporter:
        url = exporter.url.replace("http://", "https://")
        probe = rendered.exporter["readinessProbe"]["httpGet"]
        assert probe["scheme"] == "HTTPS"

        until(lambda: http_get(f"{url}{probe['path']}")[0] == 200)

        (endpoint,) = rendered.one("PodMonitor")["spec"]["podMetricsEndpoints"]
        page = f"{url}{endpoint['path']}"
        assert http_get(page)[0] == 401
        status, text = http_get(page, password=PASSWORD)
        assert status == 200
        assert set(parse(text)["braze_campaign_up"].values()) == {1}
        assert run_helm_test(rendered, pod, exporter) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("many", "count", "polls_of_a_campaign"),
    [
        ({"sharding": {"enabled": True, "shards": 3}}, 3, 1),
        ({"replicas": 2}, 2, 2),
    ],
    ids=["shards", "replicas"],
)
def test_several_pods_serve_all_campaigns(
    helm: Helm,
    certificates: Certificates,
    tmp_path: Path,
    braze: Simulator,
    many: Document,
    count: int,
    polls_of_a_campaign: int,
) -> None:
    """Of shards one pod serves a campaign, of replicas every pod."""
    with ExitStack() as stack:
        rendered = helm.render(polling(braze) | many)
        existing = dict(secrets(certificates)) | {"api-key": braze.api_key}
        exporters = [
            stack.enter_context(
                running(
                    LocalPod(rendered, tmp_path / name, existing=existing, name=name)
                )
            )
            for name in (f"demo-braze-exporter-{number}" for number in range(count))
        ]

        until(
            lambda: all(http_get(f"{each.url}/-/ready")[0] == 200 for each in exporters)
        )

        found = [
            dict(labels)["campaign"]
            for each in exporters
            for labels in parse(http_get(f"{each.url}/metrics")[1])[
                "braze_campaign_info"
            ]
        ]
        expected = [each.name for each in braze.campaigns] * polls_of_a_campaign
        assert sorted(found) == sorted(expected)
        for each in exporters:
            assert not [line for line in each.lines if "level=warn" in line]


@pytest.mark.slow
@pytest.mark.parametrize("is_own", [True, False])
def test_probes_work_under_client_certificates(
    helm: Helm,
    certificates: Certificates,
    tmp_path: Path,
    braze: Simulator,
    *,
    is_own: bool,
) -> None:
    """Where clients need a certificate, the command of the probes shows one."""
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
    existing = dict(secrets(certificates)) | {"api-key": braze.api_key}
    pod = LocalPod(rendered, tmp_path / "pod", existing=existing)
    with running(pod) as exporter:
        address = exporter.url.partition("://")[2]

        def output(name: str) -> str:
            command = rendered.exporter[name]["exec"]["command"]
            assert command[0] == "braze-exporter"
            return run(*pod.moved(command[1:], address)).stdout

        until(lambda: output("readinessProbe") == "ready\n")
        assert output("startupProbe") == output("livenessProbe") == "healthy\n"

        assert run_helm_test(rendered, pod, exporter) == 0


@pytest.mark.slow
def test_a_changed_config_map_needs_no_new_pod(
    helm: Helm, certificates: Certificates, tmp_path: Path, braze: Simulator
) -> None:
    """The exporter follows the symbolic link that Kubernetes replaces in the mount."""
    rendered = helm.render(polling(braze))
    existing = dict(secrets(certificates)) | {"api-key": braze.api_key}
    pod = LocalPod(rendered, tmp_path / "pod", existing=existing)
    other = json.loads(json.dumps(polling(braze)))
    del other["config"]["workspaces"][0]["campaigns"][1:]
    text = helm.render(other).config.replace(KEYS, f"{tmp_path}/pod{KEYS}")
    with running(pod) as exporter:
        until(lambda: http_get(f"{exporter.url}/-/ready")[0] == 200)

        (pod.config.parent / "..new").write_text(text)
        (pod.config.parent / "..link").symlink_to("..new")
        (pod.config.parent / "..link").rename(pod.config)

        def campaigns() -> int:
            _, page = http_get(f"{exporter.url}/metrics")
            return len(parse(page)["braze_campaign_info"])

        until(lambda: campaigns() == 1)
        exporter.wait_for_line("event=config.reloaded")
