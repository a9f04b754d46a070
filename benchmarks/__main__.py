"""`make bench`: run the benchmarks, print their tables, write them into the docs."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import (
    conditions,
    dashboards,
    fleet,
    limits,
    poll,
    scrape,
    startup,
    tables,
    targets,
)
from benchmarks.outcome import Outcome, tell


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One of the benchmarks, and the tables that its full run makes."""

    full: Callable[[], Outcome]
    quick: Callable[[], Outcome]
    tables: frozenset[str]


BENCHMARKS = {
    "scrape": Benchmark(
        full=partial(scrape.run, scrape.FULL),
        quick=partial(scrape.run, scrape.QUICK),
        tables=scrape.TABLES,
    ),
    "poll": Benchmark(
        full=partial(poll.run, poll.FULL),
        quick=partial(poll.run, poll.QUICK),
        tables=poll.TABLES,
    ),
    "limits": Benchmark(
        full=partial(limits.run, limits.FULL),
        quick=partial(limits.run, limits.QUICK),
        tables=limits.TABLES,
    ),
    "startup": Benchmark(
        full=partial(startup.run, startup.FULL),
        quick=partial(startup.run, startup.QUICK),
        tables=startup.TABLES,
    ),
    "fleet": Benchmark(
        full=partial(fleet.run, fleet.FULL),
        quick=partial(fleet.run, fleet.QUICK),
        tables=fleet.TABLES,
    ),
    "dashboards": Benchmark(
        full=partial(dashboards.run, dashboards.FULL),
        quick=partial(dashboards.run, dashboards.QUICK),
        tables=dashboards.TABLES,
    ),
}


def main(arguments: Sequence[str]) -> int:
    """Run the requested benchmarks; 0 also if a target is missed."""
    options = _options(arguments)
    if sys.platform != "linux":
        sys.stderr.write("The benchmarks read /proc: they need Linux.\n")
        return 1
    began_at = time.monotonic()
    outcome = Outcome()
    for name in options.only or BENCHMARKS:
        one = BENCHMARKS[name]
        outcome.add(one.quick() if options.quick else one.full())
    about_all = [targets.verdicts(outcome.figures), conditions.table()]
    for table in (*outcome.tables, *about_all):
        if table.rows:
            sys.stdout.write(f"{table.markdown()}\n\n")
    if options.write:
        # The summary needs the results of all of them.
        whole_run = [] if options.only else about_all
        tables.write(options.write, [*outcome.tables, *whole_run])
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
