"""One fetch: what is asked, what each answer means, how each fault ends."""

import random
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing as closed_after
from contextlib import contextmanager
from pathlib import Path
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
    Script,
    Turn,
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
    egress: ProxySettings | None = None,
    read_key: Callable[[], Secret] = lambda: Secret(KEY),
    response_bytes: int = 1024 * 1024,
) -> Client:
    """Return a client of one workspace at `endpoint`."""
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
        egress=egress or ProxySettings(),
        response_bytes=response_bytes,
        now=lambda: NOW,
    )


def failure_of(client: Client) -> errors.FetchError:
    """Fetch, and return the failure that comes of it."""
    with closed_after(client), pytest.raises(errors.FetchError) as caught:
        client.fetch(PATH, {"length": 30})
    assert KEY not in "".join(traceback.format_exception(caught.value))
    return caught.value


# Answers, without a network.


@pytest.fixture
def braze() -> Iterator[responses.RequestsMock]:
    """Yield a Braze that answers what the test says."""
    with responses.RequestsMock() as mock:
        yield mock


def test_a_fetch_asks_with_the_key_and_few_words(braze: responses.RequestsMock) -> None:
    """The path is below the endpoint, the parameters are the query, no cookie goes."""
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


def test_a_good_answer_is_document_and_allowance(braze: responses.RequestsMock) -> None:
    """Header names are matched without case."""
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
        allowance=RateLimitHeaders(limit=50000, remaining=49999, reset_at=1790000060.0),
        digest=found.digest,
    )


def test_a_refusal_keeps_what_braze_said(braze: responses.RequestsMock) -> None:
    """Message, allowance and the time to wait are taken from an error, too."""
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
    assert failure.allowance == RateLimitHeaders(remaining=0)
    assert failure.retry_after_seconds == 17.0
    assert "Braze says: Slow down" in str(failure)


@pytest.mark.parametrize("body", [b"<html>", b"\xff", b"x" * 100_000, b""])
def test_a_refusal_without_a_message_is_one(
    braze: responses.RequestsMock, body: bytes
) -> None:
    """Pages of a CDN, binary and endless bodies leave the status as it is."""
    braze.get(f"{BRAZE}/{PATH}", status=503, body=body)

    failure = failure_of(client_of(BRAZE))

    assert failure.reason is FailureReason.SERVER_ERROR
    assert "Braze says" not in str(failure)


def test_a_refusal_that_cannot_be_unpacked_is_one(
    braze: responses.RequestsMock,
) -> None:
    """The status says what is next, also when the body says nothing."""
    headers = {"Content-Encoding": "gzip"}
    braze.get(f"{BRAZE}/{PATH}", status=401, body=b"no gzip", headers=headers)

    failure = failure_of(client_of(BRAZE))

    assert failure.reason is FailureReason.UNAUTHORIZED


def test_a_body_that_is_no_json_is_malformed(braze: responses.RequestsMock) -> None:
    """What cannot be a document is a passing fault of the way to Braze."""
    braze.get(f"{BRAZE}/{PATH}", body="<html>")

    failure = failure_of(client_of(BRAZE))

    assert isinstance(failure, errors.Unavailable)
    assert failure.reason is FailureReason.MALFORMED


def test_a_body_beyond_the_limit_is_too_large(braze: responses.RequestsMock) -> None:
    """The next slot tries again, for at once it would be no smaller."""
    braze.get(f"{BRAZE}/{PATH}", body="[" + " " * 1000 + "]")

    failure = failure_of(client_of(BRAZE, response_bytes=1000))

    assert isinstance(failure, errors.Unusable)
    assert failure.reason is FailureReason.TOO_LARGE


# The key.


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
def test_a_key_that_was_replaced_meanwhile_is_told(
    braze: responses.RequestsMock, status: int
) -> None:
    """The refusal says nothing about the key that is there by now."""
    braze.get(f"{BRAZE}/{PATH}", status=status, json={"message": "no"})
    keys = iter([Secret("old"), Secret("new")])

    failure = failure_of(client_of(BRAZE, read_key=lambda: next(keys)))

    assert isinstance(failure, errors.KeyReplaced)
    assert "there is another key by now" in str(failure)
    assert failure.status == status


