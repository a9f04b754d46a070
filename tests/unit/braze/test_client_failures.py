"""How requests fail: timeouts, broken connections, invalid and large responses."""

import random
import traceback
from contextlib import closing as closed_after
from contextlib import suppress
from pathlib import Path
from typing import Any

import certifi
import pytest
from exporter.braze import connection_errors, responses
from exporter.model import errors
from exporter.model.errors import FailureReason
from exporter.model.rate_limit_headers import RateLimitHeaders

from tests.support.braze_client import (
    BRAZE,
    CHUNKED,
    KEY,
    OK,
    PATH,
    client_of,
    connected,
    dripping,
    failure_from,
    failure_of,
    flooding,
    responding,
)
from tests.support.fake_clock import FakeClock
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

SHORT_SECONDS = 0.5
"""A timeout that a test waits for."""
TIMEOUTS = (SHORT_SECONDS, 2.0, 8.0, 32.0)
"""For what must arrive before the timeout: a busy machine needs a longer one."""


def test_a_failure_has_message_and_headers_of_the_response() -> None:
    headers = ("X-RateLimit-Remaining: 0", "Retry-After: 17")
    body = b'{"message": "Slow down"}'
    failure = failure_from(answer(body, status="429 No", headers=headers))

    assert isinstance(failure, errors.Throttled)
    assert failure.reason is FailureReason.RATE_LIMITED
    assert failure.status == 429
    assert failure.rate_limit == RateLimitHeaders(remaining=0)
    assert failure.retry_after_seconds == 17.0
    assert "Braze: Slow down" in str(failure)


@pytest.mark.parametrize("reply", [answer(status="429 No"), OK, b"", b"no HTTP"])
def test_a_failure_has_the_duration_until_it(reply: bytes) -> None:
    """Without the loading of certificates, which is no part of the request."""
    assert failure_from(reply, monotonic=FakeClock().now).seconds == 0.0


