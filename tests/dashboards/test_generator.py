"""The pieces that dashboards are made of: expressions, places, colours, links."""

from __future__ import annotations

import ast
import sys

import pytest
from grafana.generator import figures, palette, panels, promql
from grafana.generator.layout import Section, Tile, place
from grafana.generator.panels import Query
from grafana_foundation_sdk.builders.timeseries import Panel as Graph
from grafana_foundation_sdk.models.dashboard import Panel, RowPanel

from tests.dashboards.dashboard_json import GRAFANA

FOLDED = (
    "max without (instance, pod, container, endpoint, node, job, namespace, service) "
    '(braze_campaign_daily{job=~"$job"})'
)


def test_every_selector_is_folded_and_names_the_job() -> None:
    """One sample is left of what two exporters say of the same thing."""
    selector = promql.select("braze_campaign_daily", promql.OF_JOB)

    assert promql.fold(selector) == FOLDED


def test_a_ratio_is_of_sums_and_guarded() -> None:
    """Numerator and denominator are added up by the same labels; 0 divides nothing."""
    assert promql.ratio("a", "b") == "sum(a) / (sum(b) > 0)"
    assert promql.ratio("a", "b", "x", "y") == (
        "sum by (x, y) (a) / (sum by (x, y) (b) > 0)"
    )


def test_an_expression_moves_to_another_time_as_a_whole() -> None:
    """All its selectors do, whatever stands around them."""
    moved = promql.moved(f"sum({FOLDED}) / sum({FOLDED})", "offset 1d")

    assert moved.count('{job=~"$job"} offset 1d)') == 2
    assert moved.count("offset") == 2


def test_windows_are_never_mixed() -> None:
    """A period of several days chooses one window, another none."""
    assert 'window="7d"' in figures.stat(figures.WEEK, "sent")
    assert "window" not in figures.stat(figures.LAST, "sent")


def test_parts_and_wholes_are_of_different_families() -> None:
    """Campaign-wide figures come from the families of their own."""
    assert figures.TODAY.overall == "braze_campaign_overall_daily"
    assert figures.MONTH.overall == "braze_campaign_overall_trailing"
    assert "braze_campaign_overall_daily{" in figures.overall(figures.TODAY, "revenue")


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
    """Upwards where much is bad, downwards where little is."""
    steps = limits.steps(good=palette.PLAIN).build().steps

    assert [(step.value, step.color) for step in steps] == expected


def test_panels_flow_from_left_to_right() -> None:
    """One that does not fit begins a row below the highest one of the last."""
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
    """Return where a panel stands: from left, from top, width, height."""
    assert panel.grid_pos is not None
    grid = panel.grid_pos
    return grid.x, grid.y, grid.w, grid.h


def test_known_series_have_colours_of_their_own() -> None:
    """Colours of the palette, unless labels make the series."""
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


def test_the_generator_stands_alone() -> None:
    """It imports Grafana's builders and itself, so that its words are its own."""
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
