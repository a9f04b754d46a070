"""The benchmarks in small: ratios of processor time that must not get worse."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from benchmarks import conditions, panel_queries, poll, scrape, targets
from benchmarks.__main__ import BENCHMARKS
from benchmarks.outcome import Outcome
from benchmarks.tables import Table, percentile, write
from benchmarks.targets import TARGETS, below_floor, verdicts

from tests.paths import ROOT

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

DOCUMENT = ROOT / "docs" / "performance.md"


@pytest.mark.slow
@needs_linux
@pytest.mark.parametrize(
    ("run", "names"),
    [
        (
            partial(scrape.run, scrape.SMALL),
            {one.name for one in TARGETS if one.floor and "scrape" in one.name},
        ),
        (partial(poll.run, poll.SMALL), {"poll.ratio", "poll.canvas.ratio"}),
    ],
    ids=["a scrape and one of labelled gauges", "a poll and a plain loop"],
)
def test_ratios_keep_their_floors(
    run: Callable[[], Outcome],
    names: set[str],
    record_property: Callable[[str, object], None],
) -> None:
    """Scrapes are plain and gzip, before and after polls; polls include storage."""
    figures = run().figures

    for name, figure in figures.items():
        record_property(name, figure)
    assert names <= set(figures)
    assert list(below_floor(figures)) == []


def test_what_is_below_its_floor_is_named_with_its_figure() -> None:
    (least,) = (one for one in TARGETS if one.name == "scrape.100k.gzip")
    (most,) = (one for one in TARGETS if one.name == "poll.ratio")
    assert least.floor
    assert most.floor

    good = {least.name: least.floor, most.name: most.floor, "idle.rss": 1e9}
    bad = {least.name: least.floor * 0.99, most.name: most.floor * 1.01}

    assert not list(below_floor(good))
    assert [line.split(":")[0] for line in below_floor(bad)] == [
        least.what.split(":")[0],
        most.what.split(":")[0],
    ]


def test_a_missed_target_is_marked() -> None:
    """Each figure is next to its target; figures without a measurement are left out."""
    table = verdicts({"poll.changed": 4.0, "idle.rss": 60.1})

    assert [(row[1], row[2], row[3]) for row in table.rows] == [
        ("≤ 4 ms", "4.00 ms", "met"),
        ("≤ 60 MiB", "60.1 MiB", "**missed**"),
    ]


def test_tables_are_written_between_their_marks(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    begin, end = "<!-- one: made by `make bench` -->", "<!-- end of one -->"
    file.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    table = Table(name="one", caption="Few.", header=("A", "B"), rows=[("x", "1")])

    write(file, [table])
    write(file, [table])

    expected = "Few.\n\n| A | B |\n| --- | ---: |\n| x | 1 |"
    assert file.read_text() == f"before\n{begin}\n\n{expected}\n\n{end}\nafter\n"
    with pytest.raises(ValueError, match="has no lines <!-- two:"):
        write(file, [replace(table, name="two")])


def test_the_document_has_a_place_for_every_table() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")

    marks = re.findall(r"<!-- (\S+): made by `make bench` -->", text)

    wanted = {name for one in BENCHMARKS.values() for name in one.tables}
    assert sorted(marks) == sorted({*wanted, targets.TABLE, conditions.TABLE})


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(number) for number in range(100, 0, -1)]

    found = [percentile(values, percent) for percent in (0, 50, 99, 100)]

    assert found == [1.0, 50.0, 99.0, 100.0]


def test_queries_are_those_that_grafana_sends() -> None:
    """With All, or one value of a variable without it; graphs by day at their step."""
    asked: list[tuple[str, str]] = []

    def choose(selector: str, label: str) -> str:
        asked.append((selector, label))
        return "Basket (3)"

    found = {
        name: panel_queries.queries(name, choose=choose, now=1_800_000_000)
        for name in panel_queries.names()
    }
    every = [query for queries in found.values() for query in queries]

    assert len(found) == len(list((ROOT / "grafana/dashboards").glob("*.json")))
    assert "canvas" in {label for _, label in asked}
    assert not [one for one in every if "${" in one.expression]
    assert any("canvas=~`Basket \\(3\\)`" in one.expression for one in every)
    assert any(one.step_seconds == 86400 for one in every)
    assert any(one.step_seconds == 0 for one in every)
