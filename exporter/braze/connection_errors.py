"""Messages for failed connections: what failed, and what to check.

Libraries wrap the system's exception two or three times, in texts with addresses of
objects and parts of the response. Here the chain is searched for the innermost known
exception. No text of the peer is quoted. `diagnosis` searches the messages for phrases.
"""

from __future__ import annotations

import errno
import re
import socket
import ssl
import zlib
from collections.abc import Callable, Iterator
from http.client import HTTPException, IncompleteRead, RemoteDisconnected
from typing import Any

from exporter.braze.transport import ProxyError, SocksRefused
from exporter.model.errors import FailureReason

NOT_TRUSTED = "certificate not trusted"
"""A phrase of each message about a certificate."""


def reason_and_text(
    exc: BaseException, *, authorities: str = "the trusted certificates"
) -> tuple[FailureReason, str]:
    """Return reason and message of the innermost known exception of the chain.

    `authorities` names the places of the trusted certificates.
    """
    chain = list(_chain(exc))[::-1]
    if any(isinstance(link, zlib.error) for link in chain):
        return (
            FailureReason.MALFORMED,
            "the body is not valid gzip; check for a proxy that changes responses",
        )
    if any(isinstance(link, TimeoutError) for link in chain):
        return (
            FailureReason.TIMEOUT,
            "connecting timed out; check the firewall and whether a proxy is required",
        )
    for link in chain:
        if isinstance(link, ssl.SSLCertVerificationError):
            text = _certificate_text(link, authorities)
            if isinstance(exc, ProxyError):  # before the tunnel
                text = f"the proxy's {text}"
            return FailureReason.CONNECTION, text
        for kind, describe in _TEXTS:
            if isinstance(link, kind) and (text := describe(link)):
                return FailureReason.CONNECTION, text
    if isinstance(exc, SocksRefused):
        text = "SOCKS proxies are not supported; use an http:// or https:// proxy"
    elif isinstance(exc, ValueError):  # transport raises it for nothing else
        text = "the URL of the endpoint or of the proxy is invalid"
    else:
        text = "the connection failed"
    return FailureReason.CONNECTION, text


def _chain(exc: BaseException | None) -> Iterator[BaseException]:
    """Yield the exceptions from the outermost to the innermost."""
    while exc is not None:
        yield exc
        exc = exc.__context__


def _system_text(exc: OSError) -> str:
    """Without a number it is a library's, and its text may quote the peer."""
    if exc.errno is not None:
        text = (exc.strerror or f"error {exc.errno}").lower()
        advice = _SYSTEM_ADVICE.get(exc.errno)
        return f"{text}; {advice}" if advice else text
    tunnel = re.match(r"Tunnel connection failed: (\d{3})\b", str(exc))
    if tunnel is None:
        return ""
    needs_login = tunnel[1] == "407"
    advice = "requires user and password" if needs_login else "may not permit this host"
    return f"the proxy refuses the tunnel with {tunnel[1]}; it {advice}"


def _name_text(exc: socket.gaierror) -> str:
    if exc.errno == socket.EAI_NONAME:
        return "name not found; check the host name and this machine's DNS"
    return f"name look-up failed: {exc.strerror}; check this machine's DNS"


def _tls_text(exc: ssl.SSLError) -> str:
    # Only errors of OpenSSL have the attribute, not those raised in Python.
    reason = getattr(exc, "reason", None) or "no reason given"
    return (
        f"TLS failed: {reason.replace('_', ' ').lower()};"
        " check that the port is one for TLS, and for a proxy that intercepts it"
    )


def _certificate_text(exc: ssl.SSLCertVerificationError, authorities: str) -> str:
    fault = getattr(exc, "verify_message", None) or "it is for another host"
    code = getattr(exc, "verify_code", _HOSTNAME_MISMATCH)
    advice = _CERTIFICATE_ADVICE.get(code, INVALID_CERTIFICATE)
    advice = advice.format(authorities=authorities)
    return f"{NOT_TRUSTED}: {fault.rstrip('.')}; {advice}"


# `diagnosis` searches the messages for these phrases.
NOT_YET_VALID = "check whether this machine's clock is behind"
EXPIRED = "renew it, or check whether this machine's clock is ahead"
OTHER_HOST = "check the host name of the URL"
SELF_SIGNED = "check the URL, or add this certificate to {authorities}"
UNKNOWN_ISSUER = "add the certificate of its authority to {authorities}"
WEAK = "it must be issued again with a longer key and SHA-256"
INVALID_CERTIFICATE = "the certificate, or that of its authority, must be issued again"
_HOSTNAME_MISMATCH = 62
# By the codes of OpenSSL's x509_vfy.h.
_CERTIFICATE_ADVICE = {
    9: NOT_YET_VALID,
    10: EXPIRED,
    18: SELF_SIGNED,
    **dict.fromkeys((2, 19, 20, 21, 27), UNKNOWN_ISSUER),
    **dict.fromkeys((_HOSTNAME_MISMATCH, 64), OTHER_HOST),
    **dict.fromkeys((66, 67, 68), WEAK),
}
_SYSTEM_ADVICE = {
    errno.ECONNREFUSED: "check host and port, and that the server is running",
    errno.ECONNRESET: "check for a firewall or proxy that closes connections",
    errno.EHOSTUNREACH: "check the route and the firewall",
    errno.ENETUNREACH: "check this machine's network",
}
# The first match with a text applies: subclasses before their base classes.
_TEXTS: tuple[tuple[type[BaseException], Callable[[Any], str]], ...] = (
    (
        ssl.SSLEOFError,
        lambda _: "connection closed within TLS; check firewall and proxy",
    ),
    (ssl.SSLError, _tls_text),
    (socket.gaierror, _name_text),
    (RemoteDisconnected, lambda _: "connection closed without a response"),
    (OSError, _system_text),
    (IncompleteRead, lambda _: "incomplete response"),
    (
        HTTPException,
        lambda _: "the response is not valid HTTP; check the port of the endpoint",
    ),
)
