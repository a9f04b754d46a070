"""Values that contradict each other are errors with a way out."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from exporter.commands.flags import OF_DAEMON

from tests.chart.helm import Document, Helm, Refused
from tests.paths import ROOT
from tests.support.certificates import HASH

SECRETS = ("7f3e9a52-0000-4d1b-8a6b-feedfacebeef", "pa55word")
MONITORS = ("serviceMonitor", "podMonitor", "scrapeConfig")
COMBINATIONS = yaml.safe_load((ROOT / "tests/chart/combinations.yaml").read_text())
PASSWORD = {"webConfig": {"basic_auth_users": {"a": HASH}}}
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
CLIENTS = TLS | {"webConfig": {"tls_server_config": COMBINATIONS["parts"]["required"]}}
"""A server whose clients have to show a certificate."""


@pytest.mark.parametrize(
    "case", COMBINATIONS["refused"], ids=lambda case: case["error"]
)
def test_contradictions_are_errors(helm: Helm, case: Document) -> None:
    """The message names the values and what to set instead, and repeats no secret."""
    message: str = case["error"]

    with pytest.raises(Refused, match=message) as refused:
        helm.render(case["values"], has_schema=message.startswith("/"))

    assert not [text for text in SECRETS if text in str(refused.value)]


@pytest.mark.parametrize("values", COMBINATIONS["accepted"], ids=str)
def test_consistent_values_are_rendered(helm: Helm, values: Document) -> None:
    assert helm.render(values).documents


@pytest.mark.parametrize(
    "flag",
    [flag for flag in OF_DAEMON if flag.name != "config.check"],
    ids=lambda flag: flag.name,
)
def test_flags_of_other_values_are_refused(helm: Helm, flag: Any) -> None:
    forms = [[f"--{flag.name}=x"], [f"--{flag.name}", "x"]]
    if flag.is_switch:
        forms.append([f"--no-{flag.name}"])
    cases: list[tuple[Document, str]] = [
        ({"extraArgs": form}, f"extraArgs: the chart sets {form[0].partition('=')[0]}")
        for form in forms
    ]
    variable = [{"name": flag.variable, "value": "x"}]
    cases.append(({"extraEnv": variable}, f"extraEnv: the chart sets {flag.variable}"))

    for values, message in cases:
        with pytest.raises(Refused, match=message):
            helm.render(values, has_schema=False)


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
        (CLIENTS, {}, "requires a client certificate; expected cert and keySecret"),
        (
            CLIENTS,
            {"tlsConfig": {"insecureSkipVerify": True, "cert": SHOWN["cert"]}},
            "requires a client certificate; expected cert and keySecret",
        ),
        (PASSWORD, {}, "requires a password; expected .*basicAuth"),
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
        (CLIENTS, {"tlsConfig": SHOWN}),
        (PASSWORD, {"basicAuth": BASIC_AUTH, "namespace": "monitoring"}),
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
