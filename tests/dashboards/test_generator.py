"""The parts of the generator: layout, colours, imports."""

from __future__ import annotations

import re
import sys

import pytest
from grafana.generator import palette, panels
from grafana.generator.layout import Section, Tile, place
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
            {None: palette.VERMILLION, 1: palette.ORANGE, 2: "text"},
        ),
    ],
    ids=["high is bad", "low is bad"],
)
def test_colours_change_at_the_limits(
    limits: palette.Limits, expected: dict[float | None, str]
) -> None:
    steps = limits.steps(good=palette.PLAIN).build().steps

    assert {step.value: step.color for step in steps} == expected


def tile(width: int, height: int) -> Tile:
    """Return a panel of a size."""
    panel = panels.stat("A", [Query("a")], description="It is a.", unit="short")
    return Tile(panel, width, height)


def test_panels_flow_from_left_to_right() -> None:
    """A panel that does not fit starts a row below the highest panel of the last."""
    tiles = [tile(12, 4), tile(8, 6), tile(8, 3)]

    placed = place([Section("One", tiles), Section("Two", [tile(24, 2)])])

    assert [panel.grid_pos and vars(panel.grid_pos) for panel in placed] == [
        {"x": x, "y": y, "w": w, "h": h, "static": None}
        for x, y, w, h in (
            *((0, 0, 24, 1), (0, 1, 12, 4), (12, 1, 8, 6), (0, 7, 8, 3)),
            *((0, 10, 24, 1), (0, 11, 24, 2)),
        )
    ]
    assert [panel.id_val for panel in placed] == [1, 2, 3, 4, 5, 6]


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
