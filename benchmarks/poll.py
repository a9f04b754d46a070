"""What a poll costs from socket to stored bytes, beside the plain loop."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks import (
    braze,
    canvas_documents,
    documents,
    exporters,
    parts,
    polling,
)
from benchmarks.outcome import Outcome, tell
from benchmarks.processes import module
from benchmarks.tables import Table, mebibytes, median, milliseconds, times

TABLES = frozenset({"poll", "poll-canvas", "poll-parts"})
"""What a full run makes."""

_EXPORTER, _LOOP = "exporter", "loop"


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    campaigns: int = 50
    rounds: int = 7
    daemon_seconds: float = 20.0
    canvases: int = 5
    has_parts: bool = True


FULL = Plan()
QUICK = Plan(campaigns=25, rounds=5, daemon_seconds=6.0)
SMALL = Plan(campaigns=20, rounds=5, daemon_seconds=0, canvases=2, has_parts=False)

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
    if plan.canvases:
        tell("poll: canvases")
        outcome.tables.append(_canvas_table(plan, outcome))
    if plan.has_parts:
        tell("poll: its parts")
        outcome.tables.append(_parts_table(shape))
    return outcome


def measured(
    plan: Plan, shape: documents.Shape, *, is_changing: bool
) -> dict[str, float]:
    """Return what a poll of a campaign costs each way, in seconds of CPU."""
    costs = _measured(
        polling.WAYS, plan.campaigns, plan.rounds, shape, is_changing=is_changing
    )
    return {way: seconds for way, (seconds, _) in costs.items()}


def _measured(
    ways: Iterable[str],
    objects: int,
    rounds: int,
    shape: documents.Shape,
    *,
    is_changing: bool,
) -> dict[str, tuple[float, int]]:
    """Return the CPU of a poll, the median of the rounds, and the peak of the memory.

    The first round, in which all is new, does not count for the CPU.
    """
    costs: dict[str, list[float]] = {way: [] for way in ways}
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(braze.running(shape, is_changing=is_changing))
        processes = {
            way: stack.enter_context(
                module("benchmarks.polling", way, url, str(objects))
            )
            for way in costs
        }
        for number in range(rounds + 1):
            for way, process in processes.items():
                process.write_line()
                seconds = float(process.read_line())
                if number:
                    costs[way].append(seconds)
        peaks = {way: process.peak_bytes for way, process in processes.items()}
    return {way: (median(seconds), peaks[way]) for way, seconds in costs.items()}


def _canvas_table(plan: Plan, outcome: Outcome) -> Table:
    ways = (_EXPORTER, *polling.CANVAS_WAYS)
    changed, unchanged = (
        _measured(
            ways,
            plan.canvases,
            plan.rounds,
            documents.NARROW,
            is_changing=is_changing,
        )
        for is_changing in (True, False)
    )
    ours = max(changed[way][0] for way in polling.CANVAS_WAYS)
    outcome.figure("poll.canvas", ours * 1000)
    outcome.figure("poll.canvas.ratio", ours / changed[_EXPORTER][0])
    rows = [
        (
            name,
            milliseconds(changed[way][0]),
            milliseconds(unchanged[way][0]),
            mebibytes(max(changed[way][1], unchanged[way][1])),
        )
        for way, name in zip(
            ways,
            ("a campaign, as above", "a canvas", "a canvas, steps on"),
            strict=True,
        )
    ]
    return Table(
        name="poll-canvas",
        caption=(
            f"CPU of one poll of a canvas of {canvas_documents.STEPS} steps in "
            f"{len(documents.CHANNELS)} channels and {canvas_documents.DAYS} days, and "
            f"the highest memory of a process with {plan.canvases} of them, the first "
            "requests for older days included."
        ),
        header=("Object", "Changed", "Unchanged", "Peak memory"),
        rows=rows,
    )


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
