"""Connections to real peers: reuse, rejected responses, the cost of a body."""

import errno
import gzip
import ssl
import subprocess
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme
from exporter.braze import deadline
from exporter.braze.deadline import Deadline, current
from exporter.braze.transport import (
    DEFAULT_CA_BUNDLE_PATH,
    FAULTS,
    IDLE_LIMIT_SECONDS,
    Transport,
    UnknownEncoding,
    read_body,
)

from tests.support.scripted_peer import Peer, PeerConnection, answer, closing, serving

MIB = 1024 * 1024


class Clock:
    """A monotonic clock that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time that was set."""
        return self.now


@contextmanager
def opened(
    *,
    clock: Clock | None = None,
    ca_path: str = DEFAULT_CA_BUNDLE_PATH,
    proxy: str | None = None,
) -> Iterator[Transport]:
    """Yield a transport, with a deadline that no test reaches."""
    transport = Transport(connections=2, ca_path=ca_path, proxy=proxy)
    limits = Deadline(seconds=1e6, received_bytes=8 * MIB, clock=clock or Clock())
    token = current.set(limits)
    try:
        yield transport
    finally:
        current.reset(token)
        transport.close()


def body_of(transport: Transport, url: str, *, limit: int = MIB) -> bytes | None:
    """Return the body of the response to a GET."""
    headers = {
        "User-Agent": "test",
        "Authorization": "Bearer key",
        "Accept-Encoding": "gzip",
    }
    with transport.get(
        url, params={"length": 3}, headers=headers, timeout_seconds=10.0
    ) as response:
        return read_body(response, limit=limit)


def lines(request: bytes) -> list[bytes]:
    """Return the lines of a request."""
    return request.rstrip(b"\r\n").split(b"\r\n")


def test_a_request_contains_the_given_headers_only() -> None:
    """Only Host is added."""
    with serving(answer()) as peer, opened() as transport:
        body_of(transport, f"{peer.url}/campaigns/list")

    assert lines(peer.requests[0]) == [
        b"GET /campaigns/list?length=3 HTTP/1.1",
        b"Host: 127.0.0.1:%d" % peer.port,
        b"User-Agent: test",
        b"Authorization: Bearer key",
        b"Accept-Encoding: gzip",
    ]


def test_a_connection_is_reused() -> None:
    """Error responses do not close it."""
    with serving(answer(status="404 Not Found")) as peer, opened() as transport:
        bodies = [body_of(transport, peer.url) for _ in range(3)]

    assert bodies == [b"{}"] * 3
    assert peer.connections == 1


def test_a_connection_that_the_peer_closed_is_replaced() -> None:
    """The request succeeds on a new connection."""
    with closing(answer()) as peer, opened() as transport:
        first = body_of(transport, peer.url)
        peer.closed.wait()
        second = body_of(transport, peer.url)

    assert (first, second) == (b"{}", b"{}")
    assert peer.connections == 2


