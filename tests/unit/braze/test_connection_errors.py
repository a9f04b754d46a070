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
    exc = kind("Connection aborted.", root)
    exc.__context__ = root
    return exc


CERTIFICATE = ssl.SSLCertVerificationError("<peer's text>")
TUNNEL = OSError("Tunnel connection failed: 403 <peer's text>")


@pytest.mark.parametrize(
    ("root", "text"),
    [
        (OSError(errno.ENETUNREACH, "No"), "no; check this machine's network"),
        (
            socket.gaierror(socket.EAI_NONAME, "x"),
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
            "TLS failed: no reason given; check that the port is one for TLS, and for"
            " a proxy that intercepts it",
        ),
        (
            CERTIFICATE,
            "certificate not trusted: it is for another host; check the host name of"
            " the URL",
        ),
        (TUNNEL, "the proxy refuses the tunnel with 403; it may not permit this host"),
        (OSError("<peer's text>"), "the connection failed"),
        (OSError(9999, ""), "error 9999"),
        (Exception("<peer's text>"), "the connection failed"),
    ],
)
def test_the_message_describes_the_innermost_exception(
    root: Exception, text: str
) -> None:
    """It quotes no text of the peer."""
    reason, found = reason_and_text(wrapped(root))

    assert reason is FailureReason.CONNECTION
    assert found == text
    assert "<peer's text>" not in found


@pytest.mark.parametrize(
    ("root", "kind", "expected"),
    [
        # The kernel may end a connect before the deadline.
        (TimeoutError(errno.ETIMEDOUT, "Timed out"), ProtocolError, "timeout"),
        (zlib.error("no zlib"), DecodeError, "malformed"),
    ],
)
def test_some_exceptions_are_not_failures_of_the_connection(
    root: Exception, kind: type[Exception], expected: str
) -> None:
    assert reason_and_text(wrapped(root, kind))[0] == expected
