"""What each option takes; what it refuses is told by the files in fixtures/config."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from zoneinfo import ZoneInfo

import pytest
from exporter.config import option_values, yaml_tree
from exporter.config.reader import Field, Findings


@pytest.mark.parametrize(
    ("reading", "text", "value"),
    [
        (option_values.interval, "1s", 1),
        (option_values.interval, "7d", 604_800),
        (option_values.timeout, "500ms", 0.5),
        (option_values.timeout, "10m", 600),
        (option_values.stale_after, "1y", 31_536_000),
        (option_values.windows, "[98d, 1w, 24h]", (1, 7, 98)),
        (option_values.windows, "[]", ()),
        (option_values.rate, "0.5", 0.5),
        (option_values.rate, "50000", 50_000),
        (option_values.reserve, "0%", 0),
        (option_values.reserve, "99.9%", 0.999),
        (option_values.concurrency, "64", 64),
        (option_values.series, "1", 1),
        (option_values.response_bytes, "1024", 1024),
        (option_values.response_bytes, "1GiB", 2**30),
        (option_values.boolean, "on", True),
        (option_values.boolean, "No", False),
        (option_values.timezone, "Europe/Paris", ZoneInfo("Europe/Paris")),
        (
            option_values.proxy,
            "http://user:word@proxy:3128",
            "http://user:word@proxy:3128",
        ),
        (option_values.key_variable, "_KEY1", "_KEY1"),
        (option_values.key_path, "/run/secrets/braze", "/run/secrets/braze"),
        (partial(option_values.name, taken={}), '"Ünï 💌\\nline"', "Ünï 💌\nline"),
        (partial(option_values.name, taken={}), "x" * 256, "x" * 256),
        (partial(option_values.label, name="team"), "crm", "crm"),
    ],
)
def test_what_is_within_bounds_is_read(
    reading: Callable[[Field], object], text: str, value: object
) -> None:
    """Each option takes its bounds, and what is between them, without a word."""
    findings = Findings("c.yaml", [])
    node, _ = yaml_tree.compose(text, file="c.yaml")

    assert reading(Field(node, "", findings)) == value
    assert findings.problems == []
