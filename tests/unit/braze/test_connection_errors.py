"""Chains of exceptions in words."""

import errno
import socket
import ssl
import zlib
from http.client import BadStatusLine, IncompleteRead, RemoteDisconnected

import pytest
from exporter.braze.connection_errors import reason_and_text
from exporter.model.errors import FailureReason
from requests import ConnectionError as RequestsConnectionError
from requests.exceptions import InvalidURL
from urllib3.exceptions import DecodeError, ProtocolError


def wrapped(root: Exception) -> Exception:
    """Return the exception requests makes of what urllib3 makes of `root`."""
    try:
        try:
            try:
                raise root
            except Exception as exc:
                raise ProtocolError("Connection aborted.", exc) from exc
        except ProtocolError as exc:
            raise RequestsConnectionError(exc) from exc
    except RequestsConnectionError as exc:
        return exc


@pytest.mark.parametrize(
    ("root", "text"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Refused"), "refused"),
        (
            OSError(errno.ENETUNREACH, "Network is unreachable"),
            "network is unreachable",
        ),
        (socket.gaierror(socket.EAI_NONAME, "Not known"), "name not found"),
        (socket.gaierror(socket.EAI_AGAIN, "Later"), "name look-up failed: Later"),
        (RemoteDisconnected("x"), "connection closed without an answer"),
        (IncompleteRead(b"part", 5), "answer cut short or its chunks broken"),
        (BadStatusLine("<peer's words>"), "the answer is no proper HTTP"),
        (ssl.SSLEOFError(8, "EOF occurred"), "connection closed within TLS"),
        (ssl.SSLError(1, "wrong"), "TLS failed: no reason given"),
        (
            ssl.SSLCertVerificationError("<peer's words>"),
            "certificate not trusted: it is for another host",
        ),
        (
            OSError("Tunnel connection failed: 407 <peer's words>"),
            "the proxy refuses the tunnel with 407",
        ),
        (OSError("<peer's words>"), "connection failed"),
        (OSError(9999, ""), "error 9999"),
        (Exception("<peer's words>"), "connection failed"),
    ],
)
def test_the_root_is_told_in_our_words(root: Exception, text: str) -> None:
    """However deep it is wrapped, and without a word of the peer's."""
    assert reason_and_text(wrapped(root)) == (FailureReason.CONNECTION, text)


@pytest.mark.parametrize("exc", [InvalidURL("<url>"), UnicodeError("label too long")])
def test_an_unusable_url_is_told(exc: Exception) -> None:
    """Requests and the name look-up complain of it as of any wrong value."""
    _, text = reason_and_text(exc)

    assert text == "the endpoint or the proxy is no valid URL"


def test_a_timeout_of_the_system_is_a_timeout() -> None:
    """A connect that the kernel gave up before our deadline has its own reason."""
    reason, _ = reason_and_text(wrapped(TimeoutError(errno.ETIMEDOUT, "Timed out")))

    assert reason is FailureReason.TIMEOUT


def test_a_broken_compression_is_malformed() -> None:
    """Not the connection is at fault but what came through it."""
    try:
        try:
            zlib.decompress(b"no zlib")
        except zlib.error as exc:
            raise DecodeError("failed to decode", exc) from exc
    except DecodeError as exc:
        reason, _ = reason_and_text(exc)

    assert reason is FailureReason.MALFORMED
