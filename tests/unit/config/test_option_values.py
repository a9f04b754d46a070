"""Parsers of option values; the table of invalid files contains their errors."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from exporter.config import option_values, yaml_tree
from exporter.config.option import OPTIONAL
from exporter.config.options import walk
from exporter.config.reader import Field, Findings

OPTIONS = dict(walk())


@pytest.mark.parametrize(
    ("path", "parse", "text", "value"),
    [
        ("workspaces[].interval", option_values.duration, "1s", 1),
        ("workspaces[].interval", option_values.duration, "7d", 604_800),
        ("workspaces[].timeout", option_values.duration, "1ms", 0.001),
        ("workspaces[].timeout", option_values.duration, "10m", 600),
        ("stale_after", option_values.duration, "1y", 31_536_000),
        ("workspaces[].discover.grace", option_values.duration, "0", 0),
        ("windows", option_values.windows, "[98d, 1w, 24h]", (1, 7, 98)),
        ("windows", option_values.windows, "[]", ()),
        ("workspaces[].requests_per_minute", option_values.number, "0.01", 0.01),
        ("workspaces[].reserve", option_values.percentage, "0%", 0),
        ("workspaces[].reserve", option_values.percentage, "99.9%", 0.999),
        ("workspaces[].concurrency", option_values.integer, "64", 64),
        ("limits.series_per_campaign", option_values.integer, "1", 1),
        ("limits.response_bytes", option_values.size, "1024", 1024),
        ("limits.response_bytes", option_values.size, "1GiB", 2**30),
        ("", option_values.boolean, "on", True),
        ("", option_values.boolean, "No", False),
        ("", option_values.key_variable, "_KEY1", "_KEY1"),
        ("", partial(option_values.name, taken={}), "x" * 256, "x" * 256),
    ],
)
def test_a_value_within_the_bounds_is_parsed(
    path: str, parse: Callable[[Field], object], text: str, value: object
) -> None:
    findings = Findings("c.yaml", [])
    node, _ = yaml_tree.compose(text, file="c.yaml")

    assert parse(Field(node, "", findings, OPTIONS.get(path, OPTIONAL))) == value
    assert findings.problems == []
