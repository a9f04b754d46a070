"""Values that contradict each other are errors with a way out."""

from __future__ import annotations

from typing import Any

import pytest
from exporter.commands.flags import OF_DAEMON

from tests.chart.chart_values import config
from tests.chart.helm import Document, Helm, Refused
from tests.support.certificates import HASH

SECRET = "7f3e9a52-0000-4d1b-8a6b-feedfacebeef"
KEY = {"secretName": "braze", "key": "api-key", "file": "one"}
CONFIG = config()["config"]
MONITORS = ("serviceMonitor", "podMonitor", "scrapeConfig")
BASIC_AUTH = {
    "username": {"name": "scrape", "key": "username"},
    "password": {"name": "scrape", "key": "password"},
}
SHOWN = {
    "cert": {"secret": {"name": "client", "key": "tls.crt"}},
    "keySecret": {"name": "client", "key": "tls.key"},
}
TLS = {"tls": {"secretName": "braze-tls", "caKey": "ca.crt"}}
NO_CA = {"tls": {"secretName": "braze-tls"}}


def tls_server(**options: object) -> Document:
    """Return values of a server that takes these options beside its certificate."""
    return TLS | {"webConfig": {"tls_server_config": options}}


def clients(**options: object) -> Document:
    """Return values of a server whose clients have to show a certificate."""
    return tls_server(
        client_auth_type="RequireAndVerifyClientCert",
        client_ca_file="/etc/braze-exporter/tls/ca.crt",
        **options,
    )


NAMED = clients(client_allowed_sans=["prometheus.example.com"])
NO_PROBE = {
    name: {"enabled": False}
    for name in ("startupProbe", "livenessProbe", "readinessProbe", "helmTest")
}


@pytest.mark.parametrize("flag", OF_DAEMON, ids=lambda flag: flag.name)
def test_flags_of_other_values_are_refused(helm: Helm, flag: Any) -> None:
    """A flag that a value sets is refused in `extraArgs` and `extraEnv`."""
    if flag.name == "config.check":
        return

    forms = [[f"--{flag.name}=x"], [f"--{flag.name}", "x"]]
    if flag.is_switch:
        forms.append([f"--no-{flag.name}"])

    for arguments in forms:
        with pytest.raises(
            Refused, match=rf"extraArgs: the chart sets {arguments[0].split('=')[0]}"
        ):
            helm.render({"extraArgs": arguments}, has_schema=False)
    with pytest.raises(Refused, match=f"extraEnv: the chart sets {flag.variable}"):
        helm.render(
            {"extraEnv": [{"name": flag.variable, "value": "x"}]}, has_schema=False
        )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            config(proxy="http://user:pa55word@proxy:3128"),
            r"workspaces\[0\].proxy contains a password, .* expected configInSecret",
        ),
        (
            config(api_key_env="BRAZE_API_KEY")
            | {"extraEnv": [{"name": "BRAZE_API_KEY", "value": SECRET}]},
            "extraEnv: .* BRAZE_API_KEY .* expected valueFrom.secretKeyRef",
        ),
    ],
)
def test_a_secret_in_a_readable_object_is_refused(
    helm: Helm, values: Document, message: str
) -> None:
    """A ConfigMap or the pod's manifest would show it; no message repeats it."""
    with pytest.raises(Refused, match=message) as refused:
        helm.render(values)

    assert "pa55word" not in str(refused.value)
    assert SECRET not in str(refused.value)


