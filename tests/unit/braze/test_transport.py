"""Connections to real peers: what is kept, what is refused, what a body may cost."""

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

from tests.support.scripted_peer import Peer, Turn, answer, closing, serving

MIB = 1024 * 1024


class Clock:
    """A monotonic clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the instant it was moved to."""
        return self.now


@contextmanager
def opened(
    *,
    clock: Clock | None = None,
    ca_path: str = DEFAULT_CA_BUNDLE_PATH,
    proxy: str | None = None,
) -> Iterator[Transport]:
    """Yield a transport, with a deadline of ten seconds that no test reaches."""
    transport = Transport(connections=2, ca_path=ca_path, proxy=proxy)
    limits = Deadline(seconds=1e6, received_bytes=8 * MIB, clock=clock or Clock())
    token = current.set(limits)
    try:
        yield transport
    finally:
        current.reset(token)
        transport.close()


def got(transport: Transport, url: str, *, limit: int = MIB) -> bytes | None:
    """Get the body of one answer."""
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
    """Return a request's lines, in order."""
    return request.rstrip(b"\r\n").split(b"\r\n")


def test_the_request_holds_what_was_asked_and_no_more() -> None:
    """Nothing is added to our headers but Host."""
    with serving(answer()) as peer, opened() as transport:
        got(transport, f"{peer.url}/campaigns/list")

    assert lines(peer.requests[0]) == [
        b"GET /campaigns/list?length=3 HTTP/1.1",
        b"Host: 127.0.0.1:%d" % peer.port,
        b"User-Agent: test",
        b"Authorization: Bearer key",
        b"Accept-Encoding: gzip",
    ]


def test_a_connection_is_used_again() -> None:
    """Three requests, one connection, also after an answer that was an error."""
    with serving(answer(status="404 Not Found")) as peer, opened() as transport:
        bodies = [got(transport, peer.url) for _ in range(3)]

    assert bodies == [b"{}"] * 3
    assert peer.connections == 1


def test_a_connection_the_peer_closed_is_replaced() -> None:
    """A server that ends idle connections is not noticed."""
    with closing(answer()) as peer, opened() as transport:
        first = got(transport, peer.url)
        peer.closed.wait()
        second = got(transport, peer.url)

    assert (first, second) == (b"{}", b"{}")
    assert peer.connections == 2


