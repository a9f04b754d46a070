"""A system that cannot create threads, as at its limit of processes."""

from __future__ import annotations

import threading

import pytest


class ThreadLimit:
    """While `is_reached`, threads whose names begin with `prefixes` do not start."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *prefixes: str) -> None:
        self.is_reached = True
        start = threading.Thread.start

        def start_within_limit(thread: threading.Thread) -> None:
            if self.is_reached and thread.name.startswith(prefixes):
                raise RuntimeError("can't start new thread")  # as Python words it
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", start_within_limit)
