"""The rendered pod runs: init container, exporter and probes, on this machine."""

from __future__ import annotations

import base64
import signal
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from exporter.simulator import Simulator

from tests.chart.chart_values import CI_VALUES, config
from tests.chart.helm import Document, Helm
from tests.chart.local_pod import LocalPod
from tests.support.certificates import HASH, PASSWORD, Certificates
from tests.support.daemon_process import Process, parse, until

KEYS = "/etc/braze-exporter/keys"
SCRAPE = {"name": "scrape", "key": "any"}
Start = Callable[..., LocalPod]


@pytest.fixture(name="braze")
def _braze() -> Iterator[Simulator]:
    """Start a simulated Braze."""
    with Simulator() as started:
        yield started


@pytest.fixture(name="make")
def _make(helm: Helm, tmp_path: Path) -> Start:
    """Return a function that makes a pod with the keys of the user's Secrets."""
    issued = Certificates(tmp_path / "certificates")
    certificates = {"tls.crt": issued.cert, "tls.key": issued.key, "ca.crt": issued.ca}
    texts = {name: content.decode() for name, content in certificates.items()}

    def make(
        values: Document,
        *,
        key: str = "7f3e9a52-0000-4d1b-8a6b-feedfacebeef",
        name: str = "pod-0",
        changes: dict[str, str] | None = None,
    ) -> LocalPod:
        existing = texts | {"api-key": key, "token": key}
        directory = tmp_path / f"{name}-{len(list(tmp_path.iterdir()))}"
        return LocalPod(
            helm.render(values),
            directory,
            existing=existing,
            name=name,
            changes=changes,
        )

    return make


def polling(braze: Simulator) -> Document:
    """Return values that poll the simulator."""
    return config(
        endpoint=braze.url,
        interval="1s",
        requests_per_minute=6000,
        campaigns=[{"id": each.id, "name": each.name} for each in braze.campaigns],
    )


def http_get(url: str, *, password: str | None = None) -> tuple[int, str]:
    """Return status and text, as a probe or Prometheus gets them."""
    request = urllib.request.Request(url)  # noqa: S310 - our own URL
    if password is not None:
        user = base64.b64encode(f"prometheus:{password}".encode()).decode()
        request.add_header("Authorization", f"Basic {user}")
    # Kubernetes' probes verify no certificate and show none.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with urllib.request.urlopen(request, timeout=20, context=context) as response:  # noqa: S310 - our own URL
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def is_ready(exporter: Process, path: str = "/-/ready") -> bool:
    """Whether the exporter is ready."""
    return http_get(f"{exporter.url}{path}")[0] == 200


@pytest.mark.parametrize(
    "name",
    [
        *("default", "production", "network", "tls", "client-certificates"),
        *("monitoring", "sharding", "replicas"),
    ],
)
def test_the_init_container_accepts_a_valid_configuration(
    make: Start, name: str
) -> None:
    """It finds no problem and prints no warning: keys are there, and not public."""
    ended = make(CI_VALUES[name]).check()

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""


def test_the_init_container_fails_on_an_invalid_configuration(make: Start) -> None:
    """Its log has the exporter's message for every problem that the schema allows."""
    campaign = {"id": "a", "name": "Welcome series"}
    wrong = config(
        endpoint="http://rest.iad-01.braze.com",
        interval="8d",
        campaigns=[campaign, campaign | {"id": "A"}],
    )

    versions = {"min_version": "TLS13", "max_version": "TLS12"}
    web = {"tls": {"secretName": "a"}, "webConfig": {"tls_server_config": versions}}

    ended = make(wrong | web).check()

    assert ended.returncode != 0
    assert "tls_server_config.max_version: " in ended.stderr
    for place in ("endpoint", "interval", "campaigns[1].id", "campaigns[1].name"):
        assert f"workspaces[0].{place}: " in ended.stderr


def test_the_init_container_has_what_the_exporter_has(helm: Helm) -> None:
    more: Document = {
        "replicas": 2,
        "extraEnv": [{"name": "BRAZE_API_KEY", "value": "$(OTHER)"}],
        "extraEnvFrom": [{"secretRef": {"name": "more"}}],
        "extraInitContainers": [{"name": "before", "image": "busybox"}],
    }

    pod = helm.render(config(api_key_env="BRAZE_API_KEY", api_key_file=...) | more).pod

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


