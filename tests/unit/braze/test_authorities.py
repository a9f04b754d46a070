"""Which certificates are trusted, and what the messages state about the others.

All are presented by real peers, or by a proxy that speaks TLS.
"""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import certifi
import pytest
from exporter.braze import authorities
from exporter.braze.authorities import Authorities
from exporter.braze.client import Client
from exporter.braze.diagnosis import Check, check_failure
from exporter.braze.proxies import ProxySettings
from exporter.model.errors import FetchError

from tests.support.braze_client import BRAZE, NOW, PATH, client_of, failure_of
from tests.support.chains import Issued, issue
from tests.support.scripted_peer import Peer, PeerConnection, answer
from tests.unit.discovery.discovery_world import workspace

ROOT_CA = issue("Company root", is_authority=True)
MIDDLE = issue("Company middle", ROOT_CA, is_authority=True)
LEAF = issue("localhost", MIDDLE)
ODD_ROOT = issue("Appliance", is_authority=True, has_identifiers=False)
ODD_LEAF = issue("localhost", ODD_ROOT, has_identifiers=False)
OTHER_ROOT = issue("Other", is_authority=True)


@contextmanager
def presenting(tmp_path: Path, *chain: Issued) -> Iterator[Peer]:
    """Yield a peer that presents a chain and responds over TLS."""
    context = chain[0].server_context(tmp_path, *chain[1:])

    def script(connection: PeerConnection) -> None:
        connection.secure(context)
        while peer.expect(connection):
            connection.send(answer(b'{"data":[]}'))

    with Peer(script) as peer:
        yield peer


def client_for(peer: Peer, environment: Mapping[str, str], **options: Any) -> Client:
    proxies = ProxySettings.from_environment(environment)
    return client_of(f"https://localhost:{peer.port}", proxies=proxies, **options)


def is_trusted(client: Client) -> bool:
    with closing(client):
        try:
            client.fetch(PATH, {})
        except FetchError as failure:
            if "certificate not trusted" in str(failure):
                return False
            raise
    return True


def hashed(tmp_path: Path, *authority: Issued) -> str:
    """Return a directory with these certificates, as OpenSSL reads it."""
    directory = tmp_path / "hashed"
    directory.mkdir()
    for number, one in enumerate(authority):
        (directory / f"{number}.pem").write_bytes(one.pem)
    subprocess.run(["openssl", "rehash", directory], check=True)
    return str(directory)


def written(tmp_path: Path, *authority: Issued) -> str:
    """Return a file with these certificates."""
    path = tmp_path / f"{authority[0].certificate.serial_number}.pem"
    path.write_bytes(b"".join(one.pem for one in authority))
    return str(path)


@pytest.mark.parametrize(
    ("trusted", "chain"),
    [
        (ROOT_CA, (LEAF, MIDDLE)),
        # As curl, and Python from 3.13: a trusted certificate need not be a root.
        (MIDDLE, (LEAF,)),
        (LEAF, (LEAF,)),
        # As curl, and Python before 3.13: without identifiers of keys.
        (ODD_ROOT, (ODD_LEAF,)),
        # As curl: with the host in the Common Name only.
        (ROOT_CA, (issue("localhost", ROOT_CA, hosts=()),)),
    ],
)
def test_a_file_of_authorities_is_enough(
    trusted: Issued, chain: tuple[Issued, ...], tmp_path: Path
) -> None:
    """By the option or any of the variables."""
    file = written(tmp_path, OTHER_ROOT, trusted)
    with presenting(tmp_path, *chain) as peer:
        assert is_trusted(client_for(peer, {}, ca_file=file))
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
            assert is_trusted(client_for(peer, {name: file}))
        assert not is_trusted(client_for(peer, {}))