@pytest.mark.parametrize("text", ["sec\nret", "sec\rret", "secrét", "sec ret", "sec\0"])
def test_a_key_that_no_header_can_carry_is_refused(text: str) -> None:
    """Before anything is sent, and no text or exception down the chain holds it."""
    failure = failure_of(client_of(BRAZE, read_key=lambda: Secret(text)))

    assert isinstance(failure, errors.KeyRefused)
    assert failure.reason is FailureReason.UNAUTHORIZED
    assert "environment variable BRAZE_API_KEY holds what no HTTP" in str(failure)
    assert "sec" not in "".join(traceback.format_exception(failure)).partition("key")[2]
    assert failure.__context__ is None


def unreadable() -> Secret:
    """Fail as a key file that is gone does."""
    raise FileNotFoundError


@pytest.mark.parametrize(
    ("read_key", "text"),
    [(lambda: Secret(""), "is empty"), (unreadable, "cannot be read")],
)
def test_a_missing_key_is_refused(read_key: Callable[[], Secret], text: str) -> None:
    """An empty or unreadable source is told by its name."""
    failure = failure_of(client_of(BRAZE, read_key=read_key))

    assert isinstance(failure, errors.KeyRefused)
    assert text in str(failure)


def test_an_echoed_key_is_in_no_text() -> None:
    """A peer that answers with our own header shows it to nobody."""
    with closing(f"Bearer {KEY}\r\n\r\n".encode()) as peer:
        failure = failure_of(client_of(peer.url))

    assert failure.__context__ is None
    assert failure.__cause__ is None


def test_a_redirect_is_not_followed() -> None:
    """The key goes to the configured host only: the other is never connected to."""
    with serving(answer()) as other:
        location = f"Location: {other.url}/{PATH}"
        moved = answer(status="302 Found", headers=(location,))
        with serving(moved) as peer:
            failure = failure_of(client_of(peer.url))

    assert isinstance(failure, errors.Unusable)
    assert failure.reason is FailureReason.REDIRECT
    assert "points to 127.0.0.1" in str(failure)
    assert other.connections == 0


# Time.


def hang(peer: Peer, turn: Turn) -> None:
    """Never answer."""
    peer.expect(turn)
    turn.hang()


def drip_headers(peer: Peer, turn: Turn) -> None:
    """Send one header byte by byte for ever."""
    peer.expect(turn)
    turn.send(OK, b"X-Long: ")
    turn.drip(b"x")


def drip_status(peer: Peer, turn: Turn) -> None:
    """Say "continue" for ever."""
    peer.expect(turn)
    turn.drip(b"HTTP/1.1 100 Continue\r\n\r\n")


def drip_body(peer: Peer, turn: Turn) -> None:
    """Send a long body byte by byte."""
    peer.expect(turn)
    turn.send(OK, b"X-RateLimit-Remaining: 5\r\nContent-Length: 9999\r\n\r\n")
    turn.drip(b" ")


def drip_chunks(peer: Peer, turn: Turn) -> None:
    """Send chunks of one byte for ever."""
    peer.expect(turn)
    turn.send(OK, b"Transfer-Encoding: chunked\r\n\r\n")
    turn.drip(b"1\r\n \r\n")


def drip_trailers(peer: Peer, turn: Turn) -> None:
    """End the body and send trailers for ever."""
    peer.expect(turn)
    turn.send(OK, b"Transfer-Encoding: chunked\r\n\r\n0\r\n")
    turn.drip(b"X: y\r\n")


@contextmanager
def playing(play: Callable[[Peer, Turn], None]) -> Iterator[Peer]:
    """Yield a peer whose connections each follow `play`."""
    script: Script = lambda turn: play(peer, turn)  # noqa: E731 - it needs the peer
    with Peer(script) as peer:
        yield peer


