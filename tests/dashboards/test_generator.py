"""The parts of the generator: layout, colours, imports."""

from __future__ import annotations

import ast
import sys

import pytest
from grafana.generator import palette, panels
from grafana.generator.layout import Section, Tile, place
from grafana.generator.panels import Query
from grafana_foundation_sdk.builders.timeseries import Panel as Graph
from grafana_foundation_sdk.models.dashboard import Panel, RowPanel

from tests.dashboards.dashboard_json import GRAFANA


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (
            palette.Limits(0.03, 0.05),
            [(None, "text"), (0.03, palette.ORANGE), (0.05, palette.VERMILLION)],
        ),
        (
            palette.Limits(0.97, 0.95, is_low_bad=True),
            [(None, palette.VERMILLION), (0.95, palette.ORANGE), (0.97, "text")],
        ),
    ],
)
def test_colours_change_at_the_limits(
    limits: palette.Limits, expected: list[tuple[float | None, str]]
) -> None:
    """Upwards if high values are bad, downwards if low values are."""
    steps = limits.steps(good=palette.PLAIN).build().steps

    assert [(step.value, step.color) for step in steps] == expected


def test_panels_flow_from_left_to_right() -> None:
    """A panel that does not fit starts a row below the highest panel of the last."""
    tiles = [tile(12, 4), tile(8, 6), tile(8, 3)]

    placed = place([Section("One", tiles), Section("Two", [tile(24, 2)])])

    assert [spot(panel) for panel in placed] == [
        (0, 0, 24, 1),
        (0, 1, 12, 4),
        (12, 1, 8, 6),
        (0, 7, 8, 3),
        (0, 10, 24, 1),
        (0, 11, 24, 2),
    ]
    assert [panel.id_val for panel in placed] == [1, 2, 3, 4, 5, 6]


def tile(width: int, height: int) -> Tile:
    """Return a panel of a size."""
    panel = panels.stat("A", [Query("a")], description="It is a.", unit="short")
    return Tile(panel, width, height)


def spot(panel: Panel | RowPanel) -> tuple[int, int, int, int]:
    """Return the position of a panel: x, y, width, height."""
    assert panel.grid_pos is not None
    grid = panel.grid_pos
    return grid.x, grid.y, grid.w, grid.h


def test_series_with_fixed_names_have_fixed_colours() -> None:
    """Colours of the palette, unless the legend contains labels."""
    known = panels.graph(
        "A", [Query("a", "a"), Query("b", "b")], description="", unit="s"
    )
    labelled = panels.graph("A", [Query("a", "{{a}}")], description="", unit="s")

    def colours(graph: Graph) -> list[object]:
        config = graph.build().field_config
        assert config is not None
        return [
            one.value
            for override in config.overrides or []
            for one in override.properties
        ]

    assert colours(known) == [
        {"mode": "fixed", "fixedColor": palette.BLUE},
        {"mode": "fixed", "fixedColor": palette.ORANGE},
    ]
    assert colours(labelled) == []


def test_the_generator_does_not_import_the_exporter() -> None:
    """It imports only Grafana's builders and the standard library."""
    imported = {
        name.split(".")[0]
        for path in (GRAFANA / "generator").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }

    assert imported - sys.stdlib_module_names == {"grafana", "grafana_foundation_sdk"}
