"""Verifies one password at a time, and decides which one is next while many wait.

The addresses that sent most passwords wait longest. During a flood of wrong passwords,
from however many addresses, one that sends its first password is therefore next. The
count begins again when no password waits.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple

MOST_WAITING = 8
"""Beyond it, a password of the address that sent most is refused. One that waits may
have to be verified first, so fewer make the wait of a client that retries shorter."""
_MOST_COUNTED = 10_000
_NETWORK_SHARE = 16


class Origin(NamedTuple):
    """The two prefixes of a client's address by which its passwords are counted."""

    host: IPv4Network | IPv6Network
    """An IPv4 address; in IPv6 the /64, all of which one machine may use."""
    network: IPv4Network | IPv6Network
    """The /24 in IPv4, the /48 in IPv6: what one site usually has."""


@lru_cache(maxsize=1024)
def origin_of(client: str) -> Origin:
    """Return the origin of an address; all other texts have the same origin."""
    address = ip_address("::")
    with suppress(ValueError):
        address = ip_address(client)
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is None:
            number = int(address)  # without a zone
            return Origin(_v6(number, 64), _v6(number, 48))
        address = address.ipv4_mapped
    return Origin(IPv4Network((address, 32)), IPv4Network((address, 24), strict=False))


def _v6(number: int, length: int) -> IPv6Network:
    return IPv6Network((number, length), strict=False)


class _Waiting(NamedTuple):
    """A verification that waits or runs, for one or more clients."""

    is_valid: Callable[[], bool]
    on_valid: Callable[[], None]
    origins: set[Origin]
    result: asyncio.Future[bool | None]


class PasswordQueue:
    """The passwords that wait; it belongs to one event loop."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, _Waiting] = {}
        """By digest, the earliest first."""
        self._running: _Waiting | None = None
        self._sent: Counter[IPv4Network | IPv6Network] = Counter()
        """Passwords by prefix, since one waited first."""
        self._worker: asyncio.Task[None] | None = None

    async def verify(
        self,
        digest: bytes,
        origin: Origin,
        is_valid: Callable[[], bool],
        on_valid: Callable[[], None],
    ) -> bool | None:
        """Return what `is_valid` returns, in a thread; None: too many wait.

        Concurrent calls with the same digest share one call of `is_valid`. `on_valid`
        is called even if the client has left meanwhile.
        """
        if len(self._sent) > _MOST_COUNTED:
            self._sent.clear()
        self._sent.update(origin)
        found = self._waiting.get(digest)
        if found is None:
            result = asyncio.get_running_loop().create_future()
            found = _Waiting(is_valid, on_valid, {origin}, result)
            self._waiting[digest] = found
            self._refuse_excess()
        found.origins.add(origin)
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        # A client that leaves must not cancel it: others may wait for the result, and
        # the client is served at once when it comes again.
        return await asyncio.shield(found.result)

    def _rank(self, one: _Waiting) -> tuple[int, int]:
        # A few others in its network do not delay a new client.
        return min(
            (self._sent[host], self._sent[network] // _NETWORK_SHARE)
            for host, network in one.origins
        )

    def _refuse_excess(self) -> None:
        """Refuse the last by rank; of equal ones the earliest."""
        waiting = {
            digest: one
            for digest, one in self._waiting.items()
            if one is not self._running
        }
        if len(waiting) > MOST_WAITING:
            last = max(waiting, key=lambda digest: self._rank(waiting[digest]))
            self._waiting.pop(last).result.set_result(None)

    async def _work(self) -> None:
        while self._waiting:
            # Of equal ones the latest: a flood is older than a new client.
            digest = min(
                reversed(self._waiting), key=lambda one: self._rank(self._waiting[one])
            )
            self._running = running = self._waiting[digest]
            try:
                is_valid = await asyncio.to_thread(running.is_valid)
                running.result.set_result(is_valid)
                if is_valid:
                    running.on_valid()
                    for origin in running.origins:
                        del self._sent[origin.host]
            except RuntimeError:  # the system cannot create a thread
                running.result.set_result(None)
            except Exception as error:  # noqa: BLE001 - its clients get it
                running.result.set_exception(error)
            del self._waiting[digest]
        self._running = self._worker = None
        self._sent.clear()