@pytest.mark.parametrize(
    "play",
    [hang, drip_status, drip_headers, drip_body, drip_chunks, drip_trailers],
)
def test_the_timeout_covers_the_whole_answer(
    play: Callable[[Peer, Turn], None],
) -> None:
    """A byte now and then does not prolong it."""
    with playing(play) as peer:
        began = time.monotonic()
        failure = failure_of(client_of(peer.url, timeout_seconds=SHORT_SECONDS))
        took_seconds = time.monotonic() - began

    assert isinstance(failure, errors.Unavailable)
    assert failure.reason is FailureReason.TIMEOUT
    assert f"no whole answer in {SHORT_SECONDS} s" in str(failure)
    assert took_seconds < PATIENCE_SECONDS / 2


def test_the_allowance_of_a_dripping_answer_is_kept() -> None:
    """What the headers said counts, though the body never came."""
    with playing(drip_body) as peer:
        failure = failure_of(client_of(peer.url, timeout_seconds=SHORT_SECONDS))

    assert failure.status == 200
    assert failure.allowance == RateLimitHeaders(remaining=5)


def test_the_timeout_covers_connecting() -> None:
    """A host that swallows packets costs no more than a silent one."""
    with swallowing() as port:
        url = f"http://127.0.0.1:{port}"
        failure = failure_of(client_of(url, timeout_seconds=SHORT_SECONDS))

    assert failure.reason is FailureReason.TIMEOUT


def drip_handshake(turn: Turn) -> None:
    """Begin a TLS record of 16 KiB and send it byte by byte."""
    turn.send(b"\x16\x03\x03\x40\x00")
    turn.drip(b"\x02")


@pytest.mark.parametrize("script", [Turn.hang, drip_handshake])
def test_the_timeout_covers_the_handshake(script: Script) -> None:
    """A port where nobody speaks, or speaks TLS a byte now and then."""
    with Peer(script) as peer:
        url = f"https://127.0.0.1:{peer.port}"
        failure = failure_of(client_of(url, timeout_seconds=SHORT_SECONDS))

    assert failure.reason is FailureReason.TIMEOUT


@pytest.mark.parametrize("play", [hang, drip_headers])
def test_the_timeout_covers_a_proxys_answer(play: Callable[[Peer, Turn], None]) -> None:
    """A proxy that does not get to the end of its answer to CONNECT is left."""
    with playing(play) as peer:
        client = client_of(BRAZE, timeout_seconds=SHORT_SECONDS, proxy=peer.url)
        failure = failure_of(client)

    assert failure.reason is FailureReason.TIMEOUT
    assert f"through the proxy 127.0.0.1:{peer.port}" in str(failure)
    assert peer.requests[0].startswith(b"CONNECT rest.iad-01.braze.com:443 ")
    assert KEY.encode() not in peer.requests[0]


# Faults.


def reset_at_once(peer: Peer, turn: Turn) -> None:
    """Break the connection instead of an answer."""
    peer.expect(turn)
    turn.reset()


def reset_in_body(peer: Peer, turn: Turn) -> None:
    """Break the connection within the body."""
    peer.expect(turn)
    turn.send(OK, b"Content-Length: 9999\r\n\r\n[1")
    turn.reset()


@pytest.mark.parametrize("play", [reset_at_once, reset_in_body])
def test_a_reset_is_a_broken_connection(play: Callable[[Peer, Turn], None]) -> None:
    """Before the headers or within the body."""
    with playing(play) as peer:
        failure = failure_of(client_of(peer.url))

    assert isinstance(failure, errors.Unavailable)
    assert failure.reason is FailureReason.CONNECTION
    assert "connection reset by peer" in str(failure)


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (b"", "closed without an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "the answer is no proper HTTP"),
        (b"HTTP/1.1 99999 Huh\r\n\r\n", "the answer is no proper HTTP"),
        (OK + b"X: " + b"y" * 100_000 + b"\r\n\r\n", "the answer is no proper HTTP"),
        (OK + b"X: y\r\n" * 200 + b"\r\n", "the answer is no proper HTTP"),
        (OK + b"Content-Length: 5\r\n\r\n[1", "cut short"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\n[1", "cut short"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nno\r\n", "cut short"),
        (OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", "no proper HTTP"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n-2\r\n", "no proper HTTP"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "no proper HTTP"),
    ],
)
def test_a_broken_answer_is_a_broken_connection(reply: bytes, text: str) -> None:
    """Other protocols, absurd headers and short bodies are asked for again soon."""
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
def test_an_answer_without_a_document_is_malformed(reply: bytes) -> None:
    """Empty bodies, broken and unknown encodings."""
    with closing(reply) as peer:
        failure = failure_of(client_of(peer.url))

    assert isinstance(failure, errors.Unavailable)
    assert failure.reason is FailureReason.MALFORMED


