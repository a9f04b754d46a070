"""Runs promtool's tests of rules, of which each takes up to minutes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.support.programs import run_program


@contextmanager
def outcomes_of(files: Iterable[Path]) -> Iterator[Callable[[str, Path], str]]:
    """Yield a function of promtool's path and a file: its output if its tests fail.

    With its first call the tests of all files begin, two at a time.
    """
    with ThreadPoolExecutor(2) as pool:
        started: dict[Path, Future[str]] = {}

        def outcome(promtool: str, file: Path) -> str:
            for each in () if started else files:
                started[each] = pool.submit(_test, promtool, each)
            return started[file].result()

        yield outcome
        for future in started.values():
            future.cancel()


def _test(promtool: str, file: Path) -> str:
    ended = run_program(promtool, "test", "rules", file)
    return "" if ended.returncode == 0 else ended.stdout + ended.stderr
