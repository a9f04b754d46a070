"""Connections to real peers: reuse, interim responses, sizes, TLS and proxies."""

import errno
import gzip
import ssl
import subprocess
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import closing as closed_after
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme
from exporter.braze import deadline
from exporter.braze.client import Client
from exporter.braze.transport import IDLE_LIMIT_SECONDS
from exporter.model.errors import FetchError, Unusable

from tests.support.braze_client import (
    KEY,
    PATH,
    client_of,
    connected,
    failure_from,
    failure_of,
    responding,
)
from tests.support.fake_clock import FakeClock
from tests.support.scripted_peer import Peer, PeerConnection, answer, closing, serving

MIB = 1024 * 1024


def test_a_connection_is_reused_after_a_failure() -> None:
    cookie = answer(status="404 Not Found", headers=("Set-Cookie: tracked=1; Path=/",))
    with connected(cookie) as (peer, client):
        for _ in range(3):
            with pytest.raises(FetchError, match="HTTP 404"):
                client.fetch(PATH, {})

    assert peer.connections == 1
    assert not any(b"ookie" in request for request in peer.requests)


def test_a_connection_that_the_peer_closed_is_replaced() -> None:
    with closing(answer()) as peer, closed_after(client_of(peer.url)) as client:
        client.fetch(PATH, {})
        peer.closed.wait()
        client.fetch(PATH, {})

    assert peer.connections == 2


