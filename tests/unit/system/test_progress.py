"""Progress lines of a long command."""

from __future__ import annotations

import pytest
from exporter.system.progress import Progress


@pytest.mark.parametrize(
    ("total", "done", "expected"),
    [
        (20, 0, [f"pages: {2 * n} of 20 ({10 * n} %)" for n in range(1, 11)]),
        (2, 0, ["pages: 1 of 2 (50 %)", "pages: 2 of 2 (100 %)"]),
        (1000, 895, ["pages: 900 of 1000 (90 %)", "pages: 1000 of 1000 (100 %)"]),
        (0, 0, []),
    ],
)  # fmt: skip
def test_a_line_is_printed_for_every_tenth(
    total: int, done: int, expected: list[str]
) -> None:
    """Steps done before the start count, but print no line."""
    lines: list[str] = []
    progress = Progress("pages", total=total, done=done, print_line=lines.append)

    for _ in range(total - done):
        progress.advance()

    assert lines == expected
