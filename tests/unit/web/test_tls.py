"""TLS contexts: what they allow, and why there is none."""

from __future__ import annotations

import ssl
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from exporter.system.api_key import Secret
from exporter.web.tls import client_context, server_context
from exporter.web.web_config import ClientAuth, Pem, Tls, WebConfigFault

from tests.support.certificates import Papers
from tests.support.server_in_thread import opened


def pem(option: str, text: bytes) -> Pem:
    """Return a PEM that stands in the web configuration itself."""
    return Pem(option, None, Secret(text.decode()))


@pytest.fixture(name="papers", scope="module")
def _papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    """Issue a certificate."""
    return Papers(tmp_path_factory.mktemp("papers"))


@pytest.fixture(name="tls")
def _tls(papers: Papers) -> Tls:
    """Serve with it."""
    return Tls(cert=pem("cert", papers.cert), key=pem("key", papers.key))


def serving(tls: Tls) -> ssl.SSLContext:
    """Return a context that can be made."""
    context = server_context(tls)
    assert isinstance(context, ssl.SSLContext), context
    return context


def handshake(
    server: ssl.SSLContext, client: ssl.SSLContext
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Let both speak in memory until they agree. SSLError: they do not."""
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
    return ends


def requiring(tls: Tls, papers: Papers, *sans: str) -> Tls:
    """Let clients show a certificate of the same authority."""
    return replace(
        tls,
        client_ca=pem("client_ca", papers.ca),
        client_auth=ClientAuth.REQUIRED,
        allowed_sans=frozenset(sans),
    )


def test_a_browser_trusts_the_certificate_and_speaks_http_1_1(
    papers: Papers, tls: Tls
) -> None:
    """The newest version is spoken, and no renegotiation is heard of."""
    context = serving(tls)
    trusting = papers.trusting()
    trusting.set_alpn_protocols(["h2", "http/1.1"])

    client, _ = handshake(context, trusting)

    assert client.version() == "TLSv1.3"
    assert client.selected_alpn_protocol() == "http/1.1"
    assert context.options & ssl.OP_NO_RENEGOTIATION


def test_versions_are_held(papers: Papers, tls: Tls) -> None:
    """Nothing below or above them is spoken."""
    modern = serving(replace(tls, min_version="TLS13"))
    older = serving(replace(tls, max_version="TLS12"))
    old_client = papers.trusting()
    old_client.maximum_version = ssl.TLSVersion.TLSv1_2

    with pytest.raises(ssl.SSLError, match=r"(?i)version|protocol"):
        handshake(modern, old_client)
    client, _ = handshake(older, papers.trusting())

    assert client.version() == "TLSv1.2"


def test_ciphers_their_order_and_a_curve_are_held(papers: Papers, tls: Tls) -> None:
    """Both sides agree on the one cipher; a client without the curve is refused."""
    cipher = "ECDHE-ECDSA-CHACHA20-POLY1305"
    context = serving(
        replace(
            tls,
            max_version="TLS12",
            ciphers=("ECDHE-RSA-CHACHA20-POLY1305", cipher),
            prefers_own_ciphers=False,
            curve="secp521r1",
        )
    )
    other = papers.trusting()
    other.set_ecdh_curve("prime256v1")

    client, _ = handshake(context, papers.trusting())

    used = client.cipher()
    assert used
    assert used[0] == cipher
    assert not context.options & ssl.OP_CIPHER_SERVER_PREFERENCE
    with pytest.raises(ssl.SSLError):
        handshake(context, other)


def test_a_client_may_have_to_show_a_certificate(papers: Papers, tls: Tls) -> None:
    """Of the authority that was named, and of no other."""
    required = serving(requiring(tls, papers))
    stranger = papers.trusting()
    Papers(papers.directory / "other").authority.issue_cert("x").configure_cert(
        stranger
    )

    handshake(required, papers.trusting("prometheus"))

    for client in (papers.trusting(), stranger):
        with pytest.raises(ssl.SSLError, match=r"(?i)certificate"):
            handshake(required, client)


def test_a_certificate_may_be_left_out_and_not_be_wrong(
    papers: Papers, tls: Tls
) -> None:
    """With VerifyClientCertIfGiven only who shows a strange one is refused."""
    optional = serving(replace(requiring(tls, papers), client_auth=ClientAuth.IF_GIVEN))
    stranger = papers.trusting()
    Papers(papers.directory / "third").authority.issue_cert("x").configure_cert(
        stranger
    )

    handshake(optional, papers.trusting())
    handshake(optional, papers.trusting("prometheus"))

    with pytest.raises(ssl.SSLError, match=r"(?i)certificate"):
        handshake(optional, stranger)


@pytest.mark.parametrize("name", ["prometheus", "::1", "me@example.org"])
def test_only_allowed_names_get_through(papers: Papers, tls: Tls, name: str) -> None:
    """Host names, IP addresses however written, mail addresses."""
    context = serving(requiring(tls, papers, "prometheus", "::1", "me@example.org"))

    handshake(context, papers.trusting(name, "more"))

    with pytest.raises(ssl.SSLError, match="none of the allowed names"):
        handshake(context, papers.trusting("grafana"))


def test_who_has_no_allowed_name_gets_no_answer(papers: Papers, tls: Tls) -> None:
    """The listener closes on him and serves the others."""
    context = serving(requiring(tls, papers, "prometheus"))

    with opened(ssl_context=lambda: context) as inn:
        stranger = inn.connect_tls(papers.trusting("grafana"))
        friend = inn.connect_tls(papers.trusting("prometheus"))

        assert stranger.is_shown_out()
        assert friend.get().status == 200


def test_what_openssl_does_not_take_is_told_by_option(papers: Papers, tls: Tls) -> None:
    """Certificates, keys and authorities, all at once, and without their text."""
    other = papers.authority.issue_cert("x").private_key_pem.bytes()
    locked = load_pem_private_key(papers.key, None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hunter2")
    )
    no_pem = pem("client_ca", b"nothing")
    none = "expected certificates in PEM form, found none or worse"
    no_key = "expected a private key in PEM form, without a passphrase"

    assert server_context(replace(tls, key=pem("key", other))) == (
        WebConfigFault("key", "this key does not belong to the certificate of cert"),
    )
    assert server_context(replace(tls, key=pem("key", locked))) == (
        WebConfigFault("key", no_key),
    )
    assert server_context(
        replace(tls, client_ca=no_pem, key=pem("key", papers.cert))
    ) == (WebConfigFault("client_ca", none), WebConfigFault("key", no_key))
    for text in (b"", b"nothing", papers.key, papers.cert[:200]):
        assert server_context(replace(tls, cert=pem("cert", text))) == (
            WebConfigFault("cert", none),
        )


def test_what_this_openssl_lacks_is_told(tls: Tls) -> None:
    """A machine may allow less than another, by its policy."""
    message = "OpenSSL on this machine does not have what is asked of it"

    assert server_context(replace(tls, ciphers=("NONE-SUCH",))) == (
        WebConfigFault("cipher_suites", message),
    )
    assert server_context(replace(tls, curve="none-such")) == (
        WebConfigFault("curve_preferences", message),
    )


def test_a_file_that_has_gone_meanwhile_is_told(papers: Papers, tls: Tls) -> None:
    """As a fault of the pair."""
    key = Pem("key_file", str(papers.directory / "gone.pem"), Secret("x"))

    assert server_context(replace(tls, key=key)) == (
        WebConfigFault("key_file", "key or certificate: No such file or directory"),
    )


def test_a_local_client_believes_everyone_and_may_show_a_certificate(
    papers: Papers, tls: Tls
) -> None:
    """It knows the server by being on the same machine."""
    plain, required = serving(tls), serving(requiring(tls, papers))

    handshake(plain, client_context())
    handshake(required, client_context(tls))

    with pytest.raises(ssl.SSLError):
        handshake(required, client_context())


def test_files_and_texts_serve_alike(papers: Papers) -> None:
    """A certificate may stand in a file while its key does not."""
    cert = Pem("cert_file", str(papers.directory / "cert.pem"), Secret("-"))
    text = Secret(Path(papers.directory / "cert.pem").read_text())

    handshake(
        serving(Tls(cert=replace(cert, text=text), key=pem("key", papers.key))),
        papers.trusting(),
    )
