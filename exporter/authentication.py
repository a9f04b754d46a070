"""Basic authentication: who asks, and whether the password is his.

A right password is verified once and then known by a salted digest; so is a wrong one,
for a while. Whatever strangers send, one password is worked on at a time, in a thread,
with a rest after each wrong one, few wait for it, and who is known waits for nobody.
Neither a password nor a hash is in any message.
"""

from __future__ import annotations

import asyncio
import binascii
import hmac
import secrets
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from importlib import import_module
from typing import NamedTuple

from exporter.model import Secret
from exporter.web_config import cost_of

_REMEMBERED_REFUSALS = 1024
_PLACES = 8
"""How many passwords may be waiting to be verified."""
_PLACES_PER_PEER = 2
_REST = 3.0
"""How long to rest after a wrong password, in times the work: a quarter of one CPU."""
_LONGEST_PASSWORD = 72
"""bcrypt looks at no byte behind; its library refuses more."""


class Verdict(Enum):
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
    hash: bytes
    is_known: bool
    peer: str
    verdict: asyncio.Future[Verdict]


class Authenticator:
    """Verifies credentials; all its methods belong to one event loop."""

    def __init__(self) -> None:
        self._refused: OrderedDict[bytes, None] = OrderedDict()
        self._jobs: dict[bytes, _Job] = {}
        self._queue: deque[_Job] = deque()
        self._is_occupied = False
        self.replace({})

    def replace(self, users: Mapping[str, Secret]) -> None:
        """Let these be the users, and forget who was verified before."""
        self._hashes = {
            name.encode(): hash_.reveal().encode() for name, hash_ in users.items()
        }
        # Nobody has this hash; it costs what the dearest of the real ones costs.
        cost = max((cost_of(hash_.reveal()) for hash_ in users.values()), default=4)
        self._nobody = b"$2b$%02d$%s" % (cost, b"." * 53)
        # With a new salt, what is verified just now is not recognized later.
        self._salt = secrets.token_bytes(32)
        self._granted: dict[bytes, bytes] = {}
        self._refused.clear()
        if users:
            # Not before it is needed: few use it, and all would wait at the start.
            self._matches = import_module("bcrypt").checkpw

    @property
    def is_needed(self) -> bool:
        """Whether there are users: without, everyone may ask."""
        return bool(self._hashes)

    async def judge(self, asked: Credentials | None, *, peer: str) -> Verdict:
        """Return what the credentials are worth, at once if they were seen before."""
        if asked is None or len(asked.password) > _LONGEST_PASSWORD:
            return Verdict.REFUSED
        mark = self._mark(asked)
        if hmac.compare_digest(self._granted.get(asked.name, b""), mark):
            return Verdict.GRANTED
        if mark in self._refused:
            self._refused.move_to_end(mark)
            return Verdict.REFUSED
        job = self._jobs.get(mark) or self._enqueue(asked, mark, peer)
        return Verdict.BUSY if job is None else await asyncio.shield(job.verdict)

    def _mark(self, asked: Credentials) -> bytes:
        length = len(asked.name).to_bytes(8, "big")
        return hmac.digest(self._salt, length + asked.name + asked.password, "sha256")

    def _enqueue(self, asked: Credentials, mark: bytes, peer: str) -> _Job | None:
        """Put the credentials last in the queue; None: there is no place."""
        of_peer = sum(job.peer == peer for job in self._jobs.values())
        if len(self._jobs) >= _PLACES or of_peer >= _PLACES_PER_PEER:
            return None
        found = self._hashes.get(asked.name)
        verdict = asyncio.get_running_loop().create_future()
        job = _Job(
            asked=asked,
            mark=mark,
            hash=found or self._nobody,
            is_known=found is not None,
            peer=peer,
            verdict=verdict,
        )
        self._jobs[mark] = job
        self._queue.append(job)
        self._work()
        return job

    def _work(self) -> None:
        if self._is_occupied or not self._queue:
            return
        job = self._queue.popleft()
        self._is_occupied = True
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        work = loop.run_in_executor(None, self._matches, job.asked.password, job.hash)
        work.add_done_callback(partial(self._finish, job, started_at))

    def _finish(self, job: _Job, started_at: float, work: asyncio.Future[bool]) -> None:
        loop = asyncio.get_running_loop()
        del self._jobs[job.mark]
        rest_seconds = _REST * (loop.time() - started_at)
        if error := work.exception():
            job.verdict.set_exception(error)
        elif work.result() and job.is_known:
            rest_seconds = 0.0
            self._granted[job.asked.name] = job.mark
            job.verdict.set_result(Verdict.GRANTED)
        else:
            self._refused[job.mark] = None
            if len(self._refused) > _REMEMBERED_REFUSALS:
                self._refused.popitem(last=False)
            job.verdict.set_result(Verdict.REFUSED)
        loop.call_later(rest_seconds, self._resume)

    def _resume(self) -> None:
        self._is_occupied = False
        self._work()
