"""Probes, monitors, TLS and the network policy."""

from __future__ import annotations

import pytest

from tests.chart.chart_values import config, schema_errors
from tests.chart.helm import Document, Helm, Rendered

PATHS: tuple[tuple[Document, str], ...] = (
    ({}, "/metrics"),
    ({"routePrefix": "/braze"}, "/braze/metrics"),
    ({"routePrefix": "/braze/"}, "/braze/metrics"),
    ({"routePrefix": "/"}, "/metrics"),
    ({"externalUrl": "https://example.com/a/b/"}, "/a/b/metrics"),
    ({"externalUrl": "https://example.com"}, "/metrics"),
    ({"externalUrl": "https://example.com/a", "routePrefix": "/"}, "/metrics"),
    ({"telemetryPath": "/figures", "routePrefix": "/x"}, "/x/figures"),
)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_probes_and_monitors_use_the_configured_paths(helm: Helm, scheme: str) -> None:
    """Prefix and scheme are the same for probes, monitors and the notes."""
    values: Document = {
        "serviceMonitor": {"enabled": True},
        "podMonitor": {"enabled": True},
        "scrapeConfig": {"enabled": True},
    }
    if scheme == "https":
        values["tls"] = {"secretName": "braze-tls", "caKey": "ca.crt"}

    for web, path in PATHS:
        rendered = helm.render(values | {"web": web}, has_schema=False)

        prefix = path.rpartition("/")[0]
        probes = {
            name: rendered.exporter[f"{name}Probe"]["httpGet"]
            for name in ("startup", "liveness", "readiness")
        }
        assert {each["scheme"] for each in probes.values()} == {scheme.upper()}
        assert {name: each["path"] for name, each in probes.items()} == {
            "startup": f"{prefix}/-/healthy",
            "liveness": f"{prefix}/-/healthy",
            "readiness": f"{prefix}/-/ready",
        }
        (endpoint,) = rendered.one("ServiceMonitor")["spec"]["endpoints"]
        (of_pod,) = rendered.one("PodMonitor")["spec"]["podMetricsEndpoints"]
        for each in (endpoint, of_pod):
            assert (each["path"], each["scheme"]) == (path, scheme)
        scrape = rendered.one("ScrapeConfig")["spec"]
        assert (scrape["metricsPath"], scrape["scheme"]) == (path, scheme.upper())
        assert f"{scheme}://127.0.0.1:10417{path} " in rendered.notes


@pytest.mark.parametrize(
    "values",
    [
        {
            "tls": {"secretName": "braze-tls"},
            "webConfig": {
                "tls_server_config": {
                    "client_auth_type": "RequireAndVerifyClientCert",
                    "client_ca_file": "/etc/braze-exporter/tls/ca.crt",
                }
            },
        },
        {
            "existingWebConfig": {
                "secret": "web",
                "tls": True,
                "clientCertificates": True,
            }
        },
    ],
)
def test_probes_show_a_certificate_where_clients_need_one(
    helm: Helm, values: Document
) -> None:
    """All probes run `healthcheck` with the flags of the exporter.

    That of readiness passes `--ready`.
    """
    rendered = helm.render(
        values
        | {
            "web": {"routePrefix": "/x", "port": 9000},
            "healthcheckCertificate": {"secretName": "client"},
        }
    )

    for name in ("startup", "liveness", "readiness"):
        probe = rendered.exporter[f"{name}Probe"]
        assert "httpGet" not in probe
        assert probe["exec"]["command"] == [
            "braze-exporter",
            "healthcheck",
            "--ready" if name == "readiness" else "--no-ready",
            "--web.listen-address=:9000",
            "--web.route-prefix=/x",
            "--web.config.file=/etc/braze-exporter/web/web-config.yaml",
            "--client.cert-file=/etc/braze-exporter/client/tls.crt",
            "--client.key-file=/etc/braze-exporter/client/tls.key",
        ]


def test_optional_client_certificates_change_no_probe(helm: Helm) -> None:
    """With `VerifyClientCertIfGiven` probes are HTTP requests without a certificate."""
    rendered = helm.render(
        {
            "tls": {"secretName": "braze-tls"},
            "webConfig": {
                "tls_server_config": {
                    "client_auth_type": "VerifyClientCertIfGiven",
                    "client_ca_file": "/etc/braze-exporter/tls/ca.crt",
                }
            },
        }
    )

    assert rendered.exporter["livenessProbe"]["httpGet"]["scheme"] == "HTTPS"


def test_the_test_pod_has_the_files_of_the_web_configuration(helm: Helm) -> None:
    """Extra volumes are mounted there too if there is a web configuration."""
    values: Document = {
        "extraVolumes": [
            {"name": "papers", "secret": {"secretName": "papers"}},
            {"name": "beside", "emptyDir": {}},
        ],
        "extraVolumeMounts": [{"name": "papers", "mountPath": "/papers"}],
    }
    tls = {"cert_file": "/papers/tls.crt", "key_file": "/papers/tls.key"}

    with_web = helm.render(values | {"webConfig": {"tls_server_config": tls}})
    without = helm.render(values)

    (test,) = (each["spec"] for each in with_web.all("Pod"))
    (mounts,) = (each["volumeMounts"] for each in test["containers"])
    assert values["extraVolumeMounts"][0] in mounts
    assert values["extraVolumes"][0] in test["volumes"]
    assert values["extraVolumes"][1] not in test["volumes"]
    (test,) = (each["spec"] for each in without.all("Pod"))
    assert [each["name"] for each in test["volumes"]] == ["tmp"]