@pytest.mark.parametrize("reply", [answer(status="429 No"), answer(status="500 No")])
def test_the_duration_of_a_failure_ends_with_the_last_byte(
    reply: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What reading its message takes does not count."""
    clock = FakeClock()

    def slow(_: bytes) -> str:
        clock.advance(5)
        return ""

    monkeypatch.setattr(responses, "message_of", slow)

    assert failure_from(reply, monotonic=clock.now).seconds == 0.0


def test_the_duration_of_a_rejected_certificate_excludes_what_it_is_told_by(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The authorities are compared with their files, which may be on a slow disk."""
    clock = FakeClock()
    explain = connection_errors.reason_and_text

    def slow(*args: Any, **kwargs: Any) -> Any:
        clock.advance(5)
        return explain(*args, **kwargs)

    monkeypatch.setattr(connection_errors, "reason_and_text", slow)

    assert failure_from(b"no HTTP", monotonic=clock.now).seconds == 0.0


@pytest.mark.parametrize("body", [b"<html>", b"\xff", b"x" * 10**5, b""])
def test_the_body_of_an_error_may_be_invalid(body: bytes) -> None:
    encoded = answer(body, status="401 No", headers=("Content-Encoding: gzip",))
    for response in (encoded, answer(body, status="401 No")):
        failure = failure_from(response, response_bytes=1)
        assert isinstance(failure, errors.KeyRefused)
        assert "(Braze: " not in str(failure)


@pytest.mark.parametrize(
    "respond",
    [
        PeerConnection.hang,
        dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        dripping(OK + b"X-Long: ", b"x"),
        dripping(OK + b"Content-Length: 999999\r\n\r\n", b" "),
        dripping(CHUNKED, b"1\r\n \r\n"),
        dripping(CHUNKED + b"0\r\n", b"X: y\r\n"),
    ],
    ids=["hang", "status", "headers", "body", "chunks", "trailers"],
)
def test_the_timeout_applies_to_the_whole_response(respond: Script) -> None:
    """A byte now and then, for hours, does not extend it."""
    failure = failure_from(respond, timeout_seconds=SHORT_SECONDS)

    assert isinstance(failure, errors.Unavailable)
    assert failure.reason is FailureReason.TIMEOUT
    assert f"no complete response within {SHORT_SECONDS} s" in str(failure)


def test_a_timeout_within_the_body_keeps_the_headers() -> None:
    headers = b"X-RateLimit-Remaining: 5\r\nContent-Length: 999999\r\n\r\n"
    failures = (
        failure_from(dripping(OK + headers, b" "), timeout_seconds=seconds)
        for seconds in TIMEOUTS
    )
    failure = next(one for one in failures if one.status is not None)

    assert failure.reason is FailureReason.TIMEOUT
    assert failure.status == 200
    assert failure.rate_limit == RateLimitHeaders(remaining=5)


def test_the_timeout_applies_to_connecting() -> None:
    with (
        swallowing() as hole,
        Peer(PeerConnection.hang) as silent,
        Peer(dripping(b"\x16\x03\x03\x40\x00", b"\x02")) as slow,
    ):
        for url in (
            f"http://127.0.0.1:{hole}",
            f"https://127.0.0.1:{silent.port}",
            f"https://127.0.0.1:{slow.port}",
        ):
            failure = failure_of(client_of(url, timeout_seconds=SHORT_SECONDS))
            assert failure.reason is FailureReason.TIMEOUT


@pytest.mark.parametrize(
    "respond", [PeerConnection.hang, dripping(OK + b"X-Long: ", b"x")]
)
def test_the_timeout_applies_to_the_response_of_a_proxy(respond: Script) -> None:
    with responding(respond) as peer:
        client = client_of(BRAZE, timeout_seconds=SHORT_SECONDS, proxy=peer.url)
        client.prepare()
        failure = failure_of(client)
        assert peer.arrived.wait(PATIENCE_SECONDS)

    assert failure.reason is FailureReason.TIMEOUT
    assert f"through the proxy 127.0.0.1:{peer.port}" in str(failure)
    assert peer.requests[0].startswith(b"CONNECT rest.iad-01.braze.com:443 ")
    assert KEY.encode() not in peer.requests[0]


def reset_in_body(connection: PeerConnection) -> None:
    """Reset the connection within the body."""
    connection.send(OK, b"Content-Length: 9999\r\n\r\n[1")
    connection.reset()


HINTS = b"HTTP/1.1 103 Hints\r\n"
LONG_HEADER = b"X: " + b"y" * 40_000 + b"\r\n"
MANY_HEADERS = (b"X: " + b"y" * 995 + b"\r\n") * 40


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (PeerConnection.reset, "connection reset by peer"),
        (reset_in_body, "connection reset by peer"),
        (b"", "closed without a response"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not valid HTTP"),
        (b"HTTP/1.1 99999 Huh\r\n\r\n", "not valid HTTP"),
        (OK + b"X: " + b"y" * 100_000 + b"\r\n\r\n", "not valid HTTP"),
        (OK + b"X: y\r\n" * 200 + b"\r\n", "not valid HTTP"),
        # The limit of 64 KiB applies to all headers, with those of interim responses.
        (OK + 2 * LONG_HEADER + b"\r\n", "not valid HTTP"),
        (OK + 2 * MANY_HEADERS + b"\r\n", "not valid HTTP"),
        (HINTS + LONG_HEADER + b"\r\n" + OK + LONG_HEADER + b"\r\n", "not valid HTTP"),
        (HINTS + MANY_HEADERS + b"\r\n" + OK + MANY_HEADERS + b"\r\n", "not valid"),
        (OK + b"Content-Length: 5\r\n\r\n[1", "incomplete response"),
        (CHUNKED + b"3\r\n[1", "incomplete response"),
        (CHUNKED + b"no\r\n", "incomplete response"),
        (OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", "not valid HTTP"),
        (OK + b"Content-Length: 5, 6\r\n\r\n", "not valid HTTP"),
        (CHUNKED + b"-2\r\n", "not valid HTTP"),
        (CHUNKED + b"-ffff\r\n", "not valid HTTP"),
    ],
)
def test_an_invalid_response_is_a_connection_failure(
    reply: Script | bytes, text: str
) -> None:
    failure = failure_from(reply)

    assert isinstance(failure, errors.Unavailable)
    assert failure.reason is FailureReason.CONNECTION
    assert text in str(failure)
    assert "object at 0x" not in str(failure)


@pytest.mark.parametrize(
    "reply",
    [
        answer(b"<html>"),
        OK + b"Content-Length: 0\r\n\r\n",
        OK + b"not a header\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        answer(b"[1,2]", headers=("Content-Encoding: gzip",)),
        # The request accepts gzip only; chained encodings are used by bombs.
        *(
            answer(b"[]", headers=(f"Content-Encoding: {name}",))
            for name in ("br", "deflate", "gzip, gzip", "zstd", "x")
        ),
    ],
)
def test_an_empty_or_undecodable_response_is_malformed(reply: bytes) -> None:
    failure = failure_from(reply)

    assert isinstance(failure, errors.Unavailable)
    assert failure.reason is FailureReason.MALFORMED


ZEROS = b"8000\r\n" + bytes(0x8000) + b"\r\n"


@pytest.mark.parametrize(
    ("respond", "reason"),
    [
        (flooding(CHUNKED, ZEROS), "too_large"),
        (flooding(CHUNKED + b"0\r\n", b"X: y\r\n" * 10_000), "too_large"),
        # Some chunk sizes make http.client read to the end.
        (flooding(CHUNKED, b"-1" + ZEROS[4:]), "too_large"),
        (flooding(CHUNKED, b"7fffffffffffffff" + ZEROS[4:]), "too_large"),
        (flooding(CHUNKED, b"1;" + b"x" * 60_000 + ZEROS[4:]), "connection"),
        # The body is not awaited.
        (dripping(OK + b"Content-Length: 1048577\r\n\r\n", b""), "too_large"),
        (
            dripping(OK + b"Content-Length: %b\r\n\r\n" % (b"9" * 5000), b""),
            "too_large",
        ),
    ],
)
def test_the_size_of_a_response_is_limited(respond: Script, reason: str) -> None:
    failure = failure_from(respond)

    assert failure.reason == reason
    if reason == "too_large":
        assert isinstance(failure, errors.Unusable)
        assert "larger than 1048576 bytes (limits.response_bytes)" in str(failure)


@pytest.mark.parametrize(
    ("endpoint", "proxy", "text"),
    [
        ("http://127.0.0.1:{closed}", None, "connection refused; check host and port"),
        # `invalid` is the domain that never exists (RFC 6761, 6.4).
        ("https://rest.invalid", None, "https://rest.invalid: name"),
        ("http://a..b", None, "URL"),
        ("ftp://a", None, "URL"),
        ("http://", None, "URL"),
        # The sockets of a SOCKS proxy would have no deadline.
        ("http://braze.test", "socks5://127.0.0.1:1", "SOCKS proxies are"),
        ("http://braze.test", "x://127.0.0.1:1", "URL"),
        ("http://braze.test", "http://", "URL"),
    ],
)
def test_an_unreachable_host_is_a_connection_failure(
    endpoint: str, proxy: str | None, text: str
) -> None:
    url = endpoint.format(closed=closed_port())
    failure = failure_of(client_of(url, proxy=proxy))

    assert failure.reason is FailureReason.CONNECTION
    assert (failure.status, failure.rate_limit) == (None, None)
    assert text in str(failure)


def test_a_server_without_tls_is_a_connection_failure() -> None:
    with Peer(dripping(b"HTTP/1.1 400 Bad Request\r\n\r\n", b"")) as peer:
        failure = failure_of(client_of(f"https://127.0.0.1:{peer.port}"))

    assert failure.reason is FailureReason.CONNECTION
    assert "TLS failed: wrong version number" in str(failure)


def test_a_proxy_that_refuses_the_tunnel_is_a_connection_failure() -> None:
    with serving(answer(status="407 Proxy Authentication Required")) as proxy:
        url = f"http://user:hunter2@127.0.0.1:{proxy.port}"
        failure = failure_of(client_of(BRAZE, proxy=url))

    assert failure.reason is FailureReason.CONNECTION
    assert "the proxy refuses the tunnel with 407; it requires user" in str(failure)
    assert "hunter2" not in "".join(traceback.format_exception(failure))


@pytest.mark.parametrize("text", [None, "", "no certificate"])
def test_an_invalid_ca_bundle_is_a_failure(tmp_path: Path, text: str | None) -> None:
    """Each fetch loads it again, so a bundle may be mounted later."""
    bundle = tmp_path / "ca.pem"
    if text is not None:
        bundle.write_text(text)
    with connected(answer(), ca_file=str(bundle)) as (_, client):
        client.prepare()
        with pytest.raises(errors.Unavailable, match="cannot be loaded: "):
            client.fetch(PATH, {})
        bundle.write_bytes(Path(certifi.where()).read_bytes())
        assert client.fetch(PATH, {}).status == 200


@pytest.mark.parametrize("seed", range(40))
def test_random_bytes_are_a_response_or_a_failure(seed: int) -> None:
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
