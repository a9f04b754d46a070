"""The certificate authorities that connections trust, and the TLS context with them.

The rules are those of curl, on every version of Python: the system's store counts, with
the list of certifi in case that it is missing or outdated; a trusted certificate need
not be a root; and one without key identifiers is accepted, as many appliances issue
them. Python 3.13 alone rejects it by default (VERIFY_X509_STRICT).
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from exporter.system.api_key import without_quotes

_SYSTEM_PATHS = ssl.get_default_verify_paths()
# Go's list: OpenSSL of a Python that was built elsewhere has another path.
_SYSTEM_FILES = (
    _SYSTEM_PATHS.openssl_cafile,
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Red Hat
    "/etc/ssl/ca-bundle.pem",  # SUSE
)
_HASHED_NAME = re.compile(r"[0-9a-f]{8}\.\d+")
_REPLACING = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


class AuthoritiesUnreadable(OSError):
    """A file or directory of certificates cannot be loaded."""


class NamedPath(NamedTuple):
    """A file of PEM certificates, or a directory made by `openssl rehash`."""

    path: str
    source: str
    """The option or variable that names it."""

    def __str__(self) -> str:
        return f"{self.source} {self.path}"


class Authorities(NamedTuple):
    """Where certificates of authorities are: in all of these paths."""

    named: tuple[NamedPath, ...] = ()
    defaults: tuple[str, ...] = ()
    """Ignored if they do not exist."""

    def __str__(self) -> str:
        system = ("the system's certificates",) if self.defaults else ()
        return " or ".join((*map(str, self.named), *system))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Authorities:
        """Read the variables of requests and curl, then those of OpenSSL.

        REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE replace all authorities, SSL_CERT_FILE
        the system's file and SSL_CERT_DIR its directory.
        """
        for name in _REPLACING:
            if path := without_quotes(environment.get(name, "")):
                return cls((NamedPath(path, name),))
        file = without_quotes(environment.get("SSL_CERT_FILE", ""))
        directories = without_quotes(environment.get("SSL_CERT_DIR", "")).split(":")
        named = [NamedPath(file, "SSL_CERT_FILE")]
        named += [NamedPath(one, "SSL_CERT_DIR") for one in directories]
        defaults: list[str] = []
        if not file:
            defaults += [one for one in _SYSTEM_FILES if Path(one).is_file()][:1]
        if not any(directories):
            defaults.append(_SYSTEM_PATHS.openssl_capath)
        if not (file or any(directories)):
            defaults.append(DEFAULT_CA_BUNDLE_PATH)
        return cls(tuple(one for one in named if one.path), tuple(defaults))

    def tls_context(self) -> ssl.SSLContext:
        """Return a context that trusts them; raises `AuthoritiesUnreadable`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        for path in self.defaults:
            with suppress(OSError):
                _load(context, path)
        for one in self.named:
            try:
                _load(context, one.path)
            except OSError as exc:
                message = f"the certificates in {one} cannot be loaded: {_fault(exc)}"
                raise AuthoritiesUnreadable(message) from exc
        return context

    def version(self) -> tuple[object, ...]:
        """Return a value that differs after a change of a file."""
        return tuple(_file_version(path) for path in self._paths())

    def _paths(self) -> Iterator[str]:
        yield from (one.path for one in self.named)
        yield from self.defaults


def _load(context: ssl.SSLContext, path: str) -> None:
    if not Path(path).is_dir():
        context.load_verify_locations(cafile=path)
        return
    # OpenSSL opens files of these names only, during handshakes.
    if not any(_HASHED_NAME.fullmatch(one.name) for one in Path(path).iterdir()):
        raise AuthoritiesUnreadable(
            f"the directory has no certificate under a hashed name; run `openssl rehash"
            f" {path}`, or name a file"
        )
    context.load_verify_locations(capath=path)


def _fault(exc: OSError) -> str:
    if isinstance(exc, AuthoritiesUnreadable):
        return str(exc)
    if isinstance(exc, ssl.SSLError):
        reason = (exc.reason or "no reason given").replace("_", " ").lower()
        return f"expected certificates in PEM ({reason})"
    return (exc.strerror or f"error {exc.errno}").lower()


def _file_version(path: str) -> tuple[int, ...]:
    with suppress(OSError):
        status = Path(path).stat()
        return (status.st_mtime_ns, status.st_size, status.st_ino)
    return ()
