"""Probes, monitors, TLS and the network policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from tests.chart.chart_values import config, schema_errors
from tests.chart.helm import Document, Helm

TLS_SERVER = {
    "client_auth_type": "RequireAndVerifyClientCert",
    "client_ca_file": "/etc/braze-exporter/tls/ca.crt",
}


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    ("web", "path"),
    [
        ({}, "/metrics"),
        ({"routePrefix": "/braze"}, "/braze/metrics"),
        ({"routePrefix": "/braze/"}, "/braze/metrics"),
        ({"routePrefix": "/"}, "/metrics"),
        ({"externalUrl": "https://example.com/a/b/"}, "/a/b/metrics"),
        ({"externalUrl": "https://example.com"}, "/metrics"),
        ({"externalUrl": "https://example.com/a", "routePrefix": "/"}, "/metrics"),
        ({"telemetryPath": "/figures", "routePrefix": "/x"}, "/x/figures"),
    ],
)
def test_probes_and_monitors_use_the_configured_paths(
    helm: Helm, scheme: str, web: Document, path: str
) -> None:
    """Prefix and scheme are the same for probes, monitors and the notes."""
    monitors = ("serviceMonitor", "podMonitor", "scrapeConfig")
    values: Document = {"web": web} | {key: {"enabled": True} for key in monitors}
    if scheme == "https":
        values["tls"] = {"secretName": "braze-tls", "caKey": "ca.crt"}

    rendered = helm.render(values, has_schema=False)

    prefix = path.rpartition("/")[0]
    for name, page in (
        ("startup", "healthy"),
        ("liveness", "healthy"),
        ("readiness", "ready"),
    ):
        probe = rendered.exporter[f"{name}Probe"]["httpGet"]
        assert probe["scheme"] == scheme.upper()
        assert probe["path"] == f"{prefix}/-/{page}"
    for kind in ("ServiceMonitor", "PodMonitor"):
        endpoint = rendered.scraped(kind)
        assert (endpoint["path"], endpoint["scheme"]) == (path, scheme)
    scrape = rendered.one("ScrapeConfig")["spec"]
    assert (scrape["metricsPath"], scrape["scheme"]) == (path, scheme.upper())
    assert f"{scheme}://127.0.0.1:10417{path} " in rendered.notes


@pytest.mark.parametrize(
    "values",
    [
        {
            "tls": {"secretName": "braze-tls"},
            "webConfig": {"tls_server_config": TLS_SERVER},
        },
        {
            "existingWebConfig": {
                "secret": "web",
                "tls": True,
                "clientCertificates": True,
            }
        },
    ],
    ids=["webConfig", "existingWebConfig"],
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


MIXED: tuple[Document, ...] = (
    {},
    {"endpoint": "http://braze.example.com", "allow_http": True},
    {"proxy": "http://proxy:8080"},
)
"""Workspaces: over https, over http, and with their own proxy."""


@pytest.mark.parametrize(
    ("workspaces", "environment", "ports"),
    [
        ([{}], {}, {443}),
        ([{"endpoint": "https://braze.example.com:8443"}], {}, {8443}),
        ([{"proxy": "http://user@proxy:3128"}], {}, {3128}),
        ([{"proxy": "http://proxy"}], {}, {80}),
        ([{}, {"proxy": "http://[2001:db8::1]:8080"}], {}, {443, 8080}),
        ([{"endpoint": "HTTPS://rest.iad-01.braze.com"}], {}, {443}),
        ([{"endpoint": "HTTP://braze.example.com", "allow_http": True}], {}, {80}),
        ([{"proxy": "HTTPS://proxy"}], {}, {443}),
        ([{"proxy": "Http://proxy"}], {}, {80}),
        (MIXED, {"HTTPS_PROXY": "http://proxy:3128"}, {3128, 8080, 80}),
        (MIXED, {"https_proxy": "HTTP://u:p@proxy:3128/"}, {3128, 8080, 80}),
        (MIXED, {"HTTP_PROXY": "proxy:3128"}, {443, 8080, 3128}),
        (MIXED, {"HTTP_PROXY": "proxy"}, {443, 8080, 80}),
        (MIXED, {"ALL_PROXY": "https://proxy"}, {443, 8080}),
        (MIXED, {"all_proxy": "http://a:1", "HTTPS_PROXY": "http://b:2"}, {1, 2, 8080}),
        (MIXED, {"HTTPS_PROXY": "http://a:1", "https_proxy": ""}, {443, 8080, 80}),
        (MIXED, {"HTTPS_PROXY": "http://a:1", "NO_PROXY": ".c"}, {1, 443, 8080, 80}),
        (MIXED, {"NO_PROXY": "*"}, {443, 8080, 80}),
        ([], {}, {443}),
        ([], {"HTTPS_PROXY": "http://proxy:3128"}, {3128}),
    ],
)
def test_the_network_policy_opens_the_ports_of_braze_and_proxies(
    helm: Helm,
    workspaces: Sequence[Document],
    environment: Mapping[str, str],
    ports: set[int],
) -> None:
    """Proxies are in the configuration, or in `extraEnv` for all other workspaces.

    The endpoints of an existing configuration are unknown: port 443 is open for them.
    """
    values: Document = {"existingConfig": {"secret": "config"}}
    if workspaces:
        values = config()
        (first,) = values["config"]["workspaces"]
        values["config"]["workspaces"] = [
            first | {"name": name} | changes
            for name, changes in zip("abc", workspaces, strict=False)
        ]
    env = [{"name": name, "value": value} for name, value in environment.items()]
    values |= {"networkPolicy": {"enabled": True}, "extraEnv": env}

    rendered = helm.render(values, has_schema=False)

    assert schema_errors(values) == []
    dns, braze = rendered.one("NetworkPolicy")["spec"]["egress"]
    assert {each["port"] for each in dns["ports"]} == {53}
    assert {each["port"] for each in braze["ports"]} == ports
