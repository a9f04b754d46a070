"""The daemon as a process: logs, signals, and an end that does not hang.

SIGTERM and SIGINT stop it; it then ends with code 0 within seconds, also while Braze
keeps a request hanging.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from exporter.daemon.daemon import Daemon
from exporter.system import signals
from exporter.system.logformat import Json, Logfmt
from exporter.web.server import Address

_END_SECONDS = 4.0
"""How long the end may take, from the signal on."""

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}


def start_logging(*, level: str, format_: str) -> None:
    """Log our events to standard error, and what libraries warn of."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Json() if format_ == "json" else Logfmt())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("exporter").setLevel(_LEVELS[level])
    # Its warnings quote what a peer sent, and a peer knows the key.
    logging.getLogger("urllib3").setLevel(logging.CRITICAL)
    # It warns of every piece of an answer that a client of TLS did not wait for.
    logging.getLogger("asyncio").setLevel(logging.ERROR)


def serve(
    daemon: Daemon,
    *,
    on_listening: Callable[[tuple[Address, ...]], None] = lambda _: None,
    ends_on_hangup: bool = False,
) -> int:
    """Run the daemon until a signal ends it. ListenError: an address is taken.

    SIGHUP reloads the configuration, unless the end is asked for instead.
    """
    asyncio.run(_serve(daemon, on_listening, ends_on_hangup=ends_on_hangup))
    signals.ignore()
    return 0


async def _serve(
    daemon: Daemon,
    on_listening: Callable[[tuple[Address, ...]], None],
    *,
    ends_on_hangup: bool,
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        if not stop.is_set():
            _insist_on_the_end()
            stop.set()

    reloads: set[asyncio.Task[object]] = set()

    def reload() -> None:
        if stop.is_set():
            return
        task: asyncio.Task[object] = loop.create_task(daemon.reload())
        reloads.add(task)  # or it might be collected before it is done
        task.add_done_callback(reloads.discard)

    def tell(act: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # told twice, and the loop is closed already
            loop.call_soon_threadsafe(act)

    # Not with the loop's own way: it would let go of the signals when it is done, and
    # a second one would kill the process while its last threads end.
    signals.catch(partial(tell, end))
    signals.catch_hangup(partial(tell, end if ends_on_hangup else reload))
    await daemon.run(stop, on_listening=on_listening)


def _insist_on_the_end() -> None:
    """End the process although a thread hangs: a name lookup cannot be interrupted."""
    timer = threading.Timer(_END_SECONDS, os._exit, (0,))
    timer.daemon = True
    timer.start()