def test_a_reset_while_connecting_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Urllib3 alone would continue without a socket."""

    def reset(*_: object) -> None:
        raise ConnectionResetError(errno.ECONNRESET, "reset")

    monkeypatch.setattr(deadline, "open_socket", reset)
    with opened() as transport, pytest.raises(FAULTS, match="reset"):
        body_of(transport, "http://127.0.0.1:1")


def test_an_old_connection_is_replaced() -> None:
    """A firewall may have dropped a connection that was idle for so long."""
    clock = Clock()
    with serving(answer()) as peer, opened(clock=clock) as transport:
        body_of(transport, peer.url)
        clock.now += IDLE_LIMIT_SECONDS - 1
        body_of(transport, peer.url)
        young = peer.connections
        clock.now += IDLE_LIMIT_SECONDS
        body_of(transport, peer.url)

    assert (young, peer.connections) == (1, 2)


def test_cookies_are_neither_parsed_nor_sent() -> None:
    """The standard library would take seventy times the size of such headers."""
    bomb = f"Set-Cookie2: {'a,' * 30_000}"
    cookie = answer(headers=("Set-Cookie: tracked=1; Path=/", bomb))
    with serving(cookie) as peer, opened() as transport:
        body_of(transport, peer.url)
        tracemalloc.start()
        body_of(transport, peer.url)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert peak < 2 * MIB
    assert not any(b"ookie" in request for request in peer.requests)


@pytest.mark.parametrize(
    "head",
    [b"X: " + b"y" * 40_000 + b"\r\n", (b"X: " + b"y" * 995 + b"\r\n") * 40],
)
@pytest.mark.parametrize("is_interim", [False, True])
def test_the_size_of_all_headers_is_limited(head: bytes, *, is_interim: bool) -> None:
    """The limit includes interim responses."""
    final = b"HTTP/1.1 200 OK\r\n"
    interim = b"HTTP/1.1 103 Hints\r\n" + head + b"\r\n" + final
    whole = (interim if is_interim else final + head) + head + b"\r\n"
    with closing(whole) as peer, opened() as transport, pytest.raises(FAULTS):
        body_of(transport, peer.url)


def numbered(*before: bytes) -> Peer:
    """Return a peer that responds 0, 1, 2, ..., each after `before`."""

    def script(connection: PeerConnection) -> None:
        while peer.expect(connection):
            connection.send(*before, answer(b"%d" % (len(peer.requests) - 1)))

    peer = Peer(script)
    return peer


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
    with numbered(*before) as peer, opened() as transport:
        bodies = [body_of(transport, peer.url) for _ in range(4)]

    assert bodies == [b"0", b"1", b"2", b"3"]
    assert peer.connections == 1


@pytest.mark.parametrize(
    "before",
    [
        [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"],
        [b"HTTP/1.1 103 Early Hints\r\n\r\n"] * 21,
    ],
)
def test_a_response_without_a_final_status_is_a_fault(before: list[bytes]) -> None:
    """Its connection is not reused."""
    with numbered(*before) as peer, opened() as transport:
        for _ in range(2):
            with pytest.raises(FAULTS):
                body_of(transport, peer.url)

    assert peer.connections == 2


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"Content-Length: 5, 6\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n-2\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n-ffff\r\n",
    ],
)
def test_an_invalid_length_is_not_a_value_error(head: bytes) -> None:
    """A ValueError means an invalid URL."""
    with (
        closing(b"HTTP/1.1 200 OK\r\n" + head) as peer,
        opened() as transport,
        pytest.raises(FAULTS) as caught,
    ):
        body_of(transport, peer.url)

    assert not isinstance(caught.value, ValueError)


def test_netrc_and_environment_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password for the host would replace the header; proxies are passed in."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password hunter2\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with serving(answer()) as peer, opened() as transport:
        body = body_of(transport, peer.url)

    assert body == b"{}"
    assert b"Authorization: Bearer key" in lines(peer.requests[0])


def test_a_body_may_have_the_size_of_the_limit() -> None:
    """One byte more is too large."""
    with serving(answer(b"x" * 5000)) as peer, opened() as transport:
        allowed = body_of(transport, peer.url, limit=5000)
        too_large = body_of(transport, peer.url, limit=4999)

    assert allowed == b"x" * 5000
    assert too_large is None


@pytest.mark.parametrize("length", ["1001", "9" * 5000])
def test_a_content_length_beyond_the_limit_is_rejected(length: str) -> None:
    """The body, which this peer never sends, is not awaited."""

    def script(connection: PeerConnection) -> None:
        peer.expect(connection)
        connection.send(f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode())
        connection.hang()

    with Peer(script) as peer, opened() as transport:
        body = body_of(transport, peer.url, limit=1000)

    assert body is None


def test_an_endless_chunked_body_ends_at_the_limit() -> None:
    """The connection is closed."""

    def script(connection: PeerConnection) -> None:
        peer.expect(connection)
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.send(b"8000\r\n" + bytes(0x8000) + b"\r\n")

    with Peer(script) as peer, opened() as transport:
        body = body_of(transport, peer.url, limit=MIB)

    assert body is None


@pytest.mark.parametrize("size", [b"-1", b"7fffffffffffffff", b"1;" + b"x" * 60_000])
def test_invalid_chunk_sizes_end_at_the_limit_of_bytes(size: bytes) -> None:
    """Some make http.client read to the end; the socket counts bytes, too."""

    def script(connection: PeerConnection) -> None:
        peer.expect(connection)
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.send(size + b"\r\n" + bytes(0x8000) + b"\r\n")

    with Peer(script) as peer, opened() as transport:
        try:
            body = body_of(transport, peer.url, limit=MIB)
        except FAULTS:
            body = None

    assert body is None


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
    with (
        serving(chunked if is_chunked else plain) as peer,
        opened() as transport,
    ):
        tracemalloc.start()
        found = body_of(transport, peer.url, limit=4 * MIB)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert len(body) < 2 * MIB
    assert found is None
    assert peak < 30 * MIB


def test_gzip_is_decompressed() -> None:
    """It may have several members."""
    packed = gzip.compress(b'{"a":') + gzip.compress(b"1}")
    gzipped = answer(packed, headers=("Content-Encoding: GZIP",))
    with serving(gzipped) as peer, opened() as transport:
        body = body_of(transport, peer.url)

    assert body == b'{"a":1}'


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "zstd", "x"])
def test_other_encodings_are_rejected(encoding: str) -> None:
    """The request accepts gzip only; chained encodings are used by bombs."""
    encoded = answer(headers=(f"Content-Encoding: {encoding}",))
    with (
        serving(encoded) as peer,
        opened() as transport,
        pytest.raises(UnknownEncoding),
    ):
        body_of(transport, peer.url)


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        *(
            (url, None)
            for url in ("http://[::1", "http://a..b", "ftp://a", "http://", "x")
        ),
        # The sockets of a SOCKS proxy would have no deadline.
        ("http://braze.test", "socks5://127.0.0.1:1"),
        ("http://braze.test", "x://127.0.0.1:1"),
        ("http://braze.test", "http://"),
    ],
)
def test_an_invalid_url_or_proxy_is_a_fault(url: str, proxy: str | None) -> None:
    """One of the known exceptions is raised."""
    with opened(proxy=proxy) as transport, pytest.raises(FAULTS):
        body_of(transport, url)


def test_an_http_proxy_gets_the_whole_url() -> None:
    """The password of the proxy is sent in its own header."""
    with serving(answer()) as proxy:
        url = f"http://user:word@127.0.0.1:{proxy.port}"
        with opened(proxy=url) as transport:
            body_of(transport, "http://braze.test/campaigns/list")

    first, *headers = lines(proxy.requests[0])
    assert first == b"GET http://braze.test/campaigns/list?length=3 HTTP/1.1"
    assert b"Proxy-Authorization: Basic dXNlcjp3b3Jk" in headers


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return a certificate authority."""
    return trustme.CA()


