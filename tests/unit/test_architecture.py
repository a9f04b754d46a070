"""Which modules use which library, and what no module does.

The arrows between folders are contracts of import-linter, in pyproject.toml.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.paths import ROOT

PACKAGE = ROOT / "exporter"

# Folders of pure functions: no I/O, clock, randomness, threads or logging.
PURE = ("model", "series")

IMPURE = {"logging", "time", "random", "os", "socket", "threading", "asyncio"}

# Outside libraries, and powers of the standard one → the modules that have them.
OWNERS = {
    "apscheduler": "daemon.daemon polling.scheduler",
    "prometheus_client": "metrics.self_metrics",
    "requests": "braze.transport braze.authorities",
    "urllib3": "braze.transport",
    "yaml": "config.yaml_tree",
    "bcrypt": "web.basic_auth",
    "h11": "web.connection web.messages",
    "isal": "metrics.gzip_member",
    "orjson": "braze.responses series.older_days",
    "sqlite3": "storage.sqlite_state storage.table_reader",
    "jinja2": "status.page",
    "markupsafe": "status.page",
    "gc": "cli status.page system.garbage_collector",
    # Only the server side is asynchronous.
    "asyncio": (
        "web.connection web.server web.connection_table web.send_queue "
        "system.single_flight daemon.daemon daemon.process web.password_queue "
        "web.security"
    ),
    "socket": "web.server braze.deadline braze.connection_errors",
    "ssl": (
        "web.server braze.deadline braze.authorities braze.connection_errors web.tls "
        "web.handshake web.security commands.healthcheck"
    ),
    "signal": "system.signals",
    "random": "daemon.polling_service commands.discover commands.backfill",
    # All but the daemon take a clock, with a default.
    "time": (
        "daemon.daemon braze.client web.server web.held_pages web.handshake "
        "system.clock"
    ),
    "resource": "web.server",
    # os.strerror, os._exit, os.fsync, os.open, os.write and os.writev; the environment
    # is looked at below.
    "os": (
        "backfill.page_cache cli web.connection system.read_file web.server "
        "system.signals system.log_writer web.tls storage.sqlite_state"
    ),
}
# Modules that are imported when they are first used: start-up time matters.
LAZY = {
    "daemon.daemon": {"exporter.status.page"},
    "daemon.polling_service": {
        "exporter.discovery.service",
        "exporter.storage.autosave",
        "exporter.discovery.catalogue_cache",
        "exporter.storage.sqlite_state",
    },
    "web.basic_auth": {"bcrypt"},
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
    """Return the modules of this package that a module imports."""
    found = set()
    for name in imports(tree):
        top, _, rest = name.partition(".")
        if top == "exporter":
            while rest and rest not in TREES:
                rest = rest.rpartition(".")[0]
            found.add(rest or "__init__")
    return found


@pytest.mark.parametrize("name", OURS)
def test_powers_have_owners(name: str) -> None:
    """Each outside library, clock, socket and signal is known where it is owned."""
    for imported in {each.partition(".")[0] for each in imports(TREES[name])}:
        if imported in OWNERS:
            assert name in OWNERS[imported].split(), f"{name} imports {imported}"
        elif imported != "exporter":
            assert imported in sys.stdlib_module_names, f"{imported} has no owner"


@pytest.mark.parametrize("name", OURS)
def test_pure_folders_have_no_side_effects(name: str) -> None:
    """No logging, clock, randomness, operating system, socket or thread there."""
    if name.partition(".")[0] in PURE:
        used = {each.partition(".")[0] for each in imports(TREES[name])}
        assert not used & IMPURE


def test_the_environment_is_read_by_the_command_line_alone() -> None:
    """Other modules get what they need as arguments."""
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
    """None with a star, and inside functions only what would slow every start."""
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lazy = {each.rpartition(".")[0] for each in imports(node)}
            assert lazy <= LAZY.get(name, set()), f"{name}.{node.name} imports"
    names = {each.rpartition(".")[2] for each in imports(TREES[name])}
    assert "*" not in names
    if name != "commands":
        assert not names & {"import_module", "importlib"}


@pytest.mark.parametrize("name", sorted(SIMULATOR))
def test_the_simulator_stands_on_its_own(name: str) -> None:
    """It imports no other folder and no library, so that errors are not shared."""
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


def test_public_classes_have_unique_names() -> None:
    """A class name is defined once in the package."""
    defined = Counter(
        node.name
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )

    assert [name for name, count in defined.items() if count > 1] == []


def test_the_package_is_made_of_folders() -> None:
    """At most five modules are not in a folder."""
    assert len(list(PACKAGE.glob("*.py"))) <= 5
    assert len(list(PACKAGE.glob("*/__init__.py"))) >= 12


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("series/days.py", "import exporter.braze.client", "series imports model only"),
        (
            "model/labels.py",
            "import exporter.system.clock",
            "model imports no other folder",
        ),
        ("web/tls.py", "import exporter.metrics.store", "web imports"),
    ],
)
def test_an_import_against_the_arrows_is_reported(
    tmp_path: Path, module: str, line: str, contract: str
) -> None:
    """The contracts of import-linter are effective."""
    shutil.copytree(PACKAGE, tmp_path / "exporter")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    changed = tmp_path / "exporter" / module
    changed.write_text(f"{changed.read_text()}\n{line}\n")

    ended = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )

    assert ended.returncode == 1
    assert re.search(rf"{contract}.* BROKEN", ended.stdout)
