"""What the code must never do, and the warning about readable key files.

Hashes of locks are tested in test_repository.py, the mode of the state file in
tests/unit/storage, and error messages of configurations in tests/unit/config.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from exporter.config.load import load
from exporter.model.errors import ConfigError
from exporter.simulator import Simulator, SimulatorSettings

from tests.support.daemon_process import configuration, run, written
from tests.unit.test_architecture import TREES, imports

# Calls that execute text, or use a file name that another process may have created.
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
WITHOUT_VERIFICATION = (
    "CERT_NONE",
    "_create_unverified_context",
    "check_hostname = False",
    "verify=False",
)
SERVER_TLS = "web.tls"
"""The TLS of the web server, which does not require client certificates by default."""
KEY = "7f3e9a52-cafe-4d1b-8a6b-feedfacebeef"


def calls(tree: ast.AST) -> Iterator[str]:
    """Yield the last names of called functions, except methods of `re`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Name):
                yield function.id
            elif isinstance(function, ast.Attribute):
                owner = function.value
                if not (isinstance(owner, ast.Name) and owner.id == "re"):
                    yield function.attr
            if any(keyword.arg == "shell" for keyword in node.keywords):
                yield "system"


def test_no_text_is_executed() -> None:
    """No shell, no eval, no pickle, no subprocess, no predictable temporary file."""
    found = {
        (module, name)
        for module, tree in TREES.items()
        for name in (*calls(tree), *(one.partition(".")[0] for one in imports(tree)))
        if name in FORBIDDEN_CALLS | FORBIDDEN_MODULES
    }

    assert found == set()


def test_certificates_are_always_verified() -> None:
    """No module disables the verification of Braze's certificate."""
    found = {
        (module, text)
        for module, tree in TREES.items()
        if module != SERVER_TLS
        for text in WITHOUT_VERIFICATION
        if text in ast.unparse(tree)
    }

    assert SERVER_TLS in TREES
    assert found == set()


def test_yaml_is_read_by_safe_loaders_only() -> None:
    """Every loader that is named in the code is a safe one."""
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


def test_an_alias_bomb_is_rejected_without_expansion(tmp_path: Path) -> None:
    """Nine levels of nine aliases each would be 387 million entries."""
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    file = tmp_path / "config.yaml"
    file.write_text("\n".join(lines))

    with pytest.raises(ConfigError, match=r"(?i)alias"):
        load(str(file), {})


@pytest.mark.parametrize(
    ("mode", "is_warned"),
    [(0o600, False), (0o640, False), (0o644, True), (0o604, True)],
)
def test_a_key_file_readable_by_every_user_causes_a_warning(
    tmp_path: Path, *, mode: int, is_warned: bool
) -> None:
    """It is not an error, because secrets are often mounted with this mode."""
    key = tmp_path / "key"
    key.write_text(f"{KEY}\n")
    key.chmod(mode)
    with Simulator(SimulatorSettings(campaigns=1)) as braze:
        document = configuration(braze, api_key_file="key")
    del document["workspaces"][0]["api_key_env"]  # type: ignore[index]  # JSON
    file = written(tmp_path / "config.yaml", document)

    warnings = load(file, {}).warnings
    ended = run("check", file)

    messages = [one.message for one in warnings if str(key) in one.message]
    assert len(messages) == len(warnings) == int(is_warned)
    expected = "is readable by all users; expected chmod o-r"
    assert all(expected in one for one in messages)
    assert ended.returncode == 0
    assert ("readable by all users" in ended.stderr) == is_warned
