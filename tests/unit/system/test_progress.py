"""Progress lines of a long command."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from exporter.system.progress import Progress


@pytest.mark.parametrize(
    ("total", "done", "printed"),
    [
        (20, 0, range(2, 21, 2)),
        (2, 0, (1, 2)),
        (1000, 895, (900, 1000)),
        (0, 0, ()),
    ],
)
def test_a_line_is_printed_for_every_tenth(
    total: int, done: int, printed: Iterable[int]
) -> None:
    lines: list[str] = []
    progress = Progress("pages", total=total, done=done, print_line=lines.append)

    for _ in range(total - done):
        progress.advance()

    assert lines == [f"pages: {n} of {total} ({100 * n // total} %)" for n in printed]
