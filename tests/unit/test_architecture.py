"""The floors of house-style.md: who may import whom, and who owns which power."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.paths import ROOT

PACKAGE = ROOT / "exporter"

# From the bottom up. A module imports only what stands on a line above its own here.
FLOORS = (
    # Words, values and pure functions.
    "__init__ commands model gzip_member",
    "errors days labels restatement quantities endpoints schedule negotiation",
    "log_quota",
    "budget selection shares trailing exposition yaml_tree catalogue chronicle",
    "deliverability rows",
    "history",
    "data_series fields snapshot_document sparkline discovery timeline membership",
    "options plan diagnosis record renewal",
    "config web_config overview",
    "listing scaling",
    "wording",
    "status_document",
    # State and metrics about this process.
    "files archive progress",
    "logformat keys store telemetry signals clock watch",
    "line page state lanes catalogue_file ledger",
    # The two ways out: to Braze, and to whoever scrapes.
    "deadline exchange roster egress tls authentication joint_work",
    "cause transport connection gate",
    "answer listener protection entrance",
    "client poller web jobs keeper retrieval",
    "on_demand status_pages history_file",
    # The process.
    "flags web_settings fleet scout",
    "loading daemon scouting exploration",
    "service access sharing",
    "commands.check commands.simulate commands.backfill",
    "commands.run commands.demo commands.healthcheck commands.discover",
    "commands.doctor",
    "cli",
    "__main__",
)
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names.split()}
PURE = FLOOR_OF["status_document"]
"""The highest floor that knows nothing of the world: 0 and 1 in house-style.md."""

IMPURE = {"logging", "time", "random", "os", "socket", "threading", "asyncio"}

# Outside libraries, and powers of the standard one → the modules that have them.
OWNERS = {
    "apscheduler": "daemon jobs",
    "prometheus_client": "telemetry",
    "requests": "transport",
    "urllib3": "transport",
    "yaml": "yaml_tree",
    "h11": "connection exchange",
    "isal": "gzip_member",
    "orjson": "answer renewal",
    "redis": "ledger",
    "limits": "ledger",
    "sqlite3": "state",
    "jinja2": "status_pages",
    "markupsafe": "status_pages",
    "gc": "cli status_pages",
    # What is awaited is awaited by those who serve.
    "asyncio": (
        "connection listener roster joint_work daemon service authentication gate"
    ),
    "socket": "listener deadline cause",
    "ssl": "listener deadline cause tls entrance protection commands.healthcheck",
    "signal": "signals",
    "random": "daemon commands.discover commands.backfill",
    # All but the daemon take a clock, with a default.
    "time": "daemon client listener clock",
    "resource": "listener",
    # os.strerror, os._exit, os.fsync, os.open and os.writev; the environment is looked
    # at below.
    "os": "archive cli connection files listener service state catalogue_file",
}
COMMANDS_WITH_SIMULATOR = {"commands.demo", "commands.simulate"}
VAGUE = {"util", "utils", "helper", "helpers", "common", "manager", "core", "base"}


def module_name(file: Path) -> str:
    """Return a module's name below `exporter`."""
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "__init__"


TREES = {
    module_name(file): ast.parse(file.read_text()) for file in PACKAGE.rglob("*.py")
}
SIMULATOR = {name for name in TREES if name.partition(".")[0] == "simulator"}
OURS = sorted(set(TREES) - SIMULATOR)


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield the full name of everything a module imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written in full"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(tree: ast.AST) -> set[str]:
    """Return the names below `exporter` of the modules of ours a module imports."""
    found = set()
    for name in imports(tree):
        top, _, rest = name.partition(".")
        if top == "exporter":
            while rest and rest not in TREES:
                rest = rest.rpartition(".")[0]
            found.add(rest or "__init__")
    return found


@pytest.mark.parametrize("name", OURS)
def test_a_module_imports_only_from_lower_floors(name: str) -> None:
    """One way down; a new module is given its floor in the table above."""
    assert name in FLOOR_OF, f"{name} has no floor"
    for imported in own_imports(TREES[name]) - SIMULATOR:
        assert FLOOR_OF[imported] < FLOOR_OF[name], f"{name} imports {imported}"


@pytest.mark.parametrize("name", OURS)
def test_powers_have_owners(name: str) -> None:
    """Each outside library, clock, socket and signal is known where it is owned."""
    for imported in {each.partition(".")[0] for each in imports(TREES[name])}:
        if imported in OWNERS:
            assert name in OWNERS[imported].split(), f"{name} imports {imported}"
        elif imported != "exporter":
            assert imported in sys.stdlib_module_names, f"who owns {imported}?"


@pytest.mark.parametrize("name", OURS)
def test_lower_floors_are_pure(name: str) -> None:
    """No logging, clock, randomness, operating system, socket or thread there."""
    if FLOOR_OF.get(name, PURE + 1) <= PURE:
        used = {each.partition(".")[0] for each in imports(TREES[name])}
        assert not used & IMPURE


def test_the_environment_is_read_by_the_command_line_alone() -> None:
    """Everyone below is given what he needs of it."""
    readers = {
        name
        for name in OURS
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
    }

    assert readers == {"cli"}


def test_nobody_asks_a_calendar_what_time_it_is() -> None:
    """`now` is an argument."""
    for name in OURS:
        for node in ast.walk(TREES[name]):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                asked = (node.value.id, node.attr)
                assert asked[0] not in {"date", "datetime"} or asked[1] not in {
                    "now",
                    "today",
                    "utcnow",
                }, name


@pytest.mark.parametrize("name", sorted(TREES))
def test_imports_stand_at_the_top(name: str) -> None:
    """None inside a function or with a star; `commands` loads its modules by name.

    And `on_demand` and `authentication` what few need and all would wait for.
    """
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert not list(imports(node)), f"{name}.{node.name} imports"
    names = {each.rpartition(".")[2] for each in imports(TREES[name])}
    assert "*" not in names
    if name not in {"commands", "authentication", "on_demand"}:
        assert not names & {"import_module", "importlib"}


@pytest.mark.parametrize("name", sorted(SIMULATOR))
def test_the_simulator_stands_on_its_own(name: str) -> None:
    """It imports nothing of ours, nor any library: it shares no misunderstanding."""
    assert own_imports(TREES[name]) <= SIMULATOR
    for imported in imports(TREES[name]):
        top = imported.partition(".")[0]
        assert top == "exporter" or top in sys.stdlib_module_names


def test_only_commands_run_the_simulator() -> None:
    """The daemon does not know that there is one."""
    users = {name for name in OURS if own_imports(TREES[name]) & SIMULATOR}

    assert users == COMMANDS_WITH_SIMULATOR


def test_names_say_something() -> None:
    """No module and no class is called util, helper, common, manager, core or base."""
    names = {part for name in TREES for part in name.split(".")}
    names |= {
        node.name.strip("_").lower()
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }

    assert not names & VAGUE


def test_contributors_are_told_of_every_module() -> None:
    """CONTRIBUTING's table of floors names what stands on them."""
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text()
    named = {name for name in FLOOR_OF if f"`{name}`" in text}
    inner = {name for name in FLOOR_OF if name.startswith(("__", "commands."))}

    assert set(FLOOR_OF) - named - inner == set()
