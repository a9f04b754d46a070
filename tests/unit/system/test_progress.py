"""What is shown of a long command."""

from __future__ import annotations

import io

from exporter.system.progress import Progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


class Ticks:
    """A clock that goes on by a second whenever it is looked at."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        """Tell the time."""
        self.at += 1.0
        return self.at


def test_elsewhere_a_line_is_written_now_and_then() -> None:
    """Every tenth, with what is left; no control character gets into a log."""
    stream = io.StringIO()
    progress = Progress("pages", total=100, stream=stream, now=Ticks())

    for _ in range(100):
        progress.advance()
    progress.say("waiting")
    progress.close()

    lines = stream.getvalue().splitlines()
    assert len(lines) == 11
    assert lines[0].startswith("pages: 10 of 100, about ")
    assert lines[-2:] == ["pages: 100 of 100", "waiting"]
    assert stream.getvalue().replace("\n", "").isprintable()


def test_on_a_terminal_a_bar_is_redrawn() -> None:
    """In its place; what is said beside it stands above it."""
    stream = Terminal()
    progress = Progress("pages", total=4, done=1, stream=stream, now=Ticks())

    progress.advance()
    progress.say("waiting")
    progress.advance()
    progress.advance()
    progress.close()

    drawn = stream.getvalue().split("\r\x1b[K")[1:]
    assert drawn[0] == "[#######.......................]  25 %  pages: 1 of 4"
    assert drawn[1].startswith("[###############...............]  50 %  pages: 2 of 4,")
    assert drawn[2] == "waiting\n"
    assert drawn[-1] == f"[{'#' * 30}] 100 %  pages: 4 of 4\n"


def test_a_bar_is_not_drawn_for_each_of_a_thousand_steps() -> None:
    """A terminal over a slow line must not be what is waited for."""
    stream = Terminal()
    progress = Progress("pages", total=1000, stream=stream, now=lambda: 5.0)

    for _ in range(1000):
        progress.advance()

    assert stream.getvalue().count("\r") == 2


def test_nothing_to_do_is_done() -> None:
    """A bar of nothing is full."""
    stream = Terminal()

    Progress("pages", total=0, stream=stream, now=Ticks())

    assert "100 %" in stream.getvalue()
