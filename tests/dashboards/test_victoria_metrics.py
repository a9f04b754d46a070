"""Every query and rule has the same result in a VictoriaMetrics as in a Prometheus.

Both scrape the demo and evaluate the recording rules, with intervals of seconds.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import pytest
from exporter.commands.demo import early_afternoon

from tests.dashboards.dashboard_json import NAMES, Document, filled, load, panels
from tests.rules.alert_rules import files, rules
from tests.support.daemon_process import Process, until
from tests.support.prometheus import (
    Matrix,
    ask,
    ask_range,
    label_values,
    prometheus,
)
from tests.support.victoria_metrics import victoria_metrics, vmalert

Program = Callable[[str], str]
pytestmark = pytest.mark.slow

SCRAPES = """\
global: {{scrape_interval: 5s, scrape_timeout: 5s{more}}}
scrape_configs:
  - job_name: braze
    static_configs: [{{targets: ["{target}"]}}]
"""
EVALUATION = "5s"
ALERT = """\
groups:
  - name: test
    rules:
      - alert: BrazeTest
        expr: vector(1)
        for: 5s
        labels: {severity: critical, workspace: demo, campaign: none}
"""
"""Old versions of vmalert cannot read `keep_firing_for` of the alerts."""
MONTH = 'braze_canvas_overall_trailing{window="28d", metric="entries"}'
READY = (
    f"count({MONTH}) == on () count(braze_canvas_up)",
    "sum_over_time(up[90s]) >= 16",
    "count(campaign:braze_activity:stopped) >= 2",
    "count(campaign_channel:braze_spike:lower_bound) > 2",
    'ALERTS{alertstate="firing"}',
    "absent(campaign:braze_unpolled_since:timestamp)",
)
"""With a result once all is polled, and rates and the last rules have samples."""
MOMENTS = (2, 4, 7, 11, 13, 16, 20)
"""Seconds before the fixed time at which results are compared."""
AGE = 90.0
"""How many seconds ages may differ: polls, and starts of the evaluation of rules."""
GROWTH = 0.05
"""How much figures of today may differ: of the first polls after a start."""
SHARE = 1e-4
"""How much small ratios may differ, such as that of a rate limit that is used."""
LARGEST = "topk("
"""Of equal values both choose some."""
ORDER = "good"
"""A label that contains a value, by which rows are sorted."""
CHOICES: tuple[Mapping[str, str], ...] = (
    {},
    {"campaign": "Spring sale 🌷", "canvas": "Onboarding 2026 👋"},
)
DAY = 86_400
EXTRAPOLATED = re.compile(r"\b(?:rate|increase)\(")
"""Prometheus extrapolates to the ends of the range, VictoriaMetrics does not."""


@dataclass(frozen=True, slots=True)
class Both:
    """The URLs of both, and a time before which both scraped without a gap."""

    prometheus: str
    victoria_metrics: str
    at: float

    def difference(self, query: str, *, span: float = 0, step: float = 1) -> str:
        """Return how results of a query differ, or "" if they are equal at a moment.

        Else one of the two has already scraped the results of a poll.
        """
        found = ""
        for earlier in MOMENTS:
            end = math.floor((self.at - earlier) / step) * step
            results = [
                _result(url, query, end=end, span=span, step=step)
                for url in (self.prometheus, self.victoria_metrics)
            ]
            if LARGEST in query:
                results = _both_have(*results)
            found = compared(
                *results,
                relative=0.5 if EXTRAPOLATED.search(query) else GROWTH,
                absolute=AGE if "time()" in query else SHARE,
            )
            if not found:
                return ""
        return found


def _result(url: str, query: str, *, end: float, span: float, step: float) -> Matrix:
    if span:
        found = ask_range(url, query, start=end - span, end=end, step=step)
    else:
        vector = ask(url, query, at=end)
        found = {frozenset(labels.items()): {end: value} for labels, value in vector}
    return {
        frozenset((label, text) for label, text in labels if label != ORDER): values
        for labels, values in found.items()
    }


def _both_have(found: Matrix, other: Matrix) -> list[Matrix]:
    """Return the series of both results if they have equally many."""
    if len(found) != len(other):
        return [found, other]
    common = set(found) & set(other)
    return [{one: result[one] for one in common} for result in (found, other)]


def compared(found: Matrix, other: Matrix, *, relative: float, absolute: float) -> str:
    """Return the first difference of two results, or ""."""
    if set(found) != set(other):
        return f"only one has {[dict(one) for one in set(found) ^ set(other)]}"
    for labels, values in found.items():
        if set(values) != set(other[labels]):
            return f"{dict(labels)} at {sorted(set(values) ^ set(other[labels]))}"
        for at, value in values.items():
            same = other[labels][at]
            if not math.isclose(value, same, rel_tol=relative, abs_tol=absolute):
                return f"{dict(labels)}: {value} and {same}"
    return ""


@pytest.fixture(name="both", scope="module")
def _both(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Watch the demo early in its afternoon, as in the tests of answers."""
    where = tmp_path_factory.mktemp("both")
    (where / "alert.yaml").write_text(ALERT)
    recording = [file for file in files() if file.name != "braze-alerts.yaml"]
    evaluated = [*recording, where / "alert.yaml"]
    zone = f"--timezone={early_afternoon(time.time())}"
    with ExitStack() as stack:
        demo = stack.enter_context(
            Process("demo", "--web.listen-address=127.0.0.1:0", zone)
        )
        target = demo.url.removeprefix("http://")
        scrapes = SCRAPES.format(
            target=target, more=f", evaluation_interval: {EVALUATION}"
        )
        scrapes += f"rule_files: {[str(file) for file in evaluated]}\n"
        first = stack.enter_context(
            prometheus(program("prometheus"), scrapes, where=where)
        )
        only_scrapes = SCRAPES.format(target=target, more="")
        second = stack.enter_context(
            victoria_metrics(program("victoria-metrics"), only_scrapes, where=where)
        )
        rule_engine = vmalert(
            program("vmalert"), evaluated, url=second, interval=EVALUATION
        )
        stack.enter_context(rule_engine)
        at = until(partial(_complete, first, second), seconds=600, what=str(READY))
        yield Both(first, second, at)


