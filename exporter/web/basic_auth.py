"""Basic authentication: who asks, and whether the password is his.

A right password is verified once and then known by a salted digest; so is a wrong one,
for a while. Whatever strangers send, one password is worked on at a time, in a thread,
with a rest after each wrong one, few wait for it, and who is known waits for nobody.
Who was not wrong lately takes the place of one who waits, if there is no other.
Neither a password nor a hash is in any message.
"""

from __future__ import annotations

import asyncio
import binascii
import hmac
import math
import secrets
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from importlib import import_module
from ipaddress import ip_address
from typing import NamedTuple, TypeVar

from exporter.system.api_key import Secret
from exporter.web.web_config import cost_of

_REMEMBERED_REFUSALS = 1024
_PLACES = 8
"""How many passwords may be waiting to be verified."""
_PLACES_PER_PEER = 2
_SUSPICION_SECONDS = 600.0
"""How long a wrong password counts against its peer, when places are few."""
_REMEMBERED_PEERS = 1024
_REST = 3.0
"""How long to rest after a wrong password, in times the work: a quarter of one CPU."""
_LONGEST_PASSWORD = 72
"""bcrypt looks at no byte behind; its library refuses more."""

K = TypeVar("K")
V = TypeVar("V")


class AuthResult(Enum):
    """What a request's credentials are worth."""

    GRANTED = auto()
    REFUSED = auto()
    BUSY = auto()
    """Too many wait already: ask again in a second."""


class Credentials(NamedTuple):
    """What a client says it is, as bytes: nobody says in which encoding."""

    name: bytes
    password: bytes

    def __repr__(self) -> str:
        return "Credentials(...)"


def credentials(header: str) -> Credentials | None:
    """Read the header Authorization; None: it says nothing in the form of RFC 7617."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = binascii.a2b_base64(encoded.strip(" "), strict_mode=True)
    except ValueError:
        return None
    name, colon, password = text.partition(b":")
    return Credentials(name, password) if colon else None


@dataclass(slots=True, eq=False)
class _Job:
    """A password to be verified."""

    asked: Credentials
    mark: bytes
    hash: bytes | None
    """None: there is no such user."""
    peer: str
    verdict: asyncio.Future[AuthResult]


class Authenticator:
    """Verifies credentials; all its methods belong to one event loop."""

    def __init__(self) -> None:
        self._salt = secrets.token_bytes(32)
        self._granted: dict[bytes, bytes] = {}
        self._refused: OrderedDict[bytes, None] = OrderedDict()
        self._refused_at: OrderedDict[str, float] = OrderedDict()
        self._jobs: dict[bytes, _Job] = {}
        self._queue: deque[_Job] = deque()
        self._is_occupied = False
        self.replace({})

    def replace(self, users: Mapping[str, Secret]) -> None:
        """Let these be the users; who keeps his hash need not be verified again."""
        self._hashes = {
            name.encode(): hash_.reveal().encode() for name, hash_ in users.items()
        }
        # Nobody has this hash; it costs what the dearest of the real ones costs.
        cost = max((cost_of(hash_.reveal()) for hash_ in users.values()), default=4)
        self._nobody = b"$2b$%02d$%s" % (cost, b"." * 53)
        for name in self._granted.keys() - self._hashes.keys():
            del self._granted[name]
        if users:
            # Not before it is needed: few use it, and all would wait at the start.
            self._matches = import_module("bcrypt").checkpw

    @property
    def is_needed(self) -> bool:
        """Whether there are users: without, everyone may ask."""
        return bool(self._hashes)

    async def judge(self, asked: Credentials | None, *, peer: str) -> AuthResult:
        """Return what the credentials are worth, at once if they were seen before."""
        if asked is None or len(asked.password) > _LONGEST_PASSWORD:
            return AuthResult.REFUSED
        peer = _network(peer)
        mark = self._mark(asked)
        if hmac.compare_digest(self._granted.get(asked.name, b""), mark):
            return AuthResult.GRANTED
        if mark in self._refused:
            self._remember_refusal(mark, peer)
            return AuthResult.REFUSED
        job = self._jobs.get(mark) or self._enqueue(asked, mark, peer)
        return AuthResult.BUSY if job is None else await asyncio.shield(job.verdict)

    def _mark(self, asked: Credentials) -> bytes:
        # With the hash in it, no mark outlives the hash by which it was judged.
        parts = (asked.name, self._hashes.get(asked.name, b""), asked.password)
        text = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return hmac.digest(self._salt, text, "sha256")

    def _enqueue(self, asked: Credentials, mark: bytes, peer: str) -> _Job | None:
        """Put the credentials last in the queue; None: there is no place."""
        if not self._make_room(peer):
            return None
        job = _Job(
            asked=asked,
            mark=mark,
            hash=self._hashes.get(asked.name),
            peer=peer,
            verdict=asyncio.get_running_loop().create_future(),
        )
        self._jobs[mark] = job
        self._queue.append(job)
        self._work()
        return job

    def _make_room(self, peer: str) -> bool:
        """See that there is a place for a peer; False: it has to come again."""
        if sum(job.peer == peer for job in self._jobs.values()) >= _PLACES_PER_PEER:
            return False
        if len(self._jobs) < _PLACES:
            return True
        if self._is_suspect(peer):
            return False
        suspects = [job for job in self._queue if self._is_suspect(job.peer)]
        # By chance: whoever could tell who has to go could see to it that others do.
        self._dismiss(secrets.choice(suspects or self._queue))
        return True

    def _dismiss(self, job: _Job) -> None:
        self._queue.remove(job)
        del self._jobs[job.mark]
        job.verdict.set_result(AuthResult.BUSY)

    def _is_suspect(self, peer: str) -> bool:
        refused_at = self._refused_at.get(peer, -math.inf)
        return asyncio.get_running_loop().time() - refused_at < _SUSPICION_SECONDS

    def _remember_refusal(self, mark: bytes, peer: str) -> None:
        now = asyncio.get_running_loop().time()
        _put_last(self._refused, mark, None, most=_REMEMBERED_REFUSALS)
        _put_last(self._refused_at, peer, now, most=_REMEMBERED_PEERS)

    def _work(self) -> None:
        if self._is_occupied or not self._queue:
            return
        job = self._queue.popleft()
        self._is_occupied = True
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        hash_ = job.hash or self._nobody
        work = loop.run_in_executor(None, self._matches, job.asked.password, hash_)
        work.add_done_callback(partial(self._finish, job, started_at))

    def _finish(self, job: _Job, started_at: float, work: asyncio.Future[bool]) -> None:
        loop = asyncio.get_running_loop()
        del self._jobs[job.mark]
        rest_seconds = _REST * (loop.time() - started_at)
        if error := work.exception():
            job.verdict.set_exception(error)
        elif work.result() and job.hash is not None:
            rest_seconds = 0.0
            self._granted[job.asked.name] = job.mark
            job.verdict.set_result(AuthResult.GRANTED)
        else:
            self._remember_refusal(job.mark, job.peer)
            job.verdict.set_result(AuthResult.REFUSED)
        loop.call_later(rest_seconds, self._resume)

    def _resume(self) -> None:
        self._is_occupied = False
        self._work()


def _put_last(kept: OrderedDict[K, V], key: K, value: V, *, most: int) -> None:
    """Put a value last, and let the first one go if there are too many."""
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > most:
        kept.popitem(last=False)


def _network(peer: str) -> str:
    """Return what stands for a peer: of IPv6 the /64, all of which one host may use."""
    try:
        address = ip_address(peer)
    except ValueError:  # it left at once
        return peer
    return peer if address.version == 4 else address.packed[:8].hex()
