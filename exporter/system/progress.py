"""Progress of a long command: a line for every 10 %."""

from __future__ import annotations

from collections.abc import Callable


class Progress:
    """Counts steps and prints a line whenever another tenth of `total` is done."""

    def __init__(
        self,
        what: str,
        *,
        total: int,
        done: int = 0,
        print_line: Callable[[str], None],
    ) -> None:
        self._what = what
        self._total = total
        self._done = done
        self._print_line = print_line
        self._printed_tenths = self._tenths()

    def advance(self) -> None:
        """Count one step."""
        self._done += 1
        tenths = self._tenths()
        if tenths > self._printed_tenths:
            self._printed_tenths = tenths
            self._print_line(
                f"{self._what}: {self._done} of {self._total} ({10 * tenths} %)"
            )

    def _tenths(self) -> int:
        return 10 * self._done // self._total if self._total else 10
