"""The parts of the generator: colours and imports."""

from __future__ import annotations

import re
import sys

import pytest
from grafana.generator import palette, panels
from grafana.generator.panels import Query

from tests.dashboards.dashboard_json import GRAFANA


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (
            palette.Limits(1, 2),
            {None: "text", 1: palette.ORANGE, 2: palette.VERMILLION},
        ),
        (
            palette.Limits(2, 1, is_low_bad=True),
            {None: "text", 0: palette.VERMILLION, 1: palette.ORANGE, 2: "text"},
        ),
    ],
    ids=["high is bad", "low is bad"],
)
def test_colours_change_at_the_limits(
    limits: palette.Limits, expected: dict[float | None, str]
) -> None:
    steps = limits.steps(good=palette.PLAIN).build().steps

    assert {step.value: step.color for step in steps} == expected


@pytest.mark.parametrize(
    ("legends", "colours"),
    [(("a", "b"), [palette.BLUE, palette.ORANGE]), (("{{a}}", "{{b}}"), [])],
    ids=["fixed names", "names with labels"],
)
def test_only_series_with_fixed_names_have_fixed_colours(
    legends: tuple[str, str], colours: list[str]
) -> None:
    asked = [Query("a", legend) for legend in legends]

    config = panels.graph("A", asked, description="", unit="s").build().field_config

    assert config is not None
    assert [
        one.value for override in config.overrides or [] for one in override.properties
    ] == [{"mode": "fixed", "fixedColor": colour} for colour in colours]


def test_the_generator_does_not_import_the_exporter() -> None:
    imported = {
        name.partition(".")[0]
        for path in (GRAFANA / "generator").glob("*.py")
        for name in re.findall(
            r"^ *(?:from|import) ([\w.]+)",
            path.read_text(encoding="utf-8"),
            re.MULTILINE,
        )
    }

    assert imported - sys.stdlib_module_names == {"grafana", "grafana_foundation_sdk"}
