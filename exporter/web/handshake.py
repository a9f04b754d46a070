"""TLS handshakes with clients: a refused client gets an alert, and the log the reason.

asyncio closes a connection as soon as its handshake fails, and the alert would be lost.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Collection
from contextlib import suppress
from contextvars import ContextVar
from ipaddress import ip_address
from typing import Any, NamedTuple, cast

from exporter.system.log_rate_limit import LINES_PER_MINUTE, LogRateLimit

_log = logging.getLogger(__name__)

client: ContextVar[str] = ContextVar("client", default="")
"""The address of the client; the task that opens its connection sets it."""

# A client never sends it after its handshake: OpenSSL answers with a fatal alert, for
# which Python has no function.
_UNEXPECTED_RECORD = b"\x16\x03\x03\x00\x01\x00"
_EXPIRED, _NOT_YET_VALID = 10, 9


class _Refusal(NamedTuple):
    """Why a client is refused, and what to do; both are the fields of a log line."""

    reason: str
    advice: str
    is_about_certificate: bool = True


_NO_CERTIFICATE = _Refusal(
    "no client certificate, which client_auth_type requires",
    "set cert_file and key_file in the tls_config of the client",
)
_NO_ALLOWED_NAME = _Refusal(
    "the client certificate has no name that client_allowed_sans contains",
    "add one of its names to client_allowed_sans, or use another certificate",
)
_PLAIN_HTTP = _Refusal(
    "plain HTTP on a port for HTTPS",
    "set the scheme https in the client",
    is_about_certificate=False,
)
_BY_REASON = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": _NO_CERTIFICATE,
    "HTTP_REQUEST": _PLAIN_HTTP,
    "HTTPS_PROXY_REQUEST": _PLAIN_HTTP,
}


def normal_san(text: str) -> str:
    """Return an IP address in its shortest form, and any other name unchanged."""
    try:
        return str(ip_address(text))
    except ValueError:
        return text


class ServerTlsContext(ssl.SSLContext):
    """A context for servers that also verifies the names in a client's certificate."""

    allowed_sans: Collection[str] = ()
    """A client's certificate must have one of them, unless there are none."""

    def __init__(self, _: int) -> None:
        """Prepare the log; `ssl.SSLContext` has no other constructor than `__new__`."""
        self._log_limits: dict[str, LogRateLimit] = {}
        """By reason: a flood of one kind does not suppress the lines of another."""

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Return the server's side of a connection."""
        made = super().wrap_bio(
            incoming, outgoing, server_side, server_hostname, session
        )
        cast("_ServerSide", made).prepare(incoming)
        return made

    def record(self, address: str, refusal: _Refusal) -> None:
        """Log a refusal, unless there are many with the same reason."""
        now = time.monotonic()
        reason, limits = refusal.reason, self._log_limits
        limit = limits.get(reason, LogRateLimit(LINES_PER_MINUTE))
        if limit.admits(now=now):
            facts = {
                "client": address.removeprefix("::ffff:"),
                "reason": reason,
                "advice": refusal.advice,
                **limit.facts(now=now),
            }
            level = logging.WARNING if refusal.is_about_certificate else logging.INFO
            _log.log(level, "web.handshake_failed", extra={"fields": facts})
        limits[reason] = limit.counted(now=now)


class _ServerSide(ssl.SSLObject):
    """One connection; after a failed handshake it waits for the client to close."""

    _incoming: ssl.MemoryBIO
    _is_refused = False

    def prepare(self, incoming: ssl.MemoryBIO) -> None:
        """Set what a connection needs; there is no other constructor."""
        self._incoming = incoming
        self._client = client.get()

    def do_handshake(self) -> None:
        """Continue the handshake.

        A failure is SSLWantReadError, upon which asyncio sends the alert. The client
        closes when it has read it; if it does not, the timeout of the handshake ends.
        """
        if not self._is_refused:
            refusal: _Refusal | None = None
            try:
                super().do_handshake()
                if self._has_allowed_name():
                    return
                refusal = _NO_ALLOWED_NAME
                self._provoke_alert()
            except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                raise
            except ssl.SSLError as error:
                refusal = _refusal(error)
            self._is_refused = True
            self._server.record(self._client, refusal)
        self._incoming.read()
        raise ssl.SSLWantReadError

    @property
    def _server(self) -> ServerTlsContext:
        return cast("ServerTlsContext", self.context)

    def _has_allowed_name(self) -> bool:
        certificate: dict[str, Any] = self.getpeercert() or {}
        names = {
            normal_san(text.strip()) if kind == "IP Address" else text
            for kind, text in certificate.get("subjectAltName", ())
        }
        allowed = self._server.allowed_sans
        return not allowed or not names.isdisjoint(allowed)

    def _provoke_alert(self) -> None:
        """Let OpenSSL write a fatal alert; what the client sent is discarded."""
        self._incoming.read()
        self._incoming.write(_UNEXPECTED_RECORD)
        with suppress(ssl.SSLError):
            self.read(1)


ServerTlsContext.sslobject_class = _ServerSide


def _refusal(error: ssl.SSLError) -> _Refusal:
    """Describe an error of OpenSSL."""
    if isinstance(error, ssl.SSLCertVerificationError):
        advice = (
            "use a certificate for clients that is signed by an authority of"
            " client_ca_file"
        )
        if error.verify_code in {_EXPIRED, _NOT_YET_VALID}:
            advice = "renew the certificate, or correct this machine's clock"
        text = f"the client certificate is refused: {error.verify_message}"
        return _Refusal(text, advice)
    code = error.reason or "UNKNOWN"
    text = code.lower().replace("_", " ")
    if "ALERT" in code and ("CERTIFICATE" in code or "UNKNOWN_CA" in code):
        return _Refusal(
            f"the client refuses the exporter's certificate: {text}",
            "add the authority that signed cert_file to ca_file in the tls_config of"
            " the client, and use a name of that certificate in the URL",
        )
    return _BY_REASON.get(code) or _Refusal(
        f"the TLS handshake failed: {text}",
        "check that the client supports TLS, and min_version, max_version and"
        " cipher_suites",
        is_about_certificate=False,
    )
