"""The tables in the chart's README, generated from the comments in values.yaml.

`python -m tests.chart.readme_tables` writes them; a test checks that they are current.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from tests.chart.helm import CHART
from tests.paths import ROOT

README = CHART / "README.md"
_MARK = "<!-- {name}: made by `make chart-docs` -->"
_LONGEST_DEFAULT = 60


@dataclass(frozen=True)
class Key:
    """A key of values.yaml: its default as JSON, and its comment."""

    name: str
    default: str
    text: str


@dataclass(frozen=True)
class Section:
    """A part of values.yaml below a line `## Title`."""

    title: str
    keys: list[Key] = field(default_factory=list)


def sections() -> list[Section]:
    """Return the sections of values.yaml with their keys, in order."""
    lines = (CHART / "values.yaml").read_text(encoding="utf-8").splitlines()
    root = yaml.compose("\n".join(lines), Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    titles = {
        number: line.removeprefix("## ")
        for number, line in enumerate(lines)
        if line.startswith("## ")
    }
    found = [Section(title) for title in titles.values()]
    starts = list(titles)
    for line, key in _keys(root, "", lines):
        index = sum(start < line for start in starts) - 1
        found[index].keys.append(key)
    return found


def keys() -> list[Key]:
    """Return every key of values.yaml."""
    return [key for section in sections() for key in section.keys]


def _keys(
    node: yaml.MappingNode, path: str, lines: list[str]
) -> Iterator[tuple[int, Key]]:
    """Yield each key without keys below it, with its line."""
    for name_node, value in node.value:
        line = name_node.start_mark.line
        name = f"{path}{name_node.value}"
        if isinstance(value, yaml.MappingNode) and value.value:
            yield from _keys(value, f"{name}.", lines)
        else:
            yield line, Key(name, _default(value), _comment(lines, line))


def _default(node: yaml.Node) -> str:
    text = yaml.serialize(node, Dumper=yaml.SafeDumper)
    written = json.dumps(yaml.safe_load(text), ensure_ascii=False)
    assert len(written) <= _LONGEST_DEFAULT, written
    return written


def _comment(lines: list[str], line: int) -> str:
    """Return the comment above a line, from `# --` on."""
    words: list[str] = []
    for above in reversed(lines[:line]):
        match = re.fullmatch(r" *# (-- )?(\S.*)", above)
        if match is None:
            return ""
        words.insert(0, match[2])
        if match[1]:
            return " ".join(words)
    return ""


def values_tables() -> str:
    """Return the tables of all values."""
    parts = []
    for section in sections():
        parts += [f"### {section.title}", "", "| Value | Default | Meaning |"]
        parts += ["|---|---|---|"]
        parts += [
            f"| `{key.name}` | `{_cell(key.default)}` | {_cell(key.text)} |"
            for key in section.keys
        ]
        parts.append("")
    return "\n".join(parts).rstrip("\n")


def thresholds_table() -> str:
    """Return the table of the rules' thresholds, by alert."""
    found: dict[str, dict[str, Any]] = {}
    for file in sorted((ROOT / "grafana" / "rules").glob("*.yaml")):
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                _, is_threshold, kind = rule.get("record", "").partition("threshold:")
                if is_threshold:
                    _note(found, kind, rule)
    rows = ["| Alert | Thresholds |", "|---|---|"]
    for alert, kinds in found.items():
        written = ", ".join(f"{kind}: {_flow(kinds[kind])}" for kind in sorted(kinds))
        rows.append(f"| `{alert}` | `{written}` |")
    return "\n".join(rows)


def _note(found: dict[str, dict[str, Any]], kind: str, rule: dict[str, Any]) -> None:
    labels = rule["labels"]
    number = rule["expr"].removeprefix("vector(").removesuffix(")")
    kinds = found.setdefault(labels["alert"], {})
    if "severity" in labels:
        kinds.setdefault(kind, {})[labels["severity"]] = number
    else:
        kinds[kind] = number


def _flow(value: str | dict[str, str]) -> str:
    if isinstance(value, str):
        return value
    return "{" + ", ".join(f"{name}: {text}" for name, text in value.items()) + "}"


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def written(readme: str) -> str:
    """Return the README with current tables."""
    for name, table in (
        ("values", values_tables()),
        ("thresholds", thresholds_table()),
    ):
        begin, end = _MARK.format(name=name), f"<!-- end of {name} -->"
        before, found, rest = readme.partition(begin)
        _, has_end, after = rest.partition(end)
        assert found, f"README has no line {begin}"
        assert has_end, f"README has no line {end}"
        readme = f"{before}{begin}\n\n{table}\n\n{end}{after}"
    return readme


if __name__ == "__main__":
    README.write_text(written(README.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{README} is written\n")
