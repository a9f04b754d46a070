"""Signal handlers of the process."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from threading import Event

_TERMINATION = (signal.SIGTERM, signal.SIGINT)
_held_hangup = Event()


def catch(act: Callable[[], object]) -> None:
    """Call `act` on SIGTERM and SIGINT; a second signal may interrupt it."""
    for number in _TERMINATION:
        signal.signal(number, lambda *_: act())


def hold_hangup() -> None:
    """Keep a SIGHUP, which would end the process, until `catch_hangup` is called."""
    signal.signal(signal.SIGHUP, lambda *_: _held_hangup.set())


def catch_hangup(act: Callable[[], object]) -> None:
    """Call `act` on SIGHUP, which by convention reloads the configuration."""
    signal.signal(signal.SIGHUP, lambda *_: act())
    if _held_hangup.is_set():
        _held_hangup.clear()
        act()


def exit_after(seconds: float) -> None:
    """Exit with code 0 after some time, even if threads of the process hang.

    A timer of the system needs no thread, which the system may not have to give.
    """
    signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
    signal.setitimer(signal.ITIMER_REAL, seconds)


def ignore() -> None:
    """Ignore all of them while the process exits, when Python restores handlers."""
    for number in (*_TERMINATION, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
