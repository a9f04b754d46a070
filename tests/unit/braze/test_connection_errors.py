"""Messages of chained exceptions."""

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
    """Return `root` as urllib3 and requests wrap it."""
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
        (
            ConnectionRefusedError(errno.ECONNREFUSED, "Refused"),
            "refused; check host and port, and that the server is running",
        ),
        (
            OSError(errno.ENETUNREACH, "Network is unreachable"),
            "network is unreachable; check this machine's network",
        ),
        (
            socket.gaierror(socket.EAI_NONAME, "Not known"),
            "name not found; check the host name and this machine's DNS",
        ),
        (
            socket.gaierror(socket.EAI_AGAIN, "Later"),
            "name look-up failed: Later; check this machine's DNS",
        ),
        (RemoteDisconnected("x"), "connection closed without a response"),
        (IncompleteRead(b"part", 5), "incomplete response"),
        (
            BadStatusLine("<peer's text>"),
            "the response is not valid HTTP; check the port of the endpoint",
        ),
        (
            ssl.SSLEOFError(8, "EOF occurred"),
            "connection closed within TLS; check firewall and proxy",
        ),
        (
            ssl.SSLError(1, "wrong"),
            "TLS failed: no reason given; check that the port speaks TLS, and for a "
            "proxy that intercepts it",
        ),
        (
            ssl.SSLCertVerificationError("<peer's text>"),
            "certificate not trusted: it is for another host; check ca_file and this "
            "machine's clock",
        ),
        (
            OSError("Tunnel connection failed: 407 <peer's text>"),
            "the proxy refuses the tunnel with 407; it requires user and password",
        ),
        (
            OSError("Tunnel connection failed: 403 Forbidden"),
            "the proxy refuses the tunnel with 403; check that it permits this host",
        ),
        (OSError("<peer's text>"), "the connection failed"),
        (OSError(9999, ""), "error 9999"),
        (Exception("<peer's text>"), "the connection failed"),
    ],
)
def test_the_message_describes_the_innermost_exception(
    root: Exception, text: str
) -> None:
    """It quotes no text of the peer."""
    assert reason_and_text(wrapped(root)) == (FailureReason.CONNECTION, text)


@pytest.mark.parametrize("exc", [InvalidURL("<url>"), UnicodeError("label too long")])
def test_a_value_error_means_an_invalid_url(exc: Exception) -> None:
    """Requests and the name look-up raise it."""
    _, text = reason_and_text(exc)

    assert text == "the URL of the endpoint or of the proxy is invalid"


def test_a_timeout_of_the_system_is_a_timeout() -> None:
    """The kernel may end a connect before the deadline."""
    reason, _ = reason_and_text(wrapped(TimeoutError(errno.ETIMEDOUT, "Timed out")))

    assert reason is FailureReason.TIMEOUT


def test_invalid_compression_is_malformed() -> None:
    """It is not a failure of the connection."""
    try:
        try:
            zlib.decompress(b"no zlib")
        except zlib.error as exc:
            raise DecodeError("failed to decode", exc) from exc
    except DecodeError as exc:
        reason, _ = reason_and_text(exc)

    assert reason is FailureReason.MALFORMED
