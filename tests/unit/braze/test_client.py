"""A fetch: its request, its response, and every failure."""

import random
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing as closed_after
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import responses
from exporter import __version__
from exporter.braze.client import Client
from exporter.braze.proxies import ProxySettings
from exporter.braze.responses import BrazeResponse
from exporter.braze.transport import DEFAULT_CA_BUNDLE_PATH
from exporter.model import errors
from exporter.model.config import KeySource, WorkspaceConfig
from exporter.model.errors import FailureReason
from exporter.model.rate_limit_headers import RateLimitHeaders
from exporter.system.api_key import Secret

from tests.support.scripted_peer import (
    PATIENCE_SECONDS,
    Peer,
    PeerConnection,
    Script,
    answer,
    closed_port,
    closing,
    serving,
    swallowing,
)

KEY = "11111111-aaaa-bbbb-cccc-222222222222"
BRAZE = "https://rest.iad-01.braze.com"
PATH = "campaigns/data_series"
SHORT_SECONDS = 0.3
NOW = 1_790_000_000.0
OK = b"HTTP/1.1 200 OK\r\n"


def client_of(
    endpoint: str,
    *,
    timeout_seconds: float = PATIENCE_SECONDS,
    proxy: str | None = None,
    ca_file: str | None = None,
    proxies: ProxySettings | None = None,
    read_key: Callable[[], Secret] = lambda: Secret(KEY),
    response_bytes: int = 1024 * 1024,
) -> Client:
    """Return the client of a workspace at `endpoint`."""
    workspace = WorkspaceConfig(
        name="production",
        endpoint=endpoint,
        key_source=KeySource(env="BRAZE_API_KEY"),
        timezone=ZoneInfo("UTC"),
        interval_seconds=300.0,
        requests_per_minute=120.0,
        reserve=0.2,
        concurrency=2,
        timeout_seconds=timeout_seconds,
        proxy=proxy,
        ca_file=ca_file,
        allow_http=True,
        campaigns=(),
    )
    return Client(
        workspace,
        read_key=read_key,
        proxies=proxies or ProxySettings(),
        response_bytes=response_bytes,
        now=lambda: NOW,
    )


def failure_of(client: Client) -> errors.FetchError:
    """Return the failure of a fetch; no text of it contains the key."""
    with closed_after(client), pytest.raises(errors.FetchError) as caught:
        client.fetch(PATH, {"length": 30})
    assert KEY not in "".join(traceback.format_exception(caught.value))
    return caught.value


@pytest.fixture
def braze() -> Iterator[responses.RequestsMock]:
    """Yield a mock of Braze without a network."""
    with responses.RequestsMock() as mock:
        yield mock


def test_a_request_contains_the_key_and_few_headers(
    braze: responses.RequestsMock,
) -> None:
    """The path is below the endpoint, the parameters are the query, no cookie."""
    braze.get(f"{BRAZE}/{PATH}", json={})

    client_of(f"{BRAZE}/").fetch(f"/{PATH}", {"campaign_id": "a b", "length": 30})

    request = braze.calls[0].request
    assert request.url == f"{BRAZE}/{PATH}?campaign_id=a+b&length=30"
    assert dict(request.headers) == {
        "User-Agent": f"braze-exporter/{__version__}",
        "Accept": "application/json",
        "Accept-Encoding": "gzip",
        "Authorization": f"Bearer {KEY}",
    }


def test_a_response_has_document_and_rate_limit(braze: responses.RequestsMock) -> None:
    """Header names are case-insensitive."""
    braze.get(
        f"{BRAZE}/{PATH}",
        json={"message": "success", "data": []},
        headers={
            "x-ratelimit-limit": "50000",
            "X-RATELIMIT-REMAINING": "49999",
            "X-RateLimit-Reset": "1790000060",
        },
    )

    found = client_of(BRAZE).fetch(PATH, {})

    assert found == BrazeResponse(
        document={"message": "success", "data": []},
        status=200,
        rate_limit=RateLimitHeaders(
            limit=50000, remaining=49999, reset_at=1790000060.0
        ),
        digest=found.digest,
    )


