"""Values and what they render, as a table in expectations.yaml."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from exporter import __version__

from tests.chart.chart_values import CI_VALUES, merged, schema_errors
from tests.chart.helm import Document, Helm, Rendered
from tests.paths import ROOT

TEXT = (ROOT / "tests" / "chart" / "expectations.yaml").read_text(encoding="utf-8")
CASES = yaml.safe_load(TEXT.replace("VERSION", __version__).replace("DIGEST", "a" * 64))


def found(rendered: Rendered, path: str) -> Any:
    """Return what is at a path, or None; an item of a list by its number or name."""
    root, *keys = path.split()
    value: Any
    if hasattr(rendered, root):
        value = getattr(rendered, root)
    else:
        value = rendered.one(root) if rendered.all(root) else None
    for key in keys:
        if isinstance(value, list) and key.isdigit():
            value = value[int(key)]
        elif isinstance(value, list):
            value = next((each for each in value if each["name"] == key), None)
        else:
            value = value and value.get(key)
    return value


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_values_render_what_is_expected(helm: Helm, case: Document) -> None:
    values = merged(CI_VALUES.get(case.get("ci", ""), {}), case.get("values", {}))
    release = case.get("release", "demo")

    rendered = helm.render(values, name=release, has_schema=False)

    assert schema_errors(values) == []
    for path, expected in case.get("expect", {}).items():
        assert found(rendered, path) == expected, path
    for key, is_there in (("has", True), ("lacks", False)):
        for path, parts in case.get(key, {}).items():
            value = found(rendered, path)
            text = value if isinstance(value, str) else "\n".join(value)
            assert [part for part in parts if (part in text) is not is_there] == []
