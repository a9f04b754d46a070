"""TLS contexts from settings, or the faults that OpenSSL finds in them.

OpenSSL never prompts for a passphrase, and no message contains part of a key.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from tempfile import NamedTemporaryFile
from typing import NamedTuple

from exporter.system.api_key import Secret
from exporter.web import pem_faults
from exporter.web.handshake import ServerTlsContext


class ClientAuth(StrEnum):
    """Whether clients have to present a certificate."""

    NONE = "NoClientCert"
    IF_GIVEN = "VerifyClientCertIfGiven"
    REQUIRED = "RequireAndVerifyClientCert"


@dataclass(frozen=True, slots=True)
class Pem:
    """Certificates or a key, with their option and their file, if any."""

    option: str
    path: str | None
    text: Secret


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS settings; ciphers and curve by OpenSSL's names, empty for its defaults."""

    cert: Pem
    key: Pem
    client_ca: Pem | None = None
    client_auth: ClientAuth = ClientAuth.NONE
    allowed_sans: frozenset[str] = frozenset()
    """A client's certificate must have one of them, unless there are none."""
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    ciphers: tuple[str, ...] = ()
    prefers_own_ciphers: bool = True
    curve: str = ""


class WebConfigFault(NamedTuple):
    """Why OpenSSL rejects an option of `tls_server_config`."""

    option: str
    message: str


_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_VERIFY_MODES = {
    ClientAuth.NONE: ssl.CERT_NONE,
    ClientAuth.IF_GIVEN: ssl.CERT_OPTIONAL,
    ClientAuth.REQUIRED: ssl.CERT_REQUIRED,
}
# Without a passphrase OpenSSL would prompt for one at the terminal.
_NO_PASSPHRASE = ""


def server_context(tls: Tls) -> ssl.SSLContext | tuple[WebConfigFault, ...]:
    """Return a context for the server, or all faults of the settings."""
    context = ServerTlsContext(ssl.PROTOCOL_TLS_SERVER)
    faults = [*_load_pair(context, tls)]
    if tls.client_ca is not None:
        faults = [*_load_certificates(context, tls.client_ca), *faults]
    if faults:
        return tuple(faults)
    try:
        _configure(context, tls)
    except (ssl.SSLError, ValueError):
        message = "not supported by OpenSSL on this machine; expected other values"
        return (
            WebConfigFault(
                "cipher_suites" if tls.ciphers else "curve_preferences", message
            ),
        )
    return context


def _configure(context: ServerTlsContext, tls: Tls) -> None:
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
    context.allowed_sans = tls.allowed_sans
    context.set_alpn_protocols(["http/1.1"])


def client_context(tls: Tls | None = None) -> ssl.SSLContext:
    """Return a client context without verification, for requests to this machine only.

    It uses the certificate of `tls`, if given. OSError: that cannot be loaded.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if tls is not None:
        with _file(tls.cert) as cert_file, _file(tls.key) as key_file:
            context.load_cert_chain(cert_file, key_file, password=_NO_PASSPHRASE)
    return context


def _load_certificates(context: ssl.SSLContext, pem: Pem) -> Iterator[WebConfigFault]:
    try:
        context.load_verify_locations(cadata=pem.text.reveal())
    except (ssl.SSLError, ValueError):
        # ValueError: the text is empty.
        yield WebConfigFault(pem.option, pem_faults.of_certificate(pem.text.reveal()))


def _load_pair(context: ssl.SSLContext, tls: Tls) -> Iterator[WebConfigFault]:
    # In a separate context: the server's certificate must not become a trusted CA.
    faults = list(_load_certificates(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), tls.cert))
    if faults:
        yield from faults
        return
    try:
        with _file(tls.cert) as cert_file, _file(tls.key) as key_file:
            context.load_cert_chain(cert_file, key_file, password=_NO_PASSPHRASE)
    except ssl.SSLError as error:
        reason = error.reason or ""
        if message := pem_faults.of_refused_certificate(reason):
            yield WebConfigFault(tls.cert.option, message)
        else:
            message = pem_faults.of_key(tls.key.text.reveal(), reason, tls.cert.option)
            yield WebConfigFault(tls.key.option, message)
    except OSError as error:
        yield WebConfigFault(
            tls.key.option, f"cannot read key or certificate: {error.strerror}"
        )


@contextmanager
def _file(pem: Pem) -> Iterator[str]:
    """Yield the path of a file with the PEM: OpenSSL loads keys from files only."""
    if pem.path is not None:
        yield pem.path
        return
    # In memory on Linux, where no directory may be writable.
    is_in_memory = hasattr(os, "memfd_create")
    with (
        os.fdopen(os.memfd_create("pem"), "wb")
        if is_in_memory
        else NamedTemporaryFile() as file
    ):
        file.write(pem.text.reveal().encode())
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}" if is_in_memory else file.name