def test_a_failure_has_message_and_headers_of_the_response(
    braze: responses.RequestsMock,
) -> None:
    """The rate limit and the time to wait are parsed from an error, too."""
    braze.get(
        f"{BRAZE}/{PATH}",
        status=429,
        json={"message": "Slow down"},
        headers={"X-RateLimit-Remaining": "0", "Retry-After": "17"},
    )

    failure = failure_of(client_of(BRAZE))

    assert isinstance(failure, errors.Throttled)
    assert failure.reason is FailureReason.RATE_LIMITED
    assert failure.status == 429
    assert failure.rate_limit == RateLimitHeaders(remaining=0)
    assert failure.retry_after_seconds == 17.0
    assert "Braze: Slow down" in str(failure)


@pytest.mark.parametrize(
    ("response", "limit", "kind", "reason"),
    [
        ({"status": 503, "body": "<html>"}, 1, errors.Unavailable, "server_error"),
        ({"status": 503, "body": b"\xff"}, 1, errors.Unavailable, "server_error"),
        ({"status": 503, "body": "x" * 10**5}, 1, errors.Unavailable, "server_error"),
        ({"status": 503, "body": ""}, 1, errors.Unavailable, "server_error"),
        (
            {
                "status": 401,
                "body": b"no gzip",
                "headers": {"Content-Encoding": "gzip"},
            },
            1,
            errors.KeyRefused,
            "unauthorized",
        ),
        ({"body": "<html>"}, 1000, errors.Unavailable, "malformed"),
        ({"body": f"[{' ' * 1000}]"}, 1000, errors.Unusable, "too_large"),
    ],
)
def test_a_response_without_a_document_is_a_failure(
    braze: responses.RequestsMock,
    response: dict[str, Any],
    limit: int,
    kind: type[errors.FetchError],
    reason: str,
) -> None:
    """The body of an error may be anything; that of a success is bounded JSON."""
    braze.get(f"{BRAZE}/{PATH}", **response)

    failure = failure_of(client_of(BRAZE, response_bytes=limit))

    assert type(failure) is kind
    assert failure.reason == reason
    assert "(Braze: " not in str(failure)


def test_the_key_is_read_for_each_fetch(braze: responses.RequestsMock) -> None:
    """A rotated key is used by the next request."""
    braze.get(f"{BRAZE}/{PATH}", json={})
    keys = iter([Secret("old"), Secret("new")])
    client = client_of(BRAZE, read_key=lambda: next(keys))

    client.fetch(PATH, {})
    client.fetch(PATH, {})

    sent = [call.request.headers["Authorization"] for call in braze.calls]
    assert sent == ["Bearer old", "Bearer new"]


@pytest.mark.parametrize("status", [401, 403])
def test_the_refusal_of_a_replaced_key_is_temporary(
    braze: responses.RequestsMock, status: int
) -> None:
    """The key was replaced while the request was sent."""
    braze.get(f"{BRAZE}/{PATH}", status=status, json={"message": "no"})
    keys = iter([Secret("old"), Secret("new")])

    failure = failure_of(client_of(BRAZE, read_key=lambda: next(keys)))

    assert isinstance(failure, errors.KeyReplaced)
    assert "the key was replaced meanwhile" in str(failure)
    assert failure.status == status


def unreadable() -> Secret:
    """Raise like the read of a deleted key file."""
    raise FileNotFoundError


