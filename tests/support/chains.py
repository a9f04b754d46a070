"""Certificates with every fault that appliances and operators produce."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey

    @property
    def pem(self) -> bytes:
        """The certificate as PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def der(self) -> bytes:
        """The certificate as DER."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def server_context(self, directory: Path, *chain: Issued) -> ssl.SSLContext:
        """Return the context of a server that presents it, and `chain` after it."""
        key = self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        path = directory / "server.pem"
        path.write_bytes(b"".join((key, self.pem, *(one.pem for one in chain))))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers("DEFAULT@SECLEVEL=0")  # to present short keys
        context.load_cert_chain(path)
        return context


def issue(
    name: str,
    issuer: Issued | None = None,
    *,
    is_authority: bool = False,
    hosts: tuple[str, ...] = ("localhost",),
    days: tuple[int, int] = (-9, 9),
    has_identifiers: bool = True,
    bits: int = 2048,
) -> Issued:
    """Issue a certificate; without `issuer` it is self-signed.

    `days` are those before and after today between which it is valid. Without
    identifiers it is what Python 3.13 rejects by default: no key identifiers, and
    basicConstraints that are not critical.
    """
    key = rsa.generate_private_key(65537, bits)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(
            x509.BasicConstraints(ca=is_authority, path_length=None),
            critical=has_identifiers,
        )
    )
    if not is_authority and hosts:
        names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
        builder = builder.add_extension(names, critical=False)
    if has_identifiers:
        signer = (issuer.key if issuer else key).public_key()
        for identifier in (
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer),
        ):
            builder = builder.add_extension(identifier, critical=False)
    signing_key = issuer.key if issuer else key
    return Issued(builder.sign(signing_key, hashes.SHA256()), key)