@pytest.fixture
def ca_path(authority: trustme.CA, tmp_path: Path) -> str:
    """Return a file with the certificate of the authority."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture
def context(authority: trustme.CA) -> ssl.SSLContext:
    """Return the TLS context of a server at 127.0.0.1 and localhost."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


@contextmanager
def securing(context: ssl.SSLContext) -> Iterator[Peer]:
    """Yield a peer that responds over TLS."""

    def script(connection: PeerConnection) -> None:
        connection.secure(context)
        while peer.expect(connection):
            connection.send(answer(b'{"tls":1}'))

    with Peer(script) as peer:
        yield peer


def test_a_known_authority_is_trusted(context: ssl.SSLContext, ca_path: str) -> None:
    """The connection is reused."""
    with securing(context) as peer, opened(ca_path=ca_path) as transport:
        bodies = [
            body_of(transport, f"https://127.0.0.1:{peer.port}") for _ in range(2)
        ]

    assert bodies == [b'{"tls":1}'] * 2
    assert peer.connections == 1


def test_an_unknown_authority_is_not_trusted(context: ssl.SSLContext) -> None:
    """No request is sent."""
    with (
        securing(context) as peer,
        opened() as transport,
        pytest.raises(FAULTS, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        body_of(transport, f"https://127.0.0.1:{peer.port}")

    assert peer.requests == []


def test_a_certificate_of_another_host_is_not_trusted(
    authority: trustme.CA, ca_path: str
) -> None:
    """The certificate has to match the host name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("elsewhere.test").configure_cert(context)
    with (
        securing(context) as peer,
        opened(ca_path=ca_path) as transport,
        pytest.raises(FAULTS, match="certificate is not valid"),
    ):
        body_of(transport, f"https://127.0.0.1:{peer.port}")


@pytest.mark.parametrize("is_secure", [False, True])
def test_tls_uses_the_tunnel_of_a_proxy(
    context: ssl.SSLContext, ca_path: str, *, is_secure: bool
) -> None:
    """The proxy, with or without TLS, receives CONNECT and not the key."""

    def script(connection: PeerConnection) -> None:
        if is_secure:
            connection.secure(context)
        proxy.expect(connection)
        connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        connection.relay(peer.port)

    with securing(context) as peer, Peer(script) as proxy:
        url = f"{'https' if is_secure else 'http'}://127.0.0.1:{proxy.port}"
        with opened(ca_path=ca_path, proxy=url) as transport:
            bodies = [
                body_of(transport, f"https://localhost:{peer.port}") for _ in "ab"
            ]

    assert bodies == [b'{"tls":1}'] * 2
    assert lines(proxy.requests[0])[0].startswith(b"CONNECT localhost:")
    assert not any(b"Bearer" in request for request in proxy.requests)
    assert b"Authorization: Bearer key" in lines(peer.requests[0])


def test_a_directory_of_certificates_is_a_bundle(
    authority: trustme.CA, context: ssl.SSLContext, tmp_path: Path
) -> None:
    """OpenSSL opens the file with the hash of the issuer's name."""
    pem = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(pem)
    subprocess.run(["openssl", "rehash", tmp_path], check=True)
    with securing(context) as peer, opened(ca_path=str(tmp_path)) as transport:
        body = body_of(transport, f"https://127.0.0.1:{peer.port}")

    assert body == b'{"tls":1}'


@pytest.mark.parametrize("text", [None, "", "no certificate"])
def test_an_invalid_bundle_is_an_os_error(tmp_path: Path, text: str | None) -> None:
    """The file is missing or contains no certificates."""
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)

    with pytest.raises(OSError, match=r".*"):
        Transport(connections=1, ca_path=str(path), proxy=None)
