"""What each option takes; what it refuses is told by the files in fixtures/config."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from zoneinfo import ZoneInfo

import pytest
from exporter.config import options, yaml_tree
from exporter.config.fields import Field, Findings


@pytest.mark.parametrize(
    ("reading", "text", "value"),
    [
        (options.interval, "1s", 1),
        (options.interval, "7d", 604_800),
        (options.timeout, "500ms", 0.5),
        (options.timeout, "10m", 600),
        (options.stale_after, "1y", 31_536_000),
        (options.windows, "[98d, 1w, 24h]", (1, 7, 98)),
        (options.windows, "[]", ()),
        (options.rate, "0.5", 0.5),
        (options.rate, "50000", 50_000),
        (options.reserve, "0%", 0),
        (options.reserve, "99.9%", 0.999),
        (options.concurrency, "64", 64),
        (options.series, "1", 1),
        (options.response_bytes, "1024", 1024),
        (options.response_bytes, "1GiB", 2**30),
        (options.boolean, "on", True),
        (options.boolean, "No", False),
        (options.timezone, "Europe/Paris", ZoneInfo("Europe/Paris")),
        (options.proxy, "http://user:word@proxy:3128", "http://user:word@proxy:3128"),
        (options.key_variable, "_KEY1", "_KEY1"),
        (options.key_path, "/run/secrets/braze", "/run/secrets/braze"),
        (partial(options.name, taken={}), '"Ünï 💌\\nline"', "Ünï 💌\nline"),
        (partial(options.name, taken={}), "x" * 256, "x" * 256),
        (partial(options.label, name="team"), "crm", "crm"),
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
