"""Certificates, keys and a password for tests."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme

PASSWORD = "correct horse battery staple"
HASH = "$2b$04$abcdefghijklmnopqrstuu7EJV7kdjBBQxyb0HjTh9KS7.Lah/6CG"
"""Of the password, with the lowest cost."""


class Certificates:
    """A certificate authority and a server's certificate, as files in a directory."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.authority = trustme.CA()
        issued = self.authority.issue_cert("127.0.0.1")
        self.cert = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        self.key = issued.private_key_pem.bytes()
        self.ca = self.authority.cert_pem.bytes()
        for name, text in (("cert", self.cert), ("key", self.key), ("ca", self.ca)):
            (directory / f"{name}.pem").write_bytes(text)
        self.directory = directory

    def server_context(self) -> ssl.SSLContext:
        """Return a context with the certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.directory / "cert.pem", self.directory / "key.pem")
        return context

    def client_context(self, *names: str) -> ssl.SSLContext:
        """Return a context that trusts the authority.

        It has a client certificate for `names`, if given.
        """
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if names:
            self.authority.issue_cert(*names).configure_cert(context)
        return context
