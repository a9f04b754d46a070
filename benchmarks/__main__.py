"""`make bench`: runs the benchmarks, prints their tables, writes them where wanted."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import fleet, poll, scrape, startup, tables, targets
from benchmarks.outcome import Outcome, tell

BENCHMARKS: dict[str, tuple[Callable[[], Outcome], Callable[[], Outcome]]] = {
    "scrape": (lambda: scrape.run(scrape.FULL), lambda: scrape.run(scrape.QUICK)),
    "poll": (lambda: poll.run(poll.FULL), lambda: poll.run(poll.QUICK)),
    "startup": (lambda: startup.run(startup.FULL), lambda: startup.run(startup.QUICK)),
    "fleet": (lambda: fleet.run(fleet.FULL), lambda: fleet.run(fleet.QUICK)),
}
"""Name → the full and the quick run."""


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for; 0 also if a target is missed."""
    options = _options(arguments)
    if sys.platform != "linux":
        sys.stderr.write("The benchmarks read /proc: they need Linux.\n")
        return 1
    began_at = time.monotonic()
    outcome = Outcome()
    for name in options.only or BENCHMARKS:
        full, quick = BENCHMARKS[name]
        outcome.add((quick if options.quick else full)())
    outcome.tables.append(targets.verdicts(outcome.figures))
    for table in outcome.tables:
        sys.stdout.write(f"{table.markdown()}\n\n")
    if options.write:
        tables.write(options.write, outcome.tables)
    tell(f"done in {time.monotonic() - began_at:.0f} s")
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="less of everything: under three minutes"
    )
    parser.add_argument(
        "--only", action="append", choices=BENCHMARKS, help="may be repeated"
    )
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="put the tables between its marks"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