def test_a_directory_of_authorities_is_enough(tmp_path: Path) -> None:
    """SSL_CERT_DIR may list several."""
    directory = hashed(tmp_path, ROOT_CA)
    other = tmp_path / "other"
    other.mkdir()
    (other / "01234567.0").write_bytes(OTHER_ROOT.pem)
    with presenting(tmp_path, LEAF, MIDDLE) as peer:
        for environment in (
            {"REQUESTS_CA_BUNDLE": directory},
            {"SSL_CERT_DIR": directory},
            {"SSL_CERT_DIR": f"{other}:{directory}"},
            {"SSL_CERT_DIR": directory, "SSL_CERT_FILE": written(tmp_path, OTHER_ROOT)},
        ):
            assert is_trusted(client_for(peer, environment))
        assert not is_trusted(client_for(peer, {"SSL_CERT_DIR": str(other)}))


def test_the_first_variable_replaces_the_others(tmp_path: Path) -> None:
    right, wrong = written(tmp_path, ROOT_CA), written(tmp_path, OTHER_ROOT)
    with presenting(tmp_path, LEAF, MIDDLE) as peer:
        for environment, expected in (
            ({"REQUESTS_CA_BUNDLE": wrong, "CURL_CA_BUNDLE": right}, False),
            ({"CURL_CA_BUNDLE": wrong, "SSL_CERT_FILE": right}, False),
            ({"REQUESTS_CA_BUNDLE": "", "SSL_CERT_FILE": right}, True),
        ):
            assert is_trusted(client_for(peer, environment)) is expected
        wrong_variable = {"REQUESTS_CA_BUNDLE": wrong}
        assert is_trusted(client_for(peer, wrong_variable, ca_file=right))


