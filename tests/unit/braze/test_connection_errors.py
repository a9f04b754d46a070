"""Messages of chained exceptions; `test_client_failures` has those of real sockets."""

import errno
import socket
import ssl
import zlib
from http.client import BadStatusLine

import pytest
from exporter.braze.connection_errors import reason_and_text
from exporter.model.errors import FailureReason
from urllib3.exceptions import DecodeError, ProtocolError


def wrapped(root: Exception, kind: type[Exception] = ProtocolError) -> Exception:
    """Return `root` as urllib3 wraps it."""
    try:
        try:
            raise root
        except Exception as exc:
            raise kind("Connection aborted.", exc) from exc
    except kind as exc:
        return exc


@pytest.mark.parametrize(
    ("root", "text"),
    [
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
            OSError("Tunnel connection failed: 403 <peer's text>"),
            "the proxy refuses the tunnel with 403; it may not permit this host",
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


def test_a_timeout_of_the_system_is_a_timeout() -> None:
    """The kernel may end a connect before the deadline."""
    reason, _ = reason_and_text(wrapped(TimeoutError(errno.ETIMEDOUT, "Timed out")))

    assert reason is FailureReason.TIMEOUT


def test_invalid_compression_is_malformed() -> None:
    """It is not a failure of the connection."""
    reason, _ = reason_and_text(wrapped(zlib.error("no zlib"), DecodeError))

    assert reason is FailureReason.MALFORMED
