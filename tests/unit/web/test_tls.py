"""TLS contexts, and faults of their settings."""

from __future__ import annotations

import ssl
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
)
from cryptography.hazmat.primitives.asymmetric.ec import (
    generate_private_key as generate_ec_key,
)
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
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
    """Return the client's side. SSLError: either side refuses the other.

    The server's side waits after a refusal, so that its alert is sent.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname="127.0.0.1"),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    open_ends = list(ends)
    for _ in range(10):
        for end in tuple(open_ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            open_ends.remove(end)
    if open_ends:
        ends[0].read(1)
    assert not open_ends
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
        with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
            handshake(context, client)


@pytest.mark.parametrize("name", ["prometheus", "::1", "me@example.org"])
def test_only_allowed_names_are_accepted(
    certificates: Certificates, tls: Tls, name: str
) -> None:
    context = context_of(
        requiring(tls, certificates, "prometheus", "::1", "me@example.org")
    )

    handshake(context, certificates.client_context(name, "more"))

    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        handshake(context, certificates.client_context("grafana"))


NO_CERTIFICATE = "found no valid certificate; expected certificates in PEM form"
SWAPPED = "found a private key and no certificate"


def private(
    key: PrivateKeyTypes, *, form: PrivateFormat, password: bytes = b""
) -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, form, encryption)


def self_signed(key: RSAPrivateKey | EllipticCurvePrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), serial_number=7)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .sign(key, SHA256())
    )
    return made.public_bytes(Encoding.PEM)


RSA = generate_private_key(65537, 2048)
SHORT = generate_private_key(65537, 1024)  # noqa: S505 - OpenSSL refuses it
EC = generate_ec_key(SECP256R1())
RSA_CERT = self_signed(RSA)
KEYS = {
    "other key of the type": (
        private(generate_private_key(65537, 2048), form=PrivateFormat.PKCS8),
        "does not match the certificate of cert",
    ),
    "EC": (private(EC, form=PrivateFormat.PKCS8), "of another type than the certif"),
    "encrypted": (
        private(RSA, form=PrivateFormat.PKCS8, password=b"hunter2"),
        "the key is encrypted; expected a key without a passphrase",
    ),
    "encrypted, old form": (
        private(RSA, form=PrivateFormat.TraditionalOpenSSL, password=b"hunter2"),
        "the key is encrypted; expected a key without a passphrase",
    ),
    "OpenSSH": (private(RSA, form=PrivateFormat.OpenSSH), "in the format of OpenSSH"),
    "certificate": (RSA_CERT, "are certificate and key swapped?"),
    "public": (
        RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "found a public key",
    ),
    "damaged": (
        private(RSA, form=PrivateFormat.PKCS8).replace(b"M", b"N", 3),
        "the private key is damaged",
    ),
    "no PEM": (b"hunter2", "found no private key; expected one in PEM form"),
    "empty": (b"", "found no private key; expected one in PEM form"),
}


@pytest.mark.parametrize(("key", "message"), KEYS.values(), ids=KEYS)
def test_a_key_that_cannot_be_used_is_named(key: bytes, message: str) -> None:
    faults = server_context(Tls(cert=pem("cert", RSA_CERT), key=pem("key", key)))

    assert isinstance(faults, tuple)
    [(option, found)] = faults
    assert option == "key"
    assert message in found
    assert "hunter2" not in found


def test_both_directions_of_another_type_are_named() -> None:
    key = private(RSA, form=PrivateFormat.TraditionalOpenSSL)

    faults = server_context(Tls(cert=pem("cert", self_signed(EC)), key=pem("key", key)))

    assert isinstance(faults, tuple)
    assert "of another type than the certificate of cert" in faults[0].message


@pytest.mark.parametrize(
    ("cert", "message"),
    [
        (self_signed(SHORT), "too short for OpenSSL's security level"),
        (private(RSA, form=PrivateFormat.PKCS8), SWAPPED),
        (private(SHORT, form=PrivateFormat.TraditionalOpenSSL), SWAPPED),
        (RSA_CERT.replace(b"CERTIFICATE", b"CERTIFICATE REQUEST"), "request"),
        (b"", NO_CERTIFICATE),
        (b"nothing", NO_CERTIFICATE),
        (RSA_CERT[:200], NO_CERTIFICATE),
    ],
)
def test_a_certificate_that_cannot_be_used_is_named(cert: bytes, message: str) -> None:
    key = private(SHORT, form=PrivateFormat.PKCS8)

    faults = server_context(Tls(cert=pem("cert", cert), key=pem("key", key)))

    assert isinstance(faults, tuple)
    [(option, found)] = faults
    assert option == "cert"
    assert message in found


def test_a_key_in_the_file_of_its_certificate_is_valid() -> None:
    both = RSA_CERT + private(RSA, form=PrivateFormat.PKCS8)

    context_of(Tls(cert=pem("cert", both), key=pem("key", both)))


def test_faults_of_several_options_are_reported(tls: Tls) -> None:
    no_pem = pem("client_ca", b"nothing")

    faults = server_context(replace(tls, client_ca=no_pem, key=no_pem))

    assert isinstance(faults, tuple)
    assert [fault.message for fault in faults] == [
        NO_CERTIFICATE,
        "found no private key; expected one in PEM form, without a passphrase",
    ]


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
