"""A fetch: its request, its key, its response, and how it is aborted."""

import os
import threading
import time
import traceback
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing as closed_after
from functools import partial
from pathlib import Path

import pytest
import responses
from exporter import __version__
from exporter.braze.proxies import ProxySettings
from exporter.braze.responses import BrazeResponse
from exporter.model import errors
from exporter.model.errors import FailureReason
from exporter.model.rate_limit_headers import RateLimitHeaders
from exporter.system.api_key import Secret

from tests.support.braze_client import (
    BRAZE,
    KEY,
    NOW,
    OK,
    PATH,
    client_of,
    connected,
    dripping,
    failure_from,
    failure_of,
)
from tests.support.scripted_peer import (
    PATIENCE_SECONDS,
    Peer,
    PeerConnection,
    Script,
    answer,
    closed_port,
    serving,
)


def test_a_request_contains_the_key_and_few_headers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither netrc, whose password would replace the key, nor a variable is read."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password hunter2\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with connected(answer()) as (peer, client):
        client.fetch(f"/{PATH}", {"campaign_id": "a b", "length": 30})

    assert peer.requests[0].decode().strip().split("\r\n") == [
        f"GET /{PATH}?campaign_id=a+b&length=30 HTTP/1.1",
        f"Host: 127.0.0.1:{peer.port}",
        f"User-Agent: braze-exporter/{__version__}",
        "Accept: application/json",
        "Accept-Encoding: gzip",
        f"Authorization: Bearer {KEY}",
    ]


def test_a_response_has_document_rate_limit_and_date() -> None:
    headers = (
        "x-ratelimit-limit: 50000",
        "X-RATELIMIT-REMAINING: 49999",
        "X-RateLimit-Reset: 1790000060",
        "Date: Mon, 21 Sep 2026 14:13:20 GMT",
    )
    with connected(answer(b'{"data": []}', headers=headers)) as (_, client):
        found = client.fetch(PATH, {})

    assert found == BrazeResponse(
        {"data": []},
        200,
        RateLimitHeaders(limit=50000, remaining=49999, reset_at=1790000060.0),
        answered_at=NOW,
        digest=found.digest,
        seconds=found.seconds,
    )


def test_the_duration_ends_with_the_last_byte() -> None:
    """What parsing takes does not count."""
    clock = [0.0]

    def parse(_: object) -> None:
        clock[0] += 1000

    options = {"monotonic": lambda: clock[0]}
    with connected(answer(b"[]"), **options) as (_, client):
        found = client.fetch(PATH, {}, parse)

    assert found.seconds == 0.0


def test_a_document_is_parsed_unless_it_is_cached() -> None:
    digests: list[int] = []

    def cached(digest: int) -> object | None:
        digests.append(digest)
        return "cached" if digests.count(digest) > 1 else None

    found = []
    for content in (b"[1]", b"[1]", b"[2]"):
        with connected(answer(content)) as (_, client):
            found.append(client.fetch(PATH, {}, lambda body: body.content, cached))

    assert [each.document for each in found] == [b"[1]", "cached", b"[2]"]
    assert [each.digest for each in found] == digests
    assert found[1].status == 200
    assert found[1].rate_limit == found[0].rate_limit


def test_the_process_parses_one_document_at_a_time() -> None:
    """Parsing a malicious document takes fifty times its size."""
    running: list[object] = []
    most: list[int] = []

    def parse(document: object) -> object:
        running.append(document)
        most.append(len(running))
        time.sleep(0.1)
        running.clear()
        return document

    with (
        connected(answer()) as (_, first),
        connected(answer()) as (_, second),
        ThreadPoolExecutor(2) as pool,
    ):
        list(pool.map(lambda one: one.fetch(PATH, {}, parse), (first, second)))

    assert most == [1, 1]


@responses.activate
def test_the_key_is_read_for_each_fetch() -> None:
    responses.get(f"{BRAZE}/{PATH}", json={})
    keys = iter([Secret("old"), Secret("new")])
    client = client_of(BRAZE, read_key=lambda: next(keys))

    client.fetch(PATH, {})
    client.fetch(PATH, {})

    sent = [call.request.headers["Authorization"] for call in responses.calls]
    assert sent == ["Bearer old", "Bearer new"]


@pytest.mark.parametrize("status", [401, 403])
def test_the_refusal_of_a_replaced_key_is_temporary(status: int) -> None:
    keys = iter([Secret("old"), Secret("new")])
    failure = failure_from(answer(status=f"{status} No"), read_key=lambda: next(keys))

    assert isinstance(failure, errors.KeyReplaced)
    assert "the key was replaced meanwhile" in str(failure)
    assert failure.status == status


@pytest.mark.parametrize(
    ("key", "text"),
    [("", "is missing or empty")]
    + [
        (key, "contains a character that is not allowed in")
        for key in ("sec\nret", "sec\rret", "secrét", "sec ret", "sec\0")
    ],
)
def test_an_invalid_key_is_refused_before_the_request(key: str, text: str) -> None:
    """The message has the source of the key and no part of it."""
    failure = failure_of(client_of(BRAZE, read_key=partial(Secret, key)))

    assert isinstance(failure, errors.KeyRefused)
    assert failure.reason is FailureReason.UNAUTHORIZED
    assert f"environment variable BRAZE_API_KEY {text}" in str(failure)
    assert failure.seconds is None
    trace = "".join(traceback.format_exception(failure))
    assert "sec" not in trace.partition("API key from")[2]
    assert failure.__context__ is None