def _complete(*urls: str) -> float | None:
    """Return the time if both have what the tests need."""
    now = time.time()
    is_complete = all(
        ask(url, query, at=now - earlier)
        for url in urls
        for query in READY
        for earlier in (MOMENTS[0], MOMENTS[-1])
    )
    return now if is_complete else None


def difference(both: Both, target: Document, chosen: Mapping[str, str]) -> str:
    """Return how the results of the requests of Grafana for a query differ."""
    query = filled(target["expr"], chosen)
    if target.get("instant"):
        return both.difference(query)
    if target.get("interval") == "1d":
        return both.difference(query, span=28 * DAY, step=DAY)
    return both.difference(query, span=20, step=5)


@pytest.mark.parametrize("chosen", CHOICES, ids=["all", "one"])
@pytest.mark.parametrize("name", NAMES)
def test_queries_of_dashboards(
    both: Both, name: str, chosen: Mapping[str, str]
) -> None:
    found = {
        f"{panel['title']} / {target['refId']}": difference(both, target, chosen)
        for panel in panels(name)
        for target in panel.get("targets", [])
    }

    assert {where: each for where, each in found.items() if each} == {}


@pytest.mark.parametrize("name", NAMES)
def test_queries_of_events(both: Both, name: str) -> None:
    found = {
        one["name"]: both.difference(filled(one["expr"], {}))
        for one in load(name)["annotations"]["list"]
    }

    assert {where: each for where, each in found.items() if each} == {}


@pytest.mark.parametrize("name", NAMES)
def test_values_of_variables(both: Both, name: str) -> None:
    for variable in load(name)["templating"]["list"][1:]:
        found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
        assert found, variable["query"]
        values = [
            sorted(label_values(url, found[2], selector=filled(found[1], {})))
            for url in (both.prometheus, both.victoria_metrics)
        ]
        assert values[0] == values[1]
        assert values[0]


def test_rules(both: Both) -> None:
    """Alerts are not evaluated, but their expressions are the same."""
    expressions = {rule.expression: rule.name for rule in rules()}
    recorded = {rule.name: rule.name for rule in rules() if not rule.is_alert}

    found = {
        name: both.difference(expression)
        for expression, name in {**expressions, **recorded}.items()
    }

    assert {name: each for name, each in found.items() if each} == {}
    assert len(ask(both.victoria_metrics, '{__name__=~".+:braze_.+"}')) > 1_000