def test_the_system_and_certifi_are_trusted_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that is missing or broken is no failure; variables replace its parts."""
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    right = written(tmp_path, ROOT_CA)
    count = len(authorities_of(certifi.where()))
    with presenting(tmp_path, LEAF, MIDDLE) as peer:
        for files, environment, expected in (
            ((str(tmp_path / "none"), right), {}, True),
            ((str(tmp_path / "none"),), {}, False),
            ((str(broken),), {}, False),
            ((right,), {"SSL_CERT_FILE": written(tmp_path, OTHER_ROOT)}, False),
            ((right,), {"SSL_CERT_DIR": hashed(tmp_path, OTHER_ROOT)}, True),
        ):
            monkeypatch.setattr(authorities, "_SYSTEM_FILES", files)
            assert is_trusted(client_for(peer, environment)) is expected
            context = Authorities.from_environment(environment).tls_context()
            has_certifi = context.cert_store_stats()["x509_ca"] >= count
            assert has_certifi is (not environment)


def authorities_of(file: str) -> list[bytes]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(file)
    return context.get_ca_certs(binary_form=True)


def test_a_changed_file_is_loaded_after_a_failure(tmp_path: Path) -> None:
    """An authority may be replaced while the daemon runs."""
    file = Path(written(tmp_path, OTHER_ROOT))
    with (
        presenting(tmp_path, LEAF, MIDDLE) as peer,
        closing(client_for(peer, {}, ca_file=str(file))) as client,
    ):
        with pytest.raises(FetchError, match="certificate not trusted"):
            client.fetch(PATH, {})
        file.write_bytes(OTHER_ROOT.pem + ROOT_CA.pem)
        with pytest.raises(FetchError, match="certificate not trusted"):
            client.fetch(PATH, {})
        assert client.fetch(PATH, {}).status == 200


WRONG: Mapping[str, tuple[tuple[Issued, ...], str, str]] = {
    "expired": (
        (issue("localhost", ROOT_CA, days=(-9, -1)),),
        "certificate has expired; renew it, or check whether this machine's clock is",
        "This machine's clock shows 2026-09-21 14:13 UTC.",
    ),
    "not yet valid": (
        (issue("localhost", ROOT_CA, days=(1, 9)),),
        "not yet valid; check whether this machine's clock is behind",
        "This machine's clock shows 2026-09-21 14:13 UTC.",
    ),
    "expired authority": (
        (LEAF, issue("Company middle", ROOT_CA, is_authority=True, days=(-9, -1))),
        "certificate not trusted: ",
        "",
    ),
    "another host": (
        (issue("localhost", ROOT_CA, hosts=("other.test",)),),
        "certificate is not valid for 'localhost'; check the host name of the URL",
        "names other hosts",
    ),
    "self-signed": (
        (issue("localhost"),),
        "check the URL, or add this certificate to ca_file {file}",
        "the presented certificate",
    ),
    "unknown root": (
        (issue("localhost", OTHER_ROOT), OTHER_ROOT),
        "add the certificate of its authority to ca_file {file}",
        "its authority is not trusted here",
    ),
    "missing intermediate": (
        (LEAF,),
        "unable to get local issuer certificate; add the certificate of its authority",
        "does not send its intermediate certificates",
    ),
    "short key": (
        (issue("localhost", ROOT_CA, bits=1024),),
        "key too weak; it must be issued again with a longer key",
        "keys of 2048 bits",
    ),
    "no authority": (
        (
            issue("localhost", leaf := issue("Company leaf", ROOT_CA)),
            leaf,
        ),
        "the certificate, or that of its authority, must be issued again",
        "The message names the check that failed.",
    ),
}


def checked(failure: FetchError) -> Check:
    """Return what the doctor prints of a failure."""
    return check_failure(
        "campaigns.data_series",
        failure,
        workspace=workspace(),
        is_placeholder_id=False,
        now=NOW,
    )


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("is_proxy", [False, True])
def test_the_message_and_the_advice_name_what_is_wrong(
    name: str, tmp_path: Path, *, is_proxy: bool
) -> None:
    chain, text, advice = WRONG[name]
    file = written(tmp_path, ROOT_CA)
    with presenting(tmp_path, *chain) as peer:
        if is_proxy:
            proxy = f"https://localhost:{peer.port}"
            failure = failure_of(client_of(BRAZE, ca_file=file, proxy=proxy))
        else:
            failure = failure_of(client_for(peer, {}, ca_file=file))
    check = checked(failure)

    assert text.format(file=file) in check.message
    assert ("the proxy's certificate not trusted" in check.message) is is_proxy
    assert check.problem == "tls"
    assert advice in check.advice
    assert "firewall blocks" not in check.advice


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("REQUESTS_CA_BUNDLE", ""),
        ("CURL_CA_BUNDLE", ""),
        ("SSL_CERT_FILE", " or the system's certificates"),
    ],
)
def test_the_remedy_is_a_file_that_is_read(
    name: str, others: str, tmp_path: Path
) -> None:
    """The system's certificates are a remedy only where they are trusted."""
    file = written(tmp_path, ROOT_CA)
    with presenting(tmp_path, issue("localhost")) as peer:
        failure = failure_of(client_for(peer, {name: file}))
    check = checked(failure)

    assert check.message.endswith(f"add this certificate to {name} {file}{others}")
    assert "system" not in check.advice


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "no such file or directory"),
        (b"", "expected certificates in PEM"),
        (b"no certificate", "expected certificates in PEM"),
        (ROOT_CA.der, "expected certificates in PEM"),
        (ROOT_CA.pem.replace(b"MII", b"???"), "expected certificates in PEM"),
    ],
)
@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "ca_file"])
def test_an_unreadable_file_is_named(
    content: bytes | None, text: str, name: str, tmp_path: Path
) -> None:
    file = tmp_path / "authorities.pem"
    if content is not None:
        file.write_bytes(content)

    assert_unreadable(name, str(file), text)


@pytest.mark.parametrize("name", ["CURL_CA_BUNDLE", "SSL_CERT_DIR"])
def test_a_directory_without_hashed_names_is_named(name: str, tmp_path: Path) -> None:
    written(tmp_path, ROOT_CA)

    assert_unreadable(name, str(tmp_path), f"run `openssl rehash {tmp_path}`")
    assert_unreadable(name, str(tmp_path / "none"), "no such file or directory")


def assert_unreadable(name: str, path: str, text: str) -> None:
    is_option = name == "ca_file"
    proxies = ProxySettings.from_environment({} if is_option else {name: path})
    options: dict[str, Any] = {"ca_file": path} if is_option else {}
    failure = failure_of(client_of(BRAZE, proxies=proxies, **options))
    check = checked(failure)

    assert f"the certificates in {name} {path} cannot be loaded: " in check.message
    assert text in check.message
    assert check.problem == "tls"
    assert check.advice.startswith("Correct the path, or make it readable")