def test_a_reset_while_connecting_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Urllib3 alone would go on without a socket and stumble over it."""

    def reset(*_: object) -> None:
        raise ConnectionResetError(errno.ECONNRESET, "reset")

    monkeypatch.setattr(deadline, "open_socket", reset)
    with opened() as transport, pytest.raises(FAULTS, match="reset"):
        got(transport, "http://127.0.0.1:1")


def test_an_old_connection_is_replaced() -> None:
    """What was idle so long may be forgotten by a firewall without a word."""
    clock = Clock()
    with serving(answer()) as peer, opened(clock=clock) as transport:
        got(transport, peer.url)
        clock.now += IDLE_LIMIT_SECONDS - 1
        got(transport, peer.url)
        young = peer.connections
        clock.now += IDLE_LIMIT_SECONDS
        got(transport, peer.url)

    assert (young, peer.connections) == (1, 2)


def test_cookies_are_not_sent_back() -> None:
    """What an answer sets is forgotten with it."""
    cookie = answer(headers=("Set-Cookie: tracked=1; Path=/",))
    with serving(cookie) as peer, opened() as transport:
        got(transport, peer.url)
        got(transport, peer.url)

    assert not any(b"ookie" in request for request in peer.requests)


def test_cookies_are_not_even_parsed() -> None:
    """The standard library makes seventy times its size of such headers."""
    bomb = f"Set-Cookie2: {'a,' * 30_000}"
    cookie = answer(headers=("Set-Cookie: a=b", bomb))
    with serving(cookie) as peer, opened() as transport:
        got(transport, peer.url)
        tracemalloc.start()
        got(transport, peer.url)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert peak < 2 * MIB


@pytest.mark.parametrize(
    "head",
    [b"X: " + b"y" * 40_000 + b"\r\n", (b"X: " + b"y" * 995 + b"\r\n") * 40],
)
@pytest.mark.parametrize("is_interim", [False, True])
def test_headers_have_a_limit_in_sum(head: bytes, *, is_interim: bool) -> None:
    """However they are spread over lines and interim answers."""
    final = b"HTTP/1.1 200 OK\r\n"
    begun = b"HTTP/1.1 103 Hints\r\n" + head + b"\r\n" + final
    whole = (begun if is_interim else final + head) + head + b"\r\n"
    with closing(whole) as peer, opened() as transport, pytest.raises(FAULTS):
        got(transport, peer.url)


def numbered(*before: bytes) -> Peer:
    """Return a peer whose answers are 0, 1, 2, ..., each after `before`."""

    def script(turn: Turn) -> None:
        while peer.expect(turn):
            turn.send(*before, answer(b"%d" % (len(peer.requests) - 1)))

    peer = Peer(script)  # which the script refers to
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
def test_interim_answers_are_passed_over(before: list[bytes]) -> None:
    """Else each request would read the answer to the one before it."""
    with numbered(*before) as peer, opened() as transport:
        bodies = [got(transport, peer.url) for _ in range(4)]

    assert bodies == [b"0", b"1", b"2", b"3"]
    assert peer.connections == 1


@pytest.mark.parametrize(
    "before",
    [
        [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"],
        [b"HTTP/1.1 103 Early Hints\r\n\r\n"] * 21,
    ],
)
def test_an_answer_that_is_never_final_is_a_fault(before: list[bytes]) -> None:
    """Whatever follows it is left with its connection."""
    with numbered(*before) as peer, opened() as transport:
        for _ in range(2):
            with pytest.raises(FAULTS):
                got(transport, peer.url)

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
def test_nonsense_about_the_length_is_no_value_error(head: bytes) -> None:
    """That is what an unusable URL raises."""
    with (
        closing(b"HTTP/1.1 200 OK\r\n" + head) as peer,
        opened() as transport,
        pytest.raises(FAULTS) as caught,
    ):
        got(transport, peer.url)

    assert not isinstance(caught.value, ValueError)


def test_netrc_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password kept for the host does not replace our header."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password hunter2\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with serving(answer()) as peer, opened() as transport:
        got(transport, peer.url)

    assert b"Authorization: Bearer key" in lines(peer.requests[0])


def test_the_process_environment_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies are given, not looked up for each request."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with serving(answer()) as peer, opened() as transport:
        body = got(transport, peer.url)

    assert body == b"{}"


def test_a_body_up_to_the_limit_passes() -> None:
    """The limit itself is allowed, one byte more is not."""
    with serving(answer(b"x" * 5000)) as peer, opened() as transport:
        fits = got(transport, peer.url, limit=5000)
        passes = got(transport, peer.url, limit=4999)

    assert fits == b"x" * 5000
    assert passes is None


@pytest.mark.parametrize("length", ["1001", "9" * 5000])
def test_a_claimed_length_beyond_the_limit_is_refused_at_once(length: str) -> None:
    """Nothing of the body is waited for: this peer never sends it."""

    def script(turn: Turn) -> None:
        peer.expect(turn)
        turn.send(f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode())
        turn.hang()

    with Peer(script) as peer, opened() as transport:
        body = got(transport, peer.url, limit=1000)

    assert body is None


def test_an_endless_chunked_body_ends_at_the_limit() -> None:
    """The connection is closed in the middle of the body."""

    def script(turn: Turn) -> None:
        peer.expect(turn)
        turn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            turn.send(b"8000\r\n" + bytes(0x8000) + b"\r\n")

    with Peer(script) as peer, opened() as transport:
        body = got(transport, peer.url, limit=MIB)

    assert body is None


@pytest.mark.parametrize("size", [b"-1", b"7fffffffffffffff", b"1;" + b"x" * 60_000])
def test_strange_chunk_sizes_cost_no_more_than_the_deadline_allows(size: bytes) -> None:
    """Some sizes make http.client read to the end: the socket counts, too."""

    def script(turn: Turn) -> None:
        peer.expect(turn)
        turn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            turn.send(size + b"\r\n" + bytes(0x8000) + b"\r\n")

    with Peer(script) as peer, opened() as transport:
        try:
            body = got(transport, peer.url, limit=MIB)
        except FAULTS:
            body = None

    assert body is None


def bomb(mebibytes: int) -> bytes:
    """Return gzip of so many MiB of zeros; no trailer, for nobody gets so far."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + block * (mebibytes - 1)


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_bomb_costs_little_memory(*, is_chunked: bool) -> None:
    """A gibibyte in a mebibyte is left at the limit, not unpacked."""
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
        found = got(transport, peer.url, limit=4 * MIB)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert len(body) < 2 * MIB
    assert found is None
    assert peak < 30 * MIB


def test_gzip_is_unpacked() -> None:
    """In one member or in several."""
    packed = gzip.compress(b'{"a":') + gzip.compress(b"1}")
    gzipped = answer(packed, headers=("Content-Encoding: GZIP",))
    with serving(gzipped) as peer, opened() as transport:
        body = got(transport, peer.url)

    assert body == b'{"a":1}'


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "zstd", "x"])
def test_other_encodings_are_refused(encoding: str) -> None:
    """Only gzip was asked for; chains of it are a bomb's favourite."""
    strange = answer(headers=(f"Content-Encoding: {encoding}",))
    with (
        serving(strange) as peer,
        opened() as transport,
        pytest.raises(UnknownEncoding),
    ):
        got(transport, peer.url)