@pytest.mark.parametrize(
    ("read_key", "text"),
    [
        (unreadable, "cannot be read"),
        (lambda: Secret(""), "is empty"),
        *(
            (partial(Secret, text), "contains a character that is not allowed in")
            for text in ("sec\nret", "sec\rret", "secrét", "sec ret", "sec\0")
        ),
    ],
)
def test_an_invalid_key_is_refused_before_the_request(
    read_key: Callable[[], Secret], text: str
) -> None:
    """The message has the source of the key and no part of it."""
    failure = failure_of(client_of(BRAZE, read_key=read_key))

    assert isinstance(failure, errors.KeyRefused)
    assert failure.reason is FailureReason.UNAUTHORIZED
    assert f"environment variable BRAZE_API_KEY {text}" in str(failure)
    trace = "".join(traceback.format_exception(failure))
    assert "sec" not in trace.partition("API key from")[2]
    assert failure.__context__ is None


def test_a_failure_does_not_quote_a_key_that_the_peer_echoes() -> None:
    """No chained exception contains the response either."""
    with closing(f"Bearer {KEY}\r\n\r\n".encode()) as peer:
        failure = failure_of(client_of(peer.url))

    assert failure.__context__ is None
    assert failure.__cause__ is None


def test_a_redirect_is_not_followed() -> None:
    """The key is sent to the configured host only."""
    with serving(answer()) as other:
        location = f"Location: {other.url}/{PATH}"
        with serving(answer(status="302 Found", headers=(location,))) as peer:
            failure = failure_of(client_of(peer.url))

    assert isinstance(failure, errors.Unusable)
    assert failure.reason is FailureReason.REDIRECT
    assert "redirect to 127.0.0.1; redirects are not followed" in str(failure)
    assert other.connections == 0


def dripping(head: bytes, piece: bytes) -> Callable[[PeerConnection], None]:
    """Return a script that sends `head` and then `piece` for ever."""

    def script(connection: PeerConnection) -> None:
        connection.send(head)
        connection.drip(piece)

    return script


DRIPPING_BODY = dripping(
    OK + b"X-RateLimit-Remaining: 5\r\nContent-Length: 9999\r\n\r\n", b" "
)


@contextmanager
def responding(respond: Script) -> Iterator[Peer]:
    """Yield a peer that follows a script after each request."""

    def script(connection: PeerConnection) -> None:
        peer.expect(connection)
        respond(connection)

    with Peer(script) as peer:
        yield peer


