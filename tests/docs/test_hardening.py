"""What the code never does, and what guards the key's file.

Elsewhere: locks hold hashes (test_promises.py), the state file is its owner's alone
(test_state.py), every bad configuration is told as it should be (test_config.py).
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from exporter.config.load import load
from exporter.model.errors import ConfigError
from exporter.simulator import Simulator, SimulatorSettings

from tests.support.daemon_process import configuration, run, written
from tests.unit.test_architecture import TREES, imports

# Calls that run what a text says, or trust a name that others may have taken.
FORBIDDEN_CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "system",
    "popen",
    "mktemp",
    "load_module",
    "unsafe_load",
    "full_load",
    "load_all",
}
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "subprocess", "ctypes", "xml"}
KEY = "7f3e9a52-cafe-4d1b-8a6b-feedfacebeef"


def called(tree: ast.AST) -> set[str]:
    """Return the last names of what is called, but of methods of `re`."""
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name):
            found.add(node.func.id)
        elif isinstance(node.func, ast.Attribute):
            owner = node.func.value
            if not (isinstance(owner, ast.Name) and owner.id == "re"):
                found.add(node.func.attr)
    return found


@pytest.mark.parametrize("name", sorted(TREES))
def test_no_text_is_ever_run(name: str) -> None:
    """No shell, no eval, no pickle, no process, no temporary name."""
    modules = {each.partition(".")[0] for each in imports(TREES[name])}
    shells = [
        word
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.Call)
        for word in node.keywords
        if word.arg == "shell"
    ]

    assert not called(TREES[name]) & FORBIDDEN_CALLS
    assert not modules & FORBIDDEN_MODULES
    assert not shells


# The web server's own TLS, where clients need no certificate unless one is asked for.
@pytest.mark.parametrize("name", sorted(set(TREES) - {"tls"}))
def test_tls_is_always_verified(name: str) -> None:
    """Nobody switches the checks of Braze's certificate off."""
    source = ast.unparse(TREES[name])

    assert "CERT_NONE" not in source
    assert "_create_unverified_context" not in source
    assert "check_hostname = False" not in source
    assert "verify=False" not in source


def test_yaml_is_read_by_safe_loaders_alone() -> None:
    """One module knows YAML, and of its loaders only safe ones."""
    loaders = {
        node.attr
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr.endswith("Loader")
    } | {
        name.rpartition(".")[2]
        for tree in TREES.values()
        for name in imports(tree)
        if name.startswith("yaml.") and name.endswith("Loader")
    }

    assert loaders
    assert all("Safe" in loader for loader in loaders)


def test_an_alias_bomb_is_refused_unexploded(tmp_path: Path) -> None:
    """Nine lists of nine aliases each would be 387 million entries."""
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    file = tmp_path / "config.yaml"
    file.write_text("\n".join(lines))

    with pytest.raises(ConfigError, match="alias in YAML, which is not used here"):
        load(str(file), {})


@pytest.mark.parametrize(
    ("mode", "is_warned"),
    [(0o600, False), (0o640, False), (0o644, True), (0o604, True)],
)
def test_a_key_file_for_all_eyes_is_a_warning(
    tmp_path: Path, *, mode: int, is_warned: bool
) -> None:
    """It is no error: volumes with secrets are often mounted so in a container."""
    key = tmp_path / "key"
    key.write_text(f"{KEY}\n")
    key.chmod(mode)
    with Simulator(SimulatorSettings(campaigns=1)) as braze:
        document = configuration(braze, api_key_file="key")
    del document["workspaces"][0]["api_key_env"]  # type: ignore[index]  # JSON
    file = written(tmp_path / "config.yaml", document)

    warnings = load(file, {}).warnings
    ended = run("check", file)

    expected = [f"file {key} can be read by every user; expected chmod o-r"]
    assert [one.message for one in warnings] == (expected if is_warned else [])
    assert ended.returncode == 0
    assert ("every user" in ended.stderr) == is_warned
