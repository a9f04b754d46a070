"""A limit on the memory of pages that slow clients keep from being released.

A client that reads a byte now and then keeps its version of a page, and each client may
have another version. Beyond the limit the newest page is served again for some seconds,
then the oldest one is withdrawn: the clients that still read it are disconnected.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from threading import Lock
from weakref import ref

_MOST_BYTES = 64 * 1024 * 1024
_MOST_LARGE = 4
"""So many pages may always be held, however large."""
_RENEWAL_SECONDS = 5.0


class HeldPage:
    """A page that is held while responses refer to it."""

    def __init__(self, kind: object, chunks: Sequence[bytes], *, now: float) -> None:
        self.kind = kind
        self.chunks = chunks
        self.size = sum(map(len, chunks))
        self.made_at = now
        self._is_withdrawn = False

    def is_withdrawn(self) -> bool:
        """Return whether responses with the page are to be aborted."""
        return self._is_withdrawn

    def withdraw(self) -> None:
        """Abort responses with the page."""
        self._is_withdrawn = True


class HeldPages:
    """The pages that responses refer to. Methods may be called from any thread."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._pages: list[ref[HeldPage]] = []
        """The oldest first."""

    def add(self, kind: object, chunks: Sequence[bytes]) -> HeldPage:
        """Return a new page."""
        page = HeldPage(kind, chunks, now=self._clock())
        with self._lock:
            self._pages.append(ref(page))
        return page

    def newest_if_full(self, kind: object) -> HeldPage | None:
        """Return the newest page of a kind if no other one may be made yet.

        Withdraw the oldest page if one may be made although too many are held.
        """
        with self._lock:
            held = [page for each in self._pages if (page := each())]
            self._pages = [ref(page) for page in held]
            kept = [page for page in held if not page.is_withdrawn()]
            total = sum(page.size for page in kept)
            if len(kept) < _MOST_LARGE or total < _MOST_BYTES:
                return None
            newest = next((one for one in reversed(kept) if one.kind == kind), None)
            if newest and self._clock() < kept[-1].made_at + _RENEWAL_SECONDS:
                return newest
            kept[0].withdraw()
            return None