def test_a_flood_is_too_large() -> None:
    """Bytes that are no body count as well: these trailers never end."""

    def play(peer: Peer, turn: Turn) -> None:
        peer.expect(turn)
        turn.send(OK, b"Transfer-Encoding: chunked\r\n\r\n0\r\n")
        while True:
            turn.send(b"X: y\r\n" * 10_000)

    with playing(play) as peer:
        failure = failure_of(client_of(peer.url))

    assert isinstance(failure, errors.Unusable)
    assert failure.reason is FailureReason.TOO_LARGE


def test_a_refused_connection_is_told() -> None:
    """Nobody listens there."""
    failure = failure_of(client_of(f"http://127.0.0.1:{closed_port()}"))

    assert failure.reason is FailureReason.CONNECTION
    assert failure.status is None
    assert failure.allowance is None
    assert "connection refused" in str(failure)


def test_an_unknown_name_is_told() -> None:
    """`invalid` is the domain that never exists (RFC 6761, 6.4)."""
    failure = failure_of(client_of("https://rest.invalid"))

    assert failure.reason is FailureReason.CONNECTION
    assert "https://rest.invalid: name" in str(failure)


def test_a_server_without_tls_is_told() -> None:
    """An https endpoint where plain HTTP is spoken."""

    def script(turn: Turn) -> None:
        turn.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        turn.hang()

    with Peer(script) as peer:
        failure = failure_of(client_of(f"https://127.0.0.1:{peer.port}"))

    assert failure.reason is FailureReason.CONNECTION
    assert "TLS" in str(failure)


def test_a_proxy_that_refuses_is_told() -> None:
    """Its status is named, and no password of its address."""
    with serving(answer(status="407 Proxy Authentication Required")) as proxy:
        way = f"http://user:hunter2@127.0.0.1:{proxy.port}"
        failure = failure_of(client_of(BRAZE, proxy=way))

    assert failure.reason is FailureReason.CONNECTION
    assert "the proxy refuses the tunnel with 407" in str(failure)
    assert "hunter2" not in "".join(traceback.format_exception(failure))


def test_a_missing_ca_bundle_is_told(tmp_path: Path) -> None:
    """Each fetch looks again, so a bundle that is mounted late heals it."""
    bundle = tmp_path / "ca.pem"
    with serving(answer()) as peer:
        client = client_of(peer.url, ca_file=str(bundle))
        with pytest.raises(errors.Unavailable, match="cannot be used: no such"):
            client.fetch(PATH, {})
        bundle.write_bytes(Path(DEFAULT_CA_BUNDLE_PATH).read_bytes())
        found = client.fetch(PATH, {})
        client.close()

    assert found.status == 200


@pytest.mark.parametrize("seed", range(40))
def test_no_bytes_raise_anything_else(seed: int) -> None:
    """Whatever a peer sends, it is an answer or a `FetchError`."""
    chance = random.Random(seed)
    whole = bytearray(
        answer(
            b'{"message": "success", "data": []}',
            headers=("X-RateLimit-Limit: 5", "Set-Cookie: a=b", "Content-Type: a; b=c"),
        )
    )
    for _ in range(chance.randint(1, 12)):
        place = chance.randrange(len(whole))
        whole[place : place + chance.randint(0, 9)] = chance.randbytes(
            chance.randint(0, 3)
        )
    with closing(bytes(whole)) as peer, closed_after(client_of(peer.url)) as client:
        try:
            client.fetch(PATH, {})
        except errors.FetchError as exc:
            text = str(exc)
        else:
            text = "fine"

    assert text


# Proxies.


