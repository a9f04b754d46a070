"""Invalid configurations and the messages that they cause, from one table.

A case changes the shortest valid configuration: `text` is inserted after the line
`after`, replaces the lines `lines` (first and last), or is the whole file. `python -m
tests.unit.config.invalid_files` writes the messages of the current code into the table;
read the diff.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import yaml
from exporter.config.schema import parse
from exporter.model.errors import ConfigError

from tests.paths import FIXTURES

TABLE = FIXTURES / "config" / "invalid.yaml"
KEY = "0d1c2b3a-hunter2"
KEYS = {
    "BRAZE_API_KEY": KEY,
    "EMPTY": "",
    "BLANK": " ",
    "QUOTED": f'"{KEY}"',
    "APOSTROPHES": f"'{KEY}'",
    "SPACED": KEY.replace("-", " "),
    "CONTROL": KEY.replace("-", "\x07"),
    "NOT_ASCII": KEY.replace("u", "ü"),
    "secret/braze": KEY,
}
"""The readable keys by environment variable or path."""
CA_FILES = ("ca/company.pem", "/etc/ssl/company.pem")
MINIMAL = """\
workspaces:
  - name: production
    endpoint: https://rest.iad-01.braze.com
    api_key_env: BRAZE_API_KEY
    campaigns:
      - id: 3bbc4555-8fa0-4c9b-a5c0-4505edf3e064
        name: Welcome series
"""


class InvalidFile(NamedTuple):
    """A configuration with problems, which are written as `LINE: PATH: MESSAGE`."""

    name: str
    text: str
    problems: list[str]

    def actual(self) -> list[str]:
        try:
            found = parse(
                self.text,
                file="",
                read_key=lambda source: KEYS.get(source.env or source.file or ""),
                is_file=CA_FILES.__contains__,
            ).warnings
        except ConfigError as error:
            found = error.problems
        return [str(problem).removeprefix(":") for problem in found]


def invalid_files() -> list[InvalidFile]:
    return [
        InvalidFile(name, _text(case), case["problems"])
        for name, case in _table().items()
    ]


def _table() -> dict[str, dict[str, Any]]:
    table: dict[str, dict[str, Any]] = yaml.safe_load(TABLE.read_text("utf-8"))
    return table


def _text(case: dict[str, Any]) -> str:
    lines = MINIMAL.splitlines(keepends=True)
    first, last = case.get("lines", (1, len(lines)))
    if "after" in case:
        first, last = case["after"] + 1, case["after"]
    changed = f"{case['text']}\n" if case["text"] else ""
    return "".join((*lines[: first - 1], changed, *lines[last:]))


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and line numbers in one line."""


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


def _list(dumper: yaml.SafeDumper, items: list[Any]) -> yaml.Node:
    is_flow = all(isinstance(item, int) for item in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, is_flow)


def write(table: dict[str, dict[str, Any]]) -> None:
    _Dumper.add_representer(str, _string)
    _Dumper.add_representer(list, _list)
    text = yaml.dump(
        table, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=1000
    )
    TABLE.write_text(text, "utf-8")


if __name__ == "__main__":
    written = _table()
    for one in invalid_files():
        written[one.name]["problems"] = one.actual()
    write(written)
