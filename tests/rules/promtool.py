"""Runs promtool's tests of rules, of which each takes up to minutes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import yaml

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


@contextmanager
def outcomes_of_documents(
    documents: Mapping[str, object], folder: Path
) -> Iterator[Callable[[str, str], str]]:
    """Yield the same of tests that are written into a folder first, by their names."""
    written = {name: folder / f"{name}.yaml" for name in documents}
    for name, file in written.items():
        text = yaml.safe_dump(documents[name], allow_unicode=True, width=100_000)
        file.write_text(text)
    with outcomes_of(written.values()) as outcome:
        yield lambda promtool, name: outcome(promtool, written[name])


def _test(promtool: str, file: Path) -> str:
    ended = run_program(promtool, "test", "rules", file)
    return "" if ended.returncode == 0 else ended.stdout + ended.stderr