def test_a_reset_while_connecting_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Urllib3 alone would continue without a socket."""

    def reset(*_: object) -> None:
        raise ConnectionResetError(errno.ECONNRESET, "reset")

    monkeypatch.setattr(deadline, "open_socket", reset)

    assert "reset by peer" in str(failure_of(client_of("http://127.0.0.1:1")))


def test_an_old_connection_is_replaced() -> None:
    """A firewall may have dropped a connection that was idle for so long."""
    clock = FakeClock()
    with connected(answer(), monotonic=clock.now) as (peer, client):
        client.fetch(PATH, {})
        clock.advance(IDLE_LIMIT_SECONDS - 1)
        client.fetch(PATH, {})
        young = peer.connections
        clock.advance(IDLE_LIMIT_SECONDS)
        client.fetch(PATH, {})

    assert (young, peer.connections) == (1, 2)


@contextmanager
def numbering(*before: bytes) -> Iterator[tuple[Peer, Client]]:
    """Yield a peer that responds 0, 1, 2, ..., each after `before`, and its client."""

    def respond(connection: PeerConnection) -> None:
        connection.send(*before, answer(b"%d" % (len(peer.requests) - 1)))

    with responding(respond) as peer, closed_after(client_of(peer.url)) as client:
        yield peer, client


@pytest.mark.parametrize(
    "before",
    [
        [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"],
        [b"HTTP/1.1 102 Processing\r\nConnection: close\r\n\r\n"],
        [b"HTTP/1.1 199 Huh\r\nTransfer-Encoding: chunked\r\n\r\n"],
        [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Hints\r\n\r\n"] * 10,
    ],
)
def test_interim_responses_are_skipped(before: list[bytes]) -> None:
    """Else each request would read the response to the previous one."""
    with numbering(*before) as (peer, client):
        found = [client.fetch(PATH, {}).document for _ in range(4)]

    assert found == [0, 1, 2, 3]
    assert peer.connections == 1


@pytest.mark.parametrize(
    "before",
    [
        [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"],
        [b"HTTP/1.1 103 Early Hints\r\n\r\n"] * 21,
    ],
)
def test_a_response_without_a_final_status_is_a_failure(before: list[bytes]) -> None:
    with numbering(*before) as (peer, client):
        for _ in range(2):
            with pytest.raises(FetchError, match="not valid HTTP"):
                client.fetch(PATH, {})

    assert peer.connections == 2


def test_a_body_may_have_the_size_of_the_limit() -> None:
    with connected(answer(b"1" * 50), response_bytes=50) as (_, client):
        client.fetch(PATH, {})

    assert isinstance(failure_from(answer(b"1" * 50), response_bytes=49), Unusable)


def bomb(mebibytes: int) -> bytes:
    """Return so many MiB of zeros, compressed by gzip, without the trailer."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + block * (mebibytes - 1)


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_compression_bomb_takes_little_memory(*, is_chunked: bool) -> None:
    """Decompression of a gibibyte in a mebibyte stops at the limit."""
    body = bomb(1024)
    plain = answer(body, headers=("Content-Encoding: gzip",))
    chunked = (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"
        b"\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    )
    with serving(chunked if is_chunked else plain) as peer:
        client = client_of(peer.url, response_bytes=4 * MIB)
        client.prepare()
        tracemalloc.start()
        failure = failure_of(client)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert len(body) < 2 * MIB
    assert isinstance(failure, Unusable)
    assert peak < 30 * MIB


@pytest.mark.parametrize("name", ["gzip", "GZIP", "x-gzip"])
def test_gzip_is_decompressed(name: str) -> None:
    packed = gzip.compress(b'{"a":') + gzip.compress(b"1}")
    gzipped = answer(packed, headers=(f"Content-Encoding: {name}",))
    with connected(gzipped) as (_, client):
        assert client.fetch(PATH, {}).document == {"a": 1}


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return a certificate authority."""
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    """Return a file with the certificate of the authority."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


@contextmanager
def securing(authority: trustme.CA, *hosts: str) -> Iterator[tuple[Peer, str]]:
    """Yield a peer that responds over TLS as one of `hosts`, and its URL."""
    context = tls_context(authority, *hosts)

    def script(connection: PeerConnection) -> None:
        connection.secure(context)
        while peer.expect(connection):
            connection.send(answer(b'{"tls":1}'))

    with Peer(script) as peer:
        yield peer, f"https://127.0.0.1:{peer.port}"


def tls_context(authority: trustme.CA, *hosts: str) -> ssl.SSLContext:
    """Return the TLS context of a server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*hosts or ("127.0.0.1", "localhost")).configure_cert(context)
    return context


@pytest.mark.parametrize("is_directory", [False, True])
def test_a_known_authority_is_trusted(
    authority: trustme.CA, ca_file: str, *, is_directory: bool
) -> None:
    """In a directory, OpenSSL opens the file with the hash of the issuer's name."""
    if is_directory:
        ca_file = str(Path(ca_file).parent)
        subprocess.run(["openssl", "rehash", ca_file], check=True)
    with (
        securing(authority) as (peer, url),
        closed_after(client_of(url, ca_file=ca_file)) as client,
    ):
        found = [client.fetch(PATH, {}).document for _ in range(2)]

    assert found == [{"tls": 1}] * 2
    assert peer.connections == 1


@pytest.mark.parametrize(
    ("hosts", "is_known", "text"),
    [
        (["127.0.0.1"], False, "unable to get local issuer certificate"),
        (["elsewhere.test"], True, "certificate is not valid for '127.0.0.1'"),
    ],
)
def test_other_certificates_are_not_trusted(
    authority: trustme.CA, ca_file: str, hosts: list[str], *, is_known: bool, text: str
) -> None:
    with securing(authority, *hosts) as (peer, url):
        failure = failure_of(client_of(url, ca_file=ca_file if is_known else None))

    assert "certificate not trusted" in str(failure)
    assert text in str(failure)
    assert peer.requests == []


@pytest.mark.parametrize("is_secure", [False, True])
def test_tls_uses_the_tunnel_of_a_proxy(
    authority: trustme.CA, ca_file: str, *, is_secure: bool
) -> None:
    """The proxy, with or without TLS, receives CONNECT and not the key."""
    context = tls_context(authority)

    def script(connection: PeerConnection) -> None:
        if is_secure:
            connection.secure(context)
        proxy.expect(connection)
        connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        connection.relay(peer.port)

    with securing(authority) as (peer, _), Peer(script) as proxy:
        client = client_of(
            f"https://localhost:{peer.port}",
            ca_file=ca_file,
            proxy=f"{'https' if is_secure else 'http'}://127.0.0.1:{proxy.port}",
        )
        with closed_after(client):
            found = [client.fetch(PATH, {}).document for _ in range(2)]

    assert found == [{"tls": 1}] * 2
    assert proxy.requests[0].startswith(b"CONNECT localhost:")
    assert not any(b"Bearer" in request for request in proxy.requests)
    assert f"Authorization: Bearer {KEY}".encode() in peer.requests[0]