@pytest.mark.parametrize(
    "url", ["http://[::1", "http://a..b", "ftp://a", "http://", "x"]
)
def test_an_unusable_url_is_a_fault(url: str) -> None:
    """Whatever is wrong with it, one of the known kinds is raised."""
    with opened() as transport, pytest.raises(FAULTS):
        got(transport, url)


@pytest.mark.parametrize(
    "proxy", ["socks5://127.0.0.1:1", "x://127.0.0.1:1", "http://"]
)
def test_an_unusable_proxy_is_a_fault(proxy: str) -> None:
    """SOCKS included: its sockets would keep no deadline."""
    with opened(proxy=proxy) as transport, pytest.raises(FAULTS):
        got(transport, "http://braze.test")


def test_an_http_proxy_gets_the_whole_url() -> None:
    """The proxy is connected to, and its own password is its own header."""
    with serving(answer()) as proxy:
        way = f"http://user:word@127.0.0.1:{proxy.port}"
        with opened(proxy=way) as transport:
            got(transport, "http://braze.test/campaigns/list")

    first, *headers = lines(proxy.requests[0])
    assert first == b"GET http://braze.test/campaigns/list?length=3 HTTP/1.1"
    assert b"Proxy-Authorization: Basic dXNlcjp3b3Jk" in headers


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return a certificate authority that nobody trusts."""
    return trustme.CA()


@pytest.fixture
def ca_path(authority: trustme.CA, tmp_path: Path) -> str:
    """Return a file with its certificate."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture
def context(authority: trustme.CA) -> ssl.SSLContext:
    """Return what a server at 127.0.0.1 and localhost needs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


@contextmanager
def securing(context: ssl.SSLContext) -> Iterator[Peer]:
    """Yield a peer that answers over TLS."""

    def script(turn: Turn) -> None:
        turn.secure(context)
        while peer.expect(turn):
            turn.send(answer(b'{"tls":1}'))

    with Peer(script) as peer:
        yield peer


def test_a_known_authority_is_trusted(context: ssl.SSLContext, ca_path: str) -> None:
    """With the company's file the company's server is spoken to, and kept."""
    with securing(context) as peer, opened(ca_path=ca_path) as transport:
        bodies = [got(transport, f"https://127.0.0.1:{peer.port}") for _ in range(2)]

    assert bodies == [b'{"tls":1}'] * 2
    assert peer.connections == 1


def test_an_unknown_authority_is_not_trusted(context: ssl.SSLContext) -> None:
    """Without the file nothing is sent."""
    with (
        securing(context) as peer,
        opened() as transport,
        pytest.raises(FAULTS, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        got(transport, f"https://127.0.0.1:{peer.port}")

    assert peer.requests == []


def test_a_certificate_of_another_host_is_not_trusted(
    authority: trustme.CA, ca_path: str
) -> None:
    """A known authority is not enough: the name must fit."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("elsewhere.test").configure_cert(context)
    with (
        securing(context) as peer,
        opened(ca_path=ca_path) as transport,
        pytest.raises(FAULTS, match="certificate is not valid"),
    ):
        got(transport, f"https://127.0.0.1:{peer.port}")


@pytest.mark.parametrize("is_secure", [False, True])
def test_tls_goes_through_a_proxys_tunnel(
    context: ssl.SSLContext, ca_path: str, *, is_secure: bool
) -> None:
    """The proxy, plain or itself behind TLS, sees a CONNECT and never the key."""

    def script(turn: Turn) -> None:
        if is_secure:
            turn.secure(context)
        proxy.expect(turn)
        turn.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        turn.relay(peer.port)

    with securing(context) as peer, Peer(script) as proxy:
        way = f"{'https' if is_secure else 'http'}://127.0.0.1:{proxy.port}"
        with opened(ca_path=ca_path, proxy=way) as transport:
            bodies = [got(transport, f"https://localhost:{peer.port}") for _ in "ab"]

    assert bodies == [b'{"tls":1}'] * 2
    assert lines(proxy.requests[0])[0].startswith(b"CONNECT localhost:")
    assert not any(b"Bearer" in request for request in proxy.requests)
    assert b"Authorization: Bearer key" in lines(peer.requests[0])


def test_a_directory_of_certificates_is_a_bundle(
    authority: trustme.CA, context: ssl.SSLContext, tmp_path: Path
) -> None:
    """OpenSSL looks there for a file named after the hash of the issuer's name."""
    pem = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(pem)
    subprocess.run(["openssl", "rehash", tmp_path], check=True)
    with securing(context) as peer, opened(ca_path=str(tmp_path)) as transport:
        body = got(transport, f"https://127.0.0.1:{peer.port}")

    assert body == b'{"tls":1}'


@pytest.mark.parametrize("text", [None, "", "no certificate"])
def test_an_unusable_bundle_is_told(tmp_path: Path, text: str | None) -> None:
    """A missing file and one without certificates raise at the start."""
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)

    with pytest.raises(OSError, match=r".*"):
        Transport(connections=1, ca_path=str(path), proxy=None)