def test_values_without_a_secret_are_rendered(helm: Helm) -> None:
    """A password in a Secret, a proxy without one, a variable made of another."""
    key = "BRAZE_API_KEY"
    for values in (
        config(proxy="http://user:pa55word@proxy:3128") | {"configInSecret": True},
        config(proxy="http://user@proxy:3128"),
        config(proxy="http://proxy:3128"),
        config(api_key_env=key) | {"extraEnv": [{"name": key, "value": "$(OTHER)"}]},
        config(api_key_env=key) | {"extraEnv": [{"name": "OTHER", "value": SECRET}]},
    ):
        assert helm.render(values).documents


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"demo": {"enabled": False}}, "there is no configuration; expected config"),
        ({"web": {"port": 10418}}, "web.port is 10418, .* expected another port"),
        ({"web": {"telemetryPath": "/config"}}, "/web/telemetryPath"),
        ({"config": {"windows": ["7d"]}}, "config has no workspaces"),
        (
            {"config": CONFIG, "existingConfig": {"secret": "x"}},
            "config and existingConfig are both set",
        ),
        ({"existingConfig": {"secret": "x", "configMap": "y"}}, "one of the two"),
        ({"existingWebConfig": {"secret": "x", "configMap": "y"}}, "one of the two"),
        (
            {
                "webConfig": {"basic_auth_users": {"a": HASH}},
                "existingWebConfig": {"secret": "x"},
            },
            "webConfig and existingWebConfig are both set",
        ),
        (
            {"webConfig": {"tls_server_config": {"min_version": "TLS13"}}},
            "has no certificate; expected tls.secretName",
        ),
        (
            {"persistence": {"enabled": True}, "state": {"enabled": False}},
            "expected both or neither",
        ),
        (
            {"persistence": {"existingClaim": "kept"}},
            "persistence.existingClaim .* expected persistence.enabled",
        ),
        (
            {"service": {"nodePort": 30417}},
            "service.nodePort .* expected service.type NodePort or LoadBalancer",
        ),
        (
            {"existingWebConfig": {"tls": True}},
            "existingWebConfig.tls .* expected existingWebConfig.secret or configMap",
        ),
        (
            {"existingWebConfig": {"secret": "web", "clientCertificates": True}},
            "clientCertificates .* expected existingWebConfig.tls",
        ),
        (
            tls_server(cert="a", cert_file="b"),
            "cert and cert_file are both set; expected one of the two",
        ),
        (
            tls_server(client_auth_type="RequireAndVerifyClientCert"),
            "no CA to verify clients; expected client_ca_file",
        ),
        (
            tls_server(client_ca_file="/a"),
            "client_ca_file is unused, .* expected client_auth_type: Require",
        ),
        (
            tls_server(
                client_auth_type="VerifyClientCertIfGiven",
                client_ca_file="/a",
                client_allowed_sans=["b"],
            ),
            "client_allowed_sans is unused .* expected client_auth_type: Require",
        ),
        (
            tls_server(min_version="TLS13", max_version="TLS12"),
            "max_version is below min_version",
        ),
        (NAMED, "client_allowed_sans .* expected healthcheckCertificate.secretName"),
        (
            NAMED | NO_PROBE | {"helmTest": {"enabled": True}},
            "client_allowed_sans .* expected healthcheckCertificate.secretName",
        ),
        (
            {"webConfig": {"rate_limit": {"interval": "1s"}}},
            "rate_limit: without burst .* expected a burst",
        ),
        (
            {"dnsPolicy": "None"},
            "dnsPolicy is None, .* expected dnsConfig.nameservers",
        ),
        (
            {"service": {"type": "NodePort", "clusterIP": "None"}},
            "service.type is NodePort, .* expected type ClusterIP",
        ),
        (
            {"service": {"type": "LoadBalancer", "clusterIP": "None"}},
            "service.type is LoadBalancer, .* expected type ClusterIP",
        ),
        (
            {
                "service": {
                    "ipFamilyPolicy": "SingleStack",
                    "ipFamilies": ["IPv4", "IPv6"],
                }
            },
            "service.ipFamilies has two .* expected .* PreferDualStack",
        ),
        (
            {"service": {"ipFamilies": ["IPv4", "IPv6"]}},
            "service.ipFamilies has two .* expected .* PreferDualStack",
        ),
        (
            {"fullnameOverride": "7-braze"},
            "7-braze begins with a digit, .* expected fullnameOverride",
        ),
        ({"image": {"digest": f"sha256:{'a' * 63}"}}, "/image/digest"),
        ({"apiKeys": [KEY | {"file": "..data"}]}, "/apiKeys/0/file"),
        ({"tls": TLS["tls"] | {"certKey": ".."}}, "/tls/certKey"),
        ({"existingConfig": {"secret": "a", "key": "."}}, "/existingConfig/key"),
        ({"persistence": {"enabled": True, "size": ""}}, "/persistence/size"),
        ({"persistence": {"enabled": True, "size": "0Gi"}}, "/persistence/size"),
        ({"service": {"clusterIP": "none"}}, "/service/clusterIP"),
        (
            {"httpRoute": {"enabled": True}},
            "httpRoute.parentRefs is empty; expected the gateway",
        ),
        ({"state": {"path": "/tmp"}}, "state.path: the chart mounts /tmp"),  # noqa: S108 - the chart's own
        (
            {"state": {"path": "/etc/braze-exporter"}},
            "state.path: the chart mounts /etc/braze-exporter/c",
        ),
        (
            {"state": {"path": "/etc/braze-exporter/keys/state"}},
            "state.path: the chart mounts /etc/braze-exporter/keys",
        ),
        (
            {"extraVolumes": [{"name": "tmp", "emptyDir": {}}]},
            "extraVolumes: the name tmp is used already; expected another",
        ),
        (
            {"extraVolumes": [{"name": "client", "emptyDir": {}}]},
            "extraVolumes: the name client is used",
        ),
        (
            {"extraVolumes": [{"name": "a", "emptyDir": {}}] * 2},
            "extraVolumes: the name a is used",
        ),
        (
            {"extraContainers": [{"name": "exporter", "image": "a"}]},
            "extraContainers: the name exporter is used",
        ),
        (
            {
                "extraInitContainers": [{"name": "a", "image": "a"}],
                "extraContainers": [{"name": "a", "image": "a"}],
            },
            "the name a is used",
        ),
        (
            {
                "extraContainers": [
                    {"name": "a", "ports": [{"name": "metrics", "containerPort": 1}]}
                ]
            },
            "extraContainers: the port metrics of a .* expected another",
        ),
        (
            {"extraContainers": [{"name": "a", "ports": [{"containerPort": 10417}]}]},
            "extraContainers: the port 10417 of a .* expected another",
        ),
        (
            {"extraVolumeMounts": [{"name": "a", "mountPath": "/tmp/"}]},  # noqa: S108 - the chart's own
            "extraVolumeMounts: /tmp/: the chart mounts /tmp",
        ),
        (
            {"extraVolumeMounts": [{"name": "a", "mountPath": "/etc"}]},
            "extraVolumeMounts: /etc: the chart mounts /etc/braze-exporter/c",
        ),
        (
            {
                "extraVolumeMounts": [
                    {"name": "a", "mountPath": "/etc/braze-exporter/tls/more"}
                ]
            },
            "extraVolumeMounts: .* the chart mounts /etc/braze-exporter/tls",
        ),
        (
            {
                "state": {"path": "/state"},
                "extraVolumeMounts": [{"name": "a", "mountPath": "/state"}],
            },
            "extraVolumeMounts: /state: the chart mounts /state",
        ),
        (
            {
                "networkPolicy": {"enabled": True},
                "extraEnv": [
                    {
                        "name": "https_proxy",
                        "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}},
                    }
                ],
            },
            "port of https_proxy, .* expected networkPolicy.egress.ports",
        ),
        (
            {
                "prometheusRule": {
                    "enabled": True,
                    "thresholds": {"BrazeNoSuchAlert": {"ratio": 1}},
                }
            },
            "unknown threshold BrazeNoSuchAlert.ratio; expected one of Braze",
        ),
        (
            {
                "prometheusRule": {
                    "enabled": True,
                    "thresholds": {"BrazeEmailBounceRateHigh": {"ratio": 0.1}},
                }
            },
            "unknown threshold BrazeEmailBounceRateHigh.ratio; expected one of",
        ),
        (
            {"prometheusRule": {"enabled": True, "disabledAlerts": ["Nothing"]}},
            "unknown alert Nothing; expected one of Braze",
        ),
    ],
)
def test_contradictions_are_errors(helm: Helm, values: Document, message: str) -> None:
    """The message names the values and what to set instead."""
    with pytest.raises(Refused, match=message):
        helm.render(values, has_schema=message.startswith("/"))