@pytest.mark.parametrize(
    "respond",
    [
        PeerConnection.hang,
        dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        dripping(OK + b"X-Long: ", b"x"),
        DRIPPING_BODY,
        dripping(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        dripping(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
    ],
    ids=["hang", "status", "headers", "body", "chunks", "trailers"],
)
def test_the_timeout_applies_to_the_whole_response(respond: Script) -> None:
    """A byte now and then does not extend it."""
    with responding(respond) as peer:
        started = time.monotonic()
        failure = failure_of(client_of(peer.url, timeout_seconds=SHORT_SECONDS))
        took_seconds = time.monotonic() - started

    assert isinstance(failure, errors.Unavailable)
    assert failure.reason is FailureReason.TIMEOUT
    assert f"no complete response within {SHORT_SECONDS} s" in str(failure)
    assert took_seconds < PATIENCE_SECONDS / 2


def test_a_timeout_within_the_body_keeps_the_headers() -> None:
    """Status and rate limit are those of the incomplete response."""
    with responding(DRIPPING_BODY) as peer:
        failure = failure_of(client_of(peer.url, timeout_seconds=SHORT_SECONDS))

    assert failure.status == 200
    assert failure.rate_limit == RateLimitHeaders(remaining=5)


def test_the_timeout_applies_to_connecting() -> None:
    """The host drops all packets."""
    with swallowing() as port:
        url = f"http://127.0.0.1:{port}"
        failure = failure_of(client_of(url, timeout_seconds=SHORT_SECONDS))

    assert failure.reason is FailureReason.TIMEOUT


@pytest.mark.parametrize(
    "script", [PeerConnection.hang, dripping(b"\x16\x03\x03\x40\x00", b"\x02")]
)
def test_the_timeout_applies_to_the_tls_handshake(script: Script) -> None:
    """The server sends nothing, or a TLS record byte by byte."""
    with Peer(script) as peer:
        url = f"https://127.0.0.1:{peer.port}"
        failure = failure_of(client_of(url, timeout_seconds=SHORT_SECONDS))

    assert failure.reason is FailureReason.TIMEOUT


@pytest.mark.parametrize(
    "respond", [PeerConnection.hang, dripping(OK + b"X-Long: ", b"x")]
)
def test_the_timeout_applies_to_the_response_of_a_proxy(respond: Script) -> None:
    """The proxy does not complete its response to CONNECT."""
    with responding(respond) as peer:
        client = client_of(BRAZE, timeout_seconds=SHORT_SECONDS, proxy=peer.url)
        failure = failure_of(client)

    assert failure.reason is FailureReason.TIMEOUT
    assert f"through the proxy 127.0.0.1:{peer.port}" in str(failure)
    assert peer.requests[0].startswith(b"CONNECT rest.iad-01.braze.com:443 ")
    assert KEY.encode() not in peer.requests[0]


def reset_in_body(connection: PeerConnection) -> None:
    """Reset the connection within the body."""
    connection.send(OK, b"Content-Length: 9999\r\n\r\n[1")
    connection.reset()


@pytest.mark.parametrize("respond", [PeerConnection.reset, reset_in_body])
def test_a_reset_is_a_connection_failure(respond: Script) -> None:
    """Before the headers or within the body."""
    with responding(respond) as peer:
        failure = failure_of(client_of(peer.url))

    assert isinstance(failure, errors.Unavailable)
    assert failure.reason is FailureReason.CONNECTION
    assert "connection reset by peer" in str(failure)


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (b"", "closed without a response"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not valid HTTP"),
        (b"HTTP/1.1 99999 Huh\r\n\r\n", "not valid HTTP"),
        (OK + b"X: " + b"y" * 100_000 + b"\r\n\r\n", "not valid HTTP"),
        (OK + b"X: y\r\n" * 200 + b"\r\n", "not valid HTTP"),
        (OK + b"Content-Length: 5\r\n\r\n[1", "incomplete response"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\n[1", "incomplete response"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nno\r\n", "incomplete response"),
        (OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", "not valid HTTP"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n-2\r\n", "not valid HTTP"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "not valid HTTP"),
    ],
)
def test_an_invalid_response_is_a_connection_failure(reply: bytes, text: str) -> None:
    """Other protocols, invalid headers and incomplete bodies."""
    with closing(reply) as peer:
        failure = failure_of(client_of(peer.url))

    assert isinstance(failure, errors.Unavailable)
    assert failure.reason is FailureReason.CONNECTION
    assert text in str(failure)
    assert "object at 0x" not in str(failure)


@pytest.mark.parametrize(
    "reply",
    [
        OK + b"Content-Length: 0\r\n\r\n",
        OK + b"Content-Length: 5\r\nContent-Encoding: gzip\r\n\r\n[1,2]",
        OK + b"Content-Length: 2\r\nContent-Encoding: br\r\n\r\n[]",
        OK + b"not a header\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ],
)
def test_an_empty_or_undecodable_response_is_malformed(reply: bytes) -> None:
    """Empty bodies, invalid and unknown encodings."""
    with closing(reply) as peer:
        failure = failure_of(client_of(peer.url))

    assert isinstance(failure, errors.Unavailable)
    assert failure.reason is FailureReason.MALFORMED


def test_endless_trailers_are_too_large() -> None:
    """The limit of bytes applies to all that is received."""

    def respond(connection: PeerConnection) -> None:
        connection.send(OK, b"Transfer-Encoding: chunked\r\n\r\n0\r\n")
        while True:
            connection.send(b"X: y\r\n" * 10_000)

    with responding(respond) as peer:
        failure = failure_of(client_of(peer.url))

    assert isinstance(failure, errors.Unusable)
    assert failure.reason is FailureReason.TOO_LARGE


@pytest.mark.parametrize(
    ("endpoint", "text"),
    [
        ("http://127.0.0.1:{closed_port}", "connection refused; check host and port"),
        # `invalid` is the domain that never exists (RFC 6761, 6.4).
        ("https://rest.invalid", "https://rest.invalid: name"),
    ],
)
def test_an_unreachable_host_is_a_connection_failure(endpoint: str, text: str) -> None:
    """The message contains the cause; there is no status."""
    failure = failure_of(client_of(endpoint.format(closed_port=closed_port())))

    assert failure.reason is FailureReason.CONNECTION
    assert (failure.status, failure.rate_limit) == (None, None)
    assert text in str(failure)


def test_a_server_without_tls_is_a_connection_failure() -> None:
    """The endpoint is https, and the server speaks plain HTTP."""

    def script(connection: PeerConnection) -> None:
        connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        connection.hang()

    with Peer(script) as peer:
        failure = failure_of(client_of(f"https://127.0.0.1:{peer.port}"))

    assert failure.reason is FailureReason.CONNECTION
    assert "TLS failed: wrong version number" in str(failure)


def test_a_proxy_that_refuses_the_tunnel_is_a_connection_failure() -> None:
    """The message contains its status and not the password of the proxy."""
    with serving(answer(status="407 Proxy Authentication Required")) as proxy:
        url = f"http://user:hunter2@127.0.0.1:{proxy.port}"
        failure = failure_of(client_of(BRAZE, proxy=url))

    assert failure.reason is FailureReason.CONNECTION
    assert "the proxy refuses the tunnel with 407; it requires user" in str(failure)
    assert "hunter2" not in "".join(traceback.format_exception(failure))


def test_a_missing_ca_bundle_is_a_failure(tmp_path: Path) -> None:
    """Each fetch tries again, so a bundle may be mounted later."""
    bundle = tmp_path / "ca.pem"
    with serving(answer()) as peer:
        client = client_of(peer.url, ca_file=str(bundle))
        with pytest.raises(errors.Unavailable, match="cannot be loaded: no such file"):
            client.fetch(PATH, {})
        bundle.write_bytes(Path(DEFAULT_CA_BUNDLE_PATH).read_bytes())
        found = client.fetch(PATH, {})
        client.close()

    assert found.status == 200


@pytest.mark.parametrize("seed", range(40))
def test_random_bytes_are_a_response_or_a_failure(seed: int) -> None:
    """No other exception is raised."""
    rng = random.Random(seed)
    reply = bytearray(
        answer(
            b'{"message": "success", "data": []}',
            headers=("X-RateLimit-Limit: 5", "Set-Cookie: a=b", "Content-Type: a; b=c"),
        )
    )
    for _ in range(rng.randint(1, 12)):
        start = rng.randrange(len(reply))
        reply[start : start + rng.randint(0, 9)] = rng.randbytes(rng.randint(0, 3))
    with (
        closing(bytes(reply)) as peer,
        closed_after(client_of(peer.url)) as client,
        suppress(errors.FetchError),
    ):
        client.fetch(PATH, {})


@pytest.mark.parametrize("has_own_proxy", [False, True])
def test_the_proxy_of_the_workspace_overrides_the_environment(
    *, has_own_proxy: bool
) -> None:
    """NO_PROXY applies to the environment's proxy only."""
    with serving(answer()) as proxy:
        environment = {"HTTP_PROXY": proxy.url}
        if has_own_proxy:
            environment = {
                "HTTP_PROXY": f"http://127.0.0.1:{closed_port()}",
                "NO_PROXY": "*",
            }
        client = client_of(
            "http://braze.test",
            proxies=ProxySettings.from_environment(environment),
            proxy=proxy.url if has_own_proxy else None,
        )
        with closed_after(client):
            client.fetch(PATH, {})

    assert proxy.requests[0].startswith(b"GET http://braze.test/campaigns/data_series")


@pytest.mark.parametrize("respond", [PeerConnection.hang, DRIPPING_BODY])
def test_abort_ends_all_fetches(respond: Script) -> None:
    """Fetches in progress fail long before their timeout, later ones at once."""
    failures: list[errors.FetchError] = []
    with responding(respond) as peer:
        client = client_of(peer.url)
        threads = [
            threading.Thread(target=lambda: failures.append(failure_of(client)))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        peer.arrived.wait(PATIENCE_SECONDS)
        started = time.monotonic()
        client.abort()
        for thread in threads:
            thread.join()
        took_seconds = time.monotonic() - started
        failures.append(failure_of(client))

    assert took_seconds < PATIENCE_SECONDS / 4
    assert [failure.reason for failure in failures] == [FailureReason.CONNECTION] * 3
    assert all("the exporter is stopping" in str(failure) for failure in failures)


def test_abort_ends_a_tls_handshake() -> None:
    """A fetch fails that has not connected yet."""
    has_started = threading.Event()

    def script(connection: PeerConnection) -> None:
        connection.send(b"\x16")
        has_started.set()
        connection.hang()

    failures: list[errors.FetchError] = []
    with Peer(script) as peer:
        client = client_of(f"https://127.0.0.1:{peer.port}")
        thread = threading.Thread(target=lambda: failures.append(failure_of(client)))
        thread.start()
        has_started.wait(PATIENCE_SECONDS)
        client.abort()
        thread.join(PATIENCE_SECONDS / 4)

    assert "the exporter is stopping" in str(failures[0])


def test_a_document_is_parsed_unless_it_is_cached() -> None:
    """The response contains the parsed value; the digest of the body is the key."""
    digests: list[int] = []

    def cached(digest: int) -> object | None:
        digests.append(digest)
        return "cached" if digests.count(digest) > 1 else None

    found = []
    for body in (b"[1]", b"[1]", b"[2]"):
        with (
            serving(answer(body)) as peer,
            closed_after(client_of(peer.url)) as client,
        ):
            found.append(client.fetch(PATH, {}, repr, cached))

    assert [each.document for each in found] == ["[1]", "cached", "[2]"]
    assert [each.digest for each in found] == digests
    assert found[1].status == 200
    assert found[1].rate_limit == found[0].rate_limit


def test_the_process_parses_one_document_at_a_time() -> None:
    """Parsing a malicious document takes fifty times its size."""
    may_end, is_parsing = threading.Event(), threading.Event()
    parsed: list[object] = []

    def parse(document: object) -> object:
        is_parsing.set()
        may_end.wait(PATIENCE_SECONDS)
        return document

    with (
        serving(answer()) as peer,
        closed_after(client_of(peer.url)) as first,
        closed_after(client_of(peer.url)) as second,
    ):
        slow = threading.Thread(target=lambda: first.fetch(PATH, {}, parse))
        slow.start()
        is_parsing.wait(PATIENCE_SECONDS)
        other = threading.Thread(target=lambda: second.fetch(PATH, {}, parsed.append))
        other.start()
        other.join(0.2)
        parsed_meanwhile = list(parsed)
        may_end.set()
        slow.join(PATIENCE_SECONDS)
        other.join(PATIENCE_SECONDS)

    assert parsed_meanwhile == []
    assert parsed == [{}]


def test_threads_share_the_connections() -> None:
    """There are at most as many connections as threads."""
    found: list[BrazeResponse] = []
    with serving(answer(b"[1]")) as peer, closed_after(client_of(peer.url)) as client:

        def fetch() -> None:
            found.extend(client.fetch(PATH, {}) for _ in range(20))

        threads = [threading.Thread(target=fetch) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert [one.document for one in found] == [[1]] * 40
    assert peer.connections <= 2
