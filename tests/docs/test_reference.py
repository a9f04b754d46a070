"""The reference tables of the documentation agree with the code.

The message of a failure names what to add to the document and what to delete.
"""

from __future__ import annotations

import re
import tomllib
from importlib import import_module

import pytest
from exporter.braze import hosts
from exporter.commands import COMMANDS, DAEMON
from exporter.commands.flags import WEB
from exporter.model.errors import FailureReason

from tests.docs.families import exposed
from tests.docs.markdown import (
    cells,
    code_spans,
    corrections,
    document,
    first_cells,
)
from tests.paths import ROOT

COMMANDS_PAGE = document("docs/commands.md")
OPERATIONS_PAGE = document("docs/operations.md")
LEVELS = {"warning": "warn", "exception": "error"}
"""Levels and methods of logging with a different name in a log line."""


def test_the_metric_tables_contain_every_family_with_its_labels() -> None:
    page = document("docs/metrics.md")
    documented = {
        code_spans(name)[0]: set(code_spans(labels))
        for heading in (
            "## Campaigns",
            "## Canvases",
            "## Series of the workspace",
            "## Contract",
            "## Exporter",
        )
        for name, labels, _ in cells(heading, page)
    }
    actual = exposed()
    if not any(name.startswith("process_") for name in actual):  # there is no /proc
        documented = {
            name: labels
            for name, labels in documented.items()
            if not name.startswith("process_")
        }

    assert corrections(documented, actual) == []


def flags_of(
    command: str, capsys: pytest.CaptureFixture[str]
) -> dict[str, tuple[str, str]]:
    """Return the flags of a command with environment variable and default."""
    with pytest.raises(SystemExit):
        import_module(f"exporter.commands.{command}").main(["--help"], {})
    _, *texts = re.split(
        r"^ +(?:-h, )?(?=--)", capsys.readouterr().out, flags=re.MULTILINE
    )
    flags = {}
    for text in texts:
        variable = re.search(r"\benv: (\w+)\)", text)
        default = re.search(r"\(default: ([^;]*);", text)
        flags[text.split()[0].rstrip(",")] = (
            variable[1] if variable else "",
            default[1] if default else "",
        )
    del flags["--help"]
    return flags


def test_the_flag_tables_contain_every_flag_with_variable_and_default(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    actual: dict[str, tuple[str, str]] = {}
    for command in (DAEMON, *COMMANDS):
        actual |= flags_of(command, capsys)

    documented = {
        code_spans(row[0])[0]: (row[1].strip("`"), row[2].strip("`"))
        for row in cells("## Flags", COMMANDS_PAGE)
    }

    assert corrections(documented, actual) == []


def test_the_command_table_contains_every_command() -> None:
    """The first row is the daemon, which has no command name."""
    assert first_cells("## Commands", COMMANDS_PAGE) == [
        "braze-exporter",
        *(f"braze-exporter {name}" for name in COMMANDS),
    ]


def test_the_endpoint_table_contains_every_path_of_the_web_server() -> None:
    routes = (ROOT / "exporter" / "web" / "routes.py").read_text()
    (metrics,) = (str(one.default) for one in WEB if one.name == "web.telemetry-path")
    actual = re.findall(r'["}](/(?:[a-z0-9/-]*[a-z0-9])?)"', routes)

    documented = first_cells("## Web endpoints", COMMANDS_PAGE)

    assert (
        corrections(dict.fromkeys(documented), dict.fromkeys([metrics, *actual])) == []
    )


def test_the_event_table_contains_every_log_event_with_its_level() -> None:
    source = "".join(path.read_text() for path in (ROOT / "exporter").rglob("*.py"))
    calls = re.findall(
        r"(?:\blevel = logging\.(\w+)(?: if .*)?\s+)?"
        r"(?:_log\.(\w+)|\.write)"
        r'\(\s*(?:level, |logging\.(\w+), )?"([a-z_]+\.[a-z_]+)"',
        source,
    )
    levels = {
        event: (level or fixed or method).lower()
        for level, method, fixed, event in calls
    }
    actual = {event: LEVELS.get(level, level) for event, level in levels.items()}

    documented = {
        row[0].strip("`"): row[1] for row in cells("## Log events", OPERATIONS_PAGE)
    }

    assert corrections(documented, actual) == []


def test_the_reason_table_contains_every_failure_reason() -> None:
    """Each value of the label `reason` has a cause and advice."""
    documented = first_cells("## Failure reasons", OPERATIONS_PAGE)

    assert corrections(dict.fromkeys(documented), dict.fromkeys(FailureReason)) == []


def test_the_instance_table_contains_the_known_rest_hosts() -> None:
    """All REST hosts are listed; US-01 to US-08 as first and last."""
    between = {f"rest.iad-{number:02}.braze.com" for number in range(2, 8)}
    page = document("docs/getting-started.md")

    documented = set(re.findall(r"https://(rest\.[\w.-]+)", page))

    assert documented == hosts._LISTED - between


def test_the_layout_table_agrees_with_the_import_contracts() -> None:
    """CONTRIBUTING.md lists every folder, and what import-linter lets it import."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    everything = {
        path.parent.name for path in (ROOT / "exporter").glob("*/__init__.py")
    }
    actual = dict.fromkeys(everything, everything)
    for contract in project["tool"]["importlinter"]["contracts"]:
        (source,) = contract["source_modules"]
        forbidden = {name.partition(".")[2] for name in contract["forbidden_modules"]}
        folder = source.partition(".")[2]
        actual[folder] = everything - forbidden - {folder, "model"}

    documented = {
        name.strip("`"): everything if last == "everything" else set(code_spans(last))
        for name, _, last in cells("## Layout", document("CONTRIBUTING.md"))
    }

    assert corrections(documented, actual) == []