@pytest.mark.slow
def test_the_default_installation_shows_campaigns(make: Start) -> None:
    """Without values both containers run, and every campaign of the demo is up."""
    values = {"serviceMonitor": {"enabled": True}}
    address, listens = "127.0.0.1:10418", "--listen-address=127.0.0.1:0"
    *simulate, last = make(values).arguments(name="simulated-braze")
    assert last == f"--listen-address={address}"
    with Process(*simulate, listens) as braze:
        url = braze.wait_for_line(r"simulated Braze at (http://[^,]+),")[1]
        pod = make(values, changes={f"http://{address}": url})
        with pod.running() as exporter:
            startup, liveness, readiness = (
                pod.rendered.exporter[f"{name}Probe"]["httpGet"]["path"]
                for name in ("startup", "liveness", "readiness")
            )
            path = pod.rendered.scraped("ServiceMonitor")["path"]

            until(lambda: is_ready(exporter, readiness))

            assert is_ready(exporter, startup)
            assert is_ready(exporter, liveness)
            up = parse(http_get(f"{exporter.url}{path}")[1])["braze_campaign_up"]
            assert list(up.values()) == [1] * 22
            assert pod.run_helm_test(exporter) == 0
            assert exporter.end(signal.SIGTERM, seconds=10) == 0


@pytest.mark.slow
def test_tls_passwords_and_a_prefix_fit_together(make: Start, braze: Simulator) -> None:
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
    pod = make(values, key=braze.api_key)
    with pod.running() as exporter:
        url = exporter.url.replace("http://", "https://")
        probe = pod.rendered.exporter["readinessProbe"]["httpGet"]
        assert probe["scheme"] == "HTTPS"

        until(lambda: http_get(f"{url}{probe['path']}")[0] == 200)

        page = f"{url}{pod.rendered.scraped('PodMonitor')['path']}"
        assert http_get(page)[0] == 401
        status, text = http_get(page, password=PASSWORD)
        assert status == 200
        assert set(parse(text)["braze_campaign_up"].values()) == {1}
        assert pod.run_helm_test(exporter) == 0


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
    make: Start, braze: Simulator, many: Document, count: int, polls_of_a_campaign: int
) -> None:
    """Of shards one pod serves a campaign, of replicas every pod."""
    values = polling(braze) | many
    with ExitStack() as stack:
        exporters = [
            stack.enter_context(make(values, key=braze.api_key, name=name).running())
            for name in (f"demo-braze-exporter-{number}" for number in range(count))
        ]

        until(lambda: all(map(is_ready, exporters)))

        pages = [parse(http_get(f"{each.url}/metrics")[1]) for each in exporters]
        served = [
            dict(labels)["campaign"]
            for page in pages
            for labels in page["braze_campaign_info"]
        ]
        expected = [each.name for each in braze.campaigns] * polls_of_a_campaign
        assert sorted(served) == sorted(expected)
        lines = [line for each in exporters for line in each.lines]
        assert not [line for line in lines if "level=warn" in line]


@pytest.mark.slow
@pytest.mark.parametrize(
    "certificate",
    [{}, {"healthcheckCertificate": {"secretName": "client"}}],
    ids=["that of the server", "its own"],
)
def test_probes_work_under_client_certificates(
    make: Start, braze: Simulator, certificate: Document
) -> None:
    """Where clients need a certificate, the command of the probes shows one."""
    required = {
        "client_auth_type": "RequireAndVerifyClientCert",
        "client_ca_file": "/etc/braze-exporter/tls/ca.crt",
    }
    values = polling(braze) | {
        "tls": {"secretName": "braze-tls"},
        "webConfig": {"tls_server_config": required},
        "web": {"routePrefix": "/x"},
    }
    pod = make(values | certificate, key=braze.api_key)
    with pod.running() as exporter:

        def output(name: str) -> str:
            program, *arguments = pod.rendered.exporter[name]["exec"]["command"]
            assert program == "braze-exporter"
            return pod.run_command(arguments, exporter).stdout

        until(lambda: output("readinessProbe") == "ready\n")
        assert output("startupProbe") == output("livenessProbe") == "healthy\n"
        assert pod.run_helm_test(exporter) == 0


@pytest.mark.slow
def test_a_changed_config_map_needs_no_new_pod(
    helm: Helm, make: Start, braze: Simulator
) -> None:
    """The exporter follows the symbolic link that Kubernetes replaces in the mount."""
    pod = make(polling(braze), key=braze.api_key)
    other = polling(braze)
    del other["config"]["workspaces"][0]["campaigns"][1:]
    text = helm.render(other).config.replace(KEYS, str(pod.path(KEYS)))
    (flag,) = (each for each in pod.arguments() if each.startswith("--config.file="))
    mounted = Path(flag.partition("=")[2])
    with pod.running() as exporter:
        until(lambda: is_ready(exporter))

        (mounted.parent / "..new").write_text(text)
        (mounted.parent / "..link").symlink_to("..new")
        (mounted.parent / "..link").rename(mounted)

        def campaigns() -> int:
            _, page = http_get(f"{exporter.url}/metrics")
            return len(parse(page)["braze_campaign_info"])

        until(lambda: campaigns() == 1)
        exporter.wait_for_line("event=config.reloaded")