def test_monitors_verify_the_exporter_by_its_authority(helm: Helm) -> None:
    """With `tls.caKey` monitors verify the certificate and the Service's name in it."""
    tls = {"secretName": "braze-tls", "caKey": "ca.crt"}

    rendered = helm.render({"tls": tls, "serviceMonitor": {"enabled": True}})

    (endpoint,) = rendered.one("ServiceMonitor")["spec"]["endpoints"]
    assert endpoint["tlsConfig"] == {
        "ca": {"secret": {"name": "braze-tls", "key": "ca.crt"}},
        "serverName": "demo-braze-exporter.prod.svc",
    }


def open_ports(rendered: Rendered) -> set[int]:
    """Return the ports that the network policy opens beside those of DNS."""
    dns, braze = rendered.one("NetworkPolicy")["spec"]["egress"]
    assert {each["port"] for each in dns["ports"]} == {53}
    return {each["port"] for each in braze["ports"]}


def test_the_network_policy_opens_the_ports_of_braze(helm: Helm) -> None:
    """Without `egress.ports` those of the configured endpoints and proxies are open."""
    for workspaces, ports in (
        ([{}], {443}),
        ([{"endpoint": "https://braze.example.com:8443"}], {8443}),
        ([{"proxy": "http://user@proxy:3128"}], {3128}),
        ([{"proxy": "http://proxy"}], {80}),
        ([{}, {"proxy": "http://[2001:db8::1]:8080"}], {443, 8080}),
        ([{"endpoint": "HTTPS://rest.iad-01.braze.com"}], {443}),
        ([{"endpoint": "HTTP://braze.example.com", "allow_http": True}], {80}),
        ([{"proxy": "HTTPS://proxy"}], {443}),
        ([{"proxy": "Http://proxy"}], {80}),
    ):
        values = config()
        (first,) = values["config"]["workspaces"]
        values["config"]["workspaces"] = [
            first | {"name": f"w{number}"} | changes
            for number, changes in enumerate(workspaces)
        ]
        values["networkPolicy"] = {"enabled": True}

        assert schema_errors(values) == []
        found = open_ports(helm.render(values, has_schema=False))
        assert found == ports, workspaces


def test_the_network_policy_opens_the_ports_of_proxies(helm: Helm) -> None:
    """A proxy in `extraEnv` applies to workspaces without their own proxy."""
    (first,) = config()["config"]["workspaces"]
    plain = {"name": "b", "endpoint": "http://braze.example.com", "allow_http": True}
    own = {"name": "c", "proxy": "http://proxy:8080"}
    values = {
        "config": {"workspaces": [first, first | plain, first | own]},
        "networkPolicy": {"enabled": True},
    }
    for environment, ports in (
        ({"HTTPS_PROXY": "http://proxy:3128"}, {3128, 8080, 80}),
        ({"https_proxy": "HTTP://u:p@proxy:3128/"}, {3128, 8080, 80}),
        ({"HTTP_PROXY": "proxy:3128"}, {443, 8080, 3128}),
        ({"HTTP_PROXY": "proxy"}, {443, 8080, 80}),
        ({"ALL_PROXY": "https://proxy"}, {443, 8080}),
        ({"all_proxy": "http://a:1", "HTTPS_PROXY": "http://b:2"}, {1, 2, 8080}),
        ({"HTTPS_PROXY": "http://a:1", "https_proxy": ""}, {443, 8080, 80}),
        ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": ".c"}, {1, 443, 8080, 80}),
        ({"NO_PROXY": "*"}, {443, 8080, 80}),
    ):
        named = [{"name": name, "value": value} for name, value in environment.items()]

        found = open_ports(helm.render(values | {"extraEnv": named}, has_schema=False))

        assert found == ports, environment


def test_the_network_policy_of_an_existing_configuration(helm: Helm) -> None:
    """Port 443 is open, or the port of the proxy in `extraEnv`."""
    values: Document = {
        "existingConfig": {"secret": "config"},
        "networkPolicy": {"enabled": True},
    }
    proxied = {"extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}]}

    found = [
        helm.render(each).one("NetworkPolicy")["spec"]["egress"][1]["ports"]
        for each in (values, values | proxied)
    ]

    assert [[each["port"] for each in ports] for ports in found] == [[443], [3128]]


def test_the_network_policy_allows_helm_test(helm: Helm) -> None:
    """A bound on scraping peers leaves the pod of `helm test` its access."""
    peer = {"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}

    rendered = helm.render(
        {"networkPolicy": {"enabled": True, "ingress": {"from": [peer]}}}
    )

    allowed = rendered.one("NetworkPolicy")["spec"]["ingress"][0]["from"]
    assert allowed[0] == peer
    (test,) = rendered.all("Pod")
    labels = allowed[1]["podSelector"]["matchLabels"]
    assert labels.items() <= test["metadata"]["labels"].items()


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        ({}, {"maxUnavailable": 1}),
        ({"maxUnavailable": 0}, {"maxUnavailable": 0}),
        ({"maxUnavailable": "50%"}, {"maxUnavailable": "50%"}),
        ({"minAvailable": 1}, {"minAvailable": 1}),
        ({"minAvailable": 0, "maxUnavailable": None}, {"minAvailable": 0}),
        ({"minAvailable": None, "maxUnavailable": None}, {"maxUnavailable": 1}),
    ],
)
def test_a_budget_has_one_bound(
    helm: Helm, budget: Document, expected: Document
) -> None:
    """Of two bounds `minAvailable` wins; zero counts as set."""
    rendered = helm.render({"podDisruptionBudget": {"enabled": True} | budget})

    spec = rendered.one("PodDisruptionBudget")["spec"]
    del spec["selector"]
    assert spec == expected
