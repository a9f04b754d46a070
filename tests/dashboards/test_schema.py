"""The dashboards against Grafana's official types: no key that they do not have.

The types contain dashboards, variables, annotations, panels, and the options and
fields of each kind of panel. They leave open queries, links of fields and options of
transformations; the first two are in the model of the SDK, see test_dashboards.py.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from tests.dashboards.dashboard_json import NAMES, load
from tests.dashboards.typescript import source
from tests.support.programs import run_program

Program = Callable[[str], str]
pytestmark = pytest.mark.slow

VERSIONS = ("11.0.0", "13.2.3")
"""The oldest version whose types contain those of panels, and a new one."""
COMPILER = "5.9.3"
MORE = """\
/** Grafana itself writes the query of a variable there, too. */
type OfVariables = { definition?: string };
/** What the data source Prometheus reads of an annotation. */
type OfAnnotations =
  { expr: string; titleFormat: string; textFormat: string; useValueForTime?: boolean };
/** A standard option of fields; the types leave the names of overrides open. */
type OfOverrides = { fieldMinMax?: boolean };
interface OfQueries extends grafana.DataQuery { expr: string }
"""
CHECKS = ("--noEmit", "--strict", "--skipLibCheck", "--pretty", "false")
NODE = ("--module", "nodenext", "--target", "es2022")

Compiled = Callable[[str], str]


@pytest.fixture(name="compiled", params=VERSIONS, scope="module")
def _compiled(
    request: pytest.FixtureRequest,
    program: Program,
    tmp_path_factory: pytest.TempPathFactory,
) -> Compiled:
    """Return the compiler's errors in a module that uses the types of a version."""
    folder = tmp_path_factory.mktemp("types")
    packages = (f"@grafana/schema@{request.param}", f"typescript@{COMPILER}")
    quiet = ("--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts")
    installed = run_program(
        program("npm"), "install", *quiet, *packages, directory=folder
    )
    assert installed.returncode == 0, installed.stderr

    def compiled(text: str) -> str:
        (folder / "dashboards.ts").write_text(text, encoding="utf-8")
        compiler = folder / "node_modules/.bin/tsc"
        return run_program(
            compiler, *CHECKS, *NODE, "dashboards.ts", directory=folder
        ).stdout

    return compiled


def test_dashboards_have_only_keys_and_values_of_the_types(compiled: Compiled) -> None:
    dashboards = [load(name) for name in NAMES]

    assert compiled(source(dashboards, extra=MORE)) == ""


STAT, TABLE = ("panels", 0), ("panels", 1)
DEFAULTS = (*TABLE, "fieldConfig", "defaults")
PLACES = (
    *((), ("templating", "list", 1), ("annotations", "list", 0)),
    *(STAT, (*STAT, "gridPos"), (*STAT, "options"), DEFAULTS, (*DEFAULTS, "custom")),
)


def test_other_keys_and_values_are_errors(compiled: Compiled) -> None:
    """Of the errors in one object the compiler reports the first."""
    dashboard = load("braze-overview")
    kinds = {one["type"]: one for one in dashboard["panels"]}
    small = {**dashboard, "panels": [kinds["stat"], kinds["table"]]}
    changed = [deepcopy(small) for _ in (*PLACES, "value", "override")]
    for number, path in enumerate(PLACES):
        place: Any = changed[number]
        for key in path:
            place = place[key]
        place[f"other{number}"] = 1
    changed[-2]["refresh"] = 301
    overrides = changed[-1]["panels"][1]["fieldConfig"]["overrides"]
    overrides[0]["properties"].append({"id": "custom.other", "value": 1})

    found = compiled(source(changed, extra=MORE))

    for number in range(len(PLACES)):
        assert f"'\"other{number}\"' does not exist" in found, PLACES[number]
    assert "'\"other\"' does not exist" in found
    assert "Type 'number' is not assignable to type 'string'" in found
    assert len(found.splitlines()) == len(changed)
