"""What Prometheus takes to answer the panels of each dashboard, one by one."""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from exporter.simulator import SimulatorSettings
from exporter.simulator.canvas_fleet import build_canvases
from exporter.simulator.fleet import build_fleet
from exporter.simulator.workspace_specs import build_workspace

from benchmarks import documents, exporters, panel_queries, prometheus
from benchmarks.outcome import Outcome, tell
from benchmarks.panel_queries import PanelQuery
from benchmarks.processes import module, running, written
from benchmarks.prometheus import Prometheus
from benchmarks.tables import Table, median, milliseconds, whole

TABLES = frozenset({"dashboards", "dashboards-queries"})
"""What a full run makes."""

_API_KEY = SimulatorSettings().api_key
_SHOWN = 10
_REQUESTS_PER_MINUTE = 4000


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    campaigns: int = 200
    canvases: int = 50
    days: int = 36
    """Of history: 28 days of graphs, and the 7 days before them."""
    step: str = "6h"
    """Of the samples of the history, which Prometheus shows until the next one."""
    rounds: int = 3
    has_targets: bool = True


FULL = Plan()
QUICK = Plan(campaigns=22, canvases=12, rounds=1, has_targets=False)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a query takes: the median of several rounds, in seconds."""

    query: PanelQuery
    seconds: float
    cpu_seconds: float


def run(plan: Plan) -> Outcome:
    """Measure all dashboards; nothing without Prometheus."""
    outcome = Outcome()
    if not prometheus.is_installed():
        tell("dashboards: left out, Prometheus is not installed")
        return outcome
    tell(f"dashboards: {plan.campaigns} campaigns, {plan.canvases} canvases")
    with (
        tempfile.TemporaryDirectory() as name,
        module(
            *("exporter", "simulate", "--listen-address=127.0.0.1:0"),
            f"--campaigns={plan.campaigns}",
            f"--canvases={plan.canvases}",
        ) as simulator,
    ):
        folder = Path(name)
        match = re.search(r"at (\S+),", simulator.read_line())
        document = _configuration(plan, match[1] if match else "")
        _load_history(plan, document, folder)
        with exporters.daemon(document, api_key=_API_KEY) as exporter:
            objects = plan.campaigns + plan.canvases
            exporters.wait_for_first_round(exporter, objects)
            target = exporter.url.removeprefix("http://").removesuffix("/metrics")
            with prometheus.scraping(target, folder=folder, lookback=plan.step) as one:
                costs = measured(one, rounds=plan.rounds)
                series = one.ask('count({job="braze-exporter"})')[0][1]
    outcome.tables += tables(plan, costs, series=series)
    if plan.has_targets:
        slowest = max(sum(each.seconds for each in of) for of in costs.values())
        outcome.figure("dashboards.seconds", slowest)
    return outcome


def _configuration(plan: Plan, endpoint: str) -> dict[str, object]:
    first_day = documents.today()
    campaigns = build_fleet(seed=1, first_day=first_day, size=plan.campaigns)
    canvases = build_canvases(seed=1, first_day=first_day, size=plan.canvases)
    around = build_workspace(seed=1, first_day=first_day, has_incidents=True)
    return {
        "workspaces": [
            {
                "name": exporters.WORKSPACE,
                "endpoint": endpoint,
                "api_key_env": "BRAZE_API_KEY",
                "requests_per_minute": _REQUESTS_PER_MINUTE,
                "shared_requests_per_minute": _REQUESTS_PER_MINUTE,
                "reserve": "0%",
                "canvas_steps": True,
                "campaigns": [{"id": one.id, "name": one.name} for one in campaigns],
                "canvases": [{"id": one.id, "name": one.name} for one in canvases],
                "series": {
                    "kpi": ["dau", "mau", "new_users", "uninstalls"],
                    "sessions": True,
                    "purchases": ["revenue", "quantity"],
                    "segments": [
                        {"id": one.id, "name": one.name}
                        for one in around.segments
                        if one.is_tracked
                    ],
                    "events": [{"name": one.name} for one in around.events],
                    "broadcasts": True,
                    "data_ingestion": True,
                },
                "contract": {"email": 8_000_000, "sms": 750_000},
            }
        ]
    }


def _load_history(plan: Plan, document: dict[str, object], folder: Path) -> None:
    """Load the days before today into the directory of a Prometheus."""
    file = written(folder / "config.yaml", document)
    history = folder / "history.om"
    command = (
        *(sys.executable, "-m", "exporter", "backfill", f"--config.file={file}"),
        *(f"--output={history}", f"--days={plan.days}", f"--step={plan.step}"),
        f"--label=job={prometheus.JOB}",
    )
    with running(*command, environment={"BRAZE_API_KEY": _API_KEY}) as process:
        process.wait()
    prometheus.load(history, folder)
    history.unlink()


def measured(one: Prometheus, *, rounds: int) -> dict[str, list[Cost]]:
    """Return what each query of each dashboard takes.

    A first round, in which blocks are read from disk, is not part of the figures.
    """

    def choose(selector: str, label: str) -> str:
        """Return the value with the most series."""
        of = f'{{__name__=~"braze_(campaign|canvas)_.+", {label}!="", {selector[1:]}'
        return one.ask(f"topk(1, count by ({label}) ({of}))")[0][0][label]

    now = time.time()
    costs: dict[str, list[Cost]] = {}
    for name in panel_queries.names():
        queries = panel_queries.queries(name, choose=choose, now=now)
        taken = [[_taken(one, query) for query in queries] for _ in range(rounds + 1)][
            1:
        ]
        costs[name] = [
            Cost(query, median(of[0] for of in each), median(of[1] for of in each))
            for query, each in zip(queries, zip(*taken, strict=True), strict=True)
        ]
    return costs


def _taken(one: Prometheus, query: PanelQuery) -> tuple[float, float]:
    """Return the time until an answer is here, and CPU seconds of Prometheus."""
    now = time.time()
    cpu_before = one.process.cpu_seconds
    began_at = time.perf_counter()
    if query.step_seconds:
        # Grafana's points are at multiples of the step.
        end = now // query.step_seconds * query.step_seconds
        one.answer(
            "query_range",
            query=query.expression,
            start=end - query.range_seconds,
            end=end,
            step=query.step_seconds,
        )
    else:
        one.answer("query", query=query.expression, time=now)
    seconds = time.perf_counter() - began_at
    return seconds, one.process.cpu_seconds - cpu_before


def tables(plan: Plan, costs: dict[str, list[Cost]], *, series: float) -> list[Table]:
    """Return the table of dashboards, and that of the most expensive queries."""
    every = [(name, cost) for name, of in costs.items() for cost in of]
    every.sort(key=lambda one: one[1].cpu_seconds, reverse=True)
    return [
        Table(
            name="dashboards",
            caption=(
                "All queries of a dashboard one after the other, with "
                f"{plan.campaigns} campaigns, {plan.canvases} canvases with steps, "
                f"{whole(series)} series and {plan.days} days of history: time, and "
                "CPU of Prometheus."
            ),
            header=("Dashboard", "Panels", "Queries", "Time", "CPU", "Slowest panel"),
            rows=[_row(name, of) for name, of in costs.items()],
        ),
        Table(
            name="dashboards-queries",
            caption="The most expensive queries.",
            header=("Query", "Time", "CPU", "Characters"),
            rows=[
                (
                    f"{panel_queries.title(name)}: {cost.query.panel}, "
                    f"{cost.query.letter}",
                    milliseconds(cost.seconds),
                    milliseconds(cost.cpu_seconds),
                    whole(len(cost.query.expression)),
                )
                for name, cost in every[:_SHOWN]
            ],
        ),
    ]


def _row(name: str, costs: Sequence[Cost]) -> tuple[str, ...]:
    of_panels = {
        panel: sum(cost.seconds for cost in each)
        for panel, each in groupby(costs, key=lambda cost: cost.query.panel)
    }
    slowest = max(of_panels, key=lambda panel: of_panels[panel])
    return (
        panel_queries.title(name),
        whole(len(of_panels)),
        whole(len(costs)),
        f"{sum(cost.seconds for cost in costs):.2f} s",
        f"{sum(cost.cpu_seconds for cost in costs):.2f} s",
        f"{slowest}, {of_panels[slowest]:.2f} s",
    )
