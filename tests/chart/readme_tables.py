"""The tables in the chart's README, generated from the comments in values.yaml.

`python -m tests.chart.readme_tables` writes them; a test checks that they are current.
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import yaml

from tests.chart.helm import CHART
from tests.paths import ROOT

README = CHART / "README.md"
_LONGEST_DEFAULT = 60


@dataclass(frozen=True)
class Key:
    """A key of values.yaml: its default as JSON and its comment, both as cells."""

    name: str
    default: str
    text: str


def sections() -> Mapping[str, list[Key]]:
    """Return the keys without keys below them, by the line `## Title` above."""
    lines = (CHART / "values.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(lines)
    found: dict[str, list[Key]] = {}
    path: list[str] = []
    words: list[str] = []
    for line in lines.splitlines():
        if line.startswith("## "):
            found[line.removeprefix("## ")] = []
        elif comment := re.fullmatch(r" *# (-- )?(\S.*)", line):
            if comment[1] or words:
                words = [*([] if comment[1] else words), comment[2]]
            continue
        elif key := re.match(r"( *)(\w+):", line):
            path[len(key[1]) // 2 :] = [key[2]]
            value = reduce(lambda inner, name: inner[name], path, values)
            if not (isinstance(value, dict) and value):
                default = json.dumps(value, ensure_ascii=False)
                assert len(default) <= _LONGEST_DEFAULT, default
                [*_, last] = found.values()
                cells = (
                    cell.replace("|", r"\|") for cell in (default, " ".join(words))
                )
                last.append(Key(".".join(path), *cells))
        words = []
    return found


def keys() -> list[Key]:
    """Return every key of values.yaml that has no keys below it."""
    return [key for section in sections().values() for key in section]


def values_tables() -> str:
    """Return the tables of all values."""
    parts = []
    for title, of in sections().items():
        rows = [f"| `{key.name}` | `{key.default}` | {key.text} |" for key in of]
        parts += [f"### {title}\n", "| Value | Default | Meaning |", "|---|---|---|"]
        parts += [*rows, ""]
    return "\n".join(parts).rstrip("\n")


def thresholds_table() -> str:
    """Return the table of the rules' thresholds, by alert."""
    found: dict[str, dict[str, Any]] = defaultdict(lambda: defaultdict(dict))
    for file in sorted((ROOT / "grafana" / "rules").glob("*.yaml")):
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                _, is_threshold, kind = rule.get("record", "").partition("threshold:")
                if is_threshold:
                    number = rule["expr"].removeprefix("vector(").removesuffix(")")
                    severity = rule["labels"].get("severity")
                    found[rule["labels"]["alert"]][kind][severity] = number
    rows = ["| Alert | Thresholds |", "|---|---|"]
    for alert, kinds in found.items():
        written = ", ".join(f"{kind}: {_flow(kinds[kind])}" for kind in sorted(kinds))
        rows.append(f"| `{alert}` | `{written}` |")
    return "\n".join(rows)


def _flow(by_severity: Mapping[str | None, str]) -> str:
    if None in by_severity:
        return by_severity[None]
    pairs = ", ".join(f"{name}: {text}" for name, text in by_severity.items())
    return f"{{{pairs}}}"


def written(readme: str) -> str:
    """Return the README with current tables."""
    for name, table in (
        ("values", values_tables()),
        ("thresholds", thresholds_table()),
    ):
        begin, end = (
            f"<!-- {name}: made by `make chart-docs` -->",
            f"<!-- end of {name} -->",
        )
        before, _, rest = readme.partition(begin)
        _, found, after = rest.partition(end)
        assert found, f"README has no lines {begin} and {end}"
        readme = f"{before}{begin}\n\n{table}\n\n{end}{after}"
    return readme


if __name__ == "__main__":
    README.write_text(written(README.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{README} is written\n")