@pytest.mark.parametrize("monitor", MONITORS)
@pytest.mark.parametrize(
    ("values", "settings", "message"),
    [
        (TLS, {"namespace": "monitoring"}, "namespace .* expected .*tlsConfig"),
        (NO_CA, {}, "no CA to verify .* expected tls.caKey, or .*tlsConfig"),
        (
            {"existingWebConfig": {"secret": "web", "tls": True}},
            {},
            "no CA to verify .* expected .*tlsConfig",
        ),
        (clients(), {}, "requires a client certificate; expected cert and keySecret"),
        (
            clients(),
            {"tlsConfig": {"insecureSkipVerify": True, "cert": SHOWN["cert"]}},
            "requires a client certificate; expected cert and keySecret",
        ),
        (
            {"webConfig": {"basic_auth_users": {"a": HASH}}},
            {},
            "requires a password; expected .*basicAuth",
        ),
        ({}, {"scrapeTimeout": "61s"}, "scrapeTimeout is longer than .*interval"),
        ({}, {"interval": "1m", "scrapeTimeout": "1m1ms"}, "scrapeTimeout is longer"),
    ],
)
def test_a_monitor_that_cannot_scrape_is_refused(
    helm: Helm, monitor: str, values: Document, settings: Document, message: str
) -> None:
    """Its target would be down; the message names the missing part."""
    with pytest.raises(Refused, match=rf"{monitor}\b.*{message}"):
        helm.render(values | {monitor: settings | {"enabled": True}}, has_schema=False)


