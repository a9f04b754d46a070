"""Evaluates queries of dashboards with promtool."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.dashboards.cases import Check, Labels, Series, braces
from tests.dashboards.dashboard_json import filled
from tests.paths import ROOT
from tests.support.programs import run_program

Program = Callable[[str], str]
RULES = ROOT / "grafana/rules/braze-recording.yaml"


@pytest.fixture(name="unexpected")
def _unexpected(program: Program, tmp_path: Path) -> Check:
    """Return promtool's output for an unexpected result, else an empty text."""

    def check(
        query: str,
        series: Iterable[Series],
        *expected: tuple[Labels, float],
        at: str = "0m",
        step: str = "1m",
        **chosen: str,
    ) -> str:
        samples = [
            {"labels": braces(labels), "value": value} for labels, value in expected
        ]
        case = {
            "interval": step,
            "input_series": [
                {"series": str(one), "values": str(one.value)} for one in series
            ],
            "promql_expr_test": [
                {
                    "expr": filled(query, {**chosen, "__to": _seconds(at)}),
                    "eval_time": at,
                    "exp_samples": samples,
                }
            ],
        }
        # Only where they are read: rules are evaluated each minute.
        reads_rules = "_variation:" in query
        document = {
            "rule_files": [str(RULES)] if reads_rules else [],
            "group_eval_order": ["braze-fold", "braze-trials"],
            "evaluation_interval": step,
            "tests": [case],
        }
        file = tmp_path / "test.yaml"
        file.write_text(json.dumps(document))
        ended = run_program(program("promtool"), "test", "rules", file)
        return ended.stdout + ended.stderr if ended.returncode else ""

    return check


def _seconds(at: str) -> str:
    return str({"m": 60, "d": 86_400}[at[-1]] * int(at[:-1]))
