"""TLS contexts, and faults of their settings."""

from __future__ import annotations

import ssl
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from exporter.system.api_key import Secret
from exporter.web.tls import (
    ClientAuth,
    Pem,
    Tls,
    WebConfigFault,
    client_context,
    server_context,
)

from tests.support.certificates import Certificates
from tests.support.server_in_thread import serving


def pem(option: str, text: bytes) -> Pem:
    """Return a PEM that is part of the web configuration."""
    return Pem(option, None, Secret(text.decode()))


@pytest.fixture(name="certificates", scope="module")
def _certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(name="tls")
def _tls(certificates: Certificates) -> Tls:
    return Tls(cert=pem("cert", certificates.cert), key=pem("key", certificates.key))


def context_of(tls: Tls) -> ssl.SSLContext:
    context = server_context(tls)
    assert isinstance(context, ssl.SSLContext), context
    return context


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> ssl.SSLObject:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname="127.0.0.1"),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    open_ends = list(ends)
    while open_ends:
        for end in tuple(open_ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            open_ends.remove(end)
    return ends[0]


def requiring(tls: Tls, certificates: Certificates, *sans: str) -> Tls:
    """Require client certificates of the same authority."""
    return replace(
        tls,
        client_ca=pem("client_ca", certificates.ca),
        client_auth=ClientAuth.REQUIRED,
        allowed_sans=frozenset(sans),
    )


def test_a_browser_trusts_the_certificate_and_selects_http_1_1(
    certificates: Certificates, tls: Tls
) -> None:
    context = context_of(tls)
    client_side = certificates.client_context()
    client_side.set_alpn_protocols(["h2", "http/1.1"])

    client = handshake(context, client_side)

    assert client.version() == "TLSv1.3"
    assert client.selected_alpn_protocol() == "http/1.1"
    assert context.options & ssl.OP_NO_RENEGOTIATION


def test_versions_are_limited(certificates: Certificates, tls: Tls) -> None:
    modern = context_of(replace(tls, min_version="TLS13"))
    older = context_of(replace(tls, max_version="TLS12"))
    old_client = certificates.client_context()
    old_client.maximum_version = ssl.TLSVersion.TLSv1_2

    with pytest.raises(ssl.SSLError, match=r"(?i)version|protocol"):
        handshake(modern, old_client)
    client = handshake(older, certificates.client_context())

    assert client.version() == "TLSv1.2"


def test_ciphers_their_order_and_a_curve_are_applied(
    certificates: Certificates, tls: Tls
) -> None:
    cipher = "ECDHE-ECDSA-CHACHA20-POLY1305"
    context = context_of(
        replace(
            tls,
            max_version="TLS12",
            ciphers=("ECDHE-RSA-CHACHA20-POLY1305", cipher),
            prefers_own_ciphers=False,
            curve="secp521r1",
        )
    )
    other = certificates.client_context()
    other.set_ecdh_curve("prime256v1")

    client = handshake(context, certificates.client_context())

    used = client.cipher()
    assert used
    assert used[0] == cipher
    assert not context.options & ssl.OP_CIPHER_SERVER_PREFERENCE
    with pytest.raises(ssl.SSLError):
        handshake(context, other)


@pytest.mark.parametrize("client_auth", [ClientAuth.REQUIRED, ClientAuth.IF_GIVEN])
def test_client_certificates_are_verified(
    certificates: Certificates, tls: Tls, client_auth: ClientAuth
) -> None:
    context = context_of(replace(requiring(tls, certificates), client_auth=client_auth))
    refused = [certificates.client_context()]
    other = Certificates(certificates.directory / "other").authority
    other.issue_cert("x").configure_cert(refused[0])
    without = certificates.client_context()
    if client_auth is ClientAuth.REQUIRED:
        refused.append(without)
    else:
        handshake(context, without)

    handshake(context, certificates.client_context("prometheus"))

    for client in refused:
        with pytest.raises(ssl.SSLError, match=r"(?i)certificate"):
            handshake(context, client)


@pytest.mark.parametrize("name", ["prometheus", "::1", "me@example.org"])
def test_only_allowed_names_are_accepted(
    certificates: Certificates, tls: Tls, name: str
) -> None:
    context = context_of(
        requiring(tls, certificates, "prometheus", "::1", "me@example.org")
    )

    handshake(context, certificates.client_context(name, "more"))

    with pytest.raises(ssl.SSLError, match="none of the allowed names"):
        handshake(context, certificates.client_context("grafana"))


def test_a_client_without_an_allowed_name_is_disconnected(
    certificates: Certificates, tls: Tls
) -> None:
    context = context_of(requiring(tls, certificates, "prometheus"))

    with serving(ssl_context=lambda: context) as server:
        refused = server.connect_tls(certificates.client_context("grafana"))
        allowed = server.connect_tls(certificates.client_context("prometheus"))

        assert refused.is_closed()
        assert allowed.get().status == 200


def test_faults_name_their_option(certificates: Certificates, tls: Tls) -> None:
    other = certificates.authority.issue_cert("x").private_key_pem.bytes()
    locked = load_pem_private_key(certificates.key, None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hunter2")
    )
    no_pem = pem("client_ca", b"nothing")
    none = "found no valid certificate; expected certificates in PEM form"
    no_key = "expected a private key in PEM form, without a passphrase"

    assert server_context(replace(tls, key=pem("key", other))) == (
        WebConfigFault("key", "the key does not match the certificate of cert"),
    )
    assert server_context(replace(tls, key=pem("key", locked))) == (
        WebConfigFault("key", no_key),
    )
    assert server_context(
        replace(tls, client_ca=no_pem, key=pem("key", certificates.cert))
    ) == (WebConfigFault("client_ca", none), WebConfigFault("key", no_key))
    for text in (b"", b"nothing", certificates.key, certificates.cert[:200]):
        assert server_context(replace(tls, cert=pem("cert", text))) == (
            WebConfigFault("cert", none),
        )


def test_unsupported_ciphers_and_curves_are_faults(tls: Tls) -> None:
    """They depend on the policy of the machine."""
    message = "not supported by OpenSSL on this machine; expected other values"

    assert server_context(replace(tls, ciphers=("NONE-SUCH",))) == (
        WebConfigFault("cipher_suites", message),
    )
    assert server_context(replace(tls, curve="none-such")) == (
        WebConfigFault("curve_preferences", message),
    )


def test_a_file_that_was_removed_meanwhile_is_a_fault(
    certificates: Certificates, tls: Tls
) -> None:
    key = Pem("key_file", str(certificates.directory / "gone.pem"), Secret("x"))

    assert server_context(replace(tls, key=key)) == (
        WebConfigFault(
            "key_file", "cannot read key or certificate: No such file or directory"
        ),
    )


def test_a_local_client_verifies_nothing_and_may_present_a_certificate(
    certificates: Certificates, tls: Tls
) -> None:
    plain, required = context_of(tls), context_of(requiring(tls, certificates))

    handshake(plain, client_context())
    handshake(required, client_context(tls))

    with pytest.raises(ssl.SSLError):
        handshake(required, client_context())
