"""The package as its users get it: built, checked, installed, and tested once more."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from exporter import __version__

from tests.paths import ROOT
from tests.support.checkers import run_tool
from tests.support.daemon_process import clean_environment
from tests.unit.test_architecture import PACKAGE

SMOKE = ("test_cli.py", "test_commands.py", "test_flags.py", "test_service.py")
"""Tests of commands and of the process: they start what is installed."""
PATIENCE_SECONDS = 300.0


@dataclass(frozen=True)
class Built:
    """What a release consists of."""

    sdist: Path
    wheel: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build both once: the wheel out of the sdist, with the locked build backend."""
    directory = tmp_path_factory.mktemp("dist")
    ended = run_tool(
        "python", "-m", "build", "--no-isolation", "--outdir", str(directory)
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (sdist,) = directory.glob("*.tar.gz")
    (wheel,) = directory.glob("*.whl")
    return Built(sdist, wheel)


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of a new environment that holds the wheel and no source.

    The packages beside it are those of this environment, at the versions of the lock:
    nothing is downloaded.
    """
    directory = tmp_path_factory.mktemp("environment")
    venv.create(directory, with_pip=False)
    python = directory / "bin" / "python"
    install = ("--quiet", "--no-deps", "--no-index", str(built.wheel))
    ended = run_tool(
        "python", "-m", "pip", "--python", str(python), "install", *install
    )
    assert ended.returncode == 0, ended.stderr
    (site,) = (directory / "lib").glob("python*/site-packages")
    (site / "locked.pth").write_text(f"{_own_site_packages()}\n")
    return python


def _own_site_packages() -> Path:
    return Path(pytest.__file__).parent.parent


def outside(
    python: Path, *arguments: str, at: Path
) -> subprocess.CompletedProcess[str]:
    """Run an installed Python where no source of ours can be found."""
    settings = clean_environment()
    del settings["PYTHONPATH"]
    return subprocess.run(
        [str(python), *arguments],
        cwd=at,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
        env={**settings, "PATH": f"{python.parent}:{os.environ['PATH']}"},
    )


def test_the_package_index_would_take_both(built: Built) -> None:
    """Twine finds nothing to complain of, warnings included."""
    ended = run_tool("twine", "check", "--strict", str(built.sdist), str(built.wheel))

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"-{__version__}" in built.wheel.name
    assert f"-{__version__}" in built.sdist.name


def test_the_wheel_holds_the_package_and_nothing_else(built: Built) -> None:
    """Modules, the mark of their types, templates; no test, dashboard or example."""
    with zipfile.ZipFile(built.wheel) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}

    suffixes = {".py", ".typed", ".html", ".css", ".js"}
    sources = (path for path in PACKAGE.rglob("*") if path.suffix in suffixes)
    assert names == {path.relative_to(ROOT).as_posix() for path in sources}


def test_the_sdist_holds_no_more_than_it_names(built: Built) -> None:
    """What is needed to build and test it, and no file that happened to lie around."""
    with tarfile.open(built.sdist) as sdist:
        tops = {name.split("/")[1] for name in sdist.getnames() if "/" in name}

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    named = project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    always = {".gitignore", "PKG-INFO", "pyproject.toml"}
    assert tops == {*always, *(name.removeprefix("/") for name in named)}


def test_the_tests_pass_against_the_wheel(
    built: Built, installed: Path, tmp_path: Path
) -> None:
    """Unpacked from the sdist, without the source beside them."""
    with tarfile.open(built.sdist) as sdist:
        sdist.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    (unpacked / "exporter").rename(tmp_path / "exporter-elsewhere")
    tests = [f"tests/{name}" for name in SMOKE]

    ended = outside(
        installed, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, at=unpacked
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert " passed" in ended.stdout


def test_the_installed_command_works(installed: Path, tmp_path: Path) -> None:
    """From the wheel, with its version, and `python -m exporter` likewise."""
    place = "import exporter; print(exporter.__file__)"

    command = subprocess.run(
        [str(installed.parent / "braze-exporter"), "--version"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    module = outside(installed, "-m", "exporter", "--version", at=tmp_path)
    where = outside(installed, "-c", place, at=tmp_path)

    assert command.stdout == module.stdout == f"braze-exporter {__version__}\n"
    assert where.stdout.startswith(str(installed.parent.parent))
    assert sys.executable != str(installed)


def test_both_locks_hold_the_same_run_time_packages() -> None:
    """What the tests run with is what an image is built of."""

    def pins(name: str) -> set[str]:
        lines = (ROOT / name).read_text().splitlines()
        return {line.split(" ")[0] for line in lines if "==" in line.split(" ")[0]}

    assert pins("requirements.lock") <= pins("requirements-dev.lock")
