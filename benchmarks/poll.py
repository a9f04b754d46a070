"""What a poll costs from socket to stored bytes, beside the plain loop."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

from benchmarks import braze, documents, exporters, parts, polling
from benchmarks.outcome import Outcome, tell
from benchmarks.processes import module
from benchmarks.tables import Table, median, milliseconds, times

TABLES = frozenset({"poll", "poll-parts"})
"""What a full run makes."""

_EXPORTER, _LOOP = "exporter", "loop"


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    campaigns: int = 50
    rounds: int = 7
    daemon_seconds: float = 20.0
    has_parts: bool = True


FULL = Plan()
QUICK = Plan(campaigns=25, rounds=5, daemon_seconds=6.0)
SMALL = Plan(campaigns=20, rounds=5, daemon_seconds=0, has_parts=False)

_DAEMON_CAMPAIGNS = 200
_DAEMON_INTERVAL_SECONDS = 4


def run(plan: Plan) -> Outcome:
    """Measure everything in the plan."""
    outcome = Outcome()
    shape = documents.NARROW
    rows = []
    for is_changing in (True, False):
        state = "changed" if is_changing else "unchanged"
        tell(f"poll: {state} documents")
        costs = measured(plan, shape, is_changing=is_changing)
        ours, theirs = costs[_EXPORTER], costs[_LOOP]
        outcome.figure(f"poll.{state}", ours * 1000)
        outcome.figure("poll.ratio" if is_changing else "", ours / theirs)
        cells = [state, milliseconds(ours), milliseconds(theirs), times(ours / theirs)]
        if plan.daemon_seconds:
            seconds = daemon_cost(shape, plan.daemon_seconds, is_changing=is_changing)
            cells.append(milliseconds(seconds))
        rows.append(cells)
    header = ["Document", "Exporter", "Plain loop", "Ratio", "Whole daemon"]
    outcome.tables.append(
        Table(
            name="poll",
            caption=(
                f"CPU of one poll of a document of {shape} variations, from socket to "
                "stored bytes; the whole daemon has its scheduler and all else in it."
            ),
            header=header[: len(rows[0])],
            rows=rows,
        )
    )
    if plan.has_parts:
        tell("poll: its parts")
        outcome.tables.append(_parts_table(shape))
    return outcome


def measured(
    plan: Plan, shape: documents.Shape, *, is_changing: bool
) -> dict[str, float]:
    """Return what a poll costs each way, in seconds of CPU: the median of the rounds.

    The first round, in which all is new, is not among them.
    """
    costs: dict[str, list[float]] = {way: [] for way in polling.WAYS}
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(braze.running(shape, is_changing=is_changing))
        arguments = (url, str(plan.campaigns))
        processes = {
            way: stack.enter_context(module("benchmarks.polling", way, *arguments))
            for way in polling.WAYS
        }
        for number in range(plan.rounds + 1):
            for way, process in processes.items():
                process.write_line()
                seconds = float(process.read_line())
                if number:
                    costs[way].append(seconds)
    return {way: median(seconds) for way, seconds in costs.items()}


def daemon_cost(shape: documents.Shape, seconds: float, *, is_changing: bool) -> float:
    """Return the CPU of the whole daemon for each of its polls, in seconds."""
    with exporters.filled(
        campaigns=_DAEMON_CAMPAIGNS,
        shape=shape,
        interval=f"{_DAEMON_INTERVAL_SECONDS}s",
        is_changing=is_changing,
        waits_for_silence=False,
    ) as exporter:
        time.sleep(_DAEMON_INTERVAL_SECONDS)
        before = exporter.stored_polls()
        cpu_before = exporter.process.cpu_seconds
        time.sleep(seconds)
        used = exporter.process.cpu_seconds - cpu_before
        return used / (exporter.stored_polls() - before)


def _parts_table(shape: documents.Shape) -> Table:
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(braze.running(shape, is_changing=False))
        arguments = (url, str(shape.variations), str(shape.days))
        process = stack.enter_context(module("benchmarks.parts", *arguments))
        lines = iter(process.read_line, parts.END)
        rows = [
            (name, milliseconds(float(seconds)))
            for name, _, seconds in (line.partition("\t") for line in lines)
        ]
    return Table(
        name="poll-parts",
        caption="What the parts of a poll cost when each is done alone.",
        header=("Part", "CPU"),
        rows=rows,
    )
