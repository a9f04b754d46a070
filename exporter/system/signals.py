"""Signal handlers of the process."""

from __future__ import annotations

import signal
from collections.abc import Callable

_TERMINATION = (signal.SIGTERM, signal.SIGINT)


def catch(act: Callable[[], object]) -> None:
    """Call `act` on SIGTERM and SIGINT; a second signal may interrupt it."""
    for number in _TERMINATION:
        signal.signal(number, lambda *_: act())


def catch_hangup(act: Callable[[], object]) -> None:
    """Call `act` on SIGHUP, which by convention reloads the configuration."""
    signal.signal(signal.SIGHUP, lambda *_: act())


def ignore() -> None:
    """Ignore all of them while the process exits, when Python restores handlers."""
    for number in (*_TERMINATION, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