def test_the_environments_proxy_is_used() -> None:
    """Where the workspace names none."""
    with serving(answer()) as proxy:
        egress = ProxySettings.from_environment({"HTTP_PROXY": proxy.url})
        with closed_after(client_of("http://braze.test", egress=egress)) as client:
            client.fetch(PATH, {})

    assert proxy.requests[0].startswith(b"GET http://braze.test/campaigns/data_series")


def test_the_workspaces_proxy_goes_before_the_environments() -> None:
    """And before NO_PROXY, which is the environment's, too."""
    with serving(answer()) as proxy:
        egress = ProxySettings.from_environment(
            {"HTTP_PROXY": f"http://127.0.0.1:{closed_port()}", "NO_PROXY": "*"}
        )
        client = client_of("http://braze.test", egress=egress, proxy=proxy.url)
        with closed_after(client):
            client.fetch(PATH, {})

    assert len(proxy.requests) == 1


# Stopping.


@pytest.mark.parametrize("play", [hang, drip_body])
def test_abort_ends_fetches_at_once(play: Callable[[Peer, Turn], None]) -> None:
    """Those in progress fail long before their timeout, and later ones at once."""
    failures: list[errors.FetchError] = []
    with playing(play) as peer:
        client = client_of(peer.url)
        threads = [
            threading.Thread(target=lambda: failures.append(failure_of(client)))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        peer.arrived.wait(PATIENCE_SECONDS)
        began = time.monotonic()
        client.abort()
        for thread in threads:
            thread.join()
        took_seconds = time.monotonic() - began
        failures.append(failure_of(client))

    assert took_seconds < PATIENCE_SECONDS / 4
    assert [failure.reason for failure in failures] == [FailureReason.CONNECTION] * 3
    assert all("the exporter is stopping" in str(failure) for failure in failures)


def test_abort_ends_a_handshake_at_once() -> None:
    """A fetch that is not yet connected is woken as well."""
    greeted = threading.Event()

    def script(turn: Turn) -> None:
        turn.send(b"\x16")
        greeted.set()
        turn.hang()

    failures: list[errors.FetchError] = []
    with Peer(script) as peer:
        client = client_of(f"https://127.0.0.1:{peer.port}")
        thread = threading.Thread(target=lambda: failures.append(failure_of(client)))
        thread.start()
        greeted.wait(PATIENCE_SECONDS)
        client.abort()
        thread.join(PATIENCE_SECONDS / 4)

    assert "the exporter is stopping" in str(failures[0])


def test_a_document_is_read_at_once() -> None:
    """What was made of it is the answer; the document itself is let go of."""
    with serving(answer(b"[1, 2]")) as peer, closed_after(client_of(peer.url)) as one:
        found = one.fetch(PATH, {}, repr)

    assert found.document == "[1, 2]"


def test_what_is_recalled_is_not_decoded() -> None:
    """By the digest of its body a document is known again; others are read."""
    seen: list[int] = []

    def recall(digest: int) -> object | None:
        seen.append(digest)
        return "known" if seen.count(digest) > 1 else None

    found = []
    for body in (b"[1]", b"[1]", b"[2]"):
        with (
            serving(answer(body)) as peer,
            closed_after(client_of(peer.url)) as client,
        ):
            found.append(client.fetch(PATH, {}, repr, recall))

    assert [each.document for each in found] == ["[1]", "known", "[2]"]
    assert [each.digest for each in found] == seen
    assert found[1].status == 200
    assert found[1].allowance == found[0].allowance


def test_documents_are_decoded_one_at_a_time() -> None:
    """Also those of several workspaces: a hostile one takes fifty times its size."""
    decoded = threading.Event()

    def fetch() -> None:
        client.fetch(PATH, {})
        decoded.set()

    with serving(answer()) as peer, closed_after(client_of(peer.url)) as client:
        thread = threading.Thread(target=fetch)
        with Client._decoding:
            thread.start()
            is_early = decoded.wait(0.2)
        thread.join(PATIENCE_SECONDS)

    assert not is_early
    assert decoded.is_set()


def test_several_threads_share_the_connections() -> None:
    """As many connections as threads at most, and every answer arrives."""
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
