"""Refused TLS clients, over sockets: the alert that they get, and the log line."""

from __future__ import annotations

import logging
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from exporter.system.api_key import Secret
from exporter.web.tls import ClientAuth, Pem, Tls, server_context

from tests.support.certificates import Certificates
from tests.support.server_in_thread import GET, ServerInThread, serving

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
CA_ADVICE = "a certificate for clients that is signed by an authority of client_ca_file"
YEAR_2019, YEAR_2020 = (datetime(year, 1, 1, tzinfo=UTC) for year in (2019, 2020))
REFUSALS = {
    "none": ("no client certificate", "set cert_file and key_file"),
    "other authority": ("unable to get local issuer certificate", CA_ADVICE),
    "expired": ("certificate has expired", "renew the certificate"),
    "other name": ("no name that client_allowed_sans contains", "add one of its names"),
    "distrusts": ("refuses the exporter's certificate", "add the authority"),
}


@pytest.fixture(name="certificates", scope="module")
def _certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "exporter")


def requiring(certificates: Certificates, *sans: str) -> ssl.SSLContext:
    def pem(option: str, text: bytes) -> Pem:
        return Pem(option, None, Secret(text.decode()))

    context = server_context(
        Tls(
            cert=pem("cert", certificates.cert),
            key=pem("key", certificates.key),
            client_ca=pem("client_ca", certificates.ca),
            client_auth=ClientAuth.REQUIRED,
            allowed_sans=frozenset(sans),
        )
    )
    assert isinstance(context, ssl.SSLContext)
    return context


def client_of(kind: str, certificates: Certificates, directory: Path) -> ssl.SSLContext:
    made = certificates.client_context()
    authority = certificates.authority
    if kind == "other authority":
        authority = Certificates(directory).authority
    if kind == "expired":
        expired = authority.issue_cert(
            "prometheus", not_before=YEAR_2019, not_after=YEAR_2020
        )
        expired.configure_cert(made)
    elif kind == "other name":
        authority.issue_cert("grafana").configure_cert(made)
    elif kind == "distrusts":
        return ssl.create_default_context()
    elif kind != "none":
        authority.issue_cert("prometheus").configure_cert(made)
    return made


def fields_of(record: logging.LogRecord) -> dict[str, str]:
    return dict(vars(record)["fields"])


def refuse(server: ServerInThread, context: ssl.SSLContext) -> str:
    """Return the error that a client gets that sends a request at once."""
    try:
        client = server.connect_tls(context)
        client.send(GET)
        client.receive()
    except ssl.SSLError as error:
        return str(error)
    raise AssertionError


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", REFUSALS)
def test_a_refused_client_gets_an_alert_and_the_log_has_the_reason(
    kind: str,
    version: ssl.TLSVersion,
    certificates: Certificates,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server_side = requiring(certificates, "prometheus")
    context = client_of(kind, certificates, tmp_path)
    context.minimum_version = context.maximum_version = version

    with serving(ssl_context=lambda: server_side) as server:
        text = refuse(server, context)
        valid = client_of("valid", certificates, tmp_path)
        assert server.connect_tls(valid).get().status == 200

    assert "alert" in text or kind == "distrusts"
    [record] = caplog.records
    reason, advice = REFUSALS[kind]
    assert (record.message, record.levelname) == ("web.handshake_failed", "WARNING")
    assert fields_of(record)["client"] == "127.0.0.1"
    assert reason in fields_of(record)["reason"]
    assert advice in fields_of(record)["advice"]


def test_a_client_without_tls_is_logged_as_information(
    certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    server_side = requiring(certificates)

    with serving(ssl_context=lambda: server_side) as server:
        client = server.connect()
        client.send(GET)
        client.close()
        valid = certificates.client_context("prometheus")
        assert server.connect_tls(valid).get().status == 200

    [record] = caplog.records
    assert record.levelname == "INFO"
    assert fields_of(record)["reason"] == "plain HTTP on a port for HTTPS"


def test_clients_that_leave_within_the_handshake_are_not_logged(
    certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    server_side = requiring(certificates)

    with serving(ssl_context=lambda: server_side) as server:
        for data in (b"", b"\x16\x03\x01"):
            client = server.connect()
            client.send(data)
            client.close()

    assert not caplog.records


def test_many_refusals_with_one_reason_do_not_hide_another(
    certificates: Certificates, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server_side = requiring(certificates)
    without = client_of("none", certificates, tmp_path)

    with serving(ssl_context=lambda: server_side) as server:
        for _ in range(15):
            refuse(server, without)
        refuse(server, client_of("expired", certificates, tmp_path))

    reasons = [fields_of(record)["reason"] for record in caplog.records]
    assert len(reasons) == 11
    assert "suppressed" in fields_of(caplog.records[-2])["quota"]
    assert "expired" in reasons[-1]
