"""TLS contexts: what OpenSSL makes of a `Tls`, or why it does not take it.

No passphrase is ever asked for, and no message holds anything of a key.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from tempfile import NamedTemporaryFile
from typing import Any

from exporter.web.web_config import ClientAuth, Pem, Tls, WebConfigFault, normal_san

_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_VERIFY_MODES = {
    ClientAuth.NONE: ssl.CERT_NONE,
    ClientAuth.IF_GIVEN: ssl.CERT_OPTIONAL,
    ClientAuth.REQUIRED: ssl.CERT_REQUIRED,
}
_MISMATCHES = {"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"}


def server_context(tls: Tls) -> ssl.SSLContext | tuple[WebConfigFault, ...]:
    """Return a context to serve with, or everything that keeps it from being made."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    faults = [*_load_client_ca(context, tls.client_ca), *_load_pair(context, tls)]
    if faults:
        return tuple(faults)
    try:
        _configure(context, tls)
    except (ssl.SSLError, ValueError):
        message = "OpenSSL on this machine does not have what is asked of it"
        return (
            WebConfigFault(
                "cipher_suites" if tls.ciphers else "curve_preferences", message
            ),
        )
    return context


def _configure(context: ssl.SSLContext, tls: Tls) -> None:
    context.verify_mode = _VERIFY_MODES[tls.client_auth]
    context.minimum_version = _VERSIONS[tls.min_version]
    context.maximum_version = _VERSIONS[tls.max_version]
    context.options |= ssl.OP_NO_RENEGOTIATION
    if tls.ciphers:
        context.set_ciphers(":".join(tls.ciphers))
    if not tls.prefers_own_ciphers:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if tls.curve:
        context.set_ecdh_curve(tls.curve)
    if tls.allowed_sans:
        context.sslobject_class = _only_for(tls.allowed_sans)
    context.set_alpn_protocols(["http/1.1"])


def client_context(tls: Tls | None = None) -> ssl.SSLContext:
    """Return a context that verifies nothing: fit for asking this very machine.

    It shows the certificate of `tls`. OSError: there is none to show.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if tls is not None:
        with _file(tls.cert) as cert_file, _file(tls.key) as key_file:
            context.load_cert_chain(cert_file, key_file, password=_no_passphrase)
    return context


def _load_client_ca(
    context: ssl.SSLContext, pem: Pem | None
) -> Iterator[WebConfigFault]:
    if pem is not None:
        yield from _load_certificates(context, pem)


def _load_certificates(context: ssl.SSLContext, pem: Pem) -> Iterator[WebConfigFault]:
    try:
        context.load_verify_locations(cadata=pem.text.reveal())
    except (ssl.SSLError, ValueError):
        # ValueError: the text is empty.
        yield WebConfigFault(
            pem.option, "expected certificates in PEM form, found none or worse"
        )


def _load_pair(context: ssl.SSLContext, tls: Tls) -> Iterator[WebConfigFault]:
    # In a context of its own: the certificate of a server trusts no client.
    faults = list(_load_certificates(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), tls.cert))
    if faults:
        yield from faults
        return
    try:
        with _file(tls.cert) as cert_file, _file(tls.key) as key_file:
            context.load_cert_chain(cert_file, key_file, password=_no_passphrase)
    except ssl.SSLError as error:
        if error.reason in _MISMATCHES:
            message = (
                f"this key does not belong to the certificate of {tls.cert.option}"
            )
        else:
            message = "expected a private key in PEM form, without a passphrase"
        yield WebConfigFault(tls.key.option, message)
    except OSError as error:
        yield WebConfigFault(tls.key.option, f"key or certificate: {error.strerror}")


def _no_passphrase() -> str:
    """Give none: OpenSSL would ask at the terminal."""
    return ""


@contextmanager
def _file(pem: Pem) -> Iterator[str]:
    """Give the path of a file that holds it: OpenSSL is told a key in no other way."""
    if pem.path is not None:
        yield pem.path
        return
    with NamedTemporaryFile() as file:
        file.write(pem.text.reveal().encode())
        file.flush()
        yield file.name


def _only_for(allowed: frozenset[str]) -> type[ssl.SSLObject]:
    class Particular(ssl.SSLObject):
        """Ends a handshake with a client whose certificate has no allowed name."""

        def do_handshake(self) -> None:
            super().do_handshake()
            certificate = self.getpeercert() or {}
            if not allowed & set(_names(certificate)):
                message = "the client's certificate has none of the allowed names"
                raise ssl.SSLError(message)

    return Particular


def _names(certificate: Mapping[str, Any]) -> Iterator[str]:
    for kind, text in certificate.get("subjectAltName", ()):
        yield normal_san(text.strip()) if kind == "IP Address" else text
