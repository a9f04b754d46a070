"""How far a long command has come: a bar on a terminal, a line now and then elsewhere.

It is told what is done and shows it; it knows nothing of what is being done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

from exporter.model.durations import duration

_WIDTH = 30
_EVERY_PERCENT = 10
_REDRAW_SECONDS = 0.1


class Progress:
    """One thing that is being done, step by step; `done` of `total` are behind us."""

    def __init__(
        self,
        what: str,
        *,
        total: int,
        done: int = 0,
        stream: TextIO,
        now: Callable[[], float],
    ) -> None:
        self._what = what
        self._total = total
        self._done = self._first = done
        self._stream = stream
        self._now = now
        self._began_at = now()
        self._drawn_at = -1.0
        self._told_percent = self._percent() // _EVERY_PERCENT
        self._is_terminal = stream.isatty()
        if self._is_terminal:
            self._draw()

    def advance(self) -> None:
        """Count one step."""
        self._done += 1
        if self._is_terminal:
            is_last = self._done >= self._total
            if is_last or self._now() - self._drawn_at >= _REDRAW_SECONDS:
                self._draw()
        elif self._percent() // _EVERY_PERCENT > self._told_percent:
            self._told_percent = self._percent() // _EVERY_PERCENT
            self._write(f"{self._text()}\n")

    def say(self, text: str) -> None:
        """Write a line beside it."""
        self._write(f"\r\x1b[K{text}\n" if self._is_terminal else f"{text}\n")
        if self._is_terminal:
            self._draw()

    def close(self) -> None:
        """End the bar's line."""
        if self._is_terminal:
            self._write("\n")

    def _percent(self) -> int:
        return 100 * self._done // self._total if self._total else 100

    def _text(self) -> str:
        seconds = self._seconds_left()
        left = f", about {duration(seconds)} left" if seconds else ""
        return f"{self._what}: {self._done} of {self._total}{left}"

    def _seconds_left(self) -> float:
        steps = self._done - self._first
        if not steps:
            return 0.0
        return (self._now() - self._began_at) / steps * (self._total - self._done)

    def _draw(self) -> None:
        self._drawn_at = self._now()
        full = _WIDTH * self._percent() // 100
        bar = "#" * full + "." * (_WIDTH - full)
        self._write(f"\r\x1b[K[{bar}] {self._percent():3} %  {self._text()}")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
