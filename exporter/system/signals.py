"""The signals that a process heeds, from its first line to its last."""

from __future__ import annotations

import signal
from collections.abc import Callable

_ENDING = (signal.SIGTERM, signal.SIGINT)


def catch(act: Callable[[], object]) -> None:
    """Call `act` on a signal; a second signal may come while it runs."""
    for number in _ENDING:
        signal.signal(number, lambda *_: act())


def catch_hangup(act: Callable[[], object]) -> None:
    """Call `act` on SIGHUP, by which operators ask for a reload."""
    signal.signal(signal.SIGHUP, lambda *_: act())


def ignore() -> None:
    """Let nobody kill the process while it ends: Python gives handlers back then."""
    for number in (*_ENDING, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
