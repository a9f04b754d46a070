"""Why a connection failed, in words for an operator.

Libraries wrap what the system said two or three times, with addresses of objects and
pieces of the answer in their texts. Here the chain is searched for the one exception
that says what happened, and it is told in our words. Nothing of a peer's text passes.
"""

from __future__ import annotations

import re
import socket
import ssl
import zlib
from collections.abc import Callable, Iterator
from http.client import HTTPException, IncompleteRead, RemoteDisconnected
from typing import Any

from exporter.model.errors import FailureReason


def reason_and_text(exc: BaseException) -> tuple[FailureReason, str]:
    """Tell the innermost exception of the chain that has a meaning to us."""
    chain = list(_chain(exc))[::-1]
    if any(isinstance(link, zlib.error) for link in chain):
        return FailureReason.MALFORMED, "its body cannot be decompressed"
    if any(isinstance(link, TimeoutError) for link in chain):
        return FailureReason.TIMEOUT, "no connection in time"
    told = (_text(link) for link in chain)
    # What is wrong with an answer is no ValueError: transport sees to that.
    is_url = isinstance(exc, ValueError)
    rest = (
        "the endpoint or the proxy is no valid URL" if is_url else "connection failed"
    )
    return FailureReason.CONNECTION, next((text for text in told if text), rest)


def _chain(exc: BaseException) -> Iterator[BaseException]:
    """From the outermost inwards, in the order they were raised."""
    link: BaseException | None = exc
    while link is not None:
        yield link
        link = link.__context__


def _text(exc: BaseException) -> str:
    told = (tell(exc) for kind, tell in _TELLERS if isinstance(exc, kind))
    return next((text for text in told if text), "")


def _system_text(exc: OSError) -> str:
    """Without a number it was made by a library: the text may hold a peer's words."""
    if exc.errno is not None:
        return (exc.strerror or f"error {exc.errno}").lower()
    tunnel = re.match(r"Tunnel connection failed: (\d{3})\b", str(exc))
    return f"the proxy refuses the tunnel with {tunnel[1]}" if tunnel else ""


def _name_text(exc: socket.gaierror) -> str:
    is_unknown = exc.errno == socket.EAI_NONAME
    return "name not found" if is_unknown else f"name look-up failed: {exc.strerror}"


def _tls_text(exc: ssl.SSLError) -> str:
    # Attributes that OpenSSL's errors have, and those made in Python have not.
    reason = getattr(exc, "reason", None) or "no reason given"
    return f"TLS failed: {reason.replace('_', ' ').lower()}"


def _certificate_text(exc: ssl.SSLCertVerificationError) -> str:
    fault = getattr(exc, "verify_message", None) or "it is for another host"
    return f"certificate not trusted: {fault}"


# The first that fits and has something to say tells: special kinds before general ones.
_TELLERS: tuple[tuple[type[BaseException], Callable[[Any], str]], ...] = (
    (ssl.SSLCertVerificationError, _certificate_text),
    (ssl.SSLEOFError, lambda _: "connection closed within TLS"),
    (ssl.SSLError, _tls_text),
    (socket.gaierror, _name_text),
    (RemoteDisconnected, lambda _: "connection closed without an answer"),
    (OSError, _system_text),
    (IncompleteRead, lambda _: "answer cut short or its chunks broken"),
    (HTTPException, lambda _: "the answer is no proper HTTP"),
)
