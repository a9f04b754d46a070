"""What the code must never do, and files that must not be trusted.

The rules S of ruff forbid to execute text, unsafe loaders of YAML, predictable names of
temporary files and requests without verification.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from exporter.simulator import Simulator, SimulatorSettings

from tests.support.command_line import invoke
from tests.support.daemon_process import workspace, written
from tests.unit.test_architecture import TREES, imports

FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "subprocess", "ctypes", "xml"}
WITHOUT_VERIFICATION = ("CERT_NONE", "check_hostname = False")
SERVER_TLS = "web.tls"
"""The TLS of the web server, which does not require client certificates by default."""
KEY = "7f3e9a52-cafe-4d1b-8a6b-feedfacebeef"


def test_no_module_runs_programs_or_unpickles() -> None:
    found = {
        (module, name)
        for module, tree in TREES.items()
        for name in (one.partition(".")[0] for one in imports(tree))
        if name in FORBIDDEN_MODULES
    }

    assert found == set()


def test_certificates_of_braze_are_always_verified() -> None:
    found = {
        (module, text)
        for module, tree in TREES.items()
        for text in WITHOUT_VERIFICATION
        if text in ast.unparse(tree)
    }

    assert {module for module, _ in found} == {SERVER_TLS}


def test_an_alias_bomb_is_rejected_without_expansion(tmp_path: Path) -> None:
    """Nine levels of nine aliases each would be 387 million entries."""
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    file = tmp_path / "config.yaml"
    file.write_text("\n".join(lines))

    ended = invoke("check", str(file))

    assert ended.returncode == 2
    assert "alias" in ended.stderr.lower()


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
        document = workspace(braze, api_key_file="key")
    del document["api_key_env"]

    ended = invoke("check", written(tmp_path / "c.yaml", {"workspaces": [document]}))

    expected = f"{key} is readable by all users; expected chmod o-r"
    assert ended.returncode == 0
    assert len(ended.stderr.splitlines()) == int(is_warned)
    assert (expected in ended.stderr) is is_warned
