"""Basic authentication against bcrypt hashes.

A verified password is cached as a salted digest, so each costs one bcrypt. One bcrypt
runs at a time, in a worker thread: wrong passwords occupy one core at most and do not
delay clients whose password is cached. No message contains a password or a hash.
"""

from __future__ import annotations

import binascii
import hmac
import secrets
from collections.abc import Mapping
from enum import Enum, auto
from functools import partial
from typing import NamedTuple

from exporter.system.api_key import Secret
from exporter.web.password_queue import PasswordQueue, origin_of
from exporter.web.web_config import cost_of

_BCRYPT_BYTES = 72
"""bcrypt ignores all further bytes, as exporter-toolkit does; the library refuses them
since its version 5."""


class AuthResult(Enum):
    """The result of a verification."""

    GRANTED = auto()
    REFUSED = auto()
    BUSY = auto()
    """Too many passwords wait for verification: the client has to retry."""


class Credentials(NamedTuple):
    """Name and password as bytes: HTTP does not define their encoding."""

    name: bytes
    password: bytes

    def __repr__(self) -> str:
        return "Credentials(...)"


def credentials(header: str) -> Credentials | None:
    """Parse the header Authorization; None if it is not in the form of RFC 7617."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = binascii.a2b_base64(encoded.strip(" "), strict_mode=True)
    except ValueError:
        return None
    name, colon, password = text.partition(b":")
    return Credentials(name, password) if colon else None


class Authenticator:
    """Verifies credentials; `authenticate` belongs to one event loop."""

    def __init__(self) -> None:
        self._salt = secrets.token_bytes(32)
        self._granted: dict[bytes, bytes] = {}
        """User names, and the digests of their verified credentials."""
        self._queue = PasswordQueue()
        self.replace_users({})

    def replace_users(self, users: Mapping[str, Secret]) -> None:
        """Set the users, from any thread.

        Cached credentials stay valid for users whose hash is unchanged.
        """
        self._hashes = {
            name.encode(): hash_.reveal().encode() for name, hash_ in users.items()
        }
        # No password has this hash. It costs as much as the most expensive real one, so
        # the response time does not disclose which names exist.
        cost = max((cost_of(hash_.reveal()) for hash_ in users.values()), default=4)
        self._dummy_hash = b"$2b$%02d$%s" % (cost, b"." * 53)
        for name in self._granted.keys() - self._hashes.keys():
            del self._granted[name]

    @property
    def is_enabled(self) -> bool:
        """Whether there are users; without any, no request is authenticated."""
        return bool(self._hashes)

    async def authenticate(
        self, given: Credentials | None, client: str = ""
    ) -> AuthResult:
        """Return the result, at once for credentials that were verified before.

        During a flood the address of the client decides how long it waits.
        """
        if given is None:
            return AuthResult.REFUSED
        given = given._replace(password=given.password[:_BCRYPT_BYTES])
        while True:
            hash_ = self._hashes.get(given.name)
            digest = self._digest(given, hash_)
            if hmac.compare_digest(self._granted.get(given.name, b""), digest):
                return AuthResult.GRANTED
            is_valid = await self._queue.verify(
                digest,
                origin_of(client),
                partial(_is_match, given.password, hash_ or self._dummy_hash),
                partial(self._grant, given.name, hash_, digest),
            )
            if is_valid is None:
                return AuthResult.BUSY
            if self._hashes.get(given.name) == hash_:
                break
            # Replaced meanwhile: the new hash counts.
        is_granted = is_valid and hash_ is not None
        return AuthResult.GRANTED if is_granted else AuthResult.REFUSED

    def _grant(self, name: bytes, hash_: bytes | None, digest: bytes) -> None:
        """Cache valid credentials, unless the hash was replaced meanwhile."""
        if hash_ is not None and self._hashes.get(name) == hash_:
            self._granted[name] = digest

    def _digest(self, given: Credentials, hash_: bytes | None) -> bytes:
        # It includes the hash: a cached digest is invalid once the hash changes.
        parts = (given.name, hash_ or b"", given.password)
        text = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return hmac.digest(self._salt, text, "sha256")


def _is_match(password: bytes, hash_: bytes) -> bool:
    # Imported only if there are users: it would delay every start.
    from bcrypt import checkpw

    return checkpw(password, hash_)