@pytest.mark.parametrize("monitor", MONITORS)
@pytest.mark.parametrize(
    ("values", "settings"),
    [
        (TLS, {"namespace": "prod"}),
        (TLS, {"namespace": "monitoring", "tlsConfig": {"serverName": "a"}}),
        (TLS | {"namespaceOverride": "marketing"}, {"namespace": "marketing"}),
        (NO_CA, {"tlsConfig": {"insecureSkipVerify": True}}),
        (clients(), {"tlsConfig": SHOWN}),
        (
            {"webConfig": {"basic_auth_users": {"a": HASH}}},
            {"basicAuth": BASIC_AUTH, "namespace": "monitoring"},
        ),
        ({}, {"interval": "1h", "scrapeTimeout": "1m30s"}),
        ({}, {"interval": "", "scrapeTimeout": "2m"}),
    ],
)
def test_a_monitor_that_can_scrape_is_rendered(
    helm: Helm, monitor: str, values: Document, settings: Document
) -> None:
    """With everything that the web configuration requires, in any namespace."""
    rendered = helm.render(
        values | {monitor: settings | {"enabled": True}}, has_schema=False
    )

    (made,) = rendered.all(f"{monitor[0].upper()}{monitor[1:]}")
    namespace = settings.get("namespace") or "prod"
    assert made["metadata"]["namespace"] == namespace


def test_a_service_monitor_may_use_certificate_files(helm: Helm) -> None:
    """The files are in the file system of Prometheus."""
    files = {"caFile": "/ca", "certFile": "/cert", "keyFile": "/key"}

    rendered = helm.render(
        clients() | {"serviceMonitor": {"enabled": True, "tlsConfig": files}}
    )

    (endpoint,) = rendered.one("ServiceMonitor")["spec"]["endpoints"]
    assert endpoint["tlsConfig"] == files


@pytest.mark.parametrize(
    "values",
    [
        NAMED | {"healthcheckCertificate": {"secretName": "probe"}},
        NAMED | NO_PROBE,
        clients(),
        {"service": {"clusterIP": "None"}},
        {"service": {"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv6"]}},
        {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["192.0.2.53"]}},
        {"state": {"path": "/tmp/state"}},  # noqa: S108 - the chart's own
        {"state": {"enabled": False, "path": "/tmp"}},  # noqa: S108 - the chart's own
        {"extraVolumeMounts": [{"name": "a", "mountPath": "/tmp/a"}]},  # noqa: S108 - the chart's own
        {"extraVolumeMounts": [{"name": "a", "mountPath": "/etc/braze-exporter/more"}]},
        {"extraContainers": [{"name": "a", "ports": [{"containerPort": 80}]}]},
        {"webConfig": {"rate_limit": {"interval": "0s"}}},
    ],
)
def test_consistent_values_are_rendered(helm: Helm, values: Document) -> None:
    """No working combination is refused."""
    assert helm.render(values).documents
