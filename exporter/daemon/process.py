"""The daemon as a process: logging, signals and a bounded shutdown.

After SIGTERM or SIGINT the process exits with code 0 within seconds, even while a
request hangs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from exporter.daemon.daemon import Daemon
from exporter.system import signals
from exporter.system.log_writer import LogWriter
from exporter.system.logformat import Json, Logfmt
from exporter.web.server import Address

_END_SECONDS = 4.0
"""The longest time from the signal to the exit."""

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}


def start_logging(*, level: str, format_: str) -> None:
    """Log events, and warnings of libraries, to standard error."""
    handler = LogWriter()
    handler.setFormatter(Json() if format_ == "json" else Logfmt())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("exporter").setLevel(_LEVELS[level])
    # Its warnings quote responses, which may contain the key.
    logging.getLogger("urllib3").setLevel(logging.CRITICAL)
    # It warns about each piece of a response that a TLS client did not read.
    logging.getLogger("asyncio").setLevel(logging.ERROR)


def serve(
    daemon: Daemon,
    *,
    on_listening: Callable[[tuple[Address, ...]], None] = lambda _: None,
    ends_on_hangup: bool = False,
) -> int:
    """Run the daemon until a signal stops it. ListenError: an address is in use.

    SIGHUP reloads the configuration, or stops it with `ends_on_hangup`.
    """
    with asyncio.Runner(loop_factory=_Loop) as runner:
        runner.run(_serve(daemon, on_listening, ends_on_hangup=ends_on_hangup))
    signals.ignore()
    return 0


class _Loop(asyncio.SelectorEventLoop):
    """An event loop that ends without a new thread: the system may be at its limit.

    Threads of its executor are joined when the process exits.
    """

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Start no thread to wait for the executor."""


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
            # Even if a thread hangs: a name lookup cannot be interrupted.
            signals.exit_after(_END_SECONDS)
            stop.set()

    reloads: set[asyncio.Task[object]] = set()

    def reload() -> None:
        if stop.is_set():
            return
        task: asyncio.Task[object] = loop.create_task(daemon.reload())
        reloads.add(task)  # a task without a reference may be collected
        task.add_done_callback(reloads.discard)

    def call(act: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # a second signal, and the loop is closed
            loop.call_soon_threadsafe(act)

    # loop.add_signal_handler removes its handlers when the loop closes: a second signal
    # would kill the process while its last threads end.
    signals.catch(partial(call, end))
    signals.catch_hangup(partial(call, end if ends_on_hangup else reload))
    await daemon.run(stop, on_listening=on_listening)