def test_a_failure_does_not_quote_a_key_that_the_peer_echoes() -> None:
    failure = failure_from(f"Bearer {KEY}\r\n\r\n".encode())

    assert failure.__context__ is None
    assert failure.__cause__ is None


def test_a_redirect_is_not_followed() -> None:
    """The key is sent to the configured host only."""
    with serving(answer()) as other:
        location = f"Location: {other.url}/{PATH}"
        failure = failure_from(answer(status="302 Found", headers=(location,)))

    assert isinstance(failure, errors.Unusable)
    assert failure.reason is FailureReason.REDIRECT
    assert "redirect to 127.0.0.1; redirects are not followed" in str(failure)
    assert other.connections == 0


@pytest.mark.parametrize("has_own_proxy", [False, True])
def test_the_proxy_of_the_workspace_overrides_the_environment(
    *, has_own_proxy: bool
) -> None:
    with serving(answer()) as proxy:
        url = f"http://user:w%6Frd@127.0.0.1:{proxy.port}"
        environment = {"HTTP_PROXY": url}
        if has_own_proxy:
            unused = f"http://127.0.0.1:{closed_port()}"
            environment = {"HTTP_PROXY": unused, "NO_PROXY": "*"}
        client = client_of(
            "http://braze.test",
            proxies=ProxySettings.from_environment(environment),
            proxy=url if has_own_proxy else None,
        )
        with closed_after(client):
            client.fetch(PATH, {"length": 3})

    first, *headers = proxy.requests[0].lower().split(b"\r\n")
    assert first == b"get http://braze.test/campaigns/data_series?length=3 http/1.1"
    assert b"proxy-authorization: basic dxnlcjp3b3jk" in headers


def test_threads_share_the_connections() -> None:
    with connected(answer(b"[1]")) as (peer, client), ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: client.fetch(PATH, {}).document, range(40)))

    assert found == [[1]] * 40
    assert peer.connections <= 2


BODY = dripping(OK + b"Content-Length: 9999\r\n\r\n", b" ")


@pytest.mark.parametrize(
    ("scheme", "greet"),
    [("http", PeerConnection.hang), ("http", BODY), ("https", PeerConnection.hang)],
)
def test_abort_ends_all_fetches(scheme: str, greet: Script) -> None:
    """Fetches in progress fail before their timeout, later ones without a request."""

    def script(connection: PeerConnection) -> None:
        connection.read_some()  # a request, or the first message of a TLS handshake
        has_arrived.set()
        greet(connection)

    has_arrived = threading.Event()
    with Peer(script) as peer, ThreadPoolExecutor(2) as pool:
        client = client_of(
            f"{scheme}://127.0.0.1:{peer.port}", timeout_seconds=6 * PATIENCE_SECONDS
        )
        client.prepare()
        fetches = [pool.submit(failure_of, client) for _ in range(2)]
        has_arrived.wait(PATIENCE_SECONDS)
        client.abort()
        failures = [fetch.result(PATIENCE_SECONDS) for fetch in fetches]
        failures.append(failure_of(client))

    assert [failure.reason for failure in failures] == [FailureReason.CONNECTION] * 3
    assert all("the exporter is stopping" in str(failure) for failure in failures)


def test_abort_does_not_wait_for_certificates_on_a_disk_that_hangs(
    tmp_path: Path,
) -> None:
    """Opening a pipe without a writer blocks, as such a disk does."""
    file = tmp_path / "ca.pem"
    os.mkfifo(file)
    client = client_of("https://127.0.0.1:1", ca_file=str(file))
    with ThreadPoolExecutor(2) as pool:
        fetch = pool.submit(failure_of, client)
        pipe = writer_of(file)
        abort = pool.submit(client.close)

        try:
            abort.result(PATIENCE_SECONDS)
        finally:
            os.close(pipe)

        assert fetch.result(PATIENCE_SECONDS).reason is FailureReason.CONNECTION


def writer_of(pipe: Path) -> int:
    """Return the writing end of a pipe, once something reads it."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.01)


@pytest.mark.parametrize(
    ("userinfo", "credentials"),
    [
        ("user", "user:"),
        (":pw", ":pw"),
        ("user:p%C3%A4%E2%82%AC", "user:pä€"),
        ("user:pä€", "user:pä€"),
        ("user:p%40%3A%2F%20%25", "user:p@:/ %"),
        ("user:p@ss:word", "user:p@ss:word"),
    ],
)
def test_a_proxy_receives_the_credentials_that_curl_sends(
    userinfo: str, credentials: str
) -> None:
    with serving(answer()) as proxy:
        url = f"http://{userinfo}@127.0.0.1:{proxy.port}/"
        client_of("http://braze.test", proxy=url).fetch(PATH, {})

    encoded = b64encode(credentials.encode())
    assert b"Proxy-Authorization: Basic " + encoded in proxy.requests[0]
